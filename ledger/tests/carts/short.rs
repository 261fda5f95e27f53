//! Short words for stories: three shards with a pool each, and what is told.

use crate::{support::*, world::*};
use earmark_ledger::{cart::message::*, command::*, movement::MovementKind, outcome::*, types::*};

pub fn shoe() -> PoolKey {
    pool("a1", "berlin")
}

pub fn sock() -> PoolKey {
    pool("a2", "berlin")
}

pub fn hat() -> PoolKey {
    pool("a3", "berlin")
}

pub const TTL: DurationMs = DurationMs::seconds(60);

/// Three shards with 5 units each.
pub fn stocked() -> World {
    let mut world = World::new(3);
    world.stock(&[(&shoe(), 5), (&sock(), 5), (&hat(), 5)]);
    world
}

/// A cart whose home is shard 1.
pub fn id(world: &World, number: u64) -> ReservationId {
    cart_id(ShardId(1), world.now, number)
}

pub fn pending(outcome: &Outcome) -> Pending {
    match &outcome.verdict {
        Verdict::Done(Done::Pending(pending)) => *pending,
        other => panic!("is not being prepared: {other:?}"),
    }
}

pub fn refusal(outcome: &Outcome) -> &Refusal {
    match &outcome.verdict {
        Verdict::Refused(refusal) => refusal,
        other => panic!("was not refused: {other:?}"),
    }
}

pub fn answer(packet: &Packet) -> &Answer {
    match &packet.command.body {
        Body::Cart(Message::Answer(answer)) => answer,
        other => panic!("is no answer: {other:?}"),
    }
}

pub fn state(world: &World, id: ReservationId) -> ReservationState {
    world.view(id).expect("is known").state
}

/// The only movements of a reservation in a shard, and which of them each follows.
pub fn chain(world: &World, shard: u32, id: ReservationId) -> Vec<(MovementKind, Option<u64>)> {
    let movements = world.member(ShardId(shard)).journal.movements.iter();
    let of = movements.filter(|movement| movement.reservation == Some(id));
    of.map(|movement| (movement.kind, movement.previous_of_reservation.map(|before| before.index.0))).collect()
}

/// Carries to their end the messages about one cart only.
pub fn carry(world: &mut World, id: ReservationId) {
    let of = |packet: &Packet| {
        matches!(&packet.command.body,
        Body::Cart(Message::Prepare(Prepare { from, .. }) | Message::Decide(Decide { from, .. })) if from.id == id)
    };
    loop {
        let rows: Vec<_> = world.rows(shard_of(id.home())).into_iter().filter(of).collect();
        if rows.is_empty() {
            return;
        }
        for row in rows {
            let back = world.deliver(row).expect("an answer");
            world.deliver(back);
        }
    }
}

/// Reserves what may not be there, through to its end.
pub fn told(world: &mut World, reserve: &Reserve) -> Outcome {
    let outcome = world.reserve(reserve);
    let Verdict::Done(Done::Pending(_)) = outcome.verdict else { return outcome };
    carry(world, reserve.id);
    world.decided.pop().expect("was decided").1
}
