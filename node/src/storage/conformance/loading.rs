//! The records of a snapshot are read beside everything else that a node does.

use super::{RealBed, SHARD, begin};
use crate::shard::machine::load_received;
use earmark_ledger::{
    Ledger,
    command::{Batch, Body, Command, Context, RULES_NEWEST, Receive},
    types::{Document, LogIndex, Lot, Namespace, OperationId, PoolKey, PoolKind, Quantity, TimeMs},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

const PIECES: u32 = 20_000;

/// A shard with so many SKUs.
fn stocked() -> Ledger {
    let receive = |n: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        (id[6], id[8]) = (0x70, 0x80);
        let pool = PoolKey {
            namespace: Namespace::default(),
            sku: format!("sku-{n}").parse().unwrap(),
            location: "berlin".parse().unwrap(),
            kind: PoolKind::Now,
            lot: Lot::default(),
        };
        let quantity = Quantity::new(1).unwrap();
        let operation = OperationId::from_slice(&id).unwrap();
        let body = Body::Receive(Receive { operation, pool, quantity, document: Document::default() });
        Command { context: Context::default(), not_after: TimeMs::MAX, attempt: 1, heard: true, body }
    };
    let mut ledger = Ledger::new(SHARD);
    let commands = (0..PIECES).map(receive).collect();
    ledger.apply(LogIndex(1), &Batch { rules: RULES_NEWEST, time: TimeMs(1), digest: false, commands });
    ledger
}

#[tokio::test]
async fn a_node_with_one_thread_goes_on_while_a_snapshot_is_read() {
    let bed = RealBed::new();
    let (_store, replica) = begin(&bed).await;
    let mut install = replica.begin_install().await.unwrap();
    let mut ledger = stocked();
    let mut puts = ledger.take_changes().puts.copies();
    puts.sort();
    for records in puts.chunks(1_000) {
        install.write_chunk(&records.to_vec()).await.unwrap();
    }
    install.written().await.unwrap();
    let turns = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&turns);
    let others = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    // As often as while a word goes to another thread and back.
    tokio::task::spawn_blocking(|| ()).await.unwrap();
    let waiting = turns.swap(0, Ordering::Relaxed);
    let (mut loaded, _install) = load_received(SHARD, install).await.unwrap();
    let reading = turns.load(Ordering::Relaxed);
    others.abort();
    assert_eq!(loaded.digest(), ledger.digest());
    assert!(reading > 5 * waiting, "others had {reading} turns while it was read, {waiting} in a moment");
}
