//! Any number of holds of one pool, in the order of their deadlines.
//!
//! They lie in runs of up to [`RUN`]. A new hold, which is mostly due after all others, so needs two places in memory and not a
//! way down through trees, each step of which is waited for once there are many pools; and each run knows its units, so that
//! of a million holds those that are overdue are summed up in two thousand steps, and in a few where hardly any or nearly all are.

use super::Due;
use std::collections::VecDeque;

/// The most holds in a run: 8 KiB of them.
const RUN: usize = 256;

/// A run of fewer is put together with the one beside it, if both together are no more than half a run.
const THIN: usize = RUN / 4;

/// Holds in order, each with its units.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// None of them is empty.
    earlier: VecDeque<Run>,
    /// Empty only if there is no hold at all.
    latest: Run,
    /// Sum of all.
    units: u64,
}

#[derive(Debug)]
struct Run {
    /// The last of `holds`.
    last: Due,
    /// Sum of all `holds`.
    units: u64,
    holds: Vec<(Due, u64)>,
}

impl Default for Run {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Run {
    fn of(holds: Vec<(Due, u64)>) -> Self {
        let last = holds.last().map_or(Due::MIN, |(due, _)| *due);
        Self { last, units: holds.iter().map(|(_, units)| units).sum(), holds }
    }

    fn push(&mut self, due: Due, units: u64) {
        self.last = due;
        self.units += units;
        self.holds.push((due, units));
    }
}

impl Runs {
    /// Holds in order, at least one.
    pub(super) fn of(holds: Vec<(Due, u64)>) -> Self {
        let latest = Run::of(holds);
        Self { earlier: VecDeque::new(), units: latest.units, latest }
    }

    /// Whether the hold is new.
    pub(super) fn add(&mut self, due: Due, units: u64) -> bool {
        if self.latest.last < due {
            if self.latest.holds.len() >= RUN {
                let next = Run::of(Vec::with_capacity(THIN));
                self.earlier.push_back(std::mem::replace(&mut self.latest, next));
            }
            self.latest.push(due, units);
            self.units += units;
            return true;
        }
        let at = self.find(due);
        let run = self.run(at);
        let Err(place) = run.holds.binary_search_by_key(&due, |(due, _)| *due) else { return false };
        run.holds.insert(place, (due, units));
        run.units += units;
        if run.holds.len() > RUN {
            let later = Run::of(run.holds.split_off(RUN / 2));
            let sooner = Run::of(std::mem::replace(run, later).holds);
            self.earlier.insert(at, sooner);
        }
        self.units += units;
        true
    }

    /// `units` of a hold have ended, and `rest` are left. Whether it had as many as both.
    pub(super) fn take(&mut self, due: Due, units: u64, rest: u64) -> bool {
        let at = self.find(due);
        let run = self.run(at);
        let Ok(place) = run.holds.binary_search_by_key(&due, |(due, _)| *due) else { return false };
        if run.holds[place].1 != units + rest {
            return false;
        }
        run.units -= units;
        if rest > 0 {
            run.holds[place].1 = rest;
        } else {
            run.holds.remove(place);
            run.last = run.holds.last().map_or(Due::MIN, |(last, _)| *last);
            if run.holds.len() < THIN {
                self.thicken(at);
            }
        }
        self.units -= units;
        true
    }

    /// Whether there is no hold. Nothing but what a new hold looks at is needed to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.latest.holds.is_empty()
    }

    /// The hold that is due first.
    pub(super) fn first(&self) -> Option<Due> {
        let run = self.earlier.front().unwrap_or(&self.latest);
        run.holds.first().map(|(due, _)| *due)
    }

