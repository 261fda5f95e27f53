//! What becomes of a hold beside commit, release and extend, in the naive ledger: other lines, a grace, a late commit,
//! and what follows a sale.

use super::{Hold, HoldLine, Naive, q, stock::Wanted};
use earmark_ledger::{command::*, outcome::*, settings::*, types::*};

type Told = Result<(Done, Option<Position>), Refusal>;

/// What was promised with a line, and what became of its committed units.
#[derive(Clone, Debug, Default)]
pub struct Sold {
    pub on_ship: bool,
    pub cancel: u64,
    pub returns: Option<u64>,
    pub shipped: i128,
    pub cancelled: i128,
    pub returned: i128,
    pub apart: i128,
}

impl Sold {
    pub fn promised(settings: &Settings) -> Self {
        Self {
            on_ship: settings.deduct == Deduct::OnShip,
            cancel: settings.cancel_window.map_or(0, |window| window.0),
            returns: settings.return_window.map(|window| window.0),
            ..Self::default()
        }
    }
}

impl HoldLine {
    pub fn unshipped(&self) -> i128 {
        if self.sold.on_ship { self.committed - self.sold.shipped - self.sold.cancelled } else { 0 }
    }

    fn cancellable(&self) -> i128 {
        let back = self.sold.returned + self.sold.apart;
        if self.sold.on_ship { self.unshipped() } else { self.committed - self.sold.cancelled - back }
    }

    fn returnable(&self) -> i128 {
        let out = if self.sold.on_ship { self.sold.shipped } else { self.committed - self.sold.cancelled };
        out - self.sold.returned - self.sold.apart
    }
}

impl Naive {
    /// The answer to a whole cancel that finds everything cancelled that can be.
    pub(super) fn cancelled_before(&self, hold: &Hold) -> bool {
        let all = hold.lines.iter().all(|line| line.cancellable() == 0);
        all && hold.ended.is_some() && hold.lines.iter().any(|line| line.sold.cancelled > 0)
    }

    /// Judges with the units of that hold counted as free for it.
    fn with_own<T>(&mut self, at: usize, run: impl FnOnce(&mut Self) -> T) -> T {
        let hold = &self.holds[at];
        let units = hold.lines.iter().map(|line| (line.pool.clone(), line.held)).collect();
        self.own = Some((hold.id, units));
        let told = run(self);
        self.own = None;
        told
    }

    pub(super) fn replace(&mut self, replace: &Replace, at: usize) -> Told {
        self.must_be_held(at)?;
        let request = &self.holds[at].request;
        let asked = Reserve {
            lines: replace.lines.clone(),
            best_effort: replace.best_effort,
            zone: replace.zone,
            ..request.clone()
        };
        let next: Vec<(Wanted, i128)> = self.with_own(at, |naive| {
            let wanted = naive.wanted(&asked)?;
            let got = |wanted: Wanted| {
                let got = naive.can_give(&naive.pools[naive.pool(&wanted.pool).expect("was found")]).min(wanted.asked);
                (wanted, got)
            };
            Ok(wanted.into_iter().map(got).collect::<Vec<_>>())
        })?;
        let before = self.holds[at].lines.clone();
        let counted = |naive: &Naive, sku: &Sku| {
            let held = before.iter().any(|line| line.pool.sku == *sku && line.held > 0);
            let was = held && naive.holds[at].counted.iter().any(|(counted, ..)| counted == sku);
            was || naive.settings_of(sku).limits_owners()
        };
        let mut skus: Vec<(Sku, i128, u64)> = Vec::new();
        for (Wanted { pool, .. }, got) in &next {
            if *got > 0 && counted(self, &pool.sku) && skus.iter().all(|(sku, ..)| *sku != pool.sku) {
                skus.push((pool.sku.clone(), 0, 0));
            }
        }
        let mut last = None;
        for line in before.iter().filter(|line| next.iter().all(|(wanted, _)| wanted.pool != line.pool)) {
            last = self.swap(&line.pool, line.held, 0).or(last);
        }
        let mut lines = Vec::new();
        for (Wanted { pool, asked, .. }, got) in next {
            let held = before.iter().find(|line| line.pool == pool).map_or(0, |line| line.held);
            last = self.swap(&pool, held, got).or(last);
            let sold = Sold::promised(&self.settings_of(&pool.sku));
            lines.push(HoldLine { pool, asked, held: got, committed: 0, released: 0, expired: 0, sold });
        }
        let hold = &mut self.holds[at];
        hold.lines = lines;
        hold.counted = skus;
        hold.revision += 1;
        hold.last = last.unwrap_or(hold.last);
        Ok((self.told(at), last))
    }

    /// A pool holds other units for a reservation.
    fn swap(&mut self, key: &PoolKey, from: i128, to: i128) -> Option<Position> {
        let at = self.pool(key).expect("holds are of pools");
        let pool = &mut self.pools[at];
        pool.held += to - from;
        if to == from {
            return None;
        }
        if to > from {
            pool.available -= to - from;
        } else {
            let paid = pool.short.min(from - to);
            pool.short -= paid;
            pool.available += from - to - paid;
        }
        Some(self.moved_in(at))
    }

