//! What the state machine costs by itself: encoding, decoding and applying entries, taking a checkpoint's changes, and
//! reading a checkpoint back. Throughputs are commands (or reservations) a second on one processor.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use earmark_ledger::{
    Ledger, Loader, codec,
    command::{Batch, Body, Command, Commit, Context, Line, RULES_NEWEST, Receive, Reserve},
    records,
    types::{
        Bucket, Document, DurationMs, LogIndex, Lot, Namespace, OperationId, PoolKey, PoolKind, Quantity,
        ReservationId, ShardId, TimeMs,
    },
};
use std::{collections::BTreeMap, hint::black_box};

/// Commands of one entry.
const COMMANDS: u64 = 4_096;

/// SKUs of a shard.
const SKUS: u64 = 10_000;

/// Reservations of a state that is read back.
const HELD: u64 = 100_000;

const SHARD: ShardId = ShardId(3);
const BEGUN: TimeMs = TimeMs(1_700_000_000_000);

fn pool(number: u64) -> PoolKey {
    PoolKey {
        namespace: Namespace::default(),
        sku: format!("sku-{number}").parse().expect("a SKU"),
        location: "shop".parse().expect("a location"),
        kind: PoolKind::Now,
        lot: Lot::default(),
    }
}

fn units(units: u64) -> Quantity {
    Quantity::new(units).expect("at most 2^53")
}

fn id(number: u64) -> ReservationId {
    ReservationId::timed(BEGUN, Bucket::new(77).expect("below 16,384"), number)
}

fn command(body: Body) -> Command {
    Command { context: Context::default(), not_after: TimeMs::MAX, attempt: 1, heard: false, body }
}

fn entry(commands: Vec<Command>) -> Batch {
    Batch { rules: RULES_NEWEST, time: BEGUN, digest: false, commands }
}

fn receive(number: u64, quantity: u64) -> Command {
    let mut bytes = (u128::from(BEGUN.0) << 80 | u128::from(number)).to_be_bytes();
    // Version 7, variant 1 (RFC 9562).
    (bytes[6], bytes[8]) = (0x70, 0x80);
    let operation = OperationId::from_slice(&bytes).expect("version 7");
    let (pool, quantity) = (pool(number), units(quantity));
    command(Body::Receive(Receive { operation, pool, quantity, document: Document::default() }))
}

fn reserve(number: u64, sku: u64) -> Command {
    let pool = pool(sku);
    let line = Line {
        sku: pool.sku,
        location: Some(pool.location),
        kind: pool.kind,
        lot: pool.lot,
        quantity: units(1),
        minimum: Quantity::ZERO,
    };
    command(Body::Reserve(Reserve {
        id: id(number),
        namespace: Namespace::default(),
        lines: vec![line],
        owner: "ann".parse().expect("an owner"),
        ttl: DurationMs::minutes(15),
        ttl_chosen: false,
        best_effort: false,
        zone: 0,
        shards: Vec::new(),
    }))
}

fn commit(number: u64) -> Command {
    command(Body::Commit(Commit {
        id: id(number),
        operation: None,
        parts: Vec::new(),
        keep_rest: false,
        revive: false,
    }))
}

/// Reserves over all SKUs, or of one.
fn reserves(first: u64, skus: u64) -> Batch {
    // 7,919 is prime to the number of SKUs: neighbours in an entry are strangers in the table.
    entry((first..first + COMMANDS).map(|number| reserve(number, number * 7_919 % skus)).collect())
}

fn commits(first: u64) -> Batch {
    entry((first..first + COMMANDS).map(commit).collect())
}

/// A shard that has so many units of each SKU.
fn stocked(quantity: u64) -> Ledger {
    let mut ledger = Ledger::new(SHARD);
    apply(&mut ledger, 1, &entry((0..SKUS).map(|number| receive(number, quantity)).collect()));
    ledger
}

fn apply(ledger: &mut Ledger, index: u64, batch: &Batch) {
    black_box(ledger.apply(LogIndex(index), batch));
}

fn applying(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(COMMANDS)).sample_size(20);
    let plenty = || stocked(1_000_000);
    for (name, skus) in [("reserve", SKUS), ("reserve, one hot SKU", 1)] {
        let batch = reserves(1, skus);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(plenty, |ledger| apply(ledger, 2, &batch), BatchSize::PerIteration);
        });
    }
    let (held, sold) = (reserves(1, SKUS), commits(1));
    group.bench_function("commit", |bencher| {
        let setup = || {
            let mut ledger = plenty();
            apply(&mut ledger, 2, &held);
            ledger
        };
        bencher.iter_batched_ref(setup, |ledger| apply(ledger, 3, &sold), BatchSize::PerIteration);
    });
    group.bench_function("refuse, sold out", |bencher| {
        let setup = || {
            let mut ledger = stocked(1);
            apply(&mut ledger, 2, &reserves(1, 1));
            ledger
        };
        let batch = reserves(1_000_000, 1);
        bencher.iter_batched_ref(setup, |ledger| apply(ledger, 3, &batch), BatchSize::PerIteration);
    });
    group.finish();
}

fn coding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(COMMANDS));
    let batch = reserves(1, SKUS);
    let bytes = codec::encode_batch(&batch);
    group.bench_function("encode", |bencher| bencher.iter(|| codec::encode_batch(black_box(&batch))));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| codec::decode_batch(black_box(bytes.clone())).expect("it was encoded"));
    });
    group.finish();
}

/// A state with many holds.
fn held() -> Ledger {
    let mut ledger = stocked(1_000_000);
    for (index, first) in (1..HELD).step_by(COMMANDS as usize).enumerate() {
        apply(&mut ledger, index as u64 + 2, &reserves(first, SKUS));
    }
    ledger
}

fn keeping(criterion: &mut Criterion) {
    let store: BTreeMap<Bytes, Bytes> = held().take_changes().puts.into_iter().collect();
    let mut group = criterion.benchmark_group("state");
    group.throughput(Throughput::Elements(HELD)).sample_size(10);
    group.bench_function("checkpoint", |bencher| {
        bencher.iter_batched_ref(held, |ledger| black_box(ledger.take_changes()), BatchSize::PerIteration);
    });
    group.bench_function("recovery", |bencher| bencher.iter(|| black_box(load(&store))));
    group.finish();
}

/// As a node loads a state after a restart.
fn load(store: &BTreeMap<Bytes, Bytes>) -> Ledger {
    let mut loader = Loader::new(SHARD);
    let header = store.get(records::HEADER_KEY).expect("was written");
    for (from, to) in records::hot_ranges(records::header_clock(header).expect("was written")) {
        for (key, value) in store.range(Bytes::from(from)..Bytes::from(to)) {
            loader.record(key, value).expect("was written");
        }
    }
    loader.finish().expect("was written")
}

criterion_group!(benches, applying, coding, keeping);
criterion_main!(benches);
