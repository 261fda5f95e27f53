//! Holds that are stored many in a record: what is in the store is the state, whatever left a pack and when, on each replica.

mod support;

use bytes::Bytes;
use earmark_ledger::{
    Ledger, Loader, Lookup,
    command::{Body, Command, Commit},
    digest::Accumulator,
    records,
    types::*,
};
use proptest::{collection::vec, prelude::*};
use support::*;

const MINUTE: u64 = 60_000;

fn holds(first: u64, count: u64, minutes: u64) -> Vec<Command> {
    let lamp = pool("lamp", "berlin");
    let hold = |number| {
        let ttl = DurationMs(minutes * MINUTE);
        command(Body::Reserve(reserve(reservation_id(BASE, number), vec![line(&lamp, 2)], ttl)))
    };
    (first..first + count).map(hold).collect()
}

fn apply(shard: &mut Shard, store: &Store, time: TimeMs, commands: Vec<Command>) {
    shard.index += 1;
    store.apply(&mut shard.ledger, shard.index, &batch(time, commands));
}

/// Until all holds that are over by then have ended.
fn sweep(shard: &mut Shard, store: &Store, time: TimeMs) {
    apply(shard, store, time, Vec::new());
    while shard.ledger.next_deadline().is_some_and(|due| due <= time) {
        apply(shard, store, time, Vec::new());
    }
}

/// A shard with stock for all of them.
fn stocked() -> Shard {
    let mut shard = Shard::new();
    apply(
        &mut shard,
        &Store::default(),
        BASE,
        vec![command(receive(operation_id(BASE, 1), &pool("lamp", "berlin"), 1_000_000))],
    );
    shard
}

fn kinds(store: &Store, kind: u8) -> usize {
    store.0.keys().filter(|key| key[0] == kind).count()
}

/// How many packs there are, words about what left one, and holds by themselves.
fn stored(store: &Store) -> [usize; 3] {
    [records::PACK, records::PACK_LEFT, records::LIVE].map(|kind| kinds(store, kind))
}

fn released(number: u64) -> Command {
    command(release(reservation_id(BASE, number)))
}

/// What a restart finds is what is in memory.
fn assert_stored(store: &Store, ledger: &mut Ledger) {
    let mut loaded = store.load();
    assert_eq!(store.digest(), ledger.digest());
    assert_eq!(loaded.digest(), ledger.digest());
    assert_eq!(loaded.violations(), Vec::new());
    let pool = pool("lamp", "berlin");
    assert_eq!(loaded.stock(&pool.namespace, &pool.sku, None), ledger.stock(&pool.namespace, &pool.sku, None));
}

#[test]
fn holds_share_a_record_until_they_change() {
    let (mut shard, mut store) = (stocked(), Store::default());
    apply(&mut shard, &store, BASE, holds(0, 300, 10));
    store.checkpoint(&mut shard.ledger);
    assert_eq!((kinds(&store, records::PACK), kinds(&store, records::LIVE)), (3, 0));
    assert_stored(&store, &mut shard.ledger);

    // One is sold, one is given back, one is bought in part, one is extended: each leaves.
    let lamp = pool("lamp", "berlin");
    let [sold, back, partly, longer] = [3, 200, 201, 299].map(|number| reservation_id(BASE, number));
    let in_part = Commit {
        id: partly,
        operation: Some(operation_id(BASE, 3)),
        parts: vec![part(&lamp, 1)],
        keep_rest: true,
        revive: false,
    };
    let later = DurationMs(20 * MINUTE);
    let changes = [commit(sold), release(back), Body::Commit(in_part), extend(longer, operation_id(BASE, 2), later)];
    apply(&mut shard, &store, BASE, changes.map(command).to_vec());
    store.checkpoint(&mut shard.ledger);
    assert_eq!(kinds(&store, records::PACK_LEFT), 3);
    assert_eq!(kinds(&store, records::ENDED), 2);
    // The two that hold units still have records of their own.
    assert_eq!((kinds(&store, records::PACK), kinds(&store, records::LIVE)), (3, 2));
    assert_stored(&store, &mut shard.ledger);

    // A restarted node goes on with what it found.
    shard.ledger = store.load();
    apply(&mut shard, &store, BASE, (0..128).map(released).collect());
    store.checkpoint(&mut shard.ledger);
    assert_eq!((kinds(&store, records::PACK), kinds(&store, records::PACK_LEFT)), (2, 2));
    assert_stored(&store, &mut shard.ledger);

    // At the deadline of the last there is neither a pack nor a word about one.
    sweep(&mut shard, &store, BASE.plus(DurationMs(30 * MINUTE)));
    store.checkpoint(&mut shard.ledger);
    assert_eq!(stored(&store), [0, 0, 0]);
    assert_eq!(kinds(&store, records::ENDED), 300);
    assert_stored(&store, &mut shard.ledger);
}

