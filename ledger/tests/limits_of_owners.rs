//! What is counted for limits of owners takes room only while it counts, and however much there is of it.

mod support;

use earmark_ledger::{command::*, outcome::*, settings::*, types::*};
use support::*;

const WINDOW: DurationMs = DurationMs::minutes(10);
const OWNER_USE: u8 = 21;

fn limited(most: u64) -> Shard {
    let mut shard = Shard::new();
    shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 100_000)));
    let limit = UnitLimit { units: units(most), window: WINDOW };
    let settings = Settings { owner_units: Some(limit), ..Settings::default() };
    shard.one(BASE, command(configure(operation_id(BASE, 2), "shoe", 0, settings)));
    shard
}

fn ask(number: u64, owner: &str) -> Command {
    let reserve = reserve(reservation_id(BASE, number), vec![line(&pool("shoe", "berlin"), 1)], DurationMs::minutes(1));
    command(Body::Reserve(Reserve { owner: owner.parse().expect("an owner"), ..reserve }))
}

fn kept(store: &Store) -> usize {
    store.0.keys().filter(|key| key[0] == OWNER_USE).count()
}

#[test]
fn what_counts_no_more_is_dropped_from_disk() {
    let mut shard = limited(5);
    let mut store = Store::default();
    for number in 0..300 {
        shard.one(BASE, ask(number, &format!("owner {number}")));
        if number % 3 == 0 {
            shard.one(BASE, command(commit(reservation_id(BASE, number))));
        }
    }
    store.checkpoint(&mut shard.ledger);
    assert_eq!(kept(&store), 300);
    // The holds run out.
    let later = BASE.plus(DurationMs::minutes(1));
    shard.batch(&batch(later, Vec::new()));
    store.checkpoint(&mut shard.ledger);
    assert_eq!(kept(&store), 100);
    assert_eq!(store.digest(), shard.ledger.digest());
    // One moment before the sales stop counting, and then.
    shard.batch(&batch(TimeMs(BASE.0 + WINDOW.0 - 1), Vec::new()));
    store.checkpoint(&mut shard.ledger);
    assert_eq!(kept(&store), 100);
    // Nobody comes back, and still it is dropped; by a ledger that was restarted, too.
    shard.ledger = store.load();
    shard.batch(&batch(BASE.plus(WINDOW), Vec::new()));
    store.checkpoint(&mut shard.ledger);
    assert_eq!(kept(&store), 0);
    assert_eq!(store.digest(), shard.ledger.digest());
}

#[test]
fn one_owner_has_so_many_parts_and_no_more() {
    let mut shard = limited(50_000);
    let asked = (0..1_001).map(|number| ask(number, "ann")).collect();
    let outcomes = shard.batch(&batch(BASE, asked)).outcomes;
    let done = outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Done(_))).count();
    assert_eq!(done, 1_000);
    let Verdict::Refused(Refusal::LimitExceeded(exceeded)) = &outcomes[1_000].verdict else {
        panic!("was to be beyond the limit: {:?}", outcomes[1_000])
    };
    assert_eq!((exceeded.kind, exceeded.limit), (LimitKind::Counted, units(1_000)));
    assert_eq!(shard.ledger.violations(), Vec::new());
    // Another owner is not in the way.
    let other = shard.one(BASE, ask(2_000, "bob"));
    assert!(matches!(other.verdict, Verdict::Done(_)), "{other:?}");
}

#[test]
fn units_of_many_lines_are_counted_together() {
    let mut shard = limited(3);
    shard.one(BASE, command(receive(operation_id(BASE, 3), &pool("shoe", "paris"), 9)));
    let lines = vec![line(&pool("shoe", "berlin"), 2), line(&pool("shoe", "paris"), 2)];
    let told = shard.one(BASE, command(Body::Reserve(reserve(reservation_id(BASE, 1), lines, DurationMs::minutes(1)))));
    assert!(matches!(told.verdict, Verdict::Refused(Refusal::LimitExceeded(_))), "{told:?}");
    let lines = vec![line(&pool("shoe", "berlin"), 1), open_line("shoe", 2)];
    let told = shard.one(BASE, command(Body::Reserve(reserve(reservation_id(BASE, 2), lines, DurationMs::minutes(1)))));
    assert!(matches!(told.verdict, Verdict::Done(_)), "{told:?}");
}
