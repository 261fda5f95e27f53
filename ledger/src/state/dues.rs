//! The holds of one pool by deadline, and how many units are due by any moment.
//!
//! The sum is what makes a million overdue holds harmless: it is read in two thousand steps at worst ([`Runs`]), and in a
//! few where nothing or everything is overdue, and not hold by hold.

use super::{Runs, stop};
use crate::types::{ReservationId, TimeMs};

/// A hold by its deadline. Ordered by deadline, then id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(super) deadline: u64,
    id: ReservationId,
}

impl Due {
    /// Before all others.
    pub(super) const MIN: Self = Self { deadline: 0, id: ReservationId::LEAST };

    pub(crate) fn new(deadline: TimeMs, id: ReservationId) -> Self {
        Self { deadline: deadline.0, id }
    }

    /// The first there can be with that deadline.
    pub(crate) fn first_at(deadline: TimeMs) -> Self {
        Self { deadline: deadline.0, id: ReservationId::LEAST }
    }

    /// The last there can be with that deadline.
    pub(super) fn last_at(deadline: u64) -> Self {
        Self { deadline, id: ReservationId::GREATEST }
    }

    pub(crate) fn deadline(self) -> TimeMs {
        TimeMs(self.deadline)
    }

    pub(crate) fn id(self) -> ReservationId {
        self.id
    }
}

/// Up to so many holds are kept in one list: it is searched in a few steps and lies in one piece of memory. Most pools
/// never have more.
const FEW: usize = 64;

/// The holds of one pool. How they are kept is never seen from outside.
#[derive(Debug)]
pub(crate) struct Dues {
    /// The deadline of the hold that is due first; without holds the end of time. It lies in the pool itself, so whoever
    /// asks what is due needs no other memory where nothing is.
    first: u64,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    /// In the order of their deadlines, each with its units.
    Few(Vec<(Due, u64)>),
    Many(Box<Runs<u64>>),
}

impl Default for Dues {
    fn default() -> Self {
        Self::NONE
    }
}

impl Dues {
    /// Without holds.
    pub(crate) const NONE: Self = Self { first: u64::MAX, holds: Holds::Few(Vec::new()) };

    /// A new hold of `units`.
    pub(crate) fn add(&mut self, due: Due, units: u64) {
        let known = match &mut self.holds {
            // Most holds are due after all others: then only the end of the list is looked at.
            Holds::Few(list) if list.last().is_none_or(|(last, _)| *last < due) => {
                if list.capacity() == 0 {
                    // Of a million pools most have one hold at a time.
                    list.reserve_exact(1);
                }
                list.push((due, units));
                false
            }
            Holds::Few(list) => match list.binary_search_by_key(&due, |(due, _)| *due) {
                Ok(_) => true,
                Err(at) => {
                    list.insert(at, (due, units));
                    false
                }
            },
            Holds::Many(many) => {
                many.add(due, units);
                false
            }
        };
        if known {
            stop(format_args!("a hold is in its pool twice: {due:?}"));
        }
        self.first = self.first.min(due.deadline);
        if let Holds::Few(list) = &mut self.holds
            && list.len() > FEW
        {
            self.holds = Holds::Many(Box::new(Runs::of(std::mem::take(list))));
        }
    }

    /// `units` of a hold have ended, and `rest` are left.
    pub(crate) fn take(&mut self, due: Due, units: u64, rest: u64) {
        let known = match &mut self.holds {
            Holds::Few(list) => match list.binary_search_by_key(&due, |(due, _)| *due) {
                Ok(at) if list[at].1 == units + rest => {
                    if rest == 0 {
                        list.remove(at);
                    } else {
                        list[at].1 = rest;
                    }
                    true
                }
                _ => false,
            },
            Holds::Many(many) => many.take(due, units, rest),
        };
        if !known {
            stop(format_args!("a hold of {units} and {rest} units is not in its pool: {due:?}"));
        }
        if due.deadline == self.first {
            self.first = self.first().map_or(u64::MAX, |due| due.deadline);
        }
    }

