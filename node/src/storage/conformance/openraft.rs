//! openraft's own suite, on both disks. Its state machine is a memory of what was applied: only the log is under test.

use super::{Bed, RealBed, SimulatedBed, begin};
use crate::{
    shard::raft::{LogId, Reply, SnapshotMeta, StoredMembership, TypeConfig},
    storage::LogStore,
};
use futures::{Stream, StreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageError,
    storage::{EntryResponder, RaftStateMachine},
    testing::log::{StoreBuilder, Suite},
};
use std::io;

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, ()>;

/// What was applied, and the last snapshot.
#[derive(Clone, Default)]
struct Machine {
    applied: Option<LogId>,
    membership: StoredMembership,
    shared: std::sync::Arc<std::sync::Mutex<Option<SnapshotMeta>>>,
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            self.applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            if let Some(responder) = responder {
                responder.send(Reply::default());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, (): ()) -> Result<(), io::Error> {
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        *self.shared.lock().unwrap() = Some(meta.clone());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let meta = self.shared.lock().unwrap().clone();
        Ok(meta.map(|meta| Snapshot { meta, snapshot: () }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta = SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() };
        *self.shared.lock().unwrap() = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}

/// Makes a fresh store of one disk for each test.
struct Builder<B>(fn() -> B);

impl<B: Bed + Send + Sync + 'static> StoreBuilder<TypeConfig, LogStore, Machine, B> for Builder<B> {
    async fn build(&self) -> Result<(B, LogStore, Machine), StorageError<TypeConfig>> {
        let bed = self.0();
        let (_, replica) = begin(&bed).await;
        Ok((bed, replica.log(), Machine::default()))
    }
}

#[tokio::test(start_paused = true)]
async fn real() {
    Suite::test_all(Builder(RealBed::new)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn simulated() {
    Suite::test_all(Builder(SimulatedBed::default)).await.unwrap();
}
