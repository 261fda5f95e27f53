//! Log, votes, identity, marks: what holds over restarts and crashes on both disks.

use super::{
    super::{Continuity, Disk, Mark, OpenError, Refusal, Store, StoreError},
    Bed, SHARD, append, begin, checkpoint, entries, entry, id, on_both, reopen, state, vote,
};
use crate::{shard::raft::LogId, storage::Identity};
use bytes::Bytes;
use earmark_ledger::types::{Epoch, LogIndex, ShardId};
use futures::StreamExt;
use openraft::{
    RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use std::sync::Arc;

on_both!(
    everything_is_there_after_a_restart,
    what_was_answered_is_there_after_a_crash,
    a_truncation_answered_is_not_undone,
    a_purge_leaves_no_hole,
    old_entries_are_read_back_from_disk,
    a_log_has_no_hole,
    an_incarnation_never_falls,
    a_wiped_replica_is_empty_and_the_store_whole,
    identity_is_given_once,
    a_folder_is_opened_once,
    a_newer_format_is_refused,
    what_peers_said_is_kept_at_its_highest,
    a_closed_store_refuses,
    many_shards_share_a_store,
    damage_stays_until_a_wipe,
);

async fn everything_is_there_after_a_restart(bed: impl Bed) {
    let (store, replica) = begin(&bed).await;
    let mut log = replica.log();
    log.save_vote(&vote(1, 9)).await.unwrap();
    append(&mut log, entries(1, 0..=9)).await;
    log.save_committed(Some(id(1, 7))).await.unwrap();
    replica.checkpoint(checkpoint(id(1, 5), &[("a", "1".into()), ("b", "2".into())])).await.unwrap();
    store.close().await;

    let store = reopen(&bed);
    let (replica, mut log) = (store.replica(SHARD), store.replica(SHARD).log());
    assert_eq!(replica.incarnation(), Some(1));
    assert_eq!(log.read_vote().await.unwrap(), Some(vote(1, 9)));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 7)));
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 9)));
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, 0..=9));
    let restored = replica.restored();
    assert!(restored.has_state);
    assert_eq!((restored.applied, restored.epoch), (Some(id(1, 5)), Epoch(7)));
    assert_eq!(restored.membership, super::membership(id(1, 5)));
    assert_eq!(state(&replica), [("a".into(), "1".into()), ("b".into(), "2".into())]);
    assert_eq!(replica.read_state(b"b").unwrap(), Some(Bytes::from("2")));
    assert_eq!(replica.read_state(b"c").unwrap(), None);
    let mut blocks = Vec::new();
    let visit = |index, block: &[u8]| {
        blocks.push((index, block.to_vec()));
        Ok::<_, StoreError>(())
    };
    replica.read_journal(Epoch(7), LogIndex(0), visit).unwrap();
    assert_eq!(blocks, [(LogIndex(5), b"block 5".to_vec())]);
}

async fn what_was_answered_is_there_after_a_crash(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let mut log = replica.log();
    log.save_vote(&vote(4, 9)).await.unwrap();
    append(&mut log, entries(4, 1..=3)).await;
    replica.checkpoint(checkpoint(id(4, 2), &[("a", "1".into())])).await.unwrap();
    bed.crash();

    let replica = reopen(&bed).replica(SHARD);
    let mut log = replica.log();
    assert_eq!(log.read_vote().await.unwrap(), Some(vote(4, 9)));
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(4, 1..=3));
    assert_eq!(replica.restored().applied, Some(id(4, 2)));
}

async fn a_truncation_answered_is_not_undone(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let mut log = replica.log();
    append(&mut log, entries(1, 1..=10)).await;
    log.truncate_after(Some(id(1, 10))).await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 10)), "nothing comes after the last");
    log.truncate_after(Some(id(1, 5))).await.unwrap();
    bed.crash();

    // A shorter log is no loss: the truncation is counted.
    let store = reopen(&bed);
    let mut log = store.replica(SHARD).log();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 5)));
    append(&mut log, entries(2, 6..=7)).await;
    assert_eq!(log.try_get_log_entries(5..).await.unwrap(), [entries(1, 5..=5), entries(2, 6..=7)].concat());
    log.truncate_after(None).await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, None);
    bed.crash();
    assert_eq!(reopen(&bed).replica(SHARD).log().get_log_state().await.unwrap().last_log_id, None);
}

async fn a_purge_leaves_no_hole(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let mut log = replica.log();
    append(&mut log, entries(1, 1..=10)).await;
    log.purge(id(1, 5)).await.unwrap();
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, 6..=10));
    bed.crash();

    // The purge was not synced: it is there as a whole or not at all.
    let store = reopen(&bed);
    let mut log = store.replica(SHARD).log();
    let purged: Option<LogId> = log.get_log_state().await.unwrap().last_purged_log_id;
    let first = purged.map_or(1, |id| id.index + 1);
    assert!(first == 1 || first == 6, "{first}");
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, first..=10));
    log.purge(id(1, 12)).await.unwrap();
    store.close().await;
    let state = reopen(&bed).replica(SHARD).log().get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 12)), Some(id(1, 12))));
}

