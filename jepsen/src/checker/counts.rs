//! What was counted is what is there (P2): a count of this moment, or a setting, makes on hand what it says; one of a moment
//! past changes it by what was counted less what the books said then, but for what other counts corrected since, and by
//! nothing if a count of a later moment came first; and what left beyond that is told. Nothing is clamped in silence.

use super::Findings;
use crate::history::{Action, Broken, End, History, Place, Told};
use std::collections::BTreeMap;

/// A count that was done.
struct Counted {
    place: Place,
    /// The moment it tells of, if that was past.
    seen: Option<Place>,
    /// What it changed. What it would have changed beyond was not there by then, and is no correction.
    corrected: i64,
}

/// Looks at every count and setting that was done. `looked_at` counts them; those of a past moment are undecided where a
/// count whose end nobody knows may have corrected the same pool.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let (counts, unknown) = counts(history);
    for (number, operation) in history.operations.iter().enumerate() {
        let End::Done { told: Told::Corrected { balance, delta, beyond, .. }, place, .. } = &operation.end else {
            continue;
        };
        findings.looked_at += 1;
        let corrected = *delta - signed(*beyond);
        let problem = match &operation.action {
            Action::Set { units, .. } | Action::Count { units, seen: None, .. } => {
                let wrong = balance.on_hand != *units || *beyond > 0;
                wrong.then(|| format!("{units} were there, and the books say {} and {beyond} beyond", balance.on_hand))
            }
            Action::Count { sku, units, seen: Some((seen, books)), .. } => {
                if unknown.contains(&sku.as_str()) {
                    findings.undecided += 1;
                    continue;
                }
                let others: Vec<_> = counts.get(sku.as_str()).into_iter().flatten().collect();
                let others: Vec<_> = others.into_iter().filter(|other| since(other, seen, place)).collect();
                let before: i64 = others.iter().map(|other| other.corrected).sum();
                let wanted = signed(*units) - signed(*books) - before;
                // Which of two moments without a movement between them is the later one nobody can see from here.
                let late = others.iter().any(|other| other.seen.is_none_or(|theirs| at(&theirs) > at(seen)));
                let fits = corrected == wanted || late && corrected == 0;
                (!fits).then(|| {
                    format!(
                        "{units} were there when the books said {books}, other counts corrected {before} since, and this \
                         one {corrected}"
                    )
                })
            }
            _ => None,
        };
        let clamped = *beyond > 0 && balance.on_hand > 0;
        let problem = problem.or_else(|| clamped.then(|| format!("{beyond} beyond what is not nothing: {balance:?}")));
        if let Some(problem) = problem {
            let what = format!("{} of {}: {problem}", operation.action.name(), balance.sku);
            findings.broken.push(Broken::new("P2", "counts", what, vec![number]));
        }
    }
    findings
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// Counts that were done, each once, by pool; and pools with counts of which nobody knows.
fn counts(history: &History) -> (BTreeMap<&str, Vec<Counted>>, Vec<&str>) {
    let mut done: BTreeMap<&str, (&str, Counted)> = BTreeMap::new();
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    for operation in &history.operations {
        let Action::Count { id, sku, seen, .. } = &operation.action else { continue };
        match &operation.end {
            End::Done { told: Told::Corrected { delta, .. }, place, .. } => {
                let seen = seen.map(|(seen, _)| seen);
                done.entry(id).or_insert((sku, Counted { place: *place, seen, corrected: *delta }));
            }
            End::Unknown { .. } => drop(open.insert(id, sku)),
            _ => {}
        }
    }
    let unknown = open.into_iter().filter(|(id, _)| !done.contains_key(id)).map(|(_, sku)| sku).collect();
    let mut counts: BTreeMap<&str, Vec<Counted>> = BTreeMap::new();
    for (sku, counted) in done.into_values() {
        counts.entry(sku).or_default().push(counted);
    }
    (counts, unknown)
}

/// Whether another count corrected the pool between a moment and a count of that moment. A count whose look-up did not know
/// of it was refused.
fn since(other: &Counted, seen: &Place, own: &Place) -> bool {
    at(&other.place) > at(seen) && (at(&other.place), other.place.ordinal) < (at(own), own.ordinal)
}

fn at(place: &Place) -> (u32, u64) {
    (place.epoch, place.index)
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};

    fn place(index: u64) -> Place {
        Place { shard: 1, epoch: 1, index, ordinal: 0 }
    }

    fn count(id: &str, at_ms: u64, units: u64, seen: Option<(u64, u64)>, told: (u64, i64, u64), index: u64) -> Row {
        let seen = seen.map(|(index, books)| (place(index), books));
        let action = Action::Count { id: id.to_owned(), sku: "mug".to_owned(), units, seen };
        let (on_hand, delta, beyond) = told;
        let told = Told::Corrected { balance: balance("mug", on_hand, 0), delta, beyond, shortage: None };
        (at_ms, at_ms + 1, action, End::Done { told, place: place(index), replayed: false })
    }

    type Row = (u64, u64, Action, End);

    fn is_right(rows: Vec<Row>) -> bool {
        check(&history(rows)).broken.is_empty()
    }

    #[test]
    fn a_count_of_now_is_what_is_there() {
        assert!(is_right(vec![count("a", 1, 5, None, (5, -2, 0), 3)]));
        assert!(!is_right(vec![count("a", 1, 5, None, (6, -1, 0), 3)]));
    }

    #[test]
    fn a_count_of_a_moment_past_corrects_by_what_was_missing_then() {
        assert!(is_right(vec![count("a", 1, 5, Some((2, 7)), (1, -2, 0), 9)]));
        assert!(!is_right(vec![count("a", 1, 5, Some((2, 7)), (5, 2, 0), 9)]), "sales since were forgotten");
        assert!(is_right(vec![count("a", 1, 2, Some((2, 6)), (0, -1, 3), 9)]), "beyond is told");
        assert!(!is_right(vec![count("a", 1, 2, Some((2, 6)), (0, -1, 0), 9)]), "clamped in silence");
    }

    #[test]
    fn nothing_is_corrected_twice() {
        let two = |delta, on_hand| {
            is_right(vec![
                count("a", 1, 5, Some((2, 7)), (5, -2, 0), 4),
                count("b", 5, 5, Some((2, 7)), (on_hand, delta, 0), 9),
            ])
        };
        assert!(two(0, 5));
        assert!(!two(-2, 3));
    }

    #[test]
    fn a_count_of_a_moment_before_another_one_changes_nothing() {
        let late = |delta, on_hand| {
            is_right(vec![
                count("a", 1, 5, None, (5, -2, 0), 4),
                count("b", 5, 7, Some((2, 7)), (on_hand, delta, 0), 9),
            ])
        };
        assert!(late(0, 5));
        assert!(!late(-1, 4), "something else");
        let first = count("a", 1, 5, Some((2, 7)), (5, -2, 0), 4);
        assert!(!is_right(vec![first, count("b", 5, 6, Some((3, 7)), (5, 0, 0), 9)]), "the newer one holds");
    }

    #[test]
    fn a_count_nobody_knows_of_leaves_it_undecided() {
        let mut open = count("a", 1, 5, Some((2, 7)), (5, -2, 0), 4);
        open.3 = unknown();
        let found = check(&history(vec![open, count("b", 5, 5, Some((2, 7)), (3, -2, 0), 9)]));
        assert_eq!((found.broken.len(), found.undecided), (0, 1));
    }
}
