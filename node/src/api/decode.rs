//! From the wire to commands: every field is checked here, and every bad one is told at once.

use super::error::invalid;
use bytes::Bytes;
use earmark_client::wire::v1;
use earmark_ledger::{
    chosen_ttl,
    command::{Adjust, Body, Command, Commit, Context, Extend, Line, Part, Receive, Release, Reserve},
    types::{
        BadText, Bucket, Document, DurationMs, Location, Lot, Namespace, OperationId, Owner, POOL_QUANTITY_MAX,
        PoolKey, PoolKind, Principal, Quantity, Reason, RequestId, ReservationId, Session, Sku, TimeMs, TraceParent,
    },
    validate,
};

/// How far ahead `not_after` is set when the caller sets none.
const NOT_AFTER_DEFAULT: DurationMs = DurationMs::seconds(10);

/// How far ahead a caller may set it; more is cut.
const NOT_AFTER_MAX: DurationMs = DurationMs::seconds(30);

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

/// Gathers what is wrong with a request.
#[derive(Default)]
struct Check {
    bad: Vec<v1::FieldViolation>,
}

impl Check {
    fn fail(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.bad.push(v1::FieldViolation { field: field.into(), description: description.into() });
    }

    fn text<T>(&mut self, field: impl Into<String>, text: String, make: fn(Bytes) -> Result<T, BadText>) -> Option<T> {
        make(Bytes::from(text)).map_err(|bad| self.fail(field, bad.to_string())).ok()
    }

    fn namespace(&mut self, text: String) -> Option<Namespace> {
        if text.is_empty() { Some(Namespace::default()) } else { self.text("namespace", text, Namespace::new) }
    }

    /// A number of units of at least `least`.
    fn quantity(&mut self, field: impl Into<String>, units: i64, least: u64) -> Option<Quantity> {
        let quantity = u64::try_from(units).ok().filter(|units| *units >= least).and_then(Quantity::new);
        if quantity.is_none() {
            self.fail(field, format!("is {units}, must be {least} to {POOL_QUANTITY_MAX}"));
        }
        quantity
    }

    fn kind(&mut self, field: impl Into<String>, number: i32) -> Option<PoolKind> {
        let kind = match v1::PoolKind::try_from(number) {
            Ok(v1::PoolKind::Unspecified | v1::PoolKind::Now) => PoolKind::Now,
            Ok(v1::PoolKind::Incoming) => PoolKind::Incoming,
            Ok(v1::PoolKind::Backorder) => PoolKind::Backorder,
            Ok(v1::PoolKind::Preorder) => PoolKind::Preorder,
            Err(_) => {
                self.fail(field, format!("{number} is no kind of pool"));
                return None;
            }
        };
        Some(kind)
    }

    fn reservation(&mut self, bytes: &[u8]) -> Option<ReservationId> {
        ReservationId::from_slice(bytes).map_err(|bad| self.fail("reservation_id", bad.to_string())).ok()
    }

    /// The caller's operation id; none where it gave none.
    fn operation(&mut self, bytes: &[u8]) -> Option<OperationId> {
        if bytes.is_empty() {
            return None;
        }
        OperationId::from_slice(bytes)
            .map_err(|bad| {
                let what = match bad {
                    earmark_ledger::types::BadId::Kind => "is not a UUID of version 7".to_owned(),
                    other => other.to_string(),
                };
                self.fail("operation_id", what);
            })
            .ok()
    }

    fn context(&mut self, context: Option<v1::Context>) -> Context {
        let context = context.unwrap_or_default();
        let principal = self.text("context.principal", context.principal, Principal::new);
        let session = self.text("context.session", context.session, Session::new);
        let request_id = self.text("context.request_id", context.request_id, RequestId::new);
        let trace_parent = self.text("context.traceparent", context.traceparent, TraceParent::new);
        Context {
            principal: principal.unwrap_or_default(),
            session: session.unwrap_or_default(),
            request_id: request_id.unwrap_or_default(),
            trace_parent: trace_parent.unwrap_or_default(),
        }
    }

    /// The whole request, if nothing is wrong with it; the ledger's own limits are checked along.
    fn finish(
        mut self,
        bucket: Option<Bucket>,
        context: Context,
        delivery: Option<v1::Delivery>,
        arrival: &Arrival<'_>,
        body: Option<Body>,
    ) -> Result<Decoded, v1::Error> {
        let delivery = delivery.unwrap_or_default();
        let now = arrival.now;
        let not_after = match delivery.not_after_ms {
            0 => now.plus(NOT_AFTER_DEFAULT),
            asked => TimeMs(asked).min(now.plus(NOT_AFTER_MAX)),
        };
        let attempt = delivery.r#try.max(1);
        if let (Some(bucket), Some(body)) = (bucket, body) {
            let command = Command { context, not_after, attempt, body };
            for bad in validate(&command, now) {
                if !self.bad.iter().any(|known| known.field == bad.field) {
                    self.fail(bad.field, bad.problem);
                }
            }
            if self.bad.is_empty() {
                return Ok(Decoded {
                    bucket,
                    command,
                    fresh: delivery.fresh && attempt == 1,
                    direct: delivery.direct,
                    map_version: delivery.map_version,
                });
            }
        }
        Err(invalid(self.bad))
    }
}

/// A UUID of version 7 made here, for a caller that gave no id.
fn make_operation(arrival: &Arrival<'_>) -> OperationId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&(arrival.random)().to_be_bytes());
    random[8..].copy_from_slice(&(arrival.random)().to_be_bytes()[..2]);
    let id = uuid::Builder::from_unix_timestamp_millis(arrival.now.0, &random).into_uuid();
    OperationId::from_slice(id.as_bytes()).expect("the builder makes version 7")
}

