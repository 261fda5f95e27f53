//! Hash of a whole state, for comparing replicas: the sum, modulo 2^128, of one hash per record.
//!
//! A sum does not depend on the order of the records, so it can be kept up to date record by record, and it is the
//! same whether a record is in memory or on disk only. It finds accidents, not forgery.

use crate::{
    codec::record,
    records::{ID_KEY_BYTES, PACK, PACK_LEFT, pack_number},
    state::{Left, Map},
};
use std::fmt;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// Hash of a whole state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// Its 16 bytes, big-endian.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Back from 16 bytes; none if there are more or fewer.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What one record adds to the sum. The key's length is the seed, so that moving the border between key and value
/// changes it.
pub(crate) fn contribution(key_and_value: &[u8], key_len: usize) -> u128 {
    let seed = u64::try_from(key_len).expect("a length fits 64 bits");
    xxh3_128_with_seed(key_and_value, seed)
}

/// Computes the digest of a state from its records, in any order in which what has left a pack comes before the pack. What the
/// receiver of a snapshot gets so equals [`Ledger::digest`](crate::Ledger::digest) of the sender at that checkpoint.
///
/// A hold counts for itself, in a pack or not: two replicas pack them differently.
#[derive(Clone, Debug, Default)]
pub struct Accumulator {
    sum: u128,
    left: Map<u64, Left>,
    buffer: Vec<u8>,
}

impl Accumulator {
    /// Nothing added yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one record: each exactly once, the header included.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        match key.first() {
            // What can't be read counts as it is, so that the sum is wrong.
            Some(&PACK_LEFT) => match (pack_number(key), record::decode_pack_left(value)) {
                (Ok(number), Ok(left)) => drop(self.left.insert(number, left)),
                _ => self.count(key, value),
            },
            Some(&PACK) => match (pack_number(key), record::decode_pack(value)) {
                (Ok(number), Ok(holds)) => {
                    let left = self.left.remove(&number).unwrap_or_default();
                    for (_, hold) in holds.iter().enumerate().filter(|(at, _)| !left.has(*at)) {
                        self.sum = self.sum.wrapping_add(contribution(hold, ID_KEY_BYTES));
                    }
                }
                _ => self.count(key, value),
            },
            _ => self.count(key, value),
        }
    }

    fn count(&mut self, key: &[u8], value: &[u8]) {
        self.buffer.clear();
        self.buffer.extend_from_slice(key);
        self.buffer.extend_from_slice(value);
        self.sum = self.sum.wrapping_add(contribution(&self.buffer, key.len()));
    }

    /// The digest of what was added. What is said to have left a pack that did not come is no part of any state.
    pub fn finish(&self) -> Digest {
        let strays =
            self.left.iter().map(|(number, Left(left))| u128::from(*number) ^ left).fold(0, u128::wrapping_add);
        Digest(self.sum.wrapping_add(strays))
    }
}
