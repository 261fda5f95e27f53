//! Checkpoints, views and installed snapshots on both disks.

use super::{
    super::{Family, JournalFloor, StoreError, error::Refusal},
    Bed, ReplicaStore, SHARD, append, begin, checkpoint, entries, id, membership, on_both, records_of, reopen, state,
};
use crate::storage::Restored;
use bytes::Bytes;
use earmark_ledger::types::{Epoch, LogIndex};
use openraft::{RaftLogReader, storage::RaftLogStorage};
use std::ops::ControlFlow;

on_both!(
    a_checkpoint_is_whole_or_absent,
    checkpoints_and_log_are_written_at_once,
    an_older_checkpoint_is_superseded,
    a_view_stands_still,
    a_snapshot_replaces_the_state,
    half_a_snapshot_is_nothing,
    a_large_snapshot_comes_in_several_tables_and_in_order,
    a_newer_installation_supersedes,
    a_snapshot_keeps_the_log_beyond_it,
    the_journal_is_filled_from_below_and_trimmed,
);

fn records(count: u32) -> Vec<(Bytes, Bytes)> {
    (0..count).map(|n| (Bytes::from(format!("k{n:05}")), Bytes::from(vec![b'v'; 100]))).collect()
}

/// Which generations have records on disk.
fn generations(bed: &impl Bed) -> Vec<u32> {
    let engine = bed.disk().open().unwrap();
    let mut found = Vec::new();
    let everything = Vec::new()..vec![255; 16];
    engine
        .scan(Family::State, &everything, &mut |key, _| {
            found.push(u32::from_be_bytes(key[4..8].try_into().unwrap()));
            ControlFlow::Continue(())
        })
        .unwrap();
    found.dedup();
    found
}

async fn a_checkpoint_is_whole_or_absent(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    replica.checkpoint(checkpoint(id(1, 1), &[("a", "1".into()), ("b", "1".into())])).await.unwrap();
    // Sent, and the crash comes before its answer.
    let later = replica.clone();
    let second = tokio::spawn(async move {
        let mut second = checkpoint(id(1, 2), &[("a", "2".into()), ("c", "2".into())]);
        second.deletes = vec![Bytes::from("b")];
        later.checkpoint(second).await
    });
    tokio::task::yield_now().await;
    bed.crash();
    let replica = reopen(&bed).replica(SHARD);
    let applied = replica.restored().applied;
    let expected: Vec<(String, String)> = if applied == Some(id(1, 1)) {
        vec![("a".into(), "1".into()), ("b".into(), "1".into())]
    } else {
        vec![("a".into(), "2".into()), ("c".into(), "2".into())]
    };
    assert_eq!(state(&replica), expected, "as of {applied:?}");
    second.abort();
}

async fn checkpoints_and_log_are_written_at_once(mut bed: impl Bed) {
    const ROUNDS: u64 = 12;
    let (_store, replica) = begin(&bed).await;
    let mut log = replica.log();
    append(&mut log, entries(1, 1..=9)).await;
    let mut puts = Vec::new();
    for round in 1..=ROUNDS {
        // Some are new, some change, and some go.
        let records = (0..2_000_u32).filter(|n| !u64::from(*n).is_multiple_of(round + 1));
        puts = records.map(|n| (Bytes::from(format!("k{n:05}")), Bytes::from(vec![round as u8; 100]))).collect();
        let deletes = (0..2_000_u32).filter(|n| u64::from(*n).is_multiple_of(round + 1));
        let deletes = deletes.map(|n| Bytes::from(format!("k{n:05}"))).collect();
        let taken = super::Checkpoint {
            puts: puts.iter().cloned().collect(),
            deletes,
            ..checkpoint(id(1, 10 * round - 1), &[])
        };
        let copy = replica.clone();
        let writing = tokio::spawn(async move { copy.checkpoint(taken).await });
        for index in 10 * round..10 * round + 10 {
            append(&mut log, entries(1, index..=index)).await;
        }
        writing.await.unwrap().unwrap();
        // Waits, and goes with the entries of the next round.
        log.purge(id(1, 10 * round - 5)).await.unwrap();
    }
    append(&mut log, entries(1, 10 * ROUNDS + 10..=10 * ROUNDS + 10)).await;
    let kept = 10 * ROUNDS - 4..=10 * ROUNDS + 10;
    let whole = |replica: &ReplicaStore| {
        let found = records_of(replica);
        assert!(found == puts, "{} records, not {}", found.len(), puts.len());
        assert_eq!(replica.restored().applied, Some(id(1, 10 * ROUNDS - 1)));
    };
    whole(&replica);
    bed.crash();
    let replica = reopen(&bed).replica(SHARD);
    whole(&replica);
    let mut log = replica.log();
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, kept));
}

async fn an_older_checkpoint_is_superseded(bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    replica.checkpoint(checkpoint(id(1, 5), &[("a", "5".into())])).await.unwrap();
    let older = replica.checkpoint(checkpoint(id(1, 4), &[("a", "4".into())])).await;
    assert_eq!(older, Err(StoreError::Superseded));
    assert_eq!(replica.read_state(b"a").unwrap(), Some(Bytes::from("5")));
}

