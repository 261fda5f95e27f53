//! Whatever bytes come, decoding answers; and whatever clients send, with whatever the network makes of messages that
//! promise no units, apply answers. Messages that tell of units nobody holds do stop a shard: no correct one sends them.

use crate::{support::*, world::*};
use bytes::Bytes;
use earmark_ledger::{
    Ledger, Loader, RecordKey,
    cart::{Number, message::*},
    codec::*,
    command::*,
    outcome::*,
    records,
    types::*,
};
use proptest::{collection::vec, option, prelude::*};
use std::{fs, path::PathBuf};

fn a_pool() -> impl Strategy<Value = PoolKey> + Clone {
    prop::sample::select(vec![pool("a1", "berlin"), pool("a2", "berlin"), pool("b1", "paris"), pool("zz", "nowhere")])
}

fn id() -> impl Strategy<Value = ReservationId> + Clone {
    let timed = (0..3_u64, prop_oneof![Just(BASE), Just(TimeMs(0)), Just(TimeMs((1 << 48) - 1))])
        .prop_map(|(number, time)| cart_id(ShardId(1), time, number));
    prop_oneof![4 => timed, 1 => (0..2_u64).prop_map(|n| ReservationId::hashed(home_bucket(ShardId(1)), n))]
}

fn number() -> impl Strategy<Value = Number> + Clone {
    let epoch = prop_oneof![8 => Just(1_u32), 1 => any::<u32>()];
    let counter = prop_oneof![8 => 0..12_u64, 1 => any::<u64>()];
    (epoch, counter).prop_map(|(epoch, counter)| Number { epoch, counter })
}

fn shard() -> impl Strategy<Value = ShardId> + Clone {
    prop_oneof![6 => 0..4_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)].prop_map(ShardId)
}

fn a_line() -> impl Strategy<Value = Line> {
    let quantity = prop_oneof![8 => 0..4_u64, 1 => Just(1_000_000_000), 1 => Just(1 << 53)];
    (a_pool(), quantity, 0..3_u64, any::<bool>()).prop_map(|(pool, quantity, minimum, named)| {
        let line = line(&pool, quantity);
        Line { minimum: units(minimum), location: line.location.clone().filter(|_| named), ..line }
    })
}

fn moment() -> impl Strategy<Value = TimeMs> {
    prop_oneof![8 => BASE.0..BASE.0 + 20_000, 1 => Just(0), 1 => Just(u64::MAX)].prop_map(TimeMs)
}

fn message() -> BoxedStrategy<Message> {
    let position = (shard(), any::<u32>(), any::<u64>(), any::<u32>()).prop_map(|(shard, epoch, index, ordinal)| {
        Position { shard, epoch: Epoch(epoch), index: LogIndex(index), ordinal }
    });
    let from = (id(), number(), shard(), number(), option::of(position.clone()))
        .prop_map(|(id, number, home, floor, last)| From { id, number, home, floor, last });
    let wanted = (prop_oneof![0..4_u32, any::<u32>()], a_line()).prop_map(|(at, line)| Wanted { at, line });
    let result = prop_oneof![Just(Ok(Vec::new())), Just(Err(Refusal::Contended)), Just(Err(Refusal::Late))];
    prop_oneof![
            4 => (from.clone(), any::<bool>(), vec(wanted, 0..4)).prop_map(|(from, best_effort, wanted)| {
                let (namespace, owner) = (Namespace::default(), Owner::default());
                let (ships, deadline) = (Vec::new(), TimeMs(0));
    let base = Vec::new();
    Message::Prepare(Prepare { from, namespace, owner, best_effort, zone: 3, wanted, ships, base, deadline })
            }),
            2 => (from, moment()).prop_map(|(from, deadline)| {
                Message::Decide(Decide { from, owner: Owner::default(), deadline, lines: Vec::new() })
            }),
            3 => (id(), number(), shard(), result, option::of(position)).prop_map(|(id, number, from, result, last)| {
                Message::Answer(Answer { id, number, from, result, last })
            }),
            1 => (id(), number(), shard()).prop_map(|(id, number, from)| Message::Ask(Ask { id, number, from })),
            1 => (id(), number(), shard()).prop_map(|(id, number, home)| Message::Gone(Gone { id, number, home })),
            1 => (shard(), number()).prop_map(|(home, floor)| Message::Floor(Floor { home, floor })),
        ]
    .boxed()
}

