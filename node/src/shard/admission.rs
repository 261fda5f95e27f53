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
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a command may be under way while its shard is behind, about.
const BEARABLE: Duration = Duration::from_secs(1);

/// Over so long it is looked at how many are answered.
const WINDOW: Duration = Duration::from_millis(250);

/// The pace is that of the best of so many windows of late: a disk that stands still for a moment does not make a shard slow.
const WINDOWS: usize = 4;

/// So many may always be under way: a shard that did nothing for a while, as when its leader changed, is not judged by that.
const LEAST: usize = 256;

/// A shard in which at some moment fewer are under way is not behind.
const FEW: usize = LEAST / 2;

/// Asked by whoever brings a command.
#[derive(Debug)]
pub(super) struct Admission {
    most: AtomicUsize,
    under_way: AtomicUsize,
    /// Since it was last looked at: how many were answered, and whether few were under way at some moment.
    answered: AtomicUsize,
    caught_up: AtomicBool,
}

const QUEUED: u8 = 0;
const PROPOSED: u8 = 1;
const GIVEN_UP: u8 = 2;

/// One command on its way through a shard. It counts as under way until it is answered, its caller has gone, or it waits for
/// something else than the log.
#[derive(Debug)]
pub(super) struct Passage {
    admission: Arc<Admission>,
    counts: AtomicBool,
    stage: AtomicU8,
}

impl Passage {
    /// It is put into an entry now. False if its caller has given it up: then it must not be.
    pub(super) fn propose(&self) -> bool {
        self.ends_queueing(PROPOSED)
    }

    /// Nobody waits for it any more. True if it surely never was in an entry, and never will be.
    pub(super) fn give_up(&self) -> bool {
        self.ends_queueing(GIVEN_UP)
    }

    /// Whether [that](Self::give_up) happened in time.
    pub(super) fn is_given_up(&self) -> bool {
        self.stage.load(Ordering::SeqCst) == GIVEN_UP
    }