async fn old_entries_are_read_back_from_disk(bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let mut log = replica.log();
    let payload = Bytes::from(vec![7; 100_000]);
    for index in 1..=200 {
        append(&mut log, vec![entry(1, index, payload.clone())]).await;
    }
    // 20 MB: more than stays in memory.
    let all = log.try_get_log_entries(..).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    let some = log.limited_get_log_entries(1, 201).await.unwrap();
    assert!((10..=12).contains(&some.len()), "about 1 MiB: {}", some.len());
    let late = log.limited_get_log_entries(195, 201).await.unwrap();
    assert_eq!(late.len(), 6);
    let streamed: Vec<_> = log.entries_stream(3..199).await.map(|entry| entry.unwrap().log_id.index).collect().await;
    assert_eq!(streamed, (3..199).collect::<Vec<_>>());
    // Half of it from disk, half from memory, after a truncation below what is in memory too.
    log.truncate_after(Some(id(1, 50))).await.unwrap();
    append(&mut log, entries(2, 51..=52)).await;
    let tail = log.try_get_log_entries(49..).await.unwrap();
    assert_eq!(tail.iter().map(|entry| entry.log_id).collect::<Vec<_>>(), [id(1, 49), id(1, 50), id(2, 51), id(2, 52)]);
}

async fn a_log_has_no_hole(bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    let mut log = replica.log();
    append(&mut log, entries(1, 1..=2)).await;
    let refused = log.append(entries(1, 4..=4), IOFlushed::noop()).await.unwrap_err();
    let hole = StoreError::Refused(Refusal::Hole { expected: 3, found: 4 });
    assert_eq!(refused.downcast::<StoreError>().unwrap(), hole);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 2)));
}

async fn an_incarnation_never_falls(mut bed: impl Bed) {
    let (_store, replica) = begin(&bed).await;
    replica.create(3).await.unwrap();
    bed.crash();
    let replica = reopen(&bed).replica(SHARD);
    assert_eq!(replica.incarnation(), Some(3));
    let falls = Refusal::IncarnationFalls { present: 3, asked: 2 };
    assert_eq!(replica.create(2).await, Err(StoreError::Refused(falls)));
    replica.create(3).await.unwrap();
    append(&mut replica.log(), entries(1, 1..=1)).await;
    assert_eq!(replica.create(4).await, Err(StoreError::Refused(Refusal::NotEmpty)));
}

async fn a_wiped_replica_is_empty_and_the_store_whole(mut bed: impl Bed) {
    let (store, replica) = begin(&bed).await;
    replica.log().save_vote(&vote(3, 1)).await.unwrap();
    append(&mut replica.log(), entries(3, 1..=5)).await;
    replica.checkpoint(checkpoint(id(3, 4), &[("a", "1".into())])).await.unwrap();
    let other = store.replica(ShardId(4));
    other.create(1).await.unwrap();
    append(&mut other.log(), entries(1, 1..=2)).await;
    replica.wipe().await.unwrap();
    bed.crash();

    let store = reopen(&bed);
    let replica = store.replica(SHARD);
    assert_eq!(replica.incarnation(), Some(1));
    assert_eq!(replica.log().get_log_state().await.unwrap().last_log_id, None);
    assert!(!replica.restored().has_state && state(&replica).is_empty());
    replica.create(2).await.unwrap();
    let left = store.replica(ShardId(4)).log().get_log_state().await.unwrap();
    assert_eq!(left.last_log_id, Some(id(1, 2)), "its neighbour is untouched");
    store.drop_all_replicas().await.unwrap();
    bed.crash();
    let store = reopen(&bed);
    assert_eq!(store.replica(SHARD).incarnation(), Some(2));
    assert_eq!(store.replica(ShardId(4)).log().get_log_state().await.unwrap().last_log_id, None);
}

async fn identity_is_given_once(mut bed: impl Bed) {
    let (store, _) = Store::open(bed.disk()).unwrap();
    let identity = Identity { cluster: [5; 16], node: 2, shards: 8, formation: Bytes::from("peers") };
    assert_eq!(store.identity(), None);
    store.set_identity(identity.clone()).await.unwrap();
    bed.crash();
    let store = reopen(&bed);
    assert_eq!(store.identity().as_ref(), Some(&identity));
    store.set_identity(identity.clone()).await.unwrap();
    let other = Identity { node: 3, ..identity };
    assert_eq!(store.set_identity(other).await, Err(StoreError::Refused(Refusal::OtherIdentity)));
}

async fn a_folder_is_opened_once(bed: impl Bed) {
    let (store, _) = begin(&bed).await;
    assert_eq!(Store::open(bed.disk()).err(), Some(OpenError::Busy));
    assert_eq!(bed.disk().set_aside().err(), Some(OpenError::Busy));
    store.close().await;
    reopen(&bed).close().await;
    assert!(bed.disk().set_aside().unwrap().ends_with("damaged-1"));
    let (store, continuity) = Store::open(bed.disk()).unwrap();
    assert_eq!(continuity, Continuity::Empty);
    store.close().await;
    assert!(bed.disk().set_aside().unwrap().ends_with("damaged-2"));
}

