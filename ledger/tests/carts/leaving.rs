//! Units that are on their way out of the house while the shipping of their cart is being decided: nobody counts them.

use crate::{short::*, support::*, world::*};
use earmark_ledger::{command::*, outcome::*, settings::*, types::*};

/// A sold cart of one shoe, five socks and five hats, whose hats are lost. Its shipping was asked for, and the socks' shard
/// has them on their way; it comes back to rest once `back` and everything else is delivered.
fn shipping() -> (World, Packet) {
    let mut world = stocked();
    for (shard, sku) in [(1, "a1"), (2, "a2"), (3, "a3")] {
        let settings = Settings { deduct: Deduct::OnShip, ..Settings::default() };
        world.one(shard, configure(operation_id(world.now, 50), sku, 0, settings));
    }
    let sold = id(&world, 1);
    world.reserve(&cart(sold, &[(&shoe(), 1), (&sock(), 5), (&hat(), 5)], TTL));
    world.pump();
    world.one(1, commit(sold));
    world.pump();
    world.one(3, adjust(operation_id(world.now, 51), &hat(), -5));
    world.one(1, Body::Ship(Ship { id: sold, operation: operation_id(world.now, 52), parts: Vec::new() }));
    let row = world.row(1, 2);
    let back = world.deliver(row).expect("an answer");
    assert_eq!(world.pool(&sock()).on_hand, Quantity::ZERO, "they are on their way");
    (world, back)
}

fn set(world: &World, slot: u64, expected: Option<u64>) -> Body {
    Body::Stockkeeping(Stockkeeping::Set(SetOnHand {
        operation: operation_id(world.now, slot),
        pool: sock(),
        on_hand: units(5),
        expected_on_hand: expected.map(units),
        overriding: expected.is_none(),
        reason: "found".parse().expect("a reason"),
    }))
}

#[test]
fn what_may_have_left_is_not_counted() {
    let (mut world, back) = shipping();
    let contended = Verdict::Refused(Refusal::Contended);
    let body = count(operation_id(world.now, 53), &sock(), 5, None);
    assert_eq!(world.one(2, body).verdict, contended, "they may be in the house or not");
    let body = set(&world, 54, None);
    assert_eq!(world.one(2, body).verdict, contended);
    let body = set(&world, 55, Some(0));
    assert_eq!(world.one(2, body).verdict, contended, "nor is it a stale version: the books say nothing now");
    // The same at home.
    let body = count(operation_id(world.now, 56), &shoe(), 5, None);
    assert_eq!(world.one(1, body).verdict, contended);
    // What does not speak of the whole may be said.
    assert!(matches!(world.one(2, adjust(operation_id(world.now, 57), &sock(), 1)).verdict, Verdict::Done(_)));
    world.deliver(back);
    world.pump();
    world.assert_rest();
    let pool = world.pool(&sock());
    assert_eq!((pool.on_hand, pool.committed, pool.available), (units(6), units(5), units(1)));
    let body = count(operation_id(world.now, 58), &sock(), 5, None);
    assert!(matches!(world.one(2, body).verdict, Verdict::Done(_)), "they are all here again");
    assert_eq!(world.pool(&sock()).on_hand, units(5));
}
