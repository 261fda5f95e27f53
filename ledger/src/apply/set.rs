//! Set: on hand becomes a value, for whoever knows what it was or says that it does not matter.

use super::{Effect, Entry, receive::room, stockkeeping::Note};
use crate::{
    command::{Command, SetOnHand},
    movement::MovementKind,
    outcome::Refusal,
    types::Quantity,
};

impl Entry<'_> {
    pub(super) fn set(&mut self, command: &Command, set: &SetOnHand) -> Result<Effect, Refusal> {
        let pool = self.stocked(&set.pool)?;
        self.unless_leaving(pool)?;
        let found = self.ledger.stock.pool(pool);
        let on_hand = found.books.on_hand;
        let up = set.on_hand.units().saturating_sub(on_hand);
        let down = on_hand.saturating_sub(set.on_hand.units());
        room(found.totals.came_in(), up, "on_hand")?;
        if set.expected_on_hand.is_some_and(|expected| expected.units() != on_hand) {
            return Err(Refusal::VersionStale { on_hand: Quantity::most(on_hand) });
        }
        // Nothing can fail from here on.
        let note = Note { kind: MovementKind::Set, document: None, reason: Some(&set.reason) };
        Ok(self.correct(command, pool, &note, (up, down, 0)))
    }
}
