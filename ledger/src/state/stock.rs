//! Pools, and how they and SKUs are found and change.

use super::{
    Books, Due, Dues, Mark, Pieces, SkuEntry, SkuRef, SkuSettings, Sums, Totaled,
    aside::Aside,
    books::signed,
    by_key::{ByKey, KeyHash},
    changes::DirtyList,
    pieces::place,
    sku::UNSET,
    uses::Uses,
};
use crate::{
    apply::reserve::Want,
    journal::{Posting, Writer},
    movement::{Delta, Spot},
    planted::{self, Bug},
    records::{
        POOL_KEY_BYTES_MAX, PoolKeyBytes, PoolName, PoolTexts, pool_key_bytes, put_pool_rest, put_sku_key,
        read_pool_key, read_sku_key, sku_part,
    },
    settings::{Deduct, Terms},
    types::{Location, Lot, Namespace, OperationId, PoolKey, PoolKind, Sku, TimeMs},
};
use bytes::Bytes;
use std::collections::BTreeSet;

place! {
    /// A pool's place in this process. A line that names one leaves a value free for what has no line (`Lines`).
    PoolRef
}

/// Four of the processor's cache lines, none of which it shares with another: with many pools each of them is waited for.
#[repr(C, align(64))]
pub(crate) struct Pool {
    pub(crate) sku: SkuRef,
    /// Place in the pool dictionary of the journal block with the serial below.
    pub(crate) place: u32,
    /// Its record's key, without the kind.
    pub(crate) bytes: PoolKeyBytes,
    pub(crate) books: Books,
    /// Its last movement.
    pub(crate) last: Option<Spot>,
    /// Its live holds.
    pub(crate) dues: Dues,
    /// Of the last journal block it is in.
    pub(crate) serial: u64,
    pub(crate) mark: Mark,
    /// Nothing was ever set of its SKU.
    unset: bool,
    /// Another pool whose key has the same hash.
    same_hash: Option<PoolRef>,
    /// Units held for carts that are still being prepared, here or elsewhere.
    pub(crate) undecided: u64,
    /// Holds of carts whose home is elsewhere, by the deadlines their homes told.
    told: Option<Box<Dues>>,
    pub(crate) totals: Totaled,
    /// What most pools never have.
    pub(crate) aside: Option<Box<Aside>>,
}

const _: () = assert!(size_of::<Pool>() == 256, "four cache lines");

static NOTHING_TOLD: Dues = Dues::NONE;

impl Pool {
    pub(crate) fn name(&self) -> PoolName {
        PoolName::checked(&self.bytes)
    }

    /// A copy of its record's key, without the kind.
    pub(crate) fn shared_key(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    pub(crate) fn texts(&self) -> PoolTexts<'_> {
        PoolTexts::of(&self.bytes)
    }

    /// The key, each of its texts by itself, and none of them a part of what is here.
    pub(crate) fn named(&self) -> PoolKey {
        read_pool_key(Bytes::copy_from_slice(&self.bytes)).expect("was checked before the pool was made")
    }

    pub(crate) fn told(&self) -> &Dues {
        self.told.as_deref().unwrap_or(&NOTHING_TOLD)
    }

    pub(crate) fn add_told(&mut self, due: Due, units: u64) {
        self.told.get_or_insert_default().add(due, units);
    }

    /// All of the hold's units.
    pub(crate) fn take_told(&mut self, due: Due, units: u64) {
        let told = self.told.get_or_insert_default();
        told.take(due, units, 0);
        if told.is_empty() {
            self.told = None;
        }
    }

    /// Units held by holds that are over at `now` and not swept back yet.
    pub(crate) fn overdue(&self, now: TimeMs) -> u64 {
        self.dues.units_by(now)
    }

    /// Units free once everything overdue at `now` is swept back.
    pub(crate) fn available_at(&self, now: TimeMs) -> u64 {
        let overdue = self.overdue(now) * if planted::on(Bug::OverdueFreeTwice) { 2 } else { 1 };
        self.books.available + (overdue - overdue.min(self.books.short))
    }

