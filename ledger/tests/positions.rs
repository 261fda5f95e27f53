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
