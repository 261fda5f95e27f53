//! One shard's replica on this node: its incarnation, its log, the ledger's records as of the last checkpoint, and its
//! journal.

use super::{
    engine::{Batch, Family},
    error::{Refusal, StoreError},
    format::encode_record,
    inner::Inner,
    install::Install,
    keys::{self, ShardTag},
    log::LogStore,
    queue::{After, Changes, MarkChange, Queue, Urgency},
    records::DamageRecord,
    replica::{JournalFloor, Replica, Restored},
    store::{put_incarnation, replica_wipe},
    view::StateView,
};
use crate::shard::raft::{LogId, StoredMembership};
use bytes::Bytes;
use earmark_ledger::{
    Records,
    planted::{self, Bug},
    types::{Epoch, LogIndex, ShardId},
};
use std::{ops::ControlFlow, sync::Arc};
use tokio::sync::Semaphore;

/// Long reads at the same time: more would be done no sooner, and leave callers of this machine less of its disk and its processors.
static READING: Semaphore = Semaphore::const_new(1);

/// What changed since the last checkpoint, all as of `applied`.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Records that are new or changed.
    pub puts: Records,
    /// Records that are gone.
    pub deletes: Vec<Bytes>,
    /// One block for each entry that changed something.
    pub journal: Vec<(LogIndex, Bytes)>,
    /// Up to where the log is in it.
    pub applied: Option<LogId>,
    /// The membership in force there.
    pub membership: StoredMembership,
    /// The shard's epoch.
    pub epoch: Epoch,
}

/// A replica's part of the store. Cheap to clone.
#[derive(Clone)]
pub struct ReplicaStore {
    inner: Arc<Inner>,
    queue: Queue,
    replica: Arc<Replica>,
}

impl ReplicaStore {
    pub(super) fn new(inner: Arc<Inner>, queue: Queue, replica: Arc<Replica>) -> Self {
        Self { inner, queue, replica }
    }

    /// Which shard.
    pub fn shard(&self) -> ShardId {
        self.replica.shard
    }

    /// The incarnation it is in, if it was ever created.
    pub fn incarnation(&self) -> Option<u32> {
        self.replica.lock().incarnation
    }

    /// Begins an incarnation, empty. Nothing happens if it is the present one.
    ///
    /// # Errors
    /// [`Refusal::IncarnationFalls`]; [`Refusal::NotEmpty`] if the last one was not wiped; else as the write fails.
    pub async fn create(&self, incarnation: u32) -> Result<(), StoreError> {
        self.inner.sound()?;
        let room = self.queue.reserve(0).await?;
        let pending = {
            let core = self.replica.lock();
            match core.incarnation {
                Some(present) if present == incarnation => return Ok(()),
                Some(present) if present > incarnation => {
                    let asked = incarnation;
                    return Err(StoreError::Refused(Refusal::IncarnationFalls { present, asked }));
                }
                _ if !core.is_empty() => return Err(StoreError::Refused(Refusal::NotEmpty)),
                _ => {}
            }
            let mut batch = Batch::default();
            put_incarnation(&mut batch, &self.replica, incarnation);
            let replica = Arc::clone(&self.replica);
            let changes = Changes::new(batch, Urgency::Synced)
                .after(After::Of(self.shard()))
                .mark(&self.replica, MarkChange::Created(incarnation))
                .publish(move || replica.lock().incarnation = Some(incarnation));
            self.queue.submit(changes, room)?
        };
        pending.wait().await
    }

    /// Removes everything but the incarnation. Its Raft must not be open.
    ///
    /// # Errors
    /// As the write fails.
    pub async fn wipe(&self) -> Result<(), StoreError> {
        self.inner.sound()?;
        let mut batch = Batch::default();
        replica_wipe(&mut batch, &self.replica);
        let replica = Arc::clone(&self.replica);
        let changes = Changes::new(batch, Urgency::Synced)
            .after(After::Of(self.shard()))
            .mark(&self.replica, MarkChange::Wiped)
            .publish(move || replica.lock().wipe());
        let _whole = self.replica.whole.lock().await;
        let room = self.queue.reserve(0).await?;
        self.inner.decided().remove(&self.shard());
        self.queue.submit(changes, room)?.wait().await
    }

    /// Whether it ever voted or took an entry in this incarnation.
    pub fn has_promised(&self) -> bool {
        let core = self.replica.lock();
        core.vote.is_some() || core.tail.last().is_some()
    }

