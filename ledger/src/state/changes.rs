//! What changed since the last checkpoint, and the digest, which follows from the same marks.
//!
//! A record is written once for all its changes between two checkpoints, and one that came and went between them not
//! at all; but a new hold is written at once, into a pack. The digest is brought up to date at the same time, or when it is asked for.

use super::{AHEAD, KEY_ROOM, Ledger, PackChange, Packs, Pieces, Pool, Records, reservation::Reservation, stop};
use crate::{
    codec::record,
    digest::{Digest, contribution},
    planted::{self, Bug},
    records::{
        ENDED, FLOOR, HEADER, ID_KEY_BYTES, LIVE, META, OPERATION, OWNER_USE, PACK_LEFT, PART, POOL, RecordKey, SKU,
        TRANSFER, UNSETTLED, floor_key, id_key, pack_key,
    },
    state::{Intent, Part, Set},
    types::{OperationId, ReservationId, ShardId},
};
use bytes::Bytes;
use std::hint::black_box;

/// Records to write and to delete, so that the store has the state of one index. No key is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Each record that changed, the header among them.
    pub puts: Records,
    /// Keys of records that are no more.
    pub deletes: Vec<Bytes>,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}

/// What is known of a record beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// What it added to the digest when that was last brought up to date; 0 before. As bytes, which need no room beside what they
    /// stand next to.
    contribution: [u8; 16],
    /// It changed since the last checkpoint.
    pub(crate) dirty: bool,
    /// The kind it has in the store; 0: it is not there, or in a pack.
    pub(crate) stored: u8,
}

impl Mark {
    /// Of a record that was just read from the store.
    pub(crate) fn stored(key: &[u8], value: &[u8]) -> Self {
        let mut both = Vec::with_capacity(key.len() + value.len());
        both.extend_from_slice(key);
        both.extend_from_slice(value);
        Self { stored: key[0], ..Self::packed(&both, key.len()) }
    }

    /// Of a record that was just read from a pack, in one piece with its key.
    pub(crate) fn packed(key_and_value: &[u8], key_len: usize) -> Self {
        let mut mark = Self::default();
        mark.count(&mut 0, key_and_value, key_len);
        mark
    }

    /// Brings its part of the digest up to date.
    fn count(&mut self, sum: &mut u128, key_and_value: &[u8], key_len: usize) {
        let now = contribution(key_and_value, key_len);
        *sum = sum.wrapping_sub(self.contribution()).wrapping_add(now);
        self.contribution = now.to_ne_bytes();
    }

    fn contribution(&self) -> u128 {
        u128::from_ne_bytes(self.contribution)
    }
}

/// Records of one kind that changed, each once.
pub(crate) struct DirtyList<T> {
    list: Vec<T>,
    /// Bytes their records take, about.
    bytes: usize,
}

impl<T> Default for DirtyList<T> {
    fn default() -> Self {
        Self { list: Vec::new(), bytes: 0 }
    }
}

impl<T: Copy> DirtyList<T> {
    pub(crate) fn note(&mut self, mark: &mut Mark, at: T, bytes: usize) {
        if !mark.dirty {
            mark.dirty = true;
            self.list.push(at);
            self.bytes += bytes;
        }
    }
}

/// What changed beside SKUs and pools.
#[derive(Default)]
pub(crate) struct Dirty {
    pub(crate) header: bool,
    pub(crate) meta: bool,
    reservations: DirtyList<ReservationId>,
    pub(crate) packs: Packs,
    operations: DirtyList<OperationId>,
    refusals: DirtyList<Intent>,
    parts: DirtyList<ReservationId>,
    floors: DirtyList<ShardId>,
    /// Records that are in the store and no longer in the state: kind and key within it.
    deletes: Set<(u8, [u8; 16])>,
    /// Sum of what all records but the header add to the digest, as far as it is up to date.
    pub(crate) sum: u128,
}

/// Bytes the records take in a checkpoint, about.
const RESERVATION_RECORD_BYTES: usize = 90;
const LINE_BYTES: usize = 50;
const REFUSED_RECORD_BYTES: usize = 120;
const DELETE_BYTES: usize = ID_KEY_BYTES;

