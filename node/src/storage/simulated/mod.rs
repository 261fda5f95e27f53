//! A disk for simulations: what is on it outlives the node, what was not synced need not, and calls can be slow or
//! fail. It runs no thread and knows no clock but tokio's. The code above [`Disk`] is the same as on a real disk.

mod engine;

use super::{
    engine::{Batch, Change, Disk, Engine, Family},
    error::{OpenError, StoreError},
};
use bytes::Bytes;
use engine::SimulatedEngine;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
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
struct Families([Arc<Records>; 4]);

#[derive(Default)]
struct State {
    /// Which opening the disk is in; engines of earlier ones fail.
    session: u64,
    open: bool,
    content: Content,
    /// Written after the last sync, in order; already in `content.current`.
    unsynced: Vec<Batch>,
    /// Reading these fails its checksum.
    damaged: BTreeSet<(Family, Vec<u8>)>,
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
    /// A batch is written.
    Write {
        /// Of so many bytes.
        bytes: usize,
        /// And all written so far is synced.
        sync: bool,
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

/// What a power loss leaves of what was not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerLoss {
    /// So many of the oldest un-synced batches: the torn tail of the log.
    pub batches: usize,
    /// The marks as written, not as synced.
    pub marks: bool,
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

    /// The machine loses power: what uses the disk fails from now on, and what was not synced is gone but for `left`.
    pub fn power_loss(&self, left: PowerLoss) {
        let mut state = self.state();
        state.end_session();
        let kept: Vec<Batch> = state.unsynced.drain(..).take(left.batches).collect();
        for batch in &kept {
            state.content.synced.apply(batch);
        }
        state.content.current = state.content.synced.clone();
        if left.marks {
            state.content.marks_synced = state.content.marks.clone();
        } else {
            state.content.marks = state.content.marks_synced.clone();
        }
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

    /// Puts an older copy back: the whole, or only what RocksDB would hold, beside the present marks.
    pub fn put_back(&self, image: &Image, marks_too: bool) {
        let mut state = self.state();
        state.end_session();
        state.unsynced.clear();
        let old = image.0.clone();
        (state.content.synced, state.content.current) = (old.current.clone(), old.current);
        if marks_too {
            (state.content.marks_synced, state.content.marks) = (old.marks.clone(), old.marks);
        }
    }

    /// The keys of a family, in order.
    pub fn keys(&self, family: Family) -> Vec<Vec<u8>> {
        self.state().content.current.of(family).keys().cloned().collect()
    }

    /// Turns a bit of a value over, unnoticed by the disk itself. Whether there is such a bit.
    pub fn flip_bit(&self, family: Family, key: &[u8], bit: usize) -> bool {
        let mut state = self.state();
        let State { content: Content { current, synced, .. }, .. } = &mut *state;
        let flipped = [current, synced].map(|families| families.flip_bit(family, key, bit));
        flipped[0]
    }

    /// Lets every read of a key fail its checksum, as RocksDB's blocks do.
    pub fn damage(&self, family: Family, key: &[u8]) {
        self.state().damaged.insert((family, key.to_vec()));
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
        // As RocksDB does at its opening: what was found becomes stable.
        state.unsynced.clear();
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
    }

    fn check(&self, session: u64) -> Result<(), StoreError> {
        if self.session == session { Ok(()) } else { Err(StoreError::io("the machine went down")) }
    }

    fn check_key(&self, family: Family, key: &[u8]) -> Result<(), StoreError> {
        // Looked up only where damage was planted: a key would have to be copied for it.
        if !self.damaged.is_empty() && self.damaged.contains(&(family, key.to_vec())) {
            return Err(StoreError::corrupt(format_args!("{} {key:02x?}", family.name()), "planted damage"));
        }
        Ok(())
    }
}

impl Families {
    fn of(&self, family: Family) -> &Arc<Records> {
        &self.0[place(family)]
    }

    fn apply(&mut self, batch: &Batch) {
        for change in batch.changes() {
            match change {
                Change::Put(family, key, value) => {
                    let records = Arc::make_mut(&mut self.0[place(family)]);
                    records.insert(key.to_vec(), Bytes::copy_from_slice(value));
                }
                Change::Delete(family, key) => {
                    Arc::make_mut(&mut self.0[place(family)]).remove(key);
                }
                Change::DeleteRange(family, start, end) => {
                    let records = Arc::make_mut(&mut self.0[place(family)]);
                    let gone = records.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)));
                    for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                        records.remove(&key);
                    }
                }
            }
        }
    }

    fn flip_bit(&mut self, family: Family, key: &[u8], bit: usize) -> bool {
        let records = Arc::make_mut(&mut self.0[place(family)]);
        let Some(value) = records.get_mut(key).filter(|value| bit / 8 < value.len()) else { return false };
        let mut bytes = value.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        *value = Bytes::from(bytes);
        true
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
