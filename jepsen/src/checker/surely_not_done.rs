//! What was told to have surely had no effect has none (P10): a reserve that nobody was told was done, and whose every
//! sending was refused, is held or sold by nobody at the end.

use super::Findings;
use crate::history::{Action, Broken, End, History};
use std::collections::BTreeMap;

/// Looks at every reserve that was refused and never done or unknown. Says nothing if the end was never read.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let Some(after) = &history.after else { return findings };
    let mut refused: BTreeMap<&str, Option<Vec<usize>>> = BTreeMap::new();
    for (place, operation) in history.operations.iter().enumerate() {
        let Action::Reserve { id, .. } = &operation.action else { continue };
        let places = refused.entry(id).or_insert_with(|| Some(Vec::new()));
        match (&operation.end, &mut *places) {
            (End::Refused { .. }, Some(places)) => places.push(place),
            (End::Refused { .. }, None) => {}
            (End::Done { .. } | End::Unknown { .. }, _) => *places = None,
        }
    }
    for (id, places) in refused {
        let (Some(places), Some(read)) = (places, after.reservations.get(id)) else { continue };
        findings.looked_at += 1;
        let Some(view) = read else { continue };
        if !matches!(view.state.as_str(), "rejected" | "open") {
            let what = format!("reservation {id} was refused for sure and is {}", view.state);
            findings.broken.push(Broken::new("P10", "surely-not-done", what, places));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};
    use crate::history::After;

    fn ended(end: End, state: &str) -> Findings {
        let mut history = history(vec![(0, 1, reserve("a", &[("mug", 3)], 1_000), end)]);
        let now = Some(view(state, &[("mug", [0, 3, 0, 0])]));
        history.after = Some(After { reservations: [("a".to_owned(), now)].into(), ..After::default() });
        check(&history)
    }

    #[test]
    fn a_refused_reserve_that_sold_something_is_found() {
        assert_eq!(ended(refused("LATE", Vec::new()), "committed").broken.len(), 1);
        assert!(ended(refused("LATE", Vec::new()), "rejected").broken.is_empty());
        assert!(ended(unknown(), "committed").broken.is_empty());
    }
}
