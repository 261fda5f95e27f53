//! Whatever is short is told, with who is at risk (P1).

use super::Findings;
use crate::history::{Action, Balance, Broken, End, History, Operation, Shortage, Told};
use std::collections::BTreeSet;

/// Looks at every balance that was told with the shortages beside it, and at every list of them. `looked_at` counts both.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let kept = kept(history);
    for (place, operation) in history.operations.iter().enumerate() {
        let problem = match operation.told() {
            Some(Told::Corrected { balance, shortage, .. }) => beside(balance, shortage.as_ref()),
            Some(Told::Balance(balance)) if balance.told_short.is_some() => listed(balance),
            Some(Told::Seen { of, .. }) => match &**of {
                Told::Balance(balance) if balance.told_short.is_some() => listed(balance),
                _ => continue,
            },
            Some(Told::Short(lines)) => lines
                .iter()
                .find(|line| line.units == 0 || !kept.contains(line.sku.as_str()))
                .map(|line| format!("{line:?} is listed as short, and nobody took anything off its books")),
            _ => continue,
        };
        findings.looked_at += 1;
        if let Some(problem) = problem {
            findings.broken.push(Broken::new("P1", "shortages", problem, vec![place]));
        }
    }
    findings
}

/// Pools in which reality may have been found below the books.
fn kept(history: &History) -> BTreeSet<&str> {
    let tried = history.operations.iter().filter(|operation| !matches!(operation.end, End::Refused { .. }));
    let lowers = |operation: &&Operation| match &operation.action {
        Action::Adjust { delta, .. } => *delta < 0,
        Action::Set { .. } | Action::Count { .. } | Action::Quarantine { .. } => true,
        _ => false,
    };
    tried.filter(lowers).flat_map(|operation| operation.action.pools()).collect()
}

fn listed(balance: &Balance) -> Option<String> {
    let wrong = balance.told_short != Some(balance.short);
    wrong.then(|| format!("{} short of {}, told beside it {:?}", balance.short, balance.sku, balance.told_short))
}

fn beside(balance: &Balance, told: Option<&Shortage>) -> Option<String> {
    let Some(told) = told else {
        return (balance.short > 0)
            .then(|| format!("{} of {} are short, and nobody is told", balance.short, balance.sku));
    };
    let promised = balance.held + balance.committed;
    let ids: BTreeSet<&str> = told.newest.iter().map(|(id, _)| id.as_str()).collect();
    // The last of the newest holds is named because those before it did not make up all that is short.
    let but_last: u64 = told.newest.iter().rev().skip(1).map(|(_, held)| held).sum();
    let fits = told.units == balance.short
        && told.units > 0
        && told.at_risk == told.units.min(promised)
        && ids.len() == told.newest.len()
        && told.newest.iter().all(|(_, held)| *held > 0)
        && (told.newest.is_empty() || but_last < told.units);
    (!fits).then(|| format!("the shortage does not fit the balance: {told:?}, {balance:?}"))
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};

    fn counted(shortage: Option<Shortage>) -> bool {
        let action = Action::Count { id: "c".to_owned(), sku: "mug".to_owned(), units: 1, seen: None };
        let balance = Balance { on_hand: 1, held: 3, short: 2, available: 0, ..balance("mug", 3, 3) };
        let told = Told::Corrected { balance, delta: -2, beyond: 0, shortage };
        check(&history(vec![(0, 1, action, done(told))])).broken.is_empty()
    }

    fn told(units: u64, newest: &[(&str, u64)]) -> Option<Shortage> {
        let newest = newest.iter().map(|(id, held)| ((*id).to_owned(), *held)).collect();
        Some(Shortage { units, at_risk: units, newest })
    }

    #[test]
    fn a_shortage_is_told_with_who_is_at_risk() {
        assert!(counted(told(2, &[("a", 1), ("b", 2)])));
        assert!(!counted(None), "not told at all");
        assert!(!counted(told(1, &[("a", 1)])), "too few");
        assert!(!counted(told(2, &[("a", 2), ("b", 1)])), "too many are at risk");
    }

    #[test]
    fn a_list_names_nothing_that_nobody_found_short() {
        let list = |told| (4, 5, Action::ListShortages, done(Told::Short(told)));
        let adjusted = |delta| {
            let action = Action::Adjust { id: "a".to_owned(), sku: "mug".to_owned(), delta, expected: None };
            (0, 1, action, done(Told::Balance(balance("mug", 1, 0))))
        };
        let right = |delta| check(&history(vec![adjusted(delta), list(vec![line("mug", 2)])])).broken.is_empty();
        assert!(right(-2) && !right(2));
    }
}