/// What becomes of a hold beside commit, release and extend, with lines in any shard.
fn sale() -> BoxedStrategy<Body> {
    let operation = || (0..4_u64).prop_map(|number| operation_id(BASE, number));
    let parts = || vec((a_pool(), 0..3_u64).prop_map(|(pool, units)| part(&pool, units)), 0..3);
    let reason = Reason::default;
    prop_oneof![
        3 => (id(), operation(), vec(a_line(), 0..4), vec(shard(), 0..5), any::<bool>()).prop_map(
            |(id, operation, lines, shards, best_effort)| {
                let (namespace, zone) = (Namespace::default(), 0);
                Body::Replace(Replace { id, operation, namespace, lines, best_effort, zone, shards })
            }
        ),
        1 => (id(), operation(), prop_oneof![3 => 1_000..5_000_u64, 1 => any::<u64>()])
            .prop_map(|(id, operation, grace)| Body::MarkPaying(MarkPaying { id, operation, grace: DurationMs(grace) })),
        2 => (id(), option::of(operation()), parts()).prop_map(|(id, operation, parts)| {
            Body::Commit(Commit { id, operation, parts, keep_rest: false, revive: true })
        }),
        1 => (id(), operation(), parts()).prop_map(|(id, operation, parts)| Body::Ship(Ship { id, operation, parts })),
        1 => (id(), operation(), parts())
            .prop_map(move |(id, operation, parts)| Body::Cancel(Cancel { id, operation, parts, reason: reason() })),
        1 => (id(), operation(), parts(), any::<bool>()).prop_map(move |(id, operation, parts, fit)| {
            let disposition = if fit { Disposition::Sellable } else { Disposition::Unavailable };
            Body::Return(Return { id, operation, parts, disposition, reason: reason() })
        }),
    ]
    .boxed()
}

fn body() -> BoxedStrategy<Body> {
    let ttl = prop_oneof![8 => 1_000..5_000_u64, 1 => any::<u64>()].prop_map(DurationMs);
    let operation = (0..4_u64).prop_map(|number| operation_id(BASE, number));
    let parts = vec((a_pool(), 0..3_u64).prop_map(|(pool, units)| part(&pool, units)), 0..3);
    let asked = (id(), vec(a_line(), 0..4), vec(shard(), 0..5), ttl.clone(), any::<bool>());
    prop_oneof![
        6 => asked.prop_map(|(id, lines, shards, ttl, best_effort)| {
            Body::Reserve(Reserve { shards, best_effort, ..reserve(id, lines, ttl) })
        }),
        6 => message().prop_map(Body::Cart),
        2 => (id(), option::of(operation.clone()), parts.clone(), any::<bool>())
            .prop_map(|(id, operation, parts, keep_rest)| Body::Commit(Commit { id, operation, parts, keep_rest, revive: false })),
        2 => (id(), option::of(operation.clone()), parts)
            .prop_map(|(id, operation, parts)| Body::Release(Release { id, operation, parts })),
        1 => (id(), operation.clone(), ttl).prop_map(|(id, operation, ttl)| extend(id, operation, ttl)),
        6 => sale(),
        2 => (operation, a_pool(), 1..20_u64).prop_map(|(operation, pool, units)| receive(operation, &pool, units)),
        1 => vec(id(), 0..4)
            .prop_map(|reservations| Body::Forget(Forget { reservations, operations: Vec::new() })),
    ]
    .boxed()
}

