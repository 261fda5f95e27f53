//! A second opinion on linearizability: the same model, searched by the crate `porcupine-rs` instead of our own search. What
//! one of the two explains and the other does not is a mistake of the search.
//!
//! Its own time limit goes by the machine's clock, and one of its entry points tells a search that ran out of time as
//! illegal; so it is asked without a limit, and the model counts the work: once there was too much, no step fits any more,
//! the search ends soon, and the case is told as undecided.
//!
//! To it every operation takes effect. One of which nobody knows leads to both: the states with it, and those without.

use super::{
    Findings,
    linearizable::{groups, per_sku_groups},
};
use crate::{
    history::{Broken, History},
    model::{Case, ClockBound, Shelf},
};
use porcupine_rs::{Model, Operation, check_operations};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// States looked at in one search before it is given up as undecided.
const WORK_MAX: usize = 50_000;

/// States that may be told apart at a time.
const STATES_MAX: usize = 512;

/// A case, and how much may still be done for it.
struct Asked {
    case: Case,
    left: AtomicUsize,
}

#[derive(Clone)]
struct Shelves;

/// One operation of a case.
#[derive(Clone)]
struct Op {
    asked: Arc<Asked>,
    step: usize,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.asked.case.steps[self.step])
    }
}

impl Asked {
    fn gave_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn give_up(&self) {
        self.left.store(0, Ordering::Relaxed);
    }
}

impl Model for Shelves {
    type State = Vec<Shelf>;
    type Op = Op;
    type Metadata = ();

    fn init() -> Vec<Shelf> {
        vec![Shelf::default()]
    }

    fn step(states: &Vec<Shelf>, Op { asked, step }: &Op) -> (bool, Vec<Shelf>) {
        let mut left = asked.left.load(Ordering::Relaxed);
        let step = &asked.case.steps[*step];
        let Ok(next) = asked.case.step(states, step, &mut left) else {
            asked.give_up();
            return (false, Vec::new());
        };
        asked.left.store(left, Ordering::Relaxed);
        if step.ended_ns.is_some() {
            return (!next.is_empty(), next);
        }
        let mut both = next;
        for state in states {
            if !both.contains(state) {
                both.push(state.clone());
            }
        }
        if both.len() > STATES_MAX {
            asked.give_up();
            return (false, Vec::new());
        }
        (true, both)
    }
}

/// Asks about every SKU alone, and about SKUs that share carts. `looked_at` counts operations.
pub fn check(history: &History, bound: ClockBound) -> Findings {
    let mut findings = Findings::default();
    for group in per_sku_groups(history).into_iter().chain(groups(history)) {
        let case = Case::new(history, &group, bound);
        findings.looked_at += case.steps.len() as u64;
        let name = case.skus.join(", ");
        let asked = Arc::new(Asked { case, left: AtomicUsize::new(WORK_MAX) });
        let explained = check_operations::<Shelves>(&operations(&asked));
        if asked.gave_up() && !explained {
            findings.undecided += 1;
        } else if !explained {
            let what = format!("{name}: no order explains what was told, says porcupine-rs");
            findings.broken.push(Broken::new("P3", "second-opinion", what, Vec::new()));
        }
    }
    findings
}

fn operations(asked: &Arc<Asked>) -> Vec<Operation<Shelves>> {
    let time = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX - 1);
    let steps = asked.case.steps.iter().enumerate();
    let operation = |(step, of): (usize, &crate::model::Step)| Operation {
        client_id: None,
        call_time: time(of.invoked_ns),
        return_time: of.ended_ns.map_or(i64::MAX, time),
        op: Op { asked: Arc::clone(asked), step },
        metadata: None,
    };
    steps.map(operation).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};
    use crate::history::{Action, End, Told};

    const BOUND: ClockBound = ClockBound(500);

    fn both(rows: Vec<(u64, u64, Action, End)>) -> bool {
        let history = history(rows);
        let ours = super::super::linearizable::per_sku(&history, BOUND);
        let theirs = check(&history, BOUND);
        assert_eq!(theirs.undecided, 0);
        assert_eq!(ours.broken.is_empty(), theirs.broken.is_empty(), "two opinions");
        theirs.broken.is_empty()
    }

    fn stocked(units: u64) -> (u64, u64, Action, End) {
        (0, 1, receive("r", "mug", units), done(Told::Balance(balance("mug", units, 0))))
    }

    fn reads(at: u64, on_hand: u64, held_now: u64) -> (u64, u64, Action, End) {
        (at, at + 1, read("mug"), done(Told::Balance(balance("mug", on_hand, held_now))))
    }

    #[test]
    fn the_last_unit_is_sold_once() {
        let two = |first_ends| {
            both(vec![
                stocked(1),
                (2, first_ends, reserve("a", &[("mug", 1)], 900_000), held(&[("mug", 1)])),
                (2, 9, reserve("b", &[("mug", 1)], 900_000), refused("INSUFFICIENT_STOCK", vec![line("mug", 0)])),
            ])
        };
        assert!(two(9) && two(3));
        let twice = both(vec![
            stocked(1),
            (2, 9, reserve("a", &[("mug", 1)], 900_000), held(&[("mug", 1)])),
            (2, 9, reserve("b", &[("mug", 1)], 900_000), held(&[("mug", 1)])),
        ]);
        assert!(!twice);
    }

    #[test]
    fn an_unknown_one_may_have_happened_at_any_time_but_once() {
        let told = |reads_of: [u64; 3]| {
            let mut rows = vec![stocked(5), (2, 3, receive("x", "mug", 4), unknown())];
            rows.extend((0..).zip(reads_of).map(|(at, on_hand)| reads(10 + 2 * at, on_hand, 0)));
            both(rows)
        };
        assert!(told([5, 5, 5]) && told([9, 9, 9]) && told([5, 9, 9]));
        assert!(!told([9, 5, 5]) && !told([5, 9, 13]));
    }

    #[test]
    fn too_much_work_is_undecided_and_never_illegal() {
        let case = |left| {
            let history = history(vec![stocked(5), reads(2, 5, 0), reads(4, 5, 0)]);
            let case = Case::new(&history, &std::collections::BTreeSet::from(["mug".to_owned()]), BOUND);
            let asked = Arc::new(Asked { case, left: AtomicUsize::new(left) });
            (check_operations::<Shelves>(&operations(&asked)), asked.gave_up())
        };
        assert_eq!(case(100), (true, false));
        assert_eq!(case(2), (false, true));
    }
}
