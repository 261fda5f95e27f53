//! What clients tried and what they were told, in order.
//!
//! Times are nanoseconds since the run began, by one monotonic clock that all clients share. A process does one thing at a
//! time; after an unknown end its number is never used again, as in Jepsen.

mod action;
mod told;

pub use action::{Action, Settings, Weak, article};
pub use told::{Balance, Held, LineState, Owned, Shortage, Told, Tried};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Begins what stands for the id of a reserve that nobody knows.
const NAMELESS: &str = "lost-";

/// What stands for the id of a reserve that nobody knows: the SDK made one, and the client went away before it was told.
/// Each has another number.
pub fn nameless(number: impl std::fmt::Display) -> String {
    format!("{NAMELESS}{number}")
}

/// Some units of a pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The pool: a SKU by its name, at the location where most stock lies; elsewhere `SKU@location`.
    pub sku: String,
    /// How many.
    pub units: u64,
}

/// Where in the ledger an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Which shard.
    pub shard: u32,
    /// Its epoch.
    pub epoch: u32,
    /// Index in its log.
    pub index: u64,
    /// Place within the entry.
    pub ordinal: u32,
}

/// How an operation ended for its client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It was done.
    Done {
        /// The answer.
        told: Told,
        /// Where it stands.
        place: Place,
        /// An earlier try or another client had done it already.
        replayed: bool,
    },
    /// It surely had no effect.
    Refused {
        /// The code, by name.
        code: String,
        /// The answer stands in the log, so it speaks for every earlier try of the same id.
        logged: bool,
        /// Of a shortage: SKU, and units that could be had.
        short: Vec<Line>,
        /// Of a refusal by state: the state, by name.
        state: Option<String>,
    },
    /// Nobody knows.
    Unknown {
        /// What was told last, for people.
        why: String,
    },
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Which process did it.
    pub process: u64,
    /// When it was sent.
    pub invoked_ns: u64,
    /// When its end was known; an unknown one has the time at which it was given up.
    pub ended_ns: u64,
    /// What was tried.
    pub action: Action,
    /// How it ended.
    pub end: End,
}

impl Operation {
    /// Whether it was done.
    pub fn is_done(&self) -> bool {
        matches!(self.end, End::Done { .. })
    }

    /// Whether it is a reserve of which nobody knows the id, see [`nameless`].
    pub fn is_nameless(&self) -> bool {
        matches!(&self.action, Action::Reserve { id, .. } if id.starts_with(NAMELESS))
    }

    /// Whether nobody knows.
    pub fn is_unknown(&self) -> bool {
        matches!(self.end, End::Unknown { .. })
    }

    /// Its answer, if it was done.
    pub fn told(&self) -> Option<&Told> {
        match &self.end {
            End::Done { told, .. } => Some(told),
            End::Refused { .. } | End::Unknown { .. } => None,
        }
    }
}

/// What clients tried and were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Unix milliseconds at which the run began, by a true clock.
    pub epoch_ms: u64,
    /// A command takes effect within so many milliseconds of its sending, or never: its `not_after`, and by how much
    /// clocks may be wrong.
    pub effect_ms_max: u64,
    /// In the order in which they ended.
    pub operations: Vec<Operation>,
    /// What was read when nobody did anything any more; none if the run never came so far.
    pub after: Option<After>,
}

/// What was read, linearizable, after all clients had gone home and every fault was over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// When it was read: from, to, in nanoseconds since the run began.
    pub read_ns: [u64; 2],
    /// Every SKU.
    pub balances: BTreeMap<String, Balance>,
    /// Every reservation that anyone knows the id of; none where there is no such.
    pub reservations: BTreeMap<String, Option<Held>>,
}

impl History {
    /// The true time of a moment of the run, in Unix milliseconds.
    pub fn unix_ms(&self, at_ns: u64) -> u64 {
        self.epoch_ms + at_ns / 1_000_000
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Which one: P1 to P10 of docs/invariants.md, or what else was promised.
    pub promise: String,
    /// The checker that found it.
    pub checker: String,
    /// What was seen.
    pub what: String,
    /// The operations around it, by their places in the history; as few as show it.
    pub around: Vec<usize>,
}

impl Broken {
    /// A broken promise.
    pub fn new(promise: &str, checker: &str, what: impl Into<String>, around: Vec<usize>) -> Self {
        Self { promise: promise.to_owned(), checker: checker.to_owned(), what: what.into(), around }
    }
}
