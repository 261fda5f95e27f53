//! Answers stand where they must (P3): whoever asks after something was answered is told of a moment not before it; a read of
//! level session is not older than what its client has seen, a bounded one not older than it says; and what is told of
//! one moment of a pool is the same whoever tells it.
//!
//! This needs no search. It says nothing of refusals, which have no place, and nothing of answers that are told again.

use super::Findings;
use crate::history::{Action, Balance, Broken, End, History, Place, Told, Weak};
use std::{cmp::Reverse, collections::BTreeMap};

/// Where in a shard.
type At = (u32, u64);

fn at(place: &Place) -> At {
    (place.epoch, place.index)
}

/// An answer that stands somewhere.
struct Answer<'a> {
    operation: usize,
    place: Place,
    action: &'a Action,
    told: &'a Told,
}

/// Looks at every answer with a place of its own. `looked_at` counts them.
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let answers: Vec<Answer<'_>> = answers(history).collect();
    findings.looked_at = answers.len() as u64;
    let known = Known::new(history, &answers);
    for answer in &answers {
        let operation = &history.operations[answer.operation];
        let problem = match (answer.action, answer.told) {
            (action, Told::Seen { age_ms, .. }) => match session(action) {
                Some(seen) => is_behind(&answer.place, seen).map(|seen| (seen, None)),
                None => {
                    let since_ns = operation.invoked_ns.saturating_sub(age_ms * 1_000_000);
                    known.older(answer, since_ns)
                }
            },
            _ => known.older(answer, operation.invoked_ns),
        };
        if let Some((than, by)) = problem {
            let what = format!(
                "{} is answered as of entry {:?} of shard {}, and {than:?} had been answered before",
                answer.action.name(),
                at(&answer.place),
                answer.place.shard
            );
            let around = by.into_iter().chain([answer.operation]).collect();
            findings.broken.push(Broken::new("P3", "fresh", what, around));
        }
    }
    findings.broken.extend(pools(&answers));
    findings
}

/// What of a client's own knowledge an answer is behind of.
fn is_behind(place: &Place, seen: &[Place]) -> Option<At> {
    let own = seen.iter().filter(|seen| seen.shard == place.shard).map(at).max()?;
    (at(place) < own).then_some(own)
}

/// What the client of a session read has seen.
fn session(action: &Action) -> Option<&[Place]> {
    match action {
        Action::SeeStock { seen, level: Weak::Session, .. }
        | Action::SeeReservation { seen, level: Weak::Session, .. } => Some(seen),
        _ => None,
    }
}

/// Answers that stand where their operation took effect. What several shards told together has no one place, and a whole
/// end that was reached by another stands where that one did.
fn answers(history: &History) -> impl Iterator<Item = Answer<'_>> {
    history.operations.iter().enumerate().filter_map(|(operation, of)| match &of.end {
        End::Done { told, place, replayed: false } => {
            let gathered = matches!(told, Told::Owned(_) | Told::Short(_) | Told::Expiring(_) | Told::Tried(_));
            (!gathered).then_some(Answer { operation, place: *place, action: &of.action, told })
        }
        _ => None,
    })
}

/// Of each shard, in the order of time: the furthest that anyone had been told by then, and by which operation.
struct Known(BTreeMap<u32, Vec<(u64, At, usize)>>);

impl Known {
    fn new(history: &History, answers: &[Answer<'_>]) -> Self {
        let mut shards: BTreeMap<u32, Vec<(u64, At, usize)>> = BTreeMap::new();
        for answer in answers {
            let ended_ns = history.operations[answer.operation].ended_ns;
            shards.entry(answer.place.shard).or_default().push((ended_ns, at(&answer.place), answer.operation));
        }
        for told in shards.values_mut() {
            told.sort_unstable();
            for place in 1..told.len() {
                if told[place].1 < told[place - 1].1 {
                    (told[place].1, told[place].2) = (told[place - 1].1, told[place - 1].2);
                }
            }
        }
        Self(shards)
    }

    /// What had been told before that time and lies behind that answer.
    fn older(&self, answer: &Answer<'_>, before_ns: u64) -> Option<(At, Option<usize>)> {
        let told = self.0.get(&answer.place.shard)?;
        let count = told.partition_point(|(ended_ns, ..)| *ended_ns < before_ns);
        let (_, furthest, by) = told.get(count.checked_sub(1)?)?;
        (at(&answer.place) < *furthest).then_some((*furthest, Some(*by)))
    }
}

/// Units that an action brings in.
fn brings(action: &Action) -> u64 {
    match action {
        Action::Receive { line, .. } | Action::ReceiveExpected { line, .. } => line.units,
        _ => 0,
    }
}

/// A balance that an answer showed: as of which entry, whether a read showed it, and in which answer.
type Shown<'a> = (At, bool, &'a Balance, &'a Answer<'a>);