#[test]
fn a_pack_that_all_leave_before_a_checkpoint_is_never_stored() {
    let (mut shard, mut store) = (stocked(), Store::default());
    apply(&mut shard, &store, BASE, holds(0, 200, 10));
    apply(&mut shard, &store, BASE, (0..199).map(released).collect());
    store.checkpoint(&mut shard.ledger);
    assert_eq!(stored(&store), [0, 0, 1]);
    assert_stored(&store, &mut shard.ledger);
    apply(&mut shard, &store, BASE, holds(300, 3, 10));
    apply(&mut shard, &store, BASE, [199, 300, 301, 302].map(released).to_vec());
    store.checkpoint(&mut shard.ledger);
    assert_eq!(stored(&store), [0, 0, 0]);
    assert_eq!(kinds(&store, records::ENDED), 203);
    assert_stored(&store, &mut shard.ledger);
}

#[test]
fn what_would_keep_a_pack_for_long_is_in_none() {
    let (mut shard, mut store) = (stocked(), Store::default());
    let lamp = pool("lamp", "berlin");
    let lots: Vec<PoolKey> =
        (0..5).map(|lot| PoolKey { lot: format!("lot-{lot}").parse().expect("a lot"), ..lamp.clone() }).collect();
    let receive = |(at, pool): (u64, &PoolKey)| command(receive(operation_id(BASE, 10 + at), pool, 10));
    apply(&mut shard, &store, BASE, (0_u64..).zip(&lots).map(receive).collect());
    let many = |number| {
        reserve(reservation_id(BASE, number), lots.iter().map(|lot| line(lot, 1)).collect(), DurationMs(MINUTE))
    };
    apply(&mut shard, &store, BASE, holds(0, 5, 61));
    apply(&mut shard, &store, BASE, holds(10, 5, 60));
    apply(&mut shard, &store, BASE, (20..22).map(|number| command(Body::Reserve(many(number)))).collect());
    store.checkpoint(&mut shard.ledger);
    assert_eq!((kinds(&store, records::PACK), kinds(&store, records::LIVE)), (1, 7));
    assert_stored(&store, &mut shard.ledger);
}

#[test]
fn numbers_and_places_of_packs_are_not_mixed_up() {
    let (mut shard, mut store) = (stocked(), Store::default());
    let later = BASE.plus(DurationMs(2 * MINUTE));
    for (first, minutes) in [(0, 20), (10, 1)] {
        apply(&mut shard, &store, BASE, holds(first, 5, minutes));
        store.checkpoint(&mut shard.ledger);
    }
    // The second pack goes, and what it was in memory becomes another's.
    sweep(&mut shard, &store, later);
    store.checkpoint(&mut shard.ledger);
    assert_eq!(kinds(&store, records::PACK), 1);
    apply(&mut shard, &store, later, holds(20, 5, 10));
    store.checkpoint(&mut shard.ledger);
    assert_eq!(kinds(&store, records::PACK), 2);
    assert_stored(&store, &mut shard.ledger);
    // After a restart the next one is not written over those that are there.
    shard.ledger = store.load();
    apply(&mut shard, &store, later, holds(30, 5, 10));
    apply(&mut shard, &store, later, [0, 24, 32].map(released).to_vec());
    store.checkpoint(&mut shard.ledger);
    assert_eq!((kinds(&store, records::PACK), kinds(&store, records::PACK_LEFT)), (3, 3));
    assert_stored(&store, &mut shard.ledger);
}

