//! The way to the writer. Each operation reserves room by its bytes first; while there is none its caller waits, so
//! memory stays bounded however slow the disk is. What is sent is written in the order of sending.

use super::{engine::Batch, error::StoreError, mark::Mark, replica::Replica, thread::Thread};
use crate::shard::raft::{Entry, LogId, TypeConfig, Vote};
use earmark_ledger::types::ShardId;
use openraft::storage::IOFlushed;
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Room in the queue, in units of [`UNIT`]: 64 MiB. A node that waits for a slow disk holds no more than this.
const ROOM: usize = 64 << 10;
/// An operation takes one unit at least, so there are never more than [`ROOM`] of them.
const UNIT: usize = 1 << 10;
/// The largest part a single operation can take; a larger one goes through alone.
const ROOM_EACH: usize = ROOM / 2;

/// A place in the queue, given back when the operation is written.
pub type Room = OwnedSemaphorePermit;

/// When an operation has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// With the next batch; alone after a while.
    Whenever,
    /// Now.
    Written,
    /// Now, and on stable storage.
    Synced,
}

/// What must be on disk before an operation is written. What was sent before it always is, but for the checkpoints that are
/// being written aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Everything.
    All,
    /// Every checkpoint of that shard.
    Of(ShardId),
    /// No checkpoint: neither takes from the other.
    None,
}

/// How an operation changes a shard's mark.
#[derive(Clone, Copy, Debug)]
pub enum MarkChange {
    /// The vote is.
    Vote(Vote),
    /// The log reaches at least up to.
    Reaches(LogId),
    /// The log now ends at, after so many truncations.
    Truncated(Option<LogId>, u64),
    /// A new incarnation began.
    Created(u32),
    /// All is removed. The mark falls before the data does.
    Wiped,
}

impl MarkChange {
    /// Carries the change out.
    pub fn apply(self, mark: &mut Mark) {
        match self {
            Self::Vote(vote) => mark.vote = Some(vote),
            Self::Reaches(last) => mark.last = mark.last.max(Some(last)),
            Self::Truncated(last, truncations) => (mark.last, mark.truncations) = (last, truncations),
            Self::Created(incarnation) => *mark = Mark { incarnation, ..Mark::default() },
            Self::Wiped => *mark = Mark { incarnation: mark.incarnation, ..Mark::default() },
        }
    }

    /// Whether the mark must be on stable storage before the operation counts as done.
    pub fn at_once(self) -> bool {
        matches!(self, Self::Created(_) | Self::Wiped)
    }
}

/// What is done in memory once an operation is written.
pub type Publish = Box<dyn FnOnce() + Send>;

/// Some changes, and what follows from them.
pub struct Changes {
    /// What to write.
    pub batch: Batch,
    /// When.
    pub urgency: Urgency,
    /// After what.
    pub after: After,
    /// Which marks change, and how.
    pub marks: Vec<(Arc<Replica>, MarkChange)>,
    /// The opening to count.
    pub boots: Option<u64>,
    /// Done in memory before anyone is told.
    pub publish: Option<Publish>,
    /// Who is told.
    pub done: Option<oneshot::Sender<Result<(), StoreError>>>,
    /// Given back when written.
    pub room: Option<Room>,
}

impl Changes {
    /// Changes nobody waits for, after everything that was sent before them.
    pub fn new(batch: Batch, urgency: Urgency) -> Self {
        let after = After::All;
        Self { batch, urgency, after, marks: Vec::new(), boots: None, publish: None, done: None, room: None }
    }

    /// Which checkpoints they come after.
    pub fn after(self, after: After) -> Self {
        Self { after, ..self }
    }

    /// Changes the mark of a shard with them.
    pub fn mark(mut self, replica: &Arc<Replica>, change: MarkChange) -> Self {
        self.marks.push((Arc::clone(replica), change));
        self
    }

    /// Does this in memory once they are written.
    pub fn publish(mut self, publish: impl FnOnce() + Send + 'static) -> Self {
        self.publish = Some(Box::new(publish));
        self
    }
}

/// One operation for the writer.
pub enum Op {
    /// New entries of a shard.
    Append {
        /// Whose.
        replica: Arc<Replica>,
        /// The entries; never empty.
        entries: Vec<Entry>,
        /// How often the log had been truncated before.
        truncations: u64,
        /// Called when they are synced.
        flushed: IOFlushed<TypeConfig>,
        /// Given back when written.
        room: Room,
    },
    /// A checkpoint: large, written aside while others are written and synced, and synced with one of them. Never
    /// before what was sent before it.
    Aside(ShardId, Box<Changes>),
    /// Anything else.
    Changes(Box<Changes>),
    /// Writes what waits, and ends.
    Close(oneshot::Sender<()>),
}

/// The sending end.
#[derive(Clone)]
pub struct Queue {
    sender: mpsc::UnboundedSender<Op>,
    room: Arc<Semaphore>,
    /// The writer's thread, where it has one. Below `sender`: it ends when the last sender is dropped, and is then
    /// waited for.
    writer: Arc<OnceLock<Thread>>,
}

impl Queue {
    /// A queue and its receiving end.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Op>) {
        // Bounded by the room, which every operation but a few single ones reserves first.
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, room: Arc::new(Semaphore::new(ROOM)), writer: Arc::default() }, receiver)
    }

    /// Keeps the writer's thread for as long as anyone can send.
    pub fn keep(&self, writer: Thread) {
        // A queue has one writer, given once.
        self.writer.set(writer).ok();
    }

    /// Waits until there is room for so many bytes.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub async fn reserve(&self, bytes: usize) -> Result<Room, StoreError> {
        let units = u32::try_from((bytes / UNIT + 1).min(ROOM_EACH)).expect("below the room");
        Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| StoreError::Closed)
    }

    /// The room itself, which the writer closes when it ends so that nobody waits for it.
    pub fn room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.room)
    }

    /// Takes a unit of room if there is one, for what may as well be left undone.
    pub fn try_reserve(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Sends an operation. Does not wait: callers hold the replica's lock, so that memory and queue change in one order.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub fn send(&self, op: Op) -> Result<(), StoreError> {
        self.sender.send(op).map_err(|_| StoreError::Closed)
    }

    /// Sends changes and answers how to wait for them.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub fn submit(&self, changes: Changes, room: Room) -> Result<Pending, StoreError> {
        self.submit_as(Op::Changes, changes, room)
    }

    /// The same with a checkpoint of that shard, which is written aside.
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub fn submit_aside(&self, shard: ShardId, changes: Changes, room: Room) -> Result<Pending, StoreError> {
        self.submit_as(|changes| Op::Aside(shard, changes), changes, room)
    }

    fn submit_as(
        &self,
        op: impl FnOnce(Box<Changes>) -> Op,
        mut changes: Changes,
        room: Room,
    ) -> Result<Pending, StoreError> {
        let (done, waiting) = oneshot::channel();
        changes.done = Some(done);
        changes.room = Some(room);
        self.send(op(Box::new(changes)))?;
        Ok(Pending(waiting))
    }
}

/// Changes on their way.
pub struct Pending(oneshot::Receiver<Result<(), StoreError>>);

impl Pending {
    /// Waits until they are written, or synced if they ask for it.
    ///
    /// # Errors
    /// As the write failed; [`StoreError::Closed`] if the writer ended before it.
    pub async fn wait(self) -> Result<(), StoreError> {
        self.0.await.map_err(|_| StoreError::Closed)?
    }
}
