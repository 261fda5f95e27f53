//! RocksDB's files are looked after while it is open. It tells nobody when it makes and removes them, so its folder is looked
//! at: its write-ahead logs are made [`long`](super::long), and what it removes [`leaves`](super::leaving) bit by bit.

use super::{leaving::Leaving, long, thread::Thread};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, SystemTime},
};

/// How often it is looked what RocksDB made and removed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// After a change it is looked so often, changed or not: a folder's time of change may be as coarse as a second.
const LOOKS: u32 = 10;

/// Who sees to the files, until it is dropped.
pub struct Watch {
    // Above the thread, which ends when this is dropped.
    _until: Sender<()>,
    _thread: Thread,
}

/// Ends when the watch is dropped.
pub struct Until(Receiver<()>);

/// The store's folder when it was last looked at.
#[derive(Default)]
struct Seen {
    changed: Option<SystemTime>,
    looks: u32,
    present: BTreeSet<OsString>,
}

struct Watching {
    store: PathBuf,
    leaving: Leaving,
    until: Until,
}

impl Watch {
    /// Begins for RocksDB's files in `store`; their second names are in `names`.
    ///
    /// # Errors
    /// There is no such folder and none can be made, or no thread.
    pub fn begin(store: PathBuf, names: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&names)?;
        let (until, over) = mpsc::channel();
        let thread = Thread::spawn("store-files", move || {
            Watching { store, leaving: Leaving::new(names), until: Until(over) }.run();
        })?;
        Ok(Self { _until: until, _thread: thread })
    }
}

impl Until {
    /// Whether to go on after a while.
    pub fn pause(&self, length: Duration) -> bool {
        self.0.recv_timeout(length) == Err(RecvTimeoutError::Timeout)
    }
}

impl Watching {
    fn run(&self) {
        let mut failing = false;
        let mut seen = Seen::default();
        for name in all(&self.store).unwrap_or_default() {
            self.make_long(&name);
        }
        // Names of another opening: its files may be called otherwise now.
        let mut goes_on = self.all_leave(all(self.leaving.names()).unwrap_or_default());
        while goes_on && self.until.pause(LOOK_EVERY) {
            let looked = self.look(&mut seen);
            if let (Err(error), false) = (&looked, failing) {
                tracing::warn!(%error, "files that were removed from the store stay until it can be looked which");
            }
            failing = looked.is_err();
            goes_on = looked.unwrap_or(true);
        }
        for name in all(self.leaving.names()).unwrap_or_default() {
            self.leaving.forget(&name);
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
            self.leaving.name(&self.store, name);
            self.make_long(name);
        }
        let gone = seen.present.difference(&present).filter(|name| is_large(name)).cloned().collect();
        (seen.changed, seen.present) = (Some(changed), present);
        Ok(self.all_leave(gone))
    }

    fn make_long(&self, name: &OsString) {
        if is(name, "log") {
            // It may be gone, or on a file system that can't: then its syncs take what they take without.
            long::make(&self.store.join(name)).ok();
        }
    }

    /// False if it is time to end.
    fn all_leave(&self, names: BTreeSet<OsString>) -> bool {
        names.iter().all(|name| self.leaving.leave(name, &self.until))
    }
}

fn all(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Tables and logs of RocksDB; what else it has is small, or is renamed.
fn is_large(name: &OsString) -> bool {
    is(name, "sst") || is(name, "log")
}

fn is(name: &OsString, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == ending)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{leaving::STEP, long::LENGTH},
        *,
    };
    use std::{fs::File, time::Instant};

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
        let whole = |path: &Path| fs::read(path).unwrap()[..5 << 20] == large;
        fs::create_dir_all(&store).unwrap();
        fs::create_dir_all(&names).unwrap();
        // Of an opening before: one that is in use under another name, one that is not.
        fs::write(store.join("1.sst"), &large).unwrap();
        fs::hard_link(store.join("1.sst"), names.join("9.sst")).unwrap();
        fs::write(names.join("8.sst"), &large).unwrap();
        let watch = Watch::begin(store.clone(), names.clone()).unwrap();
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
        drop(watch);
        assert!(whole(&store.join("1.sst")) && !names.join("1.sst").exists(), "it has one name again");
    }

    #[test]
    fn write_ahead_logs_become_long_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (store, names) = (folder.path().join("store"), folder.path().join("leaving"));
        fs::create_dir_all(&store).unwrap();
        // What a temporary folder lies on may not take it.
        let takes = folder.path().join("takes");
        fs::write(&takes, b"x").unwrap();
        if long::make(&takes).is_err() {
            return;
        }
        let length = |name: &str| fs::metadata(store.join(name)).unwrap().len();
        fs::write(store.join("4.log"), b"there before").unwrap();
        let _watch = Watch::begin(store.clone(), names).unwrap();
        until(|| length("4.log") == LENGTH);
        for name in ["6.log", "7.sst", "LOG"] {
            fs::write(store.join(name), b"new").unwrap();
        }
        until(|| length("6.log") == LENGTH);
        assert_eq!((length("7.sst"), length("LOG")), (3, 3));
        assert_eq!(fs::read(store.join("6.log")).unwrap()[..4], *b"new\0");
    }
}
