//! The time a leader writes into entries.
//!
//! A stamp is an anchor taken when leadership began plus monotonic time since. The anchor is the median of a
//! majority's clocks, if a majority lies within the bound of it; so one wild clock, the leader's own included, can't
//! move it. A stamp that falls further than the bound behind the fresh median re-anchors, forward only.

use crate::environment::Clock;
use earmark_ledger::{
    planted::{self, Bug},
    types::TimeMs,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// A sample older than this says nothing any more.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(10);

/// What a node said of its clocks this long ago may have changed; it says so five times a second.
const AGREEMENT_AGE_MAX: Duration = Duration::from_secs(2);

/// What this node knows of the wall clocks of its peers.
pub struct Clocks {
    own: Arc<dyn Clock>,
    nodes: usize,
    bound: Duration,
    samples: Mutex<BTreeMap<u32, Sample>>,
    /// Nodes that said that the clocks they know agree, and when.
    agreeing: Mutex<BTreeMap<u32, Instant>>,
    /// The last median there was.
    last: Mutex<Option<(TimeMs, Instant)>>,
}

#[derive(Clone, Copy)]
struct Sample {
    wall_ms: u64,
    at: Instant,
}

impl Clocks {
    /// Clocks of a cluster of `nodes` voters, of which a majority must lie within `bound` of the median.
    pub fn new(own: Arc<dyn Clock>, nodes: usize, bound: Duration) -> Self {
        Self { own, nodes, bound, samples: Mutex::default(), agreeing: Mutex::default(), last: Mutex::default() }
    }

    /// Notes that `node`'s clock showed `wall_ms` in the middle of a call that took from `sent` to now.
    pub fn sample(&self, node: u32, wall_ms: u64, sent: Instant) {
        let now = Instant::now();
        // The clock was read at some moment of the call: one that took longer than the bound says too little.
        if now.duration_since(sent) > self.bound {
            return;
        }
        let half = now.duration_since(sent) / 2;
        let at = now - half;
        self.samples.lock().expect("no panic holds it").insert(node, Sample { wall_ms, at });
    }

    /// Notes whether a majority of the clocks that `node` knows agrees, as it says.
    pub fn note_agreement(&self, node: u32, agree: bool) {
        let mut agreeing = self.agreeing.lock().expect("no panic holds it");
        if agree {
            agreeing.insert(node, Instant::now());
        } else {
            agreeing.remove(&node);
        }
    }

    /// Whether a majority of the clocks that `node` knows agrees, as it said lately.
    pub fn agree_at(&self, node: u32) -> bool {
        let agreeing = self.agreeing.lock().expect("no panic holds it");
        agreeing.get(&node).is_some_and(|said| said.elapsed() <= AGREEMENT_AGE_MAX)
    }

    /// The median of a majority's clocks now, if a majority lies within the bound of it.
    pub fn median(&self) -> Option<TimeMs> {
        if planted::on(Bug::StampOwnClock) {
            return Some(TimeMs(self.own.wall_ms()));
        }
        let now = Instant::now();
        let mut readings = vec![self.own.wall_ms()];
        for sample in self.samples.lock().expect("no panic holds it").values() {
            let age = now.duration_since(sample.at);
            if age <= SAMPLE_AGE_MAX {
                readings.push(sample.wall_ms.saturating_add(millis(age)));
            }
        }
        readings.sort_unstable();
        if planted::on(Bug::StampWildClock) {
            return readings.last().copied().map(TimeMs);
        }
        let median = readings[(readings.len() - 1) / 2];
        let near = readings.iter().filter(|reading| reading.abs_diff(median) <= millis(self.bound)).count();
        let median = (near > self.nodes / 2).then_some(TimeMs(median));
        if let Some(median) = median {
            *self.last.lock().expect("no panic holds it") = Some((median, now));
        }
        median
    }

    /// About what the time is, also where no majority's clocks are known any more: the last median and what has passed
    /// since. Nothing may end by it: good for deciding whether to ask for a stamp, and for what callers are told the time is.
    /// None if there never was one.
    pub fn about(&self) -> Option<TimeMs> {
        self.median().or_else(|| {
            let (median, at) = (*self.last.lock().expect("no panic holds it"))?;
            Some(TimeMs(median.0.saturating_add(millis(at.elapsed()))))
        })
    }

    /// The bound clocks are held to.
    pub fn bound(&self) -> Duration {
        self.bound
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One leadership's time. A new leadership takes a new one.
pub struct Stamp {
    clocks: Arc<Clocks>,
    anchor: Option<(u64, TimeMs, Instant)>,
}

impl Stamp {
    /// Not anchored yet.
    pub fn new(clocks: Arc<Clocks>) -> Self {
        Self { clocks, anchor: None }
    }

    /// The time to write into an entry proposed now in `term`; none while no majority of clocks agrees.
    pub fn now(&mut self, term: u64) -> Option<TimeMs> {
        let now = Instant::now();
        let fresh = self.clocks.median();
        let stamp = match self.anchor {
            Some((anchored, base, at)) if anchored == term => TimeMs(base.0.saturating_add(millis(now - at))),
            // Leadership began: the first stamp needs the agreement of a majority.
            _ => {
                let base = fresh?;
                self.anchor = Some((term, base, now));
                base
            }
        };
        match fresh {
            Some(fresh) if fresh.0 > stamp.0.saturating_add(millis(self.clocks.bound)) => {
                tracing::warn!(
                    stamp = stamp.0,
                    median = fresh.0,
                    "the stamp fell behind the clocks of a majority: anchored anew"
                );
                self.anchor = Some((term, fresh, now));
                Some(fresh)
            }
            _ => Some(stamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn wall_ms(&self) -> u64 {
            self.0.load(SeqCst)
        }
    }

    fn clocks(own: u64) -> (Arc<Hand>, Arc<Clocks>) {
        let hand = Arc::new(Hand(AtomicU64::new(own)));
        let clocks = Clocks::new(hand.clone(), 3, Duration::from_millis(500));
        (hand, Arc::new(clocks))
    }

    #[tokio::test(start_paused = true)]
    async fn no_stamp_before_a_majority_of_clocks_agrees() {
        let (_, clocks) = clocks(1_000_000);
        let mut stamp = Stamp::new(clocks.clone());
        assert_eq!(stamp.now(1), None);
        clocks.sample(2, 9_000_000, Instant::now());
        assert_eq!(stamp.now(1), None, "two clocks that differ are no majority of three");
        clocks.sample(3, 1_000_100, Instant::now());
        assert_eq!(stamp.now(1), Some(TimeMs(1_000_100)));
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_when_nothing_is_heard_of_the_others() {
        let (_, clocks) = clocks(1_000_000);
        assert_eq!(clocks.about(), None);
        clocks.sample(2, 1_000_000, Instant::now());
        assert_eq!(clocks.median(), Some(TimeMs(1_000_000)));
        let silent = SAMPLE_AGE_MAX + Duration::from_secs(3);
        tokio::time::advance(silent).await;
        assert_eq!((clocks.median(), clocks.about()), (None, Some(TimeMs(1_000_000 + millis(silent)))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_node_said_of_its_clocks_counts_for_a_while() {
        let (_, clocks) = clocks(1_000_000);
        assert!(!clocks.agree_at(2));
        clocks.note_agreement(2, true);
        assert!(clocks.agree_at(2) && !clocks.agree_at(3));
        tokio::time::advance(AGREEMENT_AGE_MAX + Duration::from_millis(1)).await;
        assert!(!clocks.agree_at(2), "too long ago");
        clocks.note_agreement(2, true);
        clocks.note_agreement(2, false);
        assert!(!clocks.agree_at(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_whose_clock_jumps_keeps_its_time() {
        for jump in [4_600_000, 1_000] {
            let (hand, clocks) = clocks(1_000_000);
            clocks.sample(2, 1_000_000, Instant::now());
            clocks.sample(3, 1_000_000, Instant::now());
            let mut stamp = Stamp::new(clocks);
            assert_eq!(stamp.now(1), Some(TimeMs(1_000_000)));
            hand.0.store(jump, SeqCst);
            tokio::time::advance(Duration::from_millis(700)).await;
            assert_eq!(stamp.now(1), Some(TimeMs(1_000_700)));
            assert_eq!(stamp.now(2), Some(TimeMs(1_000_700)), "a new leadership asks the majority again");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stamp_that_falls_behind_moves_forward_only() {
        let (hand, clocks) = clocks(1_000_000);
        clocks.sample(2, 1_000_000, Instant::now());
        let mut stamp = Stamp::new(clocks.clone());
        assert_eq!(stamp.now(1), Some(TimeMs(1_000_000)));
        hand.0.store(1_010_000, SeqCst);
        clocks.sample(2, 1_010_000, Instant::now());
        assert_eq!(stamp.now(1), Some(TimeMs(1_010_000)));
        hand.0.store(900_000, SeqCst);
        clocks.sample(2, 900_000, Instant::now());
        assert_eq!(stamp.now(1), Some(TimeMs(1_010_000)), "never back");
    }
}
