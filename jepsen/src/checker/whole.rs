//! A cart is held whole or not at all, and ends the same way on every line (P4).

use super::Findings;
use crate::history::{Action, Broken, End, Held, History, Line, LineState, Told};
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
        let End::Done { told, .. } = &operation.end else { continue };
        if let Told::Owned(owned) = told {
            owned.iter().for_each(|owned| note(asked.problem(&owned.id, &owned.held), &owned.id, vec![place]));
        }
        let Some(id) = operation.action.reservation() else { continue };
        match told {
            Told::Reservation(view) => note(asked.problem(id, view), id, vec![place]),
            Told::Reserved { lines, .. } => note(asked.missed(id, lines), id, vec![place]),
            Told::Seen { of, .. } => {
                if let Told::Reservation(view) = &**of {
                    note(asked.problem(id, view), id, vec![place]);
                }
            }
            _ => {}
        }
    }
    for (id, view) in history.after.iter().flat_map(|after| &after.reservations) {
        note(view.as_ref().and_then(|view| asked.problem(id, view)), id, Vec::new());
    }
    findings
}

/// A set of lines that somebody asked for.
struct Set {
    lines: Vec<Line>,
    /// What is there was enough, but no less than this.
    least: Option<Vec<Line>>,
}

/// What was asked for.
struct Asked<'a> {
    /// By a reserve, and by each replace.
    sets: BTreeMap<&'a str, Vec<Set>>,
    /// Somebody sold or gave back a part, so lines may differ.
    in_part: BTreeSet<&'a str>,
}

impl<'a> Asked<'a> {
    fn new(history: &'a History) -> Self {
        let mut asked = Self { sets: BTreeMap::new(), in_part: BTreeSet::new() };
        for operation in &history.operations {
            match &operation.action {
                Action::Reserve { id, lines, least, .. } => {
                    let set = Set { lines: sorted(lines), least: least.clone() };
                    let sets = asked.sets.entry(id).or_default();
                    if !sets.iter().any(|known| known.lines == set.lines && known.least == set.least) {
                        sets.insert(0, set);
                    }
                }
                Action::Replace { id, lines, .. } if !matches!(operation.end, End::Refused { .. }) => {
                    asked.sets.entry(id).or_default().push(Set { lines: sorted(lines), least: None });
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
        let first = self.sets.get(id)?.first()?;
        let got = sorted(got);
        (!first.allows(&got)).then(|| format!("asked for {:?} and got {got:?}", first.lines))
    }

    /// Why a view is not that of a whole cart.
    fn problem(&self, id: &str, view: &Held) -> Option<String> {
        let sets = self.sets.get(id)?;
        let ends = |line: &LineState| [line.held, line.committed, line.released, line.expired];
        if matches!(view.state.as_str(), "open" | "rejected") {
            let some = view.lines.iter().any(|line| line.committed > 0);
            return some.then(|| format!("is {} and sold something", view.state));
        }
        let shown = view.lines.iter().map(|line| Line { sku: line.sku.clone(), units: ends(line).iter().sum() });
        let shown = sorted(&shown.collect::<Vec<_>>());
        if !sets.iter().any(|set| set.allows(&shown)) {
            let wanted: Vec<_> = sets.iter().map(|set| &set.lines).collect();
            return Some(format!("asked for {wanted:?} and has {shown:?}"));
        }
        if let Some(line) = view.lines.iter().find(|line| !is_possible(line)) {
            return Some(format!("has more after its sale than was sold: {line:?}"));
        }
        let some = view.lines.iter().filter(|line| ends(line).iter().any(|units| *units > 0));
        let kinds: BTreeSet<[bool; 4]> = some.map(|line| ends(line).map(|units| units > 0)).collect();
        let mixed = kinds.len() > 1 || kinds.iter().any(|kinds| kinds.iter().filter(|some| **some).count() > 1);
        (mixed && !self.in_part.contains(id)).then(|| format!("has lines with different ends: {:?}", view.lines))
    }
}

/// What left the house or was taken back was sold before, and what came back had left the house or was never to.
fn is_possible(line: &LineState) -> bool {
    let back = line.returned + line.apart;
    line.shipped + line.cancelled <= line.committed && back + line.cancelled <= line.committed
}

impl Set {
    /// Whether these lines are what was asked for, or as much of it as was to be had.
    fn allows(&self, got: &[Line]) -> bool {
        let Some(least) = &self.least else { return got == self.lines };
        let units = |of: &[Line], sku: &str| of.iter().find(|line| line.sku == sku).map_or(0, |line| line.units);
        let fits = self.lines.iter().all(|line| units(got, &line.sku) <= line.units);
        let enough = least.iter().all(|line| units(got, &line.sku) >= line.units);
        let known = got.iter().all(|line| self.lines.iter().any(|asked| asked.sku == line.sku));
        fits && enough && known && got.iter().any(|line| line.units > 0)
    }
}

fn sorted(lines: &[Line]) -> Vec<Line> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
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
