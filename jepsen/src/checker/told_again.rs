//! A refusal that stands in the log is told again to whoever asks under the same id (P6), as long as it is remembered:
//! until the request it answered can't arrive any more. Else a delayed first sending could still take effect after its
//! caller was told that nothing happened.
//!
//! Only whoever made the history knows for how long a refusal is surely remembered: as long as requests may take effect,
//! less what clocks may differ by.

use super::Findings;
use crate::history::{Action, Broken, End, History, Operation};
use std::collections::BTreeMap;

/// Looks at every reserve that was sent after one of the same id had been refused for lack of units, and that ended within
/// `remembered_ms` after that one was sent. `looked_at` counts them.
pub fn check(history: &History, remembered_ms: u64) -> Findings {
    let mut findings = Findings::default();
    let mut sendings: BTreeMap<&str, Vec<(usize, &Operation)>> = BTreeMap::new();
    for (place, operation) in history.operations.iter().enumerate() {
        if let Action::Reserve { id, .. } = &operation.action {
            sendings.entry(id).or_default().push((place, operation));
        }
    }
    for (id, sendings) in &sendings {
        for (first_place, first) in sendings.iter().filter(|(_, first)| is_remembered(&first.end)) {
            let until_ns = first.invoked_ns + remembered_ms * 1_000_000;
            let later = |(_, later): &&(usize, &Operation)| {
                later.invoked_ns > first.ended_ns && later.ended_ns <= until_ns && !later.is_unknown()
            };
            for (place, later) in sendings.iter().filter(later) {
                findings.looked_at += 1;
                if matches!(later.end, End::Done { .. }) {
                    let what =
                        format!("reservation {id} was refused through the log, and done when it was asked again");
                    findings.broken.push(Broken::new("P6", "told-again", what, vec![*first_place, *place]));
                }
            }
        }
    }
    findings
}

/// A refusal by the log that is not judged anew while it is remembered.
fn is_remembered(end: &End) -> bool {
    matches!(end, End::Refused { code, logged: true, .. } if code == "INSUFFICIENT_STOCK")
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};

    fn again(first: End, sent_ms: u64, ended_ms: u64) -> Findings {
        let ask = || reserve("a", &[("mug", 3)], 1_000);
        let second = (sent_ms, ended_ms, ask(), held(&[("mug", 3)]));
        check(&history(vec![(0, 5, ask(), first), second]), 1_000)
    }

    #[test]
    fn a_refusal_that_is_forgotten_too_early_is_found() {
        let short = || refused("INSUFFICIENT_STOCK", Vec::new());
        assert_eq!(again(short(), 10, 990).broken[0].around, [0, 1]);
        assert!(again(short(), 10, 1_010).broken.is_empty(), "it may be forgotten by then");
        assert!(again(short(), 3, 20).broken.is_empty(), "sent before the refusal was told");
        assert!(again(refused("CONTENDED", Vec::new()), 10, 20).broken.is_empty(), "judged anew at the next try");
    }

    #[test]
    fn a_refusal_that_does_not_stand_in_the_log_is_not_remembered() {
        let read_off =
            End::Refused { code: "INSUFFICIENT_STOCK".to_owned(), logged: false, short: Vec::new(), state: None };
        assert!(again(read_off, 10, 20).broken.is_empty());
    }
}
