//! Commit: held -> sold, whole or in parts.
//!
//! A whole commit whose end was reached already is success. Parts repeat only under their operation's id.

use super::{
    Effect, Entry,
    settle::{Split, Why},
};
use crate::{
    command::{Command, Commit, Part},
    journal::By,
    outcome::{Done, Missing, Outcome, Refusal, Shortage, Verdict, pool_of},
    records::pool_key_bytes,
    state::{EndedBy, Reservation, Stock},
    types::{PoolKey, Quantity, ReservationId},
};

impl Entry<'_> {
    pub(super) fn commit(&mut self, command: &Command, commit: &Commit) -> Outcome {
        self.ledger.must_know_reservation(commit.id);
        if let (Some(operation), false) = (commit.operation, commit.parts.is_empty()) {
            return self.once(operation, command, |entry| entry.commit_anew(command, commit));
        }
        if commit.parts.is_empty()
            && let Some(outcome) = self.end_reached(commit.id, EndedBy::Commit)
        {
            return outcome;
        }
        let result = self.commit_anew(command, commit);
        self.outcome(result)
    }

    fn commit_anew(&mut self, command: &Command, commit: &Commit) -> Result<Effect, Refusal> {
        self.may_end(command, commit.id)?;
        if let Some((since, EndedBy::Expiry)) = self.ended(commit.id) {
            return Err(Refusal::ReservationExpired { since });
        }
        self.must_be_live(commit.id)?;
        let parts = self.parts(commit.id, &commit.parts)?;
        // Nothing can fail from here on.
        let why = Why { by: By::Request(&command.context), ended: EndedBy::Commit };
        let last = match parts {
            None => self.settle(commit.id, why, |_, line| Split { commit: line.held, ..Split::default() }),
            Some(parts) => self.settle(commit.id, why, |at, line| {
                let release = if commit.keep_rest { 0 } else { line.held - parts[at] };
                Split { commit: parts[at], release, expire: 0 }
            }),
        };
        Ok((self.told(commit.id), last))
    }

    /// The reservation as it stands now.
    pub(super) fn told(&self, id: ReservationId) -> Done {
        let reservation = &self.ledger.reservations[&id];
        Done::Reservation(Box::new(reservation.view(id, &self.ledger.stock, self.clock())))
    }

    /// The answer to a whole commit or release whose end was reached before.
    pub(super) fn end_reached(&self, id: ReservationId, by: EndedBy) -> Option<Outcome> {
        let reservation = self.ledger.reservations.get(&id)?;
        let reached = match reservation.ended {
            // A release while it was prepared rejected it.
            Some(EndedBy::Rejection) => by == EndedBy::Release && self.ledger.was_released_open(id),
            ended => ended == Some(by),
        };
        if !reached {
            return None;
        }
        Some(Outcome {
            verdict: Verdict::Done(self.told(id)),
            replayed: true,
            position: reservation.last_decision().at(self.ledger.shard),
            time: reservation.since,
        })
    }

    /// The refusals that commit, release and extend have in common: is the request good, and is there such a
    /// reservation? A hold that is overdue is ended then and there.
    pub(super) fn may_end(&mut self, command: &Command, id: ReservationId) -> Result<(), Refusal> {
        let too_old = Refusal::IdempotencyTooOld;
        let absent = (!self.ledger.reservations.contains_key(&id)).then(|| self.absent(id));
        if absent.as_ref() == Some(&too_old) {
            return Err(too_old);
        }
        self.admit(command)?;
        if let Some(absent) = absent {
            return Err(absent);
        }
        let reservation = &self.ledger.reservations[&id];
        if reservation.overdue(self.clock()) {
            self.expire(id);
        } else if reservation.opening() {
            return Err(Refusal::Contended);
        }
        Ok(())
    }

    /// When and how a reservation ended, if it has.
    pub(super) fn ended(&self, id: ReservationId) -> Option<(crate::types::TimeMs, EndedBy)> {
        let reservation: &Reservation = &self.ledger.reservations[&id];
        reservation.ended.map(|by| (reservation.since, by))
    }

    pub(super) fn must_be_live(&self, id: ReservationId) -> Result<(), Refusal> {
        let reservation = &self.ledger.reservations[&id];
        if reservation.ended.is_none() {
            return Ok(());
        }
        let (state, since) = reservation.state(self.clock());
        Err(Refusal::ReservationState { state, since })
    }

    /// For each line how many of its held units are named; none if no parts are given, which means all.
    pub(super) fn parts(&self, id: ReservationId, parts: &[Part]) -> Result<Option<Vec<u32>>, Refusal> {
        if parts.is_empty() {
            return Ok(None);
        }
        let reservation = &self.ledger.reservations[&id];
        let lines = Held::of(reservation, &self.ledger.stock);
        let namespace = lines.namespace.clone();
        let mut units = vec![0_u64; lines.held.len()];
        let mut first = vec![0_u32; lines.held.len()];
        for (index, part) in parts.iter().enumerate() {
            let pool = pool_of(&namespace, &part.sku, &part.location, part.kind, &part.lot);
            let Some(at) = lines.position(&pool) else {
                return Err(Refusal::NotFound(Missing::Line(pool.detached())));
            };
            if units[at] == 0 {
                first[at] = u32::try_from(index).unwrap_or(u32::MAX);
            }
            // At most 500 parts of 10^9 each.
            units[at] += part.quantity.units();
        }
        let shortages: Vec<Shortage> = lines
            .held
            .iter()
            .copied()
            .zip(units.iter().zip(&first))
            .filter(|(held, (units, _))| **units > u64::from(*held))
            .map(|(held, (units, first))| Shortage {
                line: *first,
                asked: Quantity::new(*units).expect("500 parts of 10^9 are below 2^53"),
                sellable: Quantity::new(u64::from(held)).expect("32 bits are below 2^53"),
                earliest: None,
            })
            .collect();
        if !shortages.is_empty() {
            return Err(Refusal::InsufficientStock(shortages));
        }
        Ok(Some(units.into_iter().map(|units| u32::try_from(units).expect("at most what is held")).collect()))
    }
}

/// The lines of a reservation as partial operations see them: its own first, then those in other shards.
struct Held<'a> {
    namespace: crate::types::Namespace,
    held: Vec<u32>,
    reservation: &'a Reservation,
    stock: &'a Stock,
}

impl<'a> Held<'a> {
    fn of(reservation: &'a Reservation, stock: &'a Stock) -> Self {
        let remote = reservation.cart.iter().flat_map(|cart| &cart.remote);
        let held = reservation.lines.iter().map(|line| line.held).chain(remote.map(|line| line.now.held));
        let namespace = match &reservation.cart {
            Some(cart) => cart.namespace.clone(),
            None => stock.pool(reservation.lines.as_slice()[0].pool).key.namespace.clone(),
        };
        Self { namespace, held: held.collect(), reservation, stock }
    }

    fn position(&self, pool: &PoolKey) -> Option<usize> {
        let own = self.reservation.lines.as_slice();
        if let Some(at) = own.iter().position(|line| self.stock.pool(line.pool).key == *pool) {
            return Some(at);
        }
        let cart = self.reservation.cart.as_ref()?;
        let key = pool_key_bytes(pool);
        cart.remote.iter().position(|line| line.pool == key).map(|at| own.len() + at)
    }
}
