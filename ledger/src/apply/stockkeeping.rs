//! What the operations of the keepers of the stock have in common.

use super::{Effect, Entry};
use crate::{
    command::{Command, Stockkeeping},
    journal::{By, Posting},
    movement::{Delta, MovementKind, Spot},
    outcome::{Done, Missing, Refusal, StockChange},
    state::{PoolRef, RoundKind},
    types::{Document, PoolKey, Quantity, Reason},
};
use bytes::Bytes;

/// What a movement of such an operation says.
pub(super) struct Note<'a> {
    pub(super) kind: MovementKind,
    pub(super) document: Option<&'a Document>,
    pub(super) reason: Option<&'a Reason>,
}

impl Entry<'_> {
    pub(super) fn keep_stock(&mut self, command: &Command, asked: &Stockkeeping) -> Result<Effect, Refusal> {
        self.admit(command)?;
        match asked {
            Stockkeeping::Set(set) => self.set(command, set),
            Stockkeeping::Count(count) => self.count(command, count),
            Stockkeeping::Quarantine(quarantine) => self.quarantine(command, quarantine),
            Stockkeeping::Transfer(transfer) => self.transfer(command, transfer),
            Stockkeeping::Arrive(arrive) => self.arrive(command, arrive),
            Stockkeeping::Expect(expect) => self.expect(command, expect),
            Stockkeeping::Configure(configure) => self.configure(configure),
        }
    }

    /// The pool of that key, if it was ever stocked.
    pub(super) fn stocked(&self, key: &PoolKey) -> Result<PoolRef, Refusal> {
        let stock = &self.ledger.stock;
        stock.find_key(key).ok_or_else(|| {
            Refusal::NotFound(match stock.find_sku(&key.namespace, &key.sku) {
                None => Missing::Sku(key.sku.detached()),
                Some(_) => Missing::Pool(Box::new(key.detached())),
            })
        })
    }

    /// While the shipping of a cart is being decided, nobody can say whether its units are still in the house, so nobody
    /// can say how many there are.
    pub(super) fn unless_leaving(&self, pool: PoolRef) -> Result<(), Refusal> {
        let ledger = &*self.ledger;
        let elsewhere = ledger.undecided.iter().filter_map(|due| ledger.parts.get(&due.id()));
        let mut shipping = elsewhere.flat_map(|part| &part.lines).filter(|line| line.shipping > 0);
        if shipping.any(|line| line.pool == pool) {
            return Err(Refusal::Contended);
        }
        let key = &ledger.stock.pool(pool).bytes;
        let here = ledger.rounds.iter().filter_map(|due| ledger.reservations.get(&due.id())?.round());
        let mut own = here.filter(|round| round.kind == RoundKind::Ship).flat_map(|round| &round.own);
        match own.any(|own| own.extra > 0 && *own.pool == **key) {
            true => Err(Refusal::Contended),
            false => Ok(()),
        }
    }

    /// Posts a movement that belongs to no reservation.
    pub(super) fn note(
        &mut self,
        command: &Command,
        pool: PoolRef,
        note: &Note<'_>,
        delta: Delta,
        beyond: u64,
    ) -> Spot {
        let posting = Posting {
            kind: note.kind,
            by: By::Request(&command.context),
            reservation: None,
            delta,
            sold_short: beyond,
            document: note.document.map(Document::to_shared).unwrap_or_default(),
            reason: note.reason.map(Reason::to_shared).unwrap_or_default(),
            deadline: None,
            owner: Bytes::new(),
        };
        self.ledger.stock.post(&mut self.block, pool, posting)
    }

    /// On hand grew by `up`, or shrank by `down` and would have by `beyond` more.
    pub(super) fn correct(
        &mut self,
        command: &Command,
        pool: PoolRef,
        note: &Note<'_>,
        (up, down, beyond): (u64, u64, u64),
    ) -> Effect {
        if down > 0 {
            // Units that only overdue holds keep are no shortage. If the bound is reached first, the sweeps that
            // follow pay it off.
            self.sweep_pool(pool, down);
        }
        let books = &self.ledger.stock.pool(pool).books;
        let delta = if up > 0 { books.arrive(up) } else { books.vanish(down) };
        let spot = self.note(command, pool, note, delta, beyond);
        self.changed(pool, delta.on_hand, beyond, spot)
    }

    /// What is told of a pool whose stock changed.
    pub(super) fn changed(&self, pool: PoolRef, delta: i64, beyond: u64, spot: Spot) -> Effect {
        let change = StockChange {
            pool: self.ledger.stock.view(pool, self.clock()),
            delta,
            beyond: Quantity::most(beyond),
            shortage: self.ledger.shortage_of(pool),
        };
        (Done::Stock(Box::new(change)), Some(spot))
    }
}
