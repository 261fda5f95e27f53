//! Receive: units that arrived. Makes SKU and pool if they are new.

use super::{Effect, Entry};
use crate::{
    command::{Command, Receive},
    journal::{By, Posting},
    movement::MovementKind,
    outcome::{Done, Refusal},
    planted::{self, Bug},
    state::PoolRef,
    types::{POOL_QUANTITY_MAX, Quantity},
    validate::bad_field,
};
use bytes::Bytes;

impl Entry<'_> {
    pub(super) fn receive(&mut self, command: &Command, receive: &Receive) -> Result<Effect, Refusal> {
        self.admit(command)?;
        let known = self.ledger.stock.find_key(&receive.pool);
        let came_in = known.map_or(0, |pool| self.ledger.stock.pool(pool).totals.came_in());
        room(came_in, receive.quantity.units(), "quantity")?;
        // Nothing can fail from here on.
        let pool = known.unwrap_or_else(|| self.ledger.stock.find_or_make(&receive.pool));
        let units = receive.quantity.units();
        let units = units + u64::from(units > 1 && planted::on(Bug::OneUnitMore));
        let posting = Posting {
            kind: MovementKind::Receive,
            by: By::Request(&command.context),
            reservation: None,
            delta: self.ledger.stock.pool(pool).books.arrive(units),
            sold_short: 0,
            document: receive.document.to_shared(),
            reason: Bytes::new(),
            deadline: None,
            owner: Bytes::new(),
        };
        let spot = self.ledger.stock.post(&mut self.block, pool, posting);
        self.arrived(pool, &receive.document, receive.quantity);
        Ok((self.told_pool(pool), Some(spot)))
    }

    pub(super) fn told_pool(&self, pool: PoolRef) -> Done {
        Done::Pool(Box::new(self.ledger.stock.view(pool, self.clock())))
    }
}

/// Refuses units that would bring what ever came into the pool beyond 2^53: then no account and no sum can be.
pub(super) fn room(came_in: u64, units: u64, field: &str) -> Result<(), Refusal> {
    let left = POOL_QUANTITY_MAX - came_in;
    if units <= left {
        return Ok(());
    }
    let left = Quantity::new(left).unwrap_or(Quantity::ZERO);
    let problem = format_args!("no more than {left} units can come into this pool, 2^53 in all its life");
    Err(Refusal::InvalidArgument(vec![bad_field(field, problem)]))
}
