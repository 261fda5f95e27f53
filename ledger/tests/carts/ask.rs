//! Short words for what is asked of a hold and of a sale.
#![allow(dead_code, reason = "each test uses a part of it")]

use crate::{support::*, world::*};
use earmark_ledger::{command::*, outcome::*, types::*};
use std::sync::atomic::{AtomicU64, Ordering};

fn parts(parts: &[(&PoolKey, u64)]) -> Vec<Part> {
    parts.iter().map(|(pool, units)| part(pool, *units)).collect()
}

/// The whole new set of lines, each in the shard of its pool.
pub fn replace(id: ReservationId, operation: u64, lines: &[(&PoolKey, u64)]) -> Body {
    let Reserve { namespace, lines, best_effort, zone, shards, .. } = cart(id, lines, DurationMs(0));
    let operation = operation_id(BASE, operation);
    Body::Replace(Replace { id, operation, namespace, lines, best_effort, zone, shards })
}

pub fn paying(id: ReservationId, operation: u64, grace: DurationMs) -> Body {
    Body::MarkPaying(MarkPaying { id, operation: operation_id(BASE, operation), grace })
}

/// The operation of that number; one that nobody has used, if there is none.
fn named_or_new(operation: Option<u64>) -> OperationId {
    static NEXT: AtomicU64 = AtomicU64::new(1_000_000);
    operation_id(BASE, operation.unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A late commit, whole if no parts are named.
pub fn late(id: ReservationId, operation: Option<u64>, named: &[(&PoolKey, u64)]) -> Body {
    let operation = Some(named_or_new(operation));
    Body::Commit(Commit { id, operation, parts: parts(named), keep_rest: false, revive: true })
}

pub fn ship(id: ReservationId, operation: u64, named: &[(&PoolKey, u64)]) -> Body {
    Body::Ship(Ship { id, operation: operation_id(BASE, operation), parts: parts(named) })
}

pub fn cancel(id: ReservationId, operation: Option<u64>, named: &[(&PoolKey, u64)]) -> Body {
    let operation = named_or_new(operation);
    Body::Cancel(Cancel { id, operation, parts: parts(named), reason: Reason::default() })
}

pub fn give_back(id: ReservationId, operation: u64, named: &[(&PoolKey, u64)], disposition: Disposition) -> Body {
    let (operation, reason) = (operation_id(BASE, operation), Reason::default());
    Body::Return(Return { id, operation, parts: parts(named), disposition, reason })
}

pub fn done(outcome: &Outcome) -> &Done {
    match &outcome.verdict {
        Verdict::Done(done) => done,
        other => panic!("was not done: {other:?}"),
    }
}

/// The reservation that was told.
pub fn done_view(outcome: &Outcome) -> &ReservationView {
    match done(outcome) {
        Done::Reservation(view) => view,
        other => panic!("is no reservation: {other:?}"),
    }
}
