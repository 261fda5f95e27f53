//! Files that RocksDB needs no more leave the disk bit by bit.
//!
//! To remove a file of 64 MiB takes ext4 some 16 ms if freed blocks are discarded, and no sync of anyone on that file system ends
//! meanwhile. RocksDB removes such a file whenever it has merged tables, and every log it has left behind. So each of its
//! files is given a second name as soon as it is seen: what RocksDB removes is then a name only, which is nothing, and
//! what is behind the other is made shorter step by step.

use super::watch::Until;
use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Bytes that go at once: a sync that waits for that takes a millisecond longer.
pub const STEP: u64 = 2 << 20;

/// Between two steps: half a GiB a second goes, more than RocksDB writes.
const PAUSE: Duration = Duration::from_millis(4);

/// A folder of second names. What has not left when the store is closed does so at the next opening.
pub struct Leaving {
    names: PathBuf,
}

impl Leaving {
    /// In that folder.
    pub fn new(names: PathBuf) -> Self {
        Self { names }
    }

    /// The folder.
    pub fn names(&self) -> &Path {
        &self.names
    }

    /// Gives a second name to a file of the store. It may have gone meanwhile; then there is nothing to do later, either.
    pub fn name(&self, store: &Path, name: &OsString) {
        fs::hard_link(store.join(name), self.names.join(name)).ok();
    }

    /// Lets go of a name, and of what is behind it if it has no other. False if it is time to end.
    pub fn leave(&self, name: &OsString, until: &Until) -> bool {
        let path = self.names.join(name);
        let opened = File::options().write(true).open(&path).and_then(|file| Ok((file.metadata()?, file)));
        if let Ok((found, file)) = opened
            && found.nlink() == 1
        {
            let mut len = found.len();
            while len > STEP {
                len -= STEP;
                if file.set_len(len).is_err() {
                    break;
                }
                if !until.pause(PAUSE) {
                    return false;
                }
            }
        }
        // It may never have been there.
        fs::remove_file(&path).ok();
        true
    }

    /// Lets go of a name whose file has another: it would keep that file for ever where nobody looks after it any more.
    pub fn forget(&self, name: &OsString) {
        let path = self.names.join(name);
        if fs::metadata(&path).is_ok_and(|found| found.nlink() > 1) {
            fs::remove_file(&path).ok();
        }
    }
}
