//! Checks of single fields of a request: what is good comes back typed, what is bad is gathered and told at once.
//!
//! The ledger judges a whole command again (`validate`), but only once every field can be read. What is checked here is
//! what must be told beside a field that can't.

use super::{
    decode::{Arrival, Decoded},
    error::invalid,
};
use bytes::Bytes;
use earmark_client::wire::v1;
use earmark_ledger::{
    command::{Body, Command, Context, Part},
    limits::{ID_AHEAD_MAX, LINES_MAX, TTL_MAX, TTL_MIN},
    planted::{self, Bug},
    types::{
        BadId, BadText, Bucket, DurationMs, LINE_QUANTITY_MAX, Location, Lot, Namespace, OperationId,
        POOL_QUANTITY_MAX, PoolKey, PoolKind, Principal, Quantity, Reason, RequestId, ReservationId, Session, Sku,
        TimeMs, TraceParent,
    },
    validate,
};
use std::{
    fmt::{Arguments, Display},
    ops::RangeInclusive,
};

/// How far ahead `not_after` is set when the caller sets none.
const NOT_AFTER_DEFAULT: DurationMs = DurationMs::seconds(10);

/// How far ahead a caller may set it; more is cut.
const NOT_AFTER_MAX: DurationMs = DurationMs::seconds(30);

/// Units of a line or part.
pub(super) const LINE_UNITS: RangeInclusive<u64> = 1..=LINE_QUANTITY_MAX;

/// Units that may be none: of a pool, or the least a line takes.
pub(super) const UNITS_OR_NONE: RangeInclusive<u64> = 0..=POOL_QUANTITY_MAX;

/// What is wrong with a text that people can't see as it is: names that look the same must not be two, and none may turn
/// round what a terminal shows. The ledger would take it, as it takes all that stands in a log.
fn unseen(text: &str) -> Option<&'static str> {
    /// Spaces without width, marks and overrides of direction, separators of lines, the byte order mark (Unicode 16).
    fn is_unseen(character: char) -> bool {
        matches!(
            character,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
    }
    if !text.is_empty() && text.trim().is_empty() {
        return Some("must have more than spaces");
    }
    (!text.is_ascii() && text.chars().any(is_unseen)).then_some("has a character that can't be seen")
}

/// A kind of pool by its number.
pub(super) fn pool_kind(number: i32) -> Option<PoolKind> {
    Some(match v1::PoolKind::try_from(number).ok()? {
        v1::PoolKind::Unspecified | v1::PoolKind::Now => PoolKind::Now,
        v1::PoolKind::Incoming => PoolKind::Incoming,
        v1::PoolKind::Backorder => PoolKind::Backorder,
        v1::PoolKind::Preorder => PoolKind::Preorder,
    })
}

/// Whether an id is dated further ahead of the server than clocks differ.
pub(super) fn is_ahead(made: TimeMs, now: TimeMs) -> bool {
    made > now.plus(ID_AHEAD_MAX)
}

/// Gathers what is wrong with a request.
#[derive(Default)]
pub(super) struct Check {
    bad: Vec<v1::FieldViolation>,
}

/// The place of a line or part: SKU, location, kind, lot.
pub(super) struct Place {
    pub(super) sku: String,
    pub(super) location: String,
    pub(super) kind: i32,
    pub(super) lot: String,
}

impl Check {
    /// Notes what is wrong with a field. Its name is only put together if something is.
    pub(super) fn fail(&mut self, field: impl Display, description: impl Into<String>) {
        self.bad.push(v1::FieldViolation { field: field.to_string(), description: description.into() });
    }

    /// INVALID_ARGUMENT with all that was bad.
    pub(super) fn refuse(self) -> v1::Error {
        invalid(self.bad)
    }

    pub(super) fn text<T>(
        &mut self,
        field: impl Display,
        text: String,
        make: fn(Bytes) -> Result<T, BadText>,
    ) -> Option<T> {
        if let Some(problem) = unseen(&text) {
            self.fail(field, problem);
            return None;
        }
        make(Bytes::from(text)).map_err(|bad| self.fail(field, bad.to_string())).ok()
    }

