//! Checkers: each takes a history and tells what of it no correct ledger could have done.

pub mod acknowledged;
pub mod books;
pub mod counts;
pub mod expiry;
pub mod fresh;
pub mod linearizable;
pub mod lists;
pub mod one_effect;
#[cfg(feature = "second-opinion")]
pub mod second_opinion;
pub mod shortages;
pub mod surely_not_done;
pub mod told_again;
pub mod whole;

use crate::{
    history::{Broken, History},
    model::ClockBound,
};

/// What a checker found, and how much it looked at.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Promises that were broken.
    pub broken: Vec<Broken>,
    /// Things it looked at: operations, reservations or SKUs, as the checker says.
    pub looked_at: u64,
    /// Of these, what it could not decide with the work it may do.
    pub undecided: u64,
}

/// A checker's name, and what it found.
pub type Named = (&'static str, Findings);

/// Every checker there is.
pub fn all(history: &History, bound: ClockBound) -> Vec<Named> {
    vec![
        ("linearizable", linearizable::per_sku(history, bound)),
        ("strict-serializable", linearizable::per_group(history, bound)),
        ("one-effect", one_effect::check(history)),
        ("acknowledged", acknowledged::check(history)),
        ("surely-not-done", surely_not_done::check(history)),
        ("whole-carts", whole::check(history)),
        ("books", books::check(history, bound)),
        ("expiry", expiry::check(history, bound)),
        ("fresh", fresh::check(history)),
        ("counts", counts::check(history)),
        ("shortages", shortages::check(history)),
        ("lists", lists::check(history, bound)),
    ]
}

#[cfg(test)]
pub(crate) mod tell {
    //! Short ways to write histories.

    use crate::history::{Action, Balance, End, Held, History, Line, LineState, Operation, Place, Told};

    pub const EPOCH_MS: u64 = 1_000_000;

    pub fn line(sku: &str, units: u64) -> Line {
        Line { sku: sku.to_owned(), units }
    }

    /// A history of operations, with the times in milliseconds at which they were sent and ended.
    pub fn history(operations: Vec<(u64, u64, Action, End)>) -> History {
        let operations = operations.into_iter().zip(1..).map(|((invoked, ended, action, end), process)| Operation {
            process,
            invoked_ns: invoked * 1_000_000,
            ended_ns: ended * 1_000_000,
            action,
            end,
        });
        History { epoch_ms: EPOCH_MS, effect_ms_max: 31_000, operations: operations.collect(), after: None }
    }

    pub fn done(told: Told) -> End {
        End::Done { told, place: Place { shard: 1, epoch: 1, index: 1, ordinal: 0 }, replayed: false }
    }

    pub fn balance(sku: &str, on_hand: u64, held: u64) -> Balance {
        Balance {
            sku: sku.to_owned(),
            on_hand,
            available: on_hand - held,
            held,
            committed: 0,
            unavailable: 0,
            short: 0,
            received: on_hand,
            sold: 0,
            in_transit: 0,
            expected: 0,
            told_short: None,
        }
    }

    pub fn unknown() -> End {
        End::Unknown { why: "no answer".to_owned() }
    }

    pub fn refused(code: &str, short: Vec<Line>) -> End {
        End::Refused { code: code.to_owned(), logged: true, short, state: None }
    }

    pub fn receive(id: &str, sku: &str, units: u64) -> Action {
        Action::Receive { id: id.to_owned(), line: line(sku, units) }
    }

    pub fn reserve(id: &str, lines: &[(&str, u64)], ttl_ms: u64) -> Action {
        let lines = lines.iter().map(|(sku, units)| line(sku, *units)).collect();
        Action::Reserve { id: id.to_owned(), lines, ttl_ms, owner: String::new(), least: None }
    }

    pub fn commit(id: &str) -> Action {
        Action::Commit { id: id.to_owned(), operation: None, parts: Vec::new(), keep_rest: false, revive: false }
    }

    pub fn release(id: &str) -> Action {
        Action::Release { id: id.to_owned(), operation: None, parts: Vec::new() }
    }

    /// A change of a reservation that names no parts, under an id of its own.
    pub fn replace(id: &str, operation: &str, lines: &[(&str, u64)]) -> Action {
        let lines = lines.iter().map(|(sku, units)| line(sku, *units)).collect();
        Action::Replace { id: id.to_owned(), operation: operation.to_owned(), lines }
    }

    pub fn revive(id: &str, operation: &str) -> Action {
        let operation = Some(operation.to_owned());
        Action::Commit { id: id.to_owned(), operation, parts: Vec::new(), keep_rest: false, revive: true }
    }

    pub fn read(sku: &str) -> Action {
        Action::ReadStock { sku: sku.to_owned() }
    }

    /// Held until a time far away.
    pub fn held(lines: &[(&str, u64)]) -> End {
        until(lines, 900_000)
    }

    /// Held until so many milliseconds after the beginning.
    pub fn until(lines: &[(&str, u64)], deadline_ms: u64) -> End {
        let lines = lines.iter().map(|(sku, units)| line(sku, *units)).collect();
        done(Told::Reserved { lines, deadline_ms: EPOCH_MS + deadline_ms })
    }

    /// Units held, committed, released and expired of each line.
    pub fn view(state: &str, lines: &[(&str, [u64; 4])]) -> Held {
        let lines = lines.iter().map(|(sku, [held, committed, released, expired])| LineState {
            sku: (*sku).to_owned(),
            asked: held + committed + released + expired,
            held: *held,
            committed: *committed,
            released: *released,
            expired: *expired,
            shipped: 0,
            cancelled: 0,
            returned: 0,
            apart: 0,
        });
        let (state, deadline_ms) = (state.to_owned(), EPOCH_MS + 900_000);
        Held { state, lines: lines.collect(), deadline_ms, settled: true, paying: false }
    }

    pub fn reservation(state: &str, lines: &[(&str, [u64; 4])]) -> End {
        done(Told::Reservation(view(state, lines)))
    }
}
