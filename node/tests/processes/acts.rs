//! What can be done to a cart, and the steps it passes.

use crate::{
    carts::{Cast, LOCATION, Stage, UNITS},
    cluster::eventually,
};
use earmark_client::{
    Error, ReservationState,
    wire::v1::{self, reservation_service_client::ReservationServiceClient},
};
use earmark_ledger::types::{OperationId, ReservationId};
use earmark_node::failpoint::Step;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What is done to a cart while someone is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Reserve,
    Replace,
    Commit,
    CommitPart,
    Release,
    Expire,
}

/// All of it.
pub const OPERATIONS: [Operation; 6] = [
    Operation::Reserve,
    Operation::Replace,
    Operation::Commit,
    Operation::CommitPart,
    Operation::Release,
    Operation::Expire,
];

/// Whether anyone comes by that step. Who says yes too much is found out: nobody dies.
pub fn comes_by(operation: Operation, step: Step) -> bool {
    match step {
        Step::GatewayReceived | Step::GatewayDecided | Step::HomeDecided => operation != Operation::Expire,
        Step::HomeOpened
        | Step::HomePrepareSending
        | Step::HomePrepareAnswered
        | Step::HomePrepareRecorded
        | Step::ParticipantPrepareReceived
        | Step::ParticipantPrepareApplied => matches!(operation, Operation::Reserve | Operation::Replace),
        Step::HomeExpired => operation == Operation::Expire,
        Step::HomeDecideSending
        | Step::HomeDecideAnswered
        | Step::HomeDecideRecorded
        | Step::ParticipantDecideReceived
        | Step::ParticipantDecideApplied => true,
    }
}

/// How the cart must stand at the end.
pub fn end(operation: Operation) -> ReservationState {
    match operation {
        Operation::Reserve | Operation::Replace => ReservationState::Held,
        Operation::Commit => ReservationState::Committed,
        Operation::CommitPart => ReservationState::PartlyCommitted,
        Operation::Release => ReservationState::Released,
        Operation::Expire => ReservationState::Expired,
    }
}

/// How often its set of lines must have been changed at the end, and once more.
pub fn revision(operation: Operation) -> u32 {
    if operation == Operation::Replace { 2 } else { 1 }
}

/// One cart, and what is asked about it.
#[derive(Clone)]
pub struct Case {
    /// What is asked.
    pub operation: Operation,
    /// The cart.
    pub id: ReservationId,
    /// Its SKUs, the home's first. No other cart has them.
    pub skus: Vec<String>,
    operation_id: OperationId,
    ttl: Option<Duration>,
}

impl Case {
    /// A cart of its own.
    pub async fn make(stage: &mut Stage, cast: &Cast, operation: Operation, ttl: Option<Duration>) -> Self {
        let mut skus = Vec::new();
        for shard in cast.shards {
            skus.push(stage.stocked(shard).await);
        }
        let id = stage.client.make_id(&skus[0]).expect("a SKU");
        Self { operation, id, skus, operation_id: stage.client.make_operation_id(), ttl }
    }

    /// Has the cart held everywhere, if there is something else to be done to it.
    pub async fn begin(&self, stage: &Stage) {
        if self.operation != Operation::Reserve {
            eventually("a cart to begin with", async || {
                self.reserve(stage).await.map_err(|error| format!("{error:?}"))
            })
            .await;
            eventually("a cart at rest", async || stage.at_rest()).await;
        }
    }

