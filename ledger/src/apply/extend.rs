//! Extend: a later deadline, up to a ceiling on the whole life of the hold.

use super::{Effect, Entry};
use crate::{
    command::{Command, Extend},
    journal::{By, Posting},
    limits::LIFE_MAX,
    movement::{Delta, MovementKind, Spot},
    outcome::Refusal,
    planted::{self, Bug},
    state::{Due, stop},
    types::{ReservationId, TimeMs},
};
use bytes::Bytes;

impl Entry<'_> {
    pub(super) fn extend(&mut self, command: &Command, extend: &Extend) -> Result<Effect, Refusal> {
        self.ledger.must_know_reservation(extend.id);
        self.may_end(command, extend.id)?;
        self.must_not_be_expired(extend.id)?;
        self.must_be_live(extend.id)?;
        self.undisturbed(extend.id)?;
        let reservation = &self.ledger.reservations[&extend.id];
        let life = reservation.first_deadline.since(reservation.created).max(LIFE_MAX);
        let latest = reservation.created.plus(life);
        let wanted = self.clock().plus(extend.ttl);
        if wanted > latest {
            return Err(Refusal::ExtensionLimit { latest });
        }
        // Nothing can fail from here on. What was added because the shopper is paying stays on top.
        let (before, effective) = (reservation.deadline, wanted.plus(reservation.grace()));
        let moves = effective > before || planted::on(Bug::ExtendShortens);
        let last = if moves { self.move_deadline(command, extend.id, MovementKind::Extend, effective) } else { None };
        Ok((self.told(extend.id), last))
    }

    /// Gives a live hold a later deadline, and tells its shards.
    pub(super) fn move_deadline(
        &mut self,
        command: &Command,
        id: ReservationId,
        kind: MovementKind,
        deadline: TimeMs,
    ) -> Option<Spot> {
        let mut reservation = self.ledger.reservations.remove(&id)?;
        let ledger = &mut *self.ledger;
        let before = Due::new(reservation.deadline, id);
        let after = Due::new(deadline, id);
        let mut last = None;
        for line in reservation.lines.iter().filter(|line| line.held > 0) {
            let held = u64::from(line.held);
            let pool = ledger.stock.pool_mut(line.pool);
            pool.take_hold(before, held, 0);
            pool.add_hold(after, held);
            let posting = Posting {
                kind,
                by: By::Request(&command.context),
                reservation: Some((id, Some(last.unwrap_or(reservation.last)))),
                delta: Delta::default(),
                sold_short: 0,
                document: Bytes::new(),
                reason: Bytes::new(),
                deadline: Some(deadline),
                owner: Bytes::new(),
            };
            last = Some(ledger.stock.post(&mut self.block, line.pool, posting));
        }
        reservation.last = last.unwrap_or(reservation.last);
        reservation.deadline = deadline;
        if !ledger.deadlines.remove(&before) {
            stop(format_args!("reservation {id} is not among the deadlines"));
        }
        ledger.deadlines.add(after, ());
        let remote = reservation.cart.iter().flat_map(|cart| &cart.remote);
        let told: Vec<_> = remote.filter(|line| line.now.held > 0).map(|line| line.shard).collect();
        self.tell(id, &mut reservation, &told, By::Request(&command.context));
        self.ledger.dirty.reservation(id, &mut reservation);
        self.ledger.reservations.insert(id, reservation);
        last
    }
}
