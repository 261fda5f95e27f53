//! A hash map by reservation id, in which those that were made at about the same time stand close together.
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
use crate::types::ReservationId;
use foldhash::fast::FixedState;
use std::{hash::BuildHasher, iter, ops::Index};

/// So many tables are for ids that tell no time.
const TIMELESS: u64 = 64;

/// Slots of a table, at least.
const SLOTS_MIN: usize = 4;

/// As a `HashMap`; its order is never seen either.
pub(crate) struct ById<V> {
    tables: Map<u64, Table<V>>,
    len: usize,
}

/// One row of slots. At most two thirds are taken, so looking for an id that is not there passes a few.
struct Table<V> {
    slots: Box<[Option<(ReservationId, V)>]>,
    len: usize,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { slots: free_slots(SLOTS_MIN), len: 0 }
    }
}

fn free_slots<V>(slots: usize) -> Box<[Option<(ReservationId, V)>]> {
    iter::repeat_with(|| None).take(slots).collect()
}

/// The hash's place among so many slots.
fn home(id: &ReservationId, slots: usize) -> usize {
    let hash = u128::from(FixedState::default().hash_one(id));
    usize::try_from((hash * slots as u128) >> 64).expect("below a length")
}

impl<V> Table<V> {
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// Where the id stands, or the free slot it would be put into.
    fn find(&self, id: &ReservationId) -> Result<usize, usize> {
        let mut at = home(id, self.slots.len());
        loop {
            match &self.slots[at] {
                None => return Err(at),
                Some((found, _)) if found == id => return Ok(at),
                Some(_) => at = self.next(at),
            }
        }
    }

    fn insert(&mut self, id: ReservationId, value: V) -> Option<V> {
        if (self.len + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        match self.find(&id) {
            Ok(at) => self.slots[at].replace((id, value)).map(|(_, before)| before),
            Err(at) => {
                self.slots[at] = Some((id, value));
                self.len += 1;
                None
            }
        }
    }

    #[cold]
    fn grow(&mut self) {
        let slots = self.slots.len() / 2 * 3;
        let before = std::mem::replace(&mut self.slots, free_slots(slots));
        for entry in before.into_iter().flatten() {
            let (Ok(at) | Err(at)) = self.find(&entry.0);
            self.slots[at] = Some(entry);
        }
    }

    fn remove(&mut self, id: &ReservationId) -> Option<V> {
        let mut free = self.find(id).ok()?;
        let removed = self.slots[free].take();
        self.len -= 1;
        // Those behind come nearer to where their hashes point to, as far as that leads past the free slot: no search may end there
        // that would have gone on.
        let slots = self.slots.len();
        let far = |from: usize, to: usize| if to >= from { to - from } else { to + slots - from };
        let mut at = self.next(free);
        while let Some((behind, _)) = &self.slots[at] {
            if far(home(behind, slots), at) >= far(free, at) {
                self.slots.swap(free, at);
                free = at;
            }
            at = self.next(at);
        }
        removed.map(|(_, value)| value)
    }
}

/// An id begins with 48 bits of milliseconds, of which a table has 128. Those without have random bits at their end: one who makes
/// all ids alike has them in one table, as large as all are.
fn table_of(id: &ReservationId) -> u64 {
    let (high, low) = id.halves();
    match high >> (16 + 7) {
        0 => low % TIMELESS,
        time => time,
    }
}

impl<V> Default for ById<V> {
    fn default() -> Self {
        Self { tables: Map::default(), len: 0 }
    }
}

impl<V> ById<V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn contains_key(&self, id: &ReservationId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn get(&self, id: &ReservationId) -> Option<&V> {
        let table = self.tables.get(&table_of(id))?;
        let at = table.find(id).ok()?;
        table.slots[at].as_ref().map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: &ReservationId) -> Option<&mut V> {
        let table = self.tables.get_mut(&table_of(id))?;
        let at = table.find(id).ok()?;
        table.slots[at].as_mut().map(|(_, value)| value)
    }

    /// What was there before.
    pub(crate) fn insert(&mut self, id: ReservationId, value: V) -> Option<V> {
        let before = self.tables.entry(table_of(&id)).or_default().insert(id, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, id: &ReservationId) -> Option<V> {
        let number = table_of(id);
        let table = self.tables.get_mut(&number)?;
        let removed = table.remove(id)?;
        if table.len == 0 {
            self.tables.remove(&number);
        }
        self.len -= 1;
        Some(removed)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ReservationId, &V)> + Clone {
        self.tables.values().flat_map(|table| table.slots.iter().flatten()).map(|(id, value)| (id, value))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V> Index<&ReservationId> for ById<V> {
    type Output = V;

    fn index(&self, id: &ReservationId) -> &V {
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

    #[test]
    fn what_is_empty_is_given_back_and_no_table_is_full() {
        let mut map = ById::default();
        for n in 0..3_000 {
            map.insert(id(n), n);
            assert!(map.tables.values().all(|table| table.len * 3 <= table.slots.len() * 2));
        }
        assert_eq!(map.tables.keys().filter(|number| **number >= TIMELESS).count(), 3);
        for n in 0..3_000 {
            map.remove(&id(n));
            assert_eq!(map.get(&id(n)), None);
        }
        assert_eq!((map.len(), map.tables.len()), (0, 0));
    }
}
