//! RocksDB's files are looked after while it is open. It tells nobody when it makes and removes them, so its folder is looked
//! at: its write-ahead logs are made [`long`](super::long), and what it removes [`leaves`](super::leaving) bit by bit.

use super::{leaving::Leaving, long, thread::Thread};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant, SystemTime},
};

/// How often it is looked what RocksDB made and removed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// After a change it is looked so often, changed or not: a folder's time of change may be as coarse as a second.
const LOOKS: u32 = 10;

/// Between two steps of what leaves: half a GiB a second goes, more than RocksDB writes.
const STEP_EVERY: Duration = Duration::from_millis(4);

/// Who sees to the files, until it is dropped.
pub struct Watch {
    // Above the thread, which ends when this is dropped.
    _until: Sender<()>,
    _thread: Thread,
}

struct Watching {
    store: PathBuf,
    leaving: Leaving,
    /// When the folder changed, as it was looked at last, and how often it is looked at all the same.
    changed: Option<SystemTime>,
    looks: u32,
    /// What was there then, with second names, and logs with their length.
    present: BTreeSet<OsString>,
    /// Ends when the watch is dropped.
    until: Receiver<()>,
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
            let leaving = Leaving::new(names);
            Watching { store, leaving, changed: None, looks: 0, present: BTreeSet::new(), until: over }.run();
        })?;
        Ok(Self { _until: until, _thread: thread })
    }
}

impl Watching {
    fn run(&mut self) {
        // Names of another opening: its files may be called otherwise now.
        self.let_go_of_names();
        let (mut failing, mut looked) = (false, None::<Instant>);
        loop {
            if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                looked = Some(Instant::now());
                let done = self.look();
                failing = self.tell(failing, &done);
            }
            if !self.goes_on_after(if self.leaving.is_busy() { STEP_EVERY } else { LOOK_EVERY }) {
                break;
            }
            self.leaving.step();
        }
        // Those of what is in use would keep it for ever where nobody looks after them any more.
        self.let_go_of_names();
    }

    fn let_go_of_names(&mut self) {
        let names = all(self.leaving.names()).unwrap_or_default();
        self.leaving.let_go(names);
    }

    /// Says once that it can't be done. Whether it can't.
    fn tell(&self, failing: bool, done: &io::Result<()>) -> bool {
        if let (Err(error), false) = (done, failing) {
            let store = self.store.display();
            tracing::warn!(%error, %store, "the store's files can't be looked after: those it removed stay, and syncs take longer");
        }
        done.is_err()
    }

    fn look(&mut self) -> io::Result<()> {
        let changed = fs::metadata(&self.store)?.modified()?;
        if self.changed == Some(changed) {
            if self.looks == 0 {
                return Ok(());
            }
            self.looks -= 1;
        } else {
            self.looks = LOOKS;
        }
        let present = all(&self.store)?;
        for name in present.difference(&self.present).filter(|name| is_large(name)) {
            self.leaving.name(&self.store, name);
            if is(name, "log") {
                self.make_long(name);
            }
        }
        self.leaving.let_go(self.present.difference(&present).filter(|name| is_large(name)).cloned());
        (self.changed, self.present) = (Some(changed), present);
        Ok(())
    }

    fn make_long(&self, name: &OsString) {
        match long::make(&self.store.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::info!(%error, log = %Path::new(name).display(), "a write-ahead log stays short: its syncs take longer");
            }
            // RocksDB was quicker to remove it.
            Ok(()) | Err(_) => {}
        }
    }

    /// Whether to go on after a while.
    fn goes_on_after(&self, length: Duration) -> bool {
        self.until.recv_timeout(length) == Err(RecvTimeoutError::Timeout)
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
    use std::fs::File;

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
