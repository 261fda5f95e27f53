//! Files that RocksDB needs no more leave the disk bit by bit.
//!
//! To remove a file of 64 MiB takes ext4 some 16 ms if freed blocks are discarded, and no sync of anyone on that file system ends
//! meanwhile. RocksDB removes such a file whenever it has merged tables, and every log it has left behind. So each of its
//! files is given a second name as soon as it is seen: what RocksDB removes is then a name only, which is nothing, and
//! what is behind the other is made shorter step by step.

use super::thread::Thread;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, SystemTime},
};

/// How often it is looked what RocksDB made and removed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Bytes that go at once: a sync that waits for that takes a millisecond longer.
const STEP: u64 = 2 << 20;

/// Between two steps: half a GiB a second goes, more than RocksDB writes.
const PAUSE: Duration = Duration::from_millis(4);

/// After a change it is looked so often, changed or not: a folder's time of change may be as coarse as a second.
const LOOKS: u32 = 10;

/// Who sees to that, until it is dropped. What has not left by then does so at the next opening.
pub struct Leaving {
    // Above the thread, which ends when this is dropped.
    _until: Sender<()>,
    _thread: Thread,
}

impl Leaving {
    /// Begins for RocksDB's files in `store`; their second names are in `names`.
    ///
    /// # Errors
    /// There is no such folder and none can be made, or no thread.
    pub fn begin(store: PathBuf, names: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&names)?;
        let (until, over) = mpsc::channel();
        let thread = Thread::spawn("store-leaving", move || {
            Watch { store, names, over }.run();
        })?;
        Ok(Self { _until: until, _thread: thread })
    }
}

/// The store's folder when it was last looked at.
#[derive(Default)]
struct Seen {
    changed: Option<SystemTime>,
    looks: u32,
    present: BTreeSet<OsString>,
}

struct Watch {
    store: PathBuf,
    names: PathBuf,
    over: Receiver<()>,
}

impl Watch {
    fn run(&self) {
        let mut failing = false;
        let mut seen = Seen::default();
        // Names of another opening: its files may be called otherwise now.
        let mut goes_on = self.all_leave(all(&self.names).unwrap_or_default());
        while goes_on && self.pause(LOOK_EVERY) {
            let looked = self.look(&mut seen);
            if let (Err(error), false) = (&looked, failing) {
                tracing::warn!(%error, "files that were removed from the store stay until it can be looked which");
            }
            failing = looked.is_err();
            goes_on = looked.unwrap_or(true);
        }
        // Second names of what is in use would keep it for ever where nobody looks after them any more.
        for name in all(&self.names).unwrap_or_default() {
            let path = self.names.join(name);
            if fs::metadata(&path).is_ok_and(|found| found.nlink() > 1) {
                fs::remove_file(&path).ok();
            }
        }
    }

    /// False if it is time to end.
    fn look(&self, seen: &mut Seen) -> io::Result<bool> {
        let changed = fs::metadata(&self.store)?.modified()?;
        if seen.changed == Some(changed) {
            if seen.looks == 0 {
                return Ok(true);
            }
            seen.looks -= 1;
        } else {
            seen.looks = LOOKS;
        }
        let present = all(&self.store)?;
        for name in present.difference(&seen.present).filter(|name| is_large(name)) {
            // It may have gone meanwhile; then there is nothing to do later, either.
            fs::hard_link(self.store.join(name), self.names.join(name)).ok();
        }
        let gone = seen.present.difference(&present).filter(|name| is_large(name)).cloned().collect();
        (seen.changed, seen.present) = (Some(changed), present);
        Ok(self.all_leave(gone))
    }

    /// False if it is time to end.
    fn all_leave(&self, names: BTreeSet<OsString>) -> bool {
        names.iter().all(|name| self.leave(name))
    }

    /// Lets go of a name, and of what is behind it if it has no other. False if it is time to end.
    fn leave(&self, name: &OsString) -> bool {
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
                if !self.pause(PAUSE) {
                    return false;
                }
            }
        }
        // It may never have been there.
        fs::remove_file(&path).ok();
        true
    }

    /// Whether to go on after a while.
    fn pause(&self, length: Duration) -> bool {
        self.over.recv_timeout(length) == Err(RecvTimeoutError::Timeout)
    }
}

fn all(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Tables and logs of RocksDB; what else it has is small, or is renamed.
fn is_large(name: &OsString) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "sst" || end == "log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn until(what: impl Fn() -> bool) {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_is_removed_leaves_and_what_has_another_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (store, names) = (folder.path().join("store"), folder.path().join("leaving"));
        let large = vec![7; 5 << 20];
        let whole = |path: &Path| fs::read(path).unwrap() == large;
        fs::create_dir_all(&store).unwrap();
        fs::create_dir_all(&names).unwrap();
        // Of an opening before: one that is in use under another name, one that is not.
        fs::write(store.join("1.sst"), &large).unwrap();
        fs::hard_link(store.join("1.sst"), names.join("9.sst")).unwrap();
        fs::write(names.join("8.sst"), &large).unwrap();
        let leaving = Leaving::begin(store.clone(), names.clone()).unwrap();
        until(|| !names.join("9.sst").exists() && !names.join("8.sst").exists() && names.join("1.sst").exists());
        assert!(whole(&store.join("1.sst")));
        for name in ["2.sst", "3.log", "MANIFEST-4"] {
            fs::write(store.join(name), &large).unwrap();
        }
        until(|| names.join("2.sst").exists() && names.join("3.log").exists());
        let (mut held, other) = (File::open(store.join("2.sst")).unwrap(), folder.path().join("other"));
        fs::hard_link(store.join("3.log"), &other).unwrap();
        for name in ["2.sst", "3.log", "MANIFEST-4"] {
            fs::remove_file(store.join(name)).unwrap();
        }
        until(|| !names.join("2.sst").exists() && !names.join("3.log").exists());
        let mut left = Vec::new();
        io::Read::read_to_end(&mut held, &mut left).unwrap();
        assert!(left.len() as u64 <= STEP, "it was made shorter first");
        assert!(whole(&other) && whole(&store.join("1.sst")) && !names.join("MANIFEST-4").exists());
        drop(leaving);
        assert!(whole(&store.join("1.sst")) && !names.join("1.sst").exists(), "it has one name again");
    }
}