    /// Units that another shard may give back any moment: undecided, or of holds that may be over since `by`, as their
    /// homes told their deadlines.
    pub(crate) fn loose(&self, by: TimeMs) -> u64 {
        self.undecided + self.told().units_by(by)
    }

    /// Units free at `now` if all that is loose were given back as well: a shortage is paid off first.
    pub(crate) fn available_with_loose(&self, now: TimeMs, loose_by: TimeMs) -> u64 {
        let back = self.overdue(now) + self.loose(loose_by);
        self.books.available + (back - back.min(self.books.short))
    }

    /// The hold that is due first.
    pub(crate) fn first_due(&self) -> Option<Due> {
        self.dues.first()
    }

    pub(crate) fn add_hold(&mut self, due: Due, units: u64) {
        self.dues.add(due, units);
    }

    pub(crate) fn take_hold(&mut self, due: Due, units: u64, rest: u64) {
        self.dues.take(due, units, rest);
        if self.dues.is_empty() {
            self.dues = Dues::default();
        }
    }
}

/// The key of that pool's record, without the kind; gives its length.
pub(crate) fn write_pool_key(
    out: &mut [u8; POOL_KEY_BYTES_MAX],
    namespace: &Namespace,
    sku: &Sku,
    location: &Location,
    kind: PoolKind,
    lot: &Lot,
) -> usize {
    let mut rest = out.as_mut_slice();
    put_sku_key(&mut rest, namespace, sku);
    put_pool_rest(&mut rest, location, kind, lot);
    let unused = rest.len();
    POOL_KEY_BYTES_MAX - unused
}

/// All SKUs and pools of a shard.
#[derive(Default)]
pub(crate) struct Stock {
    pub(crate) skus: Pieces<SkuEntry>,
    skus_by_key: ByKey<SkuRef>,
    pub(crate) pools: Pieces<Pool>,
    by_key: ByKey<PoolRef>,
    /// Over all pools.
    pub(crate) sums: Sums,
    /// Transfers under way, of all SKUs.
    pub(crate) transits: usize,
    pub(crate) dirty_skus: DirtyList<SkuRef>,
    pub(crate) dirty_pools: DirtyList<PoolRef>,
    pub(crate) dirty_transit: DirtyList<(SkuRef, OperationId)>,
    /// Keys of the pools that are short.
    pub(crate) shorts: BTreeSet<Bytes>,
    /// What owners hold and bought of SKUs with a limit.
    pub(crate) uses: Uses,
    /// How many SKUs limit what an owner may have.
    pub(crate) limited: u64,
}

/// Bytes a pool's record takes in a checkpoint, about.
const POOL_RECORD_BYTES: usize = 120;

/// Bytes a SKU's record takes in a checkpoint once something is set, about.
const SKU_RECORD_BYTES: usize = 100;

impl Stock {
    pub(crate) fn pool(&self, at: PoolRef) -> &Pool {
        &self.pools[at.index()]
    }

    pub(crate) fn pool_mut(&mut self, at: PoolRef) -> &mut Pool {
        &mut self.pools[at.index()]
    }

    /// Units a pool may still give, overdue holds counted as free.
    pub(crate) fn sellable_at(&self, at: PoolRef, now: TimeMs) -> u64 {
        let pool = self.pool(at);
        pool.available_at(now).saturating_sub(self.settings(pool).safety_stock)
    }

    /// Units a pool could give if all that is loose were given back.
    pub(crate) fn sellable_with_loose(&self, at: PoolRef, now: TimeMs, loose_by: TimeMs) -> u64 {
        let pool = self.pool(at);
        pool.available_with_loose(now, loose_by).saturating_sub(self.settings(pool).safety_stock)
    }

    /// Whether what these pools can give is the same at any time from the clock on until `until`: nothing is due by then, and
    /// no rule of their sale goes by time.
    pub(crate) fn stands_still(&self, wants: &[Want], until: TimeMs) -> bool {
        wants
            .iter()
            .map(|want| self.pool(want.pool))
            .all(|pool| !pool.dues.any_by(until) && !pool.told().any_by(until) && !self.settings(pool).gated)
    }