#[test]
fn a_pack_that_most_left_before_a_checkpoint_is_not_stored_for_the_rest() {
    let (mut shard, mut store) = (stocked(), Store::default());
    apply(&mut shard, &store, BASE, holds(0, 128, 10));
    apply(&mut shard, &store, BASE, (0..96).map(released).collect());
    store.checkpoint(&mut shard.ledger);
    assert_eq!(stored(&store), [0, 0, 32]);
    assert_stored(&store, &mut shard.ledger);
}

#[test]
fn a_checkpoint_has_about_as_many_bytes_as_it_says() {
    for ended in [0, 1_500] {
        let (mut shard, mut store) = (stocked(), Store::default());
        apply(&mut shard, &store, BASE, holds(0, 2_000, 10));
        apply(&mut shard, &store, BASE, (0..ended).map(|number| released(number * 7 % 2_000)).collect());
        let said = shard.ledger.dirty_bytes();
        store.checkpoint(&mut shard.ledger);
        let written: usize = store.0.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert!(written <= said && said <= written * 2, "{said} were to be written, and {written} are");
    }
}

/// Records of a state with a pack of which some have left.
fn packed() -> (Store, Ledger) {
    let (mut shard, mut store) = (stocked(), Store::default());
    apply(&mut shard, &store, BASE, holds(0, 5, 10));
    store.checkpoint(&mut shard.ledger);
    apply(&mut shard, &store, BASE, vec![command(release(reservation_id(BASE, 3)))]);
    store.checkpoint(&mut shard.ledger);
    (store, shard.ledger)
}

#[test]
fn records_of_packs_are_written_as_ever() {
    let (store, _) = packed();
    for kind in [records::PACK_LEFT, records::PACK] {
        let (key, value) = store.0.iter().find(|(key, _)| key[0] == kind).expect("there is one");
        let len = u16::try_from(key.len()).expect("keys are short").to_be_bytes();
        sample(&format!("record-6-kind{kind}"), &[&len, &key[..], value].concat());
    }
}

#[test]
fn records_may_come_in_any_order_but_for_what_left() {
    let (store, mut ledger) = packed();
    let mut records: Vec<(&Vec<u8>, &Vec<u8>)> = store.0.iter().collect();
    // Packs before pools, but after what left them.
    records.sort_by_key(|(key, _)| (key[0] != records::PACK_LEFT, key[0] != records::PACK, std::cmp::Reverse(key[0])));
    let (mut loader, mut sum) = (Loader::new(SHARD), Accumulator::new());
    for (key, value) in records {
        loader.record(key, value).expect("was written here");
        sum.add(key, value);
    }
    let mut loaded = loader.finish().expect("is a state");
    assert_eq!(sum.finish(), ledger.digest());
    assert_eq!(loaded.digest(), ledger.digest());
    assert!(matches!(loaded.reservation(reservation_id(BASE, 4)), Lookup::Found(_)));
    assert_eq!(loaded.violations(), Vec::new());
}

/// As it is written in a pack: a number of two bytes.
fn length(bytes: &[u8]) -> usize {
    usize::from(bytes[0] & 0x7f) | usize::from(bytes[1]) << 7
}

