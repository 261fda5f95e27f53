//! What a node's store costs on this machine's disk: entries appended and synced, and checkpoints written and synced. These
//! are the disk's figures as much as Earmark's.

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use earmark_ledger::types::{Epoch, LogIndex, ShardId};
use earmark_node::{
    shard::raft::{Entry, LogId, Payload, TypeConfig},
    storage::{Checkpoint, Folder, ReplicaStore, Store},
};
use openraft::{
    EntryPayload,
    storage::{RaftLogStorage, RaftLogStorageExt},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Entries that the log keeps, as a node does.
const KEPT: u64 = 4_096;

/// Records of a checkpoint, and bytes of each: 4 MiB, where a node takes one.
const RECORDS: u64 = 20_971;
const RECORD: usize = 200;

/// A replica in a folder of its own.
fn replica(runtime: &Runtime) -> (tempfile::TempDir, Store, ReplicaStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = Store::open(Arc::new(Folder::new(folder.path()))).expect("an empty folder opens");
    let replica = store.replica(ShardId(1));
    runtime.block_on(replica.create(1)).expect("a new incarnation");
    (folder, store, replica)
}

fn id(index: u64) -> LogId {
    LogId::new_term_index(1, index)
}

async fn append(replica: &ReplicaStore, next: &mut u64, payload: &Bytes) {
    let mut log = replica.log();
    let entry = Entry { log_id: id(*next), payload: EntryPayload::Normal(Payload(payload.clone())) };
    RaftLogStorageExt::<TypeConfig>::blocking_append(&mut log, [entry]).await.expect("the disk works");
    if next.is_multiple_of(KEPT) && *next > KEPT {
        RaftLogStorage::<TypeConfig>::purge(&mut log, id(*next - KEPT)).await.expect("the disk works");
    }
    *next += 1;
}

fn log(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("log");
    group.measurement_time(Duration::from_secs(10));
    for (name, bytes) in [("append and sync 256 B", 256), ("append and sync 64 KiB", 64 << 10)] {
        let (_folder, store, replica) = replica(&runtime);
        let (mut next, payload) = (1, Bytes::from(vec![7; bytes]));
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let begun = Instant::now();
                for _ in 0..times {
                    runtime.block_on(append(&replica, &mut next, &payload));
                }
                begun.elapsed()
            });
        });
        runtime.block_on(store.close());
    }
    group.finish();
}

fn checkpoint(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("checkpoint");
    group.throughput(Throughput::Bytes(RECORDS * RECORD as u64)).sample_size(20);
    let (_folder, store, replica) = replica(&runtime);
    let mut index = 0;
    group.bench_function("4 MiB of records", |bencher| {
        bencher.iter_custom(|times| {
            let mut taken = Duration::ZERO;
            for _ in 0..times {
                index += 1;
                let checkpoint = changes(index);
                let begun = Instant::now();
                runtime.block_on(replica.checkpoint(checkpoint)).expect("the disk works");
                taken += begun.elapsed();
            }
            taken
        });
    });
    runtime.block_on(store.close());
    group.finish();
}

/// Other records each time, spread over all keys.
fn changes(index: u64) -> Checkpoint {
    let key = |number: u64| Bytes::copy_from_slice(&(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
    let value = Bytes::from(vec![7; RECORD]);
    Checkpoint {
        puts: (0..RECORDS).map(|number| (key(index * RECORDS + number), value.clone())).collect(),
        journal: vec![(LogIndex(index), value.clone())],
        applied: Some(id(index)),
        epoch: Epoch(1),
        ..Checkpoint::default()
    }
}

criterion_group!(benches, log, checkpoint);
criterion_main!(benches);
