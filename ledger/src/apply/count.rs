//! Count: what was counted at a moment, with everything that moved since applied on top. Reality is never refused, and
//! nothing is clamped: if more left the books since than was there, those units are told, and the books stand at 0.
//!
//! The newest moment holds, whichever count arrives last: a count of an earlier moment than one that was entered before
//! changes nothing. Of two of the same moment the later entry holds.

use super::{Effect, Entry, receive::room, stockkeeping::Note};
use crate::{
    command::{Command, Count, Seen},
    movement::MovementKind,
    outcome::Refusal,
    state::{Counted, PoolRef},
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
        self.unless_leaving(pool)?;
        let seen = count.observed.map_or_else(|| Some(self.seen_now(pool)), |observed| observed.seen);
        let before = self.ledger.stock.counted(pool);
        if seen.is_some_and(|seen| seen.counts != before.number) {
            // What the books said then was looked up before another count corrected it.
            return Err(Refusal::Contended);
        }
        let newest = seen.is_none_or(|seen| seen.moment >= before.at);
        let (up, missing) = match newest {
            true => {
                (count.counted.units().saturating_sub(books_then), books_then.saturating_sub(count.counted.units()))
            }
            false => (0, 0),
        };
        room(found.totals.came_in(), up, "counted")?;
        // Nothing can fail from here on.
        let down = missing.min(on_hand);
        if let Some(Seen { moment, .. }) = seen.filter(|_| newest) {
            let counted = Counted { at: moment, number: before.number + 1 };
            self.ledger.stock.change_aside(pool, |aside| aside.counted = Some(counted));
        }
        let note = Note { kind: MovementKind::Count, document: Some(&count.document), reason: Some(&count.reason) };
        Ok(self.correct(command, pool, &note, (up, down, missing - down)))
    }

    fn seen_now(&self, pool: PoolRef) -> Seen {
        Seen { moment: self.clock(), counts: self.ledger.stock.counted(pool).number }
    }
}
