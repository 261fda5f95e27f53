//! Everything that happens in a run, as a rolling hash, and as text if a file is asked for.
//!
//! Two runs of one seed must have the same hash after the same number of events; where they differ, their two files
//! show the first event that does.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The events of one run.
#[derive(Clone, Default)]
pub struct Trace(Arc<Shared>);

#[derive(Default)]
struct Shared {
    now_us: AtomicU64,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    hash: u64,
    events: u64,
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// A trace that is also written to a file.
    ///
    /// # Errors
    /// If the file can't be made.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let trace = Self::default();
        trace.written().file = Some(BufWriter::new(File::create(path)?));
        Ok(trace)
    }

    /// Sets the virtual time, in microseconds since the run began. Told by the loop that steps it.
    pub fn set_now_us(&self, now_us: u64) {
        self.0.now_us.store(now_us, Ordering::Relaxed);
    }

    /// The virtual time, in nanoseconds since the run began, as exact as whoever asks can know it.
    pub fn now_ns(&self) -> u64 {
        let stepped = self.0.now_us.load(Ordering::Relaxed) * 1_000;
        let exact = turmoil::sim_elapsed().map(|elapsed| u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        exact.unwrap_or(stepped).max(stepped)
    }

    /// Notes an event of that kind by its numbers.
    pub fn numbers(&self, kind: &'static str, numbers: &[u64]) {
        let now = self.now_ns();
        let mut written = self.written();
        let mut hash = xxh3_64_with_seed(kind.as_bytes(), written.hash ^ now);
        for number in numbers {
            hash = xxh3_64_with_seed(&number.to_be_bytes(), hash);
        }
        written.note(hash, now, |out| write!(out, "{kind} {numbers:?}"));
    }

    /// Notes an event in words.
    pub fn words(&self, kind: &'static str, words: &str) {
        let now = self.now_ns();
        let mut written = self.written();
        let hash = xxh3_64_with_seed(kind.as_bytes(), written.hash ^ now);
        let hash = xxh3_64_with_seed(words.as_bytes(), hash);
        written.note(hash, now, |out| write!(out, "{kind} {words}"));
    }

    /// The hash over all events so far, and how many there were.
    pub fn hash(&self) -> (u64, u64) {
        let written = self.written();
        (written.hash, written.events)
    }

    /// Brings the file to its end.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn flush(&self) -> io::Result<()> {
        self.written().file.as_mut().map_or(Ok(()), Write::flush)
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    fn note(&mut self, hash: u64, now: u64, text: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        self.hash = hash;
        self.events += 1;
        if let Some(file) = &mut self.file {
            // A trace file is for people; that it can't be written is told when it is flushed.
            let _ = write!(file, "{:>6}.{:06} ", now / 1_000_000_000, now / 1_000 % 1_000_000)
                .and_then(|()| text(file))
                .and_then(|()| writeln!(file));
        }
    }
}
