//! The formats of carts can be read for ever, and are still written byte for byte, as in `tests/formats.rs`:
//! `FORMATS=write cargo test -p earmark-ledger --test carts formats` writes the samples that are not there yet.

use crate::{support::*, world::*};
use earmark_ledger::{
    cart::{Number, message::*},
    codec::*,
    command::*,
    outcome::*,
    records,
    types::*,
};

fn context() -> Context {
    Context {
        principal: "till 4".parse().expect("a principal"),
        session: "s-1".parse().expect("a session"),
        ..Context::default()
    }
}

fn shoe() -> PoolKey {
    pool("a1", "berlin")
}

fn sock() -> PoolKey {
    PoolKey { lot: "lot-7".parse().expect("a lot"), ..pool("a2", "berlin") }
}

fn hat() -> PoolKey {
    pool("a3", "berlin")
}

fn at(ordinal: u32) -> Option<Position> {
    Some(Position { shard: ShardId(2), epoch: Epoch(3), index: LogIndex(400), ordinal })
}

fn answers() -> [Answer; 2] {
    let id = cart_id(ShardId(1), BASE, 7);
    let number = Number { epoch: 3, counter: 300 };
    let granted = vec![
        Granted {
            at: 1,
            pool: sock(),
            units: 2,
            contended: false,
            chosen: None,
            terms: earmark_ledger::settings::Terms::default(),
        },
        Granted {
            at: 3,
            pool: shoe(),
            units: 0,
            contended: true,
            chosen: None,
            terms: earmark_ledger::settings::Terms::default(),
        },
    ];
    let short = Shortage { line: 3, asked: units(2), sellable: units(1), earliest: None };
    [
        Answer { id, number, from: ShardId(2), result: Ok(granted), last: at(5) },
        Answer { id, number, from: ShardId(2), result: Err(Refusal::InsufficientStock(vec![short])), last: None },
    ]
}

fn every_body() -> Vec<Body> {
    let id = cart_id(ShardId(1), BASE, 7);
    let number = Number { epoch: 3, counter: 300 };
    let floor = Number { epoch: 2, counter: 299 };
    let from = From { id, number, home: ShardId(1), floor, last: at(4) };
    let truth = LineTruth {
        pool: sock(),
        now: Truth { held: 1, committed: 2, released: 3, expired: 4, ..Truth::default() },
        was: Truth { held: 5, committed: 2, released: 3, expired: 0, ..Truth::default() },
    };
    let owner: Owner = "ann".parse().expect("an owner");
    let wanted = Wanted { at: 1, line: Line { minimum: units(1), ..line(&sock(), 2) } };
    let [granted, refused] = answers();
    let messages = vec![
        Message::Prepare(Prepare {
            from,
            namespace: Namespace::default(),
            owner: owner.clone(),
            best_effort: true,
            zone: 0,
            wanted: vec![wanted],
            base: vec![truth.clone()],
            ships: Vec::new(),
            deadline: TimeMs(0),
        }),
        Message::Decide(Decide { from, owner, deadline: BASE, lines: vec![truth] }),
        Message::Answer(granted),
        Message::Answer(refused),
        Message::Ask(Ask { id, number, from: ShardId(2) }),
        Message::Gone(Gone { id, number, home: ShardId(1) }),
        Message::Floor(Floor { home: ShardId(1), floor }),
    ];
    let mut bodies = vec![Body::Reserve(cart(id, &[(&shoe(), 1), (&sock(), 2)], DurationMs::seconds(60)))];
    bodies.extend(messages.into_iter().map(Body::Cart));
    bodies
}

#[test]
fn commands() {
    for (at, body) in every_body().into_iter().enumerate() {
        let command = Command { context: context(), not_after: TimeMs::MAX, attempt: 1, heard: false, body };
        let saved = sample(&format!("command-1-cart-{at}"), &encode_command(&command));
        assert_eq!(decode_command(saved), Ok(command));
    }
}

/// What whoever proposes a command may say of it.
#[test]
fn a_command_of_somebody_who_had_heard() {
    let body = every_body().remove(0);
    let command = Command { context: context(), not_after: TimeMs::MAX, attempt: 1, heard: true, body };
    let saved = sample("command-5-cart-0", &encode_command(&command));
    assert_eq!(decode_command(saved), Ok(command));
}

/// What lines that name no location added to the messages.
#[test]
fn messages_of_lines_without_a_location() {
    let [granted, _] = answers();
    let chosen = Some(Chosen { asked: 5, policy: 0 });
    let result = Ok(vec![Granted {
        at: 1,
        pool: sock(),
        units: 2,
        contended: true,
        chosen,
        terms: earmark_ledger::settings::Terms::default(),
    }]);
    let Some(Body::Cart(Message::Prepare(prepare))) = every_body().into_iter().nth(1) else { panic!("is a prepare") };
    let wanted = vec![Wanted { at: 1, line: open_line("a2", 5) }];
    let messages =
        [Message::Prepare(Prepare { zone: 7, wanted, ..prepare }), Message::Answer(Answer { result, ..granted })];
    for (at, message) in messages.into_iter().enumerate() {
        let command =
            Command { context: context(), not_after: TimeMs::MAX, attempt: 1, heard: false, body: Body::Cart(message) };
        let saved = sample(&format!("command-2-cart-{at}"), &encode_command(&command));
        assert_eq!(decode_command(saved), Ok(command));
    }
}

