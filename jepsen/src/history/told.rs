//! What clients were told.

use super::{Line, Settings};
use serde::{Deserialize, Serialize};

/// A balance as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Article.
    pub sku: String,
    /// There by the books.
    pub on_hand: u64,
    /// Free to hold.
    pub available: u64,
    /// Held.
    pub held: u64,
    /// Sold but not shipped.
    pub committed: u64,
    /// Units that can't be sold.
    pub unavailable: u64,
    /// Reality below the books.
    pub short: u64,
    /// Ever received.
    pub received: u64,
    /// Ever sold.
    pub sold: u64,
    /// On their way here.
    pub in_transit: u64,
    /// Announced by receipts to come.
    pub expected: u64,
    /// Units of the shortage that the answer tells beside it, 0 if it tells none; none if it tells of no shortages at all.
    pub told_short: Option<u64>,
}

/// One line of a reservation as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineState {
    /// Article.
    pub sku: String,
    /// Asked for at first.
    pub asked: u64,
    /// Held now.
    pub held: u64,
    /// Sold.
    pub committed: u64,
    /// Given back by the caller.
    pub released: u64,
    /// Given back by time.
    pub expired: u64,
    /// Of those sold, units that left the house.
    pub shipped: u64,
    /// Of those sold, units taken back before they left it.
    pub cancelled: u64,
    /// Units that came back and are fit for sale.
    pub returned: u64,
    /// Units that came back and are set apart.
    pub apart: u64,
}

/// A reservation as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its state, by name.
    pub state: String,
    /// Its lines.
    pub lines: Vec<LineState>,
    /// Unix milliseconds by the servers' clock.
    pub deadline_ms: u64,
    /// Every shard of the cart has carried out what was decided.
    pub settled: bool,
    /// Its deadline was moved because the shopper is paying.
    pub paying: bool,
}

/// What a pool is short of, as it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// Units short.
    pub units: u64,
    /// Held and sold units that can't all be served.
    pub at_risk: u64,
    /// The newest holds, newest first, and what they hold.
    pub newest: Vec<(String, u64)>,
}

/// What a reserve would have been answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tried {
    /// Held, so many units.
    Held(Vec<Line>),
    /// Refused, with what the lines lacked.
    Refused {
        /// The code, by name.
        code: String,
        /// Of a shortage: pool, and units that could be had.
        short: Vec<Line>,
    },
}

/// A reservation in a list of its owner's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Which one.
    pub id: String,
    /// For whom.
    pub owner: String,
    /// As it stands.
    pub held: Held,
}

/// What an operation that was done answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// To receive, adjust, expect, and reads of a pool.
    Balance(Balance),
    /// To a reserve: what was got, and until when.
    Reserved {
        /// Units got.
        lines: Vec<Line>,
        /// Unix milliseconds by the servers' clock.
        deadline_ms: u64,
    },
    /// To whatever changes a reservation, and reads of one.
    Reservation(Held),
    /// To set, count, and what is set apart.
    Corrected {
        /// Afterwards.
        balance: Balance,
        /// By how many units on hand changed.
        delta: i64,
        /// Of a count: units that left since it though they were not there by then.
        beyond: u64,
        /// What the pool is short of, if it is.
        shortage: Option<Shortage>,
    },
    /// To transfer and arrive.
    Moved {
        /// The pool they left.
        from: Balance,
        /// The pool they go to.
        to: Balance,
        /// Units still on their way.
        left: u64,
    },
    /// To changes and reads of settings.
    Settings {
        /// Counts changes.
        version: u64,
        /// What is set.
        settings: Settings,
    },
    /// To a dry run.
    Tried(Tried),
    /// To a list of an owner's reservations.
    Owned(Vec<Owned>),
    /// To a list of transfers under way: their ids, and units still on their way.
    InTransit(Vec<(String, u64)>),
    /// To a list of shortages.
    Short(Vec<Line>),
    /// To a list of holds that end soon: their ids and deadlines.
    Expiring(Vec<(String, u64)>),
    /// To reads that any replica may answer.
    Seen {
        /// At most so old, if it may be old.
        age_ms: u64,
        /// What was seen.
        of: Box<Told>,
    },
}

impl Told {
    /// Every balance in it, whoever saw it.
    pub fn balances(&self) -> Vec<&Balance> {
        match self {
            Self::Balance(balance) | Self::Corrected { balance, .. } => vec![balance],
            Self::Moved { from, to, .. } => vec![from, to],
            Self::Seen { of, .. } => of.balances(),
            _ => Vec::new(),
        }
    }
}
