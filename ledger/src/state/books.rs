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
    /// Under way from other locations: in no other account, and no part of on hand.
    pub(crate) in_transit: u64,
}

/// Sums of all movements there ever were, by kind: the other side of conservation.
///
/// on_hand = received + adjusted_up + moved_in + returned - adjusted_down - sold - moved_out, where adjusted is whatever
/// people set, counted or wrote off; in_transit = sent_here - moved_in - lost. What comes in in all is bounded by
/// [`POOL_QUANTITY_MAX`], and every unit that goes out came in before. The same unit may be sold and returned again and
/// again: what goes out and what comes back are bounded by nothing, and are taken modulo 2^64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totaled {
    pub(crate) received: u64,
    /// Sold off on hand.
    pub(crate) sold: u64,
    /// Apart: most pools have none of it.
    rare: Option<Box<RareTotals>>,
}

/// Sums of movements that most pools never have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RareTotals {
    pub(crate) adjusted_up: u64,
    pub(crate) adjusted_down: u64,
    /// Sold beyond on hand.
    pub(crate) sold_short: u64,
    /// Sent here from other locations.
    pub(crate) sent_here: u64,
    /// Arrived from other locations.
    pub(crate) moved_in: u64,
    /// Lost on the way here.
    pub(crate) lost: u64,
    /// Left for other locations.
    pub(crate) moved_out: u64,
    /// Sold off on hand and back again, cancelled or returned.
    pub(crate) returned: u64,
    /// Sold beyond on hand, and cancelled or returned: they were never on hand, so they are not there again.
    pub(crate) returned_short: u64,
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

    /// What a sale of `units` held does, and how many of them are beyond what is on hand and fit for sale.
    pub(crate) fn sell(&self, units: u64) -> (Delta, u64) {
        let there = self.on_hand.saturating_sub(self.unavailable).min(units);
        let beyond = units - there;
        let delta = Delta { on_hand: -signed(there), short: -signed(beyond), held: -signed(units), ..Delta::default() };
        (delta, beyond)
    }

    /// What the arrival of `units` that were in transit does.
    pub(crate) fn land(&self, units: u64) -> Delta {
        Delta { in_transit: -signed(units), ..self.arrive(units) }
    }

    /// What setting `units` apart does: what is not available any more is a shortage.
    pub(crate) fn set_apart(&self, units: u64) -> Delta {
        let taken = self.available.min(units);
        let short = signed(units - taken);
        Delta { available: -signed(taken), unavailable: signed(units), short, ..Delta::default() }
    }

    /// What the return of `units` set apart does: what the pool is short of is paid off first.
    pub(crate) fn put_back(&self, units: u64) -> Delta {
        let paid = self.short.min(units);
        let available = signed(units - paid);
        Delta { unavailable: -signed(units), short: -signed(paid), available, ..Delta::default() }
    }

    /// What writing off `units` set apart does. If they are no longer on hand, the shortage of them ends.
    pub(crate) fn write_off(&self, units: u64) -> Delta {
        let there = self.on_hand.min(units);
        let short = -signed(units - there);
        Delta { on_hand: -signed(there), unavailable: -signed(units), short, ..Delta::default() }
    }

    /// What the shipping of `units` committed does. They must be on hand.
    pub(crate) fn ship(units: u64) -> Delta {
        Delta { on_hand: -signed(units), committed: -signed(units), ..Delta::default() }
    }

    /// What a shipping that was withdrawn does.
    pub(crate) fn unship(units: u64) -> Delta {
        Delta { on_hand: signed(units), committed: signed(units), ..Delta::default() }
    }

    /// Units on hand that may leave the house.
    pub(crate) fn shippable(&self) -> u64 {
        self.on_hand.saturating_sub(self.unavailable).min(self.committed)
    }

    /// What the cancelling of `units` committed and not shipped does: what the pool is short of is paid off first.
    pub(crate) fn uncommit(&self, units: u64) -> Delta {
        let paid = self.short.min(units);
        Delta { committed: -signed(units), short: -signed(paid), available: signed(units - paid), ..Delta::default() }
    }

    /// What the return of `units` that are fit for nothing does.
    pub(crate) fn return_apart(units: u64) -> Delta {
        Delta { on_hand: signed(units), unavailable: signed(units), ..Delta::default() }
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
            in_transit: moved(self.in_transit, delta.in_transit),
        };
        let mut counted = true;
        match kind {
            MovementKind::Receive => totals.received += delta.on_hand.unsigned_abs(),
            MovementKind::Adjust | MovementKind::Set | MovementKind::Count if delta.on_hand >= 0 => {
                totals.rare_mut().adjusted_up += delta.on_hand.unsigned_abs();
            }
            MovementKind::Adjust | MovementKind::Set | MovementKind::Count | MovementKind::WriteOff => {
                let rare = totals.rare_mut();
                rare.adjusted_down = rare.adjusted_down.wrapping_add(delta.on_hand.unsigned_abs());
            }
            MovementKind::Commit | MovementKind::Revive | MovementKind::Ship => {
                totals.sold = totals.sold.wrapping_add(delta.on_hand.unsigned_abs());
                if sold_short > 0 {
                    let rare = totals.rare_mut();
                    rare.sold_short = rare.sold_short.wrapping_add(sold_short);
                }
            }
            // Nothing on hand moves unless it is to be shipped.
            MovementKind::Prepare => totals.sold = totals.sold.wrapping_add(delta.on_hand.unsigned_abs()),
            MovementKind::Withdraw => totals.sold = totals.sold.wrapping_sub(delta.on_hand.unsigned_abs()),
            MovementKind::Cancel | MovementKind::Return => {
                let rare = totals.rare_mut();
                rare.returned = rare.returned.wrapping_add(delta.on_hand.unsigned_abs());
                rare.returned_short = rare.returned_short.wrapping_add(sold_short);
            }
            MovementKind::TransferOut => {
                let rare = totals.rare_mut();
                rare.moved_out = rare.moved_out.wrapping_add(delta.on_hand.unsigned_abs());
            }
            MovementKind::TransferSent => totals.rare_mut().sent_here += delta.in_transit.unsigned_abs(),
            MovementKind::TransferIn => {
                let rare = totals.rare_mut();
                rare.moved_in += delta.on_hand.unsigned_abs();
                // What was never in transit was sent at the same moment.
                rare.sent_here += delta.on_hand.unsigned_abs() - delta.in_transit.unsigned_abs();
            }
            MovementKind::TransferLost => totals.rare_mut().lost += delta.in_transit.unsigned_abs(),
            // Nothing is counted of these.
            MovementKind::Reserve
            | MovementKind::Release
            | MovementKind::Expire
            | MovementKind::Extend
            | MovementKind::Paying
            | MovementKind::Quarantine
            | MovementKind::Unquarantine
            | MovementKind::Expect => counted = false,
        }
        // What comes in and goes out is where it was unless one of its sides moved.
        let moved = counted || (next.on_hand, next.in_transit) != (self.on_hand, self.in_transit);
        let problem = next.unbalanced().or_else(|| moved.then(|| next.unaccounted(totals)).flatten());
        if let Some(problem) = problem {
            stop(format_args!("a {kind:?} breaks the books ({problem}): {self:?}, {delta:?}"));
        }
        *self = next;
    }

    /// Units held, sold or set apart beyond what is on hand and known to be short. Always 0.
    pub(crate) fn oversold(&self) -> u64 {
        (self.held + self.committed + self.unavailable).saturating_sub(self.on_hand + self.short)
    }

    /// Which equation is broken, if one is.
    pub(crate) fn problem(&self, totals: &Totaled) -> Option<&'static str> {
        self.unbalanced().or_else(|| self.unaccounted(totals))
    }

    /// Which equation between the accounts is.
    fn unbalanced(&self) -> Option<&'static str> {
        // Each account is below 2^53 or the sums would be refused here: no sum of four can wrap.
        let accounts =
            [self.on_hand, self.available, self.held, self.committed, self.unavailable, self.short, self.in_transit];
        if accounts.iter().any(|account| *account > POOL_QUANTITY_MAX) {
            return Some("an account is beyond 2^53");
        }
        if self.on_hand + self.short != self.available + self.held + self.committed + self.unavailable {
            return Some("on_hand + short is not available + held + committed + unavailable");
        }
        if self.available > 0 && self.short > 0 {
            return Some("available and short are both above 0");
        }
        None
    }

    /// Which equation between the accounts and what came in and went out is.
    fn unaccounted(&self, totals: &Totaled) -> Option<&'static str> {
        let rare = totals.rare();
        let sums = [totals.received, rare.adjusted_up, rare.sent_here, rare.moved_in, rare.lost];
        if sums.iter().any(|sum| *sum > POOL_QUANTITY_MAX) || totals.came_in() > POOL_QUANTITY_MAX {
            return Some("a sum of movements is beyond 2^53");
        }
        let there = totals.received + rare.adjusted_up + rare.moved_in;
        let left = [rare.adjusted_down, totals.sold, rare.moved_out];
        let left = left.iter().fold(self.on_hand, |sum, out| sum.wrapping_add(*out));
        if left != there.wrapping_add(rare.returned) {
            return Some("on_hand is not the sum of its movements");
        }
        if self.in_transit + rare.moved_in + rare.lost != rare.sent_here {
            return Some("in_transit is not the sum of its movements");
        }
        None
    }
}

