//! A table that is filled beside RocksDB and then given to it as it is. RocksDB's own writer borrows its options, so a thread holds
//! both and takes what comes; it ends when the table is dropped. Tables are few: one for each replica that receives a
//! snapshot.

use super::{
    engine::{Batch, Change, Family, Table},
    error::StoreError,
    rocks::{Held, MERGED_AT, RocksOptions, family_options, handle, store_error},
    thread::{Answer, Asked},
    way::Way,
};
use futures::future::{BoxFuture, FutureExt};
use rocksdb::{Cache, DB, IngestExternalFileOptions, SstFileWriter};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// Written bytes go to the disk in pieces of this size, so that nobody's sync waits for all of them.
const SYNC_BYTES: usize = 2 << 20;

/// A table is not given to a family that has more tables than this to be merged first (they are on level 0): with some more of
/// them RocksDB takes writes of anyone more slowly.
const UNMERGED_MAX: u64 = MERGED_AT as u64 + 2;

/// It waits for that no longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where tables are filled.
pub struct Incoming {
    /// Has nothing else; what is in it when the store is opened counts for nothing.
    folder: PathBuf,
    /// How many there were since the store was opened.
    count: AtomicU64,
    limits: RocksOptions,
}

impl Incoming {
    /// In an empty folder.
    pub fn new(folder: PathBuf, limits: RocksOptions) -> Self {
        Self { folder, count: AtomicU64::new(0), limits }
    }
}

/// A table that is being filled.
pub struct RocksTable(Asked<Step>);

enum Step {
    Put(Batch, Answer<()>),
    Finish(Answer<()>),
}

impl RocksTable {
    /// Begins one.
    ///
    /// # Errors
    /// [`StoreError::Io`] if there is no thread to be had.
    pub fn begin(held: Arc<Held>, incoming: Arc<Incoming>, family: Family) -> Result<Self, StoreError> {
        let fill = move |steps: mpsc::Receiver<Step>| {
            let path = incoming.folder.join(incoming.count.fetch_add(1, Ordering::Relaxed).to_string());
            fill(&held.db, &incoming.limits, family, &path, &steps);
            // Given to RocksDB it has another name; else it is not wanted.
            fs::remove_file(&path).ok();
        };
        Ok(Self(Asked::spawn("store-table", fill)?))
    }
}

impl Table for RocksTable {
    fn put(&mut self, puts: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.0.ask(move |answer| Step::Put(puts, answer)).boxed()
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<(), StoreError>> {
        async move { self.0.ask(Step::Finish).await }.boxed()
    }
}

/// Takes steps until the last one, or until nobody takes any more.
fn fill(db: &DB, limits: &RocksOptions, family: Family, path: &Path, steps: &mpsc::Receiver<Step>) {
    let options = family_options(Some(family), &Cache::new_lru_cache(0), limits);
    let mut table = SstFileWriter::create(&options);
    let mut opened = table.open(path).map_err(store_error).and_then(|()| File::open(path).map_err(StoreError::io));
    let mut unsynced = 0;
    while let Ok(step) = steps.recv() {
        let file = opened.as_ref().map_err(Clone::clone);
        match step {
            Step::Put(puts, answer) => {
                let taken = file.and_then(|file| {
                    unsynced += puts.bytes();
                    put(&mut table, &puts)?;
                    if unsynced >= SYNC_BYTES {
                        unsynced = 0;
                        file.sync_data().map_err(StoreError::io)?;
                    }
                    Ok(())
                });
                if let Err(error) = &taken {
                    opened = Err(error.clone());
                }
                // Whoever asked may have gone.
                answer.send(taken).ok();
            }
            Step::Finish(answer) => {
                let finished = file.and_then(|_| table.finish().map_err(store_error));
                let given = finished.and_then(|()| {
                    make_room(db, family, &answer)?;
                    give(db, family, path)
                });
                answer.send(given).ok();
                return;
            }
        }
    }
}

fn put(table: &mut SstFileWriter<'_>, puts: &Batch) -> Result<(), StoreError> {
    let mut way = Way::new(true);
    for change in puts.changes() {
        let Change::Put(_, key, value) = change else { return Err(StoreError::io("a table has puts only")) };
        table.put(key, value).map_err(store_error)?;
        way.record();
    }
    Ok(())
}

/// Waits until few tables wait to be merged. An error if nobody waits for that any more.
fn make_room(db: &DB, family: Family, answer: &Answer<()>) -> Result<(), StoreError> {
    let begun = Instant::now();
    while !answer.is_closed() {
        let unmerged =
            db.property_int_value_cf(handle(db, family)?, "rocksdb.num-files-at-level0").map_err(store_error)?;
        if unmerged.unwrap_or(0) <= UNMERGED_MAX || begun.elapsed() >= PATIENCE {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(StoreError::Superseded)
}

fn give(db: &DB, family: Family, path: &Path) -> Result<(), StoreError> {
    let family = handle(db, family)?;
    let mut options = IngestExternalFileOptions::default();
    options.set_move_files(true);
    let moved = db.ingest_external_file_cf_opts(family, &options, vec![path]);
    // It is moved by a second name, which not every file system has.
    moved.or_else(|_| db.ingest_external_file_cf(family, vec![path])).map_err(store_error)
}
