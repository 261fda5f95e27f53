//! Reads, each at the level asked for.

use super::{decode, encode, error};
use crate::{
    peer::wire,
    router::{Hop, Leader, READ_PATIENCE, Router},
    shard::Replica,
};
use earmark_client::wire::v1::{self, operation::Body as Asked, operation_result::Body as Answered};
use earmark_ledger::{
    Lookup,
    outcome::{Missing, Refusal, ReservationView},
    planted::{self, Bug},
    types::{Bucket, Position, ReservationId, ShardId, TimeMs},
};
use prost::Message;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A replica that a read may be answered from, and how old its state may be.
pub(super) struct Source {
    pub(super) replica: Arc<Replica>,
    pub(super) level: v1::ReadLevel,
    pub(super) age: Duration,
}

/// Stock of one SKU.
///
/// # Errors
/// As told to the client.
pub async fn stock(router: &Router, request: v1::GetStockRequest, hop: Hop) -> Result<v1::GetStockResponse, v1::Error> {
    let (namespace, sku, location, level) = decode::stock_of(&request)?;
    let bucket = Bucket::of(&namespace, &sku);
    let wanted = Wanted { bucket, level, token: request.token.as_ref(), direct: request.direct };
    match source(router, &wanted, hop).await? {
        Found::Here(source) => {
            let (pools, expected, shortages, position, as_of) = {
                let hot = source.replica.hot();
                let missing = |missing| error::refusal(&Refusal::NotFound(missing), false);
                let pools = hot.ledger.stock(&namespace, &sku, location.as_ref()).map_err(missing)?;
                let mut expected = hot.ledger.expected(&namespace, &sku).map_err(missing)?;
                expected.retain(|receipt| location.as_ref().is_none_or(|location| receipt.pool.location == *location));
                let short = pools.iter().filter(|pool| !pool.short.is_zero());
                let shortages: Vec<_> = short.filter_map(|pool| hot.ledger.shortage(&pool.key)).collect();
                (pools, expected, shortages, hot.position(), hot.clock())
            };
            Ok(v1::GetStockResponse {
                pools: pools.iter().map(encode::pool).collect(),
                expected: expected.iter().map(encode::expected).collect(),
                shortages: shortages.iter().map(encode::shortage).collect(),
                level: source.level.into(),
                position: Some(encode::position(position)),
                as_of_ms: as_of.0,
                age_ms: millis(source.age),
            })
        }
        Found::There(leader) => match forward(router, leader, Asked::GetStock(request)).await? {
            Answered::GetStock(response) => Ok(response),
            Answered::Error(error) => Err(error),
            _ => Err(error::refused(v1::Code::NoQuorum, "the leader answered something else")),
        },
    }
}

/// Settings of one SKU.
///
/// # Errors
/// As told to the client.
pub async fn settings(
    router: &Router,
    request: v1::GetSkuSettingsRequest,
    hop: Hop,
) -> Result<v1::GetSkuSettingsResponse, v1::Error> {
    let (namespace, sku, level) = decode::settings_of(&request)?;
    let bucket = Bucket::of(&namespace, &sku);
    let wanted = Wanted { bucket, level, token: request.token.as_ref(), direct: request.direct };
    match source(router, &wanted, hop).await? {
        Found::Here(source) => {
            let hot = source.replica.hot();
            let view = hot.ledger.settings(&namespace, &sku);
            let view = view.map_err(|missing| error::refusal(&Refusal::NotFound(missing), false))?;
            Ok(v1::GetSkuSettingsResponse {
                version: view.version,
                settings: Some(encode::settings(&view.settings)),
                level: source.level.into(),
                position: Some(encode::position(hot.position())),
                as_of_ms: hot.clock().0,
                age_ms: millis(source.age),
            })
        }
        Found::There(leader) => match forward(router, leader, Asked::GetSkuSettings(request)).await? {
            Answered::GetSkuSettings(response) => Ok(*response),
            other => Err(other_than_asked(other)),
        },
    }
}

