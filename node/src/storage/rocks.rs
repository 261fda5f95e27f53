//! RocksDB as an [`Engine`]. One write-ahead log for all families, synced by `fdatasync` on request; nothing is
//! compressed; whatever can be checked is checked.

use super::{
    direct,
    engine::{Batch, Change, Engine, Family, Table, View, Visit},
    error::{OpenError, StoreError},
    folder::sync_folder,
    keys::KeyRange,
    rocks_table::{Incoming, RocksTable},
    rocks_view::RocksView,
    watch::Watch,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIterator,
    DBRecoveryMode, ErrorKind, LogLevel, Options, ReadOptions, WriteBatch, WriteOptions,
};
use std::{
    fs::{self, File},
    io,
    ops::ControlFlow,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// What one RocksDB may take. The defaults fit three nodes in one process of a small machine.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// Memory for what is not yet in tables, over all families.
    pub write_bytes_max: usize,
    /// Memory for blocks of tables.
    pub cache_bytes: usize,
    /// Size of the write-ahead log at which the oldest family is written to a table.
    pub wal_bytes_max: u64,
    /// Open files.
    pub files_max: i32,
    /// Threads for writing and merging tables.
    pub threads: i32,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { write_bytes_max: 96 << 20, cache_bytes: 32 << 20, wal_bytes_max: 256 << 20, files_max: 512, threads: 2 }
    }
}

/// The size of a table.
const TABLE_BYTES: u64 = 64 << 20;

/// Tables as they were written from memory (level 0) that are merged with those below together. All of them span all shards, so what
/// lies below is written anew with each merge; ten are about as large as that, as RocksDB advises (`max_bytes_for_level_base`).
pub const MERGED_AT: i32 = 10;

/// With so many RocksDB takes writes more slowly, and with [`STOPPED_AT`] none until some are merged.
const SLOWED_AT: i32 = 3 * MERGED_AT;

/// See [`SLOWED_AT`].
const STOPPED_AT: i32 = 5 * MERGED_AT;

/// An opened RocksDB with the file of marks beside it.
pub struct Rocks {
    // First: whoever opens the folder next begins with one of its own.
    _watch: Watch,
    held: Arc<Held>,
    marks: Marks,
    incoming: Arc<Incoming>,
}

/// Where it lies, all on one file system.
pub struct Paths {
    /// RocksDB's own folder.
    pub store: PathBuf,
    /// Tables on their way into it.
    pub incoming: PathBuf,
    /// Second names of its files.
    pub leaving: PathBuf,
    /// The file of marks.
    pub marks: PathBuf,
}

/// The database and the folder's lock, let go in this order. Shared with the threads of views and tables.
pub struct Held {
    /// The database.
    pub db: DB,
    _lock: File,
}

struct Marks {
    path: PathBuf,
    file: Mutex<Option<Arc<File>>>,
}

