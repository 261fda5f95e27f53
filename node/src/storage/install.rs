//! Installing a snapshot: its records go into a generation of their own, table by table and beside the writer, and one
//! batch at the end makes it the live one. Until then nothing of it can be seen; dropped half-way, it leaves nothing that
//! counts.
//!
//! Tables, and not batches by way of the log: those would be written to the log, to a table and once or twice more when tables are
//! merged, and everyone whose sync waits for the same disk would wait for all of that.

use super::{
    engine::{Batch, Family, Records, Table},
    error::{Refusal, StoreError},
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
use std::{ops::ControlFlow, sync::Arc};

/// A snapshot on its way into the store.
pub struct Install {
    inner: Arc<Inner>,
    queue: Queue,
    replica: Arc<Replica>,
    generation: u32,
    /// What is being filled, and how many bytes are in it.
    table: Option<(Box<dyn Table>, usize)>,
    /// The last key that was added.
    last: Bytes,
}

impl Install {
    /// Takes a fresh generation and clears all that are not live.
    pub(super) async fn begin(inner: Arc<Inner>, queue: Queue, replica: Arc<Replica>) -> Result<Self, StoreError> {
        inner.sound()?;
        let room = queue.reserve(0).await?;
        let live = replica.lock().sent_generation;
        let batch = clear_others(&inner, &replica, live)?;
        let (generation, pending) = {
            let mut core = replica.lock();
            if core.sent_generation != live {
                return Err(StoreError::Superseded);
            }
            let generation = core.last_generation.max(core.sent_generation) + 1;
            let generation = if planted::on(Bug::SnapshotIntoLive) { core.sent_generation } else { generation };
            core.last_generation = generation;
            core.installing = Some(generation);
            let changes = Changes::new(batch, Urgency::Written).after(After::Of(replica.shard));
            (generation, queue.submit(changes, room)?)
        };
        let install = Self { inner, queue, replica, generation, table: None, last: Bytes::new() };
        pending.wait().await?;
        Ok(install)
    }

    /// Whether reads block, so that long ones need a thread of their own.
    pub fn blocks(&self) -> bool {
        self.inner.blocks()
    }

    /// Adds records, whose keys come after all that were added before. Returns when there is room for more, not when they are
    /// written.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another installation began; [`StoreError::Refused`] if the records are not in order; else as
    /// the store fails.
    pub async fn write_chunk(&mut self, records: &Records) -> Result<(), StoreError> {
        self.in_force()?;
        let start = keys::state_start(self.replica.shard, self.generation);
        let bytes: usize = records.iter().map(|(key, value)| start.len() + key.len() + value.len()).sum();
        let mut puts = Batch::with_capacity(records.len(), bytes);
        for (key, value) in records {
            if *key <= self.last {
                return Err(StoreError::Refused(Refusal::Disorder));
            }
            self.last = key.clone();
            puts.put_under(Family::State, &start, key, value);
        }
        let engine = self.inner.engine()?;
        let (mut table, before) = match self.table.take() {
            Some(begun) => begun,
            None => (self.inner.check(engine.table(Family::State))?, 0),
        };
        let taken = table.put(puts).await;
        self.inner.check(taken)?;
        self.table = Some((table, before + bytes));
        if before + bytes >= engine.table_bytes() { self.written().await } else { Ok(()) }
    }

    /// Waits until everything that was added can be read back.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if another installation began; else as the write fails.
    pub async fn written(&mut self) -> Result<(), StoreError> {
        self.in_force()?;
        let Some((table, _)) = self.table.take() else { return Ok(()) };
        let finished = table.finish().await;
        self.inner.check(finished)
    }

    /// No other installation began.
    fn in_force(&self) -> Result<(), StoreError> {
        let mine = self.replica.lock().installing == Some(self.generation);
        if mine { Ok(()) } else { Err(StoreError::Superseded) }
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

    /// Makes the snapshot, all that was added, the live state, in one batch with its position, its membership, the log's new beginning and
    /// the removal of the log up to there, never beyond; waits for the sync. The journal is whole from the next entry on.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], without effect, if another installation began or the replica is already beyond the
    /// snapshot; else as the write fails.
    pub async fn finish(
        mut self,
        applied: LogId,
        membership: StoredMembership,
        epoch: Epoch,
    ) -> Result<(), StoreError> {
        self.inner.sound()?;
        self.written().await?;
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
        let batch = clear_others(&self.inner, &self.replica, self.generation)?;
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

/// The removal of all generations but the live one, as far as there are any: a table that goes where something was removed of
/// late would have to be merged with that.
fn clear_others(inner: &Inner, replica: &Replica, live: u32) -> Result<Batch, StoreError> {
    let mut batch = Batch::default();
    let below = Some(keys::generations(replica.shard, 0, Some(live)));
    let above = live.checked_add(1).map(|next| keys::generations(replica.shard, next, None));
    for range in [below, above].into_iter().flatten() {
        let mut any = false;
        let look = |_: &[u8], _: &[u8]| {
            any = true;
            ControlFlow::Break(())
        };
        inner.check(inner.engine()?.scan(Family::State, &range, &mut { look }))?;
        if any {
            batch.delete_range(Family::State, &range);
        }
    }
    Ok(batch)
}
