//! What the keepers of the stock read: shortages, what is in transit and expected, settings; and holds by deadline.

use crate::{
    limits::{AT_RISK_SEEN, AT_RISK_TOLD},
    outcome::{AtRisk, ExpectedView, Missing, ReservationView, SettingsView, ShortageView, TransferView},
    records::{RecordKey, pool_key_bytes},
    state::{Due, Ledger, PoolRef},
    types::{DurationMs, Namespace, OperationId, Owner, PoolKey, Position, Quantity, ReservationId, Sku, TimeMs},
};
use bytes::Bytes;
use std::{cmp::Reverse, ops::Bound};

/// Holds looked at for one page of those that end soon: those of other namespaces lie between.
const EXPIRING_SEEN: usize = 10_000;

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
            pool: pool.named(),
            units: Quantity::most(units),
            since: opened.since,
            by: opened.by.at(self.shard),
            at_risk: Quantity::most(units.min(promised)),
            newest: self.newest_at_risk(at, units),
        })
    }

    fn newest_at_risk(&self, at: PoolRef, units: u64) -> Vec<AtRisk> {
        let live = |due: &Due| due.deadline() > self.header.clock;
        let own = self.stock.pool(at).dues.latest().take(AT_RISK_SEEN).take_while(live).filter_map(|due| {
            let found = self.reservations.get(&due.id())?;
            let held = found.lines.iter().find(|line| line.pool == at)?.held;
            Some((Reverse(found.reserved_at), due.id(), u64::from(held)))
        });
        // Of carts whose home is elsewhere the last movement here tells which is newer.
        let others = self.stock.pool(at).told().latest().take(AT_RISK_SEEN).take_while(live).filter_map(|due| {
            let part = self.parts.get(&due.id())?;
            let held = part.lines.iter().find(|line| line.pool == at)?.truth.held;
            Some((Reverse(part.last.unwrap_or_default()), due.id(), u64::from(held)))
        });
        let mut holds: Vec<_> = own.chain(others).collect();
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
        let transits = entry.transit().range((from, Bound::Unbounded)).take(at_most);
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
                pool: pool.named(),
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
        Ok(SettingsView { version: entry.settings().version, settings: entry.settings().told() })
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
        self.reservations_page(namespace, owner, after, at_most, usize::MAX)
    }

    /// The same, ended early by the reservation with which there are `lines` lines or more: a reservation may have five
    /// hundred.
    pub fn reservations_page(
        &self,
        namespace: &Namespace,
        owner: &Owner,
        after: Option<ReservationId>,
        at_most: usize,
        lines: usize,
    ) -> Vec<ReservationView> {
        let mut views: Vec<ReservationView> = Vec::new();
        let mut seen = 0_usize;
        for id in self.owners.of(owner.as_bytes(), after) {
            if views.len() >= at_most || seen >= lines {
                break;
            }
            let Some(found) = self.reservations.get(&id) else { continue };
            // Others may be of the same owner's name in another namespace, and a view is large.
            let theirs = *found.owner != *owner.as_bytes() || !found.is_of(namespace, &self.stock);
            if theirs || found.overdue(self.header.clock) {
                continue;
            }
            let view = found.view(id, &self.stock, self.header.clock);
            seen = seen.saturating_add(view.lines.len());
            views.push(view);
        }
        views
    }

    /// Live holds whose deadline is at or after `from` and before `to`, by deadline, at most so many. For telling
    /// shoppers that their time is nearly over; nothing of it is stored.
    pub fn expiring(&self, from: TimeMs, to: TimeMs, at_most: usize) -> Vec<(TimeMs, ReservationId)> {
        let first = Due::first_at(from.max(self.header.clock.plus(DurationMs(1))));
        let due = self.deadlines.from(first).take_while(|due| due.deadline() < to);
        due.map(|due| (due.deadline(), due.id())).take(at_most).collect()
    }

    /// Live holds of a namespace that end before `until`, by deadline, at most so many; `after` is the last one of the
    /// page before.
    pub fn expiring_in(
        &self,
        namespace: &Namespace,
        until: TimeMs,
        after: Option<(TimeMs, ReservationId)>,
        at_most: usize,
    ) -> ExpiringPage {
        let live = Due::first_at(self.header.clock.plus(DurationMs(1)));
        let after = after.map(|(deadline, id)| Due::new(deadline, id)).filter(|after| *after >= live);
        let mut page = ExpiringPage::default();
        let from = self.deadlines.from(after.unwrap_or(live)).filter(|due| Some(*due) != after);
        let ends = from.take_while(|due| due.deadline() < until);
        for (seen, due) in ends.enumerate() {
            if page.holds.len() >= at_most || seen >= EXPIRING_SEEN {
                return page;
            }
            page.upto = Some((due.deadline(), due.id()));
            let Some(found) = self.reservations.get(&due.id()) else { continue };
            if found.is_of(namespace, &self.stock) {
                let owner = Owner::new(Bytes::copy_from_slice(&found.owner)).unwrap_or_default();
                page.holds.push(ExpiringView { id: due.id(), owner, deadline: due.deadline() });
            }
        }
        page.upto = None;
        page
    }

    /// On hand of a pool by the books, and its last movement. None if it was never stocked.
    pub fn last_movement(&self, pool: &PoolKey) -> Option<LastMovement> {
        let at = self.stock.find_key(pool)?;
        let (found, counted) = (self.stock.pool(at), self.stock.counted(at));
        Some(LastMovement {
            on_hand: Quantity::most(found.books.on_hand),
            at: found.last.map(|spot| spot.at(self.shard)),
            counts: counted.number,
            counted_at: counted.at,
        })
    }

    /// Whether an operation is remembered to have had an effect.
    pub fn operation(&self, id: OperationId) -> Remembered {
        if self.operations.contains_key(&id) {
            return Remembered::Done;
        }
        self.cold_operation_key(id).map_or(Remembered::Absent, Remembered::Cold)
    }
}

/// How a pool stands, and where the way back over its movements begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastMovement {
    /// On hand now.
    pub on_hand: Quantity,
    /// Its last movement.
    pub at: Option<Position>,
    /// How many counts corrected it.
    pub counts: u64,
    /// The moment of the newest of them; 0 if there was none.
    pub counted_at: TimeMs,
}

/// What is known of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It had an effect.
    Done,
    /// Nothing is known of an effect.
    Absent,
    /// It had one if there is a record on disk under this key.
    Cold(RecordKey),
}

/// Some of the holds that end soon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiringPage {
    /// By deadline, then by id.
    pub holds: Vec<ExpiringView>,
    /// Up to here they are all; none: there is no more.
    pub upto: Option<(TimeMs, ReservationId)>,
}

/// A hold that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringView {
    /// Which reservation.
    pub id: ReservationId,
    /// For whom.
    pub owner: Owner,
    /// When it ends.
    pub deadline: TimeMs,
}
