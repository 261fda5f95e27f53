//! From the wire to commands: every field is checked here, and every bad one is told at once.

pub mod direct;
mod keeping;
mod lists;
mod sale;
mod settings;

pub use keeping::{arrive, count, expect, observed_in, quarantine, set, transfer};
pub use lists::{expiring_of, owner_of, shortages_of, transfers_of};
pub use sale::{cancel, mark_paying, replace, return_units, ship};
pub use settings::{configure, settings_of};

use super::check::{Check, LINE_UNITS, Place, UNITS_OR_NONE};
use earmark_client::wire::v1;
use earmark_ledger::{
    chosen_ttl,
    command::{Adjust, Body, Command, Commit, Extend, Line, Receive, Release, Reserve},
    types::{
        Bucket, Document, Location, Namespace, OperationId, Owner, POOL_QUANTITY_MAX, PoolKey, ReservationId, Sku,
        TimeMs,
    },
};

/// What the first server adds to a request: its time, and randomness for ids the caller did not make.
pub struct Arrival<'a> {
    /// Server time.
    pub now: TimeMs,
    /// Fresh randomness.
    pub random: &'a (dyn Fn() -> u64 + Sync),
}

/// A request that makes sense.
pub struct Decoded {
    /// Where it is decided.
    pub bucket: Bucket,
    /// What is asked of the ledger.
    pub command: Command,
    /// The sender made the id itself and sends it for the first time.
    pub fresh: bool,
    /// The sender wants to be told the leader instead of being forwarded.
    pub direct: bool,
    /// The map the sender routed by; 0 if unknown.
    pub map_version: u64,
}

/// A UUID of version 7 made here, for a caller that gave no id.
fn make_operation(arrival: &Arrival<'_>) -> OperationId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&(arrival.random)().to_be_bytes());
    random[8..].copy_from_slice(&(arrival.random)().to_be_bytes()[..2]);
    let id = uuid::Builder::from_unix_timestamp_millis(arrival.now.0, &random).into_uuid();
    OperationId::from_slice(id.as_bytes()).expect("the builder makes version 7")
}

/// Reserve. Where its shards are is noted by the router; so is how long it lasts, if the caller leaves that open.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn reserve(request: v1::ReserveRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let namespace = check.namespace(request.namespace);
    let owner = check.text("owner", request.owner, Owner::new);
    let lines = check.lines(request.lines, request.best_effort);
    let home = || {
        let (namespace, lines) = namespace.as_ref().zip(lines.as_ref())?;
        ReservationId::home_among(arrival.now, lines.iter().map(|line| Bucket::of(namespace, &line.sku)))
    };
    let id = if request.reservation_id.is_empty() {
        home().map(|home| ReservationId::timed(arrival.now, home, (arrival.random)()))
    } else {
        check.dated_reservation(&request.reservation_id, arrival)
    };
    let ttl_chosen = request.ttl_ms == 0;
    let ttl = if ttl_chosen { chosen_ttl() } else { check.ttl(request.ttl_ms) };
    let (best_effort, zone) = (request.best_effort, request.zone);
    let body = match (id, namespace, owner, lines) {
        (Some(id), Some(namespace), Some(owner), Some(lines)) => {
            // The shards are noted by the router.
            let shards = Vec::new();
            Some(Body::Reserve(Reserve { id, namespace, lines, owner, ttl, ttl_chosen, best_effort, zone, shards }))
        }
        _ => None,
    };
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

impl Check {
    /// At least one, and each good.
    pub(super) fn lines(&mut self, lines: Vec<v1::Line>, best_effort: bool) -> Option<Vec<Line>> {
        let count = lines.len();
        if !self.within("lines", count, 1) {
            return None;
        }
        let mut good = Vec::with_capacity(count);
        for (number, line) in lines.into_iter().enumerate() {
            let prefix = format_args!("lines[{number}].");
            let quantity = self.quantity(format_args!("{prefix}quantity"), line.quantity, LINE_UNITS);
            let minimum = self.quantity(format_args!("{prefix}minimum"), line.minimum, UNITS_OR_NONE);
            if line.minimum > 0 && !best_effort {
                self.fail(format_args!("{prefix}minimum"), "needs best_effort");
            }
            let place = Place { sku: line.sku, location: line.location, kind: line.kind, lot: line.lot };
            let place = self.open_place(prefix, place);
            if let (Some((sku, location, kind, lot)), Some(quantity), Some(minimum)) = (place, quantity, minimum) {
                good.push(Line { sku, location, kind, lot, quantity, minimum });
            }
        }
        (good.len() == count).then_some(good)
    }
}

