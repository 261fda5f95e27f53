//! Every format ever written can be read for ever, and is still written byte for byte: the samples in `tests/formats/`
//! are never changed, only added to.
//!
//! `FORMATS=write cargo test -p earmark-ledger --test formats` writes the samples that are not there yet.

mod support;

use bytes::Bytes;
use earmark_ledger::{
    Ledger, Loader, Lookup,
    codec::*,
    command::*,
    digest::Accumulator,
    journal::Block,
    movement::{Delta, MovementKind},
    outcome::*,
    records,
    types::*,
};
use support::*;

fn context() -> Context {
    Context {
        principal: "till 4".parse().expect("a principal"),
        session: "s-1".parse().expect("a session"),
        request_id: "r-1".parse().expect("a request id"),
        trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("a trace parent"),
    }
}

fn asked(body: Body) -> Command {
    Command { context: context(), not_after: BASE.plus(DurationMs::seconds(10)), attempt: 2, heard: false, body }
}

fn lot_pool() -> PoolKey {
    PoolKey {
        namespace: "brand".parse().expect("a namespace"),
        kind: PoolKind::Preorder,
        lot: "lot-7".parse().expect("a lot"),
        ..pool("Schuh, rot ✓", "berlin.1")
    }
}

fn every_body() -> Vec<Body> {
    let (pool, id, operation) = (lot_pool(), reservation_id(BASE, 7), operation_id(BASE, 8));
    let node = MetaNode {
        node: 1,
        client_endpoint: "a:1".into(),
        peer_endpoint: "a:2".into(),
        region: "eu".into(),
        zone: "eu-1".into(),
    };
    let minimum = Line { minimum: units(1), ..line(&pool, 2) };
    vec![
        Body::Reserve(Reserve {
            best_effort: true,
            ttl_chosen: true,
            ..reserve(id, vec![minimum, line(&pool, 1)], DurationMs::seconds(60))
        }),
        Body::Commit(Commit {
            id,
            operation: Some(operation),
            parts: vec![part(&pool, 1)],
            keep_rest: true,
            revive: false,
        }),
        commit(id),
        Body::Release(Release { id, operation: Some(operation), parts: vec![part(&pool, 1)] }),
        extend(id, operation, DurationMs::seconds(61)),
        receive(operation, &pool, 5),
        Body::Adjust(Adjust {
            operation,
            pool,
            delta: -3,
            reason: "count".parse().expect("a reason"),
            expected_on_hand: Some(units(0)),
        }),
        Body::Forget(Forget { reservations: vec![id], operations: vec![operation] }),
        Body::Meta(Meta::Form(Form { cluster: [9; 16], shards: 8, nodes: vec![node] })),
    ]
}

#[test]
fn batches() {
    let commands = every_body().into_iter().map(asked).collect();
    let batch = Batch { rules: 1, time: BASE, digest: true, commands };
    let saved = sample("batch-1", &encode_batch(&batch));
    assert_eq!(decode_batch(saved), Ok(batch.clone()));
    for (at, command) in batch.commands.iter().enumerate() {
        let saved = sample(&format!("command-1-{at}"), &encode_command(command));
        assert_eq!(decode_command(saved).as_ref(), Ok(command));
    }
}

