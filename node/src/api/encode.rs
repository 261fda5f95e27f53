//! From outcomes and views of the ledger to the wire.

pub mod direct;
mod keeping;

pub use keeping::{expected, settings, shortage, transfer};

use super::error::{self, state_to_wire, units};
use crate::shard::proposer::Answer;
use earmark_client::wire::v1::{self, operation_result::Body};
use earmark_ledger::{
    command::{self, QuarantineStep},
    outcome::{Done, LineGot, PoolView, Refusal, ReservationView, Reserved, Verdict},
    types::{PoolKind, Position},
};

/// A position on the wire.
pub fn position(position: Position) -> v1::Position {
    v1::Position {
        shard: position.shard.0,
        epoch: position.epoch.0,
        index: position.index.0,
        ordinal: position.ordinal,
    }
}

fn kind(kind: PoolKind) -> i32 {
    match kind {
        PoolKind::Now => v1::PoolKind::Now,
        PoolKind::Incoming => v1::PoolKind::Incoming,
        PoolKind::Backorder => v1::PoolKind::Backorder,
        PoolKind::Preorder => v1::PoolKind::Preorder,
    }
    .into()
}

/// A pool on the wire.
pub fn pool(view: &PoolView) -> v1::Pool {
    v1::Pool {
        namespace: view.key.namespace.to_string(),
        sku: view.key.sku.to_string(),
        location: view.key.location.to_string(),
        kind: kind(view.key.kind),
        lot: view.key.lot.to_string(),
        on_hand: units(view.on_hand),
        available: units(view.available),
        held: units(view.held),
        committed: units(view.committed),
        unavailable: units(view.unavailable),
        short: units(view.short),
        sellable: units(view.sellable),
        received_total: units(view.received_total),
        sold_total: units(view.sold_total),
        in_transit: units(view.in_transit),
        expected: units(view.expected),
        expected_date_ms: view.expected_date.map_or(0, |date| date.0),
    }
}

/// A reservation on the wire.
pub fn reservation(view: &ReservationView) -> v1::Reservation {
    let lines = view.lines.iter().map(|line| v1::ReservationLine {
        sku: line.pool.sku.to_string(),
        location: line.pool.location.to_string(),
        kind: kind(line.pool.kind),
        lot: line.pool.lot.to_string(),
        asked: units(line.asked),
        held: units(line.held),
        committed: units(line.committed),
        released: units(line.released),
        expired: units(line.expired),
        shipped: units(line.shipped),
        cancelled: units(line.cancelled),
        returned: units(line.returned),
        returned_unavailable: units(line.returned_unavailable),
    });
    v1::Reservation {
        reservation_id: view.id.to_bytes().to_vec().into(),
        namespace: view.namespace.to_string(),
        owner: view.owner.to_string(),
        state: state_to_wire(view.state).into(),
        lines: lines.collect(),
        created_ms: view.created.0,
        deadline_ms: view.deadline.0,
        state_since_ms: view.since.0,
        revision: view.revision,
        settled: view.settled,
        paying: view.paying,
    }
}

/// What a line got.
pub fn line(line: &LineGot) -> v1::LineResult {
    let (pool, asked, got) = (line.pool.key(), units(line.asked), units(line.got));
    let reason = if got < asked { v1::Code::InsufficientStock } else { v1::Code::Unspecified };
    v1::LineResult {
        sku: pool.sku.to_string(),
        location: pool.location.to_string(),
        kind: kind(pool.kind),
        lot: pool.lot.to_string(),
        asked,
        got,
        reason: reason.into(),
        policy_version: line.policy,
    }
}

fn reserved(done: &Reserved, answer: &Answer) -> v1::ReserveResponse {
    let extent = if done.all { v1::Extent::All } else { v1::Extent::Partial };
    v1::ReserveResponse {
        reservation_id: done.id.to_bytes().to_vec().into(),
        extent: extent.into(),
        lines: done.lines.iter().map(line).collect(),
        deadline_ms: done.deadline.0,
        server_time_ms: answer.outcome.time.0,
        position: Some(position(answer.outcome.position)),
        replayed: answer.outcome.replayed,
    }
}

/// Which operation an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Reserve.
    Reserve,
    /// Commit.
    Commit,
    /// Release.
    Release,
    /// Extend.
    Extend,
    /// Receive.
    Receive,
    /// Adjust.
    Adjust,
    /// Replace.
    Replace,
    /// Mark paying.
    MarkPaying,
    /// Ship.
    Ship,
    /// Cancel.
    Cancel,
    /// Return.
    Return,
    /// Set.
    Set,
    /// Count.
    Count,
    /// Quarantine, unquarantine or write-off.
    Quarantine(QuarantineStep),
    /// Transfer.
    Transfer,
    /// Arrive.
    Arrive,
    /// Expect.
    Expect,
    /// Configure.
    Configure,
}

impl Asked {
    /// The operation a command stands for; none for those that no client sends.
    pub fn of(body: &command::Body) -> Option<Self> {
        Some(match body {
            command::Body::Reserve(_) => Self::Reserve,
            command::Body::Commit(_) => Self::Commit,
            command::Body::Release(_) => Self::Release,
            command::Body::Extend(_) => Self::Extend,
            command::Body::Receive(_) => Self::Receive,
            command::Body::Adjust(_) => Self::Adjust,
            command::Body::Replace(_) => Self::Replace,
            command::Body::MarkPaying(_) => Self::MarkPaying,
            command::Body::Ship(_) => Self::Ship,
            command::Body::Cancel(_) => Self::Cancel,
            command::Body::Return(_) => Self::Return,
            command::Body::Stockkeeping(asked) => keeping::asked(asked),
            command::Body::Forget(_) | command::Body::Meta(_) | command::Body::Cart(_) => return None,
        })
    }
}