    fn ends_queueing(&self, stage: u8) -> bool {
        self.stage.compare_exchange(QUEUED, stage, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// It is told what came of it in the log. What nobody waits for is of no use to anyone.
    pub(super) fn answered(&self) {
        if self.leave() {
            self.admission.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is not under way any more, or not for now. Whether it was.
    pub(super) fn leave(&self) -> bool {
        let counted = self.counts.swap(false, Ordering::Relaxed);
        if counted {
            self.admission.left();
        }
        counted
    }

    /// It is under way again. It is not asked whether it may: it was let in once.
    pub(super) fn come_back(&self) {
        if !self.counts.swap(true, Ordering::Relaxed) {
            self.admission.under_way.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a caller holds: once it goes, its command counts no longer, and is not put into an entry any more.
#[derive(Debug)]
pub struct Caller(pub(super) Arc<Passage>);

impl Caller {
    /// It does not wait any longer. True if its command surely never was in an entry, and never will be.
    pub fn give_up(&self) -> bool {
        self.0.give_up()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.give_up();
        self.0.leave();
    }
}

impl Admission {
    /// Lets one more command in, if it may come.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Caller> {
        if self.under_way.fetch_add(1, Ordering::Relaxed) < self.most.load(Ordering::Relaxed) {
            return Some(self.passage(true));
        }
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Lets a command in whatever is under way: what shards tell each other ends what is under way, and is bounded by it.
    pub(super) fn let_pass(self: &Arc<Self>) -> Caller {
        self.passage(false)
    }

    fn passage(self: &Arc<Self>, counts: bool) -> Caller {
        let (counts, stage) = (AtomicBool::new(counts), AtomicU8::new(QUEUED));
        Caller(Arc::new(Passage { admission: Arc::clone(self), counts, stage }))
    }

    fn left(&self) {
        if self.under_way.fetch_sub(1, Ordering::Relaxed) <= FEW {
            self.caught_up.store(true, Ordering::Relaxed);
        }
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
    /// What could be answered within a bearable time, by each window of late.
    bearable: [usize; WINDOWS],
}

impl Pace {
    /// For so many under way at most.
    pub(super) fn new(room: usize) -> Self {
        let admission = Arc::new(Admission {
            most: AtomicUsize::new(room),
            under_way: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            caught_up: AtomicBool::new(true),
        });
        Self { admission, room, since: Instant::now(), bearable: [room; WINDOWS] }
    }

    /// What it decides.
    pub(super) fn admission(&self) -> Arc<Admission> {
        self.admission.clone()
    }

    /// Looks at how it goes. To be called with each entry.
    pub(super) fn look(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed < WINDOW {
            return;
        }
        self.since = Instant::now();
        let answered = self.admission.answered.swap(0, Ordering::Relaxed);
        let caught_up = self.admission.caught_up.swap(self.admission.under_way() < FEW, Ordering::Relaxed);
        self.bearable.rotate_right(1);
        self.bearable[0] = if caught_up { self.room } else { bearable(answered, elapsed) };
        let best = self.bearable.into_iter().max().unwrap_or(self.room);
        self.admission.most.store(best.clamp(LEAST.min(self.room), self.room), Ordering::Relaxed);
    }
}

/// What is answered within a bearable time, at that pace.
fn bearable(answered: usize, elapsed: Duration) -> usize {
    let most = answered as u128 * BEARABLE.as_micros() / elapsed.as_micros().max(1);
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 16_384;

    /// How many are let in that come at once.
    fn admitted(pace: &Pace) -> usize {
        std::iter::from_fn(|| pace.admission().admit()).collect::<Vec<_>>().len()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_behind_has_the_whole_room() {
        let mut pace = Pace::new(ROOM);
        assert_eq!(admitted(&pace), ROOM);
        for _ in 0..8 {
            let few: Vec<Caller> = (0..FEW - 1).map_while(|_| pace.admission().admit()).collect();
            tokio::time::advance(WINDOW).await;
            pace.look();
            few.iter().take(3).for_each(|caller| caller.0.answered());
        }
        assert_eq!(admitted(&pace), ROOM, "however little is asked");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_takes_no_more_than_it_can_answer_in_a_second() {
        let mut pace = Pace::new(ROOM);
        let admission = pace.admission();
        let crowd: Vec<Caller> = (0..9_000).map_while(|_| admission.admit()).collect();
        let mut window = async |answered: usize| {
            admission.answered.fetch_add(answered, Ordering::Relaxed);
            tokio::time::advance(WINDOW).await;
            pace.look();
            admission.most.load(Ordering::Relaxed)
        };
        for _ in 0..WINDOWS {
            assert_eq!(window(500).await, ROOM, "it was not behind a moment ago");
        }
        assert_eq!(window(500).await, 2_000, "2,000 a second");
        for _ in 1..WINDOWS {
            assert_eq!(window(0).await, 2_000, "it stands still for a moment");
        }
        assert_eq!(window(0).await, LEAST, "it stands still");
        assert_eq!(window(100_000).await, ROOM, "never more than there is room for");
        drop(crowd);
        assert_eq!(window(0).await, ROOM, "it has caught up");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_all_at_once_now_and_then_is_not_judged_by_the_time_between() {
        let mut pace = Pace::new(ROOM);
        for _ in 0..20 {
            let batch: Vec<Caller> = (0..5_000).map_while(|_| pace.admission().admit()).collect();
            assert_eq!(batch.len(), 5_000);
            pace.look();
            batch.iter().for_each(|caller| caller.0.answered());
            tokio::time::advance(Duration::from_secs(10)).await;
        }
    }

    #[test]
    fn what_was_given_up_is_never_proposed_and_what_was_proposed_never_surely_undone() {
        let admission = Pace::new(2).admission();
        let (first, second) = (admission.admit().expect("room"), admission.admit().expect("room"));
        assert!(first.0.give_up() && !first.0.propose());
        assert!(second.0.propose() && !second.0.give_up());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_answered_gone_or_set_aside_does_not_count() {
        let pace = Pace::new(2);
        let admission = pace.admission();
        let (first, second) = (admission.admit().expect("room"), admission.admit().expect("room"));
        assert!(admission.admit().is_none());
        let on_its_way = Arc::clone(&first.0);
        drop(first);
        assert_eq!(admission.under_way(), 1, "its caller has gone");
        second.0.leave();
        assert_eq!(admission.under_way(), 0);
        second.0.come_back();
        on_its_way.come_back();
        assert_eq!(admission.under_way(), 2);
        drop(on_its_way);
        second.0.answered();
        assert_eq!((admission.under_way(), admission.answered.load(Ordering::Relaxed)), (0, 1));
        let message = admission.let_pass();
        assert_eq!(admission.under_way(), 0, "what shards tell each other does not count");
        drop(message);
        assert_eq!(admission.under_way(), 0);
    }
}
