//! Count: what was counted at a moment, with everything that moved since applied on top. Reality is never refused, and
//! nothing is clamped: if more left the books since than was there, those units are told, and the books stand at 0.

use super::{Effect, Entry, receive::room, stockkeeping::Note};
use crate::{
    command::{Command, Count},
    movement::MovementKind,
    outcome::Refusal,
    validate::bad_field,
};

impl Entry<'_> {
    pub(super) fn count(&mut self, command: &Command, count: &Count) -> Result<Effect, Refusal> {
        let pool = self.stocked(&count.pool)?;
        let found = self.ledger.stock.pool(pool);
        let on_hand = found.books.on_hand;
        let books_then = count.observed.map_or(on_hand, |observed| observed.on_hand.units());
        if books_then > found.totals.came_in() {
            let problem = "is more than ever came into this pool";
            return Err(Refusal::InvalidArgument(vec![bad_field("observed.on_hand", problem)]));
        }
        let up = count.counted.units().saturating_sub(books_then);
        let missing = books_then.saturating_sub(count.counted.units());
        room(&found.totals, up, "counted")?;
        // Nothing can fail from here on.
        let down = missing.min(on_hand);
        let note = Note { kind: MovementKind::Count, document: Some(&count.document), reason: Some(&count.reason) };
        Ok(self.correct(command, pool, &note, (up, down, missing - down)))
    }
}
