//! The roads of an operation: a call of its own, a batch, a session. Each must judge it the same.

use super::world::World;
use earmark_client::{
    status::from_status,
    wire::{
        BatchRequest, Tagged,
        v1::{
            self, operation::Body as Asked, operation_result::Body as Answered,
            reservation_service_client::ReservationServiceClient, stock_service_client::StockServiceClient,
        },
    },
};
use std::collections::BTreeSet;
use tokio_stream::{StreamExt, iter};
use tonic::{Status, transport::Channel};

/// A request that must be refused, and how: the code, and exactly these fields.
pub struct Case {
    pub asked: Asked,
    pub code: v1::Code,
    pub fields: Vec<String>,
}

impl Case {
    /// Refused for one field.
    pub fn field(asked: Asked, field: impl Into<String>) -> Self {
        Self { asked, code: v1::Code::InvalidArgument, fields: vec![field.into()] }
    }

    /// Refused for another reason than a field.
    pub fn code(asked: Asked, code: v1::Code) -> Self {
        Self { asked, code, fields: Vec::new() }
    }

    fn shown(&self) -> String {
        format!("{:?}", self.asked).chars().take(300).collect()
    }

    fn check(&self, road: &str, told: &v1::Error) {
        assert_eq!(told.code(), self.code, "{road}: {}: {told:?}", self.shown());
        let named: BTreeSet<&str> = told.fields.iter().map(|bad| bad.field.as_str()).collect();
        let expected: BTreeSet<&str> = self.fields.iter().map(String::as_str).collect();
        assert_eq!(named, expected, "{road}: {}: {told:?}", self.shown());
        assert!(told.fields.iter().all(|bad| !bad.description.is_empty()), "{road}: {told:?}");
        assert!(!told.message.is_empty(), "{road}: {}", self.shown());
    }
}

/// A call of its own.
pub async fn alone(channel: &Channel, asked: Asked) -> Result<Answered, v1::Error> {
    let mut stock = StockServiceClient::new(channel.clone());
    let mut reservations = ReservationServiceClient::new(channel.clone());
    let answered = match asked {
        Asked::Reserve(request) => reservations.reserve(request).await.map(|a| Answered::Reserve(a.into_inner())),
        Asked::Commit(request) => reservations.commit(request).await.map(|a| Answered::Commit(a.into_inner())),
        Asked::Release(request) => reservations.release(request).await.map(|a| Answered::Release(a.into_inner())),
        Asked::Extend(request) => reservations.extend(request).await.map(|a| Answered::Extend(a.into_inner())),
        Asked::Receive(request) => stock.receive(request).await.map(|a| Answered::Receive(a.into_inner())),
        Asked::Adjust(request) => stock.adjust(request).await.map(|a| Answered::Adjust(a.into_inner())),
        Asked::GetStock(request) => stock.get_stock(request).await.map(|a| Answered::GetStock(a.into_inner())),
        Asked::GetReservation(request) => {
            reservations.get_reservation(request).await.map(|a| Answered::GetReservation(a.into_inner()))
        }
        Asked::Replace(request) => reservations.replace(request).await.map(|a| Answered::Replace(a.into_inner())),
        Asked::MarkPaying(request) => {
            reservations.mark_paying(request).await.map(|a| Answered::MarkPaying(a.into_inner()))
        }
        Asked::Ship(request) => reservations.ship(request).await.map(|a| Answered::Ship(a.into_inner())),
        Asked::Cancel(request) => reservations.cancel(request).await.map(|a| Answered::Cancel(a.into_inner())),
        Asked::ReturnUnits(request) => {
            reservations.return_units(request).await.map(|a| Answered::ReturnUnits(a.into_inner()))
        }
        Asked::Set(request) => stock.set(request).await.map(|a| Answered::Set(Box::new(a.into_inner()))),
        Asked::Count(request) => stock.count(request).await.map(|a| Answered::Count(Box::new(a.into_inner()))),
        Asked::Quarantine(request) => {
            stock.quarantine(request).await.map(|a| Answered::Quarantine(Box::new(a.into_inner())))
        }
        Asked::Unquarantine(request) => {
            stock.unquarantine(request).await.map(|a| Answered::Unquarantine(Box::new(a.into_inner())))
        }
        Asked::WriteOff(request) => {
            stock.write_off(request).await.map(|a| Answered::WriteOff(Box::new(a.into_inner())))
        }
        Asked::Transfer(request) => stock.transfer(request).await.map(|a| Answered::Transfer(Box::new(a.into_inner()))),
        Asked::Arrive(request) => stock.arrive(request).await.map(|a| Answered::Arrive(Box::new(a.into_inner()))),
        Asked::Expect(request) => stock.expect(request).await.map(|a| Answered::Expect(a.into_inner())),
        Asked::ConfigureSku(request) => {
            stock.configure_sku(*request).await.map(|a| Answered::ConfigureSku(Box::new(a.into_inner())))
        }
        Asked::GetSkuSettings(request) => {
            stock.get_sku_settings(request).await.map(|a| Answered::GetSkuSettings(Box::new(a.into_inner())))
        }
        Asked::ListShortages(request) => {
            stock.list_shortages(request).await.map(|a| Answered::ListShortages(a.into_inner()))
        }
        Asked::ListInTransit(request) => {
            stock.list_in_transit(request).await.map(|a| Answered::ListInTransit(a.into_inner()))
        }
        Asked::DryRun(request) => {
            reservations.dry_run(*request).await.map(|a| Answered::DryRun(Box::new(a.into_inner())))
        }
        Asked::ListReservations(request) => {
            reservations.list_reservations(request).await.map(|a| Answered::ListReservations(a.into_inner()))
        }
        Asked::ListExpiring(request) => {
            reservations.list_expiring(request).await.map(|a| Answered::ListExpiring(a.into_inner()))
        }
    };
    answered.map_err(|status| ours(&status))
}