/// Transfers of one SKU that are under way.
///
/// # Errors
/// As told to the client.
pub async fn in_transit(
    router: &Router,
    request: v1::ListInTransitRequest,
    hop: Hop,
) -> Result<v1::ListInTransitResponse, v1::Error> {
    let asked = decode::transfers_of(&request)?;
    let bucket = Bucket::of(&asked.namespace, &asked.of);
    let wanted = Wanted { bucket, level: asked.level, token: request.token.as_ref(), direct: request.direct };
    match source(router, &wanted, hop).await? {
        Found::Here(source) => {
            let hot = source.replica.hot();
            let transfers = hot.ledger.in_transit(&asked.namespace, &asked.of, asked.after, asked.size + 1);
            let mut transfers = transfers.map_err(|missing| error::refusal(&Refusal::NotFound(missing), false))?;
            let more = transfers.len() > asked.size;
            transfers.truncate(asked.size);
            let last = transfers.last().filter(|_| more).map(|last| last.id.to_bytes().to_vec());
            Ok(v1::ListInTransitResponse {
                transfers: transfers.iter().map(encode::transfer).collect(),
                next_page_token: last.unwrap_or_default().into(),
                level: source.level.into(),
                position: Some(encode::position(hot.position())),
                as_of_ms: hot.clock().0,
                age_ms: millis(source.age),
            })
        }
        Found::There(leader) => match forward(router, leader, Asked::ListInTransit(request)).await? {
            Answered::ListInTransit(response) => Ok(response),
            other => Err(other_than_asked(other)),
        },
    }
}

/// What is told of an answer to another question.
pub(super) fn other_than_asked(answered: Answered) -> v1::Error {
    match answered {
        Answered::Error(error) => error,
        _ => error::refused(v1::Code::NoQuorum, "the leader answered something else"),
    }
}

/// One reservation.
///
/// # Errors
/// As told to the client.
pub async fn reservation(
    router: &Router,
    request: v1::GetReservationRequest,
    hop: Hop,
) -> Result<v1::GetReservationResponse, v1::Error> {
    let (id, level) = decode::reservation_of(&request)?;
    let wanted = Wanted { bucket: id.home(), level, token: request.token.as_ref(), direct: request.direct };
    match source(router, &wanted, hop).await? {
        Found::Here(source) => {
            let (view, position, as_of) = look_up(&source.replica, id)?;
            Ok(v1::GetReservationResponse {
                reservation: Some(encode::reservation(&view)),
                level: source.level.into(),
                position: Some(encode::position(position)),
                as_of_ms: as_of.0,
                age_ms: millis(source.age),
            })
        }
        Found::There(leader) => match forward(router, leader, Asked::GetReservation(request)).await? {
            Answered::GetReservation(response) => Ok(response),
            Answered::Error(error) => Err(error),
            _ => Err(error::refused(v1::Code::NoQuorum, "the leader answered something else")),
        },
    }
}

pub(super) fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn look_up(replica: &Replica, id: ReservationId) -> Result<(ReservationView, Position, TimeMs), v1::Error> {
    let missing = || error::refusal(&Refusal::NotFound(Missing::Reservation(id)), false);
    // The lock is kept over the cold look-up, so that record and position belong together; it is one read by key.
    let hot = replica.hot();
    let view = match hot.ledger.reservation(id) {
        Lookup::Found(view) => view,
        Lookup::Absent => return Err(missing()),
        Lookup::Cold(key) => {
            let damaged = |what: String| error::refused(v1::Code::StoreDamaged, what);
            let value =
                replica.core().read_cold(&key).map_err(|error| damaged(error.to_string()))?.ok_or_else(missing)?;
            hot.ledger.cold_reservation(&value).map_err(|error| damaged(error.to_string()))?
        }
    };
    Ok((view, hot.position(), hot.clock()))
}

struct Wanted<'a> {
    bucket: Bucket,
    level: v1::ReadLevel,
    token: Option<&'a v1::Token>,
    direct: bool,
}

pub(super) enum Found {
    Here(Source),
    There(u32),
}

async fn source(router: &Router, wanted: &Wanted<'_>, hop: Hop) -> Result<Found, v1::Error> {
    let shard = router.shard(wanted.bucket)?;
    let hop = if wanted.direct && hop == Hop::First { Hop::Direct } else { hop };
    source_in(router, shard, wanted.level, wanted.token, hop).await
}

