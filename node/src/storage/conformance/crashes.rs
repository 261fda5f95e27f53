//! Power goes at every single call to the disk, in turn.

use super::{
    super::{
        Continuity, Mark, SimulatedDisk, Store, StoreError,
        simulated::{Effect, Failure, PowerLoss},
    },
    SHARD, checkpoint, entries, id, membership, vote,
};
use bytes::Bytes;
use earmark_ledger::types::Epoch;
use openraft::{
    RaftLogReader,
    storage::{RaftLogStorage, RaftLogStorageExt},
};
use std::{sync::Arc, time::Duration};

/// Longer than anything waits in the writer.
const A_WHILE: Duration = Duration::from_millis(1_500);

fn note(store: &Store, promised: &mut Vec<Mark>) {
    promised.extend(store.synced_marks().into_iter().map(|(_, mark)| mark));
}

/// Does a bit of everything; notes what the store answered for. Stops at the first failure.
async fn work(disk: &SimulatedDisk, promised: &mut Vec<Mark>) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| error.downcast::<StoreError>().unwrap();
    let (store, _) = Store::open(Arc::new(disk.clone())).map_err(|error| StoreError::Io(error.to_string().into()))?;
    let replica = store.replica(SHARD);
    let mut log = replica.log();
    for incarnation in 1..=2 {
        replica.create(incarnation).await?;
        note(&store, promised);
        log.save_vote(&vote(1, 4)).await.map_err(failed)?;
        note(&store, promised);
        for index in 1..=6 {
            log.blocking_append(entries(1, index..=index)).await.map_err(StoreError::io)?;
            note(&store, promised);
            log.save_committed(Some(id(1, index))).await.map_err(failed)?;
        }
        log.save_vote(&vote(2, 5)).await.map_err(failed)?;
        log.truncate_after(Some(id(1, 4))).await.map_err(failed)?;
        note(&store, promised);
        replica.checkpoint(checkpoint(id(1, 3), &[("a", "1".into())])).await?;
        log.purge(id(1, 2)).await.map_err(failed)?;
        tokio::time::sleep(A_WHILE).await;
        let mut install = replica.begin_install().await?;
        install.write_chunk(&vec![(Bytes::from("b"), Bytes::from("2"))]).await?;
        install.finish(id(2, 9), membership(id(2, 7)), Epoch(1)).await?;
        note(&store, promised);
        if incarnation == 1 {
            // From here on what was promised is given up, whether or not the wipe is answered.
            promised.clear();
            replica.wipe().await?;
        }
    }
    store.close().await;
    Ok(())
}

/// Power goes at every call in turn, with every small torn tail: what was answered is there, and nobody is accused.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_loses_nothing_that_was_answered() {
    let mut calls = 0;
    loop {
        let mut done = false;
        for left in [(0, false), (0, true), (1, false), (2, true)] {
            for failure in [Failure::Undone, Failure::Done] {
                let disk = SimulatedDisk::new();
                let mut number = 0;
                disk.set_faults(move |_| {
                    number += 1;
                    Effect { failure: (number > calls).then_some(failure), ..Effect::default() }
                });
                let mut promised = Vec::new();
                done = work(&disk, &mut promised).await.is_ok();
                disk.power_loss(PowerLoss { batches: left.0, marks: left.1, torn: false });
                disk.clear_faults();
                let (store, continuity) = Store::open(Arc::new(disk.clone())).unwrap();
                let at = format!("{calls} calls, {failure:?}, left {left:?}");
                assert!(!matches!(continuity, Continuity::Lost { .. }), "{at}: {continuity:?}");
                let found = store.synced_marks().first().map(|(_, mark)| *mark).unwrap_or_default();
                for mark in promised {
                    assert!(found.covers(&mark), "{at}: promised {mark}, found {found}");
                }
                let log = store.replica(SHARD).log().try_get_log_entries(..).await;
                assert!(log.is_ok(), "{at}: {log:?}");
            }
        }
        if done {
            break;
        }
        calls += 1;
    }
    assert!(calls > 50, "the sweep went through {calls} calls");
}

#[tokio::test(start_paused = true)]
async fn the_same_work_makes_the_same_bytes() {
    let (first, second) = (SimulatedDisk::new(), SimulatedDisk::new());
    for disk in [&first, &second] {
        work(disk, &mut Vec::new()).await.unwrap();
    }
    assert!(first.image() == second.image());
}
