//! A list of an owner's reservations has every one that surely holds units meanwhile, and none that surely does not (P3).

use super::Findings;
use crate::{
    history::{Action, Broken, End, History, Operation, Told},
    model::ClockBound,
};
use std::collections::BTreeMap;

/// A hold as far as it is sure.
struct Hold<'a> {
    owner: &'a str,
    /// Somebody was told that it is held, and until when at least.
    held: Option<(u64, u64)>,
    /// The first time that anything was tried that may have ended it.
    ended_from_ns: u64,
    /// The first time that somebody was told that all of it is given back.
    released_ns: u64,
}

/// Looks at every list. `looked_at` counts what they should have and have.
pub fn check(history: &History, bound: ClockBound) -> Findings {
    let mut findings = Findings::default();
    let holds = holds(history);
    for (place, operation) in history.operations.iter().enumerate() {
        let problems = match (&operation.action, operation.told()) {
            (Action::ListOwned { owner }, Some(Told::Owned(owned))) => {
                findings.looked_at += owned.len() as u64;
                let ids: Vec<&str> = owned.iter().map(|owned| owned.id.as_str()).collect();
                let stranger = owned.iter().filter(|owned| owned.owner != *owner || !is_held(&owned.held));
                let strangers = stranger.map(|owned| format!("{owned:?} is listed for {owner}"));
                strangers.chain(absent(history, &holds, owner, &ids, operation, bound)).collect()
            }
            (Action::ListExpiring { within_ms }, Some(Told::Expiring(told))) => {
                findings.looked_at += told.len() as u64;
                let latest = history.unix_ms(operation.ended_ns) + within_ms + bound.0;
                let late = told.iter().filter(|(_, ends)| *ends > latest);
                let late = late.map(|(id, ends)| format!("{id}, which ends at {ends}, is listed to end by {latest}"));
                let strangers: Vec<&str> =
                    told.iter().map(|(id, _)| id.as_str()).filter(|id| !holds.contains_key(id)).collect();
                let nameless = nameless(history, operation.ended_ns);
                let too_many = (strangers.len() > nameless)
                    .then(|| format!("nobody reserved all of {strangers:?}, {nameless} ids are not known"));
                late.chain(too_many).collect()
            }
            _ => Vec::new(),
        };
        let broken = |problem| Broken::new("P3", "lists", problem, vec![place]);
        findings.broken.extend(problems.into_iter().map(broken));
    }
    findings
}

/// Reserves sent by then whose ids nobody knows: their clients went away.
fn nameless(history: &History, by_ns: u64) -> usize {
    history.operations.iter().filter(|sent| sent.is_nameless() && sent.invoked_ns < by_ns).count()
}

fn is_held(view: &crate::history::Held) -> bool {
    let some = view.lines.iter().any(|line| line.held > 0);
    // While a cart is being prepared, nobody was promised anything.
    some && matches!(view.state.as_str(), "held" | "partlycommitted") || view.state == "open"
}

fn holds(history: &History) -> BTreeMap<&str, Hold<'_>> {
    let mut holds: BTreeMap<&str, Hold<'_>> = BTreeMap::new();
    for operation in &history.operations {
        let Some(id) = operation.action.reservation() else { continue };
        let none = Hold { owner: "", held: None, ended_from_ns: u64::MAX, released_ns: u64::MAX };
        let hold = holds.entry(id).or_insert(none);
        match &operation.action {
            Action::Reserve { owner, .. } => {
                hold.owner = owner;
                if let End::Done { told: Told::Reserved { deadline_ms, .. }, .. } = &operation.end {
                    let told = (operation.ended_ns, *deadline_ms);
                    hold.held = Some(hold.held.map_or(told, |known| known.min(told)));
                }
            }
            Action::Commit { .. } | Action::Release { .. } => {
                hold.ended_from_ns = hold.ended_from_ns.min(operation.invoked_ns);
                // What was rejected never was held, and may be reserved anew under its id.
                if let Some(Told::Reservation(view)) = operation.told()
                    && view.state != "rejected"
                    && view.lines.iter().all(|line| line.held == 0)
                {
                    hold.released_ns = hold.released_ns.min(operation.ended_ns);
                }
            }
            _ => {}
        }
    }
    holds
}