    /// Whether another shard may give back units of that pool any moment; or, if a policy chose it, of any it chose from.
    pub(crate) fn loose_for(&self, at: PoolRef, chosen: bool, by: TimeMs) -> bool {
        let pool = self.pool(at);
        if !chosen {
            return pool.loose(by) > 0;
        }
        let chosen = pool.texts();
        let of = |other: &Pool| other.texts().kind == chosen.kind && other.texts().lot == chosen.lot;
        let others = self.sku(pool.sku).pools.iter().map(|other| self.pool(*other));
        others.filter(|other| of(other)).any(|other| other.loose(by) > 0)
    }

    /// Units that must be available for a pool to give `units`: its safety stock stays. Nothing is needed for nothing.
    pub(crate) fn needed(&self, at: PoolRef, units: u64) -> u64 {
        if units == 0 { 0 } else { units + self.settings(self.pool(at)).safety_stock }
    }

    /// Something made of all of a pool.
    pub(crate) fn look_at_all(&self, at: PoolRef) -> u64 {
        let pool = self.pool(at);
        self.look(at).wrapping_add(pool.bytes[0].into()).wrapping_add(pool.totals.received)
    }

    /// Something made of what a reserve and a commit look at in a pool itself.
    pub(crate) fn look(&self, at: PoolRef) -> u64 {
        let pool = self.pool(at);
        let last = pool.last.map_or(0, |last| last.index);
        let marks = u64::from(pool.mark.dirty) + pool.serial;
        pool.bytes.len() as u64 + pool.books.available + pool.undecided + last.wrapping_add(marks)
    }

    /// The same of what a pool points to.
    pub(crate) fn look_behind(&self, at: PoolRef) -> u64 {
        let pool = self.pool(at);
        pool.bytes.last().copied().map_or(0, u64::from) + u64::from(self.settings(pool).gated) + pool.dues.look()
    }

    pub(crate) fn settings(&self, pool: &Pool) -> &SkuSettings {
        // Of most SKUs nothing is set: then it need not be looked at.
        if pool.unset { &UNSET } else { self.skus[pool.sku.index()].settings() }
    }

    /// The pool with that key, if it was ever stocked.
    pub(crate) fn find(
        &self,
        namespace: &Namespace,
        sku: &Sku,
        location: &Location,
        kind: PoolKind,
        lot: &Lot,
    ) -> Option<PoolRef> {
        let mut key = [0; POOL_KEY_BYTES_MAX];
        let len = write_pool_key(&mut key, namespace, sku, location, kind, lot);
        self.find_bytes(&key[..len])
    }

    pub(crate) fn find_key(&self, key: &PoolKey) -> Option<PoolRef> {
        self.find_bytes(&pool_key_bytes(key))
    }

    pub(crate) fn find_bytes(&self, key: &[u8]) -> Option<PoolRef> {
        self.find_from(self.first_of(self.hash_of(key)), key)
    }

    /// The hash by which the pool with that key is found.
    pub(crate) fn hash_of(&self, key: &[u8]) -> KeyHash {
        self.by_key.hash(key)
    }

    /// The first pool of that hash of a key.
    pub(crate) fn first_of(&self, hash: KeyHash) -> Option<PoolRef> {
        self.by_key.first(hash)
    }

    /// The pool with that key among those of its hash, `first` being the first.
    pub(crate) fn find_from(&self, first: Option<PoolRef>, key: &[u8]) -> Option<PoolRef> {
        std::iter::successors(first, |at| self.pool(*at).same_hash).find(|at| *self.pool(*at).bytes == *key)
    }

    pub(crate) fn find_sku(&self, namespace: &Namespace, sku: &Sku) -> Option<&SkuEntry> {
        self.find_sku_ref(namespace, sku).map(|at| &self.skus[at.index()])
    }

    pub(crate) fn find_sku_ref(&self, namespace: &Namespace, sku: &Sku) -> Option<SkuRef> {
        let mut key = Vec::with_capacity(64);
        put_sku_key(&mut key, namespace, sku);
        self.find_sku_bytes(&key)
    }

