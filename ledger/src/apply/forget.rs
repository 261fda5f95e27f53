//! Forget: drops the records whose time is over, by the same predicate that refuses their ids from then on.

use super::Entry;
use crate::{
    command::Forget,
    outcome::{Done, Outcome},
    records::{RecordKey, may_be_forgotten, reservation_forgettable},
};

impl Entry<'_> {
    pub(super) fn forget(&mut self, forget: &Forget) -> Outcome {
        let clock = self.clock();
        let ledger = &mut *self.ledger;
        for id in &forget.reservations {
            ledger.must_know_reservation(*id);
            let over = |found: &crate::state::Reservation| {
                let settled = found.ended.is_some() && !found.unsettled();
                let (committed, unshipped) = (found.committed(), found.unshipped());
                settled && reservation_forgettable(*id, found.since, committed, unshipped, clock)
            };
            if ledger.reservations.get(id).is_some_and(|found| over(found))
                && let Some(found) = ledger.reservations.remove(id)
            {
                ledger.dirty.dropped(&found.mark, id.to_bytes());
                ledger.cold.absent.insert(RecordKey::ended(*id));
            }
        }
        for id in &forget.operations {
            ledger.must_know_operation(*id);
            if may_be_forgotten(id.time(), clock)
                && let Some(found) = ledger.operations.remove(id)
            {
                ledger.dirty.dropped(&found.mark, id.to_bytes());
                ledger.cold.absent.insert(RecordKey::operation(*id));
            }
        }
        self.outcome(Ok((Done::Noted, None)))
    }
}