async fn a_newer_format_is_refused(bed: impl Bed) {
    use super::super::{Batch, Family, format::encode_record, keys::MetaKey, keys::NodeTag, records::NumberRecord};
    begin(&bed).await.0.close().await;
    let engine = bed.disk().open().unwrap();
    let mut batch = Batch::default();
    let key = MetaKey::Node(NodeTag::Format).to_bytes();
    batch.put_with(Family::Meta, &key, |out| encode_record(&NumberRecord { value: 2 }, out));
    engine.write(&batch, true).await.unwrap();
    drop(engine);
    assert_eq!(Store::open(bed.disk()).err(), Some(OpenError::NewerFormat { found: 2, known: 1 }));
}

async fn what_peers_said_is_kept_at_its_highest(bed: impl Bed) {
    let (store, _) = begin(&bed).await;
    let early = Mark { incarnation: 1, truncations: 0, vote: Some(vote(1, 5)), last: Some(id(1, 9)) };
    let late = Mark { incarnation: 1, truncations: 1, vote: Some(vote(2, 5)), last: Some(id(1, 4)) };
    store.remember_peer(6, &[(SHARD, early)]);
    store.remember_peer(6, &[(SHARD, late)]);
    store.remember_peer(6, &[(SHARD, early)]);
    store.remember_peer(7, &[(ShardId(0), early)]);
    store.close().await;
    let store = reopen(&bed);
    assert_eq!(store.remembered(6), [(SHARD, late)]);
    assert_eq!(store.remembered(7), [(ShardId(0), early)]);
    assert_eq!(store.remembered(8), []);
}

async fn a_closed_store_refuses(bed: impl Bed) {
    let (store, replica) = begin(&bed).await;
    let (mut log, view) = (replica.log(), replica.view().await.unwrap());
    store.close().await;
    store.close().await;
    assert!(log.save_vote(&vote(1, 1)).await.is_err());
    assert!(log.append(entries(1, 1..=1), IOFlushed::noop()).await.is_err());
    assert_eq!(replica.read_state(b"a"), Err(StoreError::Closed));
    drop(view);
}

async fn many_shards_share_a_store(mut bed: impl Bed) {
    let (store, _) = begin(&bed).await;
    // Three pages of marks.
    let shards: Vec<ShardId> = (10..180).map(ShardId).collect();
    let create = |shard| {
        let store = store.clone();
        tokio::spawn(async move {
            let replica = store.replica(shard);
            replica.create(1).await.unwrap();
            replica.log().save_vote(&vote(1, u64::from(shard.0))).await.unwrap();
            append(&mut replica.log(), entries(1, 1..=3)).await;
        })
    };
    let tasks: Vec<_> = shards.iter().copied().map(create).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = store.stats();
    assert!(stats.syncs < 170, "170 shards, three synced operations each, {} syncs", stats.syncs);
    bed.crash();
    let store = reopen(&bed);
    let marks = store.synced_marks();
    assert_eq!(marks.len(), 171);
    for shard in shards {
        let expected = vote(1, u64::from(shard.0));
        let mark = Mark { incarnation: 1, truncations: 0, vote: Some(expected), last: Some(id(1, 3)) };
        assert!(marks.contains(&(shard, mark)), "{shard:?}");
    }
}

/// Whatever the rest of the node holds of a store can be moved between tasks.
#[test]
fn handles_are_send() {
    fn assert_send<T: Send>() {}
    assert_send::<Store>();
    assert_send::<super::ReplicaStore>();
    assert_send::<super::super::Install>();
    assert_send::<super::super::StateView>();
    assert_send::<Arc<dyn Disk>>();
}

async fn damage_stays_until_a_wipe(mut bed: impl Bed) {
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=3)).await;
    let other = store.replica(ShardId(4));
    other.create(1).await.unwrap();
    assert_eq!(replica.damage(), None);
    replica.note_damage("its digest differs").await.unwrap();
    replica.note_damage("something else").await.unwrap();
    bed.crash();

    let store = reopen(&bed);
    let replica = store.replica(SHARD);
    assert_eq!(replica.damage().as_deref(), Some("its digest differs"), "the first reason stays");
    assert_eq!(store.replica(ShardId(4)).damage(), None);
    assert_eq!(replica.log().get_log_state().await.unwrap().last_log_id, Some(id(1, 3)), "nothing else changed");
    assert_eq!(replica.create(2).await, Err(StoreError::Refused(Refusal::NotEmpty)));
    replica.wipe().await.unwrap();
    assert_eq!(replica.damage(), None);
    replica.create(2).await.unwrap();
    bed.crash();
    let store = reopen(&bed);
    assert_eq!(store.replica(SHARD).damage(), None);
    store.replica(SHARD).note_damage("again").await.unwrap();
    store.drop_all_replicas().await.unwrap();
    bed.crash();
    assert_eq!(reopen(&bed).replica(SHARD).damage(), None);
}
