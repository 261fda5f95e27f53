//! Decided entries become state: decode, fetch what is cold, `ledger::apply`, answer the proposer.
//!
//! Apply waits for the disk only where a command names a record that left memory. What it changed stays in memory as
//! dirty records and journal blocks until the next checkpoint writes them at one index.

use super::{
    board::Board,
    raft::{Entry, LogId, Membership, ReplicaId, Reply, SnapshotMeta, StoredMembership, TypeConfig, batch_of},
    streams::{Claim, Streams},
};
use crate::environment::{Seen, Witness};
use crate::storage::{Checkpoint, Install, ReplicaStore, StateView, StoreError, Way, keys};
use bytes::Bytes;
use earmark_ledger::{
    Corrupt, Digest, Ledger, Loader, RecordKey, codec,
    planted::{self, Bug},
    records,
    types::{Epoch, LogIndex, ShardId},
};
use futures::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    alias::SnapshotOf,
    storage::{EntryResponder, RaftStateMachine},
};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::{Notify, Semaphore, oneshot, watch};

/// Snapshots' records that are read at the same time. A node that comes back empty gets those of all its shards at once: a thread
/// for each would leave callers of this machine little of its processors, and be done no sooner.
static LOADING: Semaphore = Semaphore::const_new(1);

/// A checkpoint holds up who answers callers for as long as it is large. So where there is time for many small ones, they come at this
/// share of the bytes that bring one at once.
const SMALLER: usize = 16;

/// Digest marks a replica remembers.
const DIGESTS_KEPT: usize = 16;

/// One replica's state and where it stands.
pub struct Core {
    shard: ShardId,
    store: ReplicaStore,
    hot: Mutex<Hot>,
    applied: watch::Sender<u64>,
    damage: watch::Sender<Option<Damage>>,
    checkpoint_wanted: Notify,
    checkpoint_bytes: usize,
    /// Held while a checkpoint or a snapshot is on its way to disk: each is of the state that stands when it ends.
    writing: tokio::sync::Mutex<()>,
    streams: Streams,
    board: Board,
    receiving: Arc<tokio::sync::Mutex<()>>,
    witness: Option<(ReplicaId, Arc<dyn Witness>)>,
}

/// What the lock guards.
pub struct Hot {
    /// The state machine.
    pub ledger: Ledger,
    /// The last applied entry.
    pub last: Option<LogId>,
    /// Who votes, as of `last`.
    pub membership: StoredMembership,
    /// What the newest checkpoint on disk covers.
    pub checkpointed: Option<LogId>,
    journal: Vec<(LogIndex, Bytes)>,
    journal_bytes: usize,
    /// So many dirty bytes bring a checkpoint now; none once that was told.
    checkpoint_at: Option<usize>,
    /// Blocks that a checkpoint is taking to disk: until it is there they are read from here.
    journal_leaving: Vec<(LogIndex, Bytes)>,
    digests: VecDeque<(u64, Digest)>,
    snapshot: Option<SnapshotMeta>,
}

/// What is wrong with a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// For people.
    pub reason: Arc<str>,
    /// Its records are wrong in a way that they don't show by themselves: it must not be opened again, after a restart
    /// neither. Everything else is met again by whoever opens it, or was the fault of what is running.
    pub lasting: bool,
}

/// Why a replica's state can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record makes no sense.
    #[error("the state can't be read: {0}")]
    Corrupt(#[from] Corrupt),
}

/// Where the records of a state lie: the live generation, or one that is on its way in.
trait Source {
    fn blocks(&self) -> bool;
    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), LoadError>;
}

type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), LoadError> + 'a;

impl Source for ReplicaStore {
    fn blocks(&self) -> bool {
        ReplicaStore::blocks(self)
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read_state(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), LoadError> {
        self.scan_state(start, end, visit)
    }
}

impl Source for Install {
    fn blocks(&self) -> bool {
        Install::blocks(self)
    }

