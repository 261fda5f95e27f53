//! Transfer: units of a SKU go from one location to another, at once or in two legs. All locations of a SKU are in one
//! shard, so each leg is one step; what is between the legs stands in the destination's account `in_transit`.

use super::{Effect, Entry, receive::room, reserve::loose_by, stockkeeping::Note};
use crate::{
    command::{Arrive, Command, Transfer},
    limits::TRANSFERS_MAX,
    movement::{Delta, MovementKind},
    outcome::{Done, Missing, Refusal, Shortage, Transferred},
    state::{Mark, PoolRef, Transit},
    types::{OperationId, PoolKey, Quantity},
    validate::bad_field,
};

impl Entry<'_> {
    pub(super) fn transfer(&mut self, command: &Command, transfer: &Transfer) -> Result<Effect, Refusal> {
        let from = self.stocked(&transfer.from)?;
        let to = PoolKey { location: transfer.to.clone(), ..transfer.from.clone() };
        let units = transfer.quantity.units();
        self.may_send(transfer, from, &to, command.heard)?;
        self.sweep_pool(from, units);
        if self.ledger.stock.pool(from).books.available < units {
            return Err(Refusal::Contended);
        }
        // Nothing can fail from here on.
        let to = self.ledger.stock.find_or_make(&to);
        let note = |kind| Note { kind, document: Some(&transfer.document), reason: Some(&transfer.reason) };
        let gone = -i64::try_from(units).expect("a quantity is at most 2^53");
        let left = Delta { on_hand: gone, available: gone, ..Delta::default() };
        self.names(transfer.operation);
        self.note(command, from, &note(MovementKind::TransferOut), left, 0);
        self.names(transfer.operation);
        let spot = if transfer.immediate {
            let delta = self.ledger.stock.pool(to).books.arrive(units);
            self.note(command, to, &note(MovementKind::TransferIn), delta, 0)
        } else {
            let delta = Delta { in_transit: -gone, ..Delta::default() };
            self.note(command, to, &note(MovementKind::TransferSent), delta, 0)
        };
        let received = if transfer.immediate { units } else { 0 };
        let transit = Transit {
            from,
            to,
            sent: units,
            received,
            lost: 0,
            since: self.clock(),
            document: transfer.document.detached(),
            mark: Mark::default(),
        };
        Ok((self.kept(transfer.operation, transit), Some(spot)))
    }

    fn may_send(&self, transfer: &Transfer, from: PoolRef, to: &PoolKey, heard: bool) -> Result<(), Refusal> {
        let stock = &self.ledger.stock;
        let found = stock.pool(from);
        let came_in = stock.find_key(to).map_or(0, |to| stock.pool(to).totals.came_in());
        room(came_in, transfer.quantity.units(), "quantity")?;
        if !transfer.immediate && stock.sku(found.sku).transit().len() >= TRANSFERS_MAX {
            let problem = format_args!("{TRANSFERS_MAX} transfers of this SKU are under way, no more can be");
            return Err(Refusal::InvalidArgument(vec![bad_field("to", problem)]));
        }
        // Safety stock is kept from shoppers, not from those who keep the stock.
        let available = found.available_at(self.clock());
        if transfer.quantity.units() > available {
            if transfer.quantity.units() <= found.available_with_loose(self.clock(), loose_by(heard, self.clock())) {
                return Err(Refusal::Contended);
            }
            let (asked, sellable) = (transfer.quantity, Quantity::most(available));
            let earliest = None;
            return Err(Refusal::InsufficientStock(vec![Shortage { line: 0, asked, sellable, earliest }]));
        }
        Ok(())
    }

    pub(super) fn arrive(&mut self, command: &Command, arrive: &Arrive) -> Result<Effect, Refusal> {
        let stock = &self.ledger.stock;
        let sku = stock
            .find_sku(&arrive.namespace, &arrive.sku)
            .ok_or_else(|| Refusal::NotFound(Missing::Sku(arrive.sku.detached())))?;
        let transit = sku.transit().get(&arrive.transfer);
        let mut transit = transit.ok_or(Refusal::NotFound(Missing::Transfer(arrive.transfer)))?.clone();
        let (received, lost) = (arrive.received.units(), arrive.lost.units());
        if received + lost > transit.left() {
            let asked = Quantity::most(received + lost);
            let sellable = Quantity::most(transit.left());
            return Err(Refusal::InsufficientStock(vec![Shortage { line: 0, asked, sellable, earliest: None }]));
        }
        // Nothing can fail from here on.
        let note = |kind| Note { kind, document: Some(&arrive.document), reason: Some(&arrive.reason) };
        let mut last = None;
        if received > 0 {
            let delta = self.ledger.stock.pool(transit.to).books.land(received);
            self.names(arrive.transfer);
            last = Some(self.note(command, transit.to, &note(MovementKind::TransferIn), delta, 0));
        }
        if lost > 0 {
            let gone = -i64::try_from(lost).expect("a quantity is at most 2^53");
            let delta = Delta { in_transit: gone, ..Delta::default() };
            self.names(arrive.transfer);
            last = Some(self.note(command, transit.to, &note(MovementKind::TransferLost), delta, 0));
        }
        transit.received += received;
        transit.lost += lost;
        Ok((self.kept(arrive.transfer, transit), last))
    }

    /// The next movement is of that transfer.
    fn names(&mut self, transfer: OperationId) {
        self.block.transfer = Some(transfer);
    }

    /// Keeps a transfer as it stands, and tells of it.
    fn kept(&mut self, id: OperationId, transit: Transit) -> Done {
        let ledger = &mut *self.ledger;
        let told = Transferred {
            transfer: transit.view(id, &ledger.stock),
            from: ledger.stock.view(transit.from, ledger.header.clock),
            to: ledger.stock.view(transit.to, ledger.header.clock),
        };
        let sku = ledger.stock.pool(transit.from).sku;
        ledger.stock.keep_transit(&mut ledger.dirty, sku, id, transit);
        Done::Transfer(Box::new(told))
    }
}
