//! SKUs and pools, and how they are found.

use super::{
    Books, Due, Dues, Mark, Totaled, aside::Aside, books::signed, changes::DirtyList, transit::Transit, uses::Uses,
};
use crate::{
    apply::reserve::Want,
    journal::{Posting, Writer},
    movement::{Delta, Spot},
    planted::{self, Bug},
    records::{POOL_KEY_BYTES_MAX, pool_key_bytes, put_pool_rest, put_sku_key, read_pool_key, read_sku_key, sku_part},
    settings::{Deduct, Settings, Terms},
    types::{DurationMs, Location, Lot, Namespace, OperationId, PoolKey, PoolKind, Quantity, Sku, TimeMs},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
    num::NonZeroU32,
    sync::{Arc, OnceLock},
};
use xxhash_rust::xxh3::xxh3_64;

/// A pool's place in this process. Never told or stored: another replica may have another. Counted from 1, so that a line that
/// names one leaves a value free for what has no line (`Lines`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolRef(NonZeroU32);

impl PoolRef {
    pub(crate) fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    pub(crate) fn at(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("fewer than 2^32 pools fit in memory"))
    }
}

/// A SKU's place in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SkuRef(u32);

impl SkuRef {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a SKU is sold. What every reserve needs stands here; the rest is apart, and there is none for most SKUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkuSettings {
    pub(crate) deduct: Deduct,
    /// A reserve has to ask `rest`.
    pub(crate) gated: bool,
    /// Units of each pool that are not sold.
    pub(crate) safety_stock: u64,
    /// Counts changes; 0: nothing was ever set.
    pub(crate) version: u64,
    /// Everything that is set, unless it is nothing but what stands above.
    pub(crate) rest: Option<Box<Settings>>,
}

/// Those of a SKU of which nothing was ever set.
static UNSET: SkuSettings =
    SkuSettings { deduct: Deduct::OnCommit, gated: false, safety_stock: 0, version: 0, rest: None };

impl Default for SkuSettings {
    fn default() -> Self {
        UNSET.clone()
    }
}

impl SkuSettings {
    pub(crate) fn new(version: u64, settings: Settings) -> Self {
        let (deduct, safety_stock) = (settings.deduct, settings.safety_stock.units());
        let plain = Settings { deduct, safety_stock: settings.safety_stock, ..Settings::default() } == settings;
        let gated = settings.gates();
        Self { deduct, gated, safety_stock, version, rest: (!plain).then(|| Box::new(settings)) }
    }

    pub(crate) fn limits_owners(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.limits_owners())
    }

    /// What is promised with units that are held now.
    pub(crate) fn terms(&self) -> Terms {
        let on_ship = self.deduct == Deduct::OnShip;
        let cancel = self.rest.as_ref().and_then(|rest| rest.cancel_window).unwrap_or(DurationMs(0));
        Terms { on_ship, cancel, returns: self.rest.as_ref().and_then(|rest| rest.return_window) }
    }

    /// All of it.
    pub(crate) fn told(&self) -> Settings {
        match &self.rest {
            Some(rest) => (**rest).clone(),
            None => Settings {
                deduct: self.deduct,
                safety_stock: Quantity::new(self.safety_stock).expect("was a quantity when it was kept"),
                ..Settings::default()
            },
        }
    }
}

pub(crate) struct SkuEntry {
    /// Its record's key, without the kind.
    pub(crate) bytes: Bytes,
    pub(crate) settings: SkuSettings,
    /// In the order of their keys.
    pub(crate) pools: Vec<PoolRef>,
    /// Another SKU whose key has the same hash.
    same_hash: Option<SkuRef>,
    /// Transfers between its locations that are under way; none for most SKUs.
    transit: Option<Box<Transits>>,
    pub(crate) mark: Mark,
}

/// Transfers by the operation that began them.
pub(crate) type Transits = BTreeMap<OperationId, Transit>;

static NO_TRANSITS: Transits = Transits::new();

