//! The kinds of records a state is made of, their keys, and which of them must be in memory.
//!
//! A record key is one byte of kind and the key within the kind. Kinds are permanent: none is ever used for something
//! else. Keys of pools and SKUs are length-prefixed texts, namespace first, so that everything of a namespace, of a
//! SKU, and of a SKU at a location lies together. Keys of reservations and operations are their 16 bytes, which begin
//! with the time they were made: old ones lie together too.
//!
//! *Hot* records are always in memory. *Cold* ones (ended reservations and remembered operations whose id is older
//! than [`HOT_WINDOW`]) are on disk only, and are given to the ledger when a command names them.

mod pool_name;

pub(crate) use pool_name::PoolKeyBytes;
pub use pool_name::{PoolName, PoolTexts};

use crate::{
    codec::{Corrupt, record},
    digest::{Digest, contribution},
    journal::BlockHash,
    limits::{HOT_WINDOW, RETENTION, RETURN_WINDOW},
    planted::{self, Bug},
    types::{
        DurationMs, IdKind, Location, Lot, Namespace, OperationId, Owner, PoolKey, PoolKind, ReservationId, ShardId,
        Sku, TimeMs,
    },
};
use bytes::{BufMut, Bytes};

/// The one record of clock, rules, epoch, counter, journal hash and digest.
pub const HEADER: u8 = 1;
/// The one record of the meta shard's map and nodes.
pub const META: u8 = 2;
/// A SKU's settings.
pub const SKU: u8 = 3;
/// A pool's balance.
pub const POOL: u8 = 4;
/// A reservation that still holds units.
pub const LIVE: u8 = 5;
/// A reservation that holds nothing any more. Cold when old.
pub const ENDED: u8 = 6;
/// The remembered outcome of an operation that had an effect. Cold when old.
pub const OPERATION: u8 = 7;
/// The remembered refusal of a reserve.
pub const REFUSED_RESERVE: u8 = 8;
/// The remembered refusal of any other operation that is remembered when it is done.
pub const REFUSED_OPERATION: u8 = 9;

/// A cart that holds nothing any more, and whose participants have not all answered. Never cold.
pub const UNSETTLED: u8 = 10;
/// What a participant keeps of a cart whose home is another shard. Never cold.
pub const PART: u8 = 11;
/// The number below which a home shard sends nothing any more. Never cold.
pub const FLOOR: u8 = 12;
/// The remembered refusal of a commit or release of all that was held.
pub const REFUSED_WHOLE: u8 = 13;

/// Which holds have left a [`PACK`]; never cold. Its key is smaller than that of any pack, so that it is read before.
pub const PACK_LEFT: u8 = 14;
/// Many reservations that still hold units, each with the key and the record it would have by itself ([`LIVE`]). Never cold.
pub const PACK: u8 = 15;

/// Units on their way between two locations of a SKU.
pub const TRANSFER: u8 = 20;
/// What an owner holds and bought of a SKU that limits it.
pub const OWNER_USE: u8 = 21;

/// Key of the header.
pub const HEADER_KEY: &[u8] = &[HEADER];

/// The key of one record: a byte of kind, then the key within the kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(pub Bytes);

impl RecordKey {
    /// Key of an ended reservation.
    pub fn ended(id: ReservationId) -> Self {
        Self(Bytes::copy_from_slice(&id_key(ENDED, id.to_bytes())))
    }

    /// Key of a remembered operation.
    pub fn operation(id: OperationId) -> Self {
        Self(Bytes::copy_from_slice(&id_key(OPERATION, id.to_bytes())))
    }

