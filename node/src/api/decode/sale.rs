//! From the wire to commands: what becomes of a reservation beside commit, release and extend.

use super::{Arrival, Decoded, make_operation};
use crate::api::check::Check;
use earmark_client::wire::v1;
use earmark_ledger::{
    command::{Body, Cancel, Disposition, MarkPaying, Replace, Return, Ship},
    limits::{PAYING_GRACE, PAYING_GRACE_MAX, TTL_MIN},
    types::{DurationMs, Reason, ReservationId},
};

/// Replace.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn replace(request: v1::ReplaceRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let namespace = check.namespace(request.namespace);
    let lines = check.lines(request.lines, request.best_effort);
    let (best_effort, zone) = (request.best_effort, request.zone);
    let body = match (id, namespace, lines) {
        (Some(id), Some(namespace), Some(lines)) => {
            // The shards are noted by the router.
            let shards = Vec::new();
            Some(Body::Replace(Replace { id, operation, namespace, lines, best_effort, zone, shards }))
        }
        _ => None,
    };
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Mark paying.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn mark_paying(request: v1::MarkPayingRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let grace = if request.grace_ms == 0 { PAYING_GRACE } else { DurationMs(request.grace_ms) };
    if grace < TTL_MIN || grace > PAYING_GRACE_MAX {
        check.fail("grace_ms", format!("is {}, must be {} to {}", grace.0, TTL_MIN.0, PAYING_GRACE_MAX.0));
    }
    let body = id.map(|id| Body::MarkPaying(MarkPaying { id, operation, grace }));
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Ship.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn ship(request: v1::ShipRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let parts = check.parts(request.parts);
    let body = id.zip(parts).map(|(id, parts)| Body::Ship(Ship { id, operation, parts }));
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Cancel.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn cancel(request: v1::CancelRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let parts = check.parts(request.parts);
    let reason = check.text("reason", request.reason, Reason::new);
    let body = match (id, parts, reason) {
        (Some(id), Some(parts), Some(reason)) => Some(Body::Cancel(Cancel { id, operation, parts, reason })),
        _ => None,
    };
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}

/// Return.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn return_units(request: v1::ReturnUnitsRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let id = check.dated_reservation(&request.reservation_id, arrival);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let parts = check.parts(request.parts);
    let reason = check.text("reason", request.reason, Reason::new);
    let disposition = match v1::Disposition::try_from(request.disposition) {
        Ok(v1::Disposition::Unspecified | v1::Disposition::Sellable) => Some(Disposition::Sellable),
        Ok(v1::Disposition::Unavailable) => Some(Disposition::Unavailable),
        Err(_) => {
            check.fail("disposition", format!("{} is no disposition", request.disposition));
            None
        }
    };
    let body = match (id, parts, reason, disposition) {
        (Some(id), Some(parts), Some(reason), Some(disposition)) => {
            Some(Body::Return(Return { id, operation, parts, disposition, reason }))
        }
        _ => None,
    };
    check.finish(id.map(ReservationId::home), context, request.delivery, arrival, body)
}
