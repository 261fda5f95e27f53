//! What the keepers of the stock read: shortages, what is in transit and expected, settings; and holds by deadline.

use crate::{
    limits::{AT_RISK_SEEN, AT_RISK_TOLD},
    outcome::{AtRisk, ExpectedView, Missing, ReservationView, SettingsView, ShortageView, TransferView},
    records::pool_key_bytes,
    state::{Ledger, PoolRef},
    types::{Namespace, OperationId, Owner, PoolKey, Quantity, ReservationId, Sku, TimeMs},
};
use std::{cmp::Reverse, ops::Bound};

impl Ledger {
    /// Pools that are short, in the order of their keys, at most so many, of one namespace; `after` is the last one of
    /// the page before.
    pub fn shortages(&self, namespace: &Namespace, after: Option<&PoolKey>, at_most: usize) -> Vec<ShortageView> {
        let mut prefix = vec![u8::try_from(namespace.as_bytes().len()).expect("at most 32 bytes")];
        prefix.extend_from_slice(namespace.as_bytes());
        let from = match after {
            Some(key) => Bound::Excluded(pool_key_bytes(key)),
            None => Bound::Included(prefix.clone().into()),
        };
        let keys = self.stock.shorts.range((from, Bound::Unbounded)).take_while(|key| key.starts_with(&prefix));
        keys.filter_map(|key| self.shortage_of(self.stock.find_bytes(key)?)).take(at_most).collect()
    }

    /// What a pool is short of, if it is. Units of holds that are over by the ledger's clock are paid off.
    pub fn shortage(&self, pool: &PoolKey) -> Option<ShortageView> {
        self.shortage_of(self.stock.find_key(pool)?)
    }

    pub(crate) fn shortage_of(&self, at: PoolRef) -> Option<ShortageView> {
        let pool = self.stock.pool(at);
        let overdue = pool.overdue(self.header.clock);
        let units = pool.books.short.saturating_sub(overdue);
        let opened = pool.aside.as_ref().and_then(|aside| aside.shortage).filter(|_| units > 0)?;
        let promised = (pool.books.held - overdue).saturating_add(pool.books.committed);
        Some(ShortageView {
            pool: pool.key.clone(),
            units: Quantity::most(units),
            since: opened.since,
            by: opened.by.at(self.shard),
            at_risk: Quantity::most(units.min(promised)),
            newest: self.newest_at_risk(at, units),
        })
    }

    fn newest_at_risk(&self, at: PoolRef, units: u64) -> Vec<AtRisk> {
        let latest = self.stock.pool(at).dues.latest().take(AT_RISK_SEEN);
        let live = latest.take_while(|due| due.deadline() > self.header.clock);
        let mut holds: Vec<_> = live
            .filter_map(|due| {
                let found = self.reservations.get(&due.id())?;
                let held = found.lines.iter().find(|line| line.pool == at)?.held;
                Some((Reverse(found.reserved_at), due.id(), u64::from(held)))
            })
            .collect();
        holds.sort_unstable();
        let mut covered = 0;
        let needed = holds.iter().take_while(|(.., held)| {
            let open = covered < units;
            covered += held;
            open
        });
        let told = |(_, reservation, held): &(_, ReservationId, u64)| AtRisk {
            reservation: *reservation,
            held: Quantity::most(*held),
        };
        needed.take(AT_RISK_TOLD).map(told).collect()
    }

    /// Transfers of a SKU that are under way, in the order of their ids, at most so many; `after` is the last one of
    /// the page before.
    ///
    /// # Errors
    /// [`Missing`] if there is no such SKU.
    pub fn in_transit(
        &self,
        namespace: &Namespace,
        sku: &Sku,
        after: Option<OperationId>,
        at_most: usize,
    ) -> Result<Vec<TransferView>, Missing> {
        let entry = self.stock.find_sku(namespace, sku).ok_or_else(|| Missing::Sku(sku.clone()))?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let transits = entry.transit.range((from, Bound::Unbounded)).take(at_most);
        Ok(transits.map(|(id, transit)| transit.view(*id, &self.stock)).collect())
    }

    /// Receipts announced for the pools of a SKU, by pool and document.
    ///
    /// # Errors
    /// [`Missing`] if there is no such SKU.
    pub fn expected(&self, namespace: &Namespace, sku: &Sku) -> Result<Vec<ExpectedView>, Missing> {
        let entry = self.stock.find_sku(namespace, sku).ok_or_else(|| Missing::Sku(sku.clone()))?;
        let of_pool = |at: &PoolRef| {
            let pool = self.stock.pool(*at);
            self.stock.expected(*at).iter().map(|to_come| ExpectedView {
                pool: pool.key.clone(),
                document: to_come.document.clone(),
                date: to_come.date,
                quantity: to_come.quantity,
            })
        };
        Ok(entry.pools.iter().flat_map(of_pool).collect())
    }

    /// The settings of a SKU.
    ///
    /// # Errors
    /// [`Missing`] if there is no such SKU.
    pub fn settings(&self, namespace: &Namespace, sku: &Sku) -> Result<SettingsView, Missing> {
        let entry = self.stock.find_sku(namespace, sku).ok_or_else(|| Missing::Sku(sku.clone()))?;
        Ok(SettingsView { version: entry.settings.version, settings: entry.settings.told() })
    }

    /// Reservations of an owner that hold units, in the order of their ids, at most so many; `after` is the last one of
    /// the page before. An owner that is not named has none here. Holds that are over by the ledger's clock are left
    /// out, and so are those that ended: they are found by their ids.
    pub fn reservations_of(
        &self,
        namespace: &Namespace,
        owner: &Owner,
        after: Option<ReservationId>,
        at_most: usize,
    ) -> Vec<ReservationView> {
        let of_owner = |id: ReservationId| {
            let found = self.reservations.get(&id)?;
            let live = *found.owner == *owner.as_bytes() && !found.overdue(self.header.clock);
            live.then(|| found.view(id, &self.stock, self.header.clock))
        };
        let views = self.owners.of(owner.as_bytes(), after).filter_map(of_owner);
        views.filter(|view| view.namespace == *namespace).take(at_most).collect()
    }

    /// Live holds whose deadline is at or after `from` and before `to`, by deadline, at most so many. For telling
    /// shoppers that their time is nearly over; nothing of it is stored.
    pub fn expiring(&self, from: TimeMs, to: TimeMs, at_most: usize) -> Vec<(TimeMs, ReservationId)> {
        let first = crate::state::Due::first_at(from.max(self.header.clock.plus(crate::types::DurationMs(1))));
        let due = self.deadlines.range(first..).take_while(|due| due.deadline() < to);
        due.map(|due| (due.deadline(), due.id())).take(at_most).collect()
    }
}
