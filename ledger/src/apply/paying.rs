//! Mark paying: once, a hold lives a little longer, because its shopper is at the payment provider.

use super::{Effect, Entry};
use crate::{
    command::{Command, MarkPaying},
    movement::MovementKind,
    outcome::{Refusal, ReservationState},
};

impl Entry<'_> {
    pub(super) fn mark_paying(&mut self, command: &Command, paying: &MarkPaying) -> Result<Effect, Refusal> {
        let id = paying.id;
        self.ledger.must_know_reservation(id);
        self.may_end(command, id)?;
        self.must_not_be_expired(id)?;
        self.must_be_live(id)?;
        let reservation = &self.ledger.reservations[&id];
        let (state, since) = reservation.state(self.clock());
        if state != ReservationState::Held || reservation.paying {
            return Err(Refusal::ReservationState { state, since });
        }
        self.undisturbed(id)?;
        // Nothing can fail from here on.
        let deadline = self.ledger.reservations[&id].deadline.plus(paying.grace);
        if let Some(reservation) = self.ledger.reservations.get_mut(&id) {
            reservation.paying = true;
            reservation.seldom_mut().grace_ms = u32::try_from(paying.grace.0).unwrap_or(u32::MAX);
        }
        let last = self.move_deadline(command, id, MovementKind::Paying, deadline);
        Ok((self.told(id), last))
    }
}
