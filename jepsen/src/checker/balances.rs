//! Every balance that anyone is told adds up (P1, P2): what is on hand or known to be short is available, held, or set
//! apart, and no more is held or set apart than that. One answer is enough to see it.

use super::Findings;
use crate::history::{Balance, Broken, History, Told};

/// Looks at every balance that was told. `looked_at` counts them.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    for (place, operation) in history.operations.iter().enumerate() {
        let Some(Told::Balance(told)) = operation.told() else { continue };
        findings.looked_at += 1;
        if let Some((promise, problem)) = problem(told) {
            findings.broken.push(Broken::new(promise, "balances", problem, vec![place]));
        }
    }
    findings
}

/// Which promise a balance breaks, and how.
fn problem(told: &Balance) -> Option<(&'static str, String)> {
    let there = told.on_hand + told.short;
    let taken = told.held + told.committed + told.unavailable;
    if taken > there {
        return Some(("P1", format!("{taken} units are held or set apart of {there}: {told:?}")));
    }
    let sum = told.available + taken;
    (sum != there)
        .then(|| ("P2", format!("{there} units are on hand or short, and the others add up to {sum}: {told:?}")))
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};

    fn told(change: impl FnOnce(&mut Balance)) -> Findings {
        let mut balance = balance("mug", 10, 4);
        change(&mut balance);
        check(&history(vec![(0, 1, read("mug"), done(Told::Balance(balance)))]))
    }

    #[test]
    fn a_balance_that_adds_up_is_one() {
        assert!(told(|_| {}).broken.is_empty());
        assert!(
            told(|told| (told.available, told.held, told.short) = (0, 12, 2)).broken.is_empty(),
            "known to be short"
        );
    }

    #[test]
    fn a_balance_that_does_not_add_up_is_found() {
        assert_eq!(told(|told| told.available = 7).broken[0].promise, "P2");
        assert_eq!(told(|told| told.held = 3).broken[0].promise, "P2");
        assert_eq!(told(|told| (told.available, told.held) = (0, 11)).broken[0].promise, "P1");
    }
}
