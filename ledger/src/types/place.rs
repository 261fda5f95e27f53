//! Where things are: pools, buckets, shards, and positions in the ledger.

use super::{Location, Lot, Namespace, Sku};
use std::fmt;
use xxhash_rust::xxh3::Xxh3Default;

/// How many buckets there are, for ever.
pub const BUCKETS: u16 = 16_384;

/// One of [`BUCKETS`] parts of the key space. All locations, kinds and lots of a SKU are in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket of that number, if there is one.
    pub fn new(number: u16) -> Option<Self> {
        (number < BUCKETS).then_some(Self(number))
    }

    /// xxh3-64 of namespace, a zero byte, and SKU, modulo [`BUCKETS`]. Never changes.
    pub fn of(namespace: &Namespace, sku: &Sku) -> Self {
        Self::of_texts(namespace.as_str(), sku.as_str())
    }

    /// The same of what is a namespace and a SKU, or will be refused elsewhere.
    pub fn of_texts(namespace: &str, sku: &str) -> Self {
        let mut hash = Xxh3Default::new();
        hash.update(namespace.as_bytes());
        hash.update(&[0]);
        hash.update(sku.as_bytes());
        let number = hash.digest() % u64::from(BUCKETS);
        Self(u16::try_from(number).expect("below 16,384"))
    }

    /// Its number, 0 to 16,383.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A Raft group. Shard 0 is the meta shard, all others hold stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl ShardId {
    /// The shard that keeps the bucket map, the nodes and the cluster's settings.
    pub const META: Self = Self(0);
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Raised by a restore from backup, so that no old position can be mistaken for a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// Index of an entry in a shard's Raft log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogIndex(pub u64);

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One movement's place in the ledger. Ordered within a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The shard it happened in.
    pub shard: ShardId,
    /// The shard's epoch at that time.
    pub epoch: Epoch,
    /// The entry.
    pub index: LogIndex,
    /// Which movement of the entry, from 0.
    pub ordinal: u32,
}

/// What kind of stock a pool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PoolKind {
    /// On the shelf.
    #[default]
    Now = 1,
    /// Announced by a supplier.
    Incoming = 2,
    /// Sold ahead of a receipt.
    Backorder = 3,
    /// Sold ahead of the first receipt.
    Preorder = 4,
}

impl PoolKind {
    /// The kind of that tag; tags are permanent.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Self::Now,
            2 => Self::Incoming,
            3 => Self::Backorder,
            4 => Self::Preorder,
            _ => return None,
        })
    }

    /// Its permanent tag.
    pub fn tag(self) -> u8 {
        self as u8
    }
}

/// Names a pool: the smallest thing that has a balance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// Tenant or brand.
    pub namespace: Namespace,
    /// Article.
    pub sku: Sku,
    /// Shop or warehouse.
    pub location: Location,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: Lot,
}

impl PoolKey {
    /// The bucket it lies in.
    pub fn bucket(&self) -> Bucket {
        Bucket::of(&self.namespace, &self.sku)
    }

    /// A copy of its own, which keeps no message alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            namespace: self.namespace.detached(),
            sku: self.sku.detached(),
            location: self.location.detached(),
            kind: self.kind,
            lot: self.lot.detached(),
        }
    }
}
