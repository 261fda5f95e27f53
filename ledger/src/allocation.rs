//! Which locations a line that names none takes its units from: pure functions of a policy and of what is there.
//!
//! Among the ways to get as many units as can be had from so many places, the first by the policy's order is taken:
//! a location is left out only if the rest could not be had without leaving it out.

use crate::{
    limits::PLACES_MAX,
    settings::{Allocation, Strategy},
};
use std::cmp::Reverse;

/// A location that has the SKU, and how many units it could give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate<'a> {
    pub(crate) location: &'a [u8],
    pub(crate) free: u64,
}

/// What a line wants, from anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) asked: u64,
    /// Refuse rather than give less. At most `asked`.
    pub(crate) required: u64,
    /// Zone of whoever asks.
    pub(crate) zone: u32,
}

/// What each place gives: its index among the candidates, and its units. The first is there even if it gives none.
pub(crate) type Shares = Vec<(usize, u64)>;

/// Why there is no allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// There are enough units, but not where or how the policy allows it.
    Policy,
    /// There are only so many.
    Units(u64),
}

/// What holds where nothing is set: most stock first.
pub(crate) fn default_policy() -> Allocation {
    Allocation { strategy: Strategy::MostStock, places: PLACES_MAX }
}

/// Deals a demand to candidates. The order of the candidates makes no difference.
pub(crate) fn allocate(policy: &Allocation, candidates: &[Candidate<'_>], demand: Demand) -> Result<Shares, Lack> {
    let order = in_order(&policy.strategy, candidates, demand.zone);
    let Some(first) = order.first().copied() else { return Err(Lack::Policy) };
    let places = usize::try_from(policy.places.clamp(1, PLACES_MAX)).unwrap_or(1);
    let free: Vec<u64> = order.iter().map(|at| candidates[*at].free).collect();
    let best = best_of_rest(&free, places);
    let most = best[0][places];
    if most < demand.required {
        let anywhere = candidates.iter().fold(0_u64, |sum, candidate| sum.saturating_add(candidate.free));
        return Err(if anywhere >= demand.required { Lack::Policy } else { Lack::Units(most) });
    }
    let target = most.min(demand.asked);
    let shares = match policy.strategy {
        Strategy::FewestSplits => fewest(&free, target),
        _ => first_possible(&free, &best, places, target),
    };
    let shares: Shares = shares.into_iter().map(|(at, units)| (order[at], units)).collect();
    Ok(if shares.is_empty() { vec![(first, 0)] } else { shares })
}

/// The candidates the policy allows, as indices, the one it likes best first.
fn in_order(strategy: &Strategy, candidates: &[Candidate<'_>], zone: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_unstable_by_key(|at| candidates[*at].location);
    match strategy {
        Strategy::Priority(list) => {
            let rank = |at: &usize| list.iter().position(|location| location.as_bytes() == candidates[*at].location);
            order.retain(|at| rank(at).is_some());
            order.sort_by_key(rank);
        }
        Strategy::MostStock | Strategy::FewestSplits => order.sort_by_key(|at| Reverse(candidates[*at].free)),
        Strategy::NearestZone(zones) => {
            let zone_of = |at: &usize| {
                let found = zones.iter().find(|(location, _)| location.as_bytes() == candidates[*at].location);
                found.map(|(_, zone)| *zone)
            };
            order.retain(|at| zone_of(at).is_some());
            order.sort_by_key(|at| zone_of(at).map(|there| there.abs_diff(zone)));
        }
    }
    order
}

/// For each place in the order, and one behind the last, and each number of places: the most units that many can give,
/// counted from there on.
fn best_of_rest(free: &[u64], places: usize) -> Vec<Vec<u64>> {
    let mut largest: Vec<u64> = Vec::with_capacity(places + 1);
    let mut best = vec![vec![0; places + 1]];
    for units in free.iter().rev() {
        let at = largest.partition_point(|other| other >= units);
        largest.insert(at, *units);
        largest.truncate(places);
        let mut sums = vec![0; places + 1];
        for count in 1..=places {
            sums[count] = sums[count - 1] + largest.get(count - 1).copied().unwrap_or(0);
        }
        best.push(sums);
    }
    best.reverse();
    best
}

fn first_possible(free: &[u64], best: &[Vec<u64>], places: usize, target: u64) -> Shares {
    let mut shares = Vec::new();
    let mut left = target;
    for (at, units) in free.iter().enumerate() {
        if left == 0 || shares.len() == places {
            break;
        }
        let share = left.min(*units);
        if share > 0 && left - share <= best[at + 1][places - shares.len() - 1] {
            shares.push((at, share));
            left -= share;
        }
    }
    shares
}

/// `free` is in falling order, and has `target` in as few places as are allowed.
fn fewest(free: &[u64], target: u64) -> Shares {
    let mut shares = Vec::new();
    let mut left = target;
    let mut largest = 0;
    while left > 0 && largest < free.len() {
        // Of those that can give all that is left, the last in the order has the fewest units; of equals the first.
        let enough = free[largest..].partition_point(|units| *units >= left);
        let at = match enough {
            0 => largest,
            _ => largest + free[largest..].partition_point(|units| *units > free[largest + enough - 1]),
        };
        let share = left.min(free[at]);
        if share == 0 {
            break;
        }
        shares.push((at, share));
        left -= share;
        largest += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Location;

    fn shares(
        strategy: Strategy,
        places: u32,
        free: &[(&str, u64)],
        demand: Demand,
    ) -> Result<Vec<(String, u64)>, Lack> {
        let names: Vec<Location> = free.iter().map(|(name, _)| name.parse().expect("a location")).collect();
        let candidates: Vec<_> = names
            .iter()
            .zip(free)
            .map(|(location, (_, free))| Candidate { location: location.as_bytes(), free: *free })
            .collect();
        let told = allocate(&Allocation { strategy, places }, &candidates, demand)?;
        Ok(told.into_iter().map(|(at, units)| (names[at].to_string(), units)).collect())
    }

    fn all(asked: u64) -> Demand {
        Demand { asked, required: asked, zone: 0 }
    }

    fn named(list: &[&str]) -> Vec<Location> {
        list.iter().map(|name| name.parse().expect("a location")).collect()
    }

    fn told(list: &[(&str, u64)]) -> Result<Vec<(String, u64)>, Lack> {
        Ok(list.iter().map(|(name, units)| ((*name).to_owned(), *units)).collect())
    }

    #[test]
    fn the_order_of_the_list_counts_and_no_other_location() {
        let list = Strategy::Priority(named(&["c", "a"]));
        let free = [("a", 3), ("b", 9), ("c", 2)];
        assert_eq!(shares(list.clone(), 9, &free, all(4)), told(&[("c", 2), ("a", 2)]));
        assert_eq!(shares(list.clone(), 9, &free, all(6)), Err(Lack::Policy));
        assert_eq!(shares(list.clone(), 9, &free, all(15)), Err(Lack::Units(5)));
        assert_eq!(shares(list.clone(), 9, &free, Demand { required: 0, ..all(6) }), told(&[("c", 2), ("a", 3)]));
        assert_eq!(shares(Strategy::Priority(named(&["d"])), 9, &free, all(1)), Err(Lack::Policy));
    }

    #[test]
    fn a_location_is_left_out_only_if_it_must_be() {
        let list = Strategy::Priority(named(&["a", "b", "c", "d"]));
        let free = [("a", 1), ("b", 1), ("c", 5), ("d", 5)];
        assert_eq!(shares(list.clone(), 1, &free, all(3)), told(&[("c", 3)]));
        assert_eq!(shares(list.clone(), 2, &free, all(8)), told(&[("c", 5), ("d", 3)]));
        assert_eq!(shares(list.clone(), 2, &free, all(6)), told(&[("a", 1), ("c", 5)]));
        assert_eq!(shares(list.clone(), 2, &free, all(11)), Err(Lack::Policy));
        assert_eq!(shares(list, 2, &free, all(13)), Err(Lack::Units(10)));
    }

    #[test]
    fn most_stock_goes_by_units_and_then_by_name() {
        let free = [("b", 4), ("a", 4), ("c", 7)];
        assert_eq!(shares(Strategy::MostStock, 9, &free, all(9)), told(&[("c", 7), ("a", 2)]));
        assert_eq!(shares(Strategy::MostStock, 1, &free, all(8)), Err(Lack::Policy));
        assert_eq!(shares(Strategy::MostStock, 1, &[("a", 0)], Demand { required: 0, ..all(2) }), told(&[("a", 0)]));
    }

    #[test]
    fn fewest_splits_leaves_large_piles_alone() {
        let free = [("a", 9), ("b", 4), ("c", 4), ("d", 2)];
        assert_eq!(shares(Strategy::FewestSplits, 9, &free, all(2)), told(&[("d", 2)]));
        assert_eq!(shares(Strategy::FewestSplits, 9, &free, all(3)), told(&[("b", 3)]));
        assert_eq!(shares(Strategy::FewestSplits, 9, &free, all(10)), told(&[("a", 9), ("d", 1)]));
        assert_eq!(shares(Strategy::FewestSplits, 9, &free, all(18)), told(&[("a", 9), ("b", 4), ("c", 4), ("d", 1)]));
    }

    #[test]
    fn the_nearest_zone_comes_first() {
        let zones = Strategy::NearestZone(named(&["a", "b", "c"]).into_iter().zip([1, 5, 3]).collect());
        let free = [("a", 2), ("b", 2), ("c", 2), ("d", 9)];
        assert_eq!(shares(zones.clone(), 9, &free, Demand { zone: 5, ..all(3) }), told(&[("b", 2), ("c", 1)]));
        assert_eq!(shares(zones.clone(), 9, &free, Demand { zone: 2, ..all(3) }), told(&[("a", 2), ("c", 1)]));
        assert_eq!(shares(zones, 9, &free, Demand { zone: 2, ..all(7) }), Err(Lack::Policy));
    }

    #[test]
    fn as_much_is_found_as_there_is() {
        // Against every choice of places, for many small piles.
        let names = ["a", "b", "c", "d", "e"];
        let mut random = 5_u64;
        for _ in 0..2_000 {
            let free: Vec<(&str, u64)> = names
                .iter()
                .map(|name| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (*name, random >> 61)
                })
                .collect();
            let places = u32::try_from(random >> 20 & 3).expect("small") + 1;
            let asked = (random >> 30 & 15) + 1;
            let most = (0..32_u32)
                .filter(|set| set.count_ones() <= places)
                .map(|set| (0..5).filter(|at| set >> at & 1 == 1).map(|at| free[at].1).sum::<u64>())
                .max();
            let most = most.expect("there are sets");
            let list = Strategy::Priority(named(&["e", "c", "a", "b", "d"]));
            for strategy in [list, Strategy::MostStock, Strategy::FewestSplits] {
                let demand = Demand { asked, required: 0, zone: 0 };
                let got = shares(strategy.clone(), places, &free, demand).expect("nothing is required");
                assert_eq!(got.iter().map(|(_, units)| units).sum::<u64>(), most.min(asked), "{strategy:?} {free:?}");
                assert!(got.len() <= usize::try_from(places).expect("small"));
                let strict = shares(strategy, places, &free, all(asked));
                assert_eq!(strict.is_ok(), most >= asked);
            }
        }
    }
}
