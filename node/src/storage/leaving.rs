//! Files that RocksDB needs no more leave the disk bit by bit.
//!
//! To remove a file of 64 MiB takes ext4 some 16 ms if freed blocks are discarded, and no sync of anyone on that file system ends
//! meanwhile. RocksDB removes such a file whenever it has merged tables, and every log it has left behind. So each of its
//! files is given a second name as soon as it is seen: what RocksDB removes is then a name only, which is nothing, and
//! what is behind the other is made shorter step by step.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Bytes that go at once: a sync that waits for that takes a millisecond longer.
pub const STEP: u64 = 2 << 20;

/// A folder of second names. What has not left when the store is closed does so at the next opening.
pub struct Leaving {
    names: PathBuf,
    waiting: VecDeque<OsString>,
    /// The one that is leaving, and how long it still is.
    going: Option<(OsString, File, u64)>,
}

impl Leaving {
    /// In that folder.
    pub fn new(names: PathBuf) -> Self {
        Self { names, waiting: VecDeque::new(), going: None }
    }

    /// The folder.
    pub fn names(&self) -> &Path {
        &self.names
    }

    /// Gives a second name to a file of the store. It may have gone meanwhile; then there is nothing to do later, either.
    pub fn name(&self, store: &Path, name: &OsString) {
        fs::hard_link(store.join(name), self.names.join(name)).ok();
    }

    /// Lets go of these names: at once of those whose file has another or was never there, and of what is behind the others step by
    /// step.
    pub fn let_go(&mut self, names: impl IntoIterator<Item = OsString>) {
        for name in names {
            match fs::metadata(self.names.join(&name)) {
                Ok(found) if found.nlink() == 1 => self.waiting.push_back(name),
                _ => self.remove(&name),
            }
        }
    }

    /// The next step: a piece of a file, or the last of it.
    pub fn step(&mut self) {
        match self.going.take().or_else(|| self.next()) {
            Some((name, file, len)) if len > STEP && file.set_len(len - STEP).is_ok() => {
                self.going = Some((name, file, len - STEP));
            }
            Some((name, ..)) => self.remove(&name),
            None => {}
        }
    }

    /// Whether something is leaving.
    pub fn is_busy(&self) -> bool {
        self.going.is_some() || !self.waiting.is_empty()
    }

    fn next(&mut self) -> Option<(OsString, File, u64)> {
        let name = self.waiting.pop_front()?;
        let opened = File::options().write(true).open(self.names.join(&name));
        match opened.and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((len, file)) => Some((name, file, len)),
            // Then it goes in one piece.
            Err(_) => {
                self.remove(&name);
                None
            }
        }
    }

    fn remove(&self, name: &OsString) {
        fs::remove_file(self.names.join(name)).ok();
    }
}
