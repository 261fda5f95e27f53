//! How held units end: the one place where a reservation's lines shrink, and where it ends with the last of them.

use super::Entry;
use crate::{
    cart::message::{After, Truth},
    journal::{By, Posting, Writer},
    movement::{Delta, MovementKind, Spot},
    planted::{self, Bug},
    state::{Dirty, Due, EndedBy, Line, Reservation, Stock, stop},
    types::ReservationId,
};
use bytes::Bytes;
use std::cmp::Reverse;

/// What becomes of the held units of one line. The rest stays held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Split {
    pub(super) commit: u32,
    pub(super) release: u32,
    pub(super) expire: u32,
}

impl Split {
    fn units(self) -> u32 {
        self.commit + self.release + self.expire
    }
}

/// On whose wish units end, and what ended the reservation if they were its last.
#[derive(Clone, Copy)]
pub(super) struct Why<'a> {
    pub(super) by: By<'a>,
    pub(super) ended: EndedBy,
}

impl Entry<'_> {
    /// Ends held units of a live reservation as `split` says for each line, and returns the last movement. `split`
    /// never takes more than is held.
    pub(super) fn settle(
        &mut self,
        id: ReservationId,
        why: Why<'_>,
        split: impl Fn(usize, &Truth) -> Split,
    ) -> Option<Spot> {
        let clock = self.clock();
        let mut ledger = &mut *self.ledger;
        let Some(mut reservation) = ledger.reservations.get_mut(&id) else {
            stop(format_args!("reservation {id} is to end units, but is not there"));
        };
        let due = Due::new(reservation.deadline, id);
        let committed_before = reservation.committed();
        let without_home = planted::on(Bug::CommitWithoutHome) && reservation.cart.is_some();
        let own = |at: usize, line: &Truth| {
            let own = split(at, line);
            if without_home { Split { commit: 0, release: own.release + own.commit, ..own } } else { own }
        };
        let (last, mut left) =
            settle_own((&mut ledger.stock, &mut ledger.dirty), &mut self.block, (id, reservation), why, &own);
        let own_only = planted::on(Bug::OwnLinesExpire) && why.ended == EndedBy::Expiry;
        if reservation.cart.is_some() && !own_only {
            left += self.settle_cart(id, why, &split);
            ledger = &mut *self.ledger;
            reservation = ledger.reservations.get_mut(&id).expect("was put back just now");
        }
        if left > 0 {
            if reservation.committed() != committed_before {
                reservation.since = clock;
            }
            ledger.dirty.reservation(id, reservation);
            return last;
        }
        reservation.ended = Some(why.ended);
        reservation.since = if why.ended == EndedBy::Expiry { reservation.deadline } else { clock };
        ledger.dirty.reservation(id, reservation);
        if !ledger.deadlines.remove(&due) {
            stop(format_args!("reservation {id} is not among the deadlines"));
        }
        ledger.owners.remove(&reservation.owner, id);
        if !reservation.passing() {
            ledger.cold.ended.push(Reverse(id));
        }
        last
    }

    /// The same for the lines in other shards: they change here, and their shards are told. Gives how many units are
    /// still held there.
    fn settle_cart(&mut self, id: ReservationId, why: Why<'_>, split: &impl Fn(usize, &Truth) -> Split) -> u64 {
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else { return 0 };
        let own = reservation.lines.as_slice().len();
        let mut told = Vec::new();
        let mut left = 0;
        for (at, line) in reservation.cart.iter_mut().flat_map(|cart| &mut cart.remote).enumerate() {
            let split = split(own + at, &line.now);
            let Some(rest) = line.now.held.checked_sub(split.units()) else {
                stop(format_args!("reservation {id} ends {split:?} of {line:?}"));
            };
            left += u64::from(rest);
            if split.units() == 0 {
                continue;
            }
            line.now = Truth {
                held: rest,
                committed: line.now.committed + split.commit,
                released: line.now.released + split.release,
                expired: line.now.expired + split.expire,
                after: line.now.after,
            };
            told.push(line.shard);
        }
        if !planted::on(Bug::DecisionNotTold) {
            self.tell(id, &mut reservation, &told, why.by);
        }
        self.ledger.reservations.insert(id, reservation);
        left
    }
}

/// Ends units of the lines that live here. Gives the last movement, and how many units are still held.
fn settle_own(
    (stock, dirty): (&mut Stock, &mut Dirty),
    block: &mut Writer,
    (id, reservation): (ReservationId, &mut Reservation),
    why: Why<'_>,
    split: &impl Fn(usize, &Truth) -> Split,
) -> (Option<Spot>, u64) {
    let due = Due::new(reservation.deadline, id);
    let mut last = None;
    let mut left = 0_u64;
    for (at, line) in reservation.lines.as_mut_slice().iter_mut().enumerate() {
        let Line { held, committed, released, expired, .. } = *line;
        // What follows a sale has no part in how held units end.
        let split = split(at, &Truth { held, committed, released, expired, after: After::default() });
        let units = split.units();
        let Some(rest) = line.held.checked_sub(units) else {
            stop(format_args!("reservation {id} ends {split:?} of {line:?}"));
        };
        left += u64::from(rest);
        if units == 0 {
            continue;
        }
        stock.pool_mut(line.pool).take_hold(due, u64::from(units), u64::from(rest));
        let (ended, sold) = (u64::from(units), u64::from(split.commit));
        stock.use_ended(dirty, block.time(), id, &reservation.owner, line.pool, ended, sold);
        let kinds = [
            (MovementKind::Commit, split.commit),
            (MovementKind::Release, split.release),
            (MovementKind::Expire, split.expire),
        ];
        for (kind, units) in kinds.into_iter().filter(|(_, units)| *units > 0) {
            let (delta, sold_short): (Delta, u64) = match kind {
                MovementKind::Commit => stock.sell(line.pool, u64::from(units)),
                _ => (stock.pool(line.pool).books.give_back(u64::from(units)), 0),
            };
            let posting = Posting {
                kind,
                by: why.by,
                reservation: Some((id, Some(reservation.last))),
                delta,
                sold_short,
                document: Bytes::new(),
                reason: Bytes::new(),
                deadline: None,
                owner: Bytes::new(),
            };
            reservation.last = stock.post(block, line.pool, posting);
            last = Some(reservation.last);
        }
        line.held = rest;
        line.committed += split.commit;
        line.released += split.release;
        line.expired += split.expire;
    }
    (last, left)
}