static NONE_RARE: RareTotals = RareTotals {
    adjusted_up: 0,
    adjusted_down: 0,
    sold_short: 0,
    sent_here: 0,
    moved_in: 0,
    lost: 0,
    moved_out: 0,
    returned: 0,
    returned_short: 0,
};

impl Totaled {
    pub(crate) fn new(received: u64, sold: u64, rare: RareTotals) -> Self {
        Self { received, sold, rare: (rare != NONE_RARE).then(|| Box::new(rare)) }
    }

    pub(crate) fn rare(&self) -> &RareTotals {
        self.rare.as_deref().unwrap_or(&NONE_RARE)
    }

    fn rare_mut(&mut self) -> &mut RareTotals {
        self.rare.get_or_insert_default()
    }

    /// Of `units` sold that are the shop's again, those that are on hand again, and those that were sold beyond on
    /// hand: as long as there are any, they come first. So no more is ever back on hand than was sold off it.
    pub(crate) fn back(&self, units: u64) -> (u64, u64) {
        let beyond = self.rare().sold_short.wrapping_sub(self.rare().returned_short).min(units);
        (units - beyond, beyond)
    }

    /// Units that ever came in, or were sent here.
    pub(crate) fn came_in(&self) -> u64 {
        self.received + self.rare().adjusted_up + self.rare().sent_here
    }
}

pub(crate) fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or_else(|_| stop(format_args!("{units} units are beyond 2^53")))
}
