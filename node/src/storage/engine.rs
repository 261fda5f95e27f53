//! The border between the store and what keeps the bytes. [`Disk`] is a node's data folder, [`Engine`] an opened one.
//! Two implement both: RocksDB (`folder`, `rocks`) and the simulated disk (`simulated`). Everything above this border
//! is the same code for both.

use super::{
    error::{OpenError, StoreError},
    keys::KeyRange,
};
use bytes::Bytes;
use earmark_ledger::{KEY_ROOM, Place, Records as StateRecords};
use futures::future::BoxFuture;
use std::{
    ops::{ControlFlow, Range},
    sync::Arc,
};

/// A family of keys. Families share one write-ahead log: a batch over several is atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Raft log entries.
    Log,
    /// Votes, positions, identity.
    Meta,
    /// Records of the ledger as of the last checkpoint.
    State,
    /// What each entry changed.
    Journal,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 4] = [Self::Log, Self::Meta, Self::State, Self::Journal];

    /// Its permanent name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Meta => "meta",
            Self::State => "state",
            Self::Journal => "journal",
        }
    }
}

/// What a visitor of a scan answers: go on, or stop.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Keys and values, in order.
pub type Records = Vec<(Bytes, Bytes)>;

/// A node's data folder, closed.
pub trait Disk: Send + Sync + 'static {
    /// Opens it, making it if need be, and holds it until the engine is dropped.
    ///
    /// # Errors
    /// As [`OpenError`] says; `NewerFormat` comes from the store above.
    fn open(&self) -> Result<Arc<dyn Engine>, OpenError>;

    /// Moves what a closed folder holds aside, so that the next opening finds it empty. Says where to.
    ///
    /// # Errors
    /// [`OpenError::Busy`] while open, [`OpenError::Io`].
    fn set_aside(&self) -> Result<String, OpenError>;
}

