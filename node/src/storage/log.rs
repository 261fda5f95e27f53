//! A shard's Raft log as openraft asks for it. Entries are in memory at once and can be read; their callback comes
//! after their sync. Reads that memory cannot answer go to disk.

use super::{
    engine::{Batch, Family},
    error::StoreError,
    format::{decode_entry, encode_record},
    inner::Inner,
    keys::{self, ShardTag},
    queue::{After, Changes, MarkChange, Op, Queue, Urgency},
    records::{LogIdRecord, NumberRecord, VoteRecord},
    replica::Replica,
    tail::size,
};
use crate::shard::raft::{Entry, LogId, TypeConfig, Vote};
use bytes::Bytes;
use earmark_ledger::planted::{self, Bug};
use futures::{Stream, stream};
use openraft::{
    OptionalSend, RaftLogReader,
    storage::{IOFlushed, LogState, RaftLogStorage},
};
use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, ControlFlow, Range, RangeBounds},
    sync::Arc,
};

/// One answer to replication or apply: enough to make a message worth its cost, well below the peer port's limit.
const READ_BYTES_MAX: usize = 1 << 20;

/// A shard's log. Clones share it.
#[derive(Clone)]
pub struct LogStore {
    inner: Arc<Inner>,
    queue: Queue,
    replica: Arc<Replica>,
}

impl LogStore {
    pub(super) fn new(inner: Arc<Inner>, queue: Queue, replica: Arc<Replica>) -> Self {
        Self { inner, queue, replica }
    }

    /// Entries of a range from its start, as many as make up `bytes`, at least one if there is any.
    fn read(&self, range: Range<u64>, bytes: usize) -> Result<Vec<Entry>, StoreError> {
        loop {
            let (mut found, truncations) = {
                let core = self.replica.lock();
                (core.tail.find(range.clone(), bytes), core.tail.truncations())
            };
            if found.disk.is_empty() {
                self.inner.sound()?;
                return Ok(found.entries);
            }
            let read = self.read_disk(&found.disk, bytes);
            // What was truncated meanwhile may have been read half: look again.
            if self.replica.lock().tail.truncations() != truncations {
                continue;
            }
            let mut entries = self.inner.check(read)?;
            if entries.is_empty() && bytes != usize::MAX {
                found.entries = self.replica.lock().tail.find(found.disk.end..range.end, bytes).entries;
            }
            entries.append(&mut found.entries);
            return Ok(entries);
        }
    }

    fn read_disk(&self, range: &Range<u64>, bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let shard = self.replica.shard;
        let (mut entries, mut taken): (Vec<Entry>, usize) = (Vec::new(), 0);
        let mut failed = None;
        self.inner.engine()?.scan(
            Family::Log,
            &keys::log_range(shard, range.start, range.end),
            &mut |key, value| {
                let index = keys::log_index(key);
                let place = || format!("log entry {} of shard {}", index.unwrap_or_default(), shard.0);
                match decode_entry(&Bytes::copy_from_slice(value), place()) {
                    Ok(entry) if Some(entry.log_id.index) == index => {
                        let hole = entries.last().is_some_and(|last| last.log_id.index + 1 != entry.log_id.index);
                        if !hole {
                            taken += size(&entry);
                            entries.push(entry);
                            return if taken < bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
                        }
                        failed = Some(StoreError::corrupt(place(), "the entry before it is missing"));
                    }
                    Ok(_) => failed = Some(StoreError::corrupt(place(), "it has another index inside")),
                    Err(error) => failed = Some(error),
                }
                ControlFlow::Break(())
            },
        )?;
        let reached = entries.last().map(|entry| entry.log_id.index + 1);
        match (failed, reached) {
            (Some(error), _) => Err(error),
            (None, Some(next)) if next < range.end && taken < bytes => {
                let place = format_args!("log entry {next} of shard {}", shard.0);
                Err(StoreError::corrupt(place, "it is missing, and the one before it is there"))
            }
            (None, _) => Ok(entries),
        }
    }

