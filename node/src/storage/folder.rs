//! A node's data folder on a real disk:
//!
//! - `store/` RocksDB's files
//! - `incoming/` tables of a snapshot on their way into `store/`
//! - `leaving/` second names of the files in `store/`, so that those that are removed leave bit by bit
//! - `marks` the file of high-water marks
//! - `lock` held while open
//! - `damaged-N/` what was set aside

use super::{
    engine::{Disk, Engine},
    error::OpenError,
    rocks::{Paths, Rocks, RocksOptions},
};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A data folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    options: RocksOptions,
}

impl Folder {
    /// The folder at `path`; made when it is opened.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::with_options(path, RocksOptions::default())
    }

    /// The same with other limits.
    pub fn with_options(path: impl Into<PathBuf>, options: RocksOptions) -> Self {
        Self { path: path.into(), options }
    }

    fn lock(&self) -> Result<File, OpenError> {
        fs::create_dir_all(&self.path)?;
        let lock = File::options().create(true).truncate(false).write(true).open(self.path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(OpenError::Busy),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

impl Disk for Folder {
    fn open(&self) -> Result<Arc<dyn Engine>, OpenError> {
        let lock = self.lock()?;
        let store = self.path.join("store");
        check_manifest(&store)?;
        let paths = Paths {
            incoming: self.path.join("incoming"),
            leaving: self.path.join("leaving"),
            marks: self.path.join("marks"),
            store,
        };
        Ok(Arc::new(Rocks::open(paths, lock, &self.options)?))
    }

    fn set_aside(&self) -> Result<String, OpenError> {
        let _lock = self.lock()?;
        let aside = fresh_folder(&self.path)?;
        for name in ["store", "marks"] {
            match fs::rename(self.path.join(name), aside.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        sync_folder(&aside)?;
        sync_folder(&self.path)?;
        Ok(aside.display().to_string())
    }
}

/// Makes the first `damaged-N` that is not there.
fn fresh_folder(path: &Path) -> Result<PathBuf, OpenError> {
    for number in 1_u32.. {
        let aside = path.join(format!("damaged-{number}"));
        match fs::create_dir(&aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(OpenError::Io("no name is left for a damaged store".into()))
}

/// Brings the names in a folder to stable storage.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// RocksDB makes a new store where `CURRENT` is missing, and calls a missing manifest an I/O error. Both are damage if
/// there are tables beside.
fn check_manifest(store: &Path) -> Result<(), OpenError> {
    let current = match fs::read_to_string(store.join("CURRENT")) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let tables = fs::read_dir(store).into_iter().flatten().flatten();
            let left = tables.into_iter().any(|file| file.path().extension().is_some_and(|end| end == "sst"));
            return if left { Err(OpenError::Damaged("CURRENT is missing".into())) } else { Ok(()) };
        }
        Err(error) => return Err(error.into()),
    };
    let manifest = current.trim();
    if !manifest.is_empty() && !store.join(manifest).exists() {
        return Err(OpenError::Damaged(format!("{manifest} is missing")));
    }
    Ok(())
}