impl Rocks {
    /// Opens or makes the store. Families of a newer format are opened too, so that the format version can be read. What was on
    /// its way in when the store was left is removed: nothing counts on it.
    ///
    /// # Errors
    /// [`OpenError::Damaged`], [`OpenError::Io`].
    pub fn open(paths: Paths, lock: File, options: &RocksOptions) -> Result<Self, OpenError> {
        let Paths { store, incoming, leaving, marks } = paths;
        let cache = Cache::new_lru_cache(options.cache_bytes);
        let known = Family::ALL.map(|family| (family.name().to_owned(), Some(family)));
        let mut families: Vec<_> = known.into_iter().chain([("default".to_owned(), None)]).collect();
        if store.join("CURRENT").exists() {
            for name in DB::list_cf(&Options::default(), &store).map_err(open_error)? {
                if families.iter().all(|(known, _)| *known != name) {
                    families.push((name, None));
                }
            }
        }
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => fs::create_dir(&incoming)?,
        }
        let db = open_db(&store, &families, &cache, options)?;
        let incoming = Incoming::new(incoming, options.clone());
        let file = match File::options().read(true).write(true).open(&marks) {
            Ok(file) => Some(Arc::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let held = Arc::new(Held { db, _lock: lock });
        let watch = Watch::begin(store, leaving)?;
        let marks = Marks { path: marks, file: Mutex::new(file) };
        Ok(Self { _watch: watch, held, marks, incoming: Arc::new(incoming) })
    }
}

fn open_db(
    store: &Path,
    families: &[(String, Option<Family>)],
    cache: &Cache,
    limits: &RocksOptions,
) -> Result<DB, OpenError> {
    let open = |direct| {
        let descriptor = |(name, family): &(String, Option<Family>)| {
            ColumnFamilyDescriptor::new(name.clone(), family_options(*family, cache, limits))
        };
        DB::open_cf_descriptors(&db_options(limits, direct), store, families.iter().map(descriptor))
    };
    fs::create_dir_all(store)?;
    let opened = match direct::try_in(store) {
        // Files that were there before may lie on something else, and RocksDB tries one of them.
        Ok(()) => open(true).or_else(|error| match error.kind() {
            ErrorKind::InvalidArgument => open(false),
            _ => Err(error),
        }),
        Err(error) => {
            tracing::info!(%error, store = %store.display(), "tables are written through the kernel's cache: past it they can't be");
            open(false)
        }
    };
    opened.map_err(open_error)
}

/// A family's handle. All families were opened.
pub fn handle(db: &DB, family: Family) -> Result<&ColumnFamily, StoreError> {
    db.cf_handle(family.name()).ok_or_else(|| StoreError::io(format_args!("family {} is not open", family.name())))
}

fn write(db: &DB, batch: &Batch, options: &WriteOptions) -> Result<(), StoreError> {
    let mut changes = WriteBatch::with_capacity_bytes(batch.bytes() + batch.bytes() / 8 + 64);
    // Handles are found by name, which is not for each of thousands of changes.
    let mut found: Option<(Family, &ColumnFamily)> = None;
    let mut of = |family: Family| match found {
        Some((same, handle)) if same == family => Ok(handle),
        _ => handle(db, family).inspect(|handle| found = Some((family, *handle))),
    };
    for change in batch.changes() {
        match change {
            Change::Put(family, key, value) => changes.put_cf(of(family)?, key, value),
            Change::Delete(family, key) => changes.delete_cf(of(family)?, key),
            Change::DeleteRange(family, start, end) => changes.delete_range_cf(of(family)?, start, end),
        }
    }
    db.write_opt(changes, options).map_err(store_error)
}

/// A read of one range, at its end without a result; checked, and without filling the cache from long scans.
pub fn range_options(range: &KeyRange) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(range.start.clone());
    options.set_iterate_upper_bound(range.end.clone());
    options.fill_cache(false);
    options
}

/// Shows what a cursor stands on and comes to by that step, until told to stop.
fn show<'a>(
    mut cursor: DBRawIterator<'a>,
    step: impl Fn(&mut DBRawIterator<'a>),
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    while let Some((key, value)) = cursor.item() {
        if let ControlFlow::Break(()) = visit(key, value) {
            return Ok(());
        }
        step(&mut cursor);
    }
    cursor.status().map_err(store_error)
}

/// RocksDB's error on an open store.
pub fn store_error(error: rocksdb::Error) -> StoreError {
    if error.kind() == ErrorKind::Corruption { StoreError::corrupt("store", error) } else { StoreError::io(error) }
}

fn open_error(error: rocksdb::Error) -> OpenError {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotFound | ErrorKind::Incomplete => {
            OpenError::Damaged(error.to_string())
        }
        _ => OpenError::Io(error.to_string()),
    }
}

fn db_options(limits: &RocksOptions, direct: bool) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // What is wrong in the log ends it there. A crash leaves a torn tail with zeros behind it (see `long`), which RocksDB can't tell from
    // damage. The marks can, and the peers: that a synced entry is missing is found out at the opening.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_manual_wal_flush(false);
    // A checkpoint is put into memory while the log is written and synced, instead of holding it up. What is given up is
    // that a snapshot of the database shows all of a batch or none while it is being written; who takes one waits for what
    // changes the same shard. (`manual_wal_flush` can't be had with it.)
    options.set_unordered_write(true);
    options.set_use_fsync(false);
    options.set_max_total_wal_size(limits.wal_bytes_max);
    options.set_db_write_buffer_size(limits.write_bytes_max);
    options.set_max_open_files(limits.files_max);
    options.set_max_background_jobs(limits.threads);
    options.set_bytes_per_sync(1 << 20);
    // Through the kernel's cache each byte that is merged is copied once more, mostly into memory that nobody touched before, and what
    // waits there is written when somebody syncs something else. This is for what is written; merges read through the cache.
    options.set_use_direct_io_for_flush_and_compaction(direct);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options
}