fn every_verdict() -> Vec<Verdict> {
    let (pool, id) = (lot_pool(), reservation_id(BASE, 7));
    let view = PoolView {
        key: pool.clone(),
        on_hand: units(1),
        available: units(2),
        held: units(3),
        committed: units(4),
        unavailable: units(5),
        short: units(6),
        sellable: units(7),
        received_total: units(8),
        sold_total: units(9),
        returned_total: Quantity::ZERO,
        in_transit: units(0),
        expected: units(0),
        expected_date: None,
    };
    let of_line = LineView {
        pool: pool.clone(),
        asked: units(10),
        held: units(1),
        committed: units(2),
        released: units(3),
        expired: units(4),
        shipped: Quantity::ZERO,
        cancelled: Quantity::ZERO,
        returned: Quantity::ZERO,
        returned_unavailable: Quantity::ZERO,
    };
    let reservation = ReservationView {
        id,
        namespace: pool.namespace.clone(),
        owner: "ann".parse().expect("an owner"),
        state: ReservationState::PartlyCommitted,
        lines: vec![of_line],
        created: BASE,
        deadline: TimeMs(BASE.0 + 1),
        since: TimeMs(BASE.0 + 2),
        revision: 3,
        settled: true,
        paying: false,
    };
    let got = LineGot { pool: pool.clone().into(), asked: units(2), got: units(1), policy: None };
    let since = TimeMs(BASE.0 + 5);
    let done = [
        Done::Reserved(Reserved { id, lines: vec![got], all: false, deadline: BASE }),
        Done::Reservation(Box::new(reservation)),
        Done::Pool(Box::new(view)),
        Done::Noted,
    ];
    let refused = [
        Refusal::IdempotencyConflict,
        Refusal::IdempotencyTooOld,
        Refusal::InvalidArgument(vec![BadField { field: "lines".into(), problem: "none".into() }]),
        Refusal::WrongShard,
        Refusal::Late,
        Refusal::NotFound(Missing::Sku(pool.sku.clone())),
        Refusal::NotFound(Missing::Pool(Box::new(pool.clone()))),
        Refusal::NotFound(Missing::Reservation(id)),
        Refusal::NotFound(Missing::Line(Box::new(pool))),
        Refusal::ReservationExpired { since },
        Refusal::ReservationState { state: ReservationState::Released, since },
        Refusal::ExtensionLimit { latest: since },
        Refusal::VersionStale { on_hand: units(4) },
        Refusal::SkuFrozen { reason: Reason::default() },
        Refusal::SaleNotOpen { opens: since },
        Refusal::SaleClosed,
        Refusal::LimitExceeded(LimitExceeded::default()),
        Refusal::PolicyUnsatisfiable,
        Refusal::InsufficientStock(vec![Shortage { line: 1, asked: units(3), sellable: units(2), earliest: None }]),
        Refusal::Contended,
    ];
    done.into_iter().map(Verdict::Done).chain(refused.into_iter().map(Verdict::Refused)).collect()
}

#[test]
fn outcomes() {
    for (at, verdict) in every_verdict().into_iter().enumerate() {
        let position = Position { shard: SHARD, epoch: Epoch(2), index: LogIndex(3), ordinal: 4 };
        let outcome = Outcome { verdict, replayed: at % 2 == 0, position, time: BASE };
        let saved = sample(&format!("outcome-1-{at:02}"), &encode_outcome(&outcome));
        assert_eq!(decode_outcome(saved), Ok(outcome));
    }
}

/// A state with a record of every kind a stock shard has, and the journal block that led there.
fn state() -> (Ledger, Bytes) {
    let shoe = lot_pool();
    let mut ledger = Ledger::new(SHARD);
    let in_brand = |id, quantity, ttl| {
        let reserve = reserve(id, vec![line(&shoe, quantity)], DurationMs::seconds(ttl));
        asked(Body::Reserve(Reserve { namespace: shoe.namespace.clone(), ..reserve }))
    };
    let [live, ended, refused] = [1, 2, 3].map(|number| reservation_id(BASE, number));
    let keep = Body::Commit(Commit {
        id: live,
        operation: Some(operation_id(BASE, 9)),
        parts: vec![part(&shoe, 1)],
        keep_rest: true,
        revive: false,
    });
    let commands = vec![
        asked(receive(operation_id(BASE, 8), &shoe, 10)),
        in_brand(live, 4, 60),
        in_brand(ended, 3, 60),
        asked(keep),
        asked(release(ended)),
        in_brand(refused, 99, 60),
        asked(adjust(operation_id(BASE, 10), &shoe, -2)),
        asked(adjust(operation_id(BASE, 11), &shoe, -99)),
        asked(extend(live, operation_id(BASE, 12), DurationMs::seconds(90))),
    ];
    let applied = ledger.apply(LogIndex(5), &batch(BASE, commands));
    (ledger, applied.journal.expect("units moved"))
}

fn meta_state() -> Ledger {
    let mut ledger = Ledger::new(ShardId::META);
    let form = every_body().pop().expect("the last is a form");
    ledger.apply(LogIndex(1), &batch(BASE, vec![asked(form)]));
    ledger
}

/// Key and value in one sample: the length of the key, the key, the value.
fn record_sample(name: &str, key: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    let len = u16::try_from(key.len()).expect("keys are short").to_be_bytes();
    let mut saved = sample(name, &[&len, key, value].concat());
    let len = usize::from(bytes::Buf::get_u16(&mut saved));
    (saved.split_to(len), saved)
}

