//! What an operation does to a state, and whether it can have been answered so there.

mod hold;
mod keep;
mod sale;
mod sell;

use super::{
    ClockBound, Step, Undecidable,
    act::{Act, Judged, Parts, Rule},
    shelf::{Id, Shelf, Units},
};

/// False if it can't have been answered so here.
pub(super) type Fits = Result<bool, Undecidable>;

impl Shelf {
    /// Does what a step did.
    pub(super) fn take(&mut self, step: &Step, bound: ClockBound) -> Fits {
        let end = &step.end;
        Ok(match &step.act {
            Act::Reserve(reserve) => return self.reserve(reserve, step, bound),
            Act::Replace { id, operation, lines, whole } => self.replace(*id, *operation, (lines, *whole), end),
            Act::Commit { id, operation, parts, whole, keep_rest, revive } => {
                let parts = (!whole).then_some(parts);
                if revive.is_some() {
                    self.revive(*id, *operation, parts, end)
                } else {
                    self.commit(*id, *operation, parts, *keep_rest, end)
                }
            }
            Act::Release { id, operation, parts, whole } => {
                self.release(*id, *operation, (!whole).then_some(parts), end)
            }
            Act::Extend { id, operation, ttl_ms } => self.extend(*id, *operation, *ttl_ms, step),
            Act::MarkPaying { id, operation, grace_ms } => self.mark_paying(*id, *operation, *grace_ms, end),
            Act::After { id, operation, parts, whole, what } => {
                self.after(*id, *operation, (!whole).then_some(parts), *what, end)
            }
            Act::ReadStock { sku } => match end {
                Judged::NotHeld => !self.pools.contains_key(sku),
                end => self.shows(end),
            },
            Act::ReadReservation { id } => match end {
                Judged::NotHeld => !self.holds.contains(*id),
                end => self.tells(*id, end),
            },
            Act::ReadSettings { .. } | Act::ReadTransfers | Act::DryRun { .. } => self.answers(&step.act, end),
            keeping => return self.keep(keeping, end),
        })
    }

    fn shows(&self, end: &Judged) -> bool {
        match end {
            Judged::Balances(seen) => seen.iter().all(|(sku, seen)| self.seen(*sku) == Some(*seen)),
            Judged::Corrected { seen, .. } => seen.iter().all(|(sku, seen)| self.seen(*sku) == Some(*seen)),
            _ => true,
        }
    }

    fn tells(&self, id: u32, end: &Judged) -> bool {
        let Judged::Reservation { deadline_ms, lines } = end else { return true };
        let Some(hold) = self.holds.get(id) else { return false };
        let [earliest, latest] = hold.deadline_ms;
        let shown: Vec<Units> =
            hold.lines.iter().map(|line| Units { on_ship: false, cancel: false, ..*line }).collect();
        shown == *lines && (earliest..=latest).contains(deadline_ms)
    }

    /// A refusal that was right when it was told first. One that went through the log is told again for a while; what was
    /// done is told to be done.
    fn refuses(&mut self, id: Id, logged: bool, right: impl FnOnce(&Self) -> bool) -> bool {
        let (known, done) = match id {
            Id::Reservation(id) => (self.refused_reserves.contains(id), self.holds.contains(id)),
            Id::Operation(id) => (self.refused_operations.contains(id), self.done.contains(id)),
        };
        if known {
            return true;
        }
        let right = !done && right(self);
        if right && logged {
            match id {
                Id::Reservation(id) => self.refused_reserves.insert(id, ()),
                Id::Operation(id) => self.refused_operations.insert(id, ()),
            };
        }
        right
    }

    /// A refusal for what has become of a reservation. Under the same operation it is told again for a while, though the
    /// reservation may have been held meanwhile, or its units may be there again.
    fn stands(&mut self, operation: Option<u32>, is_so: bool) -> bool {
        operation.map_or(is_so, |operation| self.refuses(Id::Operation(operation), true, |_| is_so))
    }

    /// A change of a reservation that is not there. One without an answer may have been told so, and under its operation it
    /// is told so again.
    fn found_nothing(&mut self, operation: Option<u32>, end: &Judged) -> bool {
        match (operation, end) {
            (Some(operation), Judged::Unknown) => {
                self.refused_operations.insert(operation, ());
                true
            }
            _ => false,
        }
    }

    /// Whether units of it went back because its time was over, and none were sold: nothing else is told to have expired.
    fn is_lapsed(&self, id: u32) -> bool {
        let Some(hold) = self.holds.get(id) else { return false };
        hold.lines.iter().any(|line| line.expired > 0) && hold.lines.iter().all(|line| line.committed == 0)
    }

    /// What every change of a reservation asks first; none if it was done, or may have been, to one that is there. That it
    /// was told to be over is right if `is_over`.
    fn before_change(&mut self, id: u32, operation: Option<u32>, end: &Judged, is_over: bool) -> Option<bool> {
        match end {
            Judged::Over => Some(self.stands(operation, is_over && self.is_lapsed(id))),
            Judged::NotHeld => Some(self.stands(operation, !self.holds.contains(id))),
            // Nobody knows that it was told so, and under its operation it is told so again.
            Judged::Unknown if operation.is_some() && is_over && self.is_lapsed(id) => {
                Some(self.found_nothing(operation, end))
            }
            Judged::Reservation { .. } | Judged::Done | Judged::Unknown => {
                (!self.holds.contains(id)).then(|| self.found_nothing(operation, end))
            }
            _ => Some(true),
        }
    }

    /// Whether one of these pools has fewer units for a shopper than asked for.
    fn is_short(&self, skus: &[u16], asked: &Parts) -> bool {
        skus.iter().any(|sku| part(asked, *sku) + self.late(*sku) > self.sellable(*sku))
    }

    /// Whether that rule stands in the way of a reserve.
    fn is_ruled_out(&self, by: Rule, asked: &Parts, owner: u32, but: u32) -> bool {
        asked.iter().any(|(sku, units)| match by {
            Rule::Frozen => self.settings(*sku).frozen,
            Rule::Limit => {
                self.settings(*sku).owner_units.is_some_and(|most| self.used(*sku, owner, but) + units > most)
            }
            Rule::Stale => false,
        })
    }

    /// Whether the rules of all these pools let an owner have so many units.
    fn is_allowed(&self, asked: &Parts, owner: u32, but: u32) -> bool {
        !self.is_ruled_out(Rule::Frozen, asked, owner, but) && !self.is_ruled_out(Rule::Limit, asked, owner, but)
    }
}

fn part(parts: &Parts, sku: u16) -> u64 {
    parts.iter().filter(|(other, _)| *other == sku).map(|(_, units)| units).sum()
}
