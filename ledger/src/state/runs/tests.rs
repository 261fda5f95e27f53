use super::*;
use crate::types::{Bucket, ReservationId, TimeMs};
use std::collections::BTreeSet;

fn due(deadline: u64, number: u64) -> Due {
    Due::new(TimeMs(deadline), ReservationId::hashed(Bucket::new(1).expect("below 16,384"), number))
}

/// Numbers without order, the same each time.
fn draws(seed: u64) -> impl Iterator<Item = u64> {
    let mut random = seed;
    std::iter::from_fn(move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(random >> 33)
    })
}

/// What is promised of runs.
fn check<V: Held>(ours: &Runs<V>) {
    let mut before = None;
    for (key, run) in &ours.earlier {
        assert!(run.first().is_some_and(|first| first >= *key), "{key:?}");
        assert!(before.is_none_or(|before| before < *key), "{key:?} is not after {before:?}");
        before = run.last();
    }
    let (mut before, mut len, mut units) = (None, ours.gathered.len(), ours.gathered_units);
    for run in ours.earlier.values().chain([&ours.latest]) {
        assert!(run.holds.len() <= RUN);
        assert_eq!(run.units, run.holds.iter().map(|(_, held)| held.units()).sum::<u64>());
        for (due, _) in &run.holds {
            assert!(before.is_none_or(|before| before < *due), "{due:?} stands behind {before:?}");
            before = Some(*due);
        }
        (len, units) = (len + run.holds.len(), units + run.units);
    }
    assert_eq!(ours.gathered_units, ours.gathered.iter().map(|(_, held)| held.units()).sum::<u64>());
    assert_eq!((len, units), (ours.len(), ours.units()));
    assert!(ours.earlier.is_empty() || !ours.latest.holds.is_empty());
    assert!(ours.earlier.len() * THIN / 2 <= len, "{} runs of {len} holds", ours.earlier.len());
    assert!(ours.gathered.len() <= GATHERED);
}

/// Adds and removes holds with deadlines below `spread`, and compares with a plain set all the time.
fn compare(count: u64, spread: u64, mut deadline: impl FnMut(u64, u64) -> u64) {
    let (mut ours, mut plain) = (Deadlines::default(), BTreeSet::new());
    let mut random = 7_u64;
    for n in 0..count {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let due = due(deadline(n, random >> 33) % spread, random >> 60);
        assert_eq!(ours.contains(&due), plain.contains(&due));
        if plain.insert(due) {
            ours.add(due, ());
        }
        if random >> 40 & 3 == 0 {
            let place = random >> 35 & 0xffff;
            let from = self::due(deadline(n, place) % spread, place % 16).min(due);
            let from = plain.range(from..).next().copied().unwrap_or(due);
            assert_eq!((ours.remove(&from), ours.remove(&from)), (plain.remove(&from), false));
        }
        if random >> 43 & 7 == 0 {
            let first = ours.first();
            assert_eq!(first, plain.first().copied());
            if let Some(first) = first {
                assert!(ours.contains(&first) && ours.remove(&first) && !ours.contains(&first));
                plain.remove(&first);
            }
        }
        assert_eq!((ours.len(), ours.first()), (plain.len(), plain.first().copied()));
        if n % 97 == 0 {
            check(&ours);
            assert!(ours.from(due).eq(plain.range(due..).copied()));
            assert!(ours.from(Due::first_at(TimeMs(0))).eq(plain.iter().copied()));
            assert!(ours.latest().eq(plain.iter().rev().copied()));
        }
    }
    for due in plain {
        assert!(ours.remove(&due));
    }
    assert!(ours.earlier.is_empty() && ours.first().is_none() && ours.is_empty());
}

#[test]
fn they_are_what_an_ordered_set_is() {
    compare(20_000, u64::MAX, |n, _| n);
    compare(20_000, 50_000, |_, random| random);
    compare(5_000, 40, |_, random| random);
    compare(5_000, u64::MAX, |n, _| 1_000_000 - n);
    compare(20_000, u64::MAX, |n, random| n + if random & 1 == 0 { 600 } else { 0 });
}

#[test]
fn bursts_around_a_few_that_are_there_are_put_in_order() {
    let mut draws = draws(11);
    let mut draw = |below: u64| draws.next().expect("no end") % below;
    for round in 0..400 {
        let (mut ours, mut plain) = (Deadlines::default(), BTreeSet::new());
        for burst in 0..6 {
            let (from, spread) = [(600_000, 300_000), (0, 900_000), (0, 50_000), (590_000, 60_000)][draw(4) as usize];
            let count = if burst == 0 { 200 + draw(60) } else { draw(60) };
            for _ in 0..count {
                let due = due(from + draw(spread), draw(1 << 20));
                if plain.insert(due) {
                    ours.add(due, ());
                }
            }
            if draw(2) == 0 {
                let last = plain.last().copied().expect("some are there");
                assert!(plain.remove(&last) && ours.remove(&last));
            }
            if draw(3) == 0 {
                ours.settle();
            }
            check(&ours);
            assert!(ours.from(Due::first_at(TimeMs(0))).eq(plain.iter().copied()), "round {round}");
        }
        while let Some(first) = plain.pop_first() {
            assert_eq!(ours.first(), Some(first));
            assert!(ours.remove(&first), "round {round}: {first:?}");
        }
        check(&ours);
    }
}

