//! What an operation does to the SKUs of a case, and what its answer says of them.

use super::shelf::Units;

/// What was tried.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// On hand changes.
    Stock {
        id: u32,
        sku: u16,
        delta: i64,
    },
    Reserve {
        id: u32,
        lines: Vec<(u16, u64)>,
        ttl_ms: u64,
        cart: bool,
    },
    /// Parts of the case's SKUs; `whole` means all that is held.
    Commit {
        id: u32,
        operation: Option<u32>,
        parts: Vec<(u16, u64)>,
        whole: bool,
        keep_rest: bool,
    },
    Release {
        id: u32,
        operation: Option<u32>,
        parts: Vec<(u16, u64)>,
        whole: bool,
    },
    Extend {
        id: u32,
        operation: Option<u32>,
        ttl_ms: u64,
    },
    ReadStock {
        sku: u16,
    },
    ReadReservation {
        id: u32,
    },
}
/// How it ended, as far as that says anything.
#[derive(Clone, Debug)]
pub(super) enum Judged {
    /// On hand and held.
    Balance(u64, u64),
    /// Done, with a balance that carts in other shards make inexact, or an answer that says nothing more.
    Done,
    Until(u64),
    /// A reserve that happened, whose first deadline nobody was told: this is the earliest that anyone was told later.
    Before(u64),
    Reservation {
        deadline_ms: u64,
        lines: Vec<Units>,
    },
    /// One of these SKUs at least had fewer units than asked for.
    Short {
        skus: Vec<u16>,
        logged: bool,
    },
    /// There is no such reservation, or none that was ever held.
    NotHeld,
    /// The hold was over.
    Over,
    Unknown,
}