/// The samples of records that were saved under such names: key and value.
fn saved_records(name: &str) -> Vec<(Bytes, Bytes)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let files = fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("can be listed").path());
    let mut files: Vec<_> = files.filter(|path| path.to_string_lossy().contains(name)).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let mut bytes = Bytes::from(fs::read(path).expect("can be read"));
        let len = usize::from(bytes::Buf::get_u16(&mut bytes));
        (bytes.split_to(len), bytes)
    };
    files.iter().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_entry_is_answered(
        batches in vec((moment(), vec((body(), moment(), 0..4_u32), 0..10)), 1..20),
        meta in prop::bool::weighted(0.1),
    ) {
        let mut ledger = Ledger::new(if meta { ShardId::META } else { ShardId(1) });
        let mut store = Store::default();
        for (index, (time, commands)) in (1..).zip(batches) {
            let command = |(body, not_after, attempt)| {
                Command { context: Context::default(), not_after, attempt, heard: true, body }
            };
            let batch = batch(time, commands.into_iter().map(command).collect());
            let batch = decode_batch(encode_batch(&batch)).expect("was encoded here");
            let applied = store.apply(&mut ledger, index, &batch);
            prop_assert_eq!(applied.outcomes.len(), batch.commands.len());
            prop_assert_eq!(ledger.violations(), Vec::new());
            prop_assert_eq!(ledger.oversold_units(), 0);
            for command in &batch.commands {
                ledger.judge_fresh(command, batch.time);
            }
            for participant in ledger.unsettled_participants() {
                for (_, id) in ledger.outbox(participant, Number::default()) {
                    let message = ledger.message(id, participant).expect("a row has a message");
                    prop_assert_eq!(&decode_command(encode_command(&message)).expect("was encoded here"), &message);
                }
                ledger.floor_for(participant);
            }
            store.checkpoint(&mut ledger);
            prop_assert_eq!(store.digest(), ledger.digest());
            if index % 4 == 0 {
                ledger.evict();
            }
            if index % 5 == 0 {
                ledger = store.load_as(ledger.shard());
                prop_assert_eq!(store.digest(), ledger.digest());
            }
        }
    }

    #[test]
    fn a_changed_byte_of_a_record_is_answered(
        record in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        newer in any::<bool>(),
    ) {
        let mut records = saved_records(if newer { "record-3-shard" } else { "record-1-cart-shard" });
        prop_assert!(records.len() > 10);
        let at = record.index(records.len());
        let mut value = records[at].1.to_vec();
        for (place, to) in changes {
            let place = place.index(value.len());
            value[place] = to;
        }
        let key = records[at].0.clone();
        records[at].1 = Bytes::from(value.clone());
        for shard in 1..=3 {
            let mut loader = Loader::new(ShardId(shard));
            for (key, value) in &records {
                let _ = loader.record(key, value);
            }
            if let Ok(ledger) = loader.finish() {
                ledger.violations();
                ledger.reservation(cart_id(ShardId(1), BASE, 1));
            }
        }
        let mut ledger = Ledger::new(ShardId(1));
        let _ = ledger.warm(&RecordKey(key.clone()), Some(&value));
        let _ = ledger.cold_reservation(&value);
        let _ = records::forgettable(&key, &value, TimeMs::MAX);
    }

    #[test]
    fn any_record_is_answered(kind in 9..15_u8, rest in vec(any::<u8>(), 0..20), value in vec(any::<u8>(), 0..60)) {
        let key = [&[kind], &rest[..]].concat();
        for value in [value.clone(), [&[1], &value[..]].concat()] {
            let mut loader = Loader::new(ShardId(1));
            let _ = loader.record(&key, &value);
            let _ = loader.finish();
        }
    }

    #[test]
    fn a_changed_byte_of_a_message_is_answered(body in body(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encode_command(&command(body)).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(command) = decode_command(Bytes::from(bytes)) {
            prop_assert_eq!(decode_command(encode_command(&command)), Ok(command));
        }
    }
}