    /// Why its records are not to be trusted, if that was ever noted: its Raft must not be opened.
    pub fn damage(&self) -> Option<Arc<str>> {
        self.replica.lock().damage.clone()
    }

    /// Notes for good, until it is wiped, that its records are not to be trusted. The first reason stays.
    ///
    /// # Errors
    /// As the write fails.
    pub async fn note_damage(&self, reason: &str) -> Result<(), StoreError> {
        self.inner.sound()?;
        let room = self.queue.reserve(reason.len()).await?;
        let pending = {
            let mut core = self.replica.lock();
            if core.damage.is_some() {
                return Ok(());
            }
            core.damage = Some(reason.into());
            let mut batch = Batch::default();
            let record = DamageRecord { reason: reason.to_owned() };
            let key = self.replica.key(ShardTag::Damage);
            batch.put_with(Family::Meta, &key, |out| encode_record(&record, out));
            self.queue.submit(Changes::new(batch, Urgency::Synced).after(After::None), room)?
        };
        pending.wait().await
    }

    /// Its log, for openraft.
    pub fn log(&self) -> LogStore {
        LogStore::new(Arc::clone(&self.inner), self.queue.clone(), Arc::clone(&self.replica))
    }

    /// The newest entry that has at least so many bytes of the log behind it, as far as that is known.
    pub fn log_before_bytes(&self, bytes: u64) -> Option<u64> {
        self.replica.lock().tail.before_bytes(bytes)
    }

    /// The last checkpoint.
    pub fn restored(&self) -> Restored {
        self.replica.lock().live.clone()
    }

    /// One record of the ledger as of the last checkpoint.
    ///
    /// # Errors
    /// As the read fails.
    pub fn read_state(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let engine = self.inner.engine()?;
        loop {
            let generation = self.replica.lock().live.generation;
            let read = engine.get(Family::State, &keys::state(self.shard(), generation, key));
            let value = self.inner.check(read)?;
            // An old generation is removed only after another became live.
            if self.replica.lock().live.generation == generation {
                return Ok(value);
            }
        }
    }

    /// Shows the records of the ledger from `start` up to `end` (excluded; empty for no end), in order, as of the last
    /// checkpoint, until `visit` fails.
    ///
    /// # Errors
    /// As `visit` or the read fails; [`StoreError::Superseded`] if a snapshot was installed meanwhile.
    pub fn scan_state<E: From<StoreError>>(
        &self,
        start: &[u8],
        end: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let generation = self.replica.lock().live.generation;
        let range = keys::state_range(self.shard(), generation, start, end);
        self.inner.scan(Family::State, &range, |key, value| visit(keys::state_key(key), value))?;
        if self.replica.lock().live.generation != generation {
            return Err(StoreError::Superseded.into());
        }
        Ok(())
    }

    /// Shows the journal of an epoch from an index on, in order, until `visit` fails.
    ///
    /// # Errors
    /// As `visit` or the read fails.
    pub fn read_journal<E: From<StoreError>>(
        &self,
        epoch: Epoch,
        from: LogIndex,
        mut visit: impl FnMut(LogIndex, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let range = keys::journal_from(self.shard(), epoch, from);
        self.inner
            .scan(Family::Journal, &range, |key, value| visit(keys::journal_index(key).unwrap_or_default(), value))
    }

    /// From where on the journal is whole.
    pub fn journal_floor(&self) -> JournalFloor {
        self.replica.lock().live.journal_floor
    }

    /// Writes a checkpoint, all of it or nothing, and waits for its sync. It goes into the queue at the first poll that
    /// finds room; what is sent later comes later on disk.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], without effect, if a later checkpoint or a snapshot beyond it was sent before; else
    /// as the write fails.
    pub async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), StoreError> {
        self.inner.sound()?;
        let records = checkpoint.puts.bytes();
        let blocks = checkpoint.journal.iter().map(|(_, block)| block.len()).sum::<usize>();
        let generation = self.replica.lock().sent_generation;
        let (applied, epoch, membership) = (checkpoint.applied, checkpoint.epoch, checkpoint.membership.clone());
        let mut batch = self.checkpoint_batch(generation, checkpoint).await?;
        let whole = Arc::clone(&self.replica.whole).lock_owned().await;
        let room = self.queue.reserve(records + blocks).await?;
        let pending = {
            let mut core = self.replica.lock();
            // What changed in the state before a snapshot says nothing about the state after it.
            if core.sent_generation != generation || applied < core.sent_applied {
                return Err(StoreError::Superseded);
            }
            core.sent_applied = applied;
            let live =
                Restored { generation, applied, membership, epoch, journal_floor: core.sent_floor, has_state: true };
            let key = self.replica.key(ShardTag::Checkpoint);
            batch.put_with(Family::Meta, &key, |out| encode_record(&live.to_record(), out));
            let replica = Arc::clone(&self.replica);
            let changes = Changes::new(batch, Urgency::Synced).publish(move || {
                let mut core = replica.lock();
                core.live = live;
                core.journal_added += blocks as u64;
                drop(whole);
            });
            self.queue.submit_aside(self.shard(), changes, room)?
        };
        pending.wait().await
    }