    fn read(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read_state(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), LoadError> {
        self.scan_state(start, end, visit)
    }
}

/// Reads the hot records of a state, as long as somebody `waits` for them.
fn load(shard: ShardId, source: &impl Source, waits: impl Fn() -> bool) -> Result<Ledger, LoadError> {
    let mut loader = Loader::new(shard);
    let mut way = Way::new(source.blocks());
    let mut take = |key: &[u8], value: &[u8]| {
        way.record();
        match waits() {
            true => loader.record(key, value).map_err(LoadError::from),
            false => Err(LoadError::Store(StoreError::Superseded)),
        }
    };
    // What a newer build wrote is refused by its kind.
    source.scan(records::UNKNOWN, &[], &mut take)?;
    let Some(header) = source.read(records::HEADER_KEY)? else { return Ok(loader.finish()?) };
    let clock = records::header_clock(&header)?;
    for (start, end) in records::hot_ranges(clock) {
        source.scan(&start, &end, &mut take)?;
    }
    Ok(loader.finish()?)
}

/// Reads the hot records of a state that came in whole and is not live yet, and gives it back with them.
///
/// That takes seconds for millions of them. So where a disk blocks it is done on a thread of its own: a node with one thread
/// that did nothing else meanwhile would lose its connections, the one that the next snapshot comes by among them. They take
/// turns; whoever sent one waits for as long as it allows.
///
/// # Errors
/// [`LoadError`] if it could not be used: it must not become live.
pub async fn load_received(shard: ShardId, mut install: Install) -> Result<(Ledger, Install), LoadError> {
    install.written().await?;
    if !install.blocks() {
        return Ok((load(shard, &install, || true)?, install));
    }
    let _turn = LOADING.acquire().await.map_err(StoreError::io)?;
    let (answer, loaded) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let ledger = load(shard, &install, || !answer.is_closed());
        // Whoever waited may have gone.
        answer.send(ledger.map(|ledger| (ledger, install))).ok();
    });
    loaded.await.map_err(|_| StoreError::io("the thread that read a snapshot's records ended"))?
}

/// Drops a whole state, which takes a while, too.
fn let_go(ledger: Ledger, blocks: bool) {
    if blocks {
        drop(tokio::task::spawn_blocking(move || drop(ledger)));
    }
}

impl Core {
    /// The state as of the last checkpoint on disk; the log after it is applied by Raft.
    ///
    /// # Errors
    /// [`LoadError`] if a record can't be read.
    pub fn open(
        shard: ShardId,
        store: ReplicaStore,
        checkpoint_bytes: usize,
        witness: Option<(ReplicaId, Arc<dyn Witness>)>,
    ) -> Result<Arc<Self>, LoadError> {
        let ledger = load(shard, &store, || true)?;
        let restored = store.restored();
        let hot = Hot {
            ledger,
            last: restored.applied,
            membership: restored.membership.clone(),
            checkpointed: restored.applied,
            journal: Vec::new(),
            journal_bytes: 0,
            checkpoint_at: Some(checkpoint_bytes),
            journal_leaving: Vec::new(),
            digests: VecDeque::new(),
            snapshot: restored
                .applied
                .map(|applied| SnapshotMeta { last_log_id: Some(applied), last_membership: restored.membership }),
        };
        let (applied, _) = watch::channel(restored.applied.map_or(0, |id| id.index));
        let (damage, _) = watch::channel(None);
        Ok(Arc::new(Self {
            shard,
            store,
            hot: Mutex::new(hot),
            applied,
            damage,
            checkpoint_wanted: Notify::new(),
            checkpoint_bytes,
            writing: tokio::sync::Mutex::default(),
            streams: Streams::default(),
            board: Board::default(),
            receiving: Arc::default(),
            witness,
        }))
    }

