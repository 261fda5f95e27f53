//! What an operation does to the pools of a case, and what its answer says of them.

use super::shelf::Units;
use crate::history::Settings;

/// Units by pool.
pub(super) type Parts = Vec<(u16, u64)>;

/// What was tried.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// On hand changes; with a document it is the arrival of what was announced.
    Stock {
        id: u32,
        sku: u16,
        delta: i64,
        expected: Option<u64>,
        document: Option<u32>,
    },
    Set {
        id: u32,
        sku: u16,
        units: u64,
        expected: Option<u64>,
    },
    /// Counted just now, or at an earlier moment.
    Count {
        id: u32,
        sku: u16,
        units: u64,
        now: bool,
    },
    Aside {
        id: u32,
        sku: u16,
        units: u64,
        way: Way,
    },
    Transfer {
        id: u32,
        from: u16,
        to: u16,
        units: u64,
        immediate: bool,
    },
    Arrive {
        id: u32,
        transfer: u32,
        received: u64,
        lost: u64,
    },
    Expect {
        id: u32,
        sku: u16,
        units: u64,
        document: u32,
    },
    /// Of all pools of a SKU.
    Configure {
        id: u32,
        pools: Vec<u16>,
        version: u64,
        settings: Settings,
    },
    Reserve(Reserve),
    /// `lines` is the whole new set.
    Replace {
        id: u32,
        operation: u32,
        lines: Parts,
        /// Every line that the reservation ever had is in the case.
        whole: bool,
    },
    /// Parts of the case's pools; `whole` means all that is held. If it may come late, the pools it would take from.
    Commit {
        id: u32,
        operation: Option<u32>,
        parts: Parts,
        whole: bool,
        keep_rest: bool,
        revive: Option<Vec<u16>>,
    },
    Release {
        id: u32,
        operation: Option<u32>,
        parts: Parts,
        whole: bool,
    },
    Extend {
        id: u32,
        operation: Option<u32>,
        ttl_ms: u64,
    },
    MarkPaying {
        id: u32,
        operation: u32,
        grace_ms: u64,
    },
    /// What follows a sale; `whole` means all that can.
    After {
        id: u32,
        operation: u32,
        parts: Parts,
        whole: bool,
        what: After,
    },
    ReadStock {
        sku: u16,
    },
    ReadReservation {
        id: u32,
    },
    ReadSettings {
        pools: Vec<u16>,
    },
    ReadTransfers,
    DryRun {
        lines: Parts,
        owner: u32,
    },
}

/// A reserve.
#[derive(Clone, Debug)]
pub(super) struct Reserve {
    pub(super) id: u32,
    /// What was asked for.
    pub(super) asked: Parts,
    /// What was got of it, where that need not be all and somebody was told.
    pub(super) got: Option<Parts>,
    /// What is there is enough, but no less than this.
    pub(super) least: Option<Parts>,
    /// No cart over several SKUs touches its pools: what is there is known to the unit.
    pub(super) exact: bool,
    pub(super) ttl_ms: u64,
    pub(super) cart: bool,
    pub(super) owner: u32,
}

/// From which account to which units are moved that are set apart.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Apart,
    Back,
    Off,
}

/// What follows a sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Ship,
    Cancel,
    Return { fit: bool },
}

/// How it ended, as far as that says anything.
#[derive(Clone, Debug)]
pub(super) enum Judged {
    /// Balances of pools that are those of one moment.
    Balances(Vec<(u16, Seen)>),
    /// The same, after on hand changed by so many.
    Corrected {
        seen: Option<(u16, Seen)>,
        delta: i64,
    },
    /// Done, with a balance that carts in other shards make inexact, or an answer that says nothing more.
    Done,
    Until(u64),
    /// A reserve that happened, whose first deadline nobody was told: this is the earliest that anyone was told later.
    Before(u64),
    Reservation {
        deadline_ms: u64,
        lines: Vec<Units>,
    },
    Settings(u64, Settings),
    /// What is under way.
    Transfers(Vec<(u32, u64)>),
    /// A dry run would hold these.
    WouldHold,
    /// One of these pools at least had fewer units than asked for.
    Short {
        skus: Vec<u16>,
        logged: bool,
    },
    /// A rule of the sale, or another value than was expected, stood in the way.
    Ruled {
        by: Rule,
        logged: bool,
    },
    /// There is no such pool or reservation, or none that was ever held.
    NotHeld,
    /// The hold was over.
    Over,
    Unknown,
}

/// What may stand in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Frozen,
    Limit,
    Stale,
}

/// A balance, but for what follows from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) on_hand: u64,
    pub(super) held: u64,
    pub(super) committed: u64,
    pub(super) unavailable: u64,
    pub(super) in_transit: u64,
    pub(super) expected: u64,
}
