//! Connections between nodes that break while what was sent on them is still on its way.
//!
//! TCP keeps the order within a connection, but not between two: a process that was slow to read finds the requests of a
//! connection that its peer gave up long ago, and a later connection has brought newer ones meanwhile. So here: whoever
//! dialled goes on writing for a moment, then is told that the connection broke and dials anew; whoever accepted reads
//! nothing on the old connection until the fault is over, then all that was sent on it, then its end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The breaks of a run, by the host that dialled. Clones are the same.
#[derive(Clone, Default)]
pub struct Breaks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    any: AtomicBool,
    late: AtomicU64,
    by_dialler: Mutex<BTreeMap<u64, Vec<Break>>>,
}

/// Times are virtual, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Break {
    begun_ns: u64,
    noticed_ns: u64,
    until_ns: u64,
}

impl Breaks {
    /// What `dialler` has open at `begun_ns` breaks: it notices at `noticed_ns`, and what it sent is read from
    /// `until_ns` on.
    pub fn add(&self, dialler: u64, begun_ns: u64, noticed_ns: u64, until_ns: u64) {
        self.all().entry(dialler).or_default().push(Break { begun_ns, noticed_ns, until_ns });
        self.0.any.store(true, Ordering::Relaxed);
    }

    /// Whether whoever dialled knows by now that a connection opened at `opened_ns` is broken.
    pub fn is_broken(&self, dialler: u64, opened_ns: u64, now_ns: u64) -> bool {
        self.of(dialler, |broken| broken.begun_ns > opened_ns && broken.noticed_ns <= now_ns).is_some()
    }

    /// Until when nothing is read on a connection opened at `opened_ns`.
    pub fn stalled_until(&self, dialler: u64, opened_ns: u64, now_ns: u64) -> Option<u64> {
        let stalls =
            |broken: &Break| broken.begun_ns > opened_ns && broken.begun_ns <= now_ns && broken.until_ns > now_ns;
        self.of(dialler, stalls).map(|broken| broken.until_ns)
    }

    /// Something was read that had been sent on a broken connection.
    pub fn note_late(&self) {
        self.0.late.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub fn late(&self) -> u64 {
        self.0.late.load(Ordering::Relaxed)
    }

    fn of(&self, dialler: u64, fits: impl Fn(&Break) -> bool) -> Option<Break> {
        // Asked at each read and write of every connection.
        if !self.0.any.load(Ordering::Relaxed) {
            return None;
        }
        let all = self.all();
        let fitting = all.get(&dialler)?.iter().filter(|broken| fits(broken));
        fitting.max_by_key(|broken| broken.until_ns).copied()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<Break>>> {
        self.0.by_dialler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_open_breaks_and_what_was_sent_on_it_comes_late() {
        let breaks = Breaks::default();
        assert!(!breaks.is_broken(1, 0, 100));
        breaks.add(1, 10, 20, 50);
        assert!(!breaks.is_broken(1, 5, 19) && breaks.is_broken(1, 5, 20), "noticed after a while");
        assert!(!breaks.is_broken(1, 10, 99) && !breaks.is_broken(2, 5, 99), "another connection, another host");
        assert_eq!(breaks.stalled_until(1, 5, 9), None);
        assert_eq!(breaks.stalled_until(1, 5, 10), Some(50));
        assert_eq!(breaks.stalled_until(1, 5, 50), None);
        assert_eq!(breaks.stalled_until(1, 11, 30), None);
    }
}
