//! Any number of holds in the order of their deadlines: all of a shard, or those of one pool with their units.
//!
//! They lie in runs of up to [`RUN`], which a B-tree would leave half empty where it grows at its end. A hold that is due after all
//! others is put at the end of the last run. Those of one entry are due at one moment and so in the order of their ids, which is not the
//! one they come in: they are gathered, and put in order together once somebody has to know it. Each run knows its units, so that of a
//! million holds those that are overdue are summed up in two thousand steps, and in a few where hardly any or nearly all are.

use super::{Due, stop};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    iter::Peekable,
    ops::Bound::{Excluded, Included, Unbounded},
};

/// The most holds in a run: 6 KiB of them, or 8 with their units.
const RUN: usize = 256;

/// A run of fewer is put together with the one beside it, if both together are no more than half a run.
const THIN: usize = RUN / 4;

/// Nothing is gathered where there are fewer.
const GATHERED_FROM: usize = 1_024;

/// So many are gathered: an eighth of all, and no more than this.
const GATHERED: usize = 4_096;

/// So few are put into a run one by one.
const FEW: usize = 4;

/// What is kept of a hold beside its deadline.
pub(crate) trait Held: Copy {
    /// How much it adds to the sum.
    fn units(self) -> u64;
}

impl Held for () {
    fn units(self) -> u64 {
        0
    }
}

impl Held for u64 {
    fn units(self) -> u64 {
        self
    }
}

/// Holds in order. How they are kept is never seen from outside.
#[derive(Debug)]
pub(crate) struct Runs<V> {
    /// None of them is empty. Each under what was its first hold at some time: none of it is before that, and all before are.
    earlier: BTreeMap<Due, Run<V>>,
    /// After all those. Empty only if nothing is in order.
    latest: Run<V>,
    /// In no order.
    gathered: Vec<(Due, V)>,
    /// The first and the last of those, if there are any.
    bounds: (Due, Due),
    /// Sum of those.
    gathered_units: u64,
    /// Sum of all.
    units: u64,
    len: usize,
}

/// What sweeps look at: the live holds of a shard.
pub(crate) type Deadlines = Runs<()>;

#[derive(Debug)]
struct Run<V> {
    units: u64,
    holds: VecDeque<(Due, V)>,
}

impl<V> Default for Run<V> {
    fn default() -> Self {
        Self { units: 0, holds: VecDeque::new() }
    }
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Self {
            earlier: BTreeMap::new(),
            latest: Run::default(),
            gathered: Vec::new(),
            bounds: (Due::MIN, Due::MIN),
            gathered_units: 0,
            units: 0,
            len: 0,
        }
    }
}

impl<V: Held> Run<V> {
    fn of(holds: VecDeque<(Due, V)>) -> Self {
        Self { units: holds.iter().map(|(_, held)| held.units()).sum(), holds }
    }

    fn first(&self) -> Option<Due> {
        self.holds.front().map(|(due, _)| *due)
    }

    fn last(&self) -> Option<Due> {
        self.holds.back().map(|(due, _)| *due)
    }

    /// Where the hold is, or would have to be.
    fn find(&self, due: Due) -> Result<usize, usize> {
        self.holds.binary_search_by_key(&due, |(due, _)| *due)
    }

    fn push(&mut self, due: Due, held: V) {
        self.units += held.units();
        self.holds.push_back((due, held));
    }

    fn insert(&mut self, due: Due, held: V) {
        match self.find(due) {
            Ok(_) => twice(due),
            Err(place) => {
                self.units += held.units();
                self.holds.insert(place, (due, held));
            }
        }
    }

    /// Units of all with a deadline at or before `now`.
    fn units_by(&self, now: u64) -> u64 {
        let due = self.holds.partition_point(|(due, _)| due.deadline <= now);
        let sum = |holds: &mut dyn Iterator<Item = &(Due, V)>| holds.map(|(_, held)| held.units()).sum::<u64>();
        if due <= self.holds.len() / 2 {
            sum(&mut self.holds.range(..due))
        } else {
            self.units - sum(&mut self.holds.range(due..))
        }
    }
}

