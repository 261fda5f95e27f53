//! A hash map by the id of a reservation or another operation, in which those that were made at about the same time stand close together.
//!
//! What is looked for is mostly new: the id of a reserve that is not there yet, and of a hold that is committed minutes later. In one
//! table for all each would be somewhere in memory that nobody looked at for long, and to wait for that, and for the processor to find
//! the page it is in, is much of what a reserve costs. Here each eighth of a second has a table of its own, small enough to stay near
//! while it is filled. None is large, so that nobody waits for long while one grows; and one that is empty goes, so that the memory of a
//! launch day is given back after it.
//!
//! A table is one row of slots; an id stands in the first free one from where its hash points to. So whoever looked
//! whether an id is there has brought the slot near that it would be put into: in a table that keeps its tags apart a new entry
//! waits for the memory a second time, and all that is written after it waits as well.

use super::Map;
use crate::{
    hashing::Hashing,
    types::{OperationId, ReservationId},
};
use std::{
    hash::{BuildHasher, Hash},
    iter,
    ops::Index,
};

/// So many tables are for ids that tell no time.
const TIMELESS: u64 = 64;

/// Slots of a table, at least.
const SLOTS_MIN: usize = 2;

/// Tables stand in so many maps, by the lowest bits of their numbers: holds of a month are in millions of tables, and a map that is
/// full is copied while all wait. A power of two.
const MAPS: usize = 64;

/// An id that begins with 48 bits of milliseconds.
pub(crate) trait Id: Copy + Eq + Hash {
    fn both_halves(self) -> (u64, u64);
}

impl Id for ReservationId {
    fn both_halves(self) -> (u64, u64) {
        self.halves()
    }
}

impl Id for OperationId {
    fn both_halves(self) -> (u64, u64) {
        self.halves()
    }
}

/// As a `HashMap`; its order is never seen either.
pub(crate) struct ById<I, V> {
    tables: [Map<u64, Table<I, V>>; MAPS],
    hashing: Hashing,
    len: usize,
}

/// One row of slots. At most two thirds are taken, so looking for an id that is not there passes a few.
struct Table<I, V> {
    slots: Box<[Option<(I, V)>]>,
    len: usize,
}

impl<I, V> Default for Table<I, V> {
    fn default() -> Self {
        Self { slots: free_slots(SLOTS_MIN), len: 0 }
    }
}

fn free_slots<I, V>(slots: usize) -> Box<[Option<(I, V)>]> {
    iter::repeat_with(|| None).take(slots).collect()
}

/// The hash's place among so many slots.
fn home<I: Hash>(hashing: &Hashing, id: &I, slots: usize) -> usize {
    let hash = u128::from(hashing.hash_one(id));
    usize::try_from((hash * slots as u128) >> 64).expect("below a length")
}

impl<I: Id, V> Table<I, V> {
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// Where the id stands, or the free slot it would be put into.
    fn find(&self, hashing: &Hashing, id: &I) -> Result<usize, usize> {
        let mut at = home(hashing, id, self.slots.len());
        loop {
            match &self.slots[at] {
                None => return Err(at),
                Some((found, _)) if found == id => return Ok(at),
                Some(_) => at = self.next(at),
            }
        }
    }

    fn insert(&mut self, hashing: &Hashing, id: I, value: V) -> Option<V> {
        let mut free = match self.find(hashing, &id) {
            Ok(at) => return self.slots[at].replace((id, value)).map(|(_, before)| before),
            Err(free) => free,
        };
        self.len += 1;
        if self.len * 3 > self.slots.len() * 2 {
            self.resize(hashing, self.slots.len() / 2 * 3 + 1);
            let (Ok(place) | Err(place)) = self.find(hashing, &id);
            free = place;
        }
        self.slots[free] = Some((id, value));
        None
    }

    #[cold]
    fn resize(&mut self, hashing: &Hashing, slots: usize) {
        let before = std::mem::replace(&mut self.slots, free_slots(slots));
        for entry in before.into_iter().flatten() {
            let (Ok(at) | Err(at)) = self.find(hashing, &entry.0);
            self.slots[at] = Some(entry);
        }
    }

    fn remove(&mut self, hashing: &Hashing, id: &I) -> Option<V> {
        let mut free = self.find(hashing, id).ok()?;
        let removed = self.slots[free].take();
        self.len -= 1;
        // Those behind come nearer to where their hashes point to, as far as that leads past the free slot: no search may end there
        // that would have gone on.
        let slots = self.slots.len();
        let far = |from: usize, to: usize| if to >= from { to - from } else { to + slots - from };
        let mut at = self.next(free);
        while let Some((behind, _)) = &self.slots[at] {
            if far(home(hashing, behind, slots), at) >= far(free, at) {
                self.slots.swap(free, at);
                free = at;
            }
            at = self.next(at);
        }
        // When its time is over nothing more comes, and few may stay for weeks.
        if self.len * 6 < slots && slots > 2 * SLOTS_MIN {
            self.resize(hashing, (self.len * 2).max(SLOTS_MIN));
        }
        removed.map(|(_, value)| value)
    }
}

/// An id begins with 48 bits of milliseconds, of which a table has 128. Those without have random bits at their end: one who makes
/// all ids alike has them in one table, as large as all are.
fn table_of<I: Id>(id: &I) -> u64 {
    let (high, low) = id.both_halves();
    match high >> (16 + 7) {
        0 => low % TIMELESS,
        time => time,
    }
}