    /// The state, locked. Held for short: apply waits.
    pub fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().expect("a panic under this lock stops the replica: its state is no longer known to be whole")
    }

    /// Whose state it is.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Whether a panic in apply left the state unknown.
    pub fn is_broken(&self) -> bool {
        self.hot.is_poisoned()
    }

    /// The index of the last applied entry, as it grows.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// The index of the last applied entry.
    pub fn applied_index(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Whether this replica may not serve.
    pub fn is_damaged(&self) -> bool {
        self.damage.borrow().is_some() || self.is_broken()
    }

    /// What is wrong with this replica, once something is.
    pub fn damage(&self) -> watch::Receiver<Option<Damage>> {
        self.damage.subscribe()
    }

    /// Marks the replica as damaged: it serves no longer.
    pub fn mark_damaged(&self, reason: &str) {
        self.damaged(reason, false);
    }

    /// Marks the replica as damaged for good: other replicas have another state at the same entry.
    pub fn mark_diverged(&self, reason: &str) {
        self.damaged(reason, true);
    }

    fn damaged(&self, reason: &str, lasting: bool) {
        let first = self.damage.send_if_modified(|damage| {
            let first = damage.is_none();
            damage.get_or_insert_with(|| Damage { reason: reason.into(), lasting });
            first
        });
        if first {
            tracing::error!(shard = %self.shard, reason, "this replica is damaged and stops serving");
        }
    }

    /// Held while a snapshot is received and installed.
    pub fn receiving(&self) -> Arc<tokio::sync::Mutex<()>> {
        self.receiving.clone()
    }

    /// Who waits for the ends of carts.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Snapshots on their way to followers.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Where its records are.
    pub fn store(&self) -> &ReplicaStore {
        &self.store
    }

    /// The digest this replica noted at the mark with that index.
    pub fn digest_at(&self, index: u64) -> Option<Digest> {
        self.hot().digests.iter().find(|(at, _)| *at == index).map(|(_, digest)| *digest)
    }

    /// The newest digest mark.
    pub fn newest_digest(&self) -> Option<(u64, Digest)> {
        self.hot().digests.back().copied()
    }

    /// Reads a record that left memory.
    ///
    /// # Errors
    /// The store's.
    pub fn read_cold(&self, key: &RecordKey) -> io::Result<Option<Bytes>> {
        self.store.read_state(key.as_bytes()).map_err(io::Error::other)
    }

    /// One block of the journal, whether it is on disk yet or not; none if it is below the floor.
    ///
    /// # Errors
    /// The store's.
    pub fn journal_block(&self, epoch: Epoch, index: LogIndex) -> Result<Option<Bytes>, StoreError> {
        {
            let hot = self.hot();
            if hot.epoch() == epoch {
                for blocks in [&hot.journal, &hot.journal_leaving] {
                    if let Ok(at) = blocks.binary_search_by_key(&index, |(index, _)| *index) {
                        return Ok(Some(blocks[at].1.clone()));
                    }
                }
            }
        }
        // What left memory meanwhile is on disk by now.
        let next = LogIndex(index.0.saturating_add(1));
        let found = self.store.journal_before(epoch, next)?;
        Ok(found.filter(|(found_epoch, found, _)| (*found_epoch, *found) == (epoch, index)).map(|(_, _, block)| block))
    }

    /// The oldest block of the journal that there is, whether it is on disk yet or not.
    ///
    /// # Errors
    /// The store's.
    pub fn journal_oldest(&self) -> Result<Option<Bytes>, StoreError> {
        if let Some((_, _, block)) = self.store.journal_first(self.store.journal_floor())? {
            return Ok(Some(block));
        }
        let hot = self.hot();
        Ok(hot.journal_leaving.first().or(hot.journal.first()).map(|(_, block)| block.clone()))
    }

    /// Resolves when a checkpoint should be taken at once.
    pub async fn checkpoint_wanted(&self) {
        self.checkpoint_wanted.notified().await;
    }

    /// Until the next checkpoint fewer dirty bytes bring it: the last one was some time ago.
    pub fn want_smaller_checkpoint(&self) {
        let mut hot = self.hot();
        hot.checkpoint_at = Some(self.checkpoint_bytes / SMALLER);
        self.tell_if_dirty(&mut hot);
    }

    /// Once: told again before the checkpoint is taken, it would bring another right after.
    fn tell_if_dirty(&self, hot: &mut Hot) {
        let dirty = hot.ledger.dirty_bytes() + hot.journal_bytes;
        if hot.checkpoint_at.is_some_and(|bytes| dirty >= bytes) {
            hot.checkpoint_at = None;
            self.checkpoint_wanted.notify_one();
        }
    }

    /// Has a checkpoint taken at once, and the log purged behind it. Whether there is anything to write.
    pub fn want_checkpoint(&self) -> bool {
        let hot = self.hot();
        self.checkpoint_wanted.notify_one();
        hot.last.is_some() && hot.checkpointed != hot.last
    }

    /// The entry the newest checkpoint covers.
    pub fn checkpointed(&self) -> Option<LogId> {
        self.hot().checkpointed
    }

    /// Writes everything changed since the last checkpoint, at one index. Whether there was anything to write.
    ///
    /// # Errors
    /// The store's; it is poisoned then.
    pub async fn checkpoint(&self) -> io::Result<bool> {
        let _writing = self.writing.lock().await;
        let (checkpoint, applied) = {
            let mut hot = self.hot();
            let Some(applied) = hot.last else { return Ok(false) };
            if hot.checkpointed == Some(applied) {
                return Ok(false);
            }
            // The store puts the blocks of the journal behind them.
            let blocks = hot.journal_bytes + hot.journal.len() * keys::JOURNAL_KEY_BYTES;
            let changes = hot.ledger.take_changes_and_room(blocks);
            hot.journal_bytes = 0;
            hot.checkpoint_at = Some(self.checkpoint_bytes);
            hot.journal_leaving = std::mem::take(&mut hot.journal);
            let checkpoint = Checkpoint {
                puts: changes.puts,
                deletes: changes.deletes,
                journal: hot.journal_leaving.clone(),
                applied: Some(LogId { index: applied.index + u64::from(planted::on(Bug::CheckpointAhead)), ..applied }),
                membership: hot.membership.clone(),
                epoch: hot.ledger.epoch(),
            };
            (checkpoint, applied)
        };
        let membership = checkpoint.membership.clone();
        self.store.checkpoint(checkpoint).await.map_err(io::Error::other)?;
        let mut hot = self.hot();
        hot.checkpointed = Some(applied);
        hot.journal_leaving.clear();
        hot.snapshot = Some(SnapshotMeta { last_log_id: Some(applied), last_membership: membership });
        hot.ledger.evict();
        Ok(true)
    }

    /// Whether its answers are `awaited` is nothing to the state: a follower does not make them.
    fn apply_entry(&self, entry: &Entry, awaited: bool) -> io::Result<Reply> {
        let mut hot = self.hot();
        let index = entry.log_id.index;
        let mut reply = Reply::default();
        if let Some(payload) = batch_of(entry) {
            let batch = codec::decode_batch(payload.0.clone()).map_err(io::Error::other)?;
            if !Ledger::supports(batch.rules) {
                return Err(io::Error::other(format!(
                    "entry {index} asks for rules {}, unknown to this build",
                    batch.rules
                )));
            }
            for key in hot.ledger.cold_keys(&batch) {
                let value = self.store.read_state(key.as_bytes()).map_err(io::Error::other)?;
                hot.ledger.warm(&key, value.as_deref()).map_err(io::Error::other)?;
            }
            let applied = match awaited {
                true => hot.ledger.apply(LogIndex(index), &batch),
                false => hot.ledger.follow(LogIndex(index), &batch),
            };
            if let Some(block) = applied.journal {
                hot.journal_bytes += block.len();
                hot.journal.push((LogIndex(index), block));
            }
            if let Some(digest) = applied.digest {
                if hot.digests.len() == DIGESTS_KEPT {
                    hot.digests.pop_front();
                }
                hot.digests.push_back((index, digest));
            }
            self.board.post(applied.news);
            reply.0 = applied.outcomes;
        }
        if let EntryPayload::Membership(membership) = &entry.payload {
            hot.membership = stored(entry.log_id, membership.clone());
        }
        hot.last = Some(entry.log_id);
        if let Some((replica, witness)) = &self.witness {
            let (shard, replica, term) = (self.shard, *replica, entry.log_id.leader_id.term);
            let batch = batch_of(entry).map(|payload| payload.0.as_ref());
            witness.applied(Seen { shard, replica, term, index, batch, ledger: &mut hot.ledger });
        }
        self.tell_if_dirty(&mut hot);
        Ok(reply)
    }
}

