//! The one writer of a node. It takes whatever waits from all shards, writes it as one batch, syncs once, and then
//! tells everyone in the order of their operations. So syncs per second do not grow with the number of shards.
//!
//! The same code drives both disks: on a thread of its own where writes block, as a task where they do not.

use super::{
    engine::{Batch, Engine, Family},
    error::StoreError,
    format::{encode_entry, encode_record},
    inner::Inner,
    keys::{self, MetaKey, ShardTag},
    mark_file::MarkFile,
    marks::Marks,
    queue::{After, Changes, MarkChange, Op, Publish, Room, Urgency},
    records::LogIdRecord,
    replica::Replica,
    way,
};
use crate::shard::raft::TypeConfig;
use earmark_ledger::{
    planted::{self, Bug},
    types::ShardId,
};
use futures::future::{BoxFuture, FutureExt};
use openraft::storage::IOFlushed;
use std::{collections::VecDeque, io, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::coop::unconstrained,
    time::Instant,
};

/// A batch is written once it has so many bytes; the operation that crosses the line is still in it.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// What was sent and may wait for the next batch waits no longer than this; so does the mark of the last sync.
const LINGER: Duration = Duration::from_millis(200);
/// So many times others are given the processor before a sync that is for one operation only, in case they are about to send more: on
/// a busy machine they mostly are, and a sync less is worth more than what they are given; on an idle one it takes a microsecond. Where
/// several operations are there already the writer was late as it is.
const WAYS_GIVEN: u32 = 2;
/// How often an idle writer looks after the engine and writes what peers said; and how often the file of marks is synced where others
/// are all the time: after a power loss it tells what there was so long before at the latest.
const ROUND: Duration = Duration::from_secs(1);
/// A write that takes longer is worth a line in the log: everything on the node waits for it.
const SLOW: Duration = Duration::from_secs(1);

/// The writer's state.
pub struct Writer {
    engine: Arc<dyn Engine>,
    inner: Arc<Inner>,
    queue: mpsc::UnboundedReceiver<Op>,
    end: End,
    batch: Batch,
    urgency: Urgency,
    /// In the order of the operations in `batch`.
    completions: Vec<Completion>,
    held: Vec<Room>,
    /// Checkpoints that wait to be written aside.
    asides: VecDeque<(ShardId, Box<Changes>)>,
    /// The one that is.
    aside: Option<Aside>,
    marks: Marks,
    /// When the file of marks was synced last.
    marked: Instant,
    /// When the first operation of the batch came that may wait, or the last sync was.
    since: Instant,
}

/// A checkpoint that is being written.
struct Aside {
    shard: ShardId,
    writing: BoxFuture<'static, Result<(), StoreError>>,
    completion: Completion,
    bytes: usize,
    begun: Instant,
    _room: Option<Room>,
}

/// Lets nobody wait for a writer that is gone, however it went.
struct End {
    inner: Arc<Inner>,
    room: Arc<Semaphore>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.room.close();
        if std::thread::panicking() {
            self.inner.poison(&StoreError::io("the writer panicked"));
        }
    }
}

/// What follows when a batch is written.
enum Completion {
    Flushed { flushed: IOFlushed<TypeConfig>, replica: Arc<Replica>, last: u64, truncations: u64 },
    Done { publish: Option<Publish>, done: Option<oneshot::Sender<Result<(), StoreError>>> },
}

impl Writer {
    /// A writer that has not begun.
    pub fn new(
        engine: Arc<dyn Engine>,
        inner: Arc<Inner>,
        file: MarkFile,
        queue: mpsc::UnboundedReceiver<Op>,
        room: Arc<Semaphore>,
    ) -> Self {
        let end = End { inner: Arc::clone(&inner), room };
        let replicas = inner.replicas().clone();
        let marks = Marks::new(file, replicas.values());
        Self {
            engine,
            inner,
            queue,
            end,
            batch: Batch::default(),
            urgency: Urgency::Whenever,
            completions: Vec::new(),
            held: Vec::new(),
            asides: VecDeque::new(),
            aside: None,
            marks,
            marked: Instant::now(),
            since: Instant::now(),
        }
    }