/// What a handler of ours told; anything else fails the test.
pub fn ours(status: &Status) -> v1::Error {
    from_status(status).unwrap_or_else(|| panic!("no detail of ours: {status}"))
}

fn operation(asked: &Asked) -> v1::Operation {
    v1::Operation { body: Some(asked.clone()) }
}

fn told(result: Option<v1::OperationResult>) -> v1::Error {
    match result.and_then(|result| result.body) {
        Some(Answered::Error(error)) => error,
        other => panic!("it should be refused: {other:?}"),
    }
}

/// All in one batch, by position.
async fn batch(channel: &Channel, cases: &[Case]) -> Vec<v1::Error> {
    let operations: Vec<_> = cases.iter().map(|case| operation(&case.asked)).collect();
    let request: BatchRequest = operations.iter().collect();
    let response = ReservationServiceClient::new(channel.clone()).batch(request).await.expect("answered");
    let results = response.into_inner().to_results().expect("results");
    results.into_iter().map(|result| told(Some(result))).collect()
}

/// All in one frame of a session, by tag.
async fn session(channel: &Channel, cases: &[Case]) -> Vec<v1::Error> {
    let tagged = |(tag, case): (u64, &Case)| Tagged::operation(tag, &operation(&case.asked));
    let frame = v1::SessionRequest { operations: (0..).zip(cases).map(tagged).collect(), session: 0 };
    let frames = ReservationServiceClient::new(channel.clone()).session(iter([frame])).await.expect("a session");
    let mut frames = frames.into_inner();
    let mut results: Vec<Option<v1::Error>> = cases.iter().map(|_| None).collect();
    while let Some(frame) = frames.next().await {
        for result in frame.expect("a frame").results {
            let place = usize::try_from(result.tag).expect("small");
            assert!(results[place].replace(told(result.to_result().ok())).is_none(), "answered twice");
        }
    }
    results.into_iter().map(|result| result.expect("answered")).collect()
}

/// Each case is refused as it says by each road, and nothing changes.
pub async fn refused(world: &World, cases: &[Case]) {
    let before = world.seen().await;
    for case in cases {
        match alone(&world.channel, case.asked.clone()).await {
            Err(told) => case.check("alone", &told),
            Ok(answered) => panic!("{}: {answered:?}", case.shown()),
        }
    }
    for (case, told) in cases.iter().zip(batch(&world.channel, cases).await) {
        case.check("batch", &told);
    }
    for (case, told) in cases.iter().zip(session(&world.channel, cases).await) {
        case.check("session", &told);
    }
    world.unchanged_since(&before).await;
}

/// Each is done.
pub async fn done(world: &World, asked: impl IntoIterator<Item = Asked>) {
    for asked in asked {
        if let Err(told) = alone(&world.channel, asked.clone()).await {
            panic!("{asked:?}: {told:?}");
        }
    }
}