impl Dirty {
    pub(crate) fn reservation(&mut self, id: ReservationId, reservation: &mut Reservation) {
        if let Some(packed) = reservation.packed.take() {
            self.packs.leave(packed);
        }
        // Its record moves from kind to kind as it ends and settles.
        let stored = reservation.mark.stored;
        if stored != 0 && stored != reservation.record_kind() {
            self.deletes.insert((stored, id.to_bytes()));
            reservation.mark.stored = 0;
        }
        let remote = reservation.cart.as_ref().map_or(0, |cart| cart.remote.len());
        let bytes = RESERVATION_RECORD_BYTES + LINE_BYTES * (reservation.lines.as_slice().len() + remote);
        self.reservations.note(&mut reservation.mark, id, bytes);
    }

    /// A new hold, to be stored as it is now: mostly it is the same at the next checkpoint, and now all that goes into its record is at hand.
    pub(crate) fn hold(&mut self, id: ReservationId, reservation: &mut Reservation, pools: &Pieces<Pool>) {
        if !reservation.packs() {
            return self.reservation(id, reservation);
        }
        let (packed, written) = self.packs.put(|bytes| {
            bytes.extend_from_slice(&id_key(LIVE, id.to_bytes()));
            record::put_reservation(bytes, id, reservation, pools);
        });
        reservation.mark.count(&mut self.sum, written, ID_KEY_BYTES);
        reservation.packed = Some(packed);
    }

    pub(crate) fn part(&mut self, id: ReservationId, part: &mut Part) {
        let bytes = RESERVATION_RECORD_BYTES + LINE_BYTES * part.lines.len();
        self.parts.note(&mut part.mark, id, bytes);
    }

    pub(crate) fn floor(&mut self, home: ShardId, mark: &mut Mark) {
        self.floors.note(mark, home, DELETE_BYTES + 16);
    }

    pub(crate) fn operation(&mut self, id: OperationId, mark: &mut Mark, bytes: usize) {
        self.operations.note(mark, id, 32 + bytes);
    }

    pub(crate) fn refusal(&mut self, intent: Intent, mark: &mut Mark) {
        self.refusals.note(mark, intent, REFUSED_RECORD_BYTES);
    }

    /// Whether that record is still in the store only because the next checkpoint was not taken yet.
    pub(crate) fn awaits_delete(&self, key: &RecordKey) -> bool {
        match key.as_bytes().split_first() {
            Some((kind, id)) => id.try_into().is_ok_and(|id| self.deletes.contains(&(*kind, id))),
            None => false,
        }
    }

    /// A record is no more, whose key is not an id; whether it is to be deleted from the store.
    pub(crate) fn uncounted(&mut self, mark: &Mark) -> bool {
        self.sum = self.sum.wrapping_sub(mark.contribution());
        mark.stored != 0
    }

    /// A record is no more.
    pub(crate) fn dropped(&mut self, mark: &Mark, id: [u8; 16]) {
        self.sum = self.sum.wrapping_sub(mark.contribution());
        if mark.stored != 0 {
            self.deletes.insert((mark.stored, id));
        }
    }
}

/// Where records are written to.
struct Output {
    records: Records,
    /// This is for a checkpoint: the records are kept, and clean from now on.
    checkpoint: bool,
}

impl Output {
    /// Writes one record and brings its part of the digest up to date.
    fn put(&mut self, sum: &mut u128, mark: &mut Mark, kind: u8, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let place = self.records.put(|bytes| {
            bytes.push(kind);
            bytes.extend_from_slice(key);
            let value = bytes.len();
            write(bytes);
            value
        });
        let left_out = usize::from(kind == POOL && planted::on(Bug::DigestIgnoresField));
        mark.count(sum, self.records.whole(place, left_out), place.value - place.key);
        if self.checkpoint {
            mark.dirty = false;
            mark.stored = kind;
        } else {
            self.records.take_back();
        }
    }
}

impl Ledger {
    /// How many bytes the next [`take_changes`](Self::take_changes) will have, about.
    pub fn dirty_bytes(&self) -> usize {
        self.stock.dirty_pools.bytes
            + self.stock.dirty_skus.bytes
            + self.stock.dirty_transit.bytes
            + self.stock.uses.dirty_bytes()
            + self.dirty.reservations.bytes
            + self.dirty.packs.dirty_bytes()
            + self.dirty.operations.bytes
            + self.dirty.refusals.bytes
            + self.dirty.parts.bytes
            + self.dirty.floors.bytes
            + self.dirty.deletes.len() * DELETE_BYTES
    }

    /// Every record changed since the last call. All changes taken must reach the store, in this order; a node that
    /// can't write them must stop.
    pub fn take_changes(&mut self) -> Changes {
        self.take_changes_and_room(0)
    }

