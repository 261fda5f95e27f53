//! One id, one effect (P6): whoever asks with the same id is told the same end, and a change under one id moves the
//! books once.

use super::Findings;
use crate::history::{Action, Broken, End, History, Line, Operation, Told};
use std::collections::{BTreeMap, BTreeSet};

/// Looks at every id that was answered more than once. `looked_at` counts ids.
pub fn check(history: &History) -> Findings {
    let mut first: BTreeMap<(&'static str, &str), (usize, &End)> = BTreeMap::new();
    let mut findings = Findings::default();
    for (place, operation) in history.operations.iter().enumerate() {
        let Some(key) = key(&operation.action) else { continue };
        let End::Done { .. } = &operation.end else {
            let before =
                first.get(&key).filter(|(before, _)| history.operations[*before].ended_ns < operation.invoked_ns);
            if let (Some((before, _)), Some(code)) = (before, why_refused(&operation.end)) {
                let what = format!("{} {} was done, and then refused: {code}", key.0, key.1);
                findings.broken.push(Broken::new("P6", "one-effect", what, vec![*before, place]));
            }
            continue;
        };
        match first.get(&key) {
            None => {
                findings.looked_at += 1;
                first.insert(key, (place, &operation.end));
            }
            Some((before, end)) if !same(end, &operation.end) => {
                let what = format!("{} {} was answered in two ways", key.0, key.1);
                findings.broken.push(Broken::new("P6", "one-effect", what, vec![*before, place]));
            }
            Some(_) => {}
        }
    }
    findings.broken.extend(effects(history));
    findings
}

/// Why it was refused by the ledger, for the books or what became of a reservation.
fn why_refused(end: &End) -> Option<&str> {
    const OF_THE_LEDGER: [&str; 5] =
        ["INSUFFICIENT_STOCK", "VERSION_STALE", "SKU_FROZEN", "LIMIT_EXCEEDED", "RESERVATION_EXPIRED"];
    match end {
        End::Refused { code, .. } => OF_THE_LEDGER.into_iter().find(|known| code == known),
        _ => None,
    }
}

/// Operations that have an id of their own; a whole commit or release has its reservation's.
fn key(action: &Action) -> Option<(&'static str, &str)> {
    Some((action.name(), action.operation()?))
}

/// The same answer, at the same place in the ledger.
fn same(first: &End, second: &End) -> bool {
    let (End::Done { told: one, place: here, .. }, End::Done { told: two, place: there, .. }) = (first, second) else {
        return false;
    };
    match (one, two) {
        (Told::Reservation(one), Told::Reservation(two)) => {
            // Whether all shards have carried it out is told as it is when it is asked.
            (&one.state, &one.lines, one.deadline_ms, here) == (&two.state, &two.lines, two.deadline_ms, there)
        }
        _ => (one, here) == (two, there),
    }
}

/// Whether it moves units each time that it is done, so that its place is its own. A correction to what is there already,
/// an extension and the like move none; a whole commit, release or cancel may find its end reached by another.
fn moves(action: &Action) -> bool {
    match action {
        Action::Commit { parts, .. } | Action::Release { parts, .. } | Action::Cancel { parts, .. } => {
            !parts.is_empty()
        }
        action => {
            let still = ["extend", "mark-paying", "configure", "set", "count", "expect", "replace", "write-off"];
            !still.contains(&action.name())
        }
    }
}

/// Reservations that were ever asked for with more than one pool. Their home, which names the place of every operation, may be
/// another shard than the one whose units are moved: a cart may have got nothing there, or nothing may be left there. What
/// moves none of its home's units stands where the next movement there does.
fn carts(history: &History) -> BTreeSet<&str> {
    let several = |lines: &[Line]| lines.iter().any(|line| line.sku != lines[0].sku);
    let cart = |operation: &Operation| match &operation.action {
        Action::Reserve { lines, .. } | Action::Replace { lines, .. } => several(lines),
        _ => false,
    };
    history.operations.iter().filter(|one| cart(one)).filter_map(|one| one.action.reservation()).collect()
}

/// Whether it surely moved units of its home. A reserve tells what it got; what comes later does not tell where.
fn moved_at_home(action: &Action, told: &Told, carts: &BTreeSet<&str>) -> bool {
    match told {
        Told::Reserved { lines, .. } => lines.iter().all(|line| line.units > 0),
        _ => action.reservation().is_none_or(|id| !carts.contains(id)),
    }
}

/// Two operations that move units never have the same place.
fn effects(history: &History) -> Vec<Broken> {
    let carts = carts(history);
    let mut places = BTreeMap::new();
    let mut broken = Vec::new();
    for (at, operation) in history.operations.iter().enumerate() {
        let (End::Done { place, told, .. }, Some(key)) = (&operation.end, key(&operation.action)) else { continue };
        if !moves(&operation.action) || !moved_at_home(&operation.action, told, &carts) {
            continue;
        }
        let (first, other) = *places.entry(*place).or_insert((at, key));
        if other != key {
            let what = format!("{} {} and {} {} stand at one place", other.0, other.1, key.0, key.1);
            broken.push(Broken::new("P6", "one-effect", what, vec![first, at]));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};
    use crate::history::Place;

    fn at(end: End, index: u64) -> End {
        match end {
            End::Done { told, replayed, .. } => {
                End::Done { told, place: Place { shard: 1, epoch: 1, index, ordinal: 0 }, replayed }
            }
            other => other,
        }
    }

    fn received(on_hand: u64, index: u64) -> (u64, u64, Action, End) {
        (0, 1, receive("a", "mug", 1), at(done(Told::Balance(balance("mug", on_hand, 0))), index))
    }

    #[test]
    fn a_repeat_is_told_the_first_answer() {
        assert!(check(&history(vec![received(1, 5), received(1, 5)])).broken.is_empty());
    }

    #[test]
    fn a_second_effect_is_found() {
        assert_eq!(check(&history(vec![received(1, 5), received(2, 6)])).broken[0].around, [0, 1]);
        assert!(!check(&history(vec![received(1, 5), received(1, 6)])).broken.is_empty(), "at another place");
    }

    #[test]
    fn what_was_done_is_not_refused() {
        let told = |sent_at, code: &str| {
            let done = (2, 5, reserve("a", &[("mug", 2)], 1_000), at(held(&[("mug", 2)]), 4));
            let again = reserve("a", &[("mug", 2)], 1_000);
            check(&history(vec![done, (sent_at, 9, again, refused(code, vec![line("mug", 0)]))])).broken.len()
        };
        assert_eq!(told(6, "INSUFFICIENT_STOCK"), 1);
        assert_eq!(told(4, "INSUFFICIENT_STOCK"), 0, "at the same time: it may have come first");
        assert_eq!(told(6, "OVERLOADED"), 0, "nobody looked");
    }

    #[test]
    fn two_ends_of_one_reserve_are_found() {
        let told = |units| (0, 1, reserve("a", &[("mug", 2)], 1_000), at(held(&[("mug", units)]), 4));
        assert!(check(&history(vec![told(2), told(2)])).broken.is_empty());
        assert!(!check(&history(vec![told(2), told(1)])).broken.is_empty());
    }

    #[test]
    fn two_operations_at_one_place_are_found() {
        let other = (0, 1, receive("b", "mug", 1), at(done(Told::Balance(balance("mug", 2, 0))), 5));
        assert!(!check(&history(vec![received(1, 5), other])).broken.is_empty());
    }

    #[test]
    fn a_cart_that_moves_nothing_at_home_stands_where_the_next_movement_does() {
        let broken = |asked: &[(&str, u64)], action: Action, end: End| {
            let cart = (0, 1, reserve("cart", asked, 1_000), at(held(asked), 3));
            !check(&history(vec![received(1, 5), cart, (2, 3, action, at(end, 5))])).broken.is_empty()
        };
        let ship = || Action::Ship { id: "cart".to_owned(), operation: "b".to_owned(), parts: Vec::new() };
        let shipped = |lines: &[(&str, [u64; 4])]| reservation("committed", lines);
        let (one, two) = ([("mug", 1)], [("mug", 1), ("pot", 1)]);
        assert!(broken(&one, ship(), shipped(&[("mug", [1, 0, 1, 0])])));
        assert!(!broken(&two, ship(), shipped(&[("mug", [1, 0, 1, 0]), ("pot", [1, 0, 1, 0])])));
        assert!(!broken(&two, ship(), shipped(&[("mug", [1, 0, 1, 0])])), "nothing was got, or is left, at home");
        let other = || reserve("other", &two, 1_000);
        assert!(broken(&one, other(), held(&[("mug", 1), ("pot", 1)])));
        assert!(!broken(&one, other(), held(&[("mug", 0), ("pot", 1)])));
    }
}