    /// Runs until the store is closed or nobody can send any more.
    pub async fn run(mut self) {
        let closing = loop {
            let next = match self.queue.try_recv() {
                Ok(op) => Some(op),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
                Err(mpsc::error::TryRecvError::Empty) => {
                    let deadline = self.deadline();
                    tokio::select! {
                        biased;
                        written = written(&mut self.aside) => {
                            self.wrote_aside(written);
                            self.commit().await;
                            continue;
                        }
                        op = self.queue.recv() => op,
                        () = tokio::time::sleep_until(deadline) => {
                            self.idle().await;
                            continue;
                        }
                    }
                }
            };
            let Some(first) = next else { break None };
            if let Some(closing) = self.gather(first).await {
                break Some(closing);
            }
            // Asked outside tokio's budget for a task, which says no once it is used up.
            if let Some(written) = unconstrained(written(&mut self.aside)).now_or_never() {
                self.wrote_aside(written);
            }
            // What was sent before a checkpoint goes before it.
            let before = !self.asides.is_empty() && !self.batch.is_empty();
            if self.urgency > Urgency::Whenever || self.batch.bytes() >= BATCH_BYTES_MAX || before {
                self.commit().await;
            } else {
                self.begin_aside();
            }
        };
        self.end(closing).await;
    }

    fn deadline(&self) -> Instant {
        let waits = !self.batch.is_empty() || self.marks.file.is_dirty();
        if waits { self.since + LINGER } else { Instant::now() + ROUND }
    }

    /// Takes operations until none waits or the batch is full.
    async fn gather(&mut self, first: Op) -> Option<oneshot::Sender<()>> {
        let mut next = Some(first);
        let mut given = 0;
        while let Some(op) = next {
            match op {
                Op::Close(closing) => return Some(closing),
                Op::Append { replica, entries, truncations, flushed, room } => {
                    self.append(&replica, &entries);
                    let last = entries.last().map_or(0, |entry| entry.log_id.index);
                    self.held.push(room);
                    self.completions.push(Completion::Flushed { flushed, replica, last, truncations });
                }
                Op::Aside(shard, changes) => self.asides.push_back((shard, changes)),
                Op::Changes(changes) => {
                    self.let_end(changes.after).await;
                    self.take(*changes);
                }
            }
            if self.batch.bytes() >= BATCH_BYTES_MAX {
                return None;
            }
            next = self.queue.try_recv().ok();
            let alone = self.urgency == Urgency::Synced && self.completions.len() == 1;
            while next.is_none() && alone && given < WAYS_GIVEN {
                given += 1;
                way::give(self.engine.blocks());
                next = self.queue.try_recv().ok();
            }
        }
        None
    }

    /// Waits for the checkpoints that something must not come before.
    async fn let_end(&mut self, after: After) {
        let meant = |shard: ShardId| match after {
            After::All => true,
            After::Of(one) => one == shard,
            After::None => false,
        };
        loop {
            let writing = self.aside.as_ref().is_some_and(|aside| meant(aside.shard));
            if !writing && !self.asides.iter().any(|(shard, _)| meant(*shard)) {
                return;
            }
            if self.aside.is_some() {
                let written = written(&mut self.aside).await;
                self.wrote_aside(written);
            }
            // What was sent before the next checkpoint is in the batch.
            if self.batch.is_empty() && self.completions.is_empty() {
                self.begin_aside();
            } else {
                self.commit().await;
            }
        }
    }