/// How a family is kept.
pub fn family_options(family: Option<Family>, cache: &Cache, limits: &RocksOptions) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 << 10);
    table.set_format_version(6);
    table.set_cache_index_and_filter_blocks(true);
    if family == Some(Family::State) {
        // Cold records are looked up by key, and most ids are not there.
        table.set_bloom_filter(10.0, false);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    // The log is purged soon after it is written: what dies in memory is never written to a table.
    let share = match family {
        Some(Family::Log) => 2,
        Some(Family::State | Family::Journal) => 4,
        Some(Family::Meta) | None => 16,
    };
    options.set_write_buffer_size(limits.write_bytes_max / share);
    options.set_max_write_buffer_number(3);
    options.set_level_zero_file_num_compaction_trigger(MERGED_AT);
    options.set_level_zero_slowdown_writes_trigger(SLOWED_AT);
    options.set_level_zero_stop_writes_trigger(STOPPED_AT);
    options.set_target_file_size_base(TABLE_BYTES);
    options.set_max_bytes_for_level_base(256 << 20);
    options.set_level_compaction_dynamic_level_bytes(true);
    options
}

impl Engine for Rocks {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.held.db.get_pinned_cf(handle(&self.held.db, family)?, key).map_err(store_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, family: Family, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut cursor = self.held.db.raw_iterator_cf_opt(handle(&self.held.db, family)?, range_options(range));
        cursor.seek(&range.start);
        show(cursor, DBRawIterator::next, visit)
    }

    fn scan_back(&self, family: Family, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut cursor = self.held.db.raw_iterator_cf_opt(handle(&self.held.db, family)?, range_options(range));
        cursor.seek_to_last();
        show(cursor, DBRawIterator::prev, visit)
    }

    fn view(&self) -> BoxFuture<'static, Result<Box<dyn View>, StoreError>> {
        let held = Arc::clone(&self.held);
        async move { Ok(Box::new(RocksView::open(held).await?) as Box<dyn View>) }.boxed()
    }

    fn write<'a>(&'a self, batch: &'a Batch, sync: bool) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let mut options = WriteOptions::default();
            options.set_sync(sync);
            write(&self.held.db, batch, &options)
        }
        .boxed()
    }

    fn write_aside(&self, batch: Batch) -> BoxFuture<'static, Result<(), StoreError>> {
        let held = Arc::clone(&self.held);
        let mut options = WriteOptions::default();
        // Where the key before was put, the next one of its family is looked for first: three comparisons instead of thirty.
        // RocksDB (11.8) takes that place for one in its list of range deletes, too, and breaks both.
        options.set_memtable_insert_hint_per_batch(!batch.deletes_ranges());
        let written = tokio::task::spawn_blocking(move || write(&held.db, &batch, &options));
        async move { written.await.map_err(StoreError::io)? }.boxed()
    }

    fn table(&self, family: Family) -> Result<Box<dyn Table>, StoreError> {
        Ok(Box::new(RocksTable::begin(Arc::clone(&self.held), Arc::clone(&self.incoming), family)?))
    }

    fn table_bytes(&self) -> usize {
        TABLE_BYTES as usize
    }

    fn health(&self) -> Result<(), StoreError> {
        let errors = self.held.db.property_int_value(rocksdb::properties::BACKGROUND_ERRORS).map_err(store_error)?;
        match errors {
            None | Some(0) => Ok(()),
            Some(errors) => Err(StoreError::io(format_args!("RocksDB failed {errors} times in the background"))),
        }
    }

    fn read_marks(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(&self.marks.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(error)),
        }
    }

    fn write_marks(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.marks.file().and_then(|file| file.write_all_at(bytes, offset)).map_err(StoreError::io)
    }

    fn sync_marks(&self) -> Result<(), StoreError> {
        self.marks.file().and_then(|file| file.sync_data()).map_err(StoreError::io)
    }

    fn blocks(&self) -> bool {
        true
    }
}

impl Marks {
    fn file(&self) -> io::Result<Arc<File>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        let made = File::options().create(true).truncate(false).read(true).write(true).open(&self.path)?;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder)?;
        }
        Ok(Arc::clone(file.insert(Arc::new(made))))
    }
}