    /// The same, with room for so many bytes more in the memory they lie in.
    pub fn take_changes_and_room(&mut self, room: usize) -> Changes {
        if !self.dirty.header {
            return Changes::default();
        }
        let lonely = self.dirty.packs.lonely().unwrap_or_else(|bad| stop(format_args!("what was written here: {bad}")));
        for id in lonely {
            if let Some(found) = self.reservations.get_mut(&id) {
                self.dirty.reservation(id, found);
            }
        }
        let mut records = self.dirty.packs.take_records();
        let others = self.dirty.reservations.list.len() + self.stock.dirty_pools.list.len() + 16;
        records.reserve(others, self.dirty_bytes() + 256 + self.dirty.deletes.len() * KEY_ROOM + room);
        let mut out = Output { records, checkpoint: true };
        self.settle(&mut out);
        let header = record::HeaderMsg::new(self.shard, &self.header, self.dirty.sum);
        let mut unused = (0, Mark::default());
        out.put(&mut unused.0, &mut unused.1, HEADER, &[], |bytes| record::put_header(bytes, &header));
        self.dirty.header = false;

        let deletes = std::mem::take(&mut self.dirty.deletes);
        let mut deletes: Vec<_> = deletes.into_iter().collect();
        deletes.sort_unstable();
        let mut deletes: Vec<Bytes> =
            deletes.into_iter().map(|(kind, id)| Bytes::copy_from_slice(&id_key(kind, id))).collect();
        deletes.extend(self.stock.uses.take_deletes());
        self.dirty.packs.take_changes(|change| match change {
            PackChange::Left(number, left) => {
                out.records.put(|bytes| {
                    bytes.extend_from_slice(&pack_key(PACK_LEFT, number));
                    let value = bytes.len();
                    record::put_pack_left(bytes, left);
                    value
                });
            }
            PackChange::Delete(key) => deletes.push(Bytes::copy_from_slice(&key)),
        });
        // Until they are deleted from the store, too, what is found there under these keys is no more.
        let cold = deletes.iter().filter(|key| key[0] == ENDED || key[0] == OPERATION);
        self.cold.absent.extend(cold.cloned().map(RecordKey));
        Changes { puts: out.records, deletes }
    }

    /// The digest of this moment.
    pub(crate) fn settle_digest(&mut self) -> Digest {
        let mut out = Output { records: Records::default(), checkpoint: false };
        self.settle(&mut out);
        let header = record::HeaderMsg::new(self.shard, &self.header, self.dirty.sum);
        let mut sum = self.dirty.sum;
        out.put(&mut sum, &mut Mark::default(), HEADER, &[], |bytes| record::put_header(bytes, &header));
        Digest(sum)
    }

    fn settle(&mut self, out: &mut Output) {
        if self.dirty.meta {
            let (meta, mark) = self.meta.as_mut().expect("is there once it changed");
            out.put(&mut self.dirty.sum, mark, META, &[], |bytes| record::put_meta(bytes, meta));
            self.dirty.meta = !out.checkpoint;
        }
        self.settle_stock(out);
        self.settle_uses(out);
        self.settle_reservations(out);
        self.settle_memory(out);
        self.settle_parts(out);
    }

    fn settle_stock(&mut self, out: &mut Output) {
        let Self { stock, dirty, .. } = self;
        for at in &stock.dirty_skus.list {
            let sku = &mut stock.skus[at.index()];
            let mut mark = sku.mark;
            out.put(&mut dirty.sum, &mut mark, SKU, &sku.bytes, |bytes| record::put_sku(bytes, sku.settings()));
            sku.mark = mark;
        }
        for few in stock.dirty_pools.list.chunks(AHEAD) {
            // Of a million pools none is near any more.
            black_box(few.iter().map(|at| stock.look_at_all(*at)).fold(0, u64::wrapping_add));
            for at in few {
                let pool = &mut stock.pools[at.index()];
                let mut mark = pool.mark;
                out.put(&mut dirty.sum, &mut mark, POOL, &pool.bytes, |bytes| record::put_pool(bytes, pool));
                pool.mark = mark;
            }
        }
        for (sku, id) in &stock.dirty_transit.list {
            let entry = &stock.skus[sku.index()];
            let Some(transit) = entry.transit().get(id).filter(|found| found.mark.dirty) else { continue };
            let (mut mark, key) = (transit.mark, id.to_bytes());
            out.put(&mut dirty.sum, &mut mark, TRANSFER, &key, |bytes| record::put_transit(bytes, *id, transit, stock));
            if let Some(transit) = stock.skus[sku.index()].transit_mut().get_mut(id) {
                transit.mark = mark;
            }
        }
        if out.checkpoint {
            stock.dirty_transit = DirtyList::default();
            stock.dirty_skus = DirtyList::default();
            stock.dirty_pools = DirtyList::default();
        }
    }