/// The answer to an operation.
pub fn answer(asked: Asked, answer: &Answer) -> Body {
    let outcome = &answer.outcome;
    let done = match &outcome.verdict {
        Verdict::Refused(refusal) => {
            // Neither that there is no such reservation nor that it stood in its own way is remembered of what ends a
            // whole one: an earlier try may still come through.
            let ends = matches!(asked, Asked::Commit | Asked::Release)
                && matches!(refusal, Refusal::NotFound(_) | Refusal::Contended);
            let mut told = error::refusal(refusal, answer.logged && !ends);
            // What changes one pool has no lines.
            if let (Some(what), [short]) = (keeping::lacks(asked), told.shortages.as_slice()) {
                told.message = format!("{} asked, {} {what}", short.asked, short.sellable);
            }
            return Body::Error(told);
        }
        Verdict::Done(done) => done,
    };
    let at = Some(position(outcome.position));
    let (server_time_ms, replayed) = (outcome.time.0, outcome.replayed);
    // All that becomes of a reservation answers alike, but in messages of their own.
    macro_rules! changed {
        ($body:ident, $message:ident, $view:expr) => {
            Body::$body(v1::$message { reservation: Some(reservation($view)), position: at, server_time_ms, replayed })
        };
    }
    match (asked, done) {
        (Asked::Reserve, Done::Reserved(done)) => Body::Reserve(reserved(done, answer)),
        (Asked::Commit, Done::Reservation(view)) => changed!(Commit, CommitResponse, view),
        (Asked::Release, Done::Reservation(view)) => changed!(Release, ReleaseResponse, view),
        (Asked::Extend, Done::Reservation(view)) => changed!(Extend, ExtendResponse, view),
        (Asked::Replace, Done::Reservation(view)) => changed!(Replace, ReplaceResponse, view),
        (Asked::MarkPaying, Done::Reservation(view)) => changed!(MarkPaying, MarkPayingResponse, view),
        (Asked::Ship, Done::Reservation(view)) => changed!(Ship, ShipResponse, view),
        (Asked::Cancel, Done::Reservation(view)) => changed!(Cancel, CancelResponse, view),
        (Asked::Return, Done::Reservation(view)) => changed!(ReturnUnits, ReturnUnitsResponse, view),
        (Asked::Receive, Done::Pool(view)) => {
            Body::Receive(v1::ReceiveResponse { pool: Some(pool(view)), position: at, server_time_ms, replayed })
        }
        (Asked::Adjust, Done::Pool(view)) => {
            Body::Adjust(v1::AdjustResponse { pool: Some(pool(view)), position: at, server_time_ms, replayed })
        }
        (Asked::Set, Done::Stock(change)) => Body::Set(keeping::changed(change, answer)),
        (Asked::Count, Done::Stock(change)) => Body::Count(keeping::changed(change, answer)),
        (Asked::Quarantine(step), Done::Stock(change)) => {
            let told = keeping::changed(change, answer);
            match step {
                QuarantineStep::SetApart => Body::Quarantine(told),
                QuarantineStep::Back => Body::Unquarantine(told),
                QuarantineStep::WriteOff => Body::WriteOff(told),
            }
        }
        (Asked::Transfer, Done::Transfer(done)) => Body::Transfer(keeping::transferred(done, answer)),
        (Asked::Arrive, Done::Transfer(done)) => Body::Arrive(keeping::transferred(done, answer)),
        (Asked::Expect, Done::Pool(view)) => {
            Body::Expect(v1::ExpectResponse { pool: Some(pool(view)), position: at, server_time_ms, replayed })
        }
        (Asked::Configure, Done::Settings(view)) => Body::ConfigureSku(Box::new(v1::ConfigureSkuResponse {
            version: view.version,
            settings: Some(settings(&view.settings)),
            position: at,
            server_time_ms,
            replayed,
        })),
        // The ledger answers each command with its own kind of Done; anything else would be a bug of ours, and what it
        // did is then not known to the caller.
        (asked, done) => Body::Error(error::refused(
            v1::Code::OutcomeUnknown,
            format!("the ledger answered {asked:?} with {done:?}; please report this"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_ledger::{
        outcome::{Outcome, Refusal, Shortage},
        types::{Epoch, LogIndex, Position, Quantity, ShardId, TimeMs},
    };

    #[test]
    fn what_is_short_is_told_by_line_where_there_are_lines() {
        let units = |units| Quantity::new(units).unwrap();
        let short = |line| Shortage { line, asked: units(5), sellable: units(2), earliest: None };
        let told = |asked, lines: &[u32]| {
            let refusal = Refusal::InsufficientStock(lines.iter().map(|line| short(*line)).collect());
            let position = Position { shard: ShardId(1), epoch: Epoch(1), index: LogIndex(1), ordinal: 0 };
            let outcome = Outcome { verdict: Verdict::Refused(refusal), replayed: false, position, time: TimeMs(1) };
            let Body::Error(error) = answer(asked, &Answer { outcome, logged: true }) else { panic!("refused") };
            error.message
        };
        assert_eq!(told(Asked::Adjust, &[0]), "5 asked, 2 on hand");
        assert_eq!(told(Asked::Reserve, &[0]), "lines[0]: 5 asked, 2 to be had");
        assert_eq!(told(Asked::Reserve, &[0, 2]), "lines[0]: 5 asked, 2 to be had; lines[2]: 5 asked, 2 to be had");
    }
}
