//! What an operation does to a state, and whether it can have been answered so there.

use super::{
    ClockBound, Step,
    act::{Act, Judged},
    shelf::{Hold, Shelf, Units},
};

impl Shelf {
    /// Does what a step did. False if it can't have been answered so here.
    pub(super) fn take(&mut self, step: &Step, bound: ClockBound) -> bool {
        match &step.act {
            Act::Stock { id, sku, delta } => self.stock(*id, *sku, *delta, &step.end),
            Act::Reserve { id, lines, ttl_ms, cart } => self.reserve(*id, lines, *ttl_ms, *cart, step, bound),
            Act::Commit { id, operation, parts, whole, keep_rest } => self.change(*id, *operation, &step.end, |line| {
                let wanted = part(parts, line.sku);
                let sold = if *whole { line.held } else { wanted };
                let rest = line.held.checked_sub(sold)?;
                line.committed += sold;
                let kept = if *keep_rest { rest } else { 0 };
                line.released += rest - kept;
                line.held = kept;
                Some(sold)
            }),
            Act::Release { id, operation, parts, whole } => self.change(*id, *operation, &step.end, |line| {
                let given = if *whole { line.held } else { part(parts, line.sku) };
                line.held = line.held.checked_sub(given)?;
                line.released += given;
                Some(0)
            }),
            Act::Extend { id, operation, ttl_ms } => self.extend(*id, *operation, *ttl_ms, step),
            Act::ReadStock { sku } => match &step.end {
                Judged::NotHeld => !self.on_hand.contains_key(sku),
                end => self.shows(*sku, end),
            },
            Act::ReadReservation { id } => match &step.end {
                Judged::NotHeld => !self.holds.contains_key(id),
                end => self.tells(*id, end),
            },
        }
    }

    fn shows(&self, sku: u16, end: &Judged) -> bool {
        match end {
            Judged::Balance(on_hand, held) => self.on_hand.get(&sku) == Some(on_hand) && self.held(sku) == *held,
            _ => true,
        }
    }

    fn tells(&self, id: u32, end: &Judged) -> bool {
        let Judged::Reservation { deadline_ms, lines } = end else { return true };
        let Some(hold) = self.holds.get(&id) else { return false };
        let [earliest, latest] = hold.deadline_ms;
        let shown: Vec<Units> = hold.lines.iter().map(|line| Units { late: 0, ..*line }).collect();
        shown == *lines && (earliest..=latest).contains(deadline_ms)
    }

    fn stock(&mut self, id: u32, sku: u16, delta: i64, end: &Judged) -> bool {
        if matches!(end, Judged::NotHeld) {
            return true;
        }
        if !self.done.insert(id) {
            return true;
        }
        let on_hand = self.on_hand.entry(sku).or_default();
        let Some(changed) = on_hand.checked_add_signed(delta) else { return false };
        *on_hand = changed;
        self.shows(sku, end)
    }

    fn reserve(
        &mut self,
        id: u32,
        lines: &[(u16, u64)],
        ttl_ms: u64,
        cart: bool,
        step: &Step,
        bound: ClockBound,
    ) -> bool {
        let deadline_ms = match &step.end {
            Judged::Short { skus, logged } => {
                if self.refused.contains(&id) {
                    return true;
                }
                let short = skus.iter().any(|sku| part(lines, *sku) + self.late(*sku) > self.available(*sku));
                if short && *logged {
                    self.refused.insert(id);
                }
                return short;
            }
            Judged::Until(deadline_ms) => [*deadline_ms; 2],
            Judged::Unknown => [(step.invoked_ms + ttl_ms).saturating_sub(bound.0), step.effect_ms_max + ttl_ms],
            Judged::Before(latest_ms) => {
                let first_ms = (step.invoked_ms + ttl_ms).saturating_sub(bound.0);
                [first_ms.min(*latest_ms), *latest_ms]
            }
            _ => return true,
        };
        if self.holds.contains_key(&id) {
            return true;
        }
        if lines.iter().any(|(sku, units)| *units > self.available(*sku)) {
            return false;
        }
        let lines = lines.iter().map(|(sku, units)| Units { sku: *sku, held: *units, ..Units::default() });
        let mut lines: Vec<Units> = lines.collect();
        lines.sort_by_key(|line| line.sku);
        self.holds.insert(id, Hold { deadline_ms, lines, cart });
        true
    }

    /// A commit or a release: `apply` moves the units of a line and gives how many were sold of them.
    fn change(
        &mut self,
        id: u32,
        operation: Option<u32>,
        end: &Judged,
        apply: impl Fn(&mut Units) -> Option<u64>,
    ) -> bool {
        match end {
            Judged::Over => return self.holds.get(&id).is_none_or(|hold| hold.lines.iter().all(|line| line.held == 0)),
            Judged::NotHeld => return !self.holds.contains_key(&id),
            Judged::Reservation { .. } | Judged::Done | Judged::Unknown => {}
            _ => return true,
        }
        if operation.is_some_and(|operation| !self.done.insert(operation)) {
            // The first answer again, whatever became of the reservation since.
            return true;
        }
        let Some(hold) = self.holds.get_mut(&id) else { return false };
        for line in &mut hold.lines {
            let before = line.released;
            let Some(sold) = apply(line) else { return false };
            if hold.cart {
                line.late += line.released - before;
            }
            let on_hand = self.on_hand.entry(line.sku).or_default();
            let Some(left) = on_hand.checked_sub(sold) else { return false };
            *on_hand = left;
        }
        self.tells(id, end)
    }

    fn extend(&mut self, id: u32, operation: Option<u32>, ttl_ms: u64, step: &Step) -> bool {
        match &step.end {
            Judged::Over => return self.holds.get(&id).is_none_or(|hold| hold.lines.iter().all(|line| line.held == 0)),
            Judged::NotHeld => return !self.holds.contains_key(&id),
            Judged::Reservation { .. } | Judged::Unknown => {}
            _ => return true,
        }
        if operation.is_some_and(|operation| !self.done.insert(operation)) {
            return true;
        }
        let Some(hold) = self.holds.get_mut(&id) else { return false };
        if let Judged::Reservation { deadline_ms, .. } = &step.end {
            if *deadline_ms < hold.deadline_ms[0] {
                return false;
            }
            hold.deadline_ms = [*deadline_ms; 2];
        } else {
            hold.deadline_ms[1] = hold.deadline_ms[1].max(step.effect_ms_max + ttl_ms);
        }
        self.tells(id, &step.end)
    }
}

fn part(parts: &[(u16, u64)], sku: u16) -> u64 {
    parts.iter().filter(|(other, _)| *other == sku).map(|(_, units)| units).sum()
}