    /// Begins to write the next checkpoint, if none is being written. Nothing that was sent before it waits.
    fn begin_aside(&mut self) {
        if self.aside.is_some() {
            return;
        }
        let Some((shard, changes)) = self.asides.pop_front() else { return };
        let Changes { batch, publish, done, room, .. } = *changes;
        let bytes = batch.bytes();
        let writing = match self.inner.sound() {
            Ok(()) => self.engine.write_aside(batch),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        };
        self.inner.counters.count(0, bytes, None);
        let (completion, begun) = (Completion::Done { publish, done }, Instant::now());
        self.aside = Some(Aside { shard, writing, completion, bytes, begun, _room: room });
    }

    /// A checkpoint is written: whoever waits for it waits for the next sync.
    fn wrote_aside(&mut self, written: Result<(), StoreError>) {
        let Some(aside) = self.aside.take() else { return };
        let took = aside.begun.elapsed();
        if took >= SLOW {
            let (ms, bytes, shard) = (took.as_millis(), aside.bytes, aside.shard);
            tracing::warn!(ms, bytes, %shard, "the disk was slow to take a checkpoint, or the store was");
        }
        match self.inner.check(written) {
            Ok(()) => {
                self.completions.push(aside.completion);
                self.urgency = Urgency::Synced;
            }
            Err(error) => aside.completion.tell(&Err(error)),
        }
    }

    fn append(&mut self, replica: &Arc<Replica>, entries: &[crate::shard::raft::Entry]) {
        for entry in entries {
            let key = keys::log(replica.shard, entry.log_id.index);
            self.batch.put_with(Family::Log, &key, |out| encode_entry(entry, out));
        }
        if let Some(last) = entries.last() {
            self.marks.take(replica, MarkChange::Reaches(last.log_id));
        }
        let wanted = if planted::on(Bug::AckBeforeSync) { Urgency::Written } else { Urgency::Synced };
        self.urgency = self.urgency.max(wanted);
    }

    fn take(&mut self, changes: Changes) {
        if self.batch.is_empty() {
            self.since = Instant::now();
        }
        self.batch.append(&changes.batch);
        self.urgency = self.urgency.max(changes.urgency);
        self.marks.boots = changes.boots.or(self.marks.boots);
        self.marks.at_once |= changes.boots.is_some();
        for (replica, change) in changes.marks {
            self.marks.take(&replica, change);
        }
        self.held.extend(changes.room);
        self.completions.push(Completion::Done { publish: changes.publish, done: changes.done });
    }

