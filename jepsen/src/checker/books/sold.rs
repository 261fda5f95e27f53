//! What reservations say of a pool at the end, and whether the pool says the same.

use super::{flows::Flows, sums};
use crate::{
    history::{Action, After, Balance, History, article},
    model::ClockBound,
};
use std::collections::{BTreeMap, BTreeSet};

/// What reservations say of a pool.
#[derive(Default)]
pub(super) struct Reserved {
    held: u64,
    /// Units of holds whose deadline passed while all was read.
    maybe: Vec<u64>,
    /// Sold and still to be shipped.
    unshipped: u64,
    /// Sold for good.
    pub(super) sold: u64,
    /// Of these, the shop's again.
    pub(super) back: u64,
    /// Of those, set apart.
    pub(super) apart: u64,
}

/// Adds up every reservation that was read.
pub(super) fn by_pool<'a>(history: &'a History, after: &'a After, bound: ClockBound) -> BTreeMap<&'a str, Reserved> {
    let [from_ms, to_ms] = after.read_ns.map(|ns| history.unix_ms(ns));
    let on_ship = on_ship(history);
    let mut pools: BTreeMap<&str, Reserved> = BTreeMap::new();
    for view in after.reservations.values().flatten() {
        // A hold that ended between its reading and that of the pool is held or not.
        let ended = (from_ms.saturating_sub(bound.0)..=to_ms + bound.0).contains(&view.deadline_ms);
        for line in &view.lines {
            let pool = pools.entry(&line.sku).or_default();
            if ended {
                pool.maybe.push(line.held)
            } else {
                pool.held += line.held
            }
            pool.back += line.returned + line.apart;
            pool.apart += line.apart;
            if on_ship.contains(article(&line.sku)) {
                pool.sold += line.shipped;
                pool.unshipped += (line.committed - line.committed.min(line.cancelled)).saturating_sub(line.shipped);
            } else {
                pool.sold += line.committed;
                pool.back += line.cancelled;
            }
        }
    }
    pools
}

/// SKUs whose units leave the books when they are shipped. That can't change once anything was held.
fn on_ship(history: &History) -> BTreeSet<&str> {
    let settings = history.operations.iter().filter(|operation| operation.is_done());
    let on_ship = settings.filter_map(|operation| match &operation.action {
        Action::Configure { sku, settings, .. } if settings.on_ship => Some(sku.as_str()),
        _ => None,
    });
    on_ship.collect()
}

impl Reserved {
    pub(super) fn problem(&self, told: &Balance, flows: &Flows) -> Option<(&'static str, String)> {
        let held = sums(self.held, self.maybe.iter().copied());
        // Units that were sold beyond what was there never left on hand.
        let sold = told.sold == self.sold || flows.may_be_short && told.sold < self.sold;
        let fits = sold && held.contains(&told.held) && told.committed == self.unshipped;
        let found = format!(
            "reservations say {held:?} held, {} to be shipped and {} sold, the pool {}, {} and {}",
            self.unshipped, self.sold, told.held, told.committed, told.sold
        );
        (!fits).then_some(("P4", found))
    }
}
