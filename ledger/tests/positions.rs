//! Where an answer stands: whoever reads from there on sees what was answered.

mod support;

use earmark_ledger::{command::*, outcome::*, types::*};
use support::*;

#[test]
fn a_replace_that_moves_nothing_stands_at_its_own_entry() {
    let (mut shard, shoe) = (Shard::new(), pool("shoe", "berlin"));
    shard.one(BASE, command(receive(operation_id(BASE, 1), &shoe, 5)));
    let id = reservation_id(BASE, 2);
    let held = shard.one(BASE, command(Body::Reserve(reserve(id, vec![line(&shoe, 2)], DurationMs::minutes(1)))));
    // Something else is decided in between.
    let between = shard.one(BASE, command(receive(operation_id(BASE, 3), &shoe, 1)));
    let lines = vec![line(&shoe, 2)];
    let replace = Replace {
        id,
        operation: operation_id(BASE, 4),
        namespace: shoe.namespace.clone(),
        shards: Vec::new(),
        lines,
        best_effort: false,
        zone: 0,
    };
    let replaced = shard.one(BASE, command(Body::Replace(replace)));
    assert!(matches!(replaced.verdict, Verdict::Done(_)), "{replaced:?}");
    assert!(held.position < between.position && between.position < replaced.position, "{replaced:?}");
}

#[test]
fn a_cart_that_is_released_before_it_is_held_stands_where_that_was_decided() {
    for there in [0, 5] {
        let (mut shard, shoe, sock) = (Shard::new(), pool("shoe", "berlin"), pool("sock", "berlin"));
        shard.one(BASE, command(receive(operation_id(BASE, 1), &shoe, 1 + there)));
        let other = reserve(reservation_id(BASE, 2), vec![line(&shoe, 1)], DurationMs::minutes(1));
        shard.one(BASE, command(Body::Reserve(other)));
        // Its home is here, and has something for it or not.
        let id = reservation_id(BASE, 3);
        let cart = reserve(id, vec![line(&shoe, 2), line(&sock, 1)], DurationMs::minutes(1));
        let open = Reserve { best_effort: true, shards: vec![ShardId(1), ShardId(2)], ..cart };
        let open = Reserve { lines: open.lines.iter().map(some).collect(), ..open };
        let opened = shard.one(BASE, command(Body::Reserve(open)));
        assert!(matches!(opened.verdict, Verdict::Done(Done::Pending(_))), "{opened:?}");
        let between = shard.one(BASE, command(receive(operation_id(BASE, 4), &sock, 1)));
        let release = || command(Body::Release(Release { id, operation: None, parts: Vec::new() }));
        let released = shard.one(BASE, release());
        assert!(matches!(released.verdict, Verdict::Done(_)) && !released.replayed, "{released:?}");
        assert!(between.position < released.position, "{released:?}");
        let again = shard.one(BASE, release());
        assert!(again.replayed && again.position == released.position, "{again:?}");
    }
}

/// Whatever there is of it.
fn some(line: &Line) -> Line {
    Line { minimum: Quantity::ZERO, ..line.clone() }
}
