//! Ship, cancel and return: what follows a sale.

use super::part;
use crate::model::{
    act::{After, Judged, Parts},
    shelf::{Shelf, Units},
};

impl Shelf {
    pub(super) fn after(&mut self, id: u32, operation: u32, parts: Option<&Parts>, what: After, end: &Judged) -> bool {
        // Why it was refused for its state is not judged.
        if let Some(fits) = self.before_change(id, Some(operation), end, true) {
            return fits;
        }
        if !self.done.insert(operation, ()) {
            return true;
        }
        let Some(mut hold) = self.hold_mut(id) else { return false };
        if hold.lines.iter().any(|line| line.held > 0) {
            return false;
        }
        for at in 0..hold.lines.len() {
            let line = &mut hold.lines[at];
            let most = match what {
                After::Ship => line.unshipped(),
                After::Cancel if line.on_ship || line.cancel => line.cancellable(),
                // A whole one is refused as long as there is anything that can't be taken back any more.
                After::Cancel if parts.is_none() && line.cancellable() > 0 => return false,
                After::Cancel => 0,
                After::Return { .. } => line.returnable(),
            };
            let units = parts.map_or(most, |parts| part(parts, line.sku));
            if units > most {
                return false;
            }
            let (sku, on_ship) = (line.sku, line.on_ship);
            moved(line, what, units);
            if what != After::Ship {
                hold.takes_back(sku, units);
            }
            if !self.books(sku, on_ship, what, units) {
                return false;
            }
            let Some(next) = self.hold_mut(id) else { return false };
            hold = next;
        }
        self.tells(id, end)
    }

    /// What follows a sale, in the books of the pool. Units that were sold beyond on hand come back first, and put nothing
    /// on hand.
    fn books(&mut self, sku: u16, on_ship: bool, what: After, units: u64) -> bool {
        let pool = self.pools.entry(sku).or_default();
        match what {
            After::Ship => {
                let there = pool.on_hand.saturating_sub(pool.unavailable);
                pool.on_hand -= units.min(there);
                units <= there
            }
            After::Cancel if on_ship => true,
            After::Cancel | After::Return { .. } => {
                let beyond = units.min(pool.sold_short);
                pool.sold_short -= beyond;
                pool.on_hand += units - beyond;
                if what == (After::Return { fit: false }) {
                    pool.unavailable += units - beyond;
                }
                true
            }
        }
    }
}

fn moved(line: &mut Units, what: After, units: u64) {
    match what {
        After::Ship => line.shipped += units,
        After::Cancel => line.cancelled += units,
        After::Return { fit: true } => line.returned += units,
        After::Return { fit: false } => line.apart += units,
    }
}