    /// Sends it to the gateway, once. Gives whether it was told that it had been done before.
    pub fn send(&self, stage: &Stage, gateway: u32) -> JoinHandle<Result<bool, tonic::Status>> {
        let mut service = ReservationServiceClient::new(stage.cluster.channel(gateway));
        let case = self.clone();
        tokio::spawn(async move {
            let reservation_id = case.id.to_bytes().to_vec().into();
            match case.operation {
                Operation::Reserve => {
                    let line = |sku: &String| v1::Line {
                        sku: sku.clone(),
                        location: LOCATION.to_owned(),
                        quantity: UNITS.cast_signed(),
                        ..Default::default()
                    };
                    let lines = case.skus.iter().map(line).collect();
                    let ttl_ms = case.ttl.map_or(0, |ttl| u64::try_from(ttl.as_millis()).expect("small"));
                    let request = v1::ReserveRequest { reservation_id, lines, ttl_ms, ..Default::default() };
                    service.reserve(request).await.map(|told| told.into_inner().replayed)
                }
                Operation::Replace => {
                    let line = |(sku, quantity): (&String, u64)| v1::Line {
                        sku: sku.clone(),
                        location: LOCATION.to_owned(),
                        quantity: quantity.cast_signed(),
                        ..Default::default()
                    };
                    let request = v1::ReplaceRequest {
                        reservation_id,
                        operation_id: case.operation_id.to_bytes().to_vec().into(),
                        lines: case.changed().map(line).collect(),
                        ..Default::default()
                    };
                    service.replace(request).await.map(|told| told.into_inner().replayed)
                }
                Operation::Commit => {
                    let request = v1::CommitRequest { reservation_id, ..Default::default() };
                    service.commit(request).await.map(|told| told.into_inner().replayed)
                }
                Operation::CommitPart => {
                    let part = |sku: &String| v1::Part {
                        sku: sku.clone(),
                        location: LOCATION.to_owned(),
                        quantity: 1,
                        ..Default::default()
                    };
                    let request = v1::CommitRequest {
                        reservation_id,
                        operation_id: case.operation_id.to_bytes().to_vec().into(),
                        parts: case.skus.iter().map(part).collect(),
                        keep_rest: true,
                        ..Default::default()
                    };
                    service.commit(request).await.map(|told| told.into_inner().replayed)
                }
                Operation::Release => {
                    let request = v1::ReleaseRequest { reservation_id, ..Default::default() };
                    service.release(request).await.map(|told| told.into_inner().replayed)
                }
                Operation::Expire => Ok(false),
            }
        })
    }

    /// The same again, with the same id, until its end is known. Gives whether it had been done before.
    pub async fn learn(&self, stage: &Stage) -> bool {
        let client = &stage.client;
        eventually(&format!("the end of {:?}", self.operation), async || {
            let replayed: Result<bool, Error> = match self.operation {
                Operation::Reserve => self.reserve(stage).await,
                Operation::Replace => {
                    let replace = client.replace(self.id).operation_id(self.operation_id);
                    let replace = self.changed().fold(replace, |all, (sku, units)| all.line(sku, LOCATION, units));
                    replace.send().await.map(|change| change.replayed)
                }
                Operation::Commit => client.commit(self.id).send().await.map(|change| change.replayed),
                Operation::CommitPart => {
                    let commit = client.commit(self.id).operation_id(self.operation_id).keep_rest();
                    let commit = self.skus.iter().fold(commit, |commit, sku| commit.part(sku, LOCATION, 1));
                    commit.send().await.map(|change| change.replayed)
                }
                Operation::Release => client.release(self.id).send().await.map(|change| change.replayed),
                Operation::Expire => Ok(false),
            };
            match replayed {
                Ok(replayed) => Ok(replayed),
                Err(error) if error.is_retryable() => Err(error.to_string()),
                Err(error) => panic!("{:?}: {error:?}", self.operation),
            }
        })
        .await
    }

    /// The new set of lines: of every SKU one more.
    fn changed(&self) -> impl Iterator<Item = (&String, u64)> {
        self.skus.iter().map(|sku| (sku, UNITS + 1))
    }

    async fn reserve(&self, stage: &Stage) -> Result<bool, Error> {
        let reserve = stage.client.reserve().id(self.id);
        let reserve = self.skus.iter().fold(reserve, |reserve, sku| reserve.line(sku, LOCATION, UNITS));
        let reserve = self.ttl.into_iter().fold(reserve, |reserve, ttl| reserve.ttl(ttl));
        reserve.send().await.map(|reservation| reservation.replayed())
    }
}
