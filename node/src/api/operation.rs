//! One operation from its request to its answer: judged at once, decided or read, and told. As a message, or encoded as it
//! came in, which spares the commonest ones the way by a message.

use super::{
    decode::{self, Arrival, Decoded, direct::Sent},
    dry_run, encode, error, gather, read,
};
use crate::{
    failpoint::{self, Step},
    router::{self, Hop, Placement, Router},
    shard::proposer::Answer,
};
use bytes::Bytes;
use earmark_client::wire::v1::{self, operation::Body as Asked, operation_result::Body as Answered};
use earmark_ledger::{
    command::{Body, Command, QuarantineStep, Replace, Reserve},
    types::{Bucket, ShardId, TimeMs},
};
use prost::Message;
use std::sync::Arc;
use tokio::{task::unconstrained, time::Instant};

/// An operation under way. Thousands of them are at once, nearly all of them commands: so they are small, and what a read
/// needs lies apart.
pub(super) enum Started {
    Over(Box<v1::Error>),
    Command(Prepared),
    Read(Box<Asked>, Hop),
}

impl From<v1::Error> for Started {
    fn from(error: v1::Error) -> Self {
        Self::Over(Box::new(error))
    }
}

/// Begins an operation: what can be judged at once is.
pub(super) fn start(router: &Router, operation: v1::Operation, hop: Hop, now: TimeMs) -> Started {
    match operation.body {
        None => error::invalid_field("operation", "is empty, or of a kind this node does not know").into(),
        Some(asked) => prepare(router, asked, hop, now).map_or_else(|other| other, Started::Command),
    }
}

/// Begins an operation as it came in, by way of a message only if need be. The map is that of all that came with it.
pub(super) fn start_encoded(
    router: &Router,
    operation: &[u8],
    sent: Sent,
    now: TimeMs,
    map: &Result<Arc<Placement>, v1::Error>,
) -> Started {
    let random = || router.node().environment().random.next_u64();
    // A copy of its own: it may wait for long, and must not keep all of a frame alive.
    let own = Bytes::copy_from_slice(operation);
    let begun = match decode::direct::operation(&own, &Arrival { now, random: &random }, sent) {
        Some(decoded) => map
            .as_ref()
            .map_err(v1::Error::clone)
            .and_then(|map| prepare_decoded(map, decoded, Hop::First, now))
            .map(Started::Command),
        None => message(own, sent).map(|operation| start(router, operation, Hop::First, now)),
    };
    begun.unwrap_or_else(Started::from)
}

/// An operation as a message.
fn message(operation: Bytes, sent: Sent) -> Result<v1::Operation, v1::Error> {
    let operation = v1::Operation::decode(operation);
    let mut operation =
        operation.map_err(|error| error::invalid_field("operation", format!("can't be read: {error}")))?;
    match sent {
        Sent::Here => {}
        Sent::Elsewhere if is_fresh(&operation) => {
            return Err(error::invalid_field("session", "names another session: this was sent there already"));
        }
        Sent::Elsewhere | Sent::Anywhere => stale(&mut operation),
    }
    Ok(operation)
}

/// Waits for the end of what was begun.
pub(super) async fn finish(router: &Router, started: Started, only: Option<ShardId>) -> v1::OperationResult {
    let told = match started {
        Started::Over(error) => Answered::Error(*error),
        Started::Command(prepared) => {
            let (asked, refund) = (prepared.asked, prepared.refund);
            told(asked, refund, decide(router, prepared).await)
        }
        Started::Read(asked, hop) => {
            Box::pin(answer_read(router, *asked, hop, only)).await.unwrap_or_else(Answered::Error)
        }
    };
    v1::OperationResult { body: Some(told) }
}

/// The same, encoded.
pub(super) async fn finish_encoded(router: &Router, started: Started) -> Bytes {
    match started {
        Started::Command(prepared) => {
            let (asked, refund) = (prepared.asked, prepared.refund);
            encoded(asked, refund, decide(router, prepared).await)
        }
        other => finish(router, other, None).await.encode_to_vec().into(),
    }
}

/// What whoever asked is told, encoded.
pub(super) fn encoded(asked: encode::Asked, refund: bool, decided: Result<Answer, v1::Error>) -> Bytes {
    if asked == encode::Asked::Reserve
        && let Ok(answer) = &decided
        && let Some(bytes) = encode::direct::reserved(answer).or_else(|| encode::direct::insufficient(answer))
    {
        return bytes;
    }
    v1::OperationResult { body: Some(told(asked, refund, decided)) }.encode_to_vec().into()
}

