//! Commit, release, extend and mark paying: what becomes of a hold.

use super::part;
use crate::model::{
    Step,
    act::{Judged, Parts},
    shelf::{Shelf, Units},
};

impl Shelf {
    pub(super) fn commit(
        &mut self,
        id: u32,
        operation: Option<u32>,
        parts: Option<&Parts>,
        keep_rest: bool,
        end: &Judged,
    ) -> bool {
        self.change(id, operation, end, |line| {
            let sold = parts.map_or(line.held, |parts| part(parts, line.sku));
            let rest = line.held.checked_sub(sold)?;
            let kept = if keep_rest { rest } else { 0 };
            line.committed += sold;
            line.released += rest - kept;
            line.held = kept;
            Some(())
        })
    }

    pub(super) fn release(&mut self, id: u32, operation: Option<u32>, parts: Option<&Parts>, end: &Judged) -> bool {
        self.change(id, operation, end, |line| {
            let given = parts.map_or(line.held, |parts| part(parts, line.sku));
            line.held = line.held.checked_sub(given)?;
            line.released += given;
            Some(())
        })
    }

    /// A commit or a release: `apply` moves the units of a line. What is sold now leaves the books, unless it has to be
    /// shipped: first what is there and not set apart, then what is short.
    fn change(
        &mut self,
        id: u32,
        operation: Option<u32>,
        end: &Judged,
        apply: impl Fn(&mut Units) -> Option<()>,
    ) -> bool {
        if let Some(fits) = self.before_change(id, operation, end, self.is_over(id)) {
            return fits;
        }
        if operation.is_some_and(|operation| !self.done.insert(operation, ())) {
            // The first answer again, whatever became of the reservation since.
            return true;
        }
        let Some(hold) = self.holds.get_mut(id) else { return false };
        for at in 0..hold.lines.len() {
            let before = hold.lines[at];
            if apply(&mut hold.lines[at]).is_none() {
                return false;
            }
            let line = hold.lines[at];
            if !line.on_ship {
                let pool = self.pools.entry(line.sku).or_default();
                let sold = line.committed - before.committed;
                let there = pool.on_hand.saturating_sub(pool.unavailable).min(sold);
                pool.on_hand -= there;
                pool.sold_short += sold - there;
            }
        }
        self.tells(id, end)
    }

    /// A commit that may come after the deadline: then the units have to be there now.
    pub(super) fn revive(&mut self, id: u32, operation: Option<u32>, parts: Option<&Parts>, end: &Judged) -> bool {
        let wanted = self.wanted_again(id, parts);
        let is_lost = self.is_over(id) && self.cannot_be_had(id, &wanted);
        if let Some(fits) = self.before_change(id, operation, end, is_lost) {
            return fits;
        }
        if operation.is_some_and(|operation| self.done.contains(operation)) {
            return true;
        }
        let Some(hold) = self.holds.get(id) else { return false };
        let lapsed = self.is_over(id) && hold.lines.iter().all(|line| line.committed == 0);
        if !lapsed {
            return self.commit(id, operation, parts, false, end);
        }
        let fits = wanted.iter().all(|(sku, units)| *units <= self.sellable(*sku));
        if !fits || !self.is_allowed(&wanted, hold.owner, u32::MAX) {
            return false;
        }
        if let Some(operation) = operation {
            self.done.insert(operation, ());
        }
        let terms: Vec<_> = hold.lines.iter().map(|line| self.settings(line.sku)).collect();
        let Some(hold) = self.holds.get_mut(id) else { return false };
        for (line, settings) in hold.lines.iter_mut().zip(terms) {
            let sold = part(&wanted, line.sku);
            let Some(left) = line.expired.checked_sub(sold) else { return false };
            (line.expired, line.committed) = (left, line.committed + sold);
            if sold > 0 {
                (line.on_ship, line.cancel) = (settings.on_ship, settings.cancel);
            }
            let pool = self.pools.entry(line.sku).or_default();
            if !line.on_ship {
                let Some(left) = pool.on_hand.checked_sub(sold) else { return false };
                pool.on_hand = left;
            }
        }
        self.tells(id, end)
    }

    fn wanted_again(&self, id: u32, parts: Option<&Parts>) -> Parts {
        let lines = self.holds.get(id).into_iter().flat_map(|hold| &hold.lines);
        lines.map(|line| (line.sku, parts.map_or(line.expired, |parts| part(parts, line.sku)))).collect()
    }

    fn cannot_be_had(&self, id: u32, wanted: &Parts) -> bool {
        let Some(hold) = self.holds.get(id) else { return true };
        let skus: Vec<u16> = wanted.iter().filter(|(_, units)| *units > 0).map(|(sku, _)| *sku).collect();
        self.is_short(&skus, wanted) || !self.is_allowed(wanted, hold.owner, u32::MAX)
    }

    pub(super) fn is_over(&self, id: u32) -> bool {
        self.holds.get(id).is_none_or(|hold| hold.lines.iter().all(|line| line.held == 0))
    }

    pub(super) fn extend(&mut self, id: u32, operation: Option<u32>, ttl_ms: u64, step: &Step) -> bool {
        if let Some(fits) = self.before_change(id, operation, &step.end, self.is_over(id)) {
            return fits;
        }
        if operation.is_some_and(|operation| !self.done.insert(operation, ())) {
            return true;
        }
        let Some(hold) = self.hold_mut(id) else { return false };
        if let Judged::Reservation { deadline_ms, .. } = &step.end {
            if *deadline_ms < hold.deadline_ms[0] {
                return false;
            }
            hold.deadline_ms = [*deadline_ms; 2];
        } else {
            // The grace stays on top of an extension.
            let latest = step.effect_ms_max + ttl_ms + hold.grace_ms.unwrap_or(0);
            hold.deadline_ms[1] = hold.deadline_ms[1].max(latest);
        }
        self.tells(id, &step.end)
    }

    pub(super) fn mark_paying(&mut self, id: u32, operation: u32, grace_ms: u64, end: &Judged) -> bool {
        if let Some(fits) = self.before_change(id, Some(operation), end, self.is_over(id)) {
            return fits;
        }
        if !self.done.insert(operation, ()) {
            return true;
        }
        let Some(hold) = self.hold_mut(id) else { return false };
        if hold.grace_ms.is_some() || hold.lines.iter().any(|line| line.committed > 0) {
            return false;
        }
        hold.grace_ms = Some(grace_ms);
        hold.deadline_ms = hold.deadline_ms.map(|deadline| deadline + grace_ms);
        if let Judged::Reservation { deadline_ms, .. } = end {
            if !(hold.deadline_ms[0]..=hold.deadline_ms[1]).contains(deadline_ms) {
                return false;
            }
            hold.deadline_ms = [*deadline_ms; 2];
        }
        self.tells(id, end)
    }
}