async fn a_view_stands_still(bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let puts = records(1_000);
    let first = super::Checkpoint { puts: puts.iter().cloned().collect(), ..checkpoint(id(1, 1), &[]) };
    replica.checkpoint(first).await.unwrap();
    let mut view = replica.view().await.unwrap();
    let deletes = puts.iter().map(|(key, _)| key.clone()).collect();
    let second = super::Checkpoint { deletes, ..checkpoint(id(1, 2), &[("z", "2".into())]) };
    replica.checkpoint(second).await.unwrap();

    let restored: &Restored = view.restored();
    assert_eq!((restored.applied, restored.epoch), (Some(id(1, 1)), Epoch(7)));
    assert_eq!(view.get(b"k00007").await.unwrap(), Some(Bytes::from(vec![b'v'; 100])));
    let reader = tokio::spawn(async move {
        let (mut seen, mut chunks) = (Vec::new(), 0);
        while let Some(chunk) = view.next_chunk(10_000).await.unwrap() {
            assert!(chunk.len() <= 100);
            seen.extend(chunk);
            chunks += 1;
        }
        (seen, chunks)
    });
    let (seen, chunks) = reader.await.unwrap();
    assert!(seen == puts && chunks > 9, "{} records in {chunks} chunks", seen.len());
    assert_eq!(state(&replica), [("z".into(), "2".into())]);
}

async fn a_snapshot_replaces_the_state(mut bed: impl Bed) {
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=5)).await;
    replica.checkpoint(checkpoint(id(1, 4), &[("old", "1".into())])).await.unwrap();
    let mut install = replica.begin_install().await.unwrap();
    for chunk in records(1_000).chunks(100) {
        install.write_chunk(&chunk.to_vec()).await.unwrap();
    }
    install.written().await.unwrap();
    let mut came = Vec::new();
    let visit = |key: &[u8], _: &[u8]| {
        came.push(key.to_vec());
        Ok::<_, StoreError>(())
    };
    install.scan_state(b"k00500", b"k00502", visit).unwrap();
    assert_eq!(came, [b"k00500".to_vec(), b"k00501".to_vec()], "what came can be read before it is live");
    assert_eq!(install.read_state(b"k00999").unwrap(), Some(Bytes::from(vec![b'v'; 100])));
    assert_eq!(install.read_state(b"old").unwrap(), None);
    assert_eq!(state(&replica), [("old".into(), "1".into())], "not live yet");
    install.finish(id(2, 50), membership(id(2, 40)), Epoch(8)).await.unwrap();
    let check = |replica: &ReplicaStore| {
        let restored = replica.restored();
        assert_eq!((restored.applied, restored.epoch), (Some(id(2, 50)), Epoch(8)));
        assert_eq!(restored.membership, membership(id(2, 40)));
        assert_eq!(replica.journal_floor(), JournalFloor { epoch: Epoch(8), index: LogIndex(51) });
        assert_eq!(state(replica).len(), 1_000);
    };
    check(&replica);
    let late = replica.checkpoint(checkpoint(id(1, 5), &[("old", "2".into())])).await;
    assert_eq!(late, Err(StoreError::Superseded), "a checkpoint of the state before");
    bed.crash();
    drop(store);
    let store = reopen(&bed);
    let replica = store.replica(SHARD);
    check(&replica);
    let log = replica.log().get_log_state().await.unwrap();
    assert_eq!((log.last_purged_log_id, log.last_log_id), (Some(id(2, 50)), Some(id(2, 50))));
    append(&mut replica.log(), entries(2, 51..=52)).await;
    replica.checkpoint(checkpoint(id(2, 52), &[("new", "1".into())])).await.unwrap();
    assert_eq!(state(&replica).len(), 1_001);
    drop(replica.begin_install().await.unwrap());
    store.close().await;
    assert_eq!(generations(&bed), [1], "the old generation is gone");
}

async fn half_a_snapshot_is_nothing(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    replica.checkpoint(checkpoint(id(1, 4), &[("old", "1".into())])).await.unwrap();
    let mut install = replica.begin_install().await.unwrap();
    install.write_chunk(&records(500)).await.unwrap();
    install.written().await.unwrap();
    // A sync of something else brings the half to stable storage too.
    append(&mut replica.log(), entries(1, 1..=5)).await;
    bed.crash();
    let store = reopen(&bed);
    let replica = store.replica(SHARD);
    assert_eq!(state(&replica), [("old".into(), "1".into())]);
    let mut install = replica.begin_install().await.unwrap();
    install.write_chunk(&records(3)).await.unwrap();
    install.finish(id(1, 9), membership(id(1, 1)), Epoch(7)).await.unwrap();
    assert_eq!(state(&replica).len(), 3, "nothing of the half that was there");
    let mut dropped = replica.begin_install().await.unwrap();
    dropped.write_chunk(&records(7)).await.unwrap();
    dropped.written().await.unwrap();
    drop(dropped);
    assert_eq!(state(&replica).len(), 3);
    store.close().await;
    assert_eq!(generations(&bed).len(), 1, "what was dropped is cleared");
}

