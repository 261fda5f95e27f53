//! What follows a sale: units leave the house, the sale is taken back, units come back from the customer.
//!
//! Where the units of a cart live in several shards, home decides a cancel and a return alone: what it promised it knows
//! by the terms of each line. A shipping asks, for only the shard of a pool knows what is on hand.

use super::{Effect, Entry, cart::Beginning, pick::Pick, revive::line_of};
use crate::{
    cart::message::{After, Truth},
    command::{Cancel, Command, Disposition, Return, Ship},
    idempotency::fingerprint,
    journal::{By, Posting},
    movement::{Delta, MovementKind, Spot},
    outcome::{Outcome, Refusal, ReservationState, Shortage},
    records::read_pool_key,
    settings::Terms,
    state::{Books, Line, PoolRef, Reservation, RoundKind, RoundLine, RoundOwn},
    types::{Quantity, Reason, ReservationId, ShardId},
};
use bytes::Bytes;

/// What became of committed units.
#[derive(Clone, Copy)]
enum What {
    Cancelled,
    Returned(Disposition),
}

/// Units of an own line that are to leave the house.
struct Parcel {
    /// Which line.
    line: usize,
    pool: PoolRef,
    pick: Pick,
}

impl Pick {
    /// There are only so many.
    pub(super) fn beyond(self, there: u64) -> Shortage {
        let asked = super::reserve::quantity(self.units);
        Shortage { line: self.at, asked, sellable: Quantity::most(there), earliest: None }
    }
}

