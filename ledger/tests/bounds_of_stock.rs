//! What the stock side keeps is bounded, and what it tells of many is.

mod support;

use earmark_ledger::{command::*, outcome::*, types::*};
use support::*;

fn bad_field(outcome: &Outcome) -> &str {
    match &outcome.verdict {
        Verdict::Refused(Refusal::InvalidArgument(fields)) => &fields[0].field,
        other => panic!("was to be refused: {other:?}"),
    }
}

#[test]
fn so_many_receipts_are_expected_in_a_pool() {
    let mut shard = Shard::new();
    let expect = |number: u64, document: u64, quantity: u64| {
        let (operation, pool) = (operation_id(BASE, number), pool("shoe", "berlin"));
        let document = format!("d{document}").parse().expect("a document");
        let (date, quantity) = (BASE, units(quantity));
        command(Body::Stockkeeping(Stockkeeping::Expect(Expect { operation, pool, document, date, quantity })))
    };
    for number in 0..32 {
        let told = shard.one(BASE, expect(number, number, 1));
        assert!(matches!(told.verdict, Verdict::Done(_)), "{told:?}");
    }
    assert_eq!(bad_field(&shard.one(BASE, expect(40, 40, 1))), "document");
    // Another number for one of them, and one fewer.
    assert!(matches!(shard.one(BASE, expect(41, 7, 5)).verdict, Verdict::Done(_)));
    assert!(matches!(shard.one(BASE, expect(42, 8, 0)).verdict, Verdict::Done(_)));
    assert!(matches!(shard.one(BASE, expect(43, 40, 1)).verdict, Verdict::Done(_)));
}

#[test]
fn so_many_transfers_of_a_sku_are_under_way() {
    let mut shard = Shard::new();
    shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 5_000)));
    let transfer = |number: u64, immediate: bool| {
        command(Body::Stockkeeping(Stockkeeping::Transfer(Transfer {
            operation: operation_id(BASE, number),
            from: pool("shoe", "berlin"),
            to: "paris".parse().expect("a location"),
            quantity: units(1),
            immediate,
            document: Document::default(),
            reason: Reason::default(),
        })))
    };
    let sent = shard.batch(&batch(BASE, (0..1_000).map(|number| transfer(100 + number, false)).collect()));
    assert!(sent.outcomes.iter().all(|outcome| matches!(outcome.verdict, Verdict::Done(_))));
    assert_eq!(bad_field(&shard.one(BASE, transfer(2_000, false))), "to");
    assert!(matches!(shard.one(BASE, transfer(2_001, true)).verdict, Verdict::Done(_)));
    assert_eq!(shard.ledger.totals().in_transit, 1_000);
}

#[test]
fn a_shortage_names_some_of_many_newest_first() {
    let mut shard = Shard::new();
    let berlin = pool("shoe", "berlin");
    shard.one(BASE, command(receive(operation_id(BASE, 1), &berlin, 500)));
    let holds = (0..500).map(|number| {
        let reserve = reserve(reservation_id(BASE, number), vec![line(&berlin, 1)], DurationMs(60_000 + number));
        command(Body::Reserve(reserve))
    });
    shard.batch(&batch(BASE, holds.collect()));
    let told = shard.one(BASE, command(count(operation_id(BASE, 2), &berlin, 3, None)));
    let Verdict::Done(Done::Stock(change)) = told.verdict else { panic!("was to be done: {told:?}") };
    let shortage = change.shortage.expect("there are 497 units too few");
    assert_eq!((shortage.units, shortage.at_risk), (units(497), units(497)));
    let newest: Vec<_> = shortage.newest.iter().map(|hold| hold.reservation).collect();
    let expected: Vec<_> = (480..500).rev().map(|number| reservation_id(BASE, number)).collect();
    assert_eq!(newest, expected);
}