async fn a_large_snapshot_comes_in_several_tables_and_in_order(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let large: Vec<_> = (0..160_u8).map(|n| (Bytes::from(vec![b'k', n]), Bytes::from(vec![n; 1 << 19]))).collect();
    let mut install = replica.begin_install().await.unwrap();
    for chunk in large.chunks(7) {
        install.write_chunk(&chunk.to_vec()).await.unwrap();
    }
    for unordered in [&large[159..], &large[3..5]] {
        let refused = install.write_chunk(&unordered.to_vec()).await;
        assert_eq!(refused, Err(StoreError::Refused(Refusal::Disorder)));
    }
    install.finish(id(1, 9), membership(id(1, 1)), Epoch(7)).await.unwrap();
    let whole = |replica: &ReplicaStore| {
        let found = records_of(replica);
        assert!(found == large, "{} records", found.len());
    };
    whole(&replica);
    // What comes after goes on from there.
    replica.checkpoint(checkpoint(id(1, 10), &[("later", "1".into())])).await.unwrap();
    bed.crash();
    let replica = reopen(&bed).replica(SHARD);
    assert_eq!(replica.read_state(b"later").unwrap(), Some(Bytes::from("1")));
    replica
        .checkpoint(super::Checkpoint { deletes: vec![Bytes::from("later")], ..checkpoint(id(1, 11), &[]) })
        .await
        .unwrap();
    whole(&replica);
}

async fn a_newer_installation_supersedes(bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let mut first = replica.begin_install().await.unwrap();
    first.write_chunk(&records(10)).await.unwrap();
    let mut second = replica.begin_install().await.unwrap();
    assert_eq!(first.write_chunk(&records(10)).await, Err(StoreError::Superseded));
    second.write_chunk(&records(2)).await.unwrap();
    assert_eq!(first.finish(id(1, 3), membership(id(1, 1)), Epoch(7)).await, Err(StoreError::Superseded));
    second.finish(id(1, 4), membership(id(1, 1)), Epoch(7)).await.unwrap();
    assert_eq!(state(&replica).len(), 2);
    let behind = replica.begin_install().await.unwrap();
    assert_eq!(behind.finish(id(1, 3), membership(id(1, 1)), Epoch(7)).await, Err(StoreError::Superseded));
    assert_eq!(state(&replica).len(), 2);
}

async fn a_snapshot_keeps_the_log_beyond_it(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=10)).await;
    let install = replica.begin_install().await.unwrap();
    install.finish(id(1, 6), membership(id(1, 1)), Epoch(7)).await.unwrap();
    assert_eq!(replica.log().try_get_log_entries(..).await.unwrap(), entries(1, 7..=10));
    bed.crash();
    let mut log = reopen(&bed).replica(SHARD).log();
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, 7..=10));
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 6)), Some(id(1, 10))));
}

async fn the_journal_is_filled_from_below_and_trimmed(bed: impl Bed) {
    let (store, replica) = begin(&bed).await;
    let install = replica.begin_install().await.unwrap();
    install.finish(id(1, 6), membership(id(1, 1)), Epoch(7)).await.unwrap();
    replica.checkpoint(checkpoint(id(1, 7), &[])).await.unwrap();
    let block = |index: u64| (Epoch(7), LogIndex(index), Bytes::from(format!("block {index}")));
    let floor = |index| JournalFloor { epoch: Epoch(7), index: LogIndex(index) };
    assert_eq!(replica.fill_journal(floor(6), &[block(5)], floor(5)).await, Err(StoreError::Superseded));
    replica.fill_journal(floor(7), &[block(6)], floor(6)).await.unwrap();
    replica.fill_journal(floor(6), &[block(5)], floor(5)).await.unwrap();
    assert_eq!(replica.journal_before(Epoch(7), LogIndex(6)).unwrap(), Some(block(5)));
    assert_eq!(replica.journal_before(Epoch(7), LogIndex(5)).unwrap(), None);
    assert_eq!(replica.journal_first(floor(6)).unwrap(), Some(block(6)));
    assert_eq!(replica.journal_added(), 3 * 7, "with the checkpoint's");
    let indexes = |replica: &ReplicaStore| {
        let mut indexes = Vec::new();
        let visit = |index: LogIndex, _: &[u8]| {
            indexes.push(index.0);
            Ok::<_, StoreError>(())
        };
        replica.read_journal(Epoch(7), LogIndex(0), visit).unwrap();
        indexes
    };
    assert_eq!((replica.journal_floor(), indexes(&replica)), (floor(5), vec![5, 6, 7]));
    replica.fill_journal(floor(5), &[], floor(7)).await.unwrap();
    assert_eq!(replica.journal_before(Epoch(7), LogIndex(7)).unwrap(), None);
    store.close().await;
    let replica = reopen(&bed).replica(SHARD);
    assert_eq!((replica.journal_floor(), indexes(&replica)), (floor(7), vec![7]));
}