/// The place of a line or part: SKU, location, kind, lot.
struct Place {
    sku: String,
    location: String,
    kind: i32,
    lot: String,
}

impl Check {
    fn place(&mut self, prefix: &str, place: Place) -> Option<(Sku, Location, PoolKind, Lot)> {
        let sku = self.text(format!("{prefix}sku"), place.sku, Sku::new);
        let location = self.text(format!("{prefix}location"), place.location, Location::new);
        let kind = self.kind(format!("{prefix}kind"), place.kind);
        let lot = self.text(format!("{prefix}lot"), place.lot, Lot::new);
        Some((sku?, location?, kind?, lot?))
    }

    fn parts(&mut self, parts: Vec<v1::Part>) -> Option<Vec<Part>> {
        let mut good = Vec::with_capacity(parts.len());
        let count = parts.len();
        for (number, part) in parts.into_iter().enumerate() {
            let prefix = format!("parts[{number}].");
            let quantity = self.quantity(format!("{prefix}quantity"), part.quantity, 1);
            let place = Place { sku: part.sku, location: part.location, kind: part.kind, lot: part.lot };
            let place = self.place(&prefix, place);
            if let (Some((sku, location, kind, lot)), Some(quantity)) = (place, quantity) {
                good.push(Part { sku, location, kind, lot, quantity });
            }
        }
        (good.len() == count).then_some(good)
    }
}

/// Reserve. Every line must live in the shard of the id's home; `api::execute` sees to that.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn reserve(request: v1::ReserveRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let namespace = check.namespace(request.namespace);
    let owner = check.text("owner", request.owner, Owner::new);
    let count = request.lines.len();
    let mut lines = Vec::with_capacity(count.min(512));
    // Beyond the limit one complaint is enough; the ledger's `validate` names it.
    for (number, line) in request.lines.into_iter().enumerate() {
        let prefix = format!("lines[{number}].");
        let quantity = check.quantity(format!("{prefix}quantity"), line.quantity, 1);
        let minimum = check.quantity(format!("{prefix}minimum"), line.minimum, 0);
        let place = Place { sku: line.sku, location: line.location, kind: line.kind, lot: line.lot };
        let place = check.place(&prefix, place);
        if let (Some((sku, location, kind, lot)), Some(quantity), Some(minimum)) = (place, quantity, minimum) {
            lines.push(Line { sku, location: Some(location), kind, lot, quantity, minimum });
        }
    }
    if count == 0 {
        check.fail("lines", "must not be empty");
    }
    let home = namespace.as_ref().zip(lines.first()).map(|(namespace, line)| Bucket::of(namespace, &line.sku));
    let id = if request.reservation_id.is_empty() {
        home.map(|home| ReservationId::timed(arrival.now, home, (arrival.random)()))
    } else {
        check.reservation(&request.reservation_id)
    };
    let ttl_chosen = request.ttl_ms == 0;
    let ttl = if ttl_chosen { chosen_ttl() } else { DurationMs(request.ttl_ms) };
    let body = match (id, namespace, owner) {
        (Some(id), Some(namespace), Some(owner)) if lines.len() == count => Some(Body::Reserve(Reserve {
            id,
            namespace,
            lines,
            owner,
            ttl,
            ttl_chosen,
            best_effort: request.best_effort,
            zone: 0,
        })),
        _ => None,
    };
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Commit.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn commit(request: v1::CommitRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.reservation(&request.reservation_id);
    let operation = check.operation(&request.operation_id);
    let parts = check.parts(request.parts);
    let keep_rest = request.keep_rest;
    let body = id.zip(parts).map(|(id, parts)| Body::Commit(Commit { id, operation, parts, keep_rest }));
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Release.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn release(request: v1::ReleaseRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.reservation(&request.reservation_id);
    let operation = check.operation(&request.operation_id);
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
    let id = check.reservation(&request.reservation_id);
    let operation = check.operation(&request.operation_id).unwrap_or_else(|| make_operation(arrival));
    let body = id.map(|id| Body::Extend(Extend { id, operation, ttl: DurationMs(request.ttl_ms) }));
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Receive.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn receive(request: v1::ReceiveRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let operation = check.operation(&request.operation_id).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    let quantity = check.quantity("quantity", request.quantity, 1);
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
    let operation = check.operation(&request.operation_id).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    let reason = check.text("reason", request.reason, Reason::new);
    let expected = match request.expected_on_hand {
        None => Some(None),
        Some(units) => check.quantity("expected_on_hand", units, 0).map(Some),
    };
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

impl Check {
    fn pool(&mut self, namespace: String, place: Place) -> Option<PoolKey> {
        let namespace = self.namespace(namespace);
        let place = self.place("", place);
        let (sku, location, kind, lot) = place?;
        Some(PoolKey { namespace: namespace?, sku, location, kind, lot })
    }
}

/// What a read of stock names.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn stock_of(request: &v1::GetStockRequest) -> Result<(Namespace, Sku, Option<Location>), v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace.clone());
    let sku = check.text("sku", request.sku.clone(), Sku::new);
    let location = if request.location.is_empty() {
        Some(None)
    } else {
        check.text("location", request.location.clone(), Location::new).map(Some)
    };
    match (namespace, sku, location) {
        (Some(namespace), Some(sku), Some(location)) => Ok((namespace, sku, location)),
        _ => Err(invalid(check.bad)),
    }
}

/// Which reservation a request names.
///
/// # Errors
/// INVALID_ARGUMENT.
pub fn reservation_of(bytes: &[u8]) -> Result<ReservationId, v1::Error> {
    let mut check = Check::default();
    check.reservation(bytes).ok_or_else(|| invalid(check.bad))
}
