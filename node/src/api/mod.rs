//! The client surface: decode, route, encode. One file a service; `execute` is the one road of every operation,
//! whether it came alone, in a batch, on a session, or from a peer.

mod check;
pub mod cluster;
pub mod decode;
mod dry_run;
pub mod encode;
pub mod error;
mod gather;
mod read;
mod reservations;
pub mod status;
mod stock;

use crate::{
    failpoint::{self, Step},
    node::{Health, Node},
    router::{Hop, Router},
};
use decode::{Arrival, Decoded};
use earmark_client::wire::v1::{
    self, operation::Body as Asked, operation_result::Body as Answered,
    reservation_service_server::ReservationServiceServer, stock_service_server::StockServiceServer,
};
use earmark_ledger::{
    command::{Body, Command, QuarantineStep, Replace, Reserve},
    types::{Bucket, ShardId},
};
use std::{pin::Pin, sync::Arc};

/// Bytes of a request.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Bytes of an answer: a batch of 10,000 may say more than it asked.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Operations in a batch.
const BATCH_MAX: usize = 10_000;

/// All client services of a node, with health and reflection.
pub fn routes(router: &Router) -> tonic::service::Routes {
    let node = router.node();
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(Arc::downgrade(node), reporter));
    let reservations = ReservationServiceServer::new(reservations::Service::new(router.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let stock =
        StockServiceServer::new(stock::Service::new(router.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut routes = tonic::service::Routes::new(health)
        .add_service(reservations)
        .add_service(stock)
        .add_service(cluster::Service::server(router.clone()));
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(earmark_client::wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Both are asked for by tools in use. The descriptors are our own, so building can't fail on them.
    routes = routes.add_service(described().build_v1().expect("our own descriptors"));
    routes.add_service(described().build_v1alpha().expect("our own descriptors"))
}

/// Keeps the health service true: "" for the process, one name per service.
async fn report_health(node: std::sync::Weak<Node>, reporter: tonic_health::server::HealthReporter) {
    use tonic_health::ServingStatus;
    const SERVICES: [&str; 3] =
        ["earmark.v1.StockService", "earmark.v1.ReservationService", "earmark.v1.ClusterService"];
    let Some(mut health) = node.upgrade().map(|node| node.watch_health()) else { return };
    reporter.set_service_status("", ServingStatus::Serving).await;
    loop {
        let serving = *health.borrow_and_update() == Health::Serving;
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &SERVICES[..2] {
            reporter.set_service_status(*service, status).await;
        }
        reporter.set_service_status(SERVICES[2], ServingStatus::Serving).await;
        if health.changed().await.is_err() {
            return;
        }
    }
}

/// Does one operation. What can be judged at once is, before the call is waited for.
pub fn execute(
    router: &Router,
    operation: v1::Operation,
    hop: Hop,
) -> impl Future<Output = v1::OperationResult> + Send + '_ {
    answer(router, operation, hop, None)
}

/// Answers a read for a peer. Of what is asked of several shards it answers for that one.
pub async fn execute_for_peer(router: &Router, operation: v1::Operation, shard: ShardId) -> v1::OperationResult {
    answer(router, operation, Hop::Forwarded, Some(shard)).await
}

/// A read under way.
type Read<'a> = Pin<Box<dyn Future<Output = Result<Answered, v1::Error>> + Send + 'a>>;

/// An operation under way. Thousands of them are at once, nearly all of them commands: so they are small, and what a read
/// needs lies apart.
enum Started<'a> {
    Over(v1::Error),
    Command(Prepared),
    Read(Read<'a>),
}

fn answer(
    router: &Router,
    operation: v1::Operation,
    hop: Hop,
    only: Option<ShardId>,
) -> impl Future<Output = v1::OperationResult> + Send + '_ {
    let started = match operation.body {
        Some(asked) => start(router, asked, hop, only),
        None => Started::Over(error::invalid(vec![v1::FieldViolation {
            field: "operation".to_owned(),
            description: "is empty, or of a kind this node does not know".to_owned(),
        }])),
    };
    async move {
        let told = match started {
            Started::Over(error) => Err(error),
            Started::Command(prepared) => decide(router, prepared).await,
            Started::Read(read) => read.await,
        };
        v1::OperationResult { body: Some(told.unwrap_or_else(Answered::Error)) }
    }
}

fn start(router: &Router, asked: Asked, hop: Hop, only: Option<ShardId>) -> Started<'_> {
    Started::Read(match asked {
        Asked::GetStock(request) => {
            Box::pin(async move { read::stock(router, request, hop).await.map(Answered::GetStock) })
        }
        Asked::GetReservation(request) => {
            Box::pin(async move { read::reservation(router, request, hop).await.map(Answered::GetReservation) })
        }
        Asked::GetSkuSettings(request) => Box::pin(async move {
            read::settings(router, request, hop).await.map(|told| Answered::GetSkuSettings(Box::new(told)))
        }),
        Asked::ListInTransit(request) => {
            Box::pin(async move { read::in_transit(router, request, hop).await.map(Answered::ListInTransit) })
        }
        Asked::ListShortages(request) => {
            Box::pin(async move { gather::shortages(router, request, only).await.map(Answered::ListShortages) })
        }
        Asked::ListReservations(request) => {
            Box::pin(async move { gather::reservations(router, request, only).await.map(Answered::ListReservations) })
        }
        Asked::ListExpiring(request) => {
            Box::pin(async move { gather::expiring(router, request, only).await.map(Answered::ListExpiring) })
        }
        Asked::DryRun(request) => Box::pin(async move {
            dry_run::dry_run(router, *request, only).await.map(|told| Answered::DryRun(Box::new(told)))
        }),
        command => return prepare(router, command, hop).map_or_else(Started::Over, Started::Command),
    })
}

/// A command that can be decided.
struct Prepared {
    shard: ShardId,
    command: Box<Command>,
    asked: encode::Asked,
    fresh: bool,
    /// Whoever asked wants to be told to pay the money back if what is paid for can't be had.
    refund: bool,
    hop: Hop,
}

fn prepare(router: &Router, asked: Asked, hop: Hop) -> Result<Prepared, v1::Error> {
    let random = || router.node().environment().random.next_u64();
    let now = router.server_time();
    let observed = match &asked {
        Asked::Count(count) => count.observed,
        _ => None,
    };
    // Without a late commit it was not tried yet.
    let refund = matches!(&asked, Asked::Commit(commit) if commit.refund_hint && commit.revive);
    let decoded = decode_command(asked, &Arrival { now, random: &random })?;
    let Decoded { bucket, mut command, fresh, direct, map_version } = decoded;
    let shard = place(router, &mut command.body, bucket, &Sender { direct, map_version })?;
    if let Some(v1::count_request::Observed::ObservedPosition(position)) = observed {
        seen_in(router, position, shard)?;
    }
    let Some(asked) = encode::Asked::of(&command.body) else {
        return Err(error::refused(v1::Code::InvalidArgument, "no client sends this"));
    };
    let hop = if direct && hop == Hop::First { Hop::Direct } else { hop };
    Ok(Prepared { shard, command: Box::new(command), asked, fresh, refund, hop })
}

async fn decide(router: &Router, prepared: Prepared) -> Result<Answered, v1::Error> {
    let Prepared { shard, command, asked, fresh, refund, hop } = prepared;
    let deadline = router.deadline(command.not_after);
    failpoint::hit(Step::GatewayReceived);
    let answered = match router.execute(shard, command, fresh, hop, deadline).await {
        Ok(answer) => {
            failpoint::hit(Step::GatewayDecided);
            encode::answer(asked, &answer)
        }
        Err(error) => Answered::Error(error),
    };
    // The money is gone, the units are too: whoever asked to be told is told.
    Ok(match answered {
        Answered::Error(error) if error.code() == v1::Code::ReservationExpired => {
            Answered::Error(v1::Error { refund, ..error })
        }
        answered => answered,
    })
}

fn decode_command(asked: Asked, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    match asked {
        Asked::Reserve(request) => decode::reserve(request, arrival),
        Asked::Commit(request) => decode::commit(request, arrival),
        Asked::Release(request) => decode::release(request, arrival),
        Asked::Extend(request) => decode::extend(request, arrival),
        Asked::Receive(request) => decode::receive(request, arrival),
        Asked::Adjust(request) => decode::adjust(request, arrival),
        Asked::Replace(request) => decode::replace(request, arrival),
        Asked::MarkPaying(request) => decode::mark_paying(request, arrival),
        Asked::Ship(request) => decode::ship(request, arrival),
        Asked::Cancel(request) => decode::cancel(request, arrival),
        Asked::ReturnUnits(request) => decode::return_units(request, arrival),
        Asked::Set(request) => decode::set(request, arrival),
        Asked::Count(request) => decode::count(request, arrival),
        Asked::Quarantine(request) => decode::quarantine(request, QuarantineStep::SetApart, arrival),
        Asked::Unquarantine(request) => decode::quarantine(request, QuarantineStep::Back, arrival),
        Asked::WriteOff(request) => decode::quarantine(request, QuarantineStep::WriteOff, arrival),
        Asked::Transfer(request) => decode::transfer(request, arrival),
        Asked::Arrive(request) => decode::arrive(request, arrival),
        Asked::Expect(request) => decode::expect(request, arrival),
        Asked::ConfigureSku(request) => decode::configure(*request, arrival),
        Asked::GetStock(_)
        | Asked::GetReservation(_)
        | Asked::GetSkuSettings(_)
        | Asked::ListShortages(_)
        | Asked::ListInTransit(_)
        | Asked::ListReservations(_)
        | Asked::ListExpiring(_)
        | Asked::DryRun(_) => unreachable!("reads go their own way"),
    }
}

/// A position that a count names must be of the shard its SKU lives in, and of its present epoch: a restored shard counts
/// its entries anew.
fn seen_in(router: &Router, position: v1::Position, shard: ShardId) -> Result<(), v1::Error> {
    decode::observed_in(position, shard)?;
    let Some(replica) = router.node().replica(shard) else { return Ok(()) };
    if position.epoch == replica.hot().epoch().0 {
        return Ok(());
    }
    let message = format!("the position is of epoch {}, and the shard has another one by now", position.epoch);
    Err(error::refused(v1::Code::PositionExpired, message))
}

/// How the sender routed.
struct Sender {
    direct: bool,
    map_version: u64,
}

/// The shard of a command. Notes in which shards the lines of a cart live, if not all are at home; a sender with an old map
/// is told so.
fn place(router: &Router, body: &mut Body, home: Bucket, sender: &Sender) -> Result<ShardId, v1::Error> {
    let (shard, placement) = router.place(home)?;
    let map_version = sender.map_version;
    if sender.direct && map_version != 0 && map_version < placement.version {
        return Err(error::refused(
            v1::Code::WrongShard,
            format!("the bucket map has version {} by now, you have {map_version}; fetch it anew", placement.version),
        ));
    }
    if map_version > placement.version {
        return Err(error::refused(
            v1::Code::NotLeader,
            format!(
                "this node has version {} of the bucket map, you have {map_version}; ask another node",
                placement.version
            ),
        ));
    }
    let (namespace, lines, noted) = match body {
        Body::Reserve(Reserve { namespace, lines, shards, .. })
        | Body::Replace(Replace { namespace, lines, shards, .. }) => (namespace, lines, shards),
        _ => return Ok(shard),
    };
    let shards = lines.iter().map(|line| placement.shard(Bucket::of(namespace, &line.sku)));
    let Some(shards) = shards.collect::<Option<Vec<_>>>() else {
        return Err(error::refused(v1::Code::NoQuorum, "this node does not know the bucket map yet; try again"));
    };
    if shards.iter().any(|other| *other != shard) {
        *noted = shards;
    }
    Ok(shard)
}

/// Whether an operation says that it comes for the first time.
fn is_fresh(operation: &v1::Operation) -> bool {
    matches!(&operation.body, Some(Asked::Reserve(reserve)) if reserve.delivery.as_ref().is_some_and(|delivery| delivery.fresh))
}

/// Takes an operation as one that may have come before. Only a reserve can be fresh.
fn stale(operation: &mut v1::Operation) {
    if let Some(Asked::Reserve(v1::ReserveRequest { delivery: Some(delivery), .. })) = &mut operation.body {
        delivery.fresh = false;
    }
}

/// Does many independent operations.
///
/// # Errors
/// INVALID_ARGUMENT if there are too many.
async fn execute_batch(router: &Router, request: v1::BatchRequest) -> Result<v1::BatchResponse, v1::Error> {
    let count = request.operations.len();
    if count > BATCH_MAX {
        return Err(error::invalid(vec![v1::FieldViolation {
            field: "operations".to_owned(),
            description: format!("has {count} entries, at most {BATCH_MAX} are allowed"),
        }]));
    }
    let results = request.operations.into_iter().map(|mut operation| {
        // A call may be sent twice by what is in between, and nothing would tell the second from the first.
        stale(&mut operation);
        execute(router, operation, Hop::First)
    });
    Ok(v1::BatchResponse { results: futures::future::join_all(results).await })
}
