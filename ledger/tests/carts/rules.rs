//! Each rule of the protocol alone, as a story, and every bug that was found since.

use crate::{support::*, world::*};
use earmark_ledger::{cart::message::*, command::*, outcome::*, types::*};

fn shoe() -> PoolKey {
    pool("a1", "berlin")
}

fn sock() -> PoolKey {
    pool("a2", "berlin")
}

fn hat() -> PoolKey {
    pool("a3", "berlin")
}

const TTL: DurationMs = DurationMs::seconds(60);

/// Three shards with 5 units each.
fn stocked() -> World {
    let mut world = World::new(3);
    world.stock(&[(&shoe(), 5), (&sock(), 5), (&hat(), 5)]);
    world
}

/// A cart whose home is shard 1.
fn id(world: &World, number: u64) -> ReservationId {
    cart_id(ShardId(1), world.now, number)
}

fn pending(outcome: &Outcome) -> Pending {
    match &outcome.verdict {
        Verdict::Done(Done::Pending(pending)) => *pending,
        other => panic!("is not being prepared: {other:?}"),
    }
}

fn refusal(outcome: &Outcome) -> &Refusal {
    match &outcome.verdict {
        Verdict::Refused(refusal) => refusal,
        other => panic!("was not refused: {other:?}"),
    }
}

fn answer(packet: &Packet) -> &Answer {
    match &packet.command.body {
        Body::Cart(Message::Answer(answer)) => answer,
        other => panic!("is no answer: {other:?}"),
    }
}

fn state(world: &World, id: ReservationId) -> ReservationState {
    world.view(id).expect("is known").state
}

#[test]
fn a_prepared_unit_is_counted_once() {
    let mut world = stocked();
    world.reserve(&cart(id(&world, 1), &[(&shoe(), 1), (&sock(), 2)], TTL));
    // The world looks at the books after each entry.
    let row = world.row(1, 2);
    world.deliver(row);
    assert_eq!(world.units(&sock()), (3, 2, 0));
}
