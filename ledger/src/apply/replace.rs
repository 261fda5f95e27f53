//! Replace: other lines for a hold, all at once, under the same id and the same deadline.

use super::{
    Effect, Entry,
    cart::{Beginning, own_lines, spans, wanted},
    reserve::{Granting, Want},
};
use crate::{
    codec::encode_outcome,
    command::{Command, Context, Replace},
    idempotency::fingerprint,
    journal::{By, Posting},
    movement::{Delta, MovementKind},
    outcome::{Done, Missing, Outcome, Refusal, ReservationState, Verdict},
    state::{Due, Line, Lines, PoolRef, Rare, Reservation, RoundKind, RoundOwn, SkuRef},
    types::ReservationId,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// One line of the new set that lives here.
pub(super) struct NextLine {
    pub(super) pool: PoolRef,
    pub(super) asked: u32,
    /// What it holds from now on.
    pub(super) units: u32,
    /// Of those, units that are held for it already and stand as undecided.
    pub(super) moved: u32,
    pub(super) rare: Rare,
}

impl Entry<'_> {
    pub(super) fn replace(&mut self, command: &Command, replace: &Replace) -> Outcome {
        self.ledger.must_know_reservation(replace.id);
        let (operation, print) = (replace.operation, fingerprint(&command.body));
        if let Some(outcome) = self.joined(replace.id, RoundKind::Replace, Some(operation), print, command) {
            return outcome;
        }
        self.once(operation, command, |entry| entry.replace_anew(command, replace, print))
    }

    fn replace_anew(&mut self, command: &Command, replace: &Replace, print: u64) -> Result<Effect, Refusal> {
        let id = replace.id;
        let found = self.ledger.reservations.get(&id);
        let stranger = found.is_some_and(|found| found.namespace(&self.ledger.stock) != replace.namespace);
        match self.may_end(command, id) {
            // There is no such reservation in that namespace.
            Ok(()) | Err(Refusal::Contended) if stranger => return Err(Refusal::NotFound(Missing::Reservation(id))),
            may => may?,
        }
        self.must_not_be_expired(id)?;
        self.must_be_live(id)?;
        let reservation = &self.ledger.reservations[&id];
        let (state, since) = reservation.state(self.clock());
        if state != ReservationState::Held {
            return Err(Refusal::ReservationState { state, since });
        }
        self.undisturbed(id)?;
        let reservation = &self.ledger.reservations[&id];
        let owner = reservation.owner();
        let mine: Vec<(PoolRef, u32)> = reservation.lines.iter().map(|line| (line.pool, line.held)).collect();
        let home = self.ledger.shard;
        let spanning = spans(&replace.shards, home);
        let granting = Granting {
            namespace: &replace.namespace,
            owner: &owner,
            best_effort: replace.best_effort,
            whole: !spanning,
            zone: replace.zone,
            of: Some(id),
            mine: &mine,
            heard: command.heard,
            first: None,
        };
        let wants = self.grant_lines(&granting, own_lines(&replace.lines, &replace.shards, home))?;
        self.answers(&replace.shards)?;
        // Nothing can fail from here on.
        if !spanning {
            return Ok(self.replace_here(command, id, &wants));
        }
        let own = |want: &Want| {
            let pool = self.ledger.stock.pool(want.pool).shared_key();
            let extra = want.grant.saturating_sub(granting.mine(want.pool));
            let terms = self.ledger.stock.terms(want.pool);
            let own = RoundOwn { pool, asked: want.asked, units: want.grant, extra, policy: want.policy, terms };
            (want.line, own)
        };
        let beginning = Beginning {
            kind: RoundKind::Replace,
            namespace: replace.namespace.clone(),
            operation: Some(replace.operation),
            print,
            best_effort: replace.best_effort,
            zone: replace.zone,
            own: wants.iter().map(own).collect(),
            wanted: wanted(&replace.lines, &replace.shards, home),
        };
        Ok((self.begin_round(command, id, beginning), None))
    }

    /// All new lines live here: no other shard is asked, and those that held old lines are told.
    fn replace_here(&mut self, command: &Command, id: ReservationId, wants: &[Want]) -> Effect {
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else { return (Done::Noted, None) };
        let before = reservation.last_decision();
        let next = |want: &Want| NextLine {
            pool: want.pool,
            asked: want.asked,
            units: want.grant,
            moved: 0,
            rare: Rare { policy: want.policy, terms: self.ledger.stock.terms(want.pool), ..Rare::default() },
        };
        let next: Vec<NextLine> = wants.iter().map(next).collect();
        self.swap_own(id, &mut reservation, &next, &command.context);
        let mut told = Vec::new();
        if let Some(cart) = &mut reservation.cart {
            told.extend(std::mem::take(&mut cart.remote).into_iter().map(|line| line.shard));
        }
        self.tell(id, &mut reservation, &told, By::Request(&command.context));
        // Lines that hold as much as before move nothing, and the answer stands where this entry does.
        let last = Some(reservation.last_decision()).filter(|last| *last != before);
        self.ledger.dirty.reservation(id, &mut reservation);
        self.ledger.reservations.insert(id, reservation);
        (self.told(id), last)
    }

    /// The lines that live here become these. What they hold more is taken unless it was before, what they hold less
    /// goes back. Its first answer is kept for whoever asks again.
    pub(super) fn swap_own(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        next: &[NextLine],
        context: &Context,
    ) {
        if reservation.first().is_none() {
            let first = self.first_answer(id, reservation);
            reservation.seldom_mut().first = Some(first);
        }
        let before: Vec<Line> = reservation.lines.iter().copied().collect();
        let gone = before.iter().filter(|line| !next.iter().any(|next| next.pool == line.pool));
        for line in gone {
            self.swap_line(id, reservation, line.pool, (line.held, 0, 0), context);
        }
        for next in next {
            let held = before.iter().find(|line| line.pool == next.pool).map_or(0, |line| line.held);
            self.swap_line(id, reservation, next.pool, (held, next.units, next.moved), context);
        }
        let line = |next: &NextLine| Line { held: next.units, ..Line::new(next.pool, next.asked) };
        reservation.lines = Lines::new(next.iter().map(line));
        let rare = next.iter().any(|next| next.rare != Rare::default());
        reservation.seldom_mut().rares = if rare { next.iter().map(|next| next.rare).collect() } else { Vec::new() };
        reservation.revision = reservation.revision.saturating_add(1);
        let skus = before.iter().map(|line| line.pool);
        self.recount(id, &reservation.owner, skus.map(|pool| (pool, 0)).chain(held_units(&reservation.lines)));
    }

    /// One pool goes from `held` to `units`, of which `moved` stand as undecided.
    fn swap_line(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        pool: PoolRef,
        (held, units, moved): (u32, u32, u32),
        context: &Context,
    ) {
        let due = Due::new(reservation.deadline, id);
        let ledger = &mut *self.ledger;
        let of_pool = ledger.stock.pool_mut(pool);
        of_pool.undecided -= u64::from(moved);
        if held > 0 {
            of_pool.take_hold(due, u64::from(held), 0);
        }
        if units > 0 {
            of_pool.add_hold(due, u64::from(units));
        }
        let (kind, delta) = if units > held {
            let more = i64::from(units - held - moved);
            (MovementKind::Reserve, Delta { available: -more, held: more, ..Delta::default() })
        } else if units < held {
            let less = u64::from(held - units);
            (MovementKind::Release, ledger.stock.pool(pool).books.give_back(less))
        } else {
            return;
        };
        let reserve = kind == MovementKind::Reserve;
        let posting = Posting {
            kind,
            by: By::Request(context),
            reservation: Some((id, reservation.chain())),
            delta,
            sold_short: 0,
            document: Bytes::new(),
            reason: Bytes::new(),
            deadline: reserve.then_some(reservation.deadline),
            owner: if reserve { Bytes::copy_from_slice(&reservation.owner) } else { Bytes::new() },
        };
        reservation.last = ledger.stock.post(&mut self.block, pool, posting);
    }

    /// What a reservation holds of each SKU in all is counted for its owner's limits. Named is every pool of which that
    /// may have changed, and every pool of which it holds something.
    pub(super) fn recount(&mut self, id: ReservationId, owner: &[u8], held: impl Iterator<Item = (PoolRef, u64)>) {
        let clock = self.clock();
        let mut totals = BTreeMap::<usize, (SkuRef, u64)>::new();
        for (pool, units) in held {
            let sku = self.ledger.stock.pool(pool).sku;
            totals.entry(sku.index()).or_insert((sku, 0)).1 += units;
        }
        let ledger = &mut *self.ledger;
        for (sku, units) in totals.into_values() {
            ledger.stock.use_recounted(&mut ledger.dirty, clock, id, owner, sku, units);
        }
    }

    fn first_answer(&self, id: ReservationId, reservation: &Reservation) -> Bytes {
        encode_outcome(&Outcome {
            verdict: Verdict::Done(Done::Reserved(reservation.reserved(id, &self.ledger.stock))),
            replayed: false,
            position: reservation.reserved_at.at(self.ledger.shard),
            time: reservation.created,
        })
    }
}

/// What each own line of a reservation holds.
pub(super) fn held_units(lines: &Lines) -> impl Iterator<Item = (PoolRef, u64)> + '_ {
    lines.iter().map(|line| (line.pool, u64::from(line.held)))
}