    /// The records and blocks of a checkpoint. Sorting thousands of them takes a good part of a millisecond, so where the disk blocks it
    /// is done on a thread of its own, too.
    async fn checkpoint_batch(&self, generation: u32, checkpoint: Checkpoint) -> Result<Batch, StoreError> {
        let shard = self.shard();
        if !self.blocks() {
            return Ok(checkpoint_batch(shard, generation, checkpoint));
        }
        let made = tokio::task::spawn_blocking(move || checkpoint_batch(shard, generation, checkpoint));
        made.await.map_err(StoreError::io)
    }

    /// Everything as of the last checkpoint, to be sent to a lagging replica while writes go on.
    ///
    /// # Errors
    /// As the read fails.
    pub async fn view(&self) -> Result<StateView, StoreError> {
        let _whole = self.replica.whole.lock().await;
        let engine = self.inner.engine()?;
        let view = StateView::open(&*engine, Arc::clone(&self.inner), &self.replica).await;
        self.inner.check(view)
    }

    /// Begins to install a snapshot, clearing away what an earlier one left. An installation that is still going on is
    /// superseded.
    ///
    /// # Errors
    /// As the write fails.
    pub async fn begin_install(&self) -> Result<Install, StoreError> {
        Install::begin(Arc::clone(&self.inner), self.queue.clone(), Arc::clone(&self.replica)).await
    }

    /// Adds journal blocks, and moves the floor from where it was when they were asked for: down when the journal is whole
    /// from there on, up when the older part is no longer kept. Un-synced: what is lost is fetched again.
    ///
    /// # Errors
    /// [`StoreError::Superseded`], without effect, if the floor moved meanwhile; else as the write fails.
    pub async fn fill_journal(
        &self,
        from: JournalFloor,
        blocks: &[(Epoch, LogIndex, Bytes)],
        floor: JournalFloor,
    ) -> Result<(), StoreError> {
        self.inner.sound()?;
        let mut batch = Batch::default();
        let mut bytes = 0;
        for (epoch, index, block) in blocks {
            bytes += block.len() as u64;
            batch.put(Family::Journal, &keys::journal(self.shard(), *epoch, *index), block);
        }
        if floor > from {
            batch.delete_range(Family::Journal, &keys::journal_below(self.shard(), floor.epoch, floor.index));
        }
        let room = self.queue.reserve(batch.bytes()).await?;
        let pending = {
            let mut core = self.replica.lock();
            if core.sent_floor != from {
                return Err(StoreError::Superseded);
            }
            core.sent_floor = floor;
            let key = self.replica.key(ShardTag::JournalFloor);
            batch.put_with(Family::Meta, &key, |out| encode_record(&floor.to_record(), out));
            let replica = Arc::clone(&self.replica);
            // Of other entries than those of any checkpoint on its way.
            let changes = Changes::new(batch, Urgency::Written).after(After::None).publish(move || {
                let mut core = replica.lock();
                core.live.journal_floor = floor;
                core.journal_added += bytes;
            });
            self.queue.submit(changes, room)?
        };
        pending.wait().await
    }

    /// Bytes of journal blocks written since the opening.
    pub fn journal_added(&self) -> u64 {
        self.replica.lock().journal_added
    }

    /// Number of shards of the cluster, the meta shard included; 0 if it belongs to none.
    pub fn shards(&self) -> u32 {
        self.inner.identity().as_ref().map_or(0, |identity| identity.shards)
    }

