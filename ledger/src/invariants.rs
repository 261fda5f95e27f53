//! Looks at a whole state for what must never be. Cheap assertions guard each write; this is the second look, for
//! tests, simulation, and an operator who asks.

use crate::{
    state::{Cart, Due, EndedBy, Holding, Ledger, PoolRef, Reservation, RoundKind, Sums},
    types::ReservationId,
};
use std::{collections::BTreeMap, fmt};

/// A promise of `docs/invariants.md` that a state breaks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Its number there, for instance `P1`.
    pub promise: &'static str,
    /// What was found, for people.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.found)
    }
}

impl Ledger {
    /// Everything in this state that breaks a promise, as far as one state shows it: P1 (no oversell), P2
    /// (conservation, units in transit named in the sum), P4 (carts, whole or not at all), P6 (one id, one effect) and P7
    /// (each unit ends once, and is given back to its owner's limit). Walks over all records in memory.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        self.check_pools(&mut found);
        self.check_reservations(&mut found);
        self.check_memory(&mut found);
        self.check_stockkeeping(&mut found);
        self.check_carts(&mut found);
        // Some were found in the order of hash maps.
        found.sort_unstable();
        found
    }

    /// Units held, sold or set apart beyond what is on hand and known to be short. Always 0.
    pub fn oversold_units(&self) -> u64 {
        self.stock.sums.oversold
    }

    fn check_pools(&self, found: &mut Vec<Violation>) {
        let mut held = BTreeMap::<usize, u64>::new();
        for reservation in self.reservations.values() {
            for line in reservation.lines.iter() {
                *held.entry(line.pool.index()).or_default() += u64::from(line.held);
            }
            for (pool, extra) in self.prepared_here(reservation) {
                *held.entry(pool.index()).or_default() += extra;
            }
        }
        for part in self.parts.values() {
            for line in &part.lines {
                *held.entry(line.pool.index()).or_default() += u64::from(line.truth.held + line.extra);
            }
        }
        for (at, pool) in self.stock.pools.iter().enumerate() {
            let books = &pool.books;
            if books.oversold() > 0 {
                let what = format!("{:?} is oversold: {books:?}", pool.name());
                found.push(Violation { promise: "P1", found: what });
            }
            if let Some(problem) = books.problem(&pool.totals) {
                let what = format!("{:?}: {problem}: {books:?}, {:?}", pool.name(), pool.totals);
                found.push(Violation { promise: "P2", found: what });
            }
            let due = pool.dues.total() + pool.told().total() + pool.undecided;
            let of_lines = held.get(&at).copied().unwrap_or(0);
            if books.held != of_lines || due != of_lines {
                let what = format!(
                    "{:?} has {} units held, its reservations {of_lines}, its deadlines {due}",
                    pool.name(),
                    books.held
                );
                found.push(Violation { promise: "P7", found: what });
            }
        }
    }

    fn check_reservations(&self, found: &mut Vec<Violation>) {
        let mut wrong = |id: &ReservationId, what: &str| {
            found.push(Violation { promise: "P7", found: format!("reservation {id} {what}") });
        };
        let mut live = 0;
        for (id, reservation) in self.reservations.iter() {
            let remote = reservation.cart.iter().flat_map(|cart| &cart.remote);
            let holds = reservation.lines.iter().any(|line| line.held > 0)
                || remote.clone().any(|line| line.now.held > 0)
                || reservation.opening();
            if holds == reservation.ended.is_some() {
                wrong(id, "is neither live nor ended");
            }
            if reservation.lines.iter().any(|line| line.got() > line.asked) {
                wrong(id, "has more units than were asked for");
            }
            let due = self.deadlines.contains(&Due::new(reservation.deadline, *id));
            if due != (reservation.ended.is_none() && !reservation.opening()) {
                wrong(id, "is live and has no deadline, or ended and has one");
            }
            let expired = reservation.lines.iter().any(|line| line.expired > 0)
                || remote.clone().any(|line| line.now.expired > 0);
            // Some of what expired may have been committed late.
            let late = reservation.ended == Some(EndedBy::Commit) && expired;
            if expired != (reservation.ended == Some(EndedBy::Expiry)) && !late {
                wrong(id, "expired, but not by time, or the other way round");
            }
            if expired && reservation.deadline > self.header.clock {
                wrong(id, "expired before its deadline");
            }
            live += usize::from(reservation.ended.is_none() && !reservation.opening());
        }
        let owned = self
            .reservations
            .values()
            .filter(|found| found.ended.is_none() && !found.opening() && !found.owner.is_empty());
        let (owned, listed) = (owned.count(), self.owners.len());
        if owned != listed {
            let what = format!("{owned} live reservations have owners, and {listed} are listed by owner");
            found.push(Violation { promise: "P7", found: what });
        }
        if live != self.deadlines.len() {
            let what = format!("{live} reservations are live, and there are {} deadlines", self.deadlines.len());
            found.push(Violation { promise: "P7", found: what });
        }
    }

    /// Transfers against the pools they go to, the list of what is short against the pools, and what is counted for
    /// limits against the holds.
    fn check_stockkeeping(&self, found: &mut Vec<Violation>) {
        let (sums, kept) = (Sums::of(self.stock.pools.iter().map(|pool| &pool.books)), self.stock.sums);
        if sums != kept {
            found.push(Violation { promise: "P2", found: format!("all pools have {sums:?}, and {kept:?} is told") });
        }
        let transits: usize = self.stock.skus.iter().map(|sku| sku.transit().len()).sum();
        if transits != self.stock.transits {
            let found_here = format!("{transits} transfers are under way, and {} are told", self.stock.transits);
            found.push(Violation { promise: "P2", found: found_here });
        }
        if let Some(problem) = self.stock.transit_problem() {
            found.push(Violation { promise: "P2", found: problem });
        }
        for sku in &self.stock.skus {
            let settings = sku.settings();
            if settings.gated != settings.rest.as_ref().is_some_and(|rest| rest.gates()) {
                found.push(Violation {
                    promise: "P1",
                    found: format!("{:?} hides its rules", String::from_utf8_lossy(&sku.bytes)),
                });
            }
        }
        let mut short = 0;
        for pool in &self.stock.pools {
            let opened = pool.aside.as_ref().is_some_and(|aside| aside.shortage.is_some());
            let listed = self.stock.shorts.contains(&*pool.bytes);
            if (pool.books.short > 0, pool.books.short > 0) != (opened, listed) {
                let what =
                    format!("{:?} is short of {} units: told {opened}, listed {listed}", pool.name(), pool.books.short);
                found.push(Violation { promise: "P1", found: what });
            }
            short += usize::from(listed);
        }
        if short != self.stock.shorts.len() {
            found.push(Violation { promise: "P1", found: "pools are listed as short that are not there".to_owned() });
        }
        self.check_uses(found);
    }

    fn check_uses(&self, found: &mut Vec<Violation>) {
        for (key, owner) in self.stock.uses.iter() {
            for (id, part) in &owner.parts {
                let of_sku = |pool: PoolRef| key.starts_with(&self.stock.sku(self.stock.pool(pool).sku).bytes);
                let own = self.reservations.get(id).into_iter().flat_map(|found| found.lines.iter());
                let own = own.map(|line| (line.pool, u64::from(line.held)));
                let prepared = self.reservations.get(id).into_iter().flat_map(|found| self.prepared_here(found));
                let own = own.chain(prepared);
                let others = self.parts.get(id).into_iter().flat_map(|found| &found.lines);
                let others = others.map(|line| (line.pool, u64::from(line.truth.held) + u64::from(line.extra)));
                let held = own.chain(others).filter(|(pool, _)| of_sku(*pool)).map(|(_, held)| held).sum();
                if part.held != held || (part.held == 0 && part.sold == 0) {
                    let what = format!("of reservation {id} {part:?} is counted for {key:?}, and {held} are held");
                    found.push(Violation { promise: "P7", found: what });
                }
            }
        }
    }

    /// Units held in pools of this shard for what is being prepared, a reserve's left out: those stand in its lines.
    fn prepared_here(&self, reservation: &Reservation) -> Vec<(PoolRef, u64)> {
        let round = reservation.round().filter(|round| round.kind != RoundKind::Ship);
        let own = round.into_iter().flat_map(|round| &round.own);
        own.filter_map(|own| Some((self.stock.find_bytes(&own.pool)?, u64::from(own.extra)))).collect()
    }

    /// What home and participants keep of carts is found where they look for it: nothing can be left behind.
    fn check_carts(&self, found: &mut Vec<Violation>) {
        let mut wrong = |what: String| found.push(Violation { promise: "P4", found: what });
        let carts = || self.reservations.iter().filter_map(|(id, found)| Some((id, found.cart.as_deref()?)));
        let rows = || carts().flat_map(|(id, cart)| cart.participants.iter().map(move |row| (id, row)));
        for (id, row) in rows().filter(|(_, row)| row.row.is_some()) {
            let there = self.outbox.is_open(row.shard, row.number, *id);
            if !there || row.oldest < self.floor_for(row.shard) {
                wrong(format!("cart {id} has a row {row:?} that is not in the outbox, or below the floor"));
            }
        }
        let open = rows().filter(|(_, row)| row.row.is_some()).count();
        if open != self.outbox.len()
            || open != self.unsettled_participants().iter().map(|at| self.outbox.count(*at)).sum()
        {
            wrong(format!("{open} rows are open, and {} are in the outbox", self.outbox.len()));
        }
        let prepared = carts().filter(|(_, cart)| cart.round.is_some()).count();
        let timed = |(id, cart): &(&ReservationId, &Cart)| {
            cart.round.as_ref().is_some_and(|round| self.rounds.contains(&Due::new(round.until, **id)))
        };
        if prepared != self.rounds.len() || prepared != carts().filter(timed).count() {
            wrong(format!("{prepared} carts are being prepared, and {} have a time", self.rounds.len()));
        }
        let operations = carts().filter_map(|(_, cart)| cart.round.as_ref()?.operation);
        let waiting = operations.clone().filter(|operation| self.preparing.contains(operation)).count();
        if waiting != self.preparing.len() || waiting != operations.count() {
            wrong(format!("{waiting} operations are being prepared, and {} are listed", self.preparing.len()));
        }
        for (id, cart) in carts() {
            if cart.remote.iter().any(|line| line.got() > line.asked) {
                wrong(format!("cart {id} has more units elsewhere than were asked for"));
            }
        }
        let (mut undecided, mut idle) = (0, 0);
        let mut holding = Holding::default();
        for (id, part) in &self.parts {
            undecided += usize::from(part.undecided.is_some());
            idle += usize::from(part.idle());
            if !part.idle() {
                holding.add(part.home);
            }
            let kept = part.undecided.is_none_or(|since| self.undecided.contains(&Due::new(since, *id)))
                && (!part.idle() || self.idle_parts.contains(&(part.home, part.number, id.to_bytes())));
            if !kept || (part.undecided.is_none() && part.lines.iter().any(|line| line.extra > 0)) {
                wrong(format!("part {id} is held in a way nobody would find: {part:?}"));
            }
        }
        if holding != self.holding {
            wrong(format!("carts hold units as {holding:?}, but {:?} is listed", self.holding));
        }
        if undecided != self.undecided.len() || idle != self.idle_parts.len() {
            wrong(format!("{undecided} parts are undecided and {idle} idle, but others are listed"));
        }
    }

    fn check_memory(&self, found: &mut Vec<Violation>) {
        for intent in self.refusals.keys() {
            let effect = match intent {
                crate::state::Intent::Reserve(id) => self
                    .reservations
                    .get(id)
                    .is_some_and(|found| found.ended != Some(EndedBy::Rejection) && !found.opening()),
                crate::state::Intent::Operation(id) => self.operations.contains_key(id),
                // What it had an effect on tells nothing of which call that was.
                crate::state::Intent::Whole(_) => false,
            };
            if effect {
                let what = format!("{intent:?} is remembered as refused, and had an effect");
                found.push(Violation { promise: "P6", found: what });
            }
        }
        if self.refusals.len() != self.refusal_ends.len() {
            let what = format!("{} refusals, {} ends of them", self.refusals.len(), self.refusal_ends.len());
            found.push(Violation { promise: "P6", found: what });
        }
    }
}