    pub(super) fn namespace(&mut self, text: String) -> Option<Namespace> {
        if text.is_empty() { Some(Namespace::default()) } else { self.text("namespace", text, Namespace::new) }
    }

    /// Why stock is changed by hand. An audit without it is worth nothing, so it is asked for.
    pub(super) fn reason(&mut self, text: String) -> Option<Reason> {
        if text.is_empty() {
            self.fail("reason", "must not be empty");
            return None;
        }
        self.text("reason", text, Reason::new)
    }

    /// The same where it may be left out.
    pub(super) fn reason_if(&mut self, needed: bool, text: String) -> Option<Reason> {
        if needed { self.reason(text) } else { self.text("reason", text, Reason::new) }
    }

    pub(super) fn quantity(&mut self, field: impl Display, units: i64, range: RangeInclusive<u64>) -> Option<Quantity> {
        let quantity = u64::try_from(units).ok().filter(|units| range.contains(units)).and_then(Quantity::new);
        if quantity.is_none() {
            self.fail(field, format!("is {units}, must be {} to {}", range.start(), range.end()));
        }
        quantity
    }

    pub(super) fn delta(&mut self, delta: i64) {
        if !(1..=POOL_QUANTITY_MAX).contains(&delta.unsigned_abs()) {
            self.fail("delta", format!("is {delta}, must be 1 to {POOL_QUANTITY_MAX}, or as much below 0"));
        }
    }

    pub(super) fn ttl(&mut self, ms: u64) -> DurationMs {
        if !(TTL_MIN.0..=TTL_MAX.0).contains(&ms) {
            self.fail("ttl_ms", format!("is {ms}, must be {} to {}", TTL_MIN.0, TTL_MAX.0));
        }
        DurationMs(ms)
    }

    /// A read level by its number.
    pub(super) fn level(&mut self, number: i32) -> Option<v1::ReadLevel> {
        let level = v1::ReadLevel::try_from(number);
        level.map_err(|_| self.fail("level", format!("{number} is no read level"))).ok()
    }

    fn kind(&mut self, field: impl Display, number: i32) -> Option<PoolKind> {
        let kind = pool_kind(number);
        if kind.is_none() {
            self.fail(field, format!("{number} is no kind of pool"));
        }
        kind
    }

    pub(super) fn reservation(&mut self, bytes: &[u8]) -> Option<ReservationId> {
        ReservationId::from_slice(bytes).map_err(|bad| self.fail("reservation_id", bad.to_string())).ok()
    }

    /// The same for what changes something: no id is from the future.
    pub(super) fn dated_reservation(&mut self, bytes: &[u8], arrival: &Arrival<'_>) -> Option<ReservationId> {
        let id = self.reservation(bytes);
        id.inspect(|id| self.dated("reservation_id", id.time(), arrival))
    }

    /// The caller's operation id; none where it gave none.
    pub(super) fn operation(&mut self, bytes: &[u8], arrival: &Arrival<'_>) -> Option<OperationId> {
        if bytes.is_empty() {
            return None;
        }
        let id = self.operation_named("operation_id", bytes);
        id.inspect(|id| self.dated("operation_id", id.time(), arrival))
    }

    /// An operation id that must be there.
    pub(super) fn operation_named(&mut self, field: &str, bytes: &[u8]) -> Option<OperationId> {
        let told = |bad| match bad {
            BadId::Length => "must be 16 bytes".to_owned(),
            BadId::Kind => "is not a UUID of version 7".to_owned(),
            other => other.to_string(),
        };
        OperationId::from_slice(bytes).map_err(|bad| self.fail(field, told(bad))).ok()
    }

    /// An id is made with a time near the server's.
    fn dated(&mut self, field: &str, made: TimeMs, arrival: &Arrival<'_>) {
        if is_ahead(made, arrival.now) {
            self.fail(field, format!("is dated {} ahead of the server", made.since(arrival.now)));
        }
    }