    fn find_sku_bytes(&self, key: &[u8]) -> Option<SkuRef> {
        let first = self.skus_by_key.first(self.skus_by_key.hash(key));
        std::iter::successors(first, |at| self.sku(*at).same_hash).find(|at| *self.sku(*at).bytes == *key)
    }

    pub(crate) fn sku(&self, at: SkuRef) -> &SkuEntry {
        &self.skus[at.index()]
    }

    /// The SKU of that name; made with the defaults if it is new.
    pub(crate) fn find_or_make_sku(&mut self, namespace: &Namespace, sku: &Sku) -> SkuRef {
        let mut key = Vec::with_capacity(64);
        put_sku_key(&mut key, namespace, sku);
        self.sku_or_make(&key)
    }

    pub(crate) fn configure(&mut self, at: SkuRef, settings: SkuSettings) {
        let sku = &mut self.skus[at.index()];
        self.limited -= u64::from(sku.settings().limits_owners());
        self.limited += u64::from(settings.limits_owners());
        sku.set(settings);
        for pool in &sku.pools {
            self.pools[pool.index()].unset = false;
        }
        let bytes = SKU_RECORD_BYTES + sku.bytes.len();
        self.dirty_skus.note(&mut sku.mark, at, bytes);
    }

    /// What is promised with units of that pool that are held now.
    pub(crate) fn terms(&self, at: PoolRef) -> Terms {
        self.settings(self.pool(at)).terms()
    }

    /// What the commit of `units` that are available does: those of a hold that had expired.
    pub(crate) fn revive(&self, at: PoolRef, units: u64) -> Delta {
        let units = signed(units);
        match self.settings(self.pool(at)).deduct {
            Deduct::OnCommit => Delta { on_hand: -units, available: -units, ..Delta::default() },
            Deduct::OnShip => Delta { available: -units, committed: units, ..Delta::default() },
        }
    }

    /// What the cancelling of `units` committed does, and how many of them had been sold beyond on hand.
    pub(crate) fn cancel(&self, at: PoolRef, units: u64) -> (Delta, u64) {
        let pool = self.pool(at);
        match self.settings(pool).deduct {
            Deduct::OnCommit => {
                let (there, beyond) = pool.totals.back(units);
                (pool.books.arrive(there), beyond)
            }
            Deduct::OnShip => (pool.books.uncommit(units), 0),
        }
    }

    /// What the return of `units` from the customer does, fit for sale or not, and how many of them had been sold
    /// beyond on hand.
    pub(crate) fn take_return(&self, at: PoolRef, units: u64, fit: bool) -> (Delta, u64) {
        let pool = self.pool(at);
        let (there, beyond) = pool.totals.back(units);
        (if fit { pool.books.arrive(there) } else { Books::return_apart(there) }, beyond)
    }

    /// What a commit of `units` held does, and how many of them are beyond on hand.
    pub(crate) fn sell(&self, at: PoolRef, units: u64) -> (Delta, u64) {
        let pool = self.pool(at);
        match self.settings(pool).deduct {
            Deduct::OnCommit if planted::on(Bug::SoldAndKept) => (pool.books.give_back(units), 0),
            Deduct::OnCommit => pool.books.sell(units),
            Deduct::OnShip => (Delta { held: -signed(units), committed: signed(units), ..Delta::default() }, 0),
        }
    }

    /// The pool with that key; it and its SKU are made if they are new.
    pub(crate) fn find_or_make(&mut self, key: &PoolKey) -> PoolRef {
        let bytes = pool_key_bytes(key);
        if let Some(found) = self.find_bytes(&bytes) {
            return found;
        }
        let at = self.insert_pool(&bytes, Books::default(), Totaled::default(), None, Mark::default(), None);
        self.touch_pool(at);
        at
    }

    /// The SKU with that key; made with the defaults if it is new, and then dirty.
    fn sku_or_make(&mut self, bytes: &[u8]) -> SkuRef {
        if let Some(found) = self.find_sku_bytes(bytes) {
            return found;
        }
        let at = self.insert_sku(bytes, SkuSettings::default(), Mark::default());
        self.dirty_skus.note(&mut self.skus[at.index()].mark, at, 16 + bytes.len());
        at
    }