#[test]
fn a_changed_byte_of_a_pack_is_noticed() {
    let (store, mut ledger) = packed();
    let (digest, all) = (ledger.digest(), &store.0);
    for kind in [records::PACK_LEFT, records::PACK] {
        let (key, value) = all.iter().find(|(key, _)| key[0] == kind).expect("there is one");
        let whole = [&key[..], &value[..]].concat();
        // What has left is no longer anybody's.
        let left = reservation_id(BASE, 3).to_bytes();
        let gone = whole
            .windows(16)
            .position(|bytes| bytes == left)
            .map_or(0..0, |at| at - 1..at - 1 + length(&whole[at - 3..]));
        for at in (1..whole.len()).filter(|at| !gone.contains(at)) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let (new_key, new_value) = changed.split_at(key.len());
            let mut records = all.clone();
            records.remove(key);
            records.insert(new_key.to_vec(), new_value.to_vec());
            let mut sum = Accumulator::new();
            records.iter().for_each(|(key, value)| sum.add(key, value));
            let same = sum.finish() == digest;
            let mut loader = Loader::new(SHARD);
            let read = records.iter().try_for_each(|(key, value)| loader.record(key, value));
            let found = read.and_then(|()| loader.finish());
            // What the holds say is in the digest; of what is around them a load tells.
            assert!(!same || found.is_err(), "byte {at} of a record of kind {kind}");
        }
    }
}

#[test]
fn what_contradicts_a_pack_is_refused() {
    let (store, _) = packed();
    let of = |kind: u8| store.0.iter().find(|(key, _)| key[0] == kind).map(|(key, value)| (key.clone(), value.clone()));
    let (left, pack) = (of(records::PACK_LEFT).expect("some left"), of(records::PACK).expect("a pack"));
    let hold = {
        let value = pack.1.clone();
        let mut message = Bytes::from(value.clone());
        // Version, key and length in front of the first hold.
        message.split_off(4).split_to(length(&value[2..]))
    };
    let load = |records: &[(Vec<u8>, Vec<u8>)]| {
        let mut loader = Loader::new(SHARD);
        let all = store.0.iter().filter(|(key, _)| ![records::PACK, records::PACK_LEFT].contains(&key[0]));
        for (key, value) in all.chain(records.iter().map(|(key, value)| (key, value))) {
            loader.record(key, value)?;
        }
        loader.finish()
    };
    assert!(load(&[left.clone(), pack.clone()]).is_ok());
    // Without its pack; after it; twice; the pack twice.
    assert!(load(std::slice::from_ref(&left)).is_err());
    assert!(load(&[pack.clone(), left.clone()]).is_err());
    assert!(load(&[left.clone(), left.clone(), pack.clone()]).is_err());
    assert!(load(&[left.clone(), pack.clone(), pack.clone()]).is_err());
    // A hold with a record of its own, too.
    let own = (hold[..17].to_vec(), hold[17..].to_vec());
    assert!(load(&[own, left.clone(), pack.clone()]).is_err());
    // None, more than there may be, and one that is no hold.
    assert!(load(&[left.clone(), (pack.0.clone(), vec![1])]).is_err());
    let one = |hold: &[u8]| {
        let length = [10, hold.len() as u8 & 0x7f | 0x80, (hold.len() >> 7) as u8];
        [&length[..], hold].concat()
    };
    let many = |hold: &[u8], count: usize| [vec![1], one(hold).repeat(count)].concat();
    assert!(load(&[(pack.0.clone(), many(&hold, 129))]).is_err());
    for (at, to) in [(0, records::ENDED), (0, records::PACK), (16, 99), (17, 2)] {
        let mut other = hold.to_vec();
        other[at] = to;
        assert!(load(&[(pack.0.clone(), many(&other, 1))]).is_err(), "byte {at}");
    }
    assert!(load(&[(pack.0.clone(), many(&hold[..17], 1))]).is_err());
    // A number after which there is none.
    let last = [&[records::PACK][..], &[0xff; 8]].concat();
    assert!(load(&[(last, pack.1.clone())]).is_err());
    // All have left, more than there are, and none.
    for bits in [0b1_1111_u128, 1 << 5, 0] {
        let halves = [(bits >> 64) as u64, bits as u64].map(u64::to_le_bytes);
        let value = [&[1, 9][..], &halves[0], &[17], &halves[1]].concat();
        assert!(load(&[(left.0.clone(), value), pack.clone()]).is_err(), "{bits:b}");
    }
}

