//! Pools and SKUs by the hash of their keys.

use crate::hashing;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bits that count of a hash: few in this crate's own tests, so that many keys have the same.
const HASH_BITS: u64 = if cfg!(test) { 0b11 } else { u32::MAX as u64 };

/// Where each hash leads to first: whoever has a hash that another one had before leads to that one in turn. The key is looked at
/// where the pool or SKU is, which is needed anyway: in the table it would be one more place in memory to wait for, and there may be
/// millions.
pub(crate) struct ByKey<R> {
    seed: u64,
    /// By the highest bits of the hash. A table is copied when it is full, and all callers wait for that.
    tables: [HashMap<KeyHash, R, BuildHasherDefault<Spread>>; TABLES],
}

/// A power of two.
const TABLES: usize = 64;

/// Of a key, in one shard of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash(u32);

impl<R> Default for ByKey<R> {
    fn default() -> Self {
        Self { seed: hashing::seed(), tables: [(); TABLES].map(|()| HashMap::default()) }
    }
}

impl<R: Copy> ByKey<R> {
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        let hash = xxh3_64_with_seed(key, self.seed) & HASH_BITS;
        KeyHash(u32::try_from(hash).expect("has 32 bits"))
    }

    pub(crate) fn first(&self, hash: KeyHash) -> Option<R> {
        self.tables[hash.table()].get(&hash).copied()
    }

    /// Has the hash of `key` lead to `at` first; gives what it led to before.
    pub(crate) fn lead(&mut self, key: &[u8], at: R) -> Option<R> {
        let hash = self.hash(key);
        self.tables[hash.table()].insert(hash, at)
    }
}

impl KeyHash {
    fn table(self) -> usize {
        (self.0 >> (u32::BITS - TABLES.ilog2())) as usize
    }
}

/// Makes of 32 bits of a hash the 64 bits that a table wants: it goes by the highest and by the lowest.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, hash: u32) {
        self.0 = (self.0 ^ u64::from(hash)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