    pub(crate) fn insert_sku(&mut self, bytes: &[u8], settings: SkuSettings, mark: Mark) -> SkuRef {
        let at = SkuRef::at(self.skus.len());
        let same_hash = self.skus_by_key.lead(bytes, at);
        self.limited += u64::from(settings.limits_owners());
        self.skus.push(SkuEntry::new(bytes.into(), settings, same_hash, mark));
        at
    }

    /// Puts a pool in its place. Its key was checked by whoever made the bytes.
    pub(crate) fn insert_pool(
        &mut self,
        bytes: &[u8],
        books: Books,
        totals: Totaled,
        last: Option<Spot>,
        mark: Mark,
        aside: Option<Box<Aside>>,
    ) -> PoolRef {
        let sku = self.sku_or_make(sku_part(bytes));
        let at = PoolRef::at(self.pools.len());
        let same_hash = self.by_key.lead(bytes, at);
        self.sums.add(&books);
        self.pools.push(Pool {
            sku,
            place: 0,
            bytes: bytes.into(),
            books,
            last,
            dues: Dues::default(),
            serial: 0,
            mark,
            unset: self.skus[sku.index()].unset(),
            undecided: 0,
            told: None,
            totals,
            same_hash,
            aside,
        });
        if books.short > 0 {
            self.shorts.insert(Bytes::copy_from_slice(bytes));
        }
        let siblings = &mut self.skus[sku.index()].pools;
        let place = siblings.partition_point(|other| self.pools[other.index()].bytes < self.pools[at.index()].bytes);
        siblings.insert(place, at);
        at
    }

    /// Whether a SKU of that key is known.
    pub(crate) fn knows_sku(&self, bytes: &[u8]) -> bool {
        self.find_sku_bytes(bytes).is_some()
    }

    pub(crate) fn touch_pool(&mut self, at: PoolRef) {
        let pool = &mut self.pools[at.index()];
        self.dirty_pools.note(&mut pool.mark, at, POOL_RECORD_BYTES + pool.bytes.len());
    }

    /// The only way an account changes: as a movement in the journal.
    pub(crate) fn post(&mut self, block: &mut Writer, at: PoolRef, posting: Posting<'_>) -> Spot {
        let pool = &mut self.pools[at.index()];
        let (short, oversold) = (pool.books.short > 0, pool.books.oversold());
        pool.books.post(&mut pool.totals, posting.kind, &posting.delta, posting.sold_short);
        self.sums.change(&posting.delta, (oversold, pool.books.oversold()));
        let spot = block.write(pool, posting);
        pool.last = Some(spot);
        if short != (pool.books.short > 0) {
            self.shortage_turns(at, block.time(), spot);
        }
        self.touch_pool(at);
        spot
    }
}

/// Checks the key of a SKU's record.
pub(crate) fn check_sku_key(bytes: &Bytes) -> Result<(), crate::codec::Corrupt> {
    read_sku_key(bytes.clone()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_of_one_hash_are_told_apart() {
        let mut stock = Stock::default();
        let key = |number: u32| PoolKey {
            namespace: Namespace::default(),
            sku: format!("sku-{number}").parse().expect("a sku"),
            location: "berlin".parse().expect("a location"),
            kind: PoolKind::Now,
            lot: Lot::default(),
        };
        let made: Vec<PoolRef> = (0..100).map(|number| stock.find_or_make(&key(number))).collect();
        let hashes: BTreeSet<_> = (0..100).map(|number| stock.hash_of(&pool_key_bytes(&key(number)))).collect();
        assert!(hashes.len() <= 4, "so few hashes are used here");
        for (number, at) in (0..100).zip(made) {
            let key = key(number);
            assert_eq!(stock.find_or_make(&key), at);
            assert_eq!(stock.find(&key.namespace, &key.sku, &key.location, key.kind, &key.lot), Some(at));
        }
        assert_eq!(stock.find_key(&key(100)), None);
    }
}
