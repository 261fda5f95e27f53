//! A cart is held whole or not at all, and ends the same way on every line (P4).

use super::Findings;
use crate::history::{Action, Broken, End, Held, History, Line, Told};
use std::collections::{BTreeMap, BTreeSet};

/// Looks at what every reserve was told, and at every reservation as it was shown at any time. `looked_at` counts
/// views.
pub fn check(history: &History) -> Findings {
    let asked = Asked::new(history);
    let mut findings = Findings::default();
    let mut note = |problem: Option<String>, id: &str, around: Vec<usize>| {
        findings.looked_at += 1;
        if let Some(problem) = problem {
            let what = format!("reservation {id} {problem}");
            findings.broken.push(Broken::new("P4", "whole-carts", what, around));
        }
    };
    for (place, operation) in history.operations.iter().enumerate() {
        let (Some(id), End::Done { told, .. }) = (operation.action.reservation(), &operation.end) else { continue };
        match told {
            Told::Reservation(view) => note(asked.problem(id, view), id, vec![place]),
            Told::Reserved { lines, .. } => note(asked.missed(id, lines), id, vec![place]),
            Told::Balance(_) => {}
        }
    }
    for (id, view) in history.after.iter().flat_map(|after| &after.reservations) {
        note(view.as_ref().and_then(|view| asked.problem(id, view)), id, Vec::new());
    }
    findings
}

/// What was asked for.
struct Asked<'a> {
    lines: BTreeMap<&'a str, Vec<Line>>,
    /// Somebody sold or gave back a part, so lines may differ.
    in_part: BTreeSet<&'a str>,
}

impl<'a> Asked<'a> {
    fn new(history: &'a History) -> Self {
        let mut asked = Self { lines: BTreeMap::new(), in_part: BTreeSet::new() };
        for operation in &history.operations {
            match &operation.action {
                Action::Reserve { id, lines, .. } => {
                    let mut lines = lines.clone();
                    lines.sort();
                    asked.lines.insert(id, lines);
                }
                Action::Commit { id, parts, .. } | Action::Release { id, parts, .. } if !parts.is_empty() => {
                    asked.in_part.insert(id);
                }
                _ => {}
            }
        }
        asked
    }

    /// Why a reserve did not get what it asked for.
    fn missed(&self, id: &str, got: &[Line]) -> Option<String> {
        let mut got = got.to_vec();
        got.sort();
        let wanted = self.lines.get(id)?;
        (got != *wanted).then(|| format!("asked for {wanted:?} and got {got:?}"))
    }

    /// Why a view is not that of a whole cart.
    fn problem(&self, id: &str, view: &Held) -> Option<String> {
        let wanted = self.lines.get(id)?;
        let ends = |line: &crate::history::LineState| [line.held, line.committed, line.released, line.expired];
        if matches!(view.state.as_str(), "open" | "rejected") {
            let some = view.lines.iter().any(|line| line.committed > 0);
            return some.then(|| format!("is {} and sold something", view.state));
        }
        let mut shown: Vec<Line> =
            view.lines.iter().map(|line| Line { sku: line.sku.clone(), units: ends(line).iter().sum() }).collect();
        shown.sort();
        if shown != *wanted {
            return Some(format!("asked for {wanted:?} and has {shown:?}"));
        }
        let kinds: BTreeSet<[bool; 4]> = view.lines.iter().map(|line| ends(line).map(|units| units > 0)).collect();
        let mixed = kinds.len() > 1 || kinds.iter().any(|kinds| kinds.iter().filter(|some| **some).count() > 1);
        (mixed && !self.in_part.contains(id)).then(|| format!("has lines with different ends: {:?}", view.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};

    const BOTH: &[(&str, u64)] = &[("cup", 1), ("mug", 2)];

    fn told(state: &str, cup: [u64; 4], mug: [u64; 4]) -> History {
        history(vec![
            (0, 1, reserve("a", BOTH, 1_000), held(BOTH)),
            (2, 3, commit("a"), reservation(state, &[("cup", cup), ("mug", mug)])),
        ])
    }

    #[test]
    fn a_whole_cart_is_one() {
        assert!(check(&told("committed", [0, 1, 0, 0], [0, 2, 0, 0])).broken.is_empty());
        assert!(check(&told("expired", [0, 0, 0, 1], [0, 0, 0, 2])).broken.is_empty());
    }

    #[test]
    fn half_a_cart_is_found() {
        assert_eq!(check(&told("committed", [0, 1, 0, 0], [0, 0, 2, 0])).broken.len(), 1, "ends differ");
        assert_eq!(check(&told("committed", [0, 1, 0, 0], [0, 1, 0, 0])).broken.len(), 1, "a unit is missing");
        let half = history(vec![(0, 1, reserve("a", BOTH, 1_000), held(&[("cup", 1)]))]);
        assert_eq!(check(&half).broken.len(), 1, "a line is missing");
    }
}