/// Commit.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn commit(request: v1::CommitRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let (keep_rest, revive) = (request.keep_rest, request.revive);
    let mut operation = check.operation(&request.operation_id, arrival);
    if revive && request.operation_id.is_empty() {
        operation = Some(make_operation(arrival));
    }
    let parts = check.parts(request.parts);
    let body = id.zip(parts).map(|(id, parts)| Body::Commit(Commit { id, operation, parts, keep_rest, revive }));
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Release.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn release(request: v1::ReleaseRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let operation = check.operation(&request.operation_id, arrival);
    let parts = check.parts(request.parts);
    let body = id.zip(parts).map(|(id, parts)| Body::Release(Release { id, operation, parts }));
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Extend.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn extend(request: v1::ExtendRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let ttl = check.ttl(request.ttl_ms);
    let body = id.map(|id| Body::Extend(Extend { id, operation, ttl }));
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Receive.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn receive(request: v1::ReceiveRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    let quantity = check.quantity("quantity", request.quantity, 1..=POOL_QUANTITY_MAX);
    let document = check.text("document", request.document, Document::new);
    let bucket = pool.as_ref().map(PoolKey::bucket);
    let body = match (pool, quantity, document) {
        (Some(pool), Some(quantity), Some(document)) => {
            Some(Body::Receive(Receive { operation, pool, quantity, document }))
        }
        _ => None,
    };
    check.finish(bucket, context, request.delivery, arrival, body)
}

/// Adjust.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn adjust(request: v1::AdjustRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    let reason = check.reason(request.reason);
    let expected = match request.expected_on_hand {
        None => Some(None),
        Some(units) => check.quantity("expected_on_hand", units, UNITS_OR_NONE).map(Some),
    };
    check.delta(request.delta);
    let bucket = pool.as_ref().map(PoolKey::bucket);
    let delta = request.delta;
    let body = match (pool, reason, expected) {
        (Some(pool), Some(reason), Some(expected_on_hand)) => {
            Some(Body::Adjust(Adjust { operation, pool, delta, reason, expected_on_hand }))
        }
        _ => None,
    };
    check.finish(bucket, context, request.delivery, arrival, body)
}

/// What is tried by a dry run, as the reserve it would be, and how fresh the answer must be. Fields are named from the
/// request on.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn dry_run(request: &v1::DryRunRequest, arrival: &Arrival<'_>) -> Result<(Decoded, v1::ReadLevel), v1::Error> {
    let mut check = Check::default();
    let level = check.level(request.level);
    let reserve = match request.reserve.clone() {
        // An id would be judged by its age, and its home would count.
        Some(asked) => {
            v1::ReserveRequest { reservation_id: bytes::Bytes::new(), context: None, delivery: None, ..asked }
        }
        None => v1::ReserveRequest::default(),
    };
    match (reserve_within(reserve, arrival), level) {
        (Ok(decoded), Some(level)) => Ok((decoded, level)),
        (Ok(_), None) => Err(check.refuse()),
        (Err(error), _) => {
            for bad in error.fields {
                check.fail(bad.field, bad.description);
            }
            Err(check.refuse())
        }
    }
}

fn reserve_within(request: v1::ReserveRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    reserve(request, arrival).map_err(|mut error| {
        error.fields.iter_mut().for_each(|bad| bad.field.insert_str(0, "reserve."));
        error
    })
}

/// What a read of stock names, and how fresh it must be.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn stock_of(request: &v1::GetStockRequest) -> Result<(Namespace, Sku, Option<Location>, v1::ReadLevel), v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace.clone());
    let sku = check.text("sku", request.sku.clone(), Sku::new);
    let location = if request.location.is_empty() {
        Some(None)
    } else {
        check.text("location", request.location.clone(), Location::new).map(Some)
    };
    let level = check.level(request.level);
    match (namespace, sku, location, level) {
        (Some(namespace), Some(sku), Some(location), Some(level)) => Ok((namespace, sku, location, level)),
        _ => Err(check.refuse()),
    }
}

/// Which reservation a read names, and how fresh it must be.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn reservation_of(request: &v1::GetReservationRequest) -> Result<(ReservationId, v1::ReadLevel), v1::Error> {
    let mut check = Check::default();
    let id = check.reservation(&request.reservation_id);
    let level = check.level(request.level);
    id.zip(level).ok_or_else(|| check.refuse())
}

/// Where an id is to live.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn home_of(request: v1::MakeReservationIdRequest) -> Result<Bucket, v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace);
    let sku = check.text("sku", request.sku, Sku::new);
    match (namespace, sku) {
        (Some(namespace), Some(sku)) => Ok(Bucket::of(&namespace, &sku)),
        _ => Err(check.refuse()),
    }
}
