//! Transfers that are under way.

use super::{Map, Mark, PoolRef, SkuRef, Stock};
use crate::{
    outcome::TransferView,
    state::Dirty,
    types::{Document, OperationId, Quantity, TimeMs},
};

/// Units on their way between two pools of one SKU. sent > received + lost, or it is over.
#[derive(Clone, Debug)]
pub(crate) struct Transit {
    pub(crate) from: PoolRef,
    pub(crate) to: PoolRef,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) since: TimeMs,
    pub(crate) document: Document,
    pub(crate) mark: Mark,
}

/// Bytes a transfer's record takes in a checkpoint, about.
const RECORD_BYTES: usize = 200;

impl Transit {
    pub(crate) fn left(&self) -> u64 {
        self.sent - self.received - self.lost
    }

    pub(crate) fn view(&self, id: OperationId, stock: &Stock) -> TransferView {
        TransferView {
            id,
            from: stock.pool(self.from).named(),
            to: stock.pool(self.to).named(),
            sent: Quantity::most(self.sent),
            received: Quantity::most(self.received),
            lost: Quantity::most(self.lost),
            since: self.since,
            document: self.document.clone(),
        }
    }
}

impl Stock {
    /// A pool whose units in transit are not those of its transfers, if there is one.
    pub(crate) fn transit_problem(&self) -> Option<String> {
        let mut under_way = Map::<PoolRef, u64>::default();
        for transit in self.skus.iter().flat_map(|sku| sku.transit().values()) {
            *under_way.entry(transit.to).or_default() += transit.left();
        }
        let all = self.pools.iter().enumerate().map(|(at, pool)| (PoolRef::at(at), pool));
        for (at, pool) in all {
            let of_transfers = under_way.get(&at).copied().unwrap_or(0);
            if pool.books.in_transit != of_transfers {
                let in_books = pool.books.in_transit;
                return Some(format!(
                    "{:?} has {in_books} units in transit, its transfers {of_transfers}",
                    pool.name()
                ));
            }
        }
        None
    }

    /// Keeps a transfer as it stands now, or drops it if nothing of it is under way any more.
    pub(crate) fn keep_transit(&mut self, dirty: &mut Dirty, sku: SkuRef, id: OperationId, mut transit: Transit) {
        if transit.left() > 0 {
            self.dirty_transit.note(&mut transit.mark, (sku, id), RECORD_BYTES);
            self.insert_transit(sku, id, transit);
        } else if self.skus[sku.index()].end_transit(id) {
            self.transits -= 1;
            dirty.dropped(&transit.mark, id.to_bytes());
        }
    }

    /// Puts a transfer in its place. Whether there was none of that id.
    pub(crate) fn insert_transit(&mut self, sku: SkuRef, id: OperationId, transit: Transit) -> bool {
        let new = self.skus[sku.index()].transit_mut().insert(id, transit).is_none();
        self.transits += usize::from(new);
        new
    }
}