#[test]
fn records_of_every_kind() {
    let (mut ledger, _) = state();
    let digest = ledger.digest();
    let mut loader = Loader::new(SHARD);
    let mut sum = Accumulator::new();
    let mut kinds = Vec::new();
    let mut puts = ledger.take_changes().puts.copies();
    puts.sort();
    for (at, (key, value)) in puts.iter().enumerate() {
        let (key, value) = record_sample(&format!("record-1-kind{}-{at:02}", key[0]), key, value);
        kinds.push(key[0]);
        sum.add(&key, &value);
        loader.record(&key, &value).expect("was written once");
    }
    kinds.dedup();
    assert_eq!(kinds, [1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(sum.finish(), digest);

    let mut loaded = loader.finish().expect("is a state");
    assert_eq!(loaded.digest(), digest);
    assert_eq!(loaded.violations(), Vec::new());
    for number in [1, 2] {
        let id = reservation_id(BASE, number);
        assert!(matches!(loaded.reservation(id), Lookup::Found(_)));
        assert_eq!(loaded.reservation(id), ledger.reservation(id));
    }
    let shoe = lot_pool();
    assert_eq!(loaded.stock(&shoe.namespace, &shoe.sku, None), ledger.stock(&shoe.namespace, &shoe.sku, None));
}

#[test]
fn the_refusal_of_a_whole_commit() {
    let mut ledger = Ledger::new(SHARD);
    let (id, operation) = (reservation_id(BASE, 7), operation_id(BASE, 8));
    let whole =
        Body::Commit(Commit { id, operation: Some(operation), parts: Vec::new(), keep_rest: false, revive: false });
    ledger.apply(LogIndex(1), &batch(BASE, vec![asked(whole.clone())]));
    let digest = ledger.digest();
    let mut loader = Loader::new(SHARD);
    let mut sum = Accumulator::new();
    let mut kinds = Vec::new();
    for (key, value) in ledger.take_changes().puts.copies() {
        let (key, value) = record_sample(&format!("record-5-kind{}", key[0]), &key, &value);
        kinds.push(key[0]);
        sum.add(&key, &value);
        loader.record(&key, &value).expect("was written once");
    }
    kinds.sort_unstable();
    assert_eq!(kinds, [records::HEADER, records::REFUSED_WHOLE]);
    assert_eq!(sum.finish(), digest);
    let mut loaded = loader.finish().expect("a whole state");
    let again = batch(BASE, vec![asked(whole)]);
    assert_eq!(loaded.apply(LogIndex(2), &again), ledger.apply(LogIndex(2), &again));
    assert_eq!(loaded.violations(), Vec::new());
}

#[test]
fn the_record_of_the_meta_shard() {
    let mut ledger = meta_state();
    let mut loader = Loader::new(ShardId::META);
    for (key, value) in ledger.take_changes().puts.copies() {
        let (key, value) = record_sample(&format!("record-1-meta-kind{}", key[0]), &key, &value);
        loader.record(&key, &value).expect("was written once");
    }
    let loaded = loader.finish().expect("is a state");
    assert_eq!(loaded.meta(), ledger.meta());
    let meta = loaded.meta().expect("was formed");
    assert_eq!((meta.map_version, meta.ranges.len(), meta.nodes.len()), (1, 8, 1));
    for number in [0, 2_047, 2_048, 16_383] {
        let shard = meta.shard_of(Bucket::new(number).expect("below 16,384"));
        assert_eq!(shard, Some(ShardId(u32::from(number) / 2_048 + 1)));
    }
}

#[test]
fn a_journal_block() {
    let (ledger, block) = state();
    let saved = sample("journal-1", &block);
    let block = Block::decode(&saved).expect("was written once");
    assert_eq!(block.hash(), ledger.journal_hash());
    assert_eq!(block.previous(), earmark_ledger::BlockHash(0));
    assert_eq!((block.position().index, block.time()), (LogIndex(5), BASE));
    let movements: Vec<_> = block.movements().map(|movement| movement.expect("was written once")).collect();
    let kinds: Vec<_> = movements.iter().map(|movement| movement.kind).collect();
    use MovementKind::*;
    assert_eq!(kinds, [Receive, Reserve, Reserve, Commit, Release, Adjust, Extend]);
    let commit = &movements[3];
    assert_eq!(commit.delta, Delta { on_hand: -1, held: -1, ..Delta::default() });
    assert_eq!(commit.pool, lot_pool());
    assert_eq!(commit.reservation, Some(reservation_id(BASE, 1)));
    assert_eq!(commit.context, context());
    assert_eq!(commit.previous_of_pool.map(|at| at.ordinal), Some(2));
    assert_eq!(commit.previous_of_reservation.map(|at| at.ordinal), Some(1));
    assert_eq!(movements[0].document.as_str(), "note");
    assert_eq!(movements[5].reason.as_str(), "count");
    assert_eq!(movements[1].owner.as_str(), "ann");
    assert_eq!(movements[1].deadline, Some(BASE.plus(DurationMs::seconds(60))));
    assert_eq!(movements[6].deadline, Some(BASE.plus(DurationMs::seconds(90))));
}

#[test]
fn a_changed_byte_of_a_block_is_found() {
    let (_, block) = state();
    for at in 0..block.len() {
        let mut changed = block.to_vec();
        changed[at] ^= 0x10;
        assert!(Block::decode(&Bytes::from(changed)).is_err(), "byte {at}");
        assert!(Block::decode(&block.slice(..at)).is_err(), "the first {at} bytes");
    }
}

#[test]
fn a_changed_byte_of_a_record_changes_the_digest() {
    for mut ledger in [state().0, meta_state()] {
        let digest = ledger.digest();
        let puts = ledger.take_changes().puts.copies();
        let digest_of = |records: &[(Bytes, Bytes)]| {
            let mut sum = Accumulator::new();
            records.iter().for_each(|(key, value)| sum.add(key, value));
            sum.finish()
        };
        assert_eq!(digest_of(&puts), digest);
        for at in 0..puts.len() {
            let (key, value) = &puts[at];
            let both = [&key[..], &value[..]].concat();
            for byte in 0..both.len() {
                let mut changed = both.clone();
                changed[byte] ^= 1;
                let mut records = puts.clone();
                let (key, value) = changed.split_at(key.len());
                records[at] = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                assert_ne!(digest_of(&records), digest, "byte {byte} of record {at}");
            }
            let mut without = puts.clone();
            without.remove(at);
            assert_ne!(digest_of(&without), digest, "without record {at}");
            // The border between key and value is part of it.
            let mut moved = puts.clone();
            let (key, value) = both.split_at(key.len() + 1);
            moved[at] = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            assert_ne!(digest_of(&moved), digest, "another border in record {at}");
        }
    }
}

#[test]
fn keys_of_pools_are_permanent() {
    let shoe = lot_pool();
    let key = records::pool_key_bytes(&shoe);
    assert_eq!(&key[..], "\u{5}brand\u{e}Schuh, rot ✓\u{8}berlin.1\u{4}\u{5}lot-7".as_bytes());
    assert_eq!(records::read_pool_key(key), Ok(shoe));
}

#[test]
fn what_may_be_forgotten_lies_in_the_ranges_to_look_through() {
    const DAY: u64 = 24 * 3_600_000;
    let (mut ledger, _) = state();
    ledger.apply(LogIndex(6), &batch(BASE, vec![asked(commit(reservation_id(BASE, 1)))]));
    let puts = ledger.take_changes().puts.copies();
    let forgettable = |days: u64| {
        let clock = TimeMs(BASE.0 + days * DAY + 1);
        let ranges = records::forget_ranges(clock);
        let over = puts.iter().filter(|(key, value)| {
            let over = records::forgettable(key, value, clock);
            let inside = ranges.iter().any(|(from, to)| from[..] <= key[..] && key[..] < to[..]);
            assert!(inside || !over, "{key:?} would never be found");
            over
        });
        over.map(|(key, _)| key[0]).collect::<Vec<_>>()
    };
    assert_eq!(forgettable(6), []);
    // The released reservation and four operations; the sold one stays through the return window.
    let mut week = forgettable(7);
    week.sort_unstable();
    assert_eq!(week, [records::ENDED, records::OPERATION, records::OPERATION, records::OPERATION, records::OPERATION]);
    assert_eq!(forgettable(400).len(), 6);
}
