//! How many commands may wait for a shard: as many as the queue holds, but while it is behind no more than it takes within a
//! second.
//!
//! A queue that is bounded by its room alone fills up as soon as more is asked than can be done. From then on everything waits
//! for as long as the whole queue takes, which is mostly longer than whoever asked: all of it is done in vain, and it takes as long again
//! until that is over. So what could not be answered soon is refused at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a command may wait while its shard is behind, about.
const BEARABLE: Duration = Duration::from_secs(1);

/// Over so long it is looked at how much is taken.
const WINDOW: Duration = Duration::from_millis(250);

/// So many may always wait: a shard that did nothing for a while, as when its leader changed, is not judged by that.
const LEAST: usize = 256;

/// Asked by whoever brings a command.
#[derive(Debug)]
pub struct Admission {
    most: AtomicUsize,
}

impl Admission {
    /// Whether another one may wait.
    pub fn admits(&self, waiting: usize) -> bool {
        waiting < self.most.load(Ordering::Relaxed)
    }
}

/// Told by whoever takes them.
#[derive(Debug)]
pub struct Pace {
    admission: Arc<Admission>,
    room: usize,
    since: Instant,
    taken: usize,
    /// There was a moment when none waited.
    caught_up: bool,
}

impl Pace {
    /// For a queue with that much room.
    pub fn new(room: usize) -> Self {
        let admission = Arc::new(Admission { most: AtomicUsize::new(room) });
        Self { admission, room, since: Instant::now(), taken: 0, caught_up: true }
    }

    /// What it decides.
    pub fn admission(&self) -> Arc<Admission> {
        self.admission.clone()
    }

    /// So many were taken from the queue, and so many still wait in it.
    pub fn took(&mut self, taken: usize, waiting: usize) {
        self.taken += taken;
        self.caught_up |= waiting == 0;
        let elapsed = self.since.elapsed();
        if elapsed < WINDOW {
            return;
        }
        let most = if self.caught_up { self.room } else { self.bearable(elapsed) };
        self.admission.most.store(most, Ordering::Relaxed);
        (self.since, self.taken, self.caught_up) = (Instant::now(), 0, false);
    }

    /// What is taken within a bearable time, at the pace of late.
    fn bearable(&self, elapsed: Duration) -> usize {
        let most = self.taken as u128 * BEARABLE.as_micros() / elapsed.as_micros().max(1);
        usize::try_from(most).unwrap_or(usize::MAX).clamp(LEAST.min(self.room), self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 16_384;

    async fn windows(pace: &mut Pace, count: usize, taken: usize, waiting: usize) {
        for _ in 0..count {
            tokio::time::advance(WINDOW).await;
            pace.took(taken, waiting);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_behind_has_the_whole_room() {
        let mut pace = Pace::new(ROOM);
        let admission = pace.admission();
        assert!(admission.admits(ROOM - 1) && !admission.admits(ROOM));
        windows(&mut pace, 8, 3, 0).await;
        assert!(admission.admits(ROOM - 1), "however little is asked");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_takes_no_more_than_it_can_do_in_a_second() {
        let mut pace = Pace::new(ROOM);
        let admission = pace.admission();
        // The first window began with an empty queue.
        windows(&mut pace, 2, 500, 9_000).await;
        assert!(admission.admits(1_999) && !admission.admits(2_000), "2,000 a second");
        windows(&mut pace, 1, 0, 9_000).await;
        assert!(admission.admits(LEAST - 1) && !admission.admits(LEAST), "though nothing was taken of late");
        windows(&mut pace, 1, 100_000, 9_000).await;
        assert!(admission.admits(ROOM - 1), "never more than there is room for");
        windows(&mut pace, 1, 500, 9_000).await;
        windows(&mut pace, 1, 500, 0).await;
        assert!(admission.admits(ROOM - 1), "it has caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_looked_at_over_a_while() {
        let mut pace = Pace::new(ROOM);
        let admission = pace.admission();
        windows(&mut pace, 1, 10, 0).await;
        for _ in 0..10 {
            tokio::time::advance(WINDOW / 10).await;
            pace.took(50, 5_000);
        }
        assert!(admission.admits(1_999) && !admission.admits(2_000));
    }
}