impl<V: Held> Runs<V> {
    /// Holds in order.
    pub(crate) fn of(holds: Vec<(Due, V)>) -> Self {
        let mut runs = Self::default();
        for (due, held) in holds {
            runs.add(due, held);
        }
        runs
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one that is due first.
    pub(crate) fn first(&self) -> Option<Due> {
        let in_order = self.earlier.values().next().unwrap_or(&self.latest).first();
        in_order.into_iter().chain(self.bounds().map(|(first, _)| first)).min()
    }

    /// The first and the last of what was gathered.
    fn bounds(&self) -> Option<(Due, Due)> {
        (!self.gathered.is_empty()).then_some(self.bounds)
    }

    /// Sum of all units.
    pub(crate) fn units(&self) -> u64 {
        self.units
    }

    /// Something made of what a new hold looks at.
    pub(crate) fn look(&self) -> u64 {
        let last = self.gathered.last().or_else(|| self.latest.holds.back());
        last.map_or(0, |(due, _)| due.deadline)
    }

    /// One more, which is not there. That it is can be found later.
    pub(crate) fn add(&mut self, due: Due, held: V) {
        self.len += 1;
        self.units += held.units();
        if self.gathered.is_empty() && self.latest.last().is_none_or(|last| last < due) {
            return self.push(due, held);
        }
        if self.len < GATHERED_FROM && self.gathered.is_empty() {
            return self.put(due, held);
        }
        if self.gathered.len() >= (self.len / 8).min(GATHERED) {
            self.settle();
        }
        self.bounds = self.bounds().map_or((due, due), |(first, last)| (first.min(due), last.max(due)));
        self.gathered_units += held.units();
        self.gathered.push((due, held));
    }

    /// At the end of what is in order.
    fn push(&mut self, due: Due, held: V) {
        if self.latest.holds.len() >= RUN
            && let Some(first) = self.latest.first()
        {
            self.earlier.insert(first, std::mem::take(&mut self.latest));
        }
        self.latest.push(due, held);
    }

    /// Where it belongs.
    fn put(&mut self, due: Due, held: V) {
        if !self.is_latest(due) {
            return self.settle_earlier(&[(due, held)]);
        }
        if self.latest.holds.len() >= RUN {
            let run = std::mem::take(&mut self.latest);
            let first = run.first().map_or(due, |first| first.min(due));
            self.put_back(first, run, &[(due, held)]);
            self.latest = self.earlier.pop_last().map(|(_, run)| run).unwrap_or_default();
        } else {
            self.latest.insert(due, held);
        }
    }

    /// Whether it is there.
    pub(crate) fn contains(&self, due: &Due) -> bool {
        let run = if self.is_latest(*due) {
            Some(&self.latest)
        } else {
            self.earlier.range(..=*due).next_back().map(|(_, run)| run)
        };
        let within = self.bounds().is_some_and(|(first, last)| first <= *due && *due <= last);
        run.is_some_and(|run| run.find(*due).is_ok()) || (within && self.gathered.iter().any(|(found, _)| found == due))
    }

    /// Whether it belongs into the last run.
    fn is_latest(&self, due: Due) -> bool {
        self.earlier.is_empty() || self.latest.first().is_none_or(|first| first <= due)
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, due: &Due) -> bool {
        self.change(*due, |_| Some(None))
    }

    /// Makes something else of what is kept of a hold, or nothing. False if it is not there, or is not to be changed.
    fn change(&mut self, due: Due, change: impl FnOnce(V) -> Option<Option<V>>) -> bool {
        if self.bounds().is_some_and(|(first, last)| first <= due && due <= last) {
            self.settle();
        }
        let (key, run) = if self.is_latest(due) {
            (None, &mut self.latest)
        } else {
            let Some((key, run)) = self.earlier.range_mut(..=due).next_back() else { return false };
            (Some(*key), run)
        };
        let Ok(place) = run.find(due) else { return false };
        let before = run.holds[place].1;
        let Some(after) = change(before) else { return false };
        let units = after.map_or(0, Held::units);
        run.units = run.units - before.units() + units;
        self.units = self.units - before.units() + units;
        match after {
            Some(held) => run.holds[place].1 = held,
            None => {
                run.holds.remove(place);
                self.len -= 1;
                if run.holds.len() < THIN {
                    // Of many runs few holds may be left for long.
                    if run.holds.len() < run.holds.capacity() / 4 {
                        run.holds.shrink_to(run.holds.len() * 2);
                    }
                    self.thicken(key);
                }
            }
        }
        true
    }

    /// Puts a run together with the one before or after it; without a key the last one.
    fn thicken(&mut self, key: Option<Due>) {
        let len = key.map_or(self.latest.holds.len(), |key| self.earlier.get(&key).map_or(0, |run| run.holds.len()));
        let before = match key {
            Some(key) => self.earlier.range(..key).next_back(),
            None => self.earlier.last_key_value(),
        };
        // An empty one goes in any case.
        let fits = |run: &Run<V>| len == 0 || len + run.holds.len() <= RUN / 2;
        if let Some((before, _)) = before.filter(|(_, run)| fits(run)) {
            return self.join(*before, key);
        }
        let Some(key) = key else { return };
        let next = self.earlier.range((Excluded(key), Unbounded)).next();
        if fits(next.map_or(&self.latest, |(_, run)| run)) {
            let next = next.map(|(next, _)| *next);
            self.join(key, next);
        }
    }

    /// Puts two runs beside each other together; without a key the second is the last of all.
    fn join(&mut self, sooner: Due, later: Option<Due>) {
        let Some(mut run) = self.earlier.remove(&sooner) else { return };
        let more = later.map_or_else(|| Some(std::mem::take(&mut self.latest)), |key| self.earlier.remove(&key));
        if let Some(mut more) = more {
            run.units += more.units;
            run.holds.append(&mut more.holds);
        }
        match later {
            // From where the first began.
            Some(_) => drop(self.earlier.insert(sooner, run)),
            None => self.latest = run,
        }
    }

    /// Puts in order what was gathered.
    pub(crate) fn settle(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        self.gathered_units = 0;
        gathered.sort_unstable_by_key(|(due, _)| *due);
        let sooner = match self.latest.first() {
            Some(first) if !self.earlier.is_empty() => gathered.partition_point(|(due, _)| *due < first),
            _ => 0,
        };
        // Before anything changes there: what is last becomes another run's.
        self.settle_earlier(&gathered[..sooner]);
        if let Some((first, _)) = gathered.get(sooner) {
            // Nearly always those of the last entry and the one before overlap, and no others.
            let overlap = self.latest.holds.partition_point(|(due, _)| due < first);
            let overlap = Run::of(self.latest.holds.split_off(overlap));
            self.latest.units -= overlap.units;
            for (due, held) in merged(overlap.holds.into_iter(), gathered[sooner..].iter().copied()) {
                if self.latest.last() == Some(due) {
                    twice(due);
                }
                self.push(due, held);
            }
        }
        gathered.clear();
        // Where few are left nothing is gathered any more.
        if self.len >= GATHERED_FROM {
            self.gathered = gathered;
        }
    }

    fn settle_earlier(&mut self, mut holds: &[(Due, V)]) {
        while let Some((last, _)) = holds.last() {
            let Some((key, run)) = self.earlier.range_mut(..=*last).next_back() else {
                // Before all others: the first run is theirs, too, and begins with them from now on.
                if let Some((_, run)) = self.earlier.pop_first() {
                    self.put_back(holds[0].0, run, holds);
                }
                return;
            };
            let key = *key;
            let from = holds.partition_point(|(due, _)| *due < key);
            let (rest, of_run) = holds.split_at(from);
            holds = rest;
            if of_run.len() <= FEW && run.holds.len() + of_run.len() <= RUN {
                of_run.iter().for_each(|(due, held)| run.insert(*due, *held));
            } else {
                let run = std::mem::take(run);
                self.put_back(key, run, of_run);
            }
        }
    }

    /// Both in as many runs as they need, the first of them under that key.
    fn put_back(&mut self, key: Due, run: Run<V>, more: &[(Due, V)]) {
        let mut all: VecDeque<(Due, V)> = VecDeque::with_capacity(run.holds.len() + more.len());
        for hold in merged(run.holds.into_iter(), more.iter().copied()) {
            if all.back().is_some_and(|(last, _)| *last == hold.0) {
                twice(hold.0);
            }
            all.push_back(hold);
        }
        let runs = all.len().div_ceil(RUN);
        for left in (1..runs).rev() {
            let piece = all.split_off(all.len() * left / (left + 1));
            let piece = Run::of(piece);
            if let Some(first) = piece.first() {
                self.earlier.insert(first, piece);
            }
        }
        if runs > 1 {
            all.shrink_to_fit();
        }
        self.earlier.insert(key, Run::of(all));
    }

    /// Those from that one on, in order.
    pub(crate) fn from(&self, first: Due) -> impl Iterator<Item = Due> + '_ {
        let run = self.earlier.range(..=first).next_back();
        let within = run.into_iter().map(|(_, run)| run);
        let after = match run {
            Some((key, _)) => self.earlier.range((Excluded(*key), Unbounded)),
            None => self.earlier.range((Included(first), Unbounded)),
        };
        let runs = within.chain(after.map(|(_, run)| run)).chain([&self.latest]);
        let in_order = runs.flat_map(move |run| run.holds.range(run.holds.partition_point(|(due, _)| *due < first)..));
        let mut gathered: Vec<Due> = self.gathered.iter().map(|(due, _)| *due).filter(|due| *due >= first).collect();
        gathered.sort_unstable();
        merged(in_order.map(|(due, _)| (*due, ())), gathered.into_iter().map(|due| (due, ()))).map(|(due, ())| due)
    }