    fn must_be_held(&self, at: usize) -> Result<(), Refusal> {
        let hold = &self.holds[at];
        let (state, since) = (self.view(hold).state, TimeMs(hold.since));
        match state {
            ReservationState::Expired => Err(Refusal::ReservationExpired { since }),
            ReservationState::Held => Ok(()),
            _ => Err(Refusal::ReservationState { state, since }),
        }
    }

    pub(super) fn mark_paying(&mut self, paying: &MarkPaying, at: usize) -> Told {
        self.must_be_held(at)?;
        let hold = &mut self.holds[at];
        if hold.paying {
            let since = TimeMs(hold.since);
            return Err(Refusal::ReservationState { state: ReservationState::Held, since });
        }
        hold.paying = true;
        hold.deadline += paying.grace.0;
        hold.grace = paying.grace.0;
        let held = hold.lines.iter().filter(|line| line.held > 0).count();
        let last = (0..held).map(|_| self.moved()).last();
        self.holds[at].last = last.expect("something is held");
        Ok((self.told(at), last))
    }

    pub(super) fn revive(&mut self, commit: &Commit, at: usize) -> Told {
        let hold = &self.holds[at];
        let gone = Refusal::ReservationExpired { since: TimeMs(hold.since) };
        let named = self.named_of(at, &commit.parts, |line| line.expired)?;
        let hold = &self.holds[at];
        let line = |(line, units): (&HoldLine, &i128)| Line {
            sku: line.pool.sku.clone(),
            location: Some(line.pool.location.clone()),
            kind: line.pool.kind,
            lot: line.pool.lot.clone(),
            quantity: q(*units),
            minimum: Quantity::ZERO,
        };
        let lines = hold.lines.iter().zip(&named).filter(|(_, units)| **units > 0).map(line).collect();
        let asked = Reserve { lines, best_effort: false, ..hold.request.clone() };
        // Whatever stands in the way, the hold is over.
        self.with_own(at, |naive| naive.wanted(&asked)).map_err(|_| gone)?;
        let clock = self.clock;
        self.holds[at].counted.clear();
        let mut last = None;
        for (line, units) in named.into_iter().enumerate().filter(|(_, units)| *units > 0) {
            let held = &mut self.holds[at].lines[line];
            held.expired -= units;
            held.committed += units;
            let key = held.pool.clone();
            let settings = self.settings_of(&key.sku);
            self.holds[at].lines[line].sold = Sold::promised(&settings);
            if let Some(limit) = settings.owner_units {
                let until = clock + limit.window.0;
                let counted = &mut self.holds[at].counted;
                match counted.iter_mut().find(|(sku, ..)| *sku == key.sku) {
                    Some((_, sold, _)) => *sold += units,
                    None => counted.push((key.sku.clone(), units, until)),
                }
            }
            let at = self.pool(&key).expect("holds are of pools");
            let pool = &mut self.pools[at];
            pool.available -= units;
            if settings.deduct == Deduct::OnShip {
                pool.committed += units;
            } else {
                pool.on_hand -= units;
                pool.sold += units;
            }
            last = Some(self.moved_in(at));
        }
        let hold = &mut self.holds[at];
        hold.ended = Some('c');
        hold.since = clock;
        hold.last = last.expect("something was revived");
        Ok((self.told(at), last))
    }

    /// Units of each line that are named, or all there are, which must be as many as `most` says.
    fn named_of(&self, at: usize, parts: &[Part], most: impl Fn(&HoldLine) -> i128) -> Result<Vec<i128>, Refusal> {
        let hold = &self.holds[at];
        let found = self.find_parts(hold, parts)?;
        let mut short = Vec::new();
        let mut units = Vec::new();
        for (line, named) in hold.lines.iter().zip(found) {
            match named {
                Some((first, named)) if named > most(line) => {
                    let (asked, sellable) = (q(named), q(most(line)));
                    short.push(Shortage { line: first, asked, sellable, earliest: None });
                }
                Some((_, named)) => units.push(named),
                None => units.push(if parts.is_empty() { most(line) } else { 0 }),
            }
        }
        if short.is_empty() { Ok(units) } else { Err(Refusal::InsufficientStock(short)) }
    }

    /// For each line the first part that names it, and how many units all of them name.
    fn find_parts(&self, hold: &Hold, parts: &[Part]) -> Result<Vec<Option<(u32, i128)>>, Refusal> {
        let mut found: Vec<Option<(u32, i128)>> = vec![None; hold.lines.len()];
        for (index, part) in (0_u32..).zip(parts) {
            let key = pool_of(&hold.request.namespace, &part.sku, &part.location, part.kind, &part.lot);
            let Some(line) = hold.lines.iter().position(|line| line.pool == key) else {
                return Err(Refusal::NotFound(Missing::Line(Box::new(key))));
            };
            let (_, units) = found[line].get_or_insert((index, 0));
            *units += i128::from(part.quantity.units());
        }
        Ok(found)
    }

