//! Reserve and replace: units that become held.

use super::{Fits, part};
use crate::model::{
    ClockBound, Step, Undecidable,
    act::{Act, Judged, Parts, Reserve},
    shelf::{Hold, Id, Shelf, Units},
};
use std::collections::BTreeMap;

impl Shelf {
    pub(super) fn reserve(&mut self, reserve: &Reserve, step: &Step, bound: ClockBound) -> Fits {
        let Reserve { id, asked, ttl_ms, owner, .. } = reserve;
        let own = Id::Reservation(*id);
        let deadline_ms = match &step.end {
            Judged::Short { skus, logged } => {
                return Ok(self.refuses(own, *logged, |state| state.is_short(skus, asked)));
            }
            Judged::Ruled { by, logged } => {
                return Ok(self.refuses(own, *logged, |state| state.is_ruled_out(*by, asked, *owner, *id)));
            }
            Judged::Until(deadline_ms) => [*deadline_ms; 2],
            Judged::Unknown => [(step.invoked_ms + ttl_ms).saturating_sub(bound.0), step.effect_ms_max + ttl_ms],
            Judged::Before(latest_ms) => {
                let first_ms = (step.invoked_ms + ttl_ms).saturating_sub(bound.0);
                [first_ms.min(*latest_ms), *latest_ms]
            }
            _ => return Ok(true),
        };
        if self.holds.contains(*id) {
            return Ok(true);
        }
        let Some(lines) = self.granted(reserve)? else { return Ok(false) };
        let late = BTreeMap::new();
        let lines = self.units(&lines);
        let hold = Hold { deadline_ms, lines, cart: reserve.cart, owner: *owner, grace_ms: None, late };
        self.holds.insert(*id, hold);
        Ok(true)
    }

    /// What a reserve gets here; none if it would be refused.
    fn granted(&self, reserve: &Reserve) -> Result<Option<Parts>, Undecidable> {
        let Reserve { asked, got, least, exact, owner, id, .. } = reserve;
        if !self.is_allowed(asked, *owner, *id) {
            return Ok(None);
        }
        let Some(least) = least else {
            let fits = asked.iter().all(|(sku, units)| *units <= self.sellable(*sku));
            return Ok(fits.then(|| asked.clone()));
        };
        let most: Parts = asked.iter().map(|(sku, units)| (*sku, self.sellable(*sku).min(*units))).collect();
        let got = match got {
            Some(got) => got.clone(),
            None if *exact => most.clone(),
            None => return Err(Undecidable),
        };
        // With nothing in doubt anywhere, what is there is had.
        let fits = if *exact { got == most } else { got.iter().all(|(sku, units)| *units <= part(&most, *sku)) };
        let enough = least.iter().all(|(sku, units)| part(&got, *sku) >= *units);
        Ok((fits && enough).then_some(got))
    }

    /// Lines as they are when they are held, under the terms of the moment.
    fn units(&self, lines: &Parts) -> Vec<Units> {
        let line = |(sku, units): &(u16, u64)| {
            let settings = self.settings(*sku);
            Units { sku: *sku, held: *units, on_ship: settings.on_ship, cancel: settings.cancel, ..Units::default() }
        };
        let mut lines: Vec<Units> = lines.iter().map(line).collect();
        lines.sort_by_key(|line| line.sku);
        lines
    }

    pub(super) fn replace(&mut self, id: u32, operation: u32, (lines, whole): (&Parts, bool), end: &Judged) -> bool {
        match end {
            Judged::Short { skus, logged } => {
                return self.refuses(Id::Operation(operation), *logged, |state| {
                    let more = state.more(id, lines);
                    state.is_short(skus, &more)
                });
            }
            Judged::Ruled { by, logged } => {
                return self.refuses(Id::Operation(operation), *logged, |state| {
                    let owner = state.holds.get(id).map_or(0, |hold| hold.owner);
                    state.is_ruled_out(*by, lines, owner, id)
                });
            }
            _ => {}
        }
        if let Some(fits) = self.before_change(id, Some(operation), end, self.is_over(id)) {
            return fits;
        }
        if !self.done.insert(operation, ()) {
            return true;
        }
        let more = self.more(id, lines);
        let next = self.units(lines);
        let fits = more.iter().all(|(sku, units)| *units == 0 || *units <= self.sellable(*sku));
        let Some(hold) = self.holds.get(id) else { return false };
        let sold = hold.lines.iter().any(|line| line.committed > 0);
        // With lines of other SKUs it may be held by those.
        let over = whole && !hold.lines.is_empty() && hold.lines.iter().all(|line| line.held == 0);
        if sold || over || !fits || !self.is_allowed(lines, hold.owner, id) {
            return false;
        }
        let Some(hold) = self.hold_mut(id) else { return false };
        hold.lines = next;
        self.tells(id, end)
    }

    /// What a new set of lines needs beyond what the hold has already.
    fn more(&self, id: u32, lines: &Parts) -> Parts {
        let own = |sku: u16| {
            let lines = self.holds.get(id).into_iter().flat_map(|hold| &hold.lines);
            lines.filter(|line| line.sku == sku).map(|line| line.held).sum::<u64>()
        };
        lines.iter().map(|(sku, units)| (*sku, units.saturating_sub(own(*sku)))).collect()
    }

    /// Reads that change nothing, of rules, transfers, and of what a reserve would get.
    pub(super) fn answers(&self, act: &Act, end: &Judged) -> bool {
        match (act, end) {
            (Act::ReadSettings { pools }, Judged::Settings(version, settings)) => pools.iter().all(|sku| {
                self.rules.get(sku).map_or((0, Default::default()), Clone::clone) == (*version, settings.clone())
            }),
            (Act::ReadTransfers, Judged::Transfers(told)) => {
                let there: Vec<(u32, u64)> = self.transfers.iter().map(|(id, (_, left))| (*id, *left)).collect();
                there == *told
            }
            (Act::DryRun { lines, owner }, Judged::WouldHold) => {
                let fits = lines.iter().all(|(sku, units)| *units <= self.sellable(*sku));
                fits && self.is_allowed(lines, *owner, u32::MAX)
            }
            (Act::DryRun { lines, .. }, Judged::Short { skus, .. }) => self.is_short(skus, lines),
            (Act::DryRun { lines, owner }, Judged::Ruled { by, .. }) => self.is_ruled_out(*by, lines, *owner, u32::MAX),
            _ => true,
        }
    }
}