impl SkuEntry {
    pub(crate) fn transit(&self) -> &Transits {
        self.transit.as_deref().unwrap_or(&NO_TRANSITS)
    }

    pub(crate) fn transit_mut(&mut self) -> &mut Transits {
        self.transit.get_or_insert_default()
    }

    /// Whether there was one.
    pub(crate) fn end_transit(&mut self, id: OperationId) -> bool {
        let known = self.transit_mut().remove(&id).is_some();
        if self.transit().is_empty() {
            self.transit = None;
        }
        known
    }
}

/// What a reserve needs stands first, in as few of the processor's cache lines as it fits: with many pools each of them is
/// waited for.
#[repr(C)]
pub(crate) struct Pool {
    pub(crate) sku: SkuRef,
    /// Place in the pool dictionary of the journal block with the serial below.
    pub(crate) place: u32,
    /// Its record's key, without the kind.
    pub(crate) bytes: Bytes,
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
    /// Made of `bytes` once it is asked for: of most pools of a large shop nobody asks for days.
    key: OnceLock<Arc<PoolKey>>,
    /// Units held for carts that are still being prepared, here or elsewhere.
    pub(crate) undecided: u64,
    /// Holds of carts whose home is elsewhere, by the deadlines their homes told.
    told: Option<Box<Dues>>,
    pub(crate) totals: Totaled,
    /// Another pool whose key has the same hash.
    same_hash: Option<PoolRef>,
    /// What most pools never have.
    pub(crate) aside: Option<Box<Aside>>,
}

static NOTHING_TOLD: Dues = Dues::NONE;

fn read(key: Bytes) -> PoolKey {
    read_pool_key(key).expect("was checked before the pool was made")
}

impl Pool {
    pub(crate) fn key(&self) -> &Arc<PoolKey> {
        self.key.get_or_init(|| Arc::new(read(self.bytes.clone())))
    }

