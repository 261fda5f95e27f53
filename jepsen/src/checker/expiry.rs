//! A hold ends at its deadline (P7): never before it by more than the clock bound, and no decision at or after it counts
//! the hold as live.

use super::Findings;
use crate::{
    history::{Action, Broken, End, History, Operation, Told},
    model::ClockBound,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a reservation's deadline.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    /// The latest that anyone was told.
    latest_ms: u64,
    /// The latest that anyone was told before the operation at hand was sent is at least this.
    first_ms: u64,
    /// An extension whose end is unknown may have moved it.
    moved: bool,
}

/// Looks at every answer that shows whether a hold was over. `looked_at` counts them.
pub fn check(history: &History, bound: ClockBound) -> Findings {
    let deadlines = deadlines(history);
    let mut findings = Findings::default();
    for (place, operation) in history.operations.iter().enumerate() {
        let Some(id) = operation.action.reservation() else { continue };
        let Some(deadline) = deadlines.get(id) else { continue };
        let (sent_ms, told_ms) = (history.unix_ms(operation.invoked_ns), history.unix_ms(operation.ended_ns));
        let problem = match shows(operation) {
            Some(Shown::Over) if told_ms + bound.0 < deadline.first_ms => {
                Some(format!("was over {} ms before its deadline", deadline.first_ms - told_ms))
            }
            Some(Shown::Live) if !deadline.moved && sent_ms > deadline.latest_ms + bound.0 => {
                Some(format!("counted as live {} ms after its deadline", sent_ms - deadline.latest_ms))
            }
            Some(_) => None,
            None => continue,
        };
        findings.looked_at += 1;
        if let Some(problem) = problem {
            let what = format!("reservation {id} {problem}");
            findings.broken.push(Broken::new("P7", "expiry", what, vec![place]));
        }
    }
    findings.broken.extend(lengths(history, bound));
    findings
}

/// What was asked for is what is told: a hold lasts for its time to live from the decision, which came between the sending
/// and the answer. An extension may find a later deadline, which stays.
fn lengths(history: &History, bound: ClockBound) -> Vec<Broken> {
    let mut told: BTreeMap<&str, Vec<(usize, u64)>> = BTreeMap::new();
    let mut moved: BTreeSet<&str> = BTreeSet::new();
    let mut graces: BTreeMap<&str, u64> = BTreeMap::new();
    for (place, operation) in history.operations.iter().enumerate() {
        let Some(id) = operation.action.reservation() else { continue };
        // What a reserve, an extension or a grace without an answer set is known to nobody.
        if operation.is_unknown() && sets_a_deadline(&operation.action) {
            moved.insert(id);
        }
        if let Action::MarkPaying { grace_ms, .. } = &operation.action {
            let longest = graces.entry(id).or_default();
            *longest = (*longest).max(*grace_ms);
        }
        match operation.told() {
            Some(Told::Reserved { deadline_ms, .. }) => told.entry(id).or_default().push((place, *deadline_ms)),
            Some(Told::Reservation(view)) if view.state == "held" => {
                told.entry(id).or_default().push((place, view.deadline_ms));
            }
            _ => {}
        }
    }
    let mut broken = Vec::new();
    for (id, deadlines) in &told {
        for (place, deadline_ms) in deadlines {
            let operation = &history.operations[*place];
            let (ttl_ms, extends) = match &operation.action {
                Action::Reserve { ttl_ms, .. } => (ttl_ms, false),
                Action::Extend { ttl_ms, .. } => (ttl_ms, true),
                _ => continue,
            };
            if matches!(operation.end, End::Done { replayed: true, .. }) {
                continue;
            }
            let first_ms = (history.unix_ms(operation.invoked_ns) + ttl_ms).saturating_sub(bound.0);
            // An extension of one that is being paid for has the grace on top.
            let grace_ms = if extends { graces.get(id).copied().unwrap_or(0) } else { 0 };
            let last_ms = history.unix_ms(operation.ended_ns) + ttl_ms + grace_ms + bound.0;
            let set_by = |(other, known): &(usize, u64)| {
                other != place && known == deadline_ms && may_have_set(&history.operations[*other], operation)
            };
            let stays = extends && (moved.contains(id) || deadlines.iter().any(set_by));
            if *deadline_ms < first_ms || *deadline_ms > last_ms && !stays {
                let what = format!(
                    "reservation {id}: a deadline of {deadline_ms} for a time to live of {ttl_ms} ms is none of {first_ms} to {last_ms}"
                );
                broken.push(Broken::new("P7", "expiry", what, vec![*place]));
            }
        }
    }
    broken
}

fn sets_a_deadline(action: &Action) -> bool {
    matches!(action, Action::Reserve { .. } | Action::Extend { .. } | Action::MarkPaying { .. })
}

/// Whether another operation may have set the deadline that this one found. One that only tells it did not.
fn may_have_set(other: &Operation, this: &Operation) -> bool {
    let again = other.action.operation().is_some() && other.action.operation() == this.action.operation();
    sets_a_deadline(&other.action) && !again && other.invoked_ns < this.ended_ns
}

enum Shown {
    Live,
    Over,
}

fn deadlines(history: &History) -> BTreeMap<&str, Deadline> {
    let mut deadlines: BTreeMap<&str, Deadline> = BTreeMap::new();
    let mut moved: Vec<&str> = Vec::new();
    for operation in &history.operations {
        let Some(id) = operation.action.reservation() else { continue };
        if operation.is_unknown() && matches!(operation.action, Action::Extend { .. } | Action::MarkPaying { .. }) {
            moved.push(id);
        }
        let told = match operation.told() {
            Some(Told::Reserved { deadline_ms, .. }) => *deadline_ms,
            Some(Told::Reservation(view)) if !matches!(view.state.as_str(), "open" | "rejected") => view.deadline_ms,
            _ => continue,
        };
        let known = deadlines.entry(id).or_insert(Deadline { latest_ms: told, first_ms: told, moved: false });
        known.latest_ms = known.latest_ms.max(told);
        // Deadlines only move away, so the first one is the earliest.
        known.first_ms = known.first_ms.min(told);
    }
    for id in moved {
        deadlines.entry(id).and_modify(|known| known.moved = true);
    }
    deadlines
}

