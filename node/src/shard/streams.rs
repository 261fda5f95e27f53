//! What is on its way to followers, and the log it needs: snapshots, and entries.
//!
//! A follower that installed a state up to some entry goes on from the next one. If the log were purged beyond it while
//! the state was still streaming, the follower would need another snapshot, and so on for ever.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long the log is kept after a stream ended, until the follower has taken it up.
const TAKE_UP: Duration = Duration::from_secs(30);

/// Entries kept for a stream at most: a follower slower than this gets another snapshot.
const KEPT_MAX: u64 = 1_000_000;

/// What the log is kept for.
#[derive(Clone, Default)]
pub struct Streams {
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    next: u64,
    /// The entry a stream covers, and until when it counts; none while it runs.
    streams: BTreeMap<u64, (u64, Option<Instant>)>,
}

/// Keeps the log behind a stream for as long as it lives, and a little longer.
pub struct Claim {
    streams: Streams,
    number: u64,
}

impl Streams {
    /// A stream of the state up to `index` begins.
    pub fn begin(&self, index: u64) -> Claim {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let number = running.next;
        running.next += 1;
        running.streams.insert(number, (index, None));
        Claim { streams: self.clone(), number }
    }

    /// The highest index that may be purged of a log applied up to `applied`, when `upto` is wanted and followers that
    /// are being sent entries have acknowledged all up to `acknowledged`.
    pub fn purgeable(&self, upto: u64, applied: u64, acknowledged: Option<u64>) -> u64 {
        let now = Instant::now();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.streams.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let needed = running.streams.values().map(|(index, _)| *index).chain(acknowledged).min().unwrap_or(u64::MAX);
        upto.min(needed.max(applied.saturating_sub(KEPT_MAX)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut running = self.streams.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, until)) = running.streams.get_mut(&self.number) {
            *until = Some(Instant::now() + TAKE_UP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_keeps_the_log_it_will_need() {
        let streams = Streams::default();
        assert_eq!(streams.purgeable(500, 600, None), 500);
        assert_eq!(streams.purgeable(500, 600, Some(480)), 480, "a follower is still sent what comes after");
        let stream = streams.begin(100);
        assert_eq!(streams.purgeable(500, 600, None), 100);
        assert_eq!(streams.purgeable(50, 600, None), 50);
        assert_eq!(streams.purgeable(3_000_000, 3_000_000, None), 2_000_000, "within the cap");
        drop(stream);
        assert_eq!(streams.purgeable(500, 600, None), 100, "the follower has yet to take it up");
        tokio::time::advance(TAKE_UP + Duration::from_millis(1)).await;
        assert_eq!(streams.purgeable(500, 600, None), 500);
    }
}
