//! The live reservations of a shard in the order of their deadlines.
//!
//! They lie in runs of up to [`RUN`], which a B-tree would leave half empty where it grows at its end. Most holds are due after nearly all
//! others, those of one entry at the same moment and so in the order of their ids, which is not the one they come in: they are
//! gathered, and put in order together once somebody has to know it.

use super::Due;
use std::{
    collections::{BTreeMap, VecDeque, btree_map::OccupiedEntry},
    iter::Peekable,
    ops::Bound::{Excluded, Included, Unbounded},
};

/// The most holds in a run: 6 KiB of them.
const RUN: usize = 256;

/// The most that are gathered.
const GATHERED: usize = 1_024;

/// Holds in order. How they are kept is never seen from outside.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// None of them is empty. Each under what was its first hold when it was made: none of it is before that, and all before are.
    runs: BTreeMap<Due, VecDeque<Due>>,
    /// In no order.
    gathered: Vec<Due>,
    /// The first of those.
    first_gathered: Option<Due>,
    len: usize,
}

impl Deadlines {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The one that is due first.
    pub(crate) fn first(&self) -> Option<Due> {
        let of_runs = self.runs.values().next().and_then(|run| run.front().copied());
        of_runs.into_iter().chain(self.first_gathered).min()
    }

    /// One more, which is not there.
    pub(crate) fn insert(&mut self, due: Due) {
        if self.gathered.len() == GATHERED {
            self.settle();
        }
        self.gathered.push(due);
        self.first_gathered = Some(self.first_gathered.map_or(due, |first| first.min(due)));
        self.len += 1;
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, due: &Due) -> bool {
        if self.first_gathered.is_some_and(|first| first <= *due) {
            self.settle();
        }
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
        let in_run = run.is_some_and(|(_, run)| run.binary_search(due).is_ok());
        in_run || (self.first_gathered.is_some_and(|first| first <= *due) && self.gathered.contains(due))
    }

    /// Those from that one on, in order.
    pub(crate) fn from(&self, first: Due) -> impl Iterator<Item = Due> + '_ {
        let run = self.runs.range(..=first).next_back();
        let within = run.into_iter().flat_map(move |(_, run)| run.range(run.partition_point(|due| *due < first)..));
        let after = match run {
            Some((key, _)) => self.runs.range((Excluded(*key), Unbounded)),
            None => self.runs.range((Included(first), Unbounded)),
        };
        let in_runs = within.chain(after.flat_map(|(_, run)| run.iter())).copied();
        let mut gathered: Vec<Due> = self.gathered.iter().filter(|due| **due >= first).copied().collect();
        gathered.sort_unstable();
        merged(in_runs.peekable(), gathered.into_iter().peekable())
    }

    /// Puts in order what was gathered.
    pub(crate) fn settle(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        self.first_gathered = None;
        gathered.sort_unstable();
        let last = self.runs.last_key_value().map(|(key, _)| *key);
        let sooner = last.map_or(0, |last| gathered.partition_point(|due| *due < last));
        if let Some(first) = gathered.get(sooner) {
            // Nearly always those of the last entry and the one before overlap, and no others.
            let (mut key, mut run) = self.runs.pop_last().unwrap_or((*first, VecDeque::new()));
            let overlap = run.split_off(run.partition_point(|due| due < first));
            let rest = gathered[sooner..].iter().copied();
            for due in merged(overlap.into_iter().peekable(), rest.peekable()) {
                if run.len() == RUN {
                    self.runs.insert(key, std::mem::take(&mut run));
                    key = due;
                }
                run.push_back(due);
            }
            self.runs.insert(key, run);
        }
        // After those: where there is one run, it may become another's.
        for due in &gathered[..sooner] {
            self.put(*due);
        }
        gathered.clear();
        self.gathered = gathered;
    }

    /// Puts one where it belongs.
    fn put(&mut self, due: Due) {
        let Some((_, run)) = self.runs.range_mut(..=due).next_back() else {
            let sooner = self.runs.first_entry().filter(|first| first.get().len() < RUN);
            let mut run = sooner.map(OccupiedEntry::remove).unwrap_or_default();
            run.push_front(due);
            self.runs.insert(due, run);
            return;
        };
        if let Some(split) = put_into(run, due)
            && let Some(first) = split.front()
        {
            self.runs.insert(*first, split);
        }
    }
}