    /// Submits a record of the shard, with what is to be done in memory, in one order with the log.
    async fn put(
        &self,
        tag: ShardTag,
        record: Option<&impl prost::Message>,
        change: impl FnOnce(Changes) -> Changes,
    ) -> Result<super::queue::Pending, StoreError> {
        self.inner.sound()?;
        let mut batch = Batch::default();
        match record {
            Some(record) => batch.put_with(Family::Meta, &self.replica.key(tag), |out| encode_record(record, out)),
            None => batch.delete(Family::Meta, &self.replica.key(tag)),
        }
        let room = self.queue.reserve(batch.bytes()).await?;
        self.queue.submit(change(Changes::new(batch, Urgency::Synced).after(After::None)), room)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> Result<Vec<Entry>, io::Error>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        Ok(self.read(bounds(&range), usize::MAX)?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.inner.sound()?;
        Ok(self.replica.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        Ok(self.read(start..end, READ_BYTES_MAX)?)
    }

    /// Reads in bounded pieces: a replay after a restart may be longer than memory should hold.
    async fn entries_stream<R>(&mut self, range: R) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let state = (self.clone(), bounds(&range), VecDeque::new());
        Box::pin(stream::try_unfold(state, |(log, mut range, mut ready)| async move {
            if ready.is_empty() && !range.is_empty() {
                ready = VecDeque::from(log.read(range.clone(), READ_BYTES_MAX)?);
                range.start = ready.back().map_or(range.end, |entry: &Entry| entry.log_id.index + 1);
            }
            Ok(ready.pop_front().map(|entry| (entry, (log, range, ready))))
        }))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        self.inner.sound()?;
        let core = self.replica.lock();
        Ok(LogState { last_purged_log_id: core.tail.purged(), last_log_id: core.tail.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (vote, replica) = (*vote, Arc::clone(&self.replica));
        let pending = self
            .put(ShardTag::Vote, Some(&VoteRecord::from(&vote)), |changes| {
                let urgency = if planted::on(Bug::VoteNotSynced) { Urgency::Written } else { changes.urgency };
                let mark = Changes { urgency, ..changes }.mark(&self.replica, MarkChange::Vote(vote));
                mark.publish(move || replica.lock().vote = Some(vote))
            })
            .await?;
        Ok(pending.wait().await?)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.inner.engine()?;
        self.replica.lock().committed = committed;
        // Nobody waits for it, and each entry brings a new one: the writer takes it along when it writes anyway.
        self.inner.decided().insert(self.replica.shard, Arc::clone(&self.replica));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.inner.sound()?;
        let core = self.replica.lock();
        Ok(if planted::on(Bug::ReplayUndecided) { core.tail.last() } else { core.committed })
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.inner.sound()?;
        if entries.is_empty() {
            flushed.io_completed(Ok(()));
            return Ok(());
        }
        let room = self.queue.reserve(entries.iter().map(size).sum()).await?;
        let mut core = self.replica.lock();
        core.tail.append(&entries)?;
        let truncations = core.tail.truncations();
        let replica = Arc::clone(&self.replica);
        Ok(self.queue.send(Op::Append { replica, entries, truncations, flushed, room })?)
    }

    async fn truncate_after(&mut self, keep: Option<LogId>) -> Result<(), io::Error> {
        self.inner.sound()?;
        let room = self.queue.reserve(0).await?;
        let pending = {
            let mut core = self.replica.lock();
            if !core.tail.truncate_after(keep) {
                return Ok(());
            }
            let (last, value) = (core.tail.last(), core.tail.truncations());
            let mut batch = Batch::default();
            let start = keep.map_or(0, |id| id.index + 1);
            batch.delete_range(Family::Log, &keys::log_from(self.replica.shard, start));
            let key = self.replica.key(ShardTag::Truncations);
            batch.put_with(Family::Meta, &key, |out| encode_record(&NumberRecord { value }, out));
            let changes = Changes::new(batch, Urgency::Synced).after(After::None);
            let changes = changes.mark(&self.replica, MarkChange::Truncated(last, value));
            if planted::on(Bug::TruncateLate) {
                let queue = self.queue.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    queue.submit(changes, room).ok();
                });
                return Ok(());
            }
            self.queue.submit(changes, room)?
        };
        // A truncation that is answered and then undone by a crash would bring back entries that were denied.
        Ok(pending.wait().await?)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.inner.sound()?;
        let room = self.queue.reserve(0).await?;
        let mut core = self.replica.lock();
        let start = core.tail.purged().map_or(0, |id| id.index + 1);
        core.tail.purge(upto);
        let mut batch = Batch::default();
        purge(&mut batch, &self.replica, start, upto);
        // openraft purges what is in a checkpoint that it was told of.
        let changes = Changes::new(batch, Urgency::Whenever).after(After::None);
        let changes = changes.mark(&self.replica, MarkChange::Reaches(upto));
        self.queue.submit(changes, room)?;
        Ok(())
    }
}

/// Removes entries up to `upto` and says so, in one batch: there is never a hole.
pub(super) fn purge(batch: &mut Batch, replica: &Replica, start: u64, upto: LogId) {
    batch.delete_range(Family::Log, &keys::log_range(replica.shard, start, upto.index + 1));
    let key = replica.key(ShardTag::Purged);
    batch.put_with(Family::Meta, &key, |out| encode_record(&LogIdRecord::from(&upto), out));
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
