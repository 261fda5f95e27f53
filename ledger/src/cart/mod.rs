//! Carts over several shards: the home protocol, as values.
//!
//! The *home* of a reservation is the bucket named in its id. The home shard alone decides about it; the shards of its
//! other lines are *participants* that hold units on its behalf. `docs/carts.md` tells the protocol, its seven rules
//! and how they were checked. Where each lives:
//!
//! 1. numbers from a counter: [`Number`], taken by `apply::cart::home`;
//! 2. whole-truth messages: [`message`], written by `state::cart`;
//! 3. what home keeps, one outbox row per participant: `state::cart` and `cart::outbox`;
//! 4. what a participant keeps: `state::part`, changed by `apply::cart::participant` alone;
//! 5. floors: `cart::outbox` on the one side, `state::part` on the other;
//! 6. exact Ask: `apply::cart::ask`;
//! 7. forgetting: `apply::forget`, `apply::cart::home` for what was rejected.

pub mod message;
pub(crate) mod outbox;

use std::fmt;

/// Names one decision of a home shard about a cart. Taken from a counter in its state and never reused, also not after
/// a restore, which raises the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    /// The home shard's epoch.
    pub epoch: u32,
    /// From 1.
    pub counter: u64,
}

impl Number {
    /// The one after this, in the same epoch.
    pub(crate) fn next(self) -> Self {
        Self { counter: self.counter + 1, ..self }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.counter)
    }
}
