//! What time ends: overdue holds give their units back.
//!
//! Every entry ends some, oldest first; a command that lacks units ends those of its own pool; and a command that
//! names an overdue hold ends that one. Each hold is over from its deadline on, whether or not it was swept: sweeping
//! is only the bookkeeping.

use super::{
    Entry,
    settle::{Split, Why},
};
use crate::{
    outcome::Refusal,
    planted::{self, Bug},
    state::{EndedBy, PoolRef},
    types::{DurationMs, ReservationId},
};

impl Entry<'_> {
    /// Ends overdue holds, oldest first, as far as the entry's bound goes.
    pub(super) fn sweep_oldest(&mut self) {
        while self.sweeps_left > 0 {
            let early = if planted::on(Bug::ExpiryEarly) { DurationMs::seconds(2) } else { DurationMs(0) };
            match self.ledger.deadlines.first() {
                Some(due) if due.deadline().plus(planted::sweep_lag()) <= self.clock().plus(early) => {
                    let id = due.id();
                    self.sweep(id);
                }
                _ => return,
            }
        }
    }

    /// Ends overdue holds of one pool, oldest first, until `needed` units are available, none is left, or the entry's
    /// bound is reached.
    pub(super) fn sweep_pool(&mut self, pool: PoolRef, needed: u64) {
        while self.sweeps_left > 0 && self.ledger.stock.pool(pool).books.available < needed {
            match self.ledger.stock.pool(pool).first_due() {
                Some(due) if due.deadline() <= self.clock() => self.sweep(due.id()),
                _ => return,
            }
        }
    }

    fn sweep(&mut self, id: ReservationId) {
        let lines = self.ledger.reservations.get(&id).map_or(1, |found| {
            let remote = found.cart.as_ref().map_or(0, |cart| cart.remote.len());
            (found.lines.as_slice().len() + remote).max(1)
        });
        self.sweeps_left = self.sweeps_left.saturating_sub(u32::try_from(lines).unwrap_or(u32::MAX));
        self.expire(id);
    }

    /// Ends one overdue hold.
    pub(super) fn expire(&mut self, id: ReservationId) {
        if let Some(found) = self.ledger.reservations.get(&id) {
            let since = found.deadline;
            self.end_round(id, Refusal::ReservationExpired { since });
        }
        let why = Why { by: crate::journal::By::Nobody, ended: EndedBy::Expiry };
        self.settle(id, why, |_, line| Split { expire: line.held, ..Split::default() });
    }
}