    /// The first journal block at or above a place, if there is one.
    ///
    /// # Errors
    /// As the read fails.
    pub fn journal_first(&self, from: JournalFloor) -> Result<Option<(Epoch, LogIndex, Bytes)>, StoreError> {
        let mut first = None;
        self.walk_journal(from, |epoch, index, block| {
            first = Some((epoch, index, Bytes::copy_from_slice(block)));
            false
        })?;
        Ok(first)
    }

    /// The last journal block below a place and not below the floor, if there is one.
    ///
    /// # Errors
    /// As the read fails.
    pub fn journal_before(
        &self,
        epoch: Epoch,
        index: LogIndex,
    ) -> Result<Option<(Epoch, LogIndex, Bytes)>, StoreError> {
        let mut last = None;
        self.walk_journal_back(epoch, index, |epoch, index, block| {
            last = Some((epoch, index, Bytes::copy_from_slice(block)));
            false
        })?;
        Ok(last)
    }

    /// Shows the journal blocks below a place and not below the floor, newest first, over all epochs, until `visit` says
    /// no. May read from disk all the while.
    ///
    /// # Errors
    /// As the read fails.
    pub fn walk_journal_back(
        &self,
        epoch: Epoch,
        index: LogIndex,
        visit: impl FnMut(Epoch, LogIndex, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let floor = self.journal_floor();
        let range = keys::journal(self.shard(), floor.epoch, floor.index).to_vec()
            ..keys::journal(self.shard(), epoch, index).to_vec();
        if range.start >= range.end {
            return Ok(());
        }
        let scanned = self.inner.engine()?.scan_back(Family::Journal, &range, &mut shown(visit));
        self.inner.check(scanned)
    }

    /// Shows the journal blocks from a place on, in order, over all epochs, until `visit` says no.
    ///
    /// # Errors
    /// As the read fails.
    pub fn walk_journal(
        &self,
        from: JournalFloor,
        visit: impl FnMut(Epoch, LogIndex, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let range = keys::journal(self.shard(), from.epoch, from.index).to_vec()..keys::shard(self.shard()).end;
        let scanned = self.inner.engine()?.scan(Family::Journal, &range, &mut shown(visit));
        self.inner.check(scanned)
    }

    /// Whether reads block, so that long ones need a thread of their own.
    pub fn blocks(&self) -> bool {
        self.inner.blocks()
    }

    /// Reads what takes some milliseconds or more from disk, during which a node with one thread would answer nobody: where reads
    /// block, on a thread of its own, one such read after the other. What it reads should be bounded: until it ends the folder can't be
    /// opened again.
    ///
    /// # Errors
    /// [`StoreError::Io`] if that thread ended.
    pub async fn aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.blocks() {
            return Ok(read(self));
        }
        let turn = READING.acquire().await.map_err(StoreError::io)?;
        let store = self.clone();
        let read = move || {
            // Kept until it is read, whether somebody still waits for it or not.
            let _turn = turn;
            read(&store)
        };
        tokio::task::spawn_blocking(read).await.map_err(StoreError::io)
    }
}

/// As [`ReplicaStore::checkpoint_batch`].
fn checkpoint_batch(shard: ShardId, generation: u32, checkpoint: Checkpoint) -> Batch {
    let Checkpoint { puts, deletes, journal, epoch, .. } = checkpoint;
    let start = keys::state_start(shard, generation);
    let mut batch = Batch::of_records(Family::State, &start, puts);
    let deletes = if planted::on(Bug::CheckpointKeepsDeleted) { Vec::new() } else { deletes };
    for key in deletes {
        batch.delete_under(Family::State, &start, &key);
    }
    let lost = |index: &LogIndex| planted::on(Bug::JournalBlockLost) && index.0.is_multiple_of(5);
    for (index, block) in journal.iter().filter(|(index, _)| !lost(index)) {
        batch.put(Family::Journal, &keys::journal(shard, epoch, *index), block);
    }
    batch
}

/// Shows the keys and values of the journal as blocks, until `visit` says no.
fn shown(mut visit: impl FnMut(Epoch, LogIndex, &[u8]) -> bool) -> impl FnMut(&[u8], &[u8]) -> ControlFlow<()> {
    move |key, block| {
        let (Some(epoch), Some(index)) = (keys::journal_epoch(key), keys::journal_index(key)) else {
            return ControlFlow::Continue(());
        };
        if visit(epoch, index, block) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