    /// The bytes of the key, kind included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes of a key whose rest is an id.
pub(crate) const ID_KEY_BYTES: usize = 17;

pub(crate) fn id_key(kind: u8, id: [u8; 16]) -> [u8; ID_KEY_BYTES] {
    let mut key = [kind; ID_KEY_BYTES];
    key[1..].copy_from_slice(&id);
    key
}

/// The key of a record of a pack.
pub(crate) fn pack_key(kind: u8, number: u64) -> [u8; 9] {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The number of the pack named by a key of kind [`PACK`] or [`PACK_LEFT`].
///
/// # Errors
/// [`Corrupt`] if it names none.
pub(crate) fn pack_number(key: &[u8]) -> Result<u64, Corrupt> {
    let bytes: Option<[u8; 8]> = key.get(1..).and_then(|number| number.try_into().ok());
    bytes.map(u64::from_be_bytes).ok_or_else(|| Corrupt::new("record key", "names no pack"))
}

/// The ranges of keys (start included, end excluded) that must be loaded before a state whose header says `clock` can
/// be used: everything but cold records.
pub fn hot_ranges(clock: TimeMs) -> Vec<(Vec<u8>, Vec<u8>)> {
    let horizon = clock.minus(HOT_WINDOW);
    vec![
        (vec![HEADER], vec![ENDED]),
        (first_key(ENDED, horizon), vec![ENDED + 1]),
        (first_key(OPERATION, horizon), vec![OPERATION + 1]),
        // Kinds between that no build has written yet are loaded as well: they are met and refused.
        (vec![REFUSED_RESERVE], vec![OWNER_USE + 1]),
    ]
}

/// The first key of a kind that this build does not know. A state with a record from here on was written by a newer
/// build and can't be used.
pub const UNKNOWN: &[u8] = &[OWNER_USE + 1];

/// The ranges in which records may be [`forgettable`] at `clock`. Ids dated later are never.
pub fn forget_ranges(clock: TimeMs) -> Vec<(Vec<u8>, Vec<u8>)> {
    let horizon = clock.minus(retention());
    vec![(vec![ENDED], first_key(ENDED, horizon)), (vec![OPERATION], first_key(OPERATION, horizon))]
}

/// The smallest key of that kind whose id is not older than `time`.
fn first_key(kind: u8, time: TimeMs) -> Vec<u8> {
    let mut key = vec![kind];
    if time.0 > 0 {
        key.extend_from_slice(&time.0.to_be_bytes()[2..]);
    }
    key
}

/// Whether an id of that time may have been forgotten: the one predicate by which records are dropped and old ids
/// refused. Ids without a time of their own (0) are never refused.
pub(crate) fn may_be_forgotten(id_time: TimeMs, clock: TimeMs) -> bool {
    id_time.plus(retention()) < clock
}

fn retention() -> DurationMs {
    if planted::on(Bug::RetentionTooShort) { DurationMs::seconds(10) } else { RETENTION }
}

pub(crate) fn reservation_too_old(id: ReservationId, clock: TimeMs) -> bool {
    id.kind() == IdKind::Timed && may_be_forgotten(id.time(), clock)
}

/// Whether an ended reservation may be dropped at `clock`.
pub(crate) fn reservation_forgettable(
    id: ReservationId,
    ended: TimeMs,
    committed: bool,
    unshipped: bool,
    clock: TimeMs,
) -> bool {
    if unshipped {
        return false;
    }
    let stays = if committed { RETURN_WINDOW } else { retention() };
    may_be_forgotten(id.time(), clock) && ended.plus(stays) < clock
}

/// Whether the time of that record is over by `clock`, so that a leader may propose to forget it. Never true of kinds
/// that are not cold, nor of a record that can't be read: whoever needs it will say so.
pub fn forgettable(key: &[u8], value: &[u8], clock: TimeMs) -> bool {
    match key.first() {
        Some(&ENDED) => match (reservation_id(key), record::decode_reservation(Bytes::copy_from_slice(value))) {
            (Ok(id), Ok(found)) => {
                let (committed, unshipped) = (found.committed(), found.unshipped());
                reservation_forgettable(id, TimeMs(found.since), committed, unshipped, clock)
            }
            _ => false,
        },
        Some(&OPERATION) => operation_id(key).is_ok_and(|id| may_be_forgotten(id.time(), clock)),
        _ => false,
    }
}

/// The digest of the whole state a header stands in: what it carries of the other records, and the header itself.
///
/// # Errors
/// [`Corrupt`] if it can't be read.
pub fn header_digest(value: &[u8]) -> Result<Digest, Corrupt> {
    let mut header = vec![HEADER];
    header.extend_from_slice(value);
    let sum = record::decode_header(value)?.sum();
    Ok(Digest(sum.wrapping_add(contribution(&header, 1))))
}

/// The clock of a state, from its header record.
///
/// # Errors
/// [`Corrupt`] if the record can't be read.
pub fn header_clock(value: &[u8]) -> Result<TimeMs, Corrupt> {
    Ok(TimeMs(record::decode_header(value)?.clock))
}

/// The key of a floor, without its kind: the home's number at the end of 16 bytes.
pub(crate) fn floor_key(home: ShardId) -> [u8; 16] {
    u128::from(home.0).to_be_bytes()
}

/// The home named by a key of kind [`FLOOR`].
///
/// # Errors
/// [`Corrupt`] if it names none.
pub(crate) fn floor_home(key: &[u8]) -> Result<ShardId, Corrupt> {
    let bytes: Option<[u8; 16]> = key.get(1..).and_then(|home| home.try_into().ok());
    let home = bytes.and_then(|bytes| u32::try_from(u128::from_be_bytes(bytes)).ok());
    home.map(ShardId).ok_or_else(|| Corrupt::new("record key", "names no shard"))
}

/// The hash of the last journal block of a state, from its header record; 0 if it has none.
///
/// # Errors
/// [`Corrupt`] if the record can't be read.
pub fn header_journal(value: &[u8]) -> Result<BlockHash, Corrupt> {
    Ok(record::decode_header(value)?.header().journal)
}

/// The reservation named by a key of kind [`LIVE`], [`ENDED`], [`UNSETTLED`], [`PART`] or [`REFUSED_RESERVE`].
///
/// # Errors
/// [`Corrupt`] if it names none.
pub fn reservation_id(key: &[u8]) -> Result<ReservationId, Corrupt> {
    ReservationId::from_slice(key.get(1..).unwrap_or_default()).map_err(|bad| Corrupt::new("record key", bad))
}

/// The operation named by a key of kind [`OPERATION`], [`REFUSED_OPERATION`], [`REFUSED_WHOLE`] or [`TRANSFER`].
///
/// # Errors
/// [`Corrupt`] if it names none.
pub fn operation_id(key: &[u8]) -> Result<OperationId, Corrupt> {
    OperationId::from_slice(key.get(1..).unwrap_or_default()).map_err(|bad| Corrupt::new("record key", bad))
}

/// The most bytes the key of a pool can have, without its kind of record.
pub(crate) const POOL_KEY_BYTES_MAX: usize =
    5 + Namespace::BYTES_MAX + Sku::BYTES_MAX + Location::BYTES_MAX + Lot::BYTES_MAX;

fn put_text(out: &mut impl BufMut, text: &[u8]) {
    out.put_u8(u8::try_from(text.len()).expect("names have at most 64 bytes"));
    out.put_slice(text);
}

/// Writes the key of a SKU, without its kind. It is a prefix of the keys of its pools.
pub(crate) fn put_sku_key(out: &mut impl BufMut, namespace: &Namespace, sku: &Sku) {
    put_text(out, namespace.as_bytes());
    put_text(out, sku.as_bytes());
}

/// The key of its SKU within the key of a pool, which was read before.
pub(crate) fn sku_part(pool: &[u8]) -> &[u8] {
    let text = |start: usize| start + 1 + usize::from(pool[start]);
    &pool[..text(text(0))]
}

/// Writes the rest of the key of a pool, after its SKU's.
pub(crate) fn put_pool_rest(out: &mut impl BufMut, location: &Location, kind: PoolKind, lot: &Lot) {
    put_text(out, location.as_bytes());
    out.put_u8(kind.tag());
    put_text(out, lot.as_bytes());
}

/// Writes the key of a pool, without its kind of record.
pub(crate) fn put_pool_key(out: &mut Vec<u8>, key: &PoolKey) {
    put_sku_key(out, &key.namespace, &key.sku);
    put_pool_rest(out, &key.location, key.kind, &key.lot);
}

/// The key of a pool as bytes, without its kind of record.
pub fn pool_key_bytes(key: &PoolKey) -> Bytes {
    let mut out = Vec::with_capacity(64);
    put_pool_key(&mut out, key);
    Bytes::from(out)
}

/// Writes the rest of the key of an owner's use, after the SKU's.
pub(crate) fn put_owner(out: &mut impl BufMut, owner: &[u8]) {
    put_text(out, owner);
}

/// Reads the key of an owner's use, without its kind: the length of the SKU's part, and the owner.
pub(crate) fn read_owner_key(key: Bytes) -> Result<(usize, Owner), Corrupt> {
    let len = key.len();
    let mut texts = Texts(key);
    Namespace::new(texts.text()?).map_err(|bad| Corrupt::new("namespace", bad))?;
    Sku::new(texts.text()?).map_err(|bad| Corrupt::new("sku", bad))?;
    let of_sku = len - texts.0.len();
    let owner = Owner::new(texts.text()?).map_err(|bad| Corrupt::new("owner", bad))?;
    if owner.is_empty() || !texts.0.is_empty() {
        return Err(Corrupt::new("owner key", "names no owner, or is longer than its texts"));
    }
    Ok((of_sku, owner))
}

struct Texts(Bytes);

impl Texts {
    fn take(&mut self, len: usize) -> Result<Bytes, Corrupt> {
        if self.0.len() < len {
            return Err(Corrupt::new("pool key", "ends too early"));
        }
        Ok(self.0.split_to(len))
    }

    fn text(&mut self) -> Result<Bytes, Corrupt> {
        let len = self.take(1)?[0];
        self.take(usize::from(len))
    }
}

/// Reads the key of a SKU, without its kind. The texts share the bytes given.
pub(crate) fn read_sku_key(key: Bytes) -> Result<(Namespace, Sku), Corrupt> {
    let mut texts = Texts(key);
    let namespace = Namespace::new(texts.text()?).map_err(|bad| Corrupt::new("namespace", bad))?;
    let sku = Sku::new(texts.text()?).map_err(|bad| Corrupt::new("sku", bad))?;
    if !texts.0.is_empty() {
        return Err(Corrupt::new("sku key", "is longer than its texts"));
    }
    Ok((namespace, sku))
}

/// Reads the key of a pool, without its kind of record. The texts share the bytes given.
///
/// # Errors
/// [`Corrupt`] if it is none.
pub fn read_pool_key(key: Bytes) -> Result<PoolKey, Corrupt> {
    let mut texts = Texts(key);
    let namespace = Namespace::new(texts.text()?).map_err(|bad| Corrupt::new("namespace", bad))?;
    let sku = Sku::new(texts.text()?).map_err(|bad| Corrupt::new("sku", bad))?;
    let location = Location::new(texts.text()?).map_err(|bad| Corrupt::new("location", bad))?;
    let kind = PoolKind::from_tag(texts.take(1)?[0]).ok_or_else(|| Corrupt::new("pool key", "unknown kind"))?;
    let lot = Lot::new(texts.text()?).map_err(|bad| Corrupt::new("lot", bad))?;
    if !texts.0.is_empty() {
        return Err(Corrupt::new("pool key", "is longer than its texts"));
    }
    Ok(PoolKey { namespace, sku, location, kind, lot })
}
