//! Samples of what a replace, a payment under way, a late commit and everything after a sale add to the formats, as in
//! `tests/formats.rs`: they are never changed, only added to.
//! `FORMATS=write cargo test -p earmark-ledger --test carts formats` writes the samples that are not there yet.

use crate::{ask::*, short::*, support::*, world::*};
use bytes::Buf;
use earmark_ledger::{
    cart::{Number, message::*},
    codec::*,
    command::*,
    journal::Block,
    movement::MovementKind,
    outcome::*,
    records,
    settings::*,
    types::*,
};

fn reason() -> Reason {
    "changed".parse().expect("a reason")
}

fn terms() -> Terms {
    Terms { on_ship: true, cancel: DurationMs(7), returns: Some(DurationMs(8)) }
}

fn every_body() -> Vec<Body> {
    let id = cart_id(ShardId(1), BASE, 7);
    let operation = operation_id(BASE, 8);
    let parts = vec![part(&shoe(), 3), part(&sock(), 4)];
    let Body::Replace(replaced) = replace(id, 8, &[(&shoe(), 3), (&sock(), 4)]) else { unreachable!("is one") };
    let mut open = replaced.clone();
    open.lines[1] = Line { minimum: units(2), ..open_line("a2", 4) };
    let number = Number { epoch: 3, counter: 300 };
    let last = Some(Position { shard: ShardId(2), epoch: Epoch(3), index: LogIndex(400), ordinal: 5 });
    let from = From { id, number, home: ShardId(1), floor: number, last };
    let after = After { shipped: 6, cancelled: 5, returned: 4, returned_unavailable: 3 };
    let truth = Truth { held: 1, committed: 20, released: 3, expired: 4, after };
    let lines = vec![LineTruth { pool: sock(), now: truth, was: Truth { after: After::default(), ..truth } }];
    let (namespace, owner): (Namespace, Owner) = (Namespace::default(), "ann".parse().expect("an owner"));
    let ships = vec![Shipping { at: 2, pool: sock(), units: 3 }, Shipping { at: 0, pool: hat(), units: 1 }];
    let granted = Granted { at: 1, pool: sock(), units: 2, contended: false, chosen: None, terms: terms() };
    let cancelled = Cancel { id, operation, parts: parts.clone(), reason: reason() };
    let returned =
        |disposition| Body::Return(Return { id, operation, parts: parts.clone(), disposition, reason: reason() });
    vec![
        Body::Replace(replaced),
        Body::Replace(Replace { best_effort: true, zone: 9, ..open }),
        paying(id, 8, DurationMs::seconds(120)),
        ship(id, 8, &[]),
        ship(id, 8, &[(&shoe(), 3)]),
        cancel(id, Some(9), &[]),
        Body::Cancel(cancelled),
        returned(Disposition::Sellable),
        returned(Disposition::Unavailable),
        late(id, Some(10), &[]),
        late(id, Some(8), &[(&sock(), 1)]),
        Body::Cart(Message::Prepare(Prepare {
            from,
            namespace,
            owner: owner.clone(),
            best_effort: false,
            zone: 0,
            wanted: Vec::new(),
            ships,
            base: lines.clone(),
            deadline: TimeMs(BASE.0 + 5),
        })),
        Body::Cart(Message::Decide(Decide { from, owner, deadline: BASE, lines })),
        Body::Cart(Message::Answer(Answer { id, number, from: ShardId(2), result: Ok(vec![granted]), last })),
    ]
}

#[test]
fn commands() {
    for (at, body) in every_body().into_iter().enumerate() {
        let command = command(body);
        let saved = sample(&format!("command-3-{at:02}"), &encode_command(&command));
        assert_eq!(decode_command(saved), Ok(command));
    }
}