#[test]
fn entries_of_thousands_at_one_moment_are_put_in_order() {
    let (mut ours, mut plain) = (Runs::default(), BTreeMap::new());
    for (entry, count) in (0..).zip([8_000, 1, 3_000, 9_000, 50, 8_000]) {
        for n in 0..count {
            // The last two entries are due with the first one.
            let due = due(600_000 + entry % 4 * 30, entry * 100_000 + n);
            ours.add(due, n + 1);
            plain.insert(due, n + 1);
        }
        check(&ours);
    }
    ours.settle();
    check(&ours);
    assert!(ours.latest().eq(plain.keys().rev().copied()));
    for now in [0, 599_999, 600_000, 600_030, 600_031, 600_090, u64::MAX] {
        let sum: u64 = plain.iter().filter(|(due, _)| due.deadline <= now).map(|(_, units)| units).sum();
        assert_eq!(ours.units_by(now), sum, "at {now}");
    }
}

#[test]
fn what_grows_at_its_end_is_dense_and_what_shrinks_gives_back() {
    let mut ours = Deadlines::default();
    for n in 0..10_000 {
        ours.add(due(n, 0), ());
    }
    assert_eq!(ours.earlier.len() + 1, 10_000_usize.div_ceil(RUN));
    for n in (0..10_000).filter(|n| n % 100 > 0) {
        ours.remove(&due(n, 0));
    }
    let room = |ours: &Deadlines| {
        let runs = ours.earlier.values().chain([&ours.latest]);
        runs.map(|run| run.holds.capacity()).sum::<usize>() + ours.gathered.capacity()
    };
    assert!(ours.len() == 100 && room(&ours) < 2_000, "room for {}", room(&ours));
    for n in 1..1_000 {
        ours.add(due(0, 1_000 - n), ());
        ours.settle();
    }
    assert!(room(&ours) < 4_000, "what grows at its start is dense, too: room for {}", room(&ours));
    // A burst between two that are there.
    let mut ours = Deadlines::default();
    for n in 0..2_000 {
        ours.add(due(n * 1_000, 0), ());
    }
    for gap in 0..200 {
        for n in 0..999 {
            ours.add(due(gap * 9_000 + n * 7 % 999 + 1, 0), ());
        }
        ours.settle();
    }
    check(&ours);
    assert!(room(&ours) < 2 * ours.len(), "room for {} of {}", room(&ours), ours.len());
    // Whatever order the holds of one moment come in.
    let mut ours = Deadlines::default();
    let moment: BTreeSet<u64> = draws(5).take(100_000).collect();
    let mut ids: Vec<u64> = moment.into_iter().collect();
    ids.sort_by_key(|id| id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for id in ids {
        ours.add(due(7, id), ());
    }
    assert!(room(&ours) < 2 * ours.len(), "room for {}", room(&ours));
}

#[test]
#[should_panic = "a hold is there twice"]
fn a_hold_that_comes_twice_stops_the_shard() {
    let mut ours = Deadlines::default();
    for n in 0..300 {
        ours.add(due(9, n), ());
    }
    ours.add(due(9, 7), ());
    ours.settle();
}

#[test]
#[should_panic = "a hold is there twice"]
fn a_hold_that_comes_twice_among_earlier_ones_stops_the_shard() {
    let mut ours = Deadlines::default();
    for n in 0..3_000 {
        ours.add(due(n, 0), ());
    }
    ours.add(due(7, 0), ());
    ours.settle();
}

#[test]
fn however_holds_come_and_go_they_lie_in_order_and_not_thinly() {
    let shuffle = |due: &Due| due.id().halves().1.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let rising: Vec<Due> = (0..3_000).map(|n| due(n / 3, n)).collect();
    let mixed: Vec<Due> = draws(1).take(3_000).map(|draw| due(draw % 10_000, draw)).collect();
    let mut shuffled = rising.clone();
    shuffled.sort_by_key(shuffle);
    let falling: Vec<Due> = rising.iter().rev().copied().collect();
    for come in [&rising, &falling, &shuffled, &mixed] {
        for go in [0, 1, 2] {
            let (mut runs, mut plain) = (Runs::default(), BTreeMap::new());
            for (n, due) in (1..).zip(come) {
                runs.add(*due, n);
                assert!(plain.insert(*due, n).is_none());
            }
            check(&runs);
            let mut leave: Vec<Due> = plain.keys().copied().collect();
            match go {
                0 => {}
                1 => leave.reverse(),
                _ => leave.sort_by_key(|due| shuffle(due).rotate_left(9)),
            }
            for (n, due) in leave.into_iter().enumerate() {
                let units = plain[&due];
                assert!(!runs.take(due, units, 1), "it has no more");
                if units > 1 {
                    assert!(runs.take(due, 1, units - 1));
                }
                assert!(runs.take(due, (units - 1).max(1), 0) && !runs.take(due, 1, 0));
                plain.remove(&due);
                if n % 97 == 0 || plain.len() < 3 {
                    check(&runs);
                    assert!(runs.latest().eq(plain.keys().rev().copied()));
                    assert_eq!(runs.first(), plain.keys().next().copied());
                    for by in [0, 250, 500, 900, due.deadline, 5_000, u64::MAX] {
                        let due = plain.iter().filter(|(due, _)| due.deadline <= by);
                        assert_eq!(runs.units_by(by), due.map(|(_, units)| units).sum::<u64>());
                    }
                }
            }
            // What is empty takes anything again.
            runs.add(due(0, 1), 1);
            check(&runs);
            assert!(runs.latest().eq([due(0, 1)]));
        }
    }
}
