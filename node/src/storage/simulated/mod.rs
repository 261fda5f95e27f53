//! A disk for simulations: what is on it outlives the node, what was not synced need not, and calls can be slow or
//! fail. It runs no thread and knows no clock but tokio's. The code above [`Disk`] is the same as on a real disk.

mod damage;
mod engine;

use super::{
    engine::{Batch, Change, Disk, Engine, Family},
    error::{OpenError, StoreError},
};
use bytes::Bytes;
pub use damage::{Found, PowerLoss};
use engine::SimulatedEngine;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    faults: Mutex<Option<Faults>>,
}

type Faults = Box<dyn FnMut(Call) -> Effect + Send>;
type Records = BTreeMap<Vec<u8>, Bytes>;

/// All families. Copied only when one is changed while a view holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Families {
    records: [Arc<Records>; 4],
    /// Reading these fails its checksum, until they are written anew or removed.
    damaged: BTreeSet<(Family, Vec<u8>)>,
}

#[derive(Default)]
struct State {
    /// Which opening the disk is in; engines of earlier ones fail.
    session: u64,
    open: bool,
    content: Content,
    /// Written after the last sync, in order; already in `content.current`.
    unsynced: Vec<Batch>,
    /// Is written, and only its first half can be seen.
    landing: Option<Batch>,
    /// Where marks were written last.
    marks_written: Option<Range<usize>>,
    aside: Vec<Image>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    /// As read.
    current: Families,
    /// As a power loss leaves it.
    synced: Families,
    marks: Option<Vec<u8>>,
    marks_synced: Option<Vec<u8>>,
}

/// A copy of everything on a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image(Content);

/// A call to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The folder is opened.
    Open,
    /// Something is read. It can fail, but not be slow.
    Read(Family),
    /// A chunk of a view is read, as for a snapshot on its way out.
    Stream(Family),
    /// A batch is written.
    Write {
        /// Of so many bytes.
        bytes: usize,
        /// And all written so far is synced.
        sync: bool,
    },
    /// A batch is written aside. Half of the time that it takes passes before it stands behind all that was written, and
    /// half of it after.
    Aside {
        /// Of so many bytes.
        bytes: usize,
    },
    /// Marks are written.
    WriteMarks,
    /// Marks are synced.
    SyncMarks,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// It takes so long.
    pub delay: Duration,
    /// And then fails, if so.
    pub failure: Option<Failure>,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing of it was done.
    Undone,
    /// A write was done, un-synced, and an error told all the same.
    Done,
}

impl SimulatedDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks `faults` before each call from now on. It must not call the disk.
    pub fn set_faults(&self, faults: impl FnMut(Call) -> Effect + Send + 'static) {
        *self.faults() = Some(Box::new(faults));
    }

    /// No faults any more.
    pub fn clear_faults(&self) {
        *self.faults() = None;
    }

    /// The process is killed: what uses the disk fails from now on, but nothing that was written is gone.
    pub fn kill(&self) {
        self.state().end_session();
    }

    /// How many batches a power loss now could take.
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// Everything on the disk, as it is read now.
    pub fn image(&self) -> Image {
        Image(self.state().content.clone())
    }

    /// The keys of a family, in order.
    pub fn keys(&self, family: Family) -> Vec<Vec<u8>> {
        self.state().content.current.of(family).keys().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Option<Faults>> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn effect(&self, call: Call) -> Effect {
        self.faults().as_mut().map(|faults| faults(call)).unwrap_or_default()
    }
}

impl Disk for SimulatedDisk {
    fn open(&self) -> Result<Arc<dyn Engine>, OpenError> {
        if self.effect(Call::Open).failure.is_some() {
            return Err(OpenError::Io("a planted fault".into()));
        }
        let mut state = self.state();
        if state.open {
            return Err(OpenError::Busy);
        }
        state.open = true;
        state.session += 1;
        state.land();
        // As RocksDB does at its opening: what was found becomes stable.
        state.unsynced.clear();
        state.marks_written = None;
        let Content { current, synced, marks, marks_synced } = &mut state.content;
        (*synced, *marks_synced) = (current.clone(), marks.clone());
        Ok(Arc::new(SimulatedEngine::new(self.clone(), state.session)))
    }

    fn set_aside(&self) -> Result<String, OpenError> {
        let mut state = self.state();
        if state.open {
            return Err(OpenError::Busy);
        }
        let old = std::mem::take(&mut *state);
        let (session, mut aside) = (old.session, old.aside);
        aside.push(Image(old.content));
        let place = format!("damaged-{}", aside.len());
        *state = State { session, aside, ..State::default() };
        Ok(place)
    }
}

impl State {
    fn end_session(&mut self) {
        self.session += 1;
        self.open = false;
        self.land();
    }

    /// What was written aside can be seen.
    fn land(&mut self) {
        if let Some(batch) = self.landing.take() {
            self.content.current.apply(&batch);
        }
    }

    fn check(&self, session: u64) -> Result<(), StoreError> {
        if self.session == session { Ok(()) } else { Err(StoreError::io("the machine went down")) }
    }
}

impl Families {
    fn of(&self, family: Family) -> &Arc<Records> {
        &self.records[place(family)]
    }

    fn check(&self, family: Family, key: &[u8]) -> Result<(), StoreError> {
        // Looked up only where damage was planted: a key would have to be copied for it.
        if !self.damaged.is_empty() && self.damaged.contains(&(family, key.to_vec())) {
            return Err(StoreError::corrupt(format_args!("{} {key:02x?}", family.name()), "planted damage"));
        }
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) {
        self.apply_each(batch.changes());
    }

    fn apply_each<'a>(&mut self, changes: impl Iterator<Item = Change<'a>>) {
        for change in changes {
            if !self.damaged.is_empty() {
                self.mend(&change);
            }
            match change {
                Change::Put(family, key, value) => {
                    let records = Arc::make_mut(&mut self.records[place(family)]);
                    records.insert(key.to_vec(), Bytes::copy_from_slice(value));
                }
                Change::Delete(family, key) => {
                    Arc::make_mut(&mut self.records[place(family)]).remove(key);
                }
                Change::DeleteRange(family, start, end) => {
                    let records = Arc::make_mut(&mut self.records[place(family)]);
                    let range = (Bound::Included(start), Bound::Excluded(end));
                    let keys: Vec<Vec<u8>> = records.range::<[u8], _>(range).map(|(key, _)| key.clone()).collect();
                    for key in keys {
                        records.remove(&key);
                    }
                }
            }
        }
    }

    /// What is written anew or removed is damaged no more.
    fn mend(&mut self, change: &Change<'_>) {
        self.damaged.retain(|(damaged, place)| match change {
            Change::Put(family, key, _) | Change::Delete(family, key) => damaged != family || place != key,
            Change::DeleteRange(family, start, end) => {
                damaged != family || place.as_slice() < *start || place.as_slice() >= *end
            }
        });
    }
}

fn place(family: Family) -> usize {
    match family {
        Family::Log => 0,
        Family::Meta => 1,
        Family::State => 2,
        Family::Journal => 3,
    }
}