    /// Writes the batch, tells everyone, and begins the next checkpoint.
    async fn commit(&mut self) {
        let result = match self.inner.sound() {
            Ok(()) => self.write().await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            self.inner.check::<()>(Err(error.clone())).ok();
        }
        self.batch.clear();
        self.urgency = Urgency::Whenever;
        self.held.clear();
        for completion in self.completions.drain(..) {
            completion.tell(&result);
        }
        self.begin_aside();
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        let sync = self.urgency == Urgency::Synced;
        // The marks of the sync before this one: they claim what is already there.
        let falling = self.marks.fall();
        let news = self.marks.file.is_dirty();
        self.marks.file.write(&*self.engine)?;
        if falling || (news && self.marked.elapsed() >= ROUND) {
            self.engine.sync_marks()?;
            self.marked = Instant::now();
        }
        self.take_along();
        let begun = Instant::now();
        self.engine.write(&self.batch, sync).await?;
        let took = begun.elapsed();
        if took >= SLOW {
            let (ms, bytes) = (took.as_millis(), self.batch.bytes());
            tracing::warn!(ms, bytes, sync, "the disk was slow to write, or the store to take it");
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.inner.counters.count(self.completions.len(), self.batch.bytes(), sync.then_some(took));
        if sync {
            self.since = Instant::now();
            self.marks.synced();
            if std::mem::take(&mut self.marks.at_once) {
                self.marks.file.write_both(&*self.engine)?;
            }
        }
        Ok(())
    }

    /// Adds what nobody waits for: it goes with what is written anyway.
    fn take_along(&mut self) {
        self.write_peers();
        self.write_decided();
    }

    /// Adds how much of each log is decided, where that is news. Never ahead of its entries: a node that starts again
    /// replays up to there.
    fn write_decided(&mut self) {
        let mut decided = self.inner.decided();
        decided.retain(|shard, replica| {
            let of_batch = self.completions.iter().filter_map(|completion| match completion {
                Completion::Flushed { replica, last, .. } if replica.shard == *shard => Some(last + 1),
                _ => None,
            });
            let core = replica.lock();
            let next = of_batch.max().max(Some(core.tail.on_disk()));
            let Some(committed) = core.committed.filter(|committed| Some(committed.index) < next) else {
                return core.committed.is_some();
            };
            let key = replica.key(ShardTag::Committed);
            self.batch.put_with(Family::Meta, &key, |out| encode_record(&LogIdRecord::from(&committed), out));
            false
        });
    }

    /// Adds what peers said since the last batch.
    fn write_peers(&mut self) {
        let mut peers = self.inner.peers();
        for (node, shard) in std::mem::take(&mut peers.dirty) {
            let Some(mark) = peers.marks.get(&(node, shard)) else { continue };
            let key = MetaKey::Peer(node, shard).to_bytes();
            self.batch.put_with(Family::Meta, &key, |out| encode_record(&mark.to_record(shard), out));
        }
    }

    /// Nothing came for a while: writes what may wait, and the marks.
    async fn idle(&mut self) {
        if self.inner.sound().is_err() {
            self.commit().await;
            self.since = Instant::now() + ROUND;
            return;
        }
        let looked = self.engine.health();
        self.inner.check(looked).ok();
        self.take_along();
        if !self.batch.is_empty() {
            self.commit().await;
        }
        if self.marks.file.is_dirty() {
            let written = self.marks.file.write(&*self.engine).and_then(|()| self.engine.sync_marks());
            self.inner.check(written).ok();
        }
        self.since = Instant::now();
    }

    /// Writes and syncs what waits, lets go of the engine, and refuses what still comes.
    async fn end(mut self, closing: Option<oneshot::Sender<()>>) {
        self.queue.close();
        self.end.room.close();
        self.let_end(After::All).await;
        self.take_along();
        if !self.batch.is_empty() {
            self.urgency = Urgency::Synced;
            self.commit().await;
        }
        if self.inner.sound().is_ok() {
            let written = self.marks.file.write(&*self.engine).and_then(|()| self.engine.sync_marks());
            self.inner.check(written).ok();
        }
        self.inner.close();
        while let Some(op) = self.queue.recv().await {
            match op {
                Op::Append { flushed, .. } => flushed.io_completed(Err(StoreError::Closed.into())),
                Op::Changes(changes) | Op::Aside(_, changes) => {
                    Completion::Done { publish: None, done: changes.done }.tell(&Err(StoreError::Closed));
                }
                Op::Close(other) => drop(other),
            }
        }
        drop(self.engine);
        if let Some(closing) = closing {
            // Whoever asked may have gone.
            closing.send(()).ok();
        }
    }
}

/// Resolves when that checkpoint is written; never if there is none.
async fn written(aside: &mut Option<Aside>) -> Result<(), StoreError> {
    match aside {
        Some(aside) => (&mut aside.writing).await,
        None => std::future::pending().await,
    }
}

impl Completion {
    fn tell(self, result: &Result<(), StoreError>) {
        match self {
            Self::Flushed { flushed, replica, last, truncations } => {
                if result.is_ok() {
                    replica.lock().tail.wrote(last, truncations);
                }
                flushed.io_completed(result.clone().map_err(io::Error::from));
            }
            Self::Done { publish, done } => {
                if let (Ok(()), Some(publish)) = (result, publish) {
                    publish();
                }
                if let Some(done) = done {
                    // Whoever asked may have gone.
                    done.send(result.clone()).ok();
                }
            }
        }
    }
}
