//! The books balance (P1, P2): in every balance that anyone was told, what is promised is there or short; and at the end
//! every unit that came in is on hand, sold, or gone by name, and every unit that is held or sold is so by a reservation.
//!
//! A change of stock whose end is unknown counts or does not, as a whole. By how much an unknown count or setting changed
//! what is there can't be told, so nothing is said of what is on hand in a pool that has such a one.

mod flows;
mod sold;

use super::Findings;
use crate::{
    history::{Balance, Broken, History, Told},
    model::ClockBound,
};
use flows::Flows;
use sold::Reserved;
use std::collections::BTreeSet;

/// Looks at every balance that was told, and at every pool that was read at the end. `looked_at` counts balances.
pub fn check(history: &History, bound: ClockBound) -> Findings {
    let mut findings = Findings::default();
    for (place, operation) in history.operations.iter().enumerate() {
        for balance in operation.told().into_iter().flat_map(Told::balances) {
            findings.looked_at += 1;
            if let Some((promise, problem)) = equations(balance) {
                findings.broken.push(Broken::new(promise, "books", problem, vec![place]));
            }
        }
    }
    let Some(after) = &history.after else { return findings };
    let reserved = sold::by_pool(history, after, bound);
    let flows = flows::by_pool(history);
    for (sku, balance) in &after.balances {
        findings.looked_at += 1;
        let none = (Reserved::default(), Flows::default());
        let reserved = reserved.get(sku.as_str()).unwrap_or(&none.0);
        let flows = flows.get(sku.as_str()).unwrap_or(&none.1);
        let problems = equations(balance).into_iter().chain(reserved.problem(balance, flows));
        for (promise, problem) in problems.chain(flows.problems(balance, reserved)) {
            findings.broken.push(Broken::new(promise, "books", format!("{sku}: {problem}"), Vec::new()));
        }
    }
    findings
}

fn equations(told: &Balance) -> Option<(&'static str, String)> {
    let promised = told.held + told.committed + told.unavailable;
    let (left, right) = (told.on_hand + told.short, told.available + promised);
    let oversold = promised > left;
    let both = told.available > 0 && told.short > 0;
    let found = format!("on hand and short are {left}, available, held, sold and set apart {right}: {told:?}");
    (left != right || oversold || both).then_some((if oversold { "P1" } else { "P2" }, found))
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

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};
    use crate::history::After;

    fn ended(change: impl FnOnce(&mut Balance)) -> Findings {
        let mut history = history(vec![
            (0, 1, receive("1", "mug", 10), done(Told::Balance(balance("mug", 10, 0)))),
            (2, 3, receive("2", "mug", 5), unknown()),
        ]);
        let mut end = balance("mug", 7, 2);
        (end.sold, end.received) = (3, 10);
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
        let with = ended(|end| (end.on_hand, end.available, end.received) = (12, 10, 15));
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
