//! The books balance (P1, P2): at the end every unit that came in is on hand or sold, every unit that is held or sold is
//! so by a reservation, and nothing is held that is not there.
//!
//! An unknown change of stock counts or does not, as a whole: on hand and sold units together must be what was
//! acknowledged plus some of the unknown changes.

use super::Findings;
use crate::{
    history::{Action, Balance, Broken, End, History},
    model::ClockBound,
};
use std::collections::{BTreeMap, BTreeSet};

/// Looks at every SKU that was read at the end. Says nothing if the end was never read.
pub fn check(history: &History, bound: ClockBound) -> Findings {
    let mut findings = Findings::default();
    let Some(after) = &history.after else { return findings };
    let [from_ms, to_ms] = after.read_ns.map(|ns| history.unix_ms(ns));
    let mut reserved: BTreeMap<&str, Reserved> = BTreeMap::new();
    for view in after.reservations.values().flatten() {
        // A hold that ended between its reading and that of the pool is held or not.
        let ended = (from_ms.saturating_sub(bound.0)..=to_ms + bound.0).contains(&view.deadline_ms);
        for line in &view.lines {
            let reserved = reserved.entry(&line.sku).or_default();
            reserved.sold += line.committed;
            if ended { reserved.maybe.push(line.held) } else { reserved.held += line.held }
        }
    }
    for (sku, balance) in &after.balances {
        findings.looked_at += 1;
        let none = Reserved::default();
        let reserved = reserved.get(sku.as_str()).unwrap_or(&none);
        let problems = equations(balance).into_iter().chain(by_reservations(balance, reserved));
        for (promise, problem) in problems.chain(came_in(history, sku, balance)) {
            findings.broken.push(Broken::new(promise, "books", format!("{sku}: {problem}"), Vec::new()));
        }
    }
    findings
}

fn equations(told: &Balance) -> Option<(&'static str, String)> {
    let left = told.on_hand + told.short;
    let right = told.available + told.held + told.aside;
    let oversold = told.held + told.aside > left;
    let found = format!("on hand and short are {left}, available, held and set apart {right}: {told:?}");
    (left != right || oversold).then_some((if oversold { "P1" } else { "P2" }, found))
}

/// What reservations say of a SKU.
#[derive(Default)]
struct Reserved {
    held: u64,
    /// Units of holds whose deadline passed while all was read.
    maybe: Vec<u64>,
    sold: u64,
}

fn by_reservations(told: &Balance, reserved: &Reserved) -> Option<(&'static str, String)> {
    let held = sums(reserved.held, reserved.maybe.iter().copied());
    let differs = told.sold != reserved.sold || !held.contains(&told.held);
    let found =
        format!("reservations say {held:?} held and {} sold, the pool {} and {}", reserved.sold, told.held, told.sold);
    differs.then_some(("P4", found))
}

/// What `sure` may come to with any of the others.
fn sums<T: Copy + Ord + std::ops::Add<Output = T>>(sure: T, others: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut sums = BTreeSet::from([sure]);
    for other in others {
        let with: Vec<T> = sums.iter().map(|sum| *sum + other).collect();
        sums.extend(with);
    }
    sums
}

/// Compares what is there with what came in.
fn came_in(history: &History, sku: &str, told: &Balance) -> Option<(&'static str, String)> {
    // By the id of the change: whether anyone was told that it was done.
    let mut changes: BTreeMap<&str, (i64, bool)> = BTreeMap::new();
    for operation in &history.operations {
        let (id, of, delta) = match &operation.action {
            Action::Receive { id, line } => (id, &line.sku, i64::try_from(line.units).unwrap_or(i64::MAX)),
            Action::Adjust { id, sku, delta } => (id, sku, *delta),
            _ => continue,
        };
        match &operation.end {
            End::Done { .. } if of == sku => drop(changes.insert(id, (delta, true))),
            End::Unknown { .. } if of == sku => drop(changes.entry(id).or_insert((delta, false))),
            _ => {}
        }
    }
    let sure: i64 = changes.values().filter(|(_, done)| *done).map(|(delta, _)| delta).sum();
    let possible = sums(sure, changes.values().filter(|(_, done)| !done).map(|(delta, _)| *delta));
    let found = i64::try_from(told.on_hand + told.sold).unwrap_or(i64::MAX);
    let fits = told.short > 0 || possible.contains(&found);
    (!fits).then(|| ("P2", format!("{sure} units came in for sure, and {found} are on hand or sold")))
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};
    use crate::history::After;

    fn ended(change: impl FnOnce(&mut Balance)) -> Findings {
        let mut history = history(vec![
            (0, 1, receive("1", "mug", 10), done(crate::history::Told::Balance(balance("mug", 10, 0)))),
            (2, 3, receive("2", "mug", 5), unknown()),
        ]);
        let mut end = balance("mug", 7, 2);
        end.sold = 3;
        change(&mut end);
        let view = view("partlycommitted", &[("mug", [2, 3, 0, 0])]);
        history.after = Some(After {
            balances: [("mug".to_owned(), end)].into(),
            reservations: [("a".to_owned(), Some(view)), ("b".to_owned(), None)].into(),
            read_ns: [0, 0],
        });
        check(&history, ClockBound(500))
    }

    #[test]
    fn books_balance_with_and_without_what_is_unknown() {
        assert!(ended(|_| {}).broken.is_empty());
        let with = ended(|end| (end.on_hand, end.available) = (12, 10));
        assert!(with.broken.is_empty(), "{with:?}");
    }

    #[test]
    fn units_that_appear_or_vanish_are_found() {
        assert!(!ended(|end| (end.on_hand, end.available) = (8, 6)).broken.is_empty());
        assert!(!ended(|end| (end.on_hand, end.available) = (2, 0)).broken.is_empty());
    }

    #[test]
    fn an_oversold_pool_is_found() {
        let found = ended(|end| (end.available, end.held) = (0, 9));
        assert!(found.broken.iter().any(|broken| broken.promise == "P1"), "{found:?}");
    }

    #[test]
    fn a_hold_without_a_reservation_is_found() {
        let found = ended(|end| (end.available, end.held) = (4, 3));
        assert!(found.broken.iter().any(|broken| broken.promise == "P4"), "{found:?}");
    }
}