fn map_of(number: u64) -> usize {
    number as usize % MAPS
}

impl<I, V> Default for ById<I, V> {
    fn default() -> Self {
        Self { tables: [(); MAPS].map(|()| Map::default()), hashing: Hashing::default(), len: 0 }
    }
}

impl<I: Id, V> ById<I, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn contains_key(&self, id: &I) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn get(&self, id: &I) -> Option<&V> {
        let number = table_of(id);
        let table = self.tables[map_of(number)].get(&number)?;
        let at = table.find(&self.hashing, id).ok()?;
        table.slots[at].as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: &I) -> Option<&mut V> {
        let number = table_of(id);
        let table = self.tables[map_of(number)].get_mut(&number)?;
        let at = table.find(&self.hashing, id).ok()?;
        table.slots[at].as_mut().map(|(_, value)| value)
    }

    /// What was there before.
    pub(crate) fn insert(&mut self, id: I, value: V) -> Option<V> {
        let number = table_of(&id);
        let before = self.tables[map_of(number)].entry(number).or_default().insert(&self.hashing, id, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, id: &I) -> Option<V> {
        let number = table_of(id);
        let map = &mut self.tables[map_of(number)];
        let table = map.get_mut(&number)?;
        let removed = table.remove(&self.hashing, id)?;
        if table.len == 0 {
            map.remove(&number);
        }
        self.len -= 1;
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&I, &V)> + Clone {
        self.tables
            .iter()
            .flat_map(Map::values)
            .flat_map(|table| table.slots.iter().flatten())
            .map(|(id, value)| (id, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<I: Id, V> Index<&I> for ById<I, V> {
    type Output = V;

    fn index(&self, id: &I) -> &V {
        self.get(id).expect("the id is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Bucket, TimeMs};
    use std::collections::BTreeMap;

    /// Of one of a few thousand ids: made in one of three eighths of a second, or without a time.
    fn id(n: u64) -> ReservationId {
        let home = Bucket::new(1).expect("below 16,384");
        let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        match scattered % 4 {
            3 => ReservationId::hashed(home, scattered),
            made => ReservationId::timed(TimeMs(1_700_000_000_000 + 128 * made), home, scattered),
        }
    }

    #[test]
    fn it_is_a_map() {
        let (mut ours, mut plain) = (ById::default(), BTreeMap::new());
        for n in 0..6_000_u64 {
            let id = id(n);
            assert_eq!(
                (ours.get(&id).copied(), ours.contains_key(&id)),
                (plain.get(&id).copied(), plain.contains_key(&id))
            );
            if n % 3 == 0 {
                assert_eq!(ours.remove(&id), plain.remove(&id));
            } else {
                assert_eq!(ours.insert(id, n), plain.insert(id, n));
                *ours.get_mut(&id).expect("is there") += 1;
                *plain.get_mut(&id).expect("is there") += 1;
                assert_eq!(ours[&id], n + 1);
            }
            assert_eq!(ours.len(), plain.len());
            if n % 500 == 0 {
                // Each is found again, however those beside it came and went.
                assert!(plain.iter().all(|(id, value)| ours.get(id) == Some(value)));
            }
        }
        let mut all: Vec<_> = ours.iter().map(|(id, value)| (*id, *value)).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(plain.clone()));
        assert_eq!(ours.values().sum::<u64>(), plain.values().sum());
    }

    fn tables(map: &ById<ReservationId, u64>) -> impl Iterator<Item = &Table<ReservationId, u64>> {
        map.tables.iter().flat_map(Map::values)
    }

    /// Made in the same bucket and millisecond.
    fn alike(n: u64) -> ReservationId {
        let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ReservationId::timed(TimeMs(1_700_000_000_000), Bucket::new(1).expect("below 16,384"), random)
    }

    #[test]
    fn no_search_passes_many() {
        let mut map = ById::default();
        for n in 0..10_000 {
            map.insert(alike(n), n);
        }
        let table = tables(&map).next().expect("there is one");
        let passed = |n| {
            let id = alike(n);
            let at = table.find(&map.hashing, &id).expect("is there");
            let far = at.abs_diff(home(&map.hashing, &id, table.slots.len()));
            far.min(table.slots.len() - far)
        };
        // One on average at the utmost load, were they spread evenly (Knuth, volume 3, section 6.4).
        assert!((0..10_000).map(passed).sum::<usize>() < 2 * 10_000);
    }

    #[test]
    fn the_room_of_those_that_went_is_given_back() {
        let mut map = ById::default();
        for n in 0..10_000 {
            map.insert(alike(n), n);
        }
        for n in (0..10_000).filter(|n| n % 100 != 0) {
            map.remove(&alike(n));
        }
        assert!((0..10_000).step_by(100).all(|n| map.get(&alike(n)) == Some(&n)) && map.len() == 100);
        assert!(tables(&map).all(|table| table.slots.len() <= 6 * table.len));
    }

    #[test]
    fn what_is_empty_is_given_back_and_no_table_is_full() {
        let mut map = ById::default();
        for n in 0..3_000 {
            map.insert(id(n), n);
            assert!(tables(&map).all(|table| table.len * 3 <= table.slots.len() * 2));
        }
        assert_eq!(map.tables.iter().flat_map(Map::keys).filter(|number| **number >= TIMELESS).count(), 3);
        for n in 0..3_000 {
            map.remove(&id(n));
            assert_eq!(map.get(&id(n)), None);
        }
        assert_eq!((map.len(), tables(&map).count()), (0, 0));
    }
}