/// What the list of an owner lacks or has too much.
fn absent(
    history: &History,
    holds: &BTreeMap<&str, Hold<'_>>,
    owner: &str,
    listed: &[&str],
    operation: &Operation,
    bound: ClockBound,
) -> Vec<String> {
    let ended_ms = history.unix_ms(operation.ended_ns);
    let mut problems = Vec::new();
    for (id, hold) in holds.iter().filter(|(_, hold)| hold.owner == owner) {
        let is_listed = listed.contains(id);
        let sure = hold.held.is_some_and(|(told_ns, deadline_ms)| {
            told_ns < operation.invoked_ns
                && ended_ms + bound.0 < deadline_ms
                && operation.ended_ns < hold.ended_from_ns
        });
        if sure && !is_listed {
            problems.push(format!("{id} is held for {owner} and not listed"));
        }
        if is_listed && hold.released_ns < operation.invoked_ns {
            problems.push(format!("{id} of {owner} holds nothing any more and is listed"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};
    use crate::history::{Owned, nameless};

    fn listed(ids: &[&str], release_first: bool) -> bool {
        let owner = "ann".to_owned();
        let mut reserve = reserve("a", &[("mug", 1)], 900_000);
        if let Action::Reserve { owner, .. } = &mut reserve {
            owner.push_str("ann");
        }
        let mut rows = vec![(0, 1, reserve, held(&[("mug", 1)]))];
        if release_first {
            rows.push((2, 3, release("a"), reservation("released", &[("mug", [0, 0, 1, 0])])));
        }
        let owned = ids.iter().map(|id| Owned {
            id: (*id).to_owned(),
            owner: owner.clone(),
            held: view("held", &[("mug", [1, 0, 0, 0])]),
        });
        let told = Told::Owned(owned.collect());
        rows.push((4, 5, Action::ListOwned { owner }, done(told)));
        check(&history(rows), ClockBound(500)).broken.is_empty()
    }

    #[test]
    fn a_list_has_what_is_held_and_no_more() {
        assert!(listed(&["a"], false) && listed(&[], true));
        assert!(!listed(&[], false), "a hold is missing");
        assert!(!listed(&["a"], true), "one that is over is listed");
    }

    #[test]
    fn what_was_rejected_may_be_reserved_anew() {
        let owner = || "ann".to_owned();
        let asked = || {
            let mut asked = reserve("a", &[("mug", 1)], 900_000);
            if let Action::Reserve { owner, .. } = &mut asked {
                owner.push_str("ann");
            }
            asked
        };
        let seen = view("held", &[("mug", [1, 0, 0, 0])]);
        let listed = Told::Owned(vec![Owned { id: "a".to_owned(), owner: owner(), held: seen }]);
        let given_up = reservation("rejected", &[("mug", [0, 0, 0, 0])]);
        let rows = vec![
            (0, 3, asked(), unknown()),
            (1, 2, release("a"), given_up),
            (4, 5, asked(), held(&[("mug", 1)])),
            (6, 7, Action::ListOwned { owner: owner() }, done(listed)),
        ];
        assert_eq!(check(&history(rows), ClockBound(500)).broken, []);
    }

    #[test]
    fn a_hold_that_ends_late_is_not_listed_to_end_soon() {
        let told = |ends| {
            let action = Action::ListExpiring { within_ms: 1_000 };
            let list = (4, 5, action, done(Told::Expiring(vec![("a".to_owned(), EPOCH_MS + ends)])));
            let reserved = (0, 1, reserve("a", &[("mug", 1)], 900), held(&[("mug", 1)]));
            check(&history(vec![reserved, list]), ClockBound(500)).broken.is_empty()
        };
        assert!(told(900) && !told(9_000));
    }

    #[test]
    fn what_nobody_reserved_is_not_listed() {
        let told = |ids: &[&str], lost: usize| {
            let ends = ids.iter().map(|id| ((*id).to_owned(), EPOCH_MS + 900));
            let list = (4, 5, Action::ListExpiring { within_ms: 1_000 }, done(Told::Expiring(ends.collect())));
            let lost = (0..lost).map(|number| (0, 1, reserve(&nameless(number), &[("mug", 1)], 900), unknown()));
            check(&history(lost.chain([list]).collect()), ClockBound(500)).broken.is_empty()
        };
        assert!(!told(&["b"], 0), "nobody reserved it");
        assert!(told(&["b"], 1), "its client went away");
        assert!(!told(&["b", "c"], 1), "it reserved one thing");
    }
}
