//! The live reservations of a shard in the order of their deadlines.
//!
//! They lie in runs of up to [`RUN`]. Most holds are due after all others, and go to the end of the last run; those that end
//! soonest are taken from the start of the first. A B-tree keeps what grows at its end half empty, and looks for each one's place.

use super::Due;
use std::{
    collections::{BTreeMap, VecDeque, btree_map::OccupiedEntry},
    ops::Bound::{Excluded, Included, Unbounded},
};

/// The most holds in a run: 6 KiB of them.
const RUN: usize = 256;

/// Holds in order. How they are kept is never seen from outside.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// None of them is empty. Each under what was its first hold when it was made: none of it is before that, and all before are.
    runs: BTreeMap<Due, VecDeque<Due>>,
    len: usize,
}

impl Deadlines {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The one that is due first.
    pub(crate) fn first(&self) -> Option<Due> {
        self.runs.values().next().and_then(|run| run.front().copied())
    }

    /// Whether it was not there.
    pub(crate) fn insert(&mut self, due: Due) -> bool {
        let Some((_, run)) = self.runs.range_mut(..=due).next_back() else {
            let sooner = self.runs.first_entry().filter(|first| first.get().len() < RUN);
            let mut run = sooner.map(OccupiedEntry::remove).unwrap_or_default();
            run.push_front(due);
            return self.added(run);
        };
        insert_into(run, due).is_some_and(|split| self.added(split))
    }

    fn added(&mut self, split: VecDeque<Due>) -> bool {
        self.len += 1;
        if let Some(first) = split.front() {
            self.runs.insert(*first, split);
        }
        true
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, due: &Due) -> bool {
        let Some((key, run)) = self.runs.range_mut(..=*due).next_back() else { return false };
        let Ok(place) = run.binary_search(due) else { return false };
        run.remove(place);
        self.len -= 1;
        if run.is_empty() {
            let key = *key;
            self.runs.remove(&key);
        } else if run.len() < run.capacity() / 4 {
            // Of many runs few holds may be left for long.
            run.shrink_to(run.len() * 2);
        }
        true
    }

    /// Whether it is there.
    pub(crate) fn contains(&self, due: &Due) -> bool {
        let run = self.runs.range(..=*due).next_back();
        run.is_some_and(|(_, run)| run.binary_search(due).is_ok())
    }

    /// Those from that one on, in order.
    pub(crate) fn from(&self, first: Due) -> impl Iterator<Item = Due> + '_ {
        let run = self.runs.range(..=first).next_back();
        let within = run.into_iter().flat_map(move |(_, run)| run.range(run.partition_point(|due| *due < first)..));
        let after = match run {
            Some((key, _)) => self.runs.range((Excluded(*key), Unbounded)),
            None => self.runs.range((Included(first), Unbounded)),
        };
        within.chain(after.flat_map(|(_, run)| run.iter())).copied()
    }
}

/// None if it is there; else what does not fit into the run.
fn insert_into(run: &mut VecDeque<Due>, due: Due) -> Option<VecDeque<Due>> {
    if run.back().is_none_or(|last| *last < due) {
        if run.len() == RUN {
            return Some(VecDeque::from([due]));
        }
        run.push_back(due);
        return Some(VecDeque::new());
    }
    let place = run.binary_search(&due).err()?;
    if run.len() < RUN {
        run.insert(place, due);
        return Some(VecDeque::new());
    }
    let mut split = run.split_off(RUN / 2);
    if place < RUN / 2 {
        run.insert(place, due);
    } else {
        split.insert(place - RUN / 2, due);
    }
    Some(split)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Bucket, ReservationId, TimeMs};
    use std::collections::BTreeSet;

    fn due(deadline: u64, number: u64) -> Due {
        Due::new(TimeMs(deadline), ReservationId::hashed(Bucket::new(1).expect("below 16,384"), number))
    }

    /// Adds and removes holds with deadlines below `spread`, and compares with a plain set all the time.
    fn compare(count: u64, spread: u64, mut deadline: impl FnMut(u64, u64) -> u64) {
        let (mut ours, mut plain) = (Deadlines::default(), BTreeSet::new());
        let mut random = 7_u64;
        for n in 0..count {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let due = due(deadline(n, random >> 33) % spread, n % 7);
            assert_eq!(ours.insert(due), plain.insert(due));
            if random >> 40 & 3 == 0 {
                let from = plain.range(due..).next().copied().unwrap_or(due);
                assert_eq!((ours.remove(&from), ours.remove(&from)), (plain.remove(&from), false));
            }
            if random >> 43 & 7 == 0 {
                let first = ours.first();
                assert_eq!(first, plain.first().copied());
                if let Some(first) = first {
                    assert!(ours.contains(&first) && ours.remove(&first) && !ours.contains(&first));
                    plain.remove(&first);
                }
            }
            assert_eq!((ours.len(), ours.first()), (plain.len(), plain.first().copied()));
            if n % 97 == 0 {
                assert!(ours.from(due).eq(plain.range(due..).copied()));
                assert!(ours.from(Due::first_at(TimeMs(0))).eq(plain.iter().copied()));
            }
        }
        for due in plain {
            assert!(ours.remove(&due));
        }
        assert!(ours.runs.is_empty() && ours.first().is_none() && ours.len() == 0);
    }

    #[test]
    fn they_are_what_an_ordered_set_is() {
        compare(20_000, u64::MAX, |n, _| n);
        compare(20_000, 50_000, |_, random| random);
        compare(5_000, 40, |_, random| random);
        compare(5_000, u64::MAX, |n, _| 1_000_000 - n);
        compare(20_000, u64::MAX, |n, random| n + if random & 1 == 0 { 600 } else { 0 });
    }

    #[test]
    fn what_grows_at_its_end_is_dense_and_what_shrinks_gives_back() {
        let mut ours = Deadlines::default();
        for n in 0..10_000 {
            ours.insert(due(n, 0));
        }
        assert_eq!(ours.runs.len(), 10_000_usize.div_ceil(RUN));
        for n in (0..10_000).filter(|n| n % 100 > 0) {
            ours.remove(&due(n, 0));
        }
        let room = |ours: &Deadlines| ours.runs.values().map(VecDeque::capacity).sum::<usize>();
        assert!(ours.len() == 100 && room(&ours) < 2_000, "room for {}", room(&ours));
        for n in 1..1_000 {
            ours.insert(due(0, 1_000 - n));
        }
        assert!(room(&ours) < 4_000, "what grows at its start is dense, too: room for {}", room(&ours));
    }
}