/// An opened data folder. Reads may block for a disk read; batches are written by one writer only, one at a time and
/// another aside.
pub trait Engine: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Corrupt`].
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Shows what was in a range when the call began, in order of keys, until told to stop.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Corrupt`].
    fn scan(&self, family: Family, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Shows what was in a range when the call began, from its last key backwards, until told to stop.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Corrupt`].
    fn scan_back(&self, family: Family, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Everything as it is now. May be held for minutes; does not hold writes up.
    fn view(&self) -> BoxFuture<'static, Result<Box<dyn View>, StoreError>>;

    /// Writes a batch, all of it or nothing; with `sync`, it and all before it are on stable storage afterwards.
    /// After an error it may be there or not.
    fn write<'a>(&'a self, batch: &'a Batch, sync: bool) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Writes a large batch, all of it or nothing, while others are written: any of those that end before this does may be
    /// before or after it on disk. It is on stable storage after the next `write` with `sync` that begins when this has
    /// ended. Until it has ended, reads may find some of its changes and not others.
    fn write_aside(&self, batch: Batch) -> BoxFuture<'static, Result<(), StoreError>>;

    /// A table of one family, to be filled beside whatever is written.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn table(&self, family: Family) -> Result<Box<dyn Table>, StoreError>;

    /// So large a table should become.
    fn table_bytes(&self) -> usize;

    /// Fails once the engine has stopped working in the background.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn health(&self) -> Result<(), StoreError>;

    /// The whole file of high-water marks; nothing if there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn read_marks(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes into the file of high-water marks, making or growing it if need be.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn write_marks(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError>;

    /// Brings the file of high-water marks to stable storage.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    fn sync_marks(&self) -> Result<(), StoreError>;

    /// Whether `write` blocks, so that the writer needs a thread of its own.
    fn blocks(&self) -> bool;
}

/// Puts in ascending order of keys that go into the store all at once, into a range where nothing is and nobody else writes: as
/// they are, not by way of the log and what is merged later, so that each byte is written once. Dropped, it was never there.
pub trait Table: Send {
    /// Adds puts whose keys come after all before.
    fn put(&mut self, puts: Batch) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Reads find it when this has ended, and it is on stable storage after the next `write` with `sync` that begins then, if not
    /// before.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// Everything as it was at one moment.
pub trait View: Send {
    /// The value of a key.
    fn get(&mut self, family: Family, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>>;

    /// The first records of a range, as many as make up `bytes`, at least one; none at its end.
    fn chunk(&mut self, family: Family, range: KeyRange, bytes: usize) -> BoxFuture<'_, Result<Records, StoreError>>;
}

/// Changes to be written together. All keys and values lie in one buffer, which is used again.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    buffer: Vec<u8>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
struct Step {
    kind: Kind,
    family: Family,
    first: Range<usize>,
    second: Range<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
}

/// One change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets a key.
    Put(Family, &'a [u8], &'a [u8]),
    /// Removes a key.
    Delete(Family, &'a [u8]),
    /// Removes the keys from the first up to the second, excluded.
    DeleteRange(Family, &'a [u8], &'a [u8]),
}

impl Batch {
    /// With room for so many changes, and for so many bytes of keys and values.
    pub fn with_capacity(changes: usize, bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes), steps: Vec::with_capacity(changes) }
    }

    /// Sets the keys of all these records, each after `start`, in the order of the keys: a store finds the place of the next beside
    /// that of the one before. They stay in the memory they lie in.
    pub fn of_records(family: Family, start: &[u8; KEY_ROOM], records: StateRecords) -> Self {
        let first_bytes = |key: &[u8]| {
            let mut bytes = [0; 16];
            let length = key.len().min(16);
            bytes[..length].copy_from_slice(&key[..length]);
            u128::from_be_bytes(bytes)
        };
        let (mut buffer, places) = records.into_parts();
        let key = |place: &Place| &buffer[place.key..place.value];
        // Nearly all differ in what is compared without going to where they lie.
        let mut order: Vec<(u128, Place)> = places.into_iter().map(|place| (first_bytes(key(&place)), place)).collect();
        order.sort_unstable_by(|(one, at), (other, there)| one.cmp(other).then_with(|| key(at).cmp(key(there))));
        let step = |(_, place): (u128, Place)| {
            let first = place.key - KEY_ROOM..place.value;
            buffer[first.start..place.key].copy_from_slice(start);
            Step { kind: Kind::Put, family, first, second: place.value..place.end }
        };
        let steps = order.into_iter().map(step).collect();
        Self { buffer, steps }
    }

    /// Sets a key.
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.put_with(family, key, |out| out.extend_from_slice(value));
    }

    /// Sets a key to what `encode` appends.
    pub fn put_with(&mut self, family: Family, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        let first = self.place(key);
        encode(&mut self.buffer);
        let second = first.end..self.buffer.len();
        self.steps.push(Step { kind: Kind::Put, family, first, second });
    }

    /// Sets the key that begins so and goes on so.
    pub fn put_under(&mut self, family: Family, start: &[u8], key: &[u8], value: &[u8]) {
        let first = self.place_under(start, key);
        let second = self.place(value);
        self.steps.push(Step { kind: Kind::Put, family, first, second });
    }

    /// Removes the key that begins so and goes on so.
    pub fn delete_under(&mut self, family: Family, start: &[u8], key: &[u8]) {
        let first = self.place_under(start, key);
        self.steps.push(Step { kind: Kind::Delete, family, second: first.end..first.end, first });
    }

    /// Removes a key.
    pub fn delete(&mut self, family: Family, key: &[u8]) {
        self.delete_under(family, &[], key);
    }

    /// Removes the keys of a range, its end excluded.
    pub fn delete_range(&mut self, family: Family, range: &KeyRange) {
        if range.start < range.end {
            let first = self.place(&range.start);
            let second = self.place(&range.end);
            self.steps.push(Step { kind: Kind::DeleteRange, family, first, second });
        }
    }

    /// Adds all changes of another batch, behind those that are there.
    pub fn append(&mut self, other: &Self) {
        let shift = self.buffer.len();
        self.buffer.extend_from_slice(&other.buffer);
        let moved = |range: &Range<usize>| range.start + shift..range.end + shift;
        self.steps.extend(other.steps.iter().map(|step| Step {
            kind: step.kind,
            family: step.family,
            first: moved(&step.first),
            second: moved(&step.second),
        }));
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.steps.clear();
    }

    /// Whether it has no change.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it removes ranges of keys.
    pub fn deletes_ranges(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.kind, Kind::DeleteRange))
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Its changes, in order.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.steps.iter().map(|step| {
            let (first, second) = (&self.buffer[step.first.clone()], &self.buffer[step.second.clone()]);
            match step.kind {
                Kind::Put => Change::Put(step.family, first, second),
                Kind::Delete => Change::Delete(step.family, first),
                Kind::DeleteRange => Change::DeleteRange(step.family, first, second),
            }
        })
    }

    fn place_under(&mut self, start: &[u8], key: &[u8]) -> Range<usize> {
        let begin = self.place(start).start;
        begin..self.place(key).end
    }

    fn place(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }
}
