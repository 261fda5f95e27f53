//! From the wire to what the keepers of the stock ask.

use super::{Arrival, Decoded, make_operation};
use crate::api::check::{Check, Place, UNITS_OR_NONE};
use earmark_client::wire::v1;
use earmark_ledger::{
    command::{
        Arrive, Body, Context, Count, Expect, Observed, ObservedAt, Quarantine, QuarantineStep, SetOnHand,
        Stockkeeping, Transfer,
    },
    types::{Document, Location, LogIndex, POOL_QUANTITY_MAX, Quantity, ShardId, Sku, TimeMs},
};

/// What every one of these requests has beside its own fields.
struct Frame {
    check: Check,
    context: Context,
    delivery: Option<v1::Delivery>,
}

impl Frame {
    fn new(context: Option<v1::Context>, delivery: Option<v1::Delivery>) -> Self {
        let mut check = Check::default();
        let context = check.context(context);
        Self { check, context, delivery }
    }

    fn finish(self, arrival: &Arrival<'_>, asked: Option<Stockkeeping>) -> Result<Decoded, v1::Error> {
        let bucket = asked.as_ref().map(Stockkeeping::bucket);
        self.check.finish(bucket, self.context, self.delivery, arrival, asked.map(Body::Stockkeeping))
    }
}

/// Set.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn set(request: v1::SetRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut frame = Frame::new(request.context, request.delivery);
    let check = &mut frame.check;
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    let on_hand = check.quantity("on_hand", request.on_hand, UNITS_OR_NONE);
    let reason = check.reason(request.reason);
    let overriding = request.r#override;
    let expected = match request.expected_on_hand {
        None if !overriding => {
            check.fail("expected_on_hand", "is required unless override is set");
            None
        }
        None => Some(None),
        Some(units) => check.quantity("expected_on_hand", units, UNITS_OR_NONE).map(Some),
    };
    let asked = (|| {
        let (pool, on_hand, reason, expected_on_hand) = (pool?, on_hand?, reason?, expected?);
        Some(Stockkeeping::Set(SetOnHand { operation, pool, on_hand, expected_on_hand, overriding, reason }))
    })();
    frame.finish(arrival, asked)
}

/// Count. What the books said then is looked up by the leader.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn count(request: v1::CountRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut frame = Frame::new(request.context, request.delivery);
    let check = &mut frame.check;
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    let counted = check.quantity("counted", request.counted, UNITS_OR_NONE);
    let document = check.text("document", request.document, Document::new);
    let reason = check.reason_if(false, request.reason);
    let at = request.observed.map(|observed| match observed {
        v1::count_request::Observed::ObservedPosition(position) => ObservedAt::Position(LogIndex(position.index)),
        v1::count_request::Observed::ObservedTimeMs(time) => ObservedAt::Time(TimeMs(time)),
    });
    if let Some(ObservedAt::Time(time)) = at
        && time > arrival.now.plus(earmark_ledger::limits::ID_AHEAD_MAX)
    {
        check.fail("observed_time_ms", "is still to come");
    }
    let observed = at.map(|at| Observed { at, on_hand: Quantity::ZERO, seen: None });
    let asked = (|| {
        let (pool, counted, document, reason) = (pool?, counted?, document?, reason?);
        Some(Stockkeeping::Count(Count { operation, pool, counted, observed, document, reason }))
    })();
    frame.finish(arrival, asked)
}

/// Quarantine, unquarantine and write-off.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn quarantine(
    request: v1::QuarantineRequest,
    step: QuarantineStep,
    arrival: &Arrival<'_>,
) -> Result<Decoded, v1::Error> {
    let mut frame = Frame::new(request.context, request.delivery);
    let check = &mut frame.check;
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    let quantity = check.quantity("quantity", request.quantity, 1..=POOL_QUANTITY_MAX);
    let reason = check.reason_if(step != QuarantineStep::Back, request.reason);
    let asked = (|| {
        let (pool, quantity, reason) = (pool?, quantity?, reason?);
        Some(Stockkeeping::Quarantine(Quarantine { operation, pool, step, quantity, reason }))
    })();
    frame.finish(arrival, asked)
}

/// Transfer.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn transfer(request: v1::TransferRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut frame = Frame::new(request.context, request.delivery);
    let check = &mut frame.check;
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    if !request.to.is_empty() && request.to == request.location {
        check.fail("to", "is where the units are");
    }
    let to = check.text("to", request.to, Location::new);
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let from = check.pool(request.namespace, place);
    let quantity = check.quantity("quantity", request.quantity, 1..=POOL_QUANTITY_MAX);
    let document = check.text("document", request.document, Document::new);
    let reason = check.reason_if(false, request.reason);
    let immediate = request.immediate;
    let asked = (|| {
        let (from, to, quantity, document, reason) = (from?, to?, quantity?, document?, reason?);
        Some(Stockkeeping::Transfer(Transfer { operation, from, to, quantity, immediate, document, reason }))
    })();
    frame.finish(arrival, asked)
}

/// Arrive.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn arrive(request: v1::ArriveRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut frame = Frame::new(request.context, request.delivery);
    let check = &mut frame.check;
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let namespace = check.namespace(request.namespace);
    let sku = check.text("sku", request.sku, Sku::new);
    let transfer = check.operation_named("transfer_id", &request.transfer_id);
    if request.received == 0 && request.lost == 0 {
        check.fail("received", "must be at least 1 where none is lost");
    }
    let received = check.quantity("received", request.received, UNITS_OR_NONE);
    let lost = check.quantity("lost", request.lost, UNITS_OR_NONE);
    let document = check.text("document", request.document, Document::new);
    let reason = check.reason_if(request.lost > 0, request.reason);
    let asked = (|| {
        let (namespace, sku, transfer, received, lost) = (namespace?, sku?, transfer?, received?, lost?);
        let (document, reason) = (document?, reason?);
        let arrive = Arrive { operation, namespace, sku, transfer, received, lost, document, reason };
        Some(Stockkeeping::Arrive(arrive))
    })();
    frame.finish(arrival, asked)
}

/// Expect.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn expect(request: v1::ExpectRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut frame = Frame::new(request.context, request.delivery);
    let check = &mut frame.check;
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let place = Place { sku: request.sku, location: request.location, kind: request.kind, lot: request.lot };
    let pool = check.pool(request.namespace, place);
    if request.document.is_empty() {
        check.fail("document", "must not be empty");
    }
    let document = check.text("document", request.document, Document::new);
    let quantity = check.quantity("quantity", request.quantity, UNITS_OR_NONE);
    let date = TimeMs(request.date_ms);
    let asked = (|| {
        let (pool, document, quantity) = (pool?, document?, quantity?);
        Some(Stockkeeping::Expect(Expect { operation, pool, document, date, quantity }))
    })();
    frame.finish(arrival, asked)
}

/// A position that a count names: it must be of the shard that owns the SKU.
///
/// # Errors
/// INVALID_ARGUMENT if it is of another.
pub fn observed_in(position: v1::Position, shard: ShardId) -> Result<(), v1::Error> {
    if position.shard == shard.0 {
        return Ok(());
    }
    let mut check = Check::default();
    check.fail("observed_position", format!("is of shard {}, and this SKU lives in shard {shard}", position.shard));
    Err(check.refuse())
}
