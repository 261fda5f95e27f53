//! Adjust: a correction of on hand by hand. Reality below the books opens a shortage; it is never refused for that.

use super::{Effect, Entry, receive::room};
use crate::{
    command::{Adjust, Command},
    journal::{By, Posting},
    movement::MovementKind,
    outcome::{Missing, Refusal, Shortage},
    types::Quantity,
};
use bytes::Bytes;

impl Entry<'_> {
    pub(super) fn adjust(&mut self, command: &Command, adjust: &Adjust) -> Result<Effect, Refusal> {
        self.admit(command)?;
        let stock = &self.ledger.stock;
        let Some(pool) = stock.find_key(&adjust.pool) else {
            return Err(Refusal::NotFound(match stock.find_sku(&adjust.pool.namespace, &adjust.pool.sku) {
                None => Missing::Sku(adjust.pool.sku.detached()),
                Some(_) => Missing::Pool(Box::new(adjust.pool.detached())),
            }));
        };
        let on_hand = Quantity::new(stock.pool(pool).books.on_hand).expect("an account is at most 2^53");
        let units = adjust.delta.unsigned_abs();
        if adjust.delta > 0 {
            room(stock.pool(pool).totals.came_in(), units, "delta")?;
        }
        if let Some(expected) = adjust.expected_on_hand {
            self.unless_leaving(pool)?;
            if expected != on_hand {
                return Err(Refusal::VersionStale { on_hand });
            }
        }
        if adjust.delta < 0 && units > on_hand.units() {
            // What is there can be counted, so it is never below nothing.
            let asked = Quantity::new(units).expect("validated: at most 2^53");
            return Err(Refusal::InsufficientStock(vec![Shortage {
                line: 0,
                asked,
                sellable: on_hand,
                earliest: None,
            }]));
        }
        // Nothing can fail from here on. Units that only overdue holds keep are no shortage.
        if adjust.delta < 0 {
            // If the bound is reached first, the sweeps that follow pay the shortage off.
            self.sweep_pool(pool, units);
        }
        let books = &self.ledger.stock.pool(pool).books;
        let delta = if adjust.delta > 0 { books.arrive(units) } else { books.vanish(units) };
        let posting = Posting {
            kind: MovementKind::Adjust,
            by: By::Request(&command.context),
            reservation: None,
            delta,
            sold_short: 0,
            document: Bytes::new(),
            reason: adjust.reason.to_shared(),
            deadline: None,
            owner: Bytes::new(),
        };
        let spot = self.ledger.stock.post(&mut self.block, pool, posting);
        Ok((self.told_pool(pool), Some(spot)))
    }
}