    /// All of them, from the one that is due last.
    pub(crate) fn latest(&self) -> impl Iterator<Item = Due> + '_ {
        let runs = std::iter::once(&self.latest).chain(self.earlier.values().rev());
        let in_order = runs.flat_map(|run| run.holds.iter().rev()).map(|(due, _)| (Reverse(*due), ()));
        let mut gathered: Vec<Reverse<Due>> = self.gathered.iter().map(|(due, _)| Reverse(*due)).collect();
        gathered.sort_unstable();
        merged(in_order, gathered.into_iter().map(|due| (due, ()))).map(|(Reverse(due), ())| due)
    }

    /// Units of all with a deadline at or before `now`.
    pub(crate) fn units_by(&self, now: u64) -> u64 {
        self.gathered_by(now) + self.in_order_by(now)
    }

    fn gathered_by(&self, now: u64) -> u64 {
        match self.bounds() {
            Some((_, last)) if last.deadline <= now => self.gathered_units,
            Some((first, _)) if first.deadline <= now => {
                self.gathered.iter().filter(|(due, _)| due.deadline <= now).map(|(_, held)| held.units()).sum()
            }
            _ => 0,
        }
    }

    fn in_order_by(&self, now: u64) -> u64 {
        let of_earlier = self.units - self.gathered_units - self.latest.units;
        if self.latest.first().is_some_and(|first| first.deadline <= now) {
            return of_earlier + self.latest.units_by(now);
        }
        // All runs before that one are due, and none after it.
        let Some((key, last)) = self.earlier.range(..=Due::last_at(now)).next_back() else { return 0 };
        let within = last.units_by(now);
        // From both ends: after a million ended at once nearly all are due, otherwise hardly any.
        let units = |(_, run): (&Due, &Run<V>)| run.units;
        let mut due = self.earlier.range(..key).map(units);
        let mut later = self.earlier.range((Excluded(key), Unbounded)).map(units);
        let (mut sum, mut rest) = (0, of_earlier - last.units);
        loop {
            match due.next() {
                Some(units) => sum += units,
                None => return sum + within,
            }
            match later.next() {
                Some(units) => rest -= units,
                None => return rest + within,
            }
        }
    }
}

impl Runs<u64> {
    /// `units` of a hold have ended, and `rest` are left. Whether it had as many as both.
    pub(crate) fn take(&mut self, due: Due, units: u64, rest: u64) -> bool {
        self.change(due, |held| (held == units + rest).then_some((rest > 0).then_some(rest)))
    }
}

#[cold]
fn twice(due: Due) -> ! {
    stop(format_args!("a hold is there twice: {due:?}"))
}

/// Both in one order.
fn merged<K: Ord, V>(
    one: impl Iterator<Item = (K, V)>,
    other: impl Iterator<Item = (K, V)>,
) -> impl Iterator<Item = (K, V)> {
    let (mut one, mut other): (Peekable<_>, Peekable<_>) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some((of_one, _)), Some((of_other, _))) if of_other < of_one => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
}

#[cfg(test)]
mod tests;