fn stored(at: LogId, membership: Membership) -> StoredMembership {
    StoredMembership::new(Some(at), membership)
}

/// openraft's hand on the state.
#[derive(Clone)]
pub struct Machine {
    core: Arc<Core>,
}

impl Machine {
    /// For Raft to drive.
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

/// A snapshot on its way in or out.
pub enum SnapshotData {
    /// Only its metadata is asked for.
    Mark,
    /// To be sent: the live generation, as it is at this moment on disk.
    Outgoing(StateView, Claim),
    /// Received whole, verified and loaded, not live yet.
    Incoming(Install, Box<Ledger>),
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;

    /// A checkpoint is the snapshot; building it is telling what the newest one covers.
    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotData>, io::Error> {
        let hot = self.core.hot();
        let mut meta = hot.snapshot.clone().ok_or_else(|| io::Error::other("no checkpoint was taken yet"))?;
        if planted::on(Bug::PurgeAboveCheckpoint) {
            meta.last_log_id = hot.last;
        }
        Ok(SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot: SnapshotData::Mark })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let hot = self.core.hot();
        Ok((hot.last, hot.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let reply = self.core.apply_entry(&entry, responder.is_some()).inspect_err(|error| {
                self.core.mark_damaged(&format!("entry {} can't be applied: {error}", entry.log_id.index));
            })?;
            self.core.applied.send_replace(entry.log_id.index);
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotData) -> Result<(), io::Error> {
        let SnapshotData::Incoming(install, ledger) = snapshot else {
            return Err(io::Error::other("only a received snapshot can be installed"));
        };
        let applied = meta.last_log_id.ok_or_else(|| io::Error::other("a snapshot of nothing"))?;
        let membership = meta.last_membership.clone();
        let _writing = self.core.writing.lock().await;
        let blocks = install.blocks();
        install.finish(applied, membership.clone(), ledger.epoch()).await.map_err(io::Error::other)?;
        let before = {
            let mut hot = self.core.hot();
            let before = std::mem::replace(&mut hot.ledger, *ledger);
            hot.last = Some(applied);
            hot.membership = membership;
            hot.checkpointed = Some(applied);
            hot.journal.clear();
            hot.journal_leaving.clear();
            hot.journal_bytes = 0;
            hot.checkpoint_at = Some(self.core.checkpoint_bytes);
            hot.snapshot = Some(meta.clone());
            self.core.board.clear();
            if let Some((replica, witness)) = &self.core.witness {
                let term = applied.leader_id.term;
                witness.installed(self.core.shard, *replica, term, applied.index, &mut hot.ledger);
            }
            before
        };
        let_go(before, blocks);
        self.core.applied.send_replace(applied.index);
        tracing::info!(shard = %self.core.shard, index = applied.index, "a snapshot was installed");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, SnapshotData>>, io::Error> {
        let view = self.core.store.view().await.map_err(io::Error::other)?;
        let Some(mut applied) = view.restored().applied else { return Ok(None) };
        if planted::on(Bug::ApplyTwice) {
            applied.index = applied.index.saturating_sub(3);
        }
        let claim = self.core.streams.begin(applied.index);
        let meta = SnapshotMeta { last_log_id: Some(applied), last_membership: view.restored().membership.clone() };
        Ok(Some(SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot: SnapshotData::Outgoing(view, claim) }))
    }
}
