//! What owners hold and bought of SKUs that limit it.
//!
//! One record per SKU and owner, with one part per reservation. It is begun by a reserve of a SKU that has a limit at
//! that moment; what was reserved before is not counted. A hold counts while it lives, a sale for the window the
//! limit had when it was made. A part that counts no more is dropped some entries later, and the record with its last
//! part.

use super::{Dirty, Ledger, Map, Mark, Part, PoolRef, Set, SkuEntry, SkuRef, Stock};
use crate::{
    records::{OWNER_USE, put_owner},
    types::{Owner, ReservationId, TimeMs},
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// What one reservation has of one SKU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Units its live hold has.
    pub(crate) held: u64,
    /// Units it bought that count until `until`.
    pub(crate) sold: u64,
    pub(crate) until: TimeMs,
}

impl Use {
    /// Whether nothing of it will ever count again.
    fn over(&self, clock: TimeMs) -> bool {
        self.held == 0 && (self.sold == 0 || self.until <= clock)
    }
}

/// What one owner has of one SKU.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnerUses {
    pub(crate) parts: BTreeMap<ReservationId, Use>,
    pub(crate) mark: Mark,
}

impl OwnerUses {
    /// When its first part without a hold stops counting.
    fn first_end(&self) -> Option<TimeMs> {
        self.parts.values().filter(|part| part.held == 0).map(|part| part.until).min()
    }
}

/// What is used of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) units: u64,
    pub(crate) holds: u64,
    /// Reservations that are counted.
    pub(crate) parts: u64,
}

/// All owners of all SKUs with limits.
#[derive(Default)]
pub(crate) struct Uses {
    /// By the record's key, without the kind.
    owners: Map<Bytes, OwnerUses>,
    /// When the first part of an owner without a hold stops counting.
    ends: BTreeSet<(TimeMs, Bytes)>,
    dirty: Vec<Bytes>,
    /// Keys of records that are in the store and no longer in the state.
    deletes: Set<Bytes>,
}

/// Bytes of an owner's record in a checkpoint, about.
const RECORD_BYTES: usize = 120;

impl Uses {
    pub(crate) fn len(&self) -> usize {
        self.owners.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &OwnerUses)> {
        self.owners.iter()
    }

    pub(crate) fn dirty_bytes(&self) -> usize {
        (self.dirty.len() + self.deletes.len()) * RECORD_BYTES
    }

    /// Puts a record in its place that was read from the store; false if it was there.
    pub(crate) fn load(&mut self, key: Bytes, owner: OwnerUses) -> bool {
        if let Some(end) = owner.first_end() {
            self.ends.insert((end, key.clone()));
        }
        self.owners.insert(key, owner).is_none()
    }

    /// What changed, each once; with `checkpoint`, for the last time. Some may be gone, or be named twice.
    pub(crate) fn changed(&mut self, checkpoint: bool) -> Vec<Bytes> {
        if checkpoint { std::mem::take(&mut self.dirty) } else { self.dirty.clone() }
    }

    pub(crate) fn get_dirty(&mut self, key: &Bytes) -> Option<&mut OwnerUses> {
        self.owners.get_mut(key).filter(|owner| owner.mark.dirty)
    }

    /// That record is written: it is not to be deleted.
    pub(crate) fn written(&mut self, key: &Bytes) {
        self.deletes.remove(key);
    }

    /// Whole keys of the records to delete from the store, in order, for the last time.
    pub(crate) fn take_deletes(&mut self) -> Vec<Bytes> {
        let deletes = std::mem::take(&mut self.deletes).into_iter();
        let mut keys: Vec<Bytes> = deletes.map(|key| Bytes::from([&[OWNER_USE], &key[..]].concat())).collect();
        keys.sort_unstable();
        keys
    }

    /// Changes the part of one reservation; drops it, and the record with it, if it is over.
    fn change(
        &mut self,
        dirty: &mut Dirty,
        key: &Bytes,
        id: ReservationId,
        clock: TimeMs,
        change: impl FnOnce(&mut Use),
    ) {
        let mut owner = self.owners.remove(key).unwrap_or_default();
        if let Some(end) = owner.first_end() {
            self.ends.remove(&(end, key.clone()));
        }
        let part = owner.parts.entry(id).or_default();
        change(part);
        if part.over(clock) {
            owner.parts.remove(&id);
        }
        self.keep(dirty, key, owner);
    }

    fn keep(&mut self, dirty: &mut Dirty, key: &Bytes, mut owner: OwnerUses) {
        if owner.parts.is_empty() {
            if dirty.uncounted(&owner.mark) {
                self.deletes.insert(key.clone());
            }
            return;
        }
        if let Some(end) = owner.first_end() {
            self.ends.insert((end, key.clone()));
        }
        if !owner.mark.dirty {
            owner.mark.dirty = true;
            self.dirty.push(key.clone());
        }
        self.owners.insert(key.clone(), owner);
    }

    /// Drops parts that count no more, of some owners per entry. Whether they are dropped yet changes no answer.
    pub(crate) fn drop_ended(&mut self, dirty: &mut Dirty, clock: TimeMs, at_most: u32) {
        for _ in 0..at_most {
            match self.ends.first() {
                Some((end, _)) if *end <= clock => {}
                _ => return,
            }
            let Some((_, key)) = self.ends.pop_first() else { return };
            let Some(mut owner) = self.owners.remove(&key) else { continue };
            owner.parts.retain(|_, part| !part.over(clock));
            self.keep(dirty, &key, owner);
        }
    }
}

