//! Nothing acknowledged is ever lost or undone (P5): what a client was told is still so at the end. Held units may have
//! gone on to an end of theirs; sold, released and expired units never come back.

use super::Findings;
use crate::history::{Action, Broken, End, Held, History, Told};

/// Looks at every acknowledged reserve and change of a reservation. Says nothing if the end was never read.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let Some(after) = &history.after else { return findings };
    for (place, operation) in history.operations.iter().enumerate() {
        let (End::Done { told, .. }, Some(id)) = (&operation.end, operation.action.reservation()) else { continue };
        findings.looked_at += 1;
        let problem = match (after.reservations.get(id), told) {
            (None, _) => None,
            // A refusal is forgotten after a while.
            (Some(_), Told::Reservation(then)) if matches!(then.state.as_str(), "open" | "rejected") => None,
            (Some(None), _) => Some("is not there any more".to_owned()),
            (Some(Some(now)), Told::Reserved { lines, .. }) => {
                let gone = now.state == "rejected" || now.lines.len() != lines.len();
                gone.then(|| format!("was held and is {}", now.state))
            }
            (Some(Some(now)), Told::Reservation(then)) => undone(then, now),
            (Some(Some(_)), Told::Balance(_)) => None,
        };
        if let Some(problem) = problem {
            let what = format!("reservation {id} {problem}");
            findings.broken.push(Broken::new("P5", "acknowledged", what, around(history, id, place)));
        }
    }
    findings
}

/// What of `then` is not so any more.
fn undone(then: &Held, now: &Held) -> Option<String> {
    for before in &then.lines {
        let Some(line) = now.lines.iter().find(|line| line.sku == before.sku) else {
            return Some(format!("has no line of {} any more", before.sku));
        };
        let fell = [
            ("committed", before.committed, line.committed),
            ("released", before.released, line.released),
            ("expired", before.expired, line.expired),
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
    fn what_was_held_is_known() {
        assert_eq!(check(&ended(None)).broken.len(), 2);
        assert!(!check(&ended(Some(("rejected", [0, 0, 0, 0])))).broken.is_empty());
    }
}