#[test]
fn outcomes() {
    let line = LineView {
        pool: sock(),
        asked: units(20),
        held: units(1),
        committed: units(15),
        released: units(2),
        expired: units(3),
        shipped: units(4),
        cancelled: units(5),
        returned: units(6),
        returned_unavailable: units(7),
    };
    let view = ReservationView {
        id: cart_id(ShardId(1), BASE, 7),
        namespace: Namespace::default(),
        owner: "ann".parse().expect("an owner"),
        state: ReservationState::Committed,
        lines: vec![line],
        created: BASE,
        deadline: BASE,
        since: BASE,
        revision: 9,
        settled: true,
        paying: true,
    };
    let mut world = stocked();
    let sold = sold_and_taken_back(&mut world);
    let [received] = &world.entry(ShardId(1), vec![command(receive(operation_id(BASE, 50), &shoe(), 1))]).outcomes[..]
    else {
        panic!("one command has one outcome")
    };
    let back = Outcome { position: sold.position, ..received.clone() };
    assert!(matches!(done(&back), Done::Pool(view) if !view.returned_total.is_zero()));
    let position = Position { shard: SHARD, epoch: Epoch(2), index: LogIndex(3), ordinal: 4 };
    let verdict = Verdict::Done(Done::Reservation(Box::new(view)));
    let told = Outcome { verdict, replayed: false, position, time: BASE };
    for (at, outcome) in [told, sold, back].into_iter().enumerate() {
        let saved = sample(&format!("outcome-3-{at:02}"), &encode_outcome(&outcome));
        assert_eq!(decode_outcome(saved), Ok(outcome));
    }
}

/// Of a cart that was replaced, paid for and sold, some units were cancelled and some came back. Socks wait to be
/// shipped.
fn sold_and_taken_back(world: &mut World) -> Outcome {
    let cancelled = Settings { cancel_window: Some(DurationMs::days(1)), ..Settings::default() };
    let waits = Settings { deduct: Deduct::OnShip, return_window: Some(DurationMs::days(9)), ..Settings::default() };
    done(&world.one(1, configure(operation_id(BASE, 900), "a1", 0, cancelled)));
    done(&world.one(2, configure(operation_id(BASE, 900), "a2", 0, waits)));
    let id = id(world, 1);
    world.reserve(&cart(id, &[(&shoe(), 2), (&hat(), 1)], TTL));
    world.pump();
    world.one(1, replace(id, 1, &[(&shoe(), 3), (&sock(), 4)]));
    world.pump();
    done(&world.one(1, paying(id, 2, DurationMs::seconds(5))));
    world.pump();
    // One of the shoes is not there any more.
    done(&world.one(1, count(operation_id(BASE, 901), &shoe(), 2, None)));
    done(&world.one(1, commit(id)));
    world.one(1, ship(id, 3, &[(&sock(), 3)]));
    world.pump();
    done(&world.one(1, give_back(id, 4, &[(&sock(), 1)], Disposition::Sellable)));
    done(&world.one(1, cancel(id, Some(5), &[(&shoe(), 2), (&sock(), 1)])));
    let told = world.one(1, give_back(id, 6, &[(&sock(), 1), (&shoe(), 1)], Disposition::Unavailable));
    done(&told);
    world.pump();
    world.decided.clear();
    told
}

/// Everything that has a record of its own: what became of a sale, and each kind of round in the middle.
fn world() -> World {
    let mut world = stocked();
    world.as_said = true;
    sold_and_taken_back(&mut world);
    let more = [(&shoe(), 30), (&sock(), 30), (&hat(), 30)];
    for (number, (pool, units)) in (800..).zip(more) {
        done(&world.one(shard_of_pool(pool).0, receive(operation_id(BASE, number), pool, units)));
    }
    let ids = [2, 3, 4, 5].map(|number| id(&world, number));
    let [replaced, expired, shipped, single] = ids;
    for id in [replaced, expired, shipped] {
        world.reserve(&cart(
            id,
            &[(&shoe(), 2), (&sock(), 3)],
            DurationMs::seconds(if id == expired { 1 } else { 60 }),
        ));
    }
    world.reserve(&cart(single, &[(&shoe(), 1)], TTL));
    world.pump();
    world.one(1, commit(shipped));
    done(&world.one(1, replace(single, 10, &[(&shoe(), 2)])));
    done(&world.one(1, paying(single, 11, DurationMs::seconds(7))));
    world.pump();
    world.wait(1_000);
    world.tick(1);
    world.pump();
    let missing = world.one(1, replace(single, 12, &[(&shoe(), 99)]));
    assert!(matches!(refusal(&missing), Refusal::InsufficientStock(_)));
    // Each is prepared at the participant, and not decided.
    pending(&world.one(1, replace(replaced, 13, &[(&shoe(), 4), (&sock(), 5), (&hat(), 1)])));
    pending(&world.one(1, late(expired, None, &[])));
    pending(&world.one(1, ship(shipped, 14, &[(&sock(), 2)])));
    for row in world.rows(ShardId(1)).into_iter().filter(|row| row.to == ShardId(2)) {
        world.deliver(row).expect("an answer, which is lost");
    }
    world.decided.clear();
    world
}