    /// All of them, from the one that is due last.
    pub(super) fn latest(&self) -> impl Iterator<Item = Due> + '_ {
        let runs = std::iter::once(&self.latest).chain(self.earlier.iter().rev());
        runs.flat_map(|run| run.holds.iter().rev().map(|(due, _)| *due))
    }

    /// The units of the one that is due last.
    pub(super) fn last_units(&self) -> u64 {
        self.latest.holds.last().map_or(0, |(_, units)| *units)
    }

    /// Units of all with a deadline at or before `now`.
    pub(super) fn units_by(&self, now: u64) -> u64 {
        let sum = |runs: &mut dyn Iterator<Item = &Run>| runs.map(|run| run.units).sum::<u64>();
        // All of these are due; of the next one some may be.
        let due = self.earlier.partition_point(|run| run.last.deadline <= now);
        let of_them = if due <= self.earlier.len() / 2 {
            sum(&mut self.earlier.range(..due))
        } else {
            // After a million ended at once nearly all are.
            self.units - self.latest.units - sum(&mut self.earlier.range(due..))
        };
        of_them + super::units_by(&self.earlier.get(due).unwrap_or(&self.latest).holds, now)
    }

    /// The run that has the hold, or that it belongs into.
    fn find(&self, due: Due) -> usize {
        self.earlier.partition_point(|run| run.last < due)
    }

    fn run(&mut self, at: usize) -> &mut Run {
        self.earlier.get_mut(at).unwrap_or(&mut self.latest)
    }

    /// Puts a run together with the one beside it.
    fn thicken(&mut self, at: usize) {
        let len = |at: usize| self.earlier.get(at).map_or(self.latest.holds.len(), |run| run.holds.len());
        // An empty one goes in any case.
        let empty = len(at) == 0;
        let fit = |sooner: &usize| empty || len(*sooner) + len(sooner + 1) <= RUN / 2;
        let mut pairs =
            [Some(at), at.checked_sub(1)].into_iter().flatten().filter(|sooner| *sooner < self.earlier.len());
        let Some(sooner) = pairs.find(fit) else { return };
        let Some(mut joined) = self.earlier.remove(sooner) else { return };
        let run = self.run(sooner);
        if run.holds.is_empty() {
            *run = joined;
        } else if !joined.holds.is_empty() {
            joined.holds.append(&mut run.holds);
            joined.holds.shrink_to(RUN / 2);
            *run = Run { last: run.last, units: joined.units + run.units, holds: joined.holds };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Bucket, ReservationId};
    use std::collections::BTreeMap;

    /// That all is as it says, and as plain as that.
    fn check(runs: &Runs, plain: &BTreeMap<Due, u64>) {
        assert!(runs.latest().eq(plain.keys().rev().copied()));
        assert_eq!(
            (runs.first(), runs.last_units()),
            (plain.keys().next().copied(), plain.values().last().copied().unwrap_or(0))
        );
        assert!(runs.earlier.iter().all(|run| !run.holds.is_empty()));
        assert!(runs.earlier.is_empty() || !runs.latest.holds.is_empty());
        assert_eq!(runs.is_empty(), plain.is_empty());
        for run in runs.earlier.iter().chain([&runs.latest]) {
            assert!(run.holds.len() <= RUN);
            assert_eq!(run.units, run.holds.iter().map(|(_, units)| units).sum::<u64>());
            assert_eq!(run.last, run.holds.last().map_or(Due::MIN, |(last, _)| *last));
        }
        assert_eq!(runs.units, plain.values().sum::<u64>());
        assert!(runs.earlier.len() * THIN / 2 <= plain.len(), "{} runs of {} holds", runs.earlier.len(), plain.len());
    }

    #[test]
    fn however_holds_come_and_go_they_lie_in_order_and_not_thinly() {
        let draws = |seed: u64| {
            let mut random = seed;
            std::iter::from_fn(move || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                Some(random >> 33)
            })
        };
        let home = Bucket::new(1).expect("below 16,384");
        let due = |deadline, id| Due { deadline, id: ReservationId::hashed(home, id) };
        let shuffle = |due: &Due| due.id.halves().1.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let rising: Vec<Due> = (0..3_000).map(|n| due(n / 3, n)).collect();
        let mixed: Vec<Due> = draws(1).take(3_000).map(|draw| due(draw % 10_000, draw)).collect();
        let mut shuffled = rising.clone();
        shuffled.sort_by_key(shuffle);
        let falling: Vec<Due> = rising.iter().rev().copied().collect();
        for come in [&rising, &falling, &shuffled, &mixed] {
            for go in [0, 1, 2] {
                let (mut runs, mut plain) = (Runs::default(), BTreeMap::new());
                for (n, due) in (1..).zip(come) {
                    assert_eq!(runs.add(*due, n), plain.insert(*due, n).is_none());
                    assert!(!runs.add(*due, n), "it is there");
                }
                check(&runs, &plain);
                let mut leave: Vec<Due> = plain.keys().copied().collect();
                match go {
                    0 => {}
                    1 => leave.reverse(),
                    _ => leave.sort_by_key(|due| shuffle(due).rotate_left(9)),
                }
                for (n, due) in leave.into_iter().enumerate() {
                    let units = plain[&due];
                    assert!(!runs.take(due, units, 1), "it has no more");
                    if units > 1 {
                        assert!(runs.take(due, 1, units - 1));
                    }
                    assert!(runs.take(due, (units - 1).max(1), 0) && !runs.take(due, 1, 0));
                    plain.remove(&due);
                    if n % 97 == 0 || plain.len() < 3 {
                        check(&runs, &plain);
                        let now = due.deadline;
                        let sum: u64 =
                            plain.iter().filter(|(due, _)| due.deadline <= now).map(|(_, units)| units).sum();
                        assert_eq!(runs.units_by(now), sum);
                        for by in [0, 250, 500, 900, 5_000, u64::MAX] {
                            let due = plain.iter().filter(|(due, _)| due.deadline <= by);
                            assert_eq!(runs.units_by(by), due.map(|(_, units)| units).sum::<u64>());
                        }
                    }
                }
                // What is empty takes anything again.
                assert!(runs.add(due(0, 1), 1));
                check(&runs, &BTreeMap::from([(due(0, 1), 1)]));
            }
        }
    }
}