/// What came in is the same in every answer as of one entry, never less as of a later one, and more by each receipt.
fn pools(answers: &[Answer<'_>]) -> Vec<Broken> {
    let mut pools: BTreeMap<(u32, &str), Vec<Shown<'_>>> = BTreeMap::new();
    for answer in answers {
        let of = match answer.told {
            Told::Seen { of, .. } => of,
            told => told,
        };
        // A read sees the whole entry that it stands at.
        let reads = !answer.action.is_effectful();
        for balance in of.balances() {
            let known = pools.entry((answer.place.shard, &balance.sku)).or_default();
            known.push((at(&answer.place), reads, balance, answer));
        }
    }
    let mut broken = Vec::new();
    for ((_, pool), mut told) in pools {
        // Of changes in one entry, what came in says which was first; one that brought nothing shows what came before it.
        told.sort_by_key(|(at, reads, balance, answer)| {
            (*at, *reads, balance.received, Reverse(brings(answer.action)), answer.operation)
        });
        for pair in told.windows(2) {
            let [(at, reads, one, first), (next, _, other, second)] = pair else { continue };
            let differs = at == next && *reads && books(one) != books(other);
            if one.received + brings(second.action) > other.received || differs {
                let what = format!("{pool} as of entry {at:?} is {one:?}, and as of entry {next:?} {other:?}");
                broken.push(Broken::new("P3", "fresh", what, vec![first.operation, second.operation]));
            }
        }
    }
    broken
}

/// What does not change by time alone.
fn books(told: &Balance) -> [u64; 6] {
    [told.on_hand, told.committed, told.unavailable, told.received, told.sold, told.in_transit]
}

#[cfg(test)]
mod tests {
    use super::{super::tell::*, *};

    fn place(index: u64) -> Place {
        Place { shard: 1, epoch: 1, index, ordinal: 0 }
    }

    fn at_index(end: End, index: u64) -> End {
        let End::Done { told, replayed, .. } = end else { return end };
        End::Done { told, place: place(index), replayed }
    }

    fn told(units: u64) -> Told {
        Told::Balance(balance("mug", units, 0))
    }

    fn received(at_ms: u64, id: &str, on_hand: u64, index: u64) -> (u64, u64, Action, End) {
        (at_ms, at_ms + 1, receive(id, "mug", 1), at_index(done(told(on_hand)), index))
    }

    fn weak(at_ms: u64, level: Weak, seen: &[u64], age_ms: u64, units: u64, index: u64) -> (u64, u64, Action, End) {
        let seen = seen.iter().map(|index| place(*index)).collect();
        let of = Box::new(told(units));
        let end = at_index(done(Told::Seen { age_ms, of }), index);
        (at_ms, at_ms + 1, Action::SeeStock { sku: "mug".to_owned(), level, seen }, end)
    }

    fn found(operations: Vec<(u64, u64, Action, End)>) -> usize {
        check(&history(operations)).broken.len()
    }

    #[test]
    fn an_answer_from_before_what_was_answered_is_found() {
        let read = |index, units| (4, 5, read("mug"), at_index(done(told(units)), index));
        assert_eq!(found(vec![received(1, "a", 1, 7), read(7, 1)]), 0);
        assert_eq!(found(vec![received(1, "a", 1, 7), read(6, 0)]), 1);
        let at_once = vec![received(1, "a", 1, 7), (1, 5, Action::ReadStock { sku: "mug".to_owned() }, read(6, 0).3)];
        assert_eq!(found(at_once), 0, "both went on at the same time");
    }

    #[test]
    fn a_session_read_is_not_older_than_its_token() {
        let told = |seen: &[u64], index, units| {
            found(vec![received(1, "a", 1, 7), weak(9, Weak::Session, seen, 0, units, index)])
        };
        assert_eq!(told(&[7], 7, 1), 0);
        assert_eq!(told(&[7], 6, 0), 1);
        assert_eq!(told(&[], 6, 0), 0, "who has seen nothing may see what is old");
    }

    #[test]
    fn a_bounded_read_is_not_older_than_it_says() {
        let told = |age_ms| found(vec![received(1, "a", 1, 7), weak(9_000, Weak::Bounded, &[7], age_ms, 0, 6)]);
        assert_eq!(told(8_998), 0);
        assert_eq!(told(8_997), 1);
    }

    #[test]
    fn one_moment_is_the_same_for_everyone() {
        let told = |units, index| {
            found(vec![received(1, "a", 1, 7), received(2, "b", 2, 9), weak(3, Weak::Session, &[], 0, units, index)])
        };
        assert_eq!(told(1, 8), 0);
        assert_eq!(told(2, 8), 1, "what was not there yet");
        assert_eq!(told(1, 9), 1, "what was there already");
    }

    #[test]
    fn changes_of_one_entry_may_be_told_in_any_order() {
        let adjusted = |brought: u64| {
            let action = Action::Adjust { id: "x".to_owned(), sku: "mug".to_owned(), delta: 3, expected: None };
            let now = Balance { on_hand: brought + 3, available: brought + 3, ..balance("mug", brought, 0) };
            (1, 3, action, at_index(done(Told::Balance(now)), 9))
        };
        let both = |brought| found(vec![received(0, "a", 1, 7), adjusted(brought), received(2, "b", 2, 9)]);
        assert_eq!((both(2), both(1)), (0, 0), "after the receipt or before it");
        assert_eq!(found(vec![received(0, "a", 1, 7), adjusted(1), received(2, "b", 1, 9)]), 1, "it brought nothing");
    }
}
