//! How held units end: the one place where a reservation's lines shrink, and where it ends with the last of them.

use super::Entry;
use crate::{
    journal::{By, Posting},
    movement::{Delta, MovementKind, Spot},
    state::{Due, EndedBy, Line, stop},
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
        split: impl Fn(usize, &Line) -> Split,
    ) -> Option<Spot> {
        let clock = self.clock();
        let ledger = &mut *self.ledger;
        let Some(reservation) = ledger.reservations.get_mut(&id) else {
            stop(format_args!("reservation {id} is to end units, but is not there"));
        };
        let due = Due::new(reservation.deadline, id);
        let committed_before = reservation.committed();
        let mut last = None;
        let mut left = 0_u64;
        for (at, line) in reservation.lines.as_mut_slice().iter_mut().enumerate() {
            let split = split(at, line);
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
        if left > 0 {
            if reservation.committed() != committed_before {
                reservation.since = clock;
            }
            ledger.dirty.reservation(id, reservation);
            return last;
        }
        reservation.ended = Some(why.ended);
        reservation.since = if why.ended == EndedBy::Expiry { reservation.deadline } else { clock };
        ledger.dirty.reservation_ended(id, reservation);
        if !ledger.deadlines.remove(&due) {
            stop(format_args!("reservation {id} is not among the deadlines"));
        }
        ledger.owners.remove(&reservation.owner, id);
        ledger.cold.ended.push(Reverse(id));
        last
    }
}
