//! Installing a snapshot: its records go into a generation of their own, piece by piece and un-synced, and one batch
//! at the end makes it the live one. Until then nothing of it can be seen; dropped half-way, it leaves nothing that
//! counts.

use super::{
    engine::{Batch, Family, Records},
    error::StoreError,
    format::encode_record,
    inner::Inner,
    keys::{self, ShardTag},
    log,
    queue::{After, Changes, MarkChange, Op, Queue, Urgency},
    replica::{JournalFloor, Replica, Restored},
};
use crate::shard::raft::{LogId, StoredMembership};
use bytes::Bytes;
use earmark_ledger::{
    planted::{self, Bug},
    types::{Epoch, LogIndex},
};
use std::sync::Arc;

/// A snapshot on its way into the store.
pub struct Install {
    inner: Arc<Inner>,
    queue: Queue,
    replica: Arc<Replica>,
    generation: u32,
}

impl Install {
    /// Takes a fresh generation and clears all that are not live.
    pub(super) async fn begin(inner: Arc<Inner>, queue: Queue, replica: Arc<Replica>) -> Result<Self, StoreError> {
        inner.sound()?;
        let room = queue.reserve(0).await?;
        let (generation, pending) = {
            let mut core = replica.lock();
            let generation = core.last_generation.max(core.sent_generation) + 1;
            let generation = if planted::on(Bug::SnapshotIntoLive) { core.sent_generation } else { generation };
            core.last_generation = generation;
            core.installing = Some(generation);
            let mut batch = Batch::default();
            clear_others(&mut batch, &replica, core.sent_generation);
            let changes = Changes::new(batch, Urgency::Written).after(After::Of(replica.shard));
            (generation, queue.submit(changes, room)?)
        };
        let install = Self { inner, queue, replica, generation };
        pending.wait().await?;
        Ok(install)
    }

    /// Whether reads block, so that long ones need a thread of their own.
    pub fn blocks(&self) -> bool {
        self.inner.blocks()
    }

    /// Adds records. Returns when there is room for more, not when they are written.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another installation began; else as the store fails.
    pub async fn write_chunk(&mut self, records: &Records) -> Result<(), StoreError> {
        self.inner.sound()?;
        let start = keys::state_start(self.replica.shard, self.generation);
        let bytes: usize = records.iter().map(|(key, value)| start.len() + key.len() + value.len()).sum();
        let mut batch = Batch::with_capacity(records.len(), bytes);
        for (key, value) in records {
            batch.put_under(Family::State, &start, key, value);
        }
        let room = self.queue.reserve(batch.bytes()).await?;
        let core = self.replica.lock();
        if core.installing != Some(self.generation) {
            return Err(StoreError::Superseded);
        }
        // Of a generation that no checkpoint is of.
        self.queue.submit(Changes::new(batch, Urgency::Written).after(After::None), room)?;
        Ok(())
    }

    /// Waits until everything that was added can be read back.
    ///
    /// # Errors
    /// As the write fails.
    pub async fn written(&self) -> Result<(), StoreError> {
        let room = self.queue.reserve(0).await?;
        let nothing = Changes::new(Batch::default(), Urgency::Written).after(After::None);
        self.queue.submit(nothing, room)?.wait().await
    }

    /// One of the records that were added and [written](Self::written).
    ///
    /// # Errors
    /// As the read fails.
    pub fn read_state(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let engine = self.inner.engine()?;
        self.inner.check(engine.get(Family::State, &keys::state(self.replica.shard, self.generation, key)))
    }

    /// Shows the records that were added and [written](Self::written), from `start` up to `end` (excluded; empty for no
    /// end), in order, until `visit` fails.
    ///
    /// # Errors
    /// As `visit` or the read fails.
    pub fn scan_state<E: From<StoreError>>(
        &self,
        start: &[u8],
        end: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let range = keys::state_range(self.replica.shard, self.generation, start, end);
        self.inner.scan(Family::State, &range, |key, value| visit(keys::state_key(key), value))
    }

    /// Makes the snapshot the live state, in one batch with its position, its membership, the log's new beginning and
    /// the removal of the log up to there, never beyond; waits for the sync. The journal is whole from the next entry on.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], without effect, if another installation began or the replica is already beyond the
    /// snapshot; else as the write fails.
    pub async fn finish(self, applied: LogId, membership: StoredMembership, epoch: Epoch) -> Result<(), StoreError> {
        self.inner.sound()?;
        let room = self.queue.reserve(0).await?;
        let pending = {
            let mut core = self.replica.lock();
            if core.installing != Some(self.generation) || core.sent_applied > Some(applied) {
                return Err(StoreError::Superseded);
            }
            core.installing = None;
            let floor = JournalFloor { epoch, index: LogIndex(applied.index + 1) };
            let live = Restored {
                generation: self.generation,
                applied: Some(applied),
                membership,
                epoch,
                journal_floor: floor,
                has_state: true,
            };
            let start = core.tail.purged().map_or(0, |id| id.index + 1);
            core.tail.purge(applied);
            core.sent_generation = self.generation;
            core.sent_applied = Some(applied);
            core.sent_floor = floor;
            let changes = self.changes(start, applied, live);
            self.queue.submit(changes, room)?
        };
        pending.wait().await?;
        // Only now: until the new generation is live on disk the old one is the state.
        let mut batch = Batch::default();
        clear_others(&mut batch, &self.replica, self.generation);
        let room = self.queue.reserve(0).await?;
        let core = self.replica.lock();
        if core.installing.is_none() && core.sent_generation == self.generation {
            let changes = Changes::new(batch, Urgency::Whenever).after(After::Of(self.replica.shard));
            self.queue.submit(changes, room)?;
        }
        Ok(())
    }

    fn changes(&self, start: u64, applied: LogId, live: Restored) -> Changes {
        let mut batch = Batch::default();
        log::purge(&mut batch, &self.replica, start, applied);
        let key = self.replica.key(ShardTag::Checkpoint);
        batch.put_with(Family::Meta, &key, |out| encode_record(&live.to_record(), out));
        let key = self.replica.key(ShardTag::JournalFloor);
        batch.put_with(Family::Meta, &key, |out| encode_record(&live.journal_floor.to_record(), out));
        let replica = Arc::clone(&self.replica);
        Changes::new(batch, Urgency::Synced)
            .after(After::Of(self.replica.shard))
            .mark(&self.replica, MarkChange::Reaches(applied))
            .publish(move || replica.lock().live = live)
    }
}

impl Drop for Install {
    /// Clears what was written, if there is room to say so; else the next installation does.
    fn drop(&mut self) {
        let mut core = self.replica.lock();
        if core.installing != Some(self.generation) {
            return;
        }
        core.installing = None;
        let Some(room) = self.queue.try_reserve() else { return };
        let mut batch = Batch::default();
        let next = self.generation.checked_add(1);
        batch.delete_range(Family::State, &keys::generations(self.replica.shard, self.generation, next));
        let changes = Changes::new(batch, Urgency::Whenever).after(After::Of(self.replica.shard));
        let changes = Changes { room: Some(room), ..changes };
        // A closed store is cleared by the next installation too.
        self.queue.send(Op::Changes(Box::new(changes))).ok();
    }
}

fn clear_others(batch: &mut Batch, replica: &Replica, live: u32) {
    batch.delete_range(Family::State, &keys::generations(replica.shard, 0, Some(live)));
    if let Some(next) = live.checked_add(1) {
        batch.delete_range(Family::State, &keys::generations(replica.shard, next, None));
    }
}