/// What one of many shoppers does next.
#[derive(Clone, Debug)]
enum Step {
    Hold {
        count: u64,
        minutes: u64,
    },
    Commit(u64),
    Release(u64),
    Extend(u64),
    InPart(u64),
    Wait(u64),
    Checkpoint,
    Restart,
    /// Of the other replica.
    Other,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..200_u64, 1..40_u64).prop_map(|(count, minutes)| Step::Hold { count, minutes }),
        3 => (0..400_u64).prop_map(Step::Commit),
        3 => (0..400_u64).prop_map(Step::Release),
        2 => (0..400_u64).prop_map(Step::Extend),
        2 => (0..400_u64).prop_map(Step::InPart),
        2 => (1..20_u64).prop_map(Step::Wait),
        4 => Just(Step::Checkpoint),
        1 => Just(Step::Restart),
        2 => Just(Step::Other),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Two replicas with checkpoints at other moments, one of them restarted now and then.
    #[test]
    fn the_store_has_the_state(steps in vec(step(), 1..40)) {
        let (mut shard, mut store) = (stocked(), Store::default());
        let (mut other, mut others) = (stocked(), Store::default());
        store.checkpoint(&mut shard.ledger);
        let (mut now, mut made, mut asked) = (BASE, 0, 10);
        for step in steps {
            asked += 1;
            let one = |number: u64| reservation_id(BASE, if made == 0 { 0 } else { number % made });
            let many = |number: u64| (number..(number + 30).min(made)).map(|number| reservation_id(BASE, number));
            let commands = match step {
                Step::Hold { count, minutes } => {
                    made += count;
                    holds(made - count, count, minutes)
                }
                Step::Commit(number) => many(number).map(|id| command(commit(id))).collect(),
                Step::Release(number) => many(number).map(|id| command(release(id))).collect(),
                Step::Extend(number) => vec![command(extend(one(number), operation_id(BASE, asked), DurationMs(45 * MINUTE)))],
                Step::InPart(number) => {
                    let parts = vec![part(&pool("lamp", "berlin"), 1)];
                    let operation = Some(operation_id(BASE, asked));
                    let commit = Commit { id: one(number), operation, parts, keep_rest: true, revive: false };
                    vec![command(Body::Commit(commit))]
                }
                Step::Wait(minutes) => {
                    now = now.plus(DurationMs(minutes * MINUTE));
                    Vec::new()
                }
                Step::Checkpoint => {
                    store.checkpoint(&mut shard.ledger);
                    assert_stored(&store, &mut shard.ledger);
                    continue;
                }
                Step::Restart => {
                    store.checkpoint(&mut shard.ledger);
                    shard.ledger = store.load();
                    continue;
                }
                Step::Other => {
                    others.checkpoint(&mut other.ledger);
                    continue;
                }
            };
            let batch = batch(now, commands);
            shard.index += 1;
            other.index += 1;
            let applied = store.apply(&mut shard.ledger, shard.index, &batch);
            others.apply_also(&mut other.ledger, other.index, &batch, &applied);
        }
        store.checkpoint(&mut shard.ledger);
        others.checkpoint(&mut other.ledger);
        assert_stored(&store, &mut shard.ledger);
        assert_stored(&others, &mut other.ledger);
        prop_assert_eq!(store.digest(), others.digest());
        // Longer than any of them lasts.
        for (store, shard) in [(&mut store, &mut shard), (&mut others, &mut other)] {
            sweep(shard, store, now.plus(DurationMs(200 * MINUTE)));
            store.checkpoint(&mut shard.ledger);
            for kind in [records::PACK, records::PACK_LEFT, records::LIVE] {
                prop_assert_eq!(kinds(store, kind), 0);
            }
            assert_stored(store, &mut shard.ledger);
        }
    }
}