/// What an answer says about the hold at the moment of its decision. An earlier answer told again says nothing.
fn shows(operation: &Operation) -> Option<Shown> {
    match &operation.end {
        End::Refused { code, .. } if code == "RESERVATION_EXPIRED" => Some(Shown::Over),
        End::Done { told: Told::Reservation(view), replayed: false, .. } => {
            let sum = |units: fn(&crate::history::LineState) -> u64| view.lines.iter().map(units).sum::<u64>();
            if sum(|line| line.expired) > 0 {
                return Some(Shown::Over);
            }
            let held = sum(|line| line.held) > 0;
            // A late commit sells what is over.
            let sold =
                matches!(operation.action, Action::Commit { revive: false, .. }) && sum(|line| line.committed) > 0;
            (held || sold).then_some(Shown::Live)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};

    fn told(at_ms: u64, action: Action, end: End) -> Findings {
        let reserved = (2, 3, reserve("a", &[("mug", 3)], 10_000), until(&[("mug", 3)], 10_000));
        check(&history(vec![reserved, (at_ms, at_ms + 1, action, due(10_000, end))]), ClockBound(500))
    }

    /// With that deadline in the view that was told, if one was.
    fn due(deadline_ms: u64, mut end: End) -> End {
        if let End::Done { told: Told::Reservation(view), .. } = &mut end {
            view.deadline_ms = EPOCH_MS + deadline_ms;
        }
        end
    }

    fn held_until(deadline_ms: u64) -> End {
        due(deadline_ms, reservation("held", &[("mug", [3, 0, 0, 0])]))
    }

    fn extend(id: &str, ttl_ms: u64) -> Action {
        Action::Extend { id: id.to_owned(), operation: Some("x".to_owned()), ttl_ms }
    }

    #[test]
    fn a_deadline_that_is_not_what_was_asked_for_is_found() {
        let deadline = |ms| {
            let reserved = (2, 3, reserve("a", &[("mug", 3)], 10_000), until(&[("mug", 3)], ms));
            check(&history(vec![reserved]), ClockBound(500)).broken.len()
        };
        assert_eq!((deadline(9_502), deadline(10_503)), (0, 0), "within the bound");
        assert_eq!((deadline(9_501), deadline(10_504), deadline(5_000)), (1, 1, 1));
    }

    #[test]
    fn a_shorter_extension_finds_the_deadline_of_a_reserve_that_may_have_been_answered_to_nobody() {
        let extended = |reserved: End| {
            let reserve = reserve("a", &[("mug", 3)], 10_000);
            let extended = (5, 6, extend("a", 1_000), held_until(10_000));
            check(&history(vec![(2, 3, reserve, reserved), extended]), ClockBound(500)).broken.len()
        };
        assert_eq!(extended(unknown()), 0);
        assert_eq!(extended(refused("NO_QUORUM", Vec::new())), 1);
    }

    #[test]
    fn a_shorter_extension_finds_the_deadline_of_a_grace_that_may_have_been_answered_to_nobody() {
        let extended = |paying: End| {
            let reserve = (2, 3, reserve("a", &[("mug", 3)], 10_000), until(&[("mug", 3)], 10_000));
            let grace = Action::MarkPaying { id: "a".to_owned(), operation: "y".to_owned(), grace_ms: 3_000 };
            let extended = (6, 7, extend("a", 1_000), held_until(13_000));
            let history = history(vec![reserve, (4, 5, grace, paying), extended]);
            check(&history, ClockBound(500)).broken.len()
        };
        assert_eq!(extended(unknown()), 0);
        assert_eq!(extended(refused("NO_QUORUM", Vec::new())), 1);
    }

    #[test]
    fn a_read_does_not_bear_an_extension_out() {
        let read = || Action::ReadReservation { id: "a".to_owned() };
        let broken = |later: Action| {
            let reserve = (2, 3, reserve("a", &[("mug", 3)], 10_000), until(&[("mug", 3)], 10_000));
            let extended = (5, 6, extend("a", 1_000), held_until(100_000));
            let shown = (4, 8, later, held_until(100_000));
            check(&history(vec![reserve, extended, shown]), ClockBound(500)).broken.len()
        };
        assert_eq!(broken(read()), 1);
        let other = Action::Extend { id: "a".to_owned(), operation: Some("y".to_owned()), ttl_ms: 99_997 };
        assert_eq!(broken(other), 0, "it may have been the first");
    }

    #[test]
    fn a_commit_long_after_the_deadline_is_found() {
        let sold = || reservation("committed", &[("mug", [0, 3, 0, 0])]);
        assert!(told(10_400, commit("a"), sold()).broken.is_empty(), "within the bound");
        assert_eq!(told(10_600, commit("a"), sold()).broken.len(), 1);
    }

    #[test]
    fn a_hold_that_is_over_early_is_found() {
        let over = || refused("RESERVATION_EXPIRED", Vec::new());
        assert!(told(9_600, commit("a"), over()).broken.is_empty(), "within the bound");
        assert_eq!(told(9_300, commit("a"), over()).broken.len(), 1);
        let read = Action::ReadReservation { id: "a".to_owned() };
        assert_eq!(told(9_300, read, reservation("expired", &[("mug", [0, 0, 0, 3])])).broken.len(), 1);
    }
}
