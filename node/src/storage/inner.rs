//! What all handles of a store share with its writer: the engine, the poison, the replicas, what peers said.

use super::{
    engine::{Engine, Family},
    error::StoreError,
    keys::KeyRange,
    mark::Mark,
    replica::Replica,
    store::Identity,
};
use earmark_ledger::types::ShardId;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// Shared by handles and writer.
pub struct Inner {
    engine: RwLock<Option<Arc<dyn Engine>>>,
    poison: watch::Sender<Option<StoreError>>,
    replicas: Mutex<BTreeMap<ShardId, Arc<Replica>>>,
    identity: Mutex<Option<Identity>>,
    peers: Mutex<Peers>,
    decided: Mutex<BTreeMap<ShardId, Arc<Replica>>>,
    /// Counters since the store was opened.
    pub counters: Counters,
}

/// What other nodes said they hold.
#[derive(Default)]
pub struct Peers {
    /// By node and shard.
    pub marks: BTreeMap<(u32, ShardId), Mark>,
    /// Not written yet.
    pub dirty: BTreeSet<(u32, ShardId)>,
}

/// What the writer did.
#[derive(Default)]
pub struct Counters {
    batches: AtomicU64,
    syncs: AtomicU64,
    operations: AtomicU64,
    bytes: AtomicU64,
    sync_us: AtomicU64,
}

/// What the writer did since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches written.
    pub batches: u64,
    /// Batches that were synced.
    pub syncs: u64,
    /// Operations in them.
    pub operations: u64,
    /// Bytes of keys and values in them.
    pub bytes: u64,
    /// Time spent in synced writes, in microseconds.
    pub sync_us: u64,
}

impl Counters {
    /// Counts a batch; `sync_us` if it was synced.
    pub fn count(&self, operations: usize, bytes: usize, sync_us: Option<u64>) {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.operations.fetch_add(wide(operations), Ordering::Relaxed);
        self.bytes.fetch_add(wide(bytes), Ordering::Relaxed);
        if let Some(us) = sync_us {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            self.sync_us.fetch_add(us, Ordering::Relaxed);
        }
    }

    /// As they stand.
    pub fn read(&self) -> Stats {
        Stats {
            batches: self.batches.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            operations: self.operations.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            sync_us: self.sync_us.load(Ordering::Relaxed),
        }
    }
}

impl Inner {
    /// Shares what was loaded.
    pub fn new(
        engine: Arc<dyn Engine>,
        replicas: BTreeMap<ShardId, Arc<Replica>>,
        identity: Option<Identity>,
        peers: BTreeMap<(u32, ShardId), Mark>,
    ) -> Self {
        Self {
            engine: RwLock::new(Some(engine)),
            poison: watch::Sender::new(None),
            replicas: Mutex::new(replicas),
            identity: Mutex::new(identity),
            peers: Mutex::new(Peers { marks: peers, dirty: BTreeSet::new() }),
            decided: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// The engine, as long as it may be used.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn engine(&self) -> Result<Arc<dyn Engine>, StoreError> {
        self.sound()?;
        self.engine.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
    }

    /// Lets go of the engine: whoever still reads finishes, nobody begins.
    pub fn close(&self) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether reads and writes block, so that long ones need a thread of their own.
    pub fn blocks(&self) -> bool {
        self.engine().is_ok_and(|engine| engine.blocks())
    }

    /// Fails once the store is poisoned.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`].
    pub fn sound(&self) -> Result<(), StoreError> {
        match &*self.poison.borrow() {
            Some(error) => Err(StoreError::Poisoned(error.to_string().into())),
            None => Ok(()),
        }
    }

    /// Stops the store for good. The first reason stays.
    pub fn poison(&self, error: &StoreError) {
        self.poison.send_if_modified(|poison| {
            let first = poison.is_none();
            if first {
                *poison = Some(error.clone());
            }
            first
        });
    }

    /// Poisons the store if a result asks for it.
    ///
    /// # Errors
    /// As it came.
    pub fn check<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|error| {
            if error.poisons() {
                self.poison(error);
            }
        })
    }

    /// Shows the records of a range, in order, until `visit` fails.
    ///
    /// # Errors
    /// As `visit` or the read fails.
    pub fn scan<E: From<StoreError>>(
        &self,
        family: Family,
        range: &KeyRange,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut failed = None;
        let scanned = self.engine()?.scan(family, range, &mut |key, value| match visit(key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        });
        self.check(scanned)?;
        failed.map_or(Ok(()), Err)
    }

    /// Tells of the poison.
    pub fn watch_poison(&self) -> watch::Receiver<Option<StoreError>> {
        self.poison.subscribe()
    }

    /// The replicas.
    pub fn replicas(&self) -> MutexGuard<'_, BTreeMap<ShardId, Arc<Replica>>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The identity.
    pub fn identity(&self) -> MutexGuard<'_, Option<Identity>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The replicas of which more is decided than the disk says.
    pub fn decided(&self) -> MutexGuard<'_, BTreeMap<ShardId, Arc<Replica>>> {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What other nodes said.
    pub fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
