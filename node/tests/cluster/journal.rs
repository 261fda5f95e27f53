//! A journal that a snapshot left out is fetched, block by block as the others have it; and one that grows too large is
//! trimmed from below.

use crate::support::{Hand, channel, config, form, leader, ports, receive, served, start_with};
use bytes::Bytes;
use earmark_ledger::{
    BlockHash,
    journal::Block,
    types::{LogIndex, ShardId},
};
use earmark_node::{
    Running,
    config::Config,
    shard::{Replica, journal},
    storage::JournalFloor,
};
use std::{path::Path, sync::Arc};
use tokio::time::{Duration, Instant};

const SHARD: ShardId = ShardId(1);
const LATE: u32 = 3;

/// Checkpoints come at once and leave no log behind, so who was away gets a snapshot; and pieces are small.
fn small(node: u32, folder: &Path, ports: &[u16]) -> Config {
    let mut config = config(node, folder, ports);
    config.limits.checkpoint_every = Duration::from_millis(100);
    config.limits.log_kept = 0;
    config.limits.snapshot_chunk_bytes = 4 << 10;
    config
}

async fn begin(folder: &Path, ports: &[u16]) -> Vec<Running> {
    let mut nodes = Vec::new();
    for node in 1..=3 {
        nodes.push(start_with(small(node, folder, ports), Arc::new(Hand::default())).await);
    }
    form(&nodes, 1).await;
    nodes
}

/// Every block on disk up to an entry.
fn blocks(replica: &Replica, upto: u64) -> Vec<(LogIndex, Bytes)> {
    let mut blocks = Vec::new();
    replica
        .core()
        .store()
        .walk_journal(JournalFloor::default(), |_, index, block| {
            if index.0 <= upto {
                blocks.push((index, Bytes::copy_from_slice(block)));
            }
            true
        })
        .expect("read");
    blocks
}

/// Each block names the one before it.
fn assert_chained(blocks: &[(LogIndex, Bytes)]) {
    for pair in blocks.windows(2) {
        let later = Block::decode(&pair[1].1).expect("a block");
        assert_eq!(later.previous(), BlockHash::of(&pair[0].1), "block {}", pair[1].0.0);
    }
}

/// The index up to which a replica's journal is on disk.
async fn checkpointed(replica: &Replica) -> u64 {
    replica.core().checkpoint().await.expect("written");
    replica.core().store().restored().applied.map_or(0, |id| id.index)
}

async fn open(running: &Running) -> Arc<Replica> {
    served(std::slice::from_ref(running)).await;
    running.node().replica(SHARD).expect("open")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_left_out_is_fetched_block_by_block() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let mut nodes = begin(folder.path(), &ports).await;
    let client = channel(&ports).await;
    receive(&client, "MUG", 1).await;
    nodes.pop().expect("three").stop().await;
    for _ in 0..150 {
        receive(&client, "MUG", 1).await;
    }
    let first = leader(&nodes, SHARD).await;
    let written = checkpointed(&first).await;
    while first.standing().purged_index < written {
        receive(&client, "MUG", 1).await;
        first.core().checkpoint().await.expect("written");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // It comes back, gets a snapshot, and is stopped again: wherever it is with the journal, it goes on from there.
    let late = start_with(small(LATE, folder.path(), &ports), Arc::new(Hand::default())).await;
    let replica = open(&late).await;
    replica.applied().wait_for(|index| *index >= written).await.expect("it follows");
    assert!(replica.core().store().restored().applied.is_some_and(|id| id.index >= written), "by a snapshot");
    drop(replica);
    late.stop().await;
    let late = start_with(small(LATE, folder.path(), &ports), Arc::new(Hand::default())).await;
    let replica = open(&late).await;
    while replica.core().store().journal_floor() != JournalFloor::default() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    receive(&client, "MUG", 1).await;
    let leader = leader(&nodes, SHARD).await;
    let upto = checkpointed(&replica).await.min(checkpointed(&leader).await);
    let (here, there) = (blocks(&replica, upto), blocks(&leader, upto));
    assert!(here.len() > 150, "{} blocks", here.len());
    assert!(here == there, "block by block");
    assert_chained(&here);
    assert_eq!(Block::decode(&here[0].1).expect("a block").previous(), BlockHash::default(), "from the beginning");
    for running in nodes.into_iter().chain([late]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_beyond_its_bounds_is_trimmed_from_below() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let nodes = begin(folder.path(), &ports).await;
    let client = channel(&ports).await;
    for _ in 0..60 {
        receive(&client, "MUG", 1).await;
    }
    let replica = leader(&nodes, SHARD).await;
    let upto = checkpointed(&replica).await;
    let before = blocks(&replica, upto);
    let bytes: usize = before.iter().map(|(_, block)| block.len()).sum();
    let mut limits = small(1, folder.path(), &ports).limits;
    let mut size = None;
    journal::trim(replica.core(), &limits, &mut size).await.expect("trimmed");
    assert_eq!(blocks(&replica, upto), before, "nothing is old, and there is room");

    // Two shards, the meta shard among them, share what a node may keep.
    limits.journal_retention_bytes = bytes as u64;
    journal::trim(replica.core(), &limits, &mut size).await.expect("trimmed");
    let rest = blocks(&replica, upto);
    let kept: usize = rest.iter().map(|(_, block)| block.len()).sum();
    assert!(kept <= bytes / 2 && kept + before[0].1.len() * 2 >= bytes / 2, "{kept} of {bytes}");
    assert_eq!(rest, before[before.len() - rest.len()..], "from below");
    assert_chained(&rest);
    let floor = replica.core().store().journal_floor().index;
    assert!(floor > before[before.len() - rest.len() - 1].0 && floor <= rest[0].0, "{floor:?}");
    assert_eq!(
        journal::blocks_below(replica.core().store(), (replica.hot().epoch(), rest[1].0), 1 << 20).unwrap().len(),
        1
    );

    // All that is older than a moment.
    limits.journal_retention = Duration::from_millis(1);
    let last = Block::decode(&before[before.len() - 1].1).expect("a block").time();
    while replica.hot().clock().0 <= last.0 + 1 {
        let marked = replica.mark_digest(Instant::now() + Duration::from_secs(30)).await.expect("the clock moves on");
        assert!(marked > upto);
    }
    journal::trim(replica.core(), &limits, &mut size).await.expect("trimmed");
    assert_eq!(blocks(&replica, upto), []);
    receive(&client, "MUG", 1).await;
    checkpointed(&replica).await;
    let next = blocks(&replica, u64::MAX);
    assert_eq!(Block::decode(&next[0].1).expect("a block").previous(), BlockHash::of(&before[before.len() - 1].1));
    for running in nodes {
        running.stop().await;
    }
}
