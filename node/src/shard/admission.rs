//! How many commands may be under way in a shard, from when they come until they are answered: as many as the queue holds, but
//! while it is behind no more than are answered within a second.
//!
//! A queue that is bounded by its room alone fills up as soon as more is asked than can be done. From then on everything waits
//! for as long as the whole queue takes, which is mostly longer than whoever asked: all of it is done in vain, and it takes as long again
//! until that is over. So what could not be answered soon is refused at once. What is in entries on their way counts as well: it
//! waits no less than what is in the queue in front of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a command may be under way while its shard is behind, about.
const BEARABLE: Duration = Duration::from_secs(1);

/// Over so long it is looked at how many are answered.
const WINDOW: Duration = Duration::from_millis(250);

/// So many may always be under way: a shard that did nothing for a while, as when its leader changed, is not judged by that.
/// With fewer it is not behind.
const LEAST: usize = 256;

/// Asked by whoever brings a command.
#[derive(Debug)]
pub(super) struct Admission {
    most: AtomicUsize,
    under_way: AtomicUsize,
    /// Since it was last looked at.
    answered: AtomicUsize,
}

/// A command's place among those under way, until it is answered or given up.
#[derive(Debug)]
pub(super) struct Place(Arc<Admission>);

impl Place {
    /// The command is answered while someone waits for that. What was given up or turned away is of no use to anyone.
    pub(super) fn answered(self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// A place for one more command, if it may come.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Place> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        if before < self.most.load(Ordering::Relaxed) {
            return Some(Place(Arc::clone(self)));
        }
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// How many are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

/// Told by whoever takes them.
#[derive(Debug)]
pub(super) struct Pace {
    admission: Arc<Admission>,
    room: usize,
    since: Instant,
    /// There was a moment when few were under way.
    caught_up: bool,
}

impl Pace {
    /// For so many under way at most.
    pub(super) fn new(room: usize) -> Self {
        let (most, under_way, answered) = (AtomicUsize::new(room), AtomicUsize::new(0), AtomicUsize::new(0));
        let admission = Arc::new(Admission { most, under_way, answered });
        Self { admission, room, since: Instant::now(), caught_up: true }
    }

    /// What it decides.
    pub(super) fn admission(&self) -> Arc<Admission> {
        self.admission.clone()
    }

    /// Looks at how it goes. To be called with each entry.
    pub(super) fn look(&mut self) {
        self.caught_up |= self.admission.under_way() < LEAST;
        let elapsed = self.since.elapsed();
        if elapsed < WINDOW {
            return;
        }
        let answered = self.admission.answered.swap(0, Ordering::Relaxed);
        let most = if self.caught_up { self.room } else { self.bearable(answered, elapsed) };
        self.admission.most.store(most, Ordering::Relaxed);
        (self.since, self.caught_up) = (Instant::now(), false);
    }

    /// What is answered within a bearable time, at the pace of late.
    fn bearable(&self, answered: usize, elapsed: Duration) -> usize {
        let most = answered as u128 * BEARABLE.as_micros() / elapsed.as_micros().max(1);
        usize::try_from(most).unwrap_or(usize::MAX).clamp(LEAST.min(self.room), self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 16_384;

    /// Some windows in which so many are answered, while so many others stay under way.
    async fn windows(pace: &mut Pace, count: usize, answered: usize, waiting: usize) {
        let admission = pace.admission();
        for _ in 0..count {
            let others: Vec<Place> = (0..waiting).map_while(|_| admission.admit()).collect();
            admission.answered.fetch_add(answered, Ordering::Relaxed);
            tokio::time::advance(WINDOW).await;
            pace.look();
            drop(others);
        }
    }

    /// How many are let in that come at once.
    fn admitted(pace: &Pace) -> usize {
        let places: Vec<Place> = std::iter::from_fn(|| pace.admission().admit()).collect();
        places.len()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_behind_has_the_whole_room() {
        let mut pace = Pace::new(ROOM);
        assert_eq!(admitted(&pace), ROOM);
        windows(&mut pace, 8, 3, LEAST - 1).await;
        assert_eq!(admitted(&pace), ROOM, "however little is asked");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_takes_no_more_than_it_can_answer_in_a_second() {
        let mut pace = Pace::new(ROOM);
        // The first window began with none under way.
        windows(&mut pace, 2, 500, 9_000).await;
        assert_eq!(admitted(&pace), 2_000, "2,000 a second");
        windows(&mut pace, 1, 0, 9_000).await;
        assert_eq!(admitted(&pace), LEAST, "though nothing was answered of late");
        windows(&mut pace, 1, 100_000, 9_000).await;
        assert_eq!(admitted(&pace), ROOM, "never more than there is room for");
        windows(&mut pace, 1, 500, 9_000).await;
        windows(&mut pace, 1, 500, 10).await;
        assert_eq!(admitted(&pace), ROOM, "it has caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_once_its_command_is_answered() {
        let pace = Pace::new(2);
        let admission = pace.admission();
        let (first, second) = (admission.admit().expect("room"), admission.admit().expect("room"));
        assert!(admission.admit().is_none());
        first.answered();
        assert_eq!((admission.under_way(), admission.answered.load(Ordering::Relaxed)), (1, 1));
        let third = admission.admit().expect("room again");
        drop((second, third));
        assert_eq!((admission.under_way(), admission.answered.load(Ordering::Relaxed)), (0, 1), "they were given up");
    }
}