    /// Something made of what a new hold looks at.
    pub(crate) fn look(&self) -> u64 {
        match &self.holds {
            Holds::Few(list) => list.last().map_or(0, |(_, units)| *units),
            Holds::Many(many) => many.look(),
        }
    }

    /// Whether there is no hold.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.holds {
            Holds::Few(list) => list.is_empty(),
            Holds::Many(many) => many.is_empty(),
        }
    }

    /// The hold that is due first.
    pub(crate) fn first(&self) -> Option<Due> {
        match &self.holds {
            Holds::Few(list) => list.first().map(|(due, _)| *due),
            Holds::Many(many) => many.first(),
        }
    }

    /// The holds from the one that is due last.
    pub(crate) fn latest(&self) -> impl Iterator<Item = Due> + '_ {
        let (few, many) = match &self.holds {
            Holds::Few(list) => (list.as_slice(), None),
            Holds::Many(many) => (&[][..], Some(many)),
        };
        few.iter().rev().map(|(due, _)| *due).chain(many.into_iter().flat_map(|many| many.latest()))
    }

    /// Whether a hold has a deadline at or before `now`.
    pub(crate) fn any_by(&self, now: TimeMs) -> bool {
        self.first <= now.0 && !self.is_empty()
    }

    /// Units of all holds with a deadline at or before `now`.
    pub(crate) fn units_by(&self, now: TimeMs) -> u64 {
        if self.first > now.0 {
            return 0;
        }
        match &self.holds {
            Holds::Few(list) => units_by(list, now.0),
            Holds::Many(many) => many.units_by(now.0),
        }
    }

    /// Units of all holds, for checking.
    pub(crate) fn total(&self) -> u64 {
        match &self.holds {
            Holds::Few(list) => list.iter().map(|(_, units)| units).sum(),
            Holds::Many(many) => many.units(),
        }
    }
}

/// Units of all with a deadline at or before `now`, of holds in order.
fn units_by(holds: &[(Due, u64)], now: u64) -> u64 {
    holds.iter().take_while(|(due, _)| due.deadline <= now).map(|(_, units)| units).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Bucket;

    /// Adds and takes `count` holds, and compares with a plain sum all the time.
    fn compare(count: u64) {
        let mut dues = Dues::default();
        let mut plain = Vec::new();
        let mut random = 7_u64;
        for n in 0..count {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let deadline = TimeMs(random >> 33 & 0xff_ffff);
            let due = Due::new(deadline, ReservationId::hashed(Bucket::new(1).expect("below 16,384"), n));
            dues.add(due, n + 2);
            plain.push((due, n + 2));
            let at = usize::try_from(random % 7).expect("small") % plain.len();
            if n % 3 == 0 {
                let (due, units) = plain.remove(at);
                dues.take(due, units, 0);
            } else if plain[at].1 > 1 {
                plain[at].1 -= 1;
                dues.take(plain[at].0, 1, plain[at].1);
            }
            let first = plain.iter().map(|(due, _)| *due).min();
            assert_eq!((dues.first(), dues.first), (first, first.map_or(u64::MAX, |due| due.deadline)));
        }
        for now in (0..0xff_ffff).step_by(9_973).chain([0, 4_095, 4_096, 0xff_ffff, u64::MAX - 1, u64::MAX]) {
            let expected: u64 = plain.iter().filter(|(due, _)| due.deadline().0 <= now).map(|(_, units)| units).sum();
            assert_eq!(dues.units_by(TimeMs(now)), expected, "at {now}");
        }
        assert_eq!(dues.total(), plain.iter().map(|(_, units)| units).sum::<u64>());
        assert_eq!(matches!(dues.holds, Holds::Few(_)), count < 100);
    }

    #[test]
    fn units_by_any_moment_are_those_of_a_plain_sum() {
        compare(60);
        compare(2_000);
    }
}