/// What does not fit into the run any more.
fn put_into(run: &mut VecDeque<Due>, due: Due) -> Option<VecDeque<Due>> {
    let place = run.partition_point(|before| *before < due);
    if run.len() < RUN {
        run.insert(place, due);
        return None;
    }
    let mut split = run.split_off(RUN / 2);
    if place <= RUN / 2 {
        run.insert(place, due);
    } else {
        split.insert(place - RUN / 2, due);
    }
    Some(split)
}

/// Both in one order.
fn merged(
    mut one: Peekable<impl Iterator<Item = Due>>,
    mut other: Peekable<impl Iterator<Item = Due>>,
) -> impl Iterator<Item = Due> {
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(of_one), Some(of_other)) if of_other < of_one => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
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
            let due = due(deadline(n, random >> 33) % spread, random >> 60);
            assert_eq!(ours.contains(&due), plain.contains(&due));
            if plain.insert(due) {
                ours.insert(due);
            }
            if random >> 40 & 3 == 0 {
                let place = random >> 35 & 0xffff;
                let from = self::due(deadline(n, place) % spread, place % 16).min(due);
                let from = plain.range(from..).next().copied().unwrap_or(due);
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
                check(&ours);
                assert!(ours.from(due).eq(plain.range(due..).copied()));
                assert!(ours.from(Due::first_at(TimeMs(0))).eq(plain.iter().copied()));
            }
        }
        for due in plain {
            assert!(ours.remove(&due));
        }
        assert!(ours.runs.is_empty() && ours.first().is_none() && ours.len() == 0);
    }

    /// What is promised of runs.
    fn check(ours: &Deadlines) {
        let mut before = None;
        for (key, run) in &ours.runs {
            assert!(!run.is_empty() && run.len() <= RUN && run[0] >= *key, "{key:?}");
            for due in run {
                assert!(before.is_none_or(|before| before < *due), "{due:?} stands behind {before:?}");
                before = Some(*due);
            }
        }
        assert_eq!(ours.runs.values().map(VecDeque::len).sum::<usize>() + ours.gathered.len(), ours.len());
    }

    #[test]
    fn bursts_around_a_few_that_are_there_are_put_in_order() {
        let mut random = 11_u64;
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for round in 0..400 {
            let (mut ours, mut plain) = (Deadlines::default(), BTreeSet::new());
            for burst in 0..6 {
                let (from, spread) =
                    [(600_000, 300_000), (0, 900_000), (0, 50_000), (590_000, 60_000)][draw(4) as usize];
                let count = if burst == 0 { 200 + draw(60) } else { draw(60) };
                for _ in 0..count {
                    let due = due(from + draw(spread), draw(1 << 20));
                    if plain.insert(due) {
                        ours.insert(due);
                    }
                }
                if draw(2) == 0 {
                    let last = plain.last().copied().expect("some are there");
                    assert!(plain.remove(&last) && ours.remove(&last));
                }
                check(&ours);
                assert!(ours.from(Due::first_at(TimeMs(0))).eq(plain.iter().copied()), "round {round}");
            }
            while let Some(first) = plain.pop_first() {
                assert_eq!(ours.first(), Some(first));
                assert!(ours.remove(&first), "round {round}: {first:?}");
            }
            check(&ours);
        }
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
        ours.settle();
        assert_eq!(ours.runs.len(), 10_000_usize.div_ceil(RUN));
        for n in (0..10_000).filter(|n| n % 100 > 0) {
            ours.remove(&due(n, 0));
        }
        let room = |ours: &Deadlines| ours.runs.values().map(VecDeque::capacity).sum::<usize>();
        assert!(ours.len() == 100 && room(&ours) < 2_000, "room for {}", room(&ours));
        for n in 1..1_000 {
            ours.insert(due(0, 1_000 - n));
            ours.settle();
        }
        assert!(room(&ours) < 4_000, "what grows at its start is dense, too: room for {}", room(&ours));
    }
}