/// Where a read of that shard may be answered.
pub(super) async fn source_in(
    router: &Router,
    shard: ShardId,
    level: v1::ReadLevel,
    token: Option<&v1::Token>,
    hop: Hop,
) -> Result<Found, v1::Error> {
    match level {
        v1::ReadLevel::Session => {
            if let Some(replica) = router.node().replica(shard)
                && reached(&replica, token).await
            {
                return Ok(Found::Here(Source { replica, level: v1::ReadLevel::Session, age: Duration::ZERO }));
            }
        }
        v1::ReadLevel::Bounded => {
            if let Some(replica) = router.node().replica(shard)
                && let Some(age) = replica.age(router.server_time())
            {
                return Ok(Found::Here(Source { replica, level: v1::ReadLevel::Bounded, age }));
            }
        }
        v1::ReadLevel::Unspecified | v1::ReadLevel::Linearizable => {}
    }
    linearizable(router, shard, hop).await
}

/// The replica of the leader, confirmed. It is good for every level.
async fn linearizable(router: &Router, shard: ShardId, hop: Hop) -> Result<Found, v1::Error> {
    if planted::on(Bug::ReadFromFollower)
        && let Some(replica) = router.node().replica(shard)
    {
        return Ok(Found::Here(Source { replica, level: v1::ReadLevel::Linearizable, age: Duration::ZERO }));
    }
    match router.leader(shard) {
        Leader::Here(replica) => {
            let confirmed = replica.linearize(Instant::now() + READ_PATIENCE).await;
            // A read has no effect, so what is unknown of a tick in front of it is simply not served.
            confirmed.map_err(|failure| match failure {
                crate::shard::proposer::Failure::Unknown => {
                    error::refused(v1::Code::NoQuorum, "leadership was lost while the read waited")
                }
                other => router.failure(other),
            })?;
            Ok(Found::Here(Source { replica, level: v1::ReadLevel::Linearizable, age: Duration::ZERO }))
        }
        Leader::There(Some(leader)) if hop == Hop::First => Ok(Found::There(leader)),
        Leader::There(leader) => Err(router.not_leader(leader)),
    }
}

/// Whether the replica applied what the token names, waiting for it a while.
async fn reached(replica: &Replica, token: Option<&v1::Token>) -> bool {
    let own = |position: &&v1::Position| position.shard == replica.shard().0;
    let Some(seen) = token.and_then(|token| token.positions.iter().filter(own).max_by_key(|at| (at.epoch, at.index)))
    else {
        return true;
    };
    if seen.epoch != replica.hot().epoch().0 {
        return false;
    }
    let mut applied = replica.applied();
    let reached = tokio::time::timeout(READ_PATIENCE / 10, applied.wait_for(|index| *index >= seen.index)).await;
    matches!(reached, Ok(Ok(_)))
}

async fn forward(router: &Router, leader: u32, asked: Asked) -> Result<Answered, v1::Error> {
    forward_to(router, leader, ShardId::META, asked).await
}

/// The same of what is asked of one shard among several: the leader answers for that shard alone.
pub(super) async fn forward_to(
    router: &Router,
    leader: u32,
    shard: ShardId,
    asked: Asked,
) -> Result<Answered, v1::Error> {
    let unreached = |what: String| error::refused(v1::Code::NoQuorum, format!("the leader, node {leader}: {what}"));
    let mut link = router.node().links().to(leader).ok_or_else(|| unreached("is not known".to_owned()))?;
    let operation = v1::Operation { body: Some(asked) };
    let request = wire::ForwardReadRequest { shard: shard.0, operation: operation.encode_to_vec().into() };
    let reply = tokio::time::timeout(READ_PATIENCE, link.forward_read(request))
        .await
        .map_err(|_| unreached("no answer in time".to_owned()))?
        .map_err(|status| unreached(status.message().to_owned()))?;
    let result =
        v1::OperationResult::decode(reply.into_inner().result).map_err(|error| unreached(error.to_string()))?;
    result.body.ok_or_else(|| unreached("an empty answer".to_owned()))
}
