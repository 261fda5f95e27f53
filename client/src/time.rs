//! Server time as the SDK knows it.
//!
//! Deadlines and ids are dated by the servers, so the SDK learns their clock from every session frame and every map of
//! the cluster: the offset of each node against a monotonic clock of its own, and the median of these, so that one
//! wild clock moves nothing. The offset leaves out the way the message took, so the estimate is late by that much.

use crate::environment::Environment;
use earmark_ledger::types::TimeMs;
use std::collections::BTreeMap;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tokio::time::Instant;

/// Estimates the servers' clock.
#[derive(Debug)]
pub(crate) struct ServerTime {
    start: Instant,
    /// Server time at `start`: the median of what the nodes told, and this machine's clock before they did.
    origin_ms: AtomicU64,
    /// Server time at `start` by each node's clock.
    origins: Mutex<BTreeMap<String, u64>>,
}

impl ServerTime {
    pub(crate) fn new(environment: &dyn Environment) -> Self {
        Self {
            start: Instant::now(),
            origin_ms: AtomicU64::new(environment.wall_ms()),
            origins: Mutex::new(BTreeMap::new()),
        }
    }

    /// Server time now.
    pub(crate) fn now(&self) -> TimeMs {
        self.at(Instant::now())
    }

    /// Server time at that moment.
    pub(crate) fn at(&self, moment: Instant) -> TimeMs {
        TimeMs(self.origin_ms.load(Ordering::Relaxed).saturating_add(self.elapsed_ms(moment)))
    }

    /// A node said what time it has. 0 is no time.
    pub(crate) fn observe(&self, endpoint: &str, server_ms: u64) {
        if server_ms == 0 {
            return;
        }
        let origin = server_ms.saturating_sub(self.elapsed_ms(Instant::now()));
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        match origins.get_mut(endpoint) {
            Some(known) => *known = origin,
            None => {
                origins.insert(endpoint.to_owned(), origin);
            }
        }
        let mut sorted: Vec<u64> = origins.values().copied().collect();
        sorted.sort_unstable();
        self.origin_ms.store(sorted[(sorted.len() - 1) / 2], Ordering::Relaxed);
    }

    /// Forgets the clocks of nodes that are no longer used.
    pub(crate) fn keep_only(&self, used: impl Fn(&str) -> bool) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.retain(|endpoint, _| used(endpoint));
    }

    fn elapsed_ms(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Fixed;

    impl Environment for Fixed {
        fn wall_ms(&self) -> u64 {
            1_000
        }
        fn random_u64(&self) -> u64 {
            0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_own_clock_counts_until_a_node_told_its_time() {
        let time = ServerTime::new(&Fixed);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(time.now(), TimeMs(1_250));
        time.observe("a", 500_000);
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(time.now(), TimeMs(500_010));
    }

    #[tokio::test(start_paused = true)]
    async fn one_wild_clock_of_three_moves_nothing() {
        let time = ServerTime::new(&Fixed);
        time.observe("a", 500_000);
        time.observe("b", 500_020);
        time.observe("c", 99_000_000);
        assert_eq!(time.now(), TimeMs(500_020));
        time.observe("c", 3);
        assert_eq!(time.now(), TimeMs(500_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_without_a_time_teaches_nothing() {
        let time = ServerTime::new(&Fixed);
        time.observe("a", 0);
        assert_eq!(time.now(), TimeMs(1_000));
    }
}