    fn settle_uses(&mut self, out: &mut Output) {
        let Self { stock, dirty, .. } = self;
        for key in stock.uses.changed(out.checkpoint) {
            let Some(owner) = stock.uses.get_dirty(&key) else { continue };
            let mut mark = owner.mark;
            out.put(&mut dirty.sum, &mut mark, OWNER_USE, &key, |bytes| record::put_owner_uses(bytes, owner));
            owner.mark = mark;
            if out.checkpoint {
                stock.uses.written(&key);
            }
        }
    }

    fn settle_reservations(&mut self, out: &mut Output) {
        let Self { stock, dirty, reservations, .. } = self;
        for (number, id) in dirty.reservations.list.iter().enumerate() {
            if number.is_multiple_of(AHEAD) {
                // They are no longer in the processor's cache. Those of several can be waited for together.
                let next = dirty.reservations.list[number..].iter().take(AHEAD);
                let seen = next.filter_map(|id| reservations.get(id)).map(|found| u64::from(found.revision));
                black_box(seen.fold(0, u64::wrapping_add));
            }
            // It may be gone since, or be listed twice because it went and came back.
            let Some(reservation) = reservations.get_mut(id).filter(|found| found.mark.dirty) else { continue };
            let kind = reservation.record_kind();
            let mut mark = reservation.mark;
            let key = id.to_bytes();
            let write = |bytes: &mut Vec<u8>| record::put_reservation(bytes, *id, reservation, &stock.pools);
            out.put(&mut dirty.sum, &mut mark, kind, &key, write);
            reservation.mark = mark;
            if out.checkpoint {
                dirty.deletes.remove(&(kind, key));
            }
        }
        if out.checkpoint {
            dirty.reservations = DirtyList::default();
        }
    }

    fn settle_parts(&mut self, out: &mut Output) {
        let Self { stock, dirty, parts, floors, .. } = self;
        for id in &dirty.parts.list {
            let Some(part) = parts.get_mut(id).filter(|found| found.mark.dirty) else { continue };
            let mut mark = part.mark;
            let key = id.to_bytes();
            let write = |bytes: &mut Vec<u8>| record::put_part(bytes, *id, part, &stock.pools);
            out.put(&mut dirty.sum, &mut mark, PART, &key, write);
            part.mark = mark;
            if out.checkpoint {
                dirty.deletes.remove(&(PART, key));
            }
        }
        for home in &dirty.floors.list {
            let Some((floor, mark)) = floors.get_mut(home) else { continue };
            out.put(&mut dirty.sum, mark, FLOOR, &floor_key(*home), |bytes| record::put_floor(bytes, *floor));
        }
        if out.checkpoint {
            dirty.parts = DirtyList::default();
            dirty.floors = DirtyList::default();
        }
    }

    fn settle_memory(&mut self, out: &mut Output) {
        let Self { dirty, operations, refusals, .. } = self;
        for id in &dirty.operations.list {
            let Some(operation) = operations.get_mut(id).filter(|found| found.mark.dirty) else { continue };
            let mut mark = operation.mark;
            let key = id.to_bytes();
            out.put(&mut dirty.sum, &mut mark, OPERATION, &key, |bytes| record::put_operation(bytes, operation));
            operation.mark = mark;
            if out.checkpoint {
                dirty.deletes.remove(&(OPERATION, key));
            }
        }
        for intent in &dirty.refusals.list {
            let Some(refused) = refusals.get_mut(intent).filter(|found| found.mark.dirty) else { continue };
            let mut mark = refused.mark;
            let (kind, key) = intent.record();
            out.put(&mut dirty.sum, &mut mark, kind, &key, |bytes| record::put_refused(bytes, refused));
            refused.mark = mark;
            if out.checkpoint {
                dirty.deletes.remove(&(kind, key));
            }
        }
        if out.checkpoint {
            dirty.operations = DirtyList::default();
            dirty.refusals = DirtyList::default();
        }
    }
}

impl Reservation {
    /// The kind of record it is kept as.
    pub(crate) fn record_kind(&self) -> u8 {
        match self.ended {
            None => LIVE,
            Some(_) if self.passing() => UNSETTLED,
            Some(_) => ENDED,
        }
    }
}
