//! How held units end: the one place where a reservation's lines shrink, and where it ends with the last of them.

use super::Entry;
use crate::{
    cart::message::Truth,
    journal::{By, Posting},
    movement::{Delta, MovementKind, Spot},
    state::{Due, EndedBy, Reservation, stop},
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
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else {
            stop(format_args!("reservation {id} is to end units, but is not there"));
        };
        let last = self.settle_lines(id, &mut reservation, why, split);
        self.ledger.reservations.insert(id, reservation);
        last
    }

    fn settle_lines(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        why: Why<'_>,
        split: impl Fn(usize, &Truth) -> Split,
    ) -> Option<Spot> {
        let clock = self.clock();
        let ledger = &mut *self.ledger;
        let due = Due::new(reservation.deadline, id);
        let committed_before = reservation.committed();
        let mut last = None;
        let mut left = 0_u64;
        for (at, line) in reservation.lines.as_mut_slice().iter_mut().enumerate() {
            let split = split(at, &line.truth());
            let units = split.units();
            let Some(rest) = line.held.checked_sub(units) else {
                stop(format_args!("reservation {id} ends {split:?} of {line:?}"));
            };
            left += u64::from(rest);
            if units == 0 {
                continue;
            }
            ledger.stock.pool_mut(line.pool).take_hold(due, u64::from(units), u64::from(rest));
            let (ended, sold) = (u64::from(units), u64::from(split.commit));
            ledger.stock.use_ended(&mut ledger.dirty, clock, id, &reservation.owner, line.pool, ended, sold);
            let kinds = [
                (MovementKind::Commit, split.commit),
                (MovementKind::Release, split.release),
                (MovementKind::Expire, split.expire),
            ];
            for (kind, units) in kinds.into_iter().filter(|(_, units)| *units > 0) {
                let (delta, sold_short): (Delta, u64) = match kind {
                    MovementKind::Commit => ledger.stock.sell(line.pool, u64::from(units)),
                    _ => (ledger.stock.pool(line.pool).books.give_back(u64::from(units)), 0),
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
                reservation.last = ledger.stock.post(&mut self.block, line.pool, posting);
                last = Some(reservation.last);
            }
            line.held = rest;
            line.committed += split.commit;
            line.released += split.release;
            line.expired += split.expire;
        }
        left += self.settle_remote(id, reservation, why, split);
        let ledger = &mut *self.ledger;
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
    fn settle_remote(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        why: Why<'_>,
        split: impl Fn(usize, &Truth) -> Split,
    ) -> u64 {
        let own = reservation.lines.as_slice().len();
        let Some(cart) = &mut reservation.cart else { return 0 };
        let mut told = Vec::new();
        let mut left = 0;
        for (at, line) in cart.remote.iter_mut().enumerate() {
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
            };
            told.push(line.shard);
        }
        self.tell(id, reservation, &told, why.by);
        left
    }
}
