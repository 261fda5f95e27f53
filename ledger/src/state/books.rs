//! The accounts of one pool and the one way they change.

use super::stop;
use crate::{
    movement::{Delta, MovementKind},
    types::POOL_QUANTITY_MAX,
};

/// on_hand + short = available + held + committed + unavailable, and never available and short above 0 at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) on_hand: u64,
    pub(crate) available: u64,
    pub(crate) held: u64,
    pub(crate) committed: u64,
    pub(crate) unavailable: u64,
    pub(crate) short: u64,
}

/// Sums of all movements there ever were, by kind: the other side of conservation.
///
/// on_hand = received + adjusted_up - adjusted_down - sold. What comes in in all is bounded by
/// [`POOL_QUANTITY_MAX`]; every unit that goes out came in before, so no sum can be beyond it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totaled {
    pub(crate) received: u64,
    pub(crate) adjusted_up: u64,
    pub(crate) adjusted_down: u64,
    /// Sold off on hand.
    pub(crate) sold: u64,
    /// Sold beyond on hand.
    pub(crate) sold_short: u64,
}

impl Books {
    /// What the return of `units` held does: what the pool is short of is paid off first.
    pub(crate) fn give_back(&self, units: u64) -> Delta {
        let paid = self.short.min(units);
        Delta { held: -signed(units), short: -signed(paid), available: signed(units - paid), ..Delta::default() }
    }

    /// What the arrival of `units` does: what the pool is short of is paid off first.
    pub(crate) fn arrive(&self, units: u64) -> Delta {
        let paid = self.short.min(units);
        Delta { on_hand: signed(units), short: -signed(paid), available: signed(units - paid), ..Delta::default() }
    }

    /// What a correction downwards does: what is not available any more is a shortage. `units` is at most `on_hand`.
    pub(crate) fn vanish(&self, units: u64) -> Delta {
        let taken = self.available.min(units);
        Delta { on_hand: -signed(units), available: -signed(taken), short: signed(units - taken), ..Delta::default() }
    }

    /// What a sale of `units` held does, and how many of them are beyond on hand.
    pub(crate) fn sell(&self, units: u64) -> (Delta, u64) {
        let there = self.on_hand.min(units);
        let beyond = units - there;
        let delta = Delta { on_hand: -signed(there), short: -signed(beyond), held: -signed(units), ..Delta::default() };
        (delta, beyond)
    }

    /// Changes the accounts, and stops the shard if an equation would break.
    pub(crate) fn post(&mut self, totals: &mut Totaled, kind: MovementKind, delta: &Delta, sold_short: u64) {
        let moved = |account: u64, by: i64| {
            account
                .checked_add_signed(by)
                .unwrap_or_else(|| stop(format_args!("a {kind:?} takes {by} from {account}: {self:?}, {delta:?}")))
        };
        let next = Self {
            on_hand: moved(self.on_hand, delta.on_hand),
            available: moved(self.available, delta.available),
            held: moved(self.held, delta.held),
            committed: moved(self.committed, delta.committed),
            unavailable: moved(self.unavailable, delta.unavailable),
            short: moved(self.short, delta.short),
        };
        match kind {
            MovementKind::Receive => totals.received += delta.on_hand.unsigned_abs(),
            MovementKind::Adjust if delta.on_hand >= 0 => totals.adjusted_up += delta.on_hand.unsigned_abs(),
            MovementKind::Adjust => totals.adjusted_down += delta.on_hand.unsigned_abs(),
            MovementKind::Commit => {
                totals.sold += delta.on_hand.unsigned_abs();
                totals.sold_short += sold_short;
            }
            MovementKind::Reserve
            | MovementKind::Release
            | MovementKind::Expire
            | MovementKind::Extend
            | MovementKind::Prepare
            | MovementKind::Withdraw => {}
        }
        if let Some(problem) = next.problem(totals) {
            stop(format_args!("a {kind:?} breaks the books ({problem}): {self:?}, {delta:?}"));
        }
        *self = next;
    }

    /// Which equation is broken, if one is.
    pub(crate) fn problem(&self, totals: &Totaled) -> Option<&'static str> {
        // Each account is below 2^53 or the sums would be refused here: no sum of four can wrap.
        let accounts = [self.on_hand, self.available, self.held, self.committed, self.unavailable, self.short];
        if accounts.iter().any(|account| *account > POOL_QUANTITY_MAX) {
            return Some("an account is beyond 2^53");
        }
        if self.on_hand + self.short != self.available + self.held + self.committed + self.unavailable {
            return Some("on_hand + short is not available + held + committed + unavailable");
        }
        if self.available > 0 && self.short > 0 {
            return Some("available and short are both above 0");
        }
        let sums = [totals.received, totals.adjusted_up, totals.adjusted_down, totals.sold, totals.sold_short];
        if sums.iter().any(|sum| *sum > POOL_QUANTITY_MAX) || totals.came_in() > POOL_QUANTITY_MAX {
            return Some("a sum of movements is beyond 2^53");
        }
        if self.on_hand + totals.adjusted_down + totals.sold != totals.came_in() {
            return Some("on_hand is not the sum of its movements");
        }
        None
    }
}

impl Totaled {
    /// Units that ever came in.
    pub(crate) fn came_in(&self) -> u64 {
        self.received + self.adjusted_up
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or_else(|_| stop(format_args!("{units} units are beyond 2^53")))
}