    /// A copy of the key. Nothing of it is kept: who lists pools asks for all of them.
    pub(crate) fn named(&self) -> PoolKey {
        self.key.get().map_or_else(|| read(Bytes::copy_from_slice(&self.bytes)), |key| PoolKey::clone(key))
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

/// Bits that count of a hash by which pools are found: few in this crate's own tests, so that many pools have the same.
const HASH_BITS: u64 = if cfg!(test) { 0b11 } else { u64::MAX };

/// The hash by which a pool is found. Of several with the same one each leads to the next.
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    xxh3_64(key) & HASH_BITS
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

/// Pools or SKUs by the hash of their keys, which is hash enough for a table, too. The key is looked at where the pool is, which
/// is needed anyway: in the table it would be one more place in memory to wait for.
type ByHash<R> = HashMap<u64, R, BuildHasherDefault<AsItIs>>;

/// Takes a hash for what it is.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash_of(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// All SKUs and pools of a shard.
#[derive(Default)]
pub(crate) struct Stock {
    pub(crate) skus: Vec<SkuEntry>,
    skus_by_hash: ByHash<SkuRef>,
    pub(crate) pools: Vec<Pool>,
    by_hash: ByHash<PoolRef>,
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
        let of = |other: &Pool| other.key().kind == pool.key().kind && other.key().lot == pool.key().lot;
        let others = self.sku(pool.sku).pools.iter().map(|other| self.pool(*other));
        others.filter(|other| of(other)).any(|other| other.loose(by) > 0)
    }

    /// Units that must be available for a pool to give `units`: its safety stock stays. Nothing is needed for nothing.
    pub(crate) fn needed(&self, at: PoolRef, units: u64) -> u64 {
        if units == 0 { 0 } else { units + self.settings(self.pool(at)).safety_stock }
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
        let key = pool.key.get().map_or(0, |key| Arc::strong_count(key) as u64);
        key + pool.bytes.last().copied().map_or(0, u64::from) + u64::from(self.settings(pool).gated) + pool.dues.look()
    }

    pub(crate) fn settings(&self, pool: &Pool) -> &SkuSettings {
        // Of most SKUs nothing is set: then it need not be looked at.
        if pool.unset { &UNSET } else { &self.skus[pool.sku.index()].settings }
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
        self.find_from(self.first_of(hash_of(key)), key)
    }

    /// The first pool of that hash of a key.
    pub(crate) fn first_of(&self, hash: u64) -> Option<PoolRef> {
        self.by_hash.get(&hash).copied()
    }

    /// The pool with that key among those of its hash, `first` being the first.
    pub(crate) fn find_from(&self, first: Option<PoolRef>, key: &[u8]) -> Option<PoolRef> {
        std::iter::successors(first, |at| self.pool(*at).same_hash).find(|at| self.pool(*at).bytes == key)
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
        let first = self.skus_by_hash.get(&hash_of(key)).copied();
        std::iter::successors(first, |at| self.sku(*at).same_hash).find(|at| self.sku(*at).bytes == key)
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
        self.limited -= u64::from(sku.settings.limits_owners());
        self.limited += u64::from(settings.limits_owners());
        sku.settings = settings;
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
        // A copy as long as it is: there may be millions.
        let bytes = Bytes::copy_from_slice(&bytes);
        let at = self.insert_pool(bytes, Books::default(), Totaled::default(), None, Mark::default(), None);
        self.touch_pool(at);
        at
    }

    /// The SKU with that key; made with the defaults if it is new, and then dirty.
    fn sku_or_make(&mut self, bytes: &[u8]) -> SkuRef {
        if let Some(found) = self.find_sku_bytes(bytes) {
            return found;
        }
        let at = self.insert_sku(Bytes::copy_from_slice(bytes), SkuSettings::default(), Mark::default());
        let bytes = self.skus[at.index()].bytes.len();
        self.dirty_skus.note(&mut self.skus[at.index()].mark, at, 16 + bytes);
        at
    }

    pub(crate) fn insert_sku(&mut self, bytes: Bytes, settings: SkuSettings, mark: Mark) -> SkuRef {
        let at = SkuRef(u32::try_from(self.skus.len()).expect("fewer than 2^32 SKUs fit in memory"));
        let same_hash = self.skus_by_hash.insert(hash_of(&bytes), at);
        self.limited += u64::from(settings.limits_owners());
        self.skus.push(SkuEntry { bytes, settings, pools: Vec::new(), same_hash, transit: None, mark });
        at
    }

    /// Puts a pool in its place. Its key was checked by whoever made the bytes.
    pub(crate) fn insert_pool(
        &mut self,
        bytes: Bytes,
        books: Books,
        totals: Totaled,
        last: Option<Spot>,
        mark: Mark,
        aside: Option<Box<Aside>>,
    ) -> PoolRef {
        let sku = self.sku_or_make(sku_part(&bytes));
        let at = PoolRef::at(self.pools.len());
        let same_hash = self.by_hash.insert(hash_of(&bytes), at);
        self.pools.push(Pool {
            sku,
            place: 0,
            bytes,
            books,
            last,
            dues: Dues::default(),
            serial: 0,
            mark,
            unset: self.skus[sku.index()].settings == UNSET,
            key: OnceLock::new(),
            undecided: 0,
            told: None,
            totals,
            same_hash,
            aside,
        });
        if books.short > 0 {
            self.shorts.insert(self.pool(at).bytes.clone());
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
        let short = pool.books.short > 0;
        pool.books.post(&mut pool.totals, posting.kind, &posting.delta, posting.sold_short);
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
        assert!(stock.by_hash.len() <= 4, "so few hashes are used here");
        for (number, at) in (0..100).zip(made) {
            let key = key(number);
            assert_eq!(stock.find_or_make(&key), at);
            assert_eq!(stock.find(&key.namespace, &key.sku, &key.location, key.kind, &key.lot), Some(at));
        }
        assert_eq!(stock.find_key(&key(100)), None);
    }
}
