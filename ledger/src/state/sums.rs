//! Sums over all pools of a shard, brought up to date by each movement: a shard may have millions, and whoever asks how it stands
//! must not have all others wait until they were looked through.

use super::Books;
use crate::movement::Delta;

/// Of each account, over all pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) on_hand: u128,
    pub(crate) available: u128,
    pub(crate) held: u128,
    pub(crate) committed: u128,
    pub(crate) unavailable: u128,
    pub(crate) short: u128,
    pub(crate) in_transit: u128,
    /// Units held, sold or set apart beyond what is on hand and known to be short. Always 0.
    pub(crate) oversold: u64,
}

impl Sums {
    /// Over these, one by one.
    pub(crate) fn of<'a>(all: impl IntoIterator<Item = &'a Books>) -> Self {
        let mut sums = Self::default();
        all.into_iter().for_each(|books| sums.add(books));
        sums
    }

    /// Another pool.
    pub(crate) fn add(&mut self, books: &Books) {
        self.on_hand += u128::from(books.on_hand);
        self.available += u128::from(books.available);
        self.held += u128::from(books.held);
        self.committed += u128::from(books.committed);
        self.unavailable += u128::from(books.unavailable);
        self.short += u128::from(books.short);
        self.in_transit += u128::from(books.in_transit);
        self.oversold = self.oversold.saturating_add(books.oversold());
    }

    /// A pool's accounts changed by `delta`; its units oversold were and are so many.
    pub(crate) fn change(&mut self, delta: &Delta, oversold: (u64, u64)) {
        // No sum goes below 0, for no account does; each may for a moment, seen by itself.
        let change = |sum: &mut u128, by: i64| *sum = sum.wrapping_add_signed(by.into());
        change(&mut self.on_hand, delta.on_hand);
        change(&mut self.available, delta.available);
        change(&mut self.held, delta.held);
        change(&mut self.committed, delta.committed);
        change(&mut self.unavailable, delta.unavailable);
        change(&mut self.short, delta.short);
        change(&mut self.in_transit, delta.in_transit);
        self.oversold = self.oversold.saturating_sub(oversold.0).saturating_add(oversold.1);
    }
}