    /// Whether a list is within the limit. Of one beyond it nothing else is told, or a message of 4 MiB would be
    /// answered by millions of complaints.
    pub(super) fn within(&mut self, field: &str, count: usize, least: usize) -> bool {
        let good = (least..=LINES_MAX).contains(&count);
        if !good {
            self.fail(field, format!("has {count} entries, must be {least} to {LINES_MAX}"));
        }
        good
    }

    /// Texts and numbers that are good, and nothing else is wrong.
    pub(super) fn is_good(&self) -> bool {
        self.bad.is_empty()
    }

    pub(super) fn context(&mut self, context: Option<v1::Context>) -> Context {
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

    /// The same for a line whose location a policy may choose.
    pub(super) fn open_place(
        &mut self,
        prefix: Arguments<'_>,
        place: Place,
    ) -> Option<(Sku, Option<Location>, PoolKind, Lot)> {
        if !place.location.is_empty() {
            return self.place(prefix, place).map(|(sku, location, kind, lot)| (sku, Some(location), kind, lot));
        }
        let sku = self.text(format_args!("{prefix}sku"), place.sku, Sku::new);
        let kind = self.kind(format_args!("{prefix}kind"), place.kind);
        let lot = self.text(format_args!("{prefix}lot"), place.lot, Lot::new);
        Some((sku?, None, kind?, lot?))
    }

    pub(super) fn place(&mut self, prefix: Arguments<'_>, place: Place) -> Option<(Sku, Location, PoolKind, Lot)> {
        let sku = self.text(format_args!("{prefix}sku"), place.sku, Sku::new);
        let location = self.text(format_args!("{prefix}location"), place.location, Location::new);
        let kind = self.kind(format_args!("{prefix}kind"), place.kind);
        let lot = self.text(format_args!("{prefix}lot"), place.lot, Lot::new);
        Some((sku?, location?, kind?, lot?))
    }

    pub(super) fn pool(&mut self, namespace: String, place: Place) -> Option<PoolKey> {
        let namespace = self.namespace(namespace);
        let place = self.place(format_args!(""), place);
        let (sku, location, kind, lot) = place?;
        Some(PoolKey { namespace: namespace?, sku, location, kind, lot })
    }

    pub(super) fn parts(&mut self, parts: Vec<v1::Part>) -> Option<Vec<Part>> {
        let count = parts.len();
        if !self.within("parts", count, 0) {
            return None;
        }
        let mut good = Vec::with_capacity(count);
        for (number, part) in parts.into_iter().enumerate() {
            let prefix = format_args!("parts[{number}].");
            let quantity = self.quantity(format_args!("{prefix}quantity"), part.quantity, LINE_UNITS);
            let place = Place { sku: part.sku, location: part.location, kind: part.kind, lot: part.lot };
            let place = self.place(prefix, place);
            if let (Some((sku, location, kind, lot)), Some(quantity)) = (place, quantity) {
                good.push(Part { sku, location, kind, lot, quantity });
            }
        }
        (good.len() == count).then_some(good)
    }

    /// The whole request, if nothing is wrong with it; the ledger's own limits are checked along.
    pub(super) fn finish(
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
            let command = Command { context, not_after, attempt, heard: false, body };
            for bad in validate(&command, now) {
                if !self.bad.iter().any(|known| known.field == bad.field) {
                    self.fail(bad.field, bad.problem);
                }
            }
            if self.bad.is_empty() {
                return Ok(Decoded {
                    bucket,
                    command,
                    fresh: delivery.fresh && (attempt == 1 || planted::on(Bug::FreshKept)),
                    direct: delivery.direct,
                    map_version: delivery.map_version,
                });
            }
        }
        Err(self.refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_can_tell_apart_are_refused() {
        let taken = |text: &str| Check::default().text("sku", text.to_owned(), Sku::new).is_some();
        assert!(taken("lamp 01") && taken("لامپ") && taken("ランプ") && taken("👨\u{200d}👩\u{200d}👧"));
        for bad in ["   ", "\u{a0}", "a\u{202e}b", "lamp\u{200b}", "\u{feff}lamp", "a\u{2028}b"] {
            assert!(!taken(bad), "{bad:?}");
        }
    }
}