#[test]
fn records_of_every_kind() {
    let mut world = world();
    let mut kinds = Vec::new();
    for shard in world.shards() {
        world.checkpoint(shard);
        let mut saved = Store::default();
        let store = &world.member(shard).store;
        for (number, (key, value)) in store.0.iter().enumerate() {
            let len = u16::try_from(key.len()).expect("keys are short").to_be_bytes();
            let name = format!("record-4-shard{shard}-kind{}-{number:02}", key[0]);
            let mut bytes = sample(&name, &[&len[..], key, value].concat());
            let len = usize::from(bytes.get_u16());
            saved.0.insert(bytes.split_to(len).to_vec(), bytes.to_vec());
            kinds.push(key[0]);
        }
        assert_eq!(&saved.0, &store.0);
        let mut loaded = saved.load_as(shard);
        assert_eq!(loaded.violations(), Vec::new());
        assert_eq!(loaded.digest(), saved.digest());
    }
    for kind in [records::LIVE, records::ENDED, records::UNSETTLED, records::PART, records::REFUSED_OPERATION] {
        assert!(kinds.contains(&kind), "no record of kind {kind}: {kinds:?}");
    }
    // What is read goes on as if nothing had been.
    for shard in world.shards() {
        world.restart(shard);
    }
    world.pump();
    world.assert_rest();
    assert_eq!(world.decided.len(), 3);
    for (_, told) in &world.decided {
        done(told);
    }
}

/// Before graces and counts were noted.
#[test]
fn records_of_the_build_before() {
    for shard in [1, 2, 3] {
        let mut saved = Store::default();
        for (key, value) in old_records(&format!("record-3-shard{shard}-")) {
            saved.0.insert(key.to_vec(), value.to_vec());
        }
        assert!(saved.0.len() > 5, "{} samples", saved.0.len());
        let mut loaded = saved.load_as(ShardId(shard));
        assert_eq!(loaded.violations(), Vec::new());
        // Nothing is read otherwise than it was written.
        assert_eq!(loaded.digest(), saved.digest());
    }
}

#[test]
fn journal_blocks() {
    let on_ship = Settings { deduct: Deduct::OnShip, ..Settings::default() };
    let [first, second] = [1, 2].map(|number| cart_id(ShardId(1), BASE, number));
    let held = |id, ttl| Body::Reserve(cart(id, &[(&shoe(), 2)], ttl));
    let cancelled = Body::Cancel(Cancel {
        id: first,
        operation: operation_id(BASE, 5),
        parts: vec![part(&shoe(), 1)],
        reason: reason(),
    });
    let bodies = vec![
        receive(operation_id(BASE, 1), &shoe(), 9),
        configure(operation_id(BASE, 2), "a1", 0, on_ship),
        held(first, TTL),
        held(second, DurationMs::seconds(1)),
        replace(first, 3, &[(&shoe(), 4)]),
        paying(first, 4, DurationMs::seconds(9)),
        commit(first),
        cancelled,
        ship(first, 6, &[]),
        give_back(first, 7, &[(&shoe(), 1)], Disposition::Unavailable),
    ];
    let mut home = earmark_ledger::Ledger::new(ShardId(1));
    let commands = bodies.into_iter().map(command).collect();
    let mut told = home.apply(LogIndex(1), &batch(BASE, commands));
    let later = BASE.plus(DurationMs::seconds(1));
    let applied = home.apply(LogIndex(2), &batch(later, vec![command(late(second, None, &[]))]));
    told.outcomes.extend(applied.outcomes);
    for outcome in &told.outcomes {
        done(outcome);
    }
    let blocks = [told.journal, applied.journal].map(|block| block.expect("units moved"));
    let mut kinds = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let block = Block::decode(&sample(&format!("journal-3-{at}"), block)).expect("was written once");
        kinds.extend(block.movements().map(|movement| movement.expect("was written once").kind));
    }
    let expected = {
        use MovementKind::*;
        [Receive, Reserve, Reserve, Reserve, Paying, Commit, Cancel, Ship, Return, Expire, Revive]
    };
    assert_eq!(kinds, expected);
}
