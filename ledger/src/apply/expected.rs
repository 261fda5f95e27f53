//! Expect: a receipt is announced for a day, or announced otherwise, or will not come. The receipt that names the same
//! document in the same pool is its arrival.

use super::{Effect, Entry};
use crate::{
    command::{Command, Expect},
    journal::{By, Posting},
    limits::EXPECTED_MAX,
    movement::{Delta, MovementKind},
    outcome::Refusal,
    state::{Announced, PoolRef},
    types::{Document, Quantity},
    validate::bad_field,
};
use bytes::Bytes;

impl Entry<'_> {
    pub(super) fn expect(&mut self, command: &Command, expect: &Expect) -> Result<Effect, Refusal> {
        let known = self.ledger.stock.find_key(&expect.pool);
        let expected = known.map_or(&[][..], |pool| self.ledger.stock.expected(pool));
        let new = expected.iter().all(|to_come| to_come.document != expect.document);
        if new && !expect.quantity.is_zero() && expected.len() >= EXPECTED_MAX {
            let problem = format_args!("{EXPECTED_MAX} receipts are expected in this pool, no more can be");
            return Err(Refusal::InvalidArgument(vec![bad_field("document", problem)]));
        }
        // Nothing can fail from here on.
        let pool = known.unwrap_or_else(|| self.ledger.stock.find_or_make(&expect.pool));
        self.ledger.stock.change_aside(pool, |aside| {
            aside.expected.retain(|to_come| to_come.document != expect.document);
            if !expect.quantity.is_zero() {
                let at = aside.expected.partition_point(|to_come| to_come.document < expect.document);
                let document = expect.document.detached();
                let new = Announced { document, date: expect.date, quantity: expect.quantity };
                aside.expected.insert(at, new);
            }
        });
        let posting = Posting {
            kind: MovementKind::Expect,
            by: By::Request(&command.context),
            reservation: None,
            delta: Delta::default(),
            sold_short: 0,
            document: expect.document.to_shared(),
            reason: Bytes::new(),
            deadline: Some(expect.date),
            owner: Bytes::new(),
        };
        self.block.expected = Some(expect.quantity);
        let spot = self.ledger.stock.post(&mut self.block, pool, posting);
        Ok((self.told_pool(pool), Some(spot)))
    }

    /// Units of a delivery arrived: they are no longer expected.
    pub(super) fn arrived(&mut self, pool: PoolRef, document: &Document, quantity: Quantity) {
        if self.ledger.stock.expected(pool).iter().all(|to_come| to_come.document != *document) {
            return;
        }
        self.ledger.stock.change_aside(pool, |aside| {
            for to_come in aside.expected.iter_mut().filter(|to_come| to_come.document == *document) {
                to_come.quantity = to_come.quantity.saturating_sub(quantity);
            }
            aside.expected.retain(|to_come| !to_come.quantity.is_zero());
        });
    }
}
