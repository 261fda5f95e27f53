//! Seeds of this process's hash maps.
//!
//! Callers choose ids, owners and names, and whoever knew where a map puts them could make thousands meet in one place,
//! each of which a search passes. So a node gives a number that nobody can know. The order of a map is never seen: whatever is
//! told, written or decided goes by keys or by ordered sets. That each map has its own seed, and so each replica, shows it.

use foldhash::{SharedSeed, fast::SeedableRandomState};
use std::{
    hash::BuildHasher,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A number nobody knows, and what is made of it for hashing. An id hashes to nothing, whatever is mixed into its other half, where one
/// half is the first number of the shared seed: so that one has to be unknown as well.
static PROCESS: OnceLock<(u64, SharedSeed)> = OnceLock::new();
static MAPS: AtomicU64 = AtomicU64::new(0);

/// Gives this process's hash maps a seed, which is to be random. To be called before the first [`Ledger`](crate::Ledger) is
/// made; a second call has no effect. Without it they have a seed that everybody knows.
pub fn seed_hash_maps(seed: u64) {
    PROCESS.get_or_init(|| (seed, SharedSeed::from_u64(seed)));
}

/// The seed of another map.
pub(crate) fn seed() -> u64 {
    let map = MAPS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    PROCESS.get().map_or(0, |(seed, _)| seed.rotate_left(32)) ^ map
}

/// Hashes for one map.
#[derive(Clone, Debug)]
pub(crate) struct Hashing(SeedableRandomState);

impl Default for Hashing {
    fn default() -> Self {
        let shared = PROCESS.get().map_or(SharedSeed::global_fixed(), |(_, shared)| shared);
        Self(SeedableRandomState::with_seed(seed(), shared))
    }
}

impl BuildHasher for Hashing {
    type Hasher = <SeedableRandomState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Bucket, ReservationId, TimeMs};
    use std::collections::BTreeSet;

    #[test]
    fn each_map_hashes_in_its_own_way() {
        let (one, other) = (Hashing::default(), Hashing::default());
        assert_ne!(one.hash_one(7), other.hash_one(7));
        assert_eq!(one.hash_one(7), one.clone().hash_one(7));
    }

    /// Ids whose second half is what the shared seed begins with if nobody gave one.
    #[test]
    fn no_ids_meet_in_one_hash_once_there_is_a_seed() {
        seed_hash_maps(0x1234_5678_9abc_def0);
        let home = Bucket::new(5).expect("below 16,384");
        let id = |ms: u64| ReservationId::timed(TimeMs(1_700_000_000_000 + ms), home, 0xc0ac_29b7_c97c_50dd);
        let hashing = Hashing::default();
        let hashes: BTreeSet<u64> = (0..1_000).map(|ms| hashing.hash_one(id(ms))).collect();
        assert_eq!(hashes.len(), 1_000);
    }
}
