//! Wall clocks: the true time of the run, and each node's own, which may be wrong, jump and drift.

use crate::trace::Trace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The true time at which every run begins: early in 2027, in Unix milliseconds.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

/// A wall clock.
#[derive(Clone)]
pub struct WallClock {
    trace: Trace,
    wrong: Arc<Mutex<Wrong>>,
}

#[derive(Default)]
struct Wrong {
    by_ms: i64,
    /// Thousandths by which it runs fast, since when.
    drift: Option<(i64, u64)>,
}

impl WallClock {
    /// A clock that is wrong by so much.
    pub fn new(trace: Trace, by_ms: i64) -> Self {
        Self { trace, wrong: Arc::new(Mutex::new(Wrong { by_ms, drift: None })) }
    }

    /// Unix milliseconds as it shows them.
    pub fn read_ms(&self) -> u64 {
        let now_ms = self.trace.now_ns() / 1_000_000;
        let wrong = self.wrong();
        (EPOCH_MS + now_ms).saturating_add_signed(wrong.by_ms + wrong.drifted(now_ms))
    }

    /// Jumps by so much.
    pub fn jump(&self, by_ms: i64) {
        self.wrong().by_ms += by_ms;
    }

    /// Runs fast by so many thousandths from now on, or slow.
    pub fn drift(&self, thousandths: i64) {
        let now_ms = self.trace.now_ns() / 1_000_000;
        self.wrong().drift = Some((thousandths, now_ms));
    }

    /// Runs as it should, and is as right as it was before it drifted.
    pub fn steady(&self) {
        self.wrong().drift = None;
    }

    fn wrong(&self) -> MutexGuard<'_, Wrong> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wrong {
    fn drifted(&self, now_ms: u64) -> i64 {
        let Some((thousandths, since)) = self.drift else { return 0 };
        i64::try_from(now_ms.saturating_sub(since)).unwrap_or(i64::MAX).saturating_mul(thousandths) / 1_000
    }
}

impl earmark_node::environment::Clock for WallClock {
    fn wall_ms(&self) -> u64 {
        self.read_ms()
    }
}
