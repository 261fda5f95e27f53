//! Quarantine: units that are there and can't be sold are set apart, come back, or are written off.

use super::{Effect, Entry, stockkeeping::Note};
use crate::{
    command::{Command, Quarantine, QuarantineStep},
    movement::MovementKind,
    outcome::{Refusal, Shortage},
    types::Quantity,
};

impl Entry<'_> {
    pub(super) fn quarantine(&mut self, command: &Command, quarantine: &Quarantine) -> Result<Effect, Refusal> {
        let pool = self.stocked(&quarantine.pool)?;
        let units = quarantine.quantity.units();
        let books = self.ledger.stock.pool(pool).books;
        let there = match quarantine.step {
            // What is held or committed can be found damaged as well as what is free.
            QuarantineStep::SetApart => books.on_hand.saturating_sub(books.unavailable),
            QuarantineStep::Back | QuarantineStep::WriteOff => books.unavailable,
        };
        if units > there {
            let (asked, sellable) = (quarantine.quantity, Quantity::most(there));
            return Err(Refusal::InsufficientStock(vec![Shortage { line: 0, asked, sellable, earliest: None }]));
        }
        // Nothing can fail from here on.
        if quarantine.step == QuarantineStep::SetApart {
            self.sweep_pool(pool, units);
        }
        let books = &self.ledger.stock.pool(pool).books;
        let (kind, delta) = match quarantine.step {
            QuarantineStep::SetApart => (MovementKind::Quarantine, books.set_apart(units)),
            QuarantineStep::Back => (MovementKind::Unquarantine, books.put_back(units)),
            QuarantineStep::WriteOff => (MovementKind::WriteOff, books.write_off(units)),
        };
        let note = Note { kind, document: None, reason: Some(&quarantine.reason) };
        let spot = self.note(command, pool, &note, delta, 0);
        Ok(self.changed(pool, delta.on_hand, 0, spot))
    }
}