impl Entry<'_> {
    pub(super) fn ship(&mut self, command: &Command, ship: &Ship) -> Outcome {
        self.ledger.must_know_reservation(ship.id);
        let (operation, print) = (ship.operation, fingerprint(&command.body));
        if let Some(outcome) = self.joined(ship.id, RoundKind::Ship, Some(operation), print, command) {
            return outcome;
        }
        self.once(operation, command, |entry| entry.ship_anew(command, ship, print))
    }

    fn ship_anew(&mut self, command: &Command, ship: &Ship, print: u64) -> Result<Effect, Refusal> {
        let id = ship.id;
        let sold = self.must_be_sold(command, id)?;
        self.must_fit(id, &ship.parts, &sold, |terms| terms.on_ship)?;
        let most = |truth: &Truth, terms: &Terms| if terms.on_ship { truth.unshipped() } else { 0 };
        let picked = self.pick(id, &ship.parts, most)?;
        if picked.iter().all(|pick| pick.units == 0) {
            return Err(sold);
        }
        self.undisturbed(id)?;
        let reservation = &self.ledger.reservations[&id];
        let own = reservation.lines.iter().zip(&picked).enumerate().filter(|(_, (_, pick))| pick.units > 0);
        let own: Vec<Parcel> =
            own.map(|(line, (Line { pool, .. }, pick))| Parcel { line, pool: *pool, pick: *pick }).collect();
        let shippable = |parcel: &Parcel| self.ledger.stock.pool(parcel.pool).books.shippable();
        let lacks = own.iter().filter(|parcel| u64::from(parcel.pick.units) > shippable(parcel));
        let shortages: Vec<Shortage> = lacks.map(|parcel| parcel.pick.beyond(shippable(parcel))).collect();
        if !shortages.is_empty() {
            return Err(Refusal::InsufficientStock(shortages));
        }
        let wanted = elsewhere(reservation, &picked);
        let shards: Vec<ShardId> = wanted.iter().map(|line| line.shard).collect();
        self.answers(&shards)?;
        // Nothing can fail from here on.
        if wanted.is_empty() {
            return Ok(self.ship_here(command, id, &own));
        }
        let own_line = |parcel: &Parcel| {
            let pool = self.ledger.stock.pool(parcel.pool).shared_key();
            let Pick { units, at } = parcel.pick;
            let terms = reservation.rare(parcel.line).terms;
            (at, RoundOwn { pool, asked: units, units, extra: units, policy: 0, terms })
        };
        let beginning = Beginning {
            kind: RoundKind::Ship,
            namespace: reservation.namespace(&self.ledger.stock),
            operation: Some(ship.operation),
            print,
            best_effort: false,
            zone: 0,
            own: own.iter().map(own_line).collect(),
            wanted,
        };
        Ok((self.begin_round(command, id, beginning), None))
    }

    fn ship_here(&mut self, command: &Command, id: ReservationId, own: &[Parcel]) -> Effect {
        let mut last = None;
        if let Some(mut reservation) = self.ledger.reservations.remove(&id) {
            for Parcel { line, pool, pick } in own {
                let by = By::Request(&command.context);
                let moved = (Books::ship(u64::from(pick.units)), 0);
                let chain = (id, reservation.last);
                reservation.last = self.after(*pool, MovementKind::Ship, by, chain, moved, None);
                last = Some(reservation.last);
                reservation.rare_mut(*line).after.shipped += pick.units;
            }
            self.ledger.dirty.reservation(id, &mut reservation);
            self.ledger.reservations.insert(id, reservation);
        }
        (self.told(id), last)
    }

    pub(super) fn cancel(&mut self, command: &Command, cancel: &Cancel) -> Result<Effect, Refusal> {
        let id = cancel.id;
        self.ledger.must_know_reservation(id);
        let sold = self.must_be_sold(command, id)?;
        let (clock, since) = (self.clock(), self.ledger.reservations[&id].since);
        let open = |terms: &Terms| terms.on_ship || clock < since.plus(terms.cancel);
        // Of the whole, each line that still has units to cancel must be open to it.
        let closed = self.counts(id, |truth, terms| if open(terms) { 0 } else { cancellable(truth, terms) });
        if cancel.parts.is_empty() && closed.iter().any(|units| *units > 0) {
            return Err(sold);
        }
        self.must_fit(id, &cancel.parts, &sold, open)?;
        let picked = self.pick(id, &cancel.parts, cancellable)?;
        if picked.iter().all(|pick| pick.units == 0) {
            // A whole cancel that finds everything cancelled that can be is success. What left the house meanwhile, or
            // came back, is no part of that.
            let any = |counts: Vec<u32>| counts.iter().any(|units| *units > 0);
            let cancelled = any(self.counts(id, |truth, _| truth.after.cancelled));
            self.reached_before = cancelled && cancel.parts.is_empty() && !any(self.counts(id, cancellable));
            return if self.reached_before { Ok((self.told(id), None)) } else { Err(sold) };
        }
        self.undisturbed(id)?;
        // Nothing can fail from here on.
        Ok(self.take_back(command, id, &picked, What::Cancelled, &cancel.reason))
    }

    pub(super) fn take_return(&mut self, command: &Command, back: &Return) -> Result<Effect, Refusal> {
        let id = back.id;
        self.ledger.must_know_reservation(id);
        let sold = self.must_be_sold(command, id)?;
        let (clock, since) = (self.clock(), self.ledger.reservations[&id].since);
        let open = |terms: &Terms| terms.returns.is_none_or(|window| clock < since.plus(window));
        let most = |truth: &Truth, terms: &Terms| {
            let out = if terms.on_ship { truth.after.shipped } else { truth.committed - truth.after.cancelled };
            out - truth.came_back()
        };
        let closed = self.counts(id, |truth, terms| if open(terms) { 0 } else { most(truth, terms) });
        if back.parts.is_empty() && closed.iter().any(|units| *units > 0) {
            return Err(sold);
        }
        self.must_fit(id, &back.parts, &sold, open)?;
        let picked = self.pick(id, &back.parts, most)?;
        if picked.iter().all(|pick| pick.units == 0) {
            return Err(sold);
        }
        self.undisturbed(id)?;
        // Nothing can fail from here on.
        Ok(self.take_back(command, id, &picked, What::Returned(back.disposition), &back.reason))
    }

    /// Units of each line that were committed are the shop's again. Their shards are told.
    fn take_back(
        &mut self,
        command: &Command,
        id: ReservationId,
        picked: &[Pick],
        what: What,
        reason: &Reason,
    ) -> Effect {
        let clock = self.clock();
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else { return (self.told(id), None) };
        let by = By::Request(&command.context);
        let own = reservation.lines.as_slice().len();
        for (at, Pick { units: count, .. }) in picked[..own].iter().copied().enumerate() {
            let pool = reservation.lines.as_slice()[at].pool;
            if count == 0 {
                continue;
            }
            let ledger = &mut *self.ledger;
            let back = u64::from(count);
            ledger.stock.use_given_back(&mut ledger.dirty, clock, id, &reservation.owner, pool, back);
            let (kind, moved) = match what {
                What::Cancelled => (MovementKind::Cancel, ledger.stock.cancel(pool, back)),
                What::Returned(disposition) => {
                    let fit = disposition == Disposition::Sellable;
                    (MovementKind::Return, ledger.stock.take_return(pool, back, fit))
                }
            };
            let chain = (id, reservation.last);
            reservation.last = self.after(pool, kind, by, chain, moved, Some(reason));
            add(&mut reservation.rare_mut(at).after, what, count);
        }
        let mut told = Vec::new();
        let remote = reservation.cart.iter_mut().flat_map(|cart| &mut cart.remote);
        for (line, pick) in remote.zip(&picked[own..]).filter(|(_, pick)| pick.units > 0) {
            add(&mut line.now.after, what, pick.units);
            told.push(line.shard);
        }
        self.tell(id, &mut reservation, &told, by);
        let last = reservation.last_decision();
        self.ledger.dirty.reservation(id, &mut reservation);
        self.ledger.reservations.insert(id, reservation);
        (self.told(id), Some(last))
    }

    /// Refuses unless something was sold and nothing is held any more; gives the refusal for whatever else does not
    /// fit that state.
    fn must_be_sold(&mut self, command: &Command, id: ReservationId) -> Result<Refusal, Refusal> {
        self.may_end(command, id)?;
        let (state, since) = self.ledger.reservations[&id].state(self.clock());
        let refusal = Refusal::ReservationState { state, since };
        if state == ReservationState::Committed { Ok(refusal) } else { Err(refusal) }
    }

    /// Writes one movement of a reservation after it ended: what changes, and how many units were sold beyond on hand.
    pub(super) fn after(
        &mut self,
        pool: PoolRef,
        kind: MovementKind,
        by: By<'_>,
        (id, previous): (ReservationId, Spot),
        (delta, sold_short): (Delta, u64),
        reason: Option<&Reason>,
    ) -> Spot {
        let posting = Posting {
            kind,
            by,
            reservation: Some((id, Some(previous))),
            delta,
            sold_short,
            document: Bytes::new(),
            reason: reason.map(Reason::to_shared).unwrap_or_default(),
            deadline: None,
            owner: Bytes::new(),
        };
        self.ledger.stock.post(&mut self.block, pool, posting)
    }
}

/// Units that can be cancelled: where units are shipped, until they are, and else until they come back.
fn cancellable(truth: &Truth, terms: &Terms) -> u32 {
    match terms.on_ship {
        true => truth.unshipped(),
        false => truth.committed - truth.after.cancelled - truth.came_back(),
    }
}

fn add(after: &mut After, what: What, units: u32) {
    match what {
        What::Cancelled => after.cancelled += units,
        What::Returned(Disposition::Sellable) => after.returned += units,
        What::Returned(Disposition::Unavailable) => after.returned_unavailable += units,
    }
}

/// The lines in other shards of which units are picked.
fn elsewhere(reservation: &Reservation, picked: &[Pick]) -> Vec<RoundLine> {
    let own = reservation.lines.as_slice().len();
    let remote = reservation.cart.iter().flat_map(|cart| &cart.remote).zip(&picked[own..]);
    let line = |(line, pick): (&crate::state::RemoteLine, &Pick)| {
        let pool = read_pool_key(line.pool.clone()).expect("a key that was checked before");
        RoundLine { shard: line.shard, at: pick.at, place: line.place, line: line_of(&pool, pick.units) }
    };
    remote.filter(|(_, pick)| pick.units > 0).map(line).collect()
}
