//! One caller's turns.

use super::{
    drive::Callers,
    keys::Keys,
    measured::Counts,
    shape::{Plan, Work},
};
use crate::Failed;
use earmark_client::{
    Answer, Client, Code, Error, Operation, endpoint, status,
    wire::v1::{self, reservation_service_client::ReservationServiceClient},
};
use rand::{RngExt, rngs::SmallRng};
use tonic::transport::Channel;

/// Where all stock lies.
pub const LOCATION: &str = "main";

/// Receives that go out together while a cluster is stocked.
const STOCK_BATCH: usize = 8_000;

/// Clients, channels and SKUs that all callers of a load share.
pub struct Crew {
    plan: Plan,
    keys: Keys,
    clients: Vec<Client>,
    /// For calls without the SDK: one connection a node.
    channels: Vec<Channel>,
}

impl Crew {
    /// Connects as many clients as the plan asks for.
    ///
    /// # Errors
    /// No node answers.
    pub async fn connect(plan: Plan, endpoints: &[String]) -> Result<Self, Failed> {
        let mut clients = Vec::with_capacity(plan.clients);
        for _ in 0..plan.clients.max(1) {
            let builder = Client::builder().endpoints(endpoints.iter().cloned()).timeout(plan.timeout);
            clients.push(builder.connect().await?);
        }
        let channels = endpoints.iter().map(|address| Ok(endpoint(address, plan.timeout)?.connect_lazy()));
        Ok(Self {
            keys: Keys::new(plan.skus, plan.spread),
            channels: channels.collect::<Result<_, Failed>>()?,
            plan,
            clients,
        })
    }

    /// What is asked.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Receives the stock of every SKU. A SKU that is to be sold out gets one unit, which is held.
    ///
    /// # Errors
    /// Something could not be received.
    pub async fn stock_up(&self) -> Result<(), Failed> {
        let client = &self.clients[0];
        let all: Vec<String> = self.keys.all().collect();
        for skus in all.chunks(STOCK_BATCH) {
            let units = self.plan.stock.max(1);
            let receives = skus.iter().map(|sku| client.receive(sku, LOCATION, 1).operation());
            // The most that one receive brings is below what a pool may have.
            let receives: Vec<_> = if units > 1 {
                skus.iter()
                    .map(|sku| client.receive(sku, LOCATION, units.min(1_000_000_000)).operation())
                    .collect::<Result<_, _>>()?
            } else {
                receives.collect::<Result<_, _>>()?
            };
            for answer in client.batch(receives).await {
                answer?;
            }
            if self.plan.stock == 0 {
                for sku in skus {
                    let _held = client.reserve().line(sku, LOCATION, 1).ttl(self.plan.ttl).send().await?;
                }
            }
        }
        Ok(())
    }

    async fn pair(&self, client: &Client, random: &mut SmallRng) -> Counts {
        let sku = self.keys.draw(random);
        match client.reserve().line(sku, LOCATION, 1).ttl(self.plan.ttl).send().await {
            Ok(held) => {
                let mut counts = counted(Ok(()));
                counts.add(counted(held.commit().await.map(drop)));
                counts
            }
            Err(error) => counted(Err(error)),
        }
    }

    fn reserves<'a>(
        &'a self,
        client: &'a Client,
        size: usize,
        random: &'a mut SmallRng,
    ) -> impl Iterator<Item = Operation> + 'a {
        (0..size).filter_map(move |_| {
            let sku = self.keys.draw(random);
            client.reserve().line(sku, LOCATION, 1).ttl(self.plan.ttl).operation().ok()
        })
    }

    async fn batch(
        &self,
        client: &Client,
        operations: impl Iterator<Item = Operation>,
    ) -> (Counts, Vec<earmark_client::ReservationId>) {
        let (mut counts, mut held) = (Counts::default(), Vec::new());
        for answer in client.batch(operations).await {
            if let Ok(Answer::Reserved(reservation)) = &answer {
                held.push(reservation.id());
            }
            counts.add(counted(answer.map(drop)));
        }
        (counts, held)
    }

    /// As another language would: no session, no map, no retry; whichever node it is sends it on.
    async fn unary(&self, client: &Client, random: &mut SmallRng) -> Counts {
        let sku = self.keys.draw(random);
        let channel = &self.channels[random.random_range(0..self.channels.len())];
        let Ok(id) = client.make_id(&sku) else { return Counts::default() };
        let line = v1::Line { sku, location: LOCATION.to_owned(), quantity: 1, ..v1::Line::default() };
        let mut request = tonic::Request::new(v1::ReserveRequest {
            reservation_id: id.to_bytes().to_vec().into(),
            lines: vec![line],
            ttl_ms: u64::try_from(self.plan.ttl.as_millis()).unwrap_or(u64::MAX),
            ..v1::ReserveRequest::default()
        });
        request.set_timeout(self.plan.timeout);
        match ReservationServiceClient::new(channel.clone()).reserve(request).await {
            Ok(_) => counted(Ok(())),
            Err(told) => of_code(status::from_status(&told).map_or(Code::OutcomeUnknown, |error| error.code())),
        }
    }
}

impl Callers for Crew {
    fn outstanding(&self) -> usize {
        self.plan.outstanding
    }

    fn rate(&self) -> Option<f64> {
        self.plan.rate
    }

    async fn turn(&self, caller: usize, random: &mut SmallRng) -> Counts {
        let client = &self.clients[caller % self.clients.len()];
        match self.plan.work {
            Work::Reserve => {
                let sku = self.keys.draw(random);
                counted(client.reserve().line(sku, LOCATION, 1).ttl(self.plan.ttl).send().await.map(drop))
            }
            // What a turn keeps is moved with each turn: what is large or slow lies apart.
            Work::Pair => Box::pin(self.pair(client, random)).await,
            Work::Cart(lines) => {
                let skus = self.keys.draw_several(lines, random).into_iter();
                let cart = skus.fold(client.reserve().ttl(self.plan.ttl), |cart, sku| cart.line(sku, LOCATION, 1));
                counted(cart.send().await.map(drop))
            }
            Work::Read(level) => {
                let sku = self.keys.draw(random);
                counted(client.stock(sku).location(LOCATION).level(level).send().await.map(drop))
            }
            Work::Batch(size) => {
                let (counts, _) = Box::pin(self.batch(client, self.reserves(client, size, random))).await;
                counts
            }
            Work::BatchPair(size) => {
                let (mut counts, held) = Box::pin(self.batch(client, self.reserves(client, size, random))).await;
                let commits = held.into_iter().map(|id| client.commit(id).operation());
                let (sold, _) = Box::pin(self.batch(client, commits.filter_map(Result::ok))).await;
                counts.add(sold);
                counts
            }
            Work::Unary => Box::pin(self.unary(client, random)).await,
        }
    }
}

fn counted(end: Result<(), Error>) -> Counts {
    match end {
        Ok(()) => Counts { done: 1, ..Counts::default() },
        Err(error) => of_code(error.code()),
    }
}

fn of_code(code: Code) -> Counts {
    let none = Counts::default();
    match code {
        Code::OutcomeUnknown => Counts { unknown: 1, ..none },
        Code::Contended => Counts { contended: 1, ..none },
        Code::Overloaded | Code::RateLimited => Counts { overloaded: 1, ..none },
        Code::NoQuorum | Code::NotLeader | Code::WrongShard | Code::StoreDamaged | Code::Late => {
            Counts { turned_away: 1, ..none }
        }
        _ => Counts { refused: 1, ..none },
    }
}
