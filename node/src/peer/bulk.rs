//! How fast and in what parts a node sends what it sends in bulk: whole states and journals. Whoever sends one as fast as it
//! can has time for little else, and neither has who receives it: callers would wait tens of milliseconds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What timers can't tell apart is waited for together.
const LEAST: Duration = Duration::from_millis(1);

/// However many are sent at once, nobody waits longer for his turn, be it faster then than was asked for: who receives gives up
/// after a minute without a sign.
const MOST: Duration = Duration::from_secs(5);

/// Shared by all that is sent.
#[derive(Clone, Debug)]
pub struct Bulk {
    part_bytes: usize,
    bytes_per_second: u64,
    /// When the next may be sent.
    free: Arc<Mutex<Option<Instant>>>,
}

impl Bulk {
    /// About so many bytes in a part, and so many a second, of all together.
    pub fn new(part_bytes: usize, bytes_per_second: u64) -> Self {
        Self { part_bytes, bytes_per_second: bytes_per_second.max(1), free: Arc::default() }
    }

    /// Bytes in a part, about.
    pub fn part_bytes(&self) -> usize {
        self.part_bytes
    }

    /// Resolves when `bytes` may be sent.
    pub async fn turn(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let now = Instant::now();
        let begins = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let begins = free.unwrap_or(now).clamp(now, now + MOST);
            let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
            *free = Some(begins + takes);
            begins
        };
        if begins - now >= LEAST {
            tokio::time::sleep_until(begins).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_together_send_no_more_than_that() {
        let bulk = Bulk::new(1, 1_000_000);
        let begun = Instant::now();
        let sent = (0..4).map(|_| async {
            for _ in 0..5 {
                bulk.turn(100_000).await;
            }
        });
        futures::future::join_all(sent).await;
        let took = begun.elapsed();
        assert!((Duration::from_millis(1_900)..=Duration::from_millis(1_930)).contains(&took), "{took:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        bulk.turn(100_000).await;
        bulk.turn(1).await;
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(100) && took < Duration::from_millis(110),
            "nothing was saved up: {took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn small_parts_are_waited_for_together() {
        let bulk = Bulk::new(1, 1_000_000);
        let begun = Instant::now();
        for _ in 0..10_000 {
            bulk.turn(100).await;
        }
        let took = begun.elapsed();
        assert!((Duration::from_millis(990)..=Duration::from_millis(1_010)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_too_long() {
        let bulk = Bulk::new(1, 1);
        let begun = Instant::now();
        futures::future::join_all((0..10).map(|_| bulk.turn(1 << 20))).await;
        assert!(begun.elapsed() <= MOST + LEAST);
    }
}