impl Ledger {
    /// What an owner uses of the limits of a SKU at `clock`; holds that are over by then do not count. `except` is a
    /// reservation that is about to be replaced. `firm_after` leaves out what another shard may give back any
    /// moment: what is undecided, or by what its home told is over by then.
    pub(crate) fn used(
        &self,
        sku: SkuRef,
        owner: &Owner,
        clock: TimeMs,
        except: Option<ReservationId>,
        firm_after: Option<TimeMs>,
    ) -> Used {
        self.used_of(self.stock.sku(sku), owner, clock, except, firm_after)
    }

    /// The same of a SKU that was looked up.
    pub(crate) fn used_of(
        &self,
        sku: &SkuEntry,
        owner: &Owner,
        clock: TimeMs,
        except: Option<ReservationId>,
        firm_after: Option<TimeMs>,
    ) -> Used {
        let mut used = Used::default();
        let key = sku.owner_key(owner.as_bytes());
        let Some(owner) = self.stock.uses.owners.get(&key) else { return used };
        for (id, part) in owner.parts.iter().filter(|(id, _)| Some(**id) != except) {
            let live = part.held > 0 && self.counts(*id, clock, firm_after);
            let held = if live { part.held } else { 0 };
            let sold = if part.until > clock { part.sold } else { 0 };
            used.units = used.units.saturating_add(held).saturating_add(sold);
            used.holds += u64::from(live);
            used.parts += u64::from(held + sold > 0);
        }
        used
    }

    /// Whether what a reservation holds here counts at `clock`.
    fn counts(&self, id: ReservationId, clock: TimeMs, firm_after: Option<TimeMs>) -> bool {
        if let Some(found) = self.reservations.get(&id) {
            let loose = firm_after.is_some() && found.round().is_some();
            return !found.overdue(clock) && !loose;
        }
        let loose = |part: &Part, by| part.undecided.is_some() || part.deadline <= by;
        self.parts.get(&id).is_some_and(|part| firm_after.is_none_or(|by| !loose(part, by)))
    }

    /// Drops what counts no more for any limit, of some owners.
    pub(crate) fn drop_uses(&mut self, at_most: u32) {
        self.stock.uses.drop_ended(&mut self.dirty, self.header.clock, at_most);
    }
}

impl SkuEntry {
    fn owner_key(&self, owner: &[u8]) -> Bytes {
        let mut key = Vec::with_capacity(160);
        key.extend_from_slice(&self.bytes);
        put_owner(&mut key, owner);
        Bytes::from(key)
    }
}

impl Stock {
    fn owner_key(&self, sku: SkuRef, owner: &[u8]) -> Bytes {
        self.sku(sku).owner_key(owner)
    }

    /// An owner's reservation holds so many units of a SKU in all. What was held before there was a limit counts from
    /// then on.
    pub(crate) fn use_recounted(
        &mut self,
        dirty: &mut Dirty,
        clock: TimeMs,
        id: ReservationId,
        owner: &[u8],
        sku: SkuRef,
        held: u64,
    ) {
        let limited = self.sku(sku).settings().limits_owners();
        if owner.is_empty() || (!limited && self.uses.owners.is_empty()) {
            return;
        }
        let key = self.owner_key(sku, owner);
        let counted = self.uses.owners.get(&key).is_some_and(|owner| owner.parts.contains_key(&id));
        if counted || (limited && held > 0) {
            self.uses.change(dirty, &key, id, clock, |part| part.held = held);
        }
    }

    /// An owner's reservation got `units` of a pool. To be called once per line that holds units from now on.
    pub(crate) fn use_held(
        &mut self,
        dirty: &mut Dirty,
        clock: TimeMs,
        id: ReservationId,
        owner: &[u8],
        pool: PoolRef,
        units: u64,
    ) {
        let pool = self.pool(pool);
        let settings = self.settings(pool);
        if !settings.gated || owner.is_empty() || !settings.limits_owners() {
            return;
        }
        let key = self.owner_key(pool.sku, owner);
        self.uses.change(dirty, &key, id, clock, |part| part.held += units);
    }

    /// Of a line's held units `units` ended, and `sold` of them were sold. To be called once per line whose hold
    /// shrinks.
    #[allow(clippy::too_many_arguments, reason = "it is told what a line of a reservation is told")]
    pub(crate) fn use_ended(
        &mut self,
        dirty: &mut Dirty,
        clock: TimeMs,
        id: ReservationId,
        owner: &[u8],
        pool: PoolRef,
        units: u64,
        sold: u64,
    ) {
        if self.uses.owners.is_empty() {
            return;
        }
        let sku = self.pool(pool).sku;
        let key = self.owner_key(sku, owner);
        if !self.uses.owners.get(&key).is_some_and(|owner| owner.parts.contains_key(&id)) {
            return;
        }
        let rest = self.sku(sku).settings().rest.as_ref();
        let until = rest.and_then(|rest| rest.owner_units).map_or(TimeMs(0), |limit| clock.plus(limit.window));
        self.uses.change(dirty, &key, id, clock, |part| {
            part.held = part.held.saturating_sub(units);
            if sold > 0 {
                part.sold = part.sold.saturating_add(sold);
                part.until = part.until.max(until);
            }
        });
    }

    /// Units sold were given back by a cancel or a return: they count no more. To be called once per line.
    pub(crate) fn use_given_back(
        &mut self,
        dirty: &mut Dirty,
        clock: TimeMs,
        id: ReservationId,
        owner: &[u8],
        pool: PoolRef,
        units: u64,
    ) {
        if self.uses.owners.is_empty() {
            return;
        }
        let key = self.owner_key(self.pool(pool).sku, owner);
        if self.uses.owners.get(&key).is_some_and(|owner| owner.parts.contains_key(&id)) {
            self.uses.change(dirty, &key, id, clock, |part| part.sold = part.sold.saturating_sub(units));
        }
    }
}
