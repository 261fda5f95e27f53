//! What only the simulated disk can show: lost writes, failing and slow calls, flipped bits.

use super::{
    super::{
        Continuity, Family, Mark, OpenError, ReplicaStore, Store, StoreError, keys,
        simulated::{Call, Effect, Failure, PowerLoss},
    },
    Bed, SHARD, SimulatedBed, append, begin, checkpoint, entries, entry, id, reopen, state, vote,
};
use bytes::Bytes;
use earmark_ledger::types::ShardId;
use futures::FutureExt;
use openraft::{
    RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use std::time::Duration;
use tokio::{task::JoinHandle, time::Instant};

/// Longer than anything waits in the writer.
const A_WHILE: Duration = Duration::from_millis(1_500);

fn bed() -> SimulatedBed {
    SimulatedBed::default()
}

#[tokio::test(start_paused = true)]
async fn what_was_not_synced_vanishes_or_tears() {
    for (batches, expected) in [(0, None), (1, Some(id(1, 1))), (2, Some(id(1, 2)))] {
        let bed = bed();
        let (_store, replica) = begin(&bed).await;
        append(&mut replica.log(), entries(1, 1..=3)).await;
        for index in 1..=2 {
            replica.log().save_committed(Some(id(1, index))).await.unwrap();
            tokio::time::sleep(A_WHILE).await;
        }
        assert_eq!(bed.disk.unsynced(), 2, "written, each alone, without a sync");
        bed.disk.power_loss(PowerLoss { batches, ..PowerLoss::default() });
        let mut log = reopen(&bed).replica(SHARD).log();
        assert_eq!(log.read_committed().await.unwrap(), expected);
        assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 3)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_decided_is_on_disk_with_its_entries_and_not_before() {
    let bed = bed();
    let (_store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=2)).await;
    replica.log().save_committed(Some(id(1, 3))).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(bed.disk.unsynced(), 0, "entry 3 is not there yet");
    append(&mut replica.log(), entries(1, 3..=3)).await;
    bed.disk.power_loss(PowerLoss::default());
    let mut log = reopen(&bed).replica(SHARD).log();
    assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 3)), "one batch, one sync");
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 3)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_after_a_wipe() {
    let bed = bed();
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=2)).await;
    replica.log().save_committed(Some(id(1, 2))).await.unwrap();
    replica.wipe().await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    store.close().await;
    let mut log = reopen(&bed).replica(SHARD).log();
    assert_eq!(log.read_committed().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_poisons_the_store() {
    for failure in [Failure::Undone, Failure::Done] {
        let bed = bed();
        let (store, replica) = begin(&bed).await;
        let mut log = replica.log();
        append(&mut log, entries(1, 1..=2)).await;
        let mut poison = store.poison();
        assert_eq!(*poison.borrow_and_update(), None);
        bed.disk.set_faults(move |call| match call {
            Call::Write { .. } => Effect { failure: Some(failure), ..Effect::default() },
            _ => Effect::default(),
        });
        log.save_vote(&vote(2, 1)).await.unwrap_err();
        poison.changed().await.unwrap();
        assert!(poison.borrow().as_ref().unwrap().to_string().contains("planted"));
        // No second try, though the disk would work again.
        bed.disk.clear_faults();
        log.save_vote(&vote(3, 1)).await.unwrap_err();
        log.append(entries(1, 3..=3), IOFlushed::noop()).await.unwrap_err();
        log.read_vote().await.unwrap_err();
        log.try_get_log_entries(..).await.unwrap_err();
        assert!(matches!(replica.read_state(b"a"), Err(StoreError::Poisoned(_))));
        assert!(matches!(replica.create(9).await, Err(StoreError::Poisoned(_))));
        store.close().await;
        // After a failure a write may be there or not.
        let found = reopen(&bed).replica(SHARD).log().read_vote().await.unwrap();
        assert_eq!(found, (failure == Failure::Done).then(|| vote(2, 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_sync_serves_all_shards() {
    let bed = bed();
    let (store, _) = begin(&bed).await;
    let replicas: Vec<ReplicaStore> = (1..=50).map(|shard| store.replica(ShardId(shard))).collect();
    for replica in &replicas {
        replica.create(1).await.unwrap();
    }
    bed.disk.set_faults(|_| Effect { delay: Duration::from_millis(10), failure: None });
    let before = store.stats();
    let appends = replicas.iter().map(|replica| {
        let mut log = replica.log();
        tokio::spawn(async move {
            for index in 1..=10 {
                append(&mut log, entries(1, index..=index)).await;
            }
        })
    });
    futures::future::join_all(appends).await;
    let after = store.stats();
    assert_eq!(after.operations - before.operations, 500);
    assert!(after.syncs - before.syncs <= 12, "{} syncs for 10 rounds", after.syncs - before.syncs);
}

/// How long a [`slow_checkpoint`] takes.
const SLOW: Duration = Duration::from_secs(5);

/// A replica with two entries whose checkpoint of three records, as of the first, has just begun.
async fn slow_checkpoint() -> (SimulatedBed, Store, ReplicaStore, JoinHandle<Result<(), StoreError>>) {
    let bed = bed();
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=2)).await;
    bed.disk.set_faults(|call| match call {
        Call::Aside { .. } => Effect { delay: SLOW, failure: None },
        _ => Effect::default(),
    });
    let (copy, records) = (replica.clone(), [("a", "1".into()), ("b", "2".into()), ("c", "3".into())]);
    let writing = tokio::spawn(async move { copy.checkpoint(checkpoint(id(1, 1), &records)).await });
    tokio::task::yield_now().await;
    (bed, store, replica, writing)
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_does_not_hold_the_log_up() {
    let (bed, store, replica, writing) = slow_checkpoint().await;
    let begun = Instant::now();
    let (mut log, other) = (replica.log(), store.replica(ShardId(9)));
    other.create(1).await.unwrap();
    append(&mut log, entries(1, 3..=4)).await;
    log.save_vote(&vote(2, 1)).await.unwrap();
    append(&mut other.log(), entries(1, 1..=1)).await;
    assert!(begun.elapsed() < Duration::from_secs(1) && !writing.is_finished());
    assert_eq!(replica.restored().applied, None);
    let view = replica.view().await.unwrap();
    assert_eq!(view.restored().applied, Some(id(1, 1)), "nobody looks at half a checkpoint");
    assert!(begun.elapsed() >= SLOW);
    writing.await.unwrap().unwrap();
    bed.disk.power_loss(PowerLoss::default());
    let replica = reopen(&bed).replica(SHARD);
    assert_eq!((replica.restored().applied, state(&replica).len()), (Some(id(1, 1)), 3));
    assert_eq!(replica.log().get_log_state().await.unwrap().last_log_id, Some(id(1, 4)));
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_a_checkpoint_is_written_leaves_what_was_sent_after_it() {
    let (bed, _store, replica, _writing) = slow_checkpoint().await;
    append(&mut replica.log(), entries(1, 3..=4)).await;
    bed.disk.power_loss(PowerLoss::default());
    let replica = reopen(&bed).replica(SHARD);
    assert!(state(&replica).is_empty() && !replica.restored().has_state);
    assert_eq!(replica.log().get_log_state().await.unwrap().last_log_id, Some(id(1, 4)));
}

/// The sync of an entry is that of a checkpoint, too, of which nobody was told yet.
#[tokio::test(start_paused = true)]
async fn a_crash_after_a_checkpoint_is_written_leaves_all_of_it() {
    for power in [true, false] {
        let (bed, _store, replica, writing) = slow_checkpoint().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        append(&mut replica.log(), entries(1, 3..=4)).await;
        assert!(!writing.is_finished());
        if power {
            bed.disk.power_loss(PowerLoss::default());
        } else {
            bed.disk.kill();
        }
        let replica = reopen(&bed).replica(SHARD);
        assert_eq!((replica.restored().applied, state(&replica).len()), (Some(id(1, 1)), 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wipe_comes_after_the_checkpoints_sent_before_it() {
    let (bed, store, replica, writing) = slow_checkpoint().await;
    let begun = Instant::now();
    replica.wipe().await.unwrap();
    assert!(begun.elapsed() >= SLOW && writing.await.unwrap().is_ok());
    store.close().await;
    let replica = reopen(&bed).replica(SHARD);
    assert!(state(&replica).is_empty() && !replica.restored().has_state);
}

#[tokio::test(start_paused = true)]
async fn a_closing_store_waits_for_its_checkpoints() {
    let (bed, store, _replica, writing) = slow_checkpoint().await;
    store.close().await;
    writing.await.unwrap().unwrap();
    bed.disk.power_loss(PowerLoss::default());
    assert_eq!(reopen(&bed).replica(SHARD).restored().applied, Some(id(1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_fails_poisons_the_store() {
    let bed = bed();
    let (_store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=2)).await;
    bed.disk.set_faults(|call| match call {
        Call::Aside { .. } => Effect { delay: Duration::from_secs(1), failure: Some(Failure::Undone) },
        _ => Effect::default(),
    });
    let written = replica.checkpoint(checkpoint(id(1, 1), &[("a", "1".into())])).await;
    assert!(written.is_err() && !replica.restored().has_state);
    replica.log().save_vote(&vote(2, 1)).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_pushes_back() {
    let bed = bed();
    let (_store, replica) = begin(&bed).await;
    bed.disk.set_faults(|_| Effect { delay: Duration::from_secs(3_600), failure: None });
    let mut log = replica.log();
    let payload = Bytes::from(vec![0; 1 << 20]);
    let mut accepted = 0;
    for index in 1..=200 {
        let appending = log.append([entry(1, index, payload.clone())], IOFlushed::noop());
        if tokio::time::timeout(Duration::from_secs(1), appending).await.is_err() {
            break;
        }
        accepted += 1;
    }
    assert!((60..=64).contains(&accepted), "{accepted} MiB wait for the disk");
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_found_when_read() {
    let bed = bed();
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=9)).await;
    replica.checkpoint(checkpoint(id(1, 1), &[("a", "1".into())])).await.unwrap();
    store.close().await;
    let whole = bed.disk.image();

    // In the middle of the log: the read says where, and the store stops.
    for bit in 0..8 * 20 {
        assert!(bed.disk.flip_bit(Family::Log, &keys::log(SHARD, 5), bit));
        let store = reopen(&bed);
        let error = store.replica(SHARD).log().try_get_log_entries(..).await.unwrap_err().downcast::<StoreError>();
        let Ok(StoreError::Corrupt { place, .. }) = error else { panic!("{error:?}") };
        assert_eq!(&*place, "log entry 5 of shard 3");
        assert!(store.poison().borrow().is_some());
        store.close().await;
        bed.disk.put_back(&whole, true);
    }
    // In what is read at the opening: the store is not opened.
    for (family, key) in [
        (Family::Log, keys::log(SHARD, 9).to_vec()),
        (Family::Meta, keys::MetaKey::Shard(SHARD, keys::ShardTag::Checkpoint).to_bytes()),
        (Family::Meta, keys::MetaKey::Node(keys::NodeTag::Boots).to_bytes()),
    ] {
        assert!(bed.disk.flip_bit(family, &key, 11));
        let refused = Store::open(bed.disk()).err();
        assert!(matches!(refused, Some(OpenError::Damaged(_))), "{key:02x?}: {refused:?}");
        bed.disk.put_back(&whole, true);
    }
    bed.disk.damage(Family::State, &keys::state(SHARD, 0, b"a"));
    let store = reopen(&bed);
    assert!(matches!(store.replica(SHARD).read_state(b"a"), Err(StoreError::Corrupt { .. })));
    assert!(store.poison().borrow().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_older_store_beside_its_marks_is_lost_until_dropped() {
    let bed = bed();
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=3)).await;
    store.close().await;
    let old = bed.disk.image();
    let store = reopen(&bed);
    append(&mut store.replica(SHARD).log(), entries(1, 4..=5)).await;
    let promised = store.synced_marks();
    store.close().await;

    bed.disk.put_back(&old, false);
    for _ in 0..2 {
        let (store, continuity) = Store::open(bed.disk()).unwrap();
        let Continuity::Lost { reasons } = continuity else { panic!("{continuity:?}") };
        assert_eq!(reasons[0], "the store: expected opening 2, found opening 1");
        assert!(reasons[1].starts_with("shard 3: expected incarnation 1"), "{reasons:?}");
        assert!(reasons[1].contains("1.5; found") && reasons[1].ends_with("1.3"), "{reasons:?}");
        store.close().await;
    }
    let (store, _) = Store::open(bed.disk()).unwrap();
    store.drop_all_replicas().await.unwrap();
    store.close().await;
    reopen(&bed).close().await;

    // With its marks put back too the folder cannot know. The peers do.
    bed.disk.put_back(&old, true);
    let found = reopen(&bed).synced_marks();
    assert!(promised[0].1.covers(&found[0].1) && !found[0].1.covers(&promised[0].1));
}

#[test]
fn a_mark_covers_what_it_must() {
    let mark = |incarnation, truncations, vote, last| Mark { incarnation, truncations, vote, last };
    let granted = openraft::Vote { committed: true, ..vote(2, 1) };
    let base = mark(1, 1, Some(vote(2, 1)), Some(id(2, 5)));
    assert!(base.covers(&base) && base.covers(&Mark::default()));
    assert!(!Mark { truncations: 0, last: Some(id(2, 9)), ..base }.covers(&base), "before the truncation");
    assert!(Mark { truncations: 2, last: None, ..base }.covers(&base), "after another one");
    assert!(!Mark { last: Some(id(2, 4)), ..base }.covers(&base));
    assert!(!Mark { vote: None, ..base }.covers(&base));
    assert!(!Mark { vote: Some(vote(2, 7)), ..base }.covers(&base), "two votes in a term");
    assert!(!base.covers(&Mark { vote: Some(granted), ..base }));
    assert!(Mark { vote: Some(granted), ..base }.covers(&base));
    assert!(mark(2, 0, None, None).covers(&base) && !base.covers(&mark(2, 0, None, None)));
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_a_sync_is_written_with_the_next_one_or_when_idle() {
    for idle in [false, true] {
        let bed = bed();
        let (_store, replica) = begin(&bed).await;
        let old = bed.disk.image();
        for index in 1..=3 {
            append(&mut replica.log(), entries(1, index..=index)).await;
        }
        if idle {
            tokio::time::sleep(A_WHILE).await;
        }
        bed.disk.power_loss(PowerLoss { marks: !idle, ..PowerLoss::default() });
        bed.disk.put_back(&old, false);
        let (_, continuity) = Store::open(bed.disk()).unwrap();
        let Continuity::Lost { reasons } = continuity else { panic!("{continuity:?}") };
        let expected = if idle { "log up to 1.3; found" } else { "log up to 1.2; found" };
        assert!(reasons[0].contains(expected), "{reasons:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_failure_is_not_written() {
    let bed = bed();
    let (store, replica) = begin(&bed).await;
    let other = store.replica(ShardId(4));
    other.create(1).await.unwrap();
    let mut writes = 0;
    bed.disk.set_faults(move |call| {
        let first = matches!(call, Call::Write { .. }) && writes == 0;
        writes += usize::from(first);
        let (delay, failure) = (Duration::from_secs(1), Some(Failure::Undone));
        if first { Effect { delay, failure } } else { Effect::default() }
    });
    let (mut log, mut later) = (replica.log(), other.log());
    let first = tokio::spawn(async move { log.save_vote(&vote(2, 1)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let second = tokio::spawn(async move { later.save_vote(&vote(2, 1)).await });
    first.await.unwrap().unwrap_err();
    second.await.unwrap().unwrap_err();
    store.close().await;
    assert_eq!(reopen(&bed).replica(ShardId(4)).log().read_vote().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_truncation_during_a_read_is_noticed() {
    let bed = bed();
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=9)).await;
    store.close().await;
    // After a restart the log is on disk only; what is appended is in memory.
    let mut log = reopen(&bed).replica(SHARD).log();
    append(&mut log, entries(1, 10..=12)).await;
    let mut truncated = false;
    let mut writer = log.clone();
    bed.disk.set_faults(move |call| {
        if call == Call::Read(Family::Log) && !std::mem::replace(&mut truncated, true) {
            assert!(writer.truncate_after(Some(id(1, 5))).now_or_never().is_none(), "it waits for its sync");
        }
        Effect::default()
    });
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries(1, 1..=5));
}
