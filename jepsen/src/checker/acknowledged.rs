//! Nothing acknowledged is ever lost or undone (P5): what a client was told is still so at the end. Held units may have
//! gone on to an end of theirs; sold, released and expired units never come back, but for what a late commit sells, and what
//! a replace gives up for other lines.

use super::Findings;
use crate::history::{Action, Broken, End, Held, History, Told};
use std::collections::BTreeSet;

/// Looks at every acknowledged reserve and change of a reservation. Says nothing if the end was never read.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let Some(after) = &history.after else { return findings };
    let tried = |what: fn(&Action) -> bool| -> BTreeSet<&str> {
        let actions = history.operations.iter().map(|operation| &operation.action);
        actions.filter(|action| what(action)).filter_map(Action::reservation).collect()
    };
    let replaced = tried(|action| matches!(action, Action::Replace { .. }));
    let revived = tried(|action| matches!(action, Action::Commit { revive: true, .. }));
    for (place, operation) in history.operations.iter().enumerate() {
        let (End::Done { told, .. }, Some(id)) = (&operation.end, operation.action.reservation()) else { continue };
        findings.looked_at += 1;
        let problem = match (after.reservations.get(id), told) {
            (None, _) => None,
            // A refusal is forgotten after a while.
            (Some(_), Told::Reservation(then)) if matches!(then.state.as_str(), "open" | "rejected") => None,
            (Some(_), Told::Reservation(then)) if sold_nothing(&operation.action, then) => {
                Some("was told to be sold, and nothing was".to_owned())
            }
            (Some(None), Told::Seen { .. }) => None,
            (Some(None), _) => Some("is not there any more".to_owned()),
            (Some(Some(now)), Told::Reserved { lines, .. }) => {
                let gone = now.state == "rejected" || !replaced.contains(id) && now.lines.len() != lines.len();
                gone.then(|| format!("was held and is {}", now.state))
            }
            (Some(Some(now)), Told::Reservation(then)) => {
                // Only what nothing was sold of can have got other lines.
                let may_differ = replaced.contains(id) && then.lines.iter().all(|line| line.committed == 0);
                if may_differ { None } else { undone(then, now, revived.contains(id)) }
            }
            (Some(Some(_)), _) => None,
        };
        if let Some(problem) = problem {
            let what = format!("reservation {id} {problem}");
            findings.broken.push(Broken::new("P5", "acknowledged", what, around(history, id, place)));
        }
    }
    findings
}

/// Whether this is the answer to a commit that did nothing: it would have been refused.
fn sold_nothing(action: &Action, then: &Held) -> bool {
    matches!(action, Action::Commit { .. }) && then.lines.iter().all(|line| line.committed == 0)
}

/// What of `then` is not so any more.
fn undone(then: &Held, now: &Held, revived: bool) -> Option<String> {
    for before in &then.lines {
        let Some(line) = now.lines.iter().find(|line| line.sku == before.sku) else {
            return Some(format!("has no line of {} any more", before.sku));
        };
        let fell = [
            ("committed", before.committed, line.committed),
            ("released", before.released, line.released),
            (
                "expired",
                before.expired,
                line.expired + if revived { line.committed - before.committed.min(line.committed) } else { 0 },
            ),
            ("shipped", before.shipped, line.shipped),
            ("cancelled", before.cancelled, line.cancelled),
            ("returned", before.returned, line.returned),
            ("set apart", before.apart, line.apart),
        ];
        for (name, was, is) in fell {
            if is < was {
                return Some(format!("had {was} units of {} {name} and has {is}", before.sku));
            }
        }
    }
    None
}

/// The operation, and those after it on the same reservation.
fn around(history: &History, id: &str, place: usize) -> Vec<usize> {
    let on_it = |(_, operation): &(usize, &crate::history::Operation)| {
        operation.action.reservation() == Some(id) && !matches!(operation.action, Action::ReadStock { .. })
    };
    let places = history.operations.iter().enumerate().skip(place).filter(on_it);
    places.map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};
    use crate::history::After;

    fn ended(state: Option<(&str, [u64; 4])>) -> History {
        let mut history = history(vec![
            (0, 1, reserve("a", &[("mug", 3)], 1_000), held(&[("mug", 3)])),
            (2, 3, commit("a"), reservation("committed", &[("mug", [0, 3, 0, 0])])),
        ]);
        let now = state.map(|(state, units)| view(state, &[("mug", units)]));
        history.after = Some(After { reservations: [("a".to_owned(), now)].into(), ..After::default() });
        history
    }

    #[test]
    fn what_was_sold_is_sold() {
        assert!(check(&ended(Some(("committed", [0, 3, 0, 0])))).broken.is_empty());
        assert_eq!(check(&ended(Some(("expired", [0, 0, 0, 3])))).broken.len(), 1);
        assert_eq!(check(&ended(Some(("committed", [0, 2, 1, 0])))).broken.len(), 1);
    }

    #[test]
    fn a_commit_sells_something() {
        let told = |sold: u64| {
            let mut history = history(vec![
                (0, 1, reserve("a", &[("mug", 3)], 1_000), held(&[("mug", 3)])),
                (2, 3, commit("a"), reservation("expired", &[("mug", [0, sold, 0, 3 - sold])])),
            ]);
            let now = view("expired", &[("mug", [0, sold, 0, 3 - sold])]);
            history.after = Some(After { reservations: [("a".to_owned(), Some(now))].into(), ..After::default() });
            check(&history).broken.len()
        };
        assert_eq!((told(1), told(0)), (0, 1));
    }

    #[test]
    fn what_was_held_is_known() {
        assert_eq!(check(&ended(None)).broken.len(), 2);
        assert!(!check(&ended(Some(("rejected", [0, 0, 0, 0])))).broken.is_empty());
    }
}