async fn answer_read(router: &Router, asked: Asked, hop: Hop, only: Option<ShardId>) -> Result<Answered, v1::Error> {
    Ok(match asked {
        Asked::GetStock(request) => Answered::GetStock(read::stock(router, request, hop).await?),
        Asked::GetReservation(request) => Answered::GetReservation(read::reservation(router, request, hop).await?),
        Asked::GetSkuSettings(request) => {
            Answered::GetSkuSettings(Box::new(read::settings(router, request, hop).await?))
        }
        Asked::ListInTransit(request) => Answered::ListInTransit(read::in_transit(router, request, hop).await?),
        Asked::ListShortages(request) => Answered::ListShortages(gather::shortages(router, request, only).await?),
        Asked::ListReservations(request) => {
            Answered::ListReservations(gather::reservations(router, request, only).await?)
        }
        Asked::ListExpiring(request) => Answered::ListExpiring(gather::expiring(router, request, only).await?),
        Asked::DryRun(request) => Answered::DryRun(Box::new(dry_run::dry_run(router, *request, only).await?)),
        _ => return Err(error::refused(v1::Code::InvalidArgument, "it is no read")),
    })
}

/// A command that can be decided.
pub(super) struct Prepared {
    /// Where it is decided.
    pub(super) shard: ShardId,
    pub(super) command: Box<Command>,
    pub(super) asked: encode::Asked,
    /// It was surely never sent before.
    pub(super) fresh: bool,
    /// Whoever asked wants to be told to pay the money back if what is paid for can't be had.
    pub(super) refund: bool,
    hop: Hop,
    /// Until when it is waited for.
    pub(super) deadline: Instant,
}

/// A command that can be decided, or what else comes of what is asked.
fn prepare(router: &Router, asked: Asked, hop: Hop, now: TimeMs) -> Result<Prepared, Started> {
    let random = || router.node().environment().random.next_u64();
    let observed = match &asked {
        Asked::Count(count) => count.observed,
        _ => None,
    };
    // Without a late commit it was not tried yet.
    let refund = matches!(&asked, Asked::Commit(commit) if commit.refund_hint && commit.revive);
    let decoded = decode_command(asked, &Arrival { now, random: &random }, hop)?;
    let prepared = prepare_decoded(&*router.map()?, decoded, hop, now)?;
    if let Some(v1::count_request::Observed::ObservedPosition(position)) = observed {
        seen_in(router, position, prepared.shard)?;
    }
    Ok(Prepared { refund, ..prepared })
}

fn prepare_decoded(map: &Placement, decoded: Decoded, hop: Hop, now: TimeMs) -> Result<Prepared, v1::Error> {
    let Decoded { bucket, mut command, fresh, direct, map_version } = decoded;
    let shard = place(map, &mut command.body, bucket, &Sender { direct, map_version })?;
    let Some(asked) = encode::Asked::of(&command.body) else {
        return Err(error::refused(v1::Code::InvalidArgument, "no client sends this"));
    };
    let hop = if direct && hop == Hop::First { Hop::Direct } else { hop };
    let deadline = router::deadline(command.not_after, now);
    Ok(Prepared { shard, command: Box::new(command), asked, fresh, refund: false, hop, deadline })
}

async fn decide(router: &Router, prepared: Prepared) -> Result<Answer, v1::Error> {
    let Prepared { shard, command, fresh, hop, deadline, .. } = prepared;
    failpoint::hit(Step::GatewayReceived);
    // Without tokio's budget for a task: once that is used up every answer that is there says that it is not, and wakes
    // its task, so of a thousand that wait in one each was polled many times. There is next to no work in one.
    let decided = unconstrained(router.execute(shard, command, fresh, hop, deadline)).await;
    if decided.is_ok() {
        failpoint::hit(Step::GatewayDecided);
    }
    decided
}

fn told(asked: encode::Asked, refund: bool, decided: Result<Answer, v1::Error>) -> Answered {
    let answered = match decided {
        Ok(answer) => encode::answer(asked, &answer),
        Err(error) => Answered::Error(error),
    };
    // The money is gone, the units are too: whoever asked to be told is told.
    match answered {
        Answered::Error(error) if error.code() == v1::Code::ReservationExpired => {
            Answered::Error(v1::Error { refund, ..error })
        }
        answered => answered,
    }
}

/// A command. What is read is given back, to be read.
fn decode_command(asked: Asked, arrival: &Arrival<'_>, hop: Hop) -> Result<Decoded, Started> {
    let decoded = match asked {
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
        read @ (Asked::GetStock(_)
        | Asked::GetReservation(_)
        | Asked::GetSkuSettings(_)
        | Asked::ListShortages(_)
        | Asked::ListInTransit(_)
        | Asked::ListReservations(_)
        | Asked::ListExpiring(_)
        | Asked::DryRun(_)) => return Err(Started::Read(Box::new(read), hop)),
    };
    decoded.map_err(Started::from)
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
pub(super) struct Sender {
    pub(super) direct: bool,
    pub(super) map_version: u64,
}

/// The shard of a command. Notes in which shards the lines of a cart live, if not all are at home; a sender with an old map
/// is told so.
pub(super) fn place(
    placement: &Placement,
    body: &mut Body,
    home: Bucket,
    sender: &Sender,
) -> Result<ShardId, v1::Error> {
    let shard = router::shard_of(placement, home)?;
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
    if shards.clone().any(|other| other != Some(shard)) {
        let Some(shards) = shards.collect() else {
            return Err(router::no_map());
        };
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
