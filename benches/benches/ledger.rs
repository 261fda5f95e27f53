//! What the state machine costs by itself: encoding, decoding and applying entries, taking a checkpoint's changes, and
//! reading a checkpoint back. Throughputs are commands (or reservations) a second on one processor.

#[path = "../common/entries.rs"]
mod entries;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use earmark_ledger::{Ledger, Loader, codec, records};
use entries::{COMMANDS, HELD, SHARD, SKUS, apply, commits, held, reserves, stocked};
use std::{collections::BTreeMap, hint::black_box};

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

fn keeping(criterion: &mut Criterion) {
    let store: BTreeMap<Bytes, Bytes> = held().take_changes().puts.copies().into_iter().collect();
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