    /// Which units are meant of a sale. `open` says whether a line may be named, and is asked of the whole for lines
    /// of which there are units.
    fn of_sale(
        &self,
        at: usize,
        parts: &[Part],
        open: impl Fn(&HoldLine) -> bool,
        most: impl Fn(&HoldLine) -> i128,
    ) -> Result<Vec<i128>, Refusal> {
        let hold = &self.holds[at];
        let state = Refusal::ReservationState { state: self.view(hold).state, since: TimeMs(hold.since) };
        if self.view(hold).state != ReservationState::Committed {
            return Err(state);
        }
        let found = self.find_parts(hold, parts)?;
        let closed = |(line, named): (&HoldLine, &Option<(u32, i128)>)| {
            let meant = named.is_some() || (parts.is_empty() && most(line) > 0);
            meant && !open(line)
        };
        if hold.lines.iter().zip(&found).any(closed) {
            return Err(state);
        }
        let units = self.named_of(at, parts, most)?;
        if units.iter().all(|units| *units == 0) { Err(state) } else { Ok(units) }
    }

    pub(super) fn ship(&mut self, ship: &Ship, at: usize) -> Told {
        // Of the whole, what is sold at once is no part.
        let named = self.of_sale(at, &ship.parts, |line| line.sold.on_ship, HoldLine::unshipped)?;
        let found = self.find_parts(&self.holds[at], &ship.parts)?;
        let mut short = Vec::new();
        for (line, units) in named.iter().enumerate() {
            let pool = &self.pools[self.pool(&self.holds[at].lines[line].pool).expect("holds are of pools")];
            let there = (pool.on_hand - pool.unavailable).clamp(0, pool.committed);
            if *units > there {
                let line = found[line].map_or(u32::try_from(line).expect("small"), |(first, _)| first);
                short.push(Shortage { line, asked: q(*units), sellable: q(there), earliest: None });
            }
        }
        if !short.is_empty() {
            return Err(Refusal::InsufficientStock(short));
        }
        let last = self.each(at, &named, |pool, sold, units| {
            pool.committed -= units;
            pool.on_hand -= units;
            pool.sold += units;
            sold.shipped += units;
        });
        Ok((self.told(at), last))
    }

    pub(super) fn cancel(&mut self, cancel: &Cancel, at: usize) -> Told {
        let hold = &self.holds[at];
        if cancel.parts.is_empty() && self.cancelled_before(hold) {
            return Ok((self.told(at), None));
        }
        let (clock, since) = (self.clock, hold.since);
        let open = |line: &HoldLine| line.sold.on_ship || clock < since + line.sold.cancel;
        let named = self.of_sale(at, &cancel.parts, open, HoldLine::cancellable)?;
        let last = self.each(at, &named, |pool, sold, units| {
            let mut back = units;
            if sold.on_ship {
                pool.committed -= units;
            } else {
                back = pool.comes_back(units);
            }
            pool.is_free(back);
            sold.cancelled += units;
        });
        self.no_longer_counted(at, &named);
        Ok((self.told(at), last))
    }

    pub(super) fn take_return(&mut self, back: &Return, at: usize) -> Told {
        let (clock, since) = (self.clock, self.holds[at].since);
        let open = |line: &HoldLine| line.sold.returns.is_none_or(|window| clock < since + window);
        let named = self.of_sale(at, &back.parts, open, HoldLine::returnable)?;
        let fit = back.disposition == Disposition::Sellable;
        let last = self.each(at, &named, |pool, sold, units| {
            let there = pool.comes_back(units);
            if fit {
                pool.is_free(there);
                sold.returned += units;
            } else {
                pool.unavailable += there;
                sold.apart += units;
            }
        });
        self.no_longer_counted(at, &named);
        Ok((self.told(at), last))
    }

    fn each(
        &mut self,
        at: usize,
        named: &[i128],
        change: impl Fn(&mut super::Pool, &mut Sold, i128),
    ) -> Option<Position> {
        let mut last = None;
        for (line, units) in named.iter().enumerate().filter(|(_, units)| **units > 0) {
            let mut sold = self.holds[at].lines[line].sold.clone();
            let of = self.pool(&self.holds[at].lines[line].pool).expect("holds are of pools");
            change(&mut self.pools[of], &mut sold, *units);
            self.holds[at].lines[line].sold = sold;
            last = Some(self.moved_in(of));
        }
        self.holds[at].last = last.unwrap_or(self.holds[at].last);
        last
    }

    fn no_longer_counted(&mut self, at: usize, named: &[i128]) {
        let hold = &mut self.holds[at];
        for (line, units) in hold.lines.iter().zip(named) {
            for (_, sold, _) in hold.counted.iter_mut().filter(|(sku, ..)| *sku == line.pool.sku) {
                *sold = (*sold - units).max(0);
            }
        }
    }
}

impl super::Pool {
    /// Units sold are the shop's again. Those that were sold beyond on hand come first, and are not there.
    fn comes_back(&mut self, units: i128) -> i128 {
        let beyond = self.owed.min(units);
        self.owed -= beyond;
        self.on_hand += units - beyond;
        self.returned += units - beyond;
        units - beyond
    }

    fn is_free(&mut self, units: i128) {
        let paid = self.short.min(units);
        self.short -= paid;
        self.available += units - paid;
    }
}