#[test]
fn outcomes() {
    let id = cart_id(ShardId(1), BASE, 7);
    let pending = Pending { id, number: Number { epoch: 3, counter: 300 } };
    let [granted, refused] = answers();
    let line = LineView {
        pool: sock(),
        asked: units(2),
        held: units(0),
        committed: units(0),
        released: units(0),
        expired: units(0),
        shipped: Quantity::ZERO,
        cancelled: Quantity::ZERO,
        returned: Quantity::ZERO,
        returned_unavailable: Quantity::ZERO,
    };
    let view = |state, settled| {
        Done::Reservation(Box::new(ReservationView {
            id,
            namespace: Namespace::default(),
            owner: "ann".parse().expect("an owner"),
            state,
            lines: vec![line.clone()],
            created: BASE,
            deadline: BASE,
            since: BASE,
            revision: 1,
            settled,
            paying: false,
        }))
    };
    let every = [
        Done::Pending(pending),
        Done::Answered(None),
        Done::Answered(Some(Box::new(granted))),
        Done::Answered(Some(Box::new(refused))),
        Done::Asked(Asked::Keep),
        Done::Asked(Asked::Gone),
        view(ReservationState::Open, false),
        view(ReservationState::Rejected, true),
    ];
    for (number, done) in every.into_iter().enumerate() {
        let verdict = Verdict::Done(done);
        let outcome = Outcome { verdict, replayed: false, position: at(1).expect("is one"), time: BASE };
        let saved = sample(&format!("outcome-1-cart-{number}"), &encode_outcome(&outcome));
        assert_eq!(decode_outcome(saved), Ok(outcome));
    }
}

/// Carts in every state that has a record of its own, at home and elsewhere.
fn world() -> World {
    let mut world = World::new(3);
    world.as_said = true;
    world.stock(&[(&shoe(), 50), (&sock(), 10), (&hat(), 50)]);
    let open = |world: &mut World, number, lines: &[(&PoolKey, u64)], best_effort| {
        let reserve = cart(cart_id(ShardId(1), BASE, number), lines, DurationMs::seconds(60));
        let body = Body::Reserve(Reserve { best_effort, ..reserve });
        world.entry(ShardId(1), vec![Command { context: context(), ..command(body) }]);
    };
    let deliver = |world: &mut World, to: u32, answered: bool| {
        for mut row in world.rows(ShardId(1)).into_iter().filter(|row| row.to == ShardId(to)) {
            row.command.heard = true;
            let back = world.deliver(row).expect("an answer");
            if answered {
                world.deliver(back);
            }
        }
    };
    let cart = [(&shoe(), 2), (&sock(), 3), (&hat(), 1)];
    // Held everywhere, and partly sold; one that ended; then a decision whose answer was lost.
    open(&mut world, 1, &cart, false);
    open(&mut world, 2, &cart, false);
    world.pump();
    world.one(1, release(cart_id(ShardId(1), BASE, 2)));
    world.pump();
    let keep = Commit {
        id: cart_id(ShardId(1), BASE, 1),
        operation: Some(operation_id(BASE, 1)),
        parts: vec![part(&sock(), 1)],
        keep_rest: true,
        revive: false,
    };
    world.entry(ShardId(1), vec![Command { context: context(), ..command(Body::Commit(keep.clone())) }]);
    deliver(&mut world, 2, false);
    let keep = Commit { operation: Some(operation_id(BASE, 2)), ..keep };
    world.one(1, Body::Commit(keep));
    // Being prepared, best effort: one has answered, with less than was asked.
    open(&mut world, 3, &[(&shoe(), 2), (&sock(), 20), (&hat(), 1)], true);
    deliver(&mut world, 2, true);
    // Refused by one, and that one has not heard what follows.
    open(&mut world, 4, &[(&sock(), 30), (&hat(), 1)], false);
    deliver(&mut world, 2, true);
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
            let name = format!("record-1-cart-shard{shard}-kind{}-{number:02}", key[0]);
            let mut bytes = sample(&name, &[&len[..], key, value].concat());
            let len = usize::from(bytes::Buf::get_u16(&mut bytes));
            saved.0.insert(bytes.split_to(len).to_vec(), bytes.to_vec());
            kinds.push(key[0]);
        }
        assert_eq!(&saved.0, &store.0);
        let mut loaded = saved.load_as(shard);
        assert_eq!(loaded.violations(), Vec::new());
        assert_eq!(loaded.digest(), saved.digest());
        assert_eq!(loaded.unanswered(), world.member(shard).ledger.unanswered());
    }
    for kind in [records::LIVE, records::ENDED, records::UNSETTLED, records::PART, records::FLOOR] {
        assert!(kinds.contains(&kind), "no record of kind {kind}: {kinds:?}");
    }
    // What is read goes on as if nothing had been.
    for shard in world.shards() {
        world.restart(shard);
    }
    world.pump();
    world.assert_rest();
}
