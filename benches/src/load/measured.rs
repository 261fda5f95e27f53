//! How a load went: counts, and latencies corrected for coordinated omission.
//!
//! A closed loop asks nothing while it waits, so a server that stops for a second spoils one latency of each caller and
//! hides all those that would have been asked meanwhile ("coordinated omission", Gil Tene). `Measured::corrected` adds
//! them as HdrHistogram does, by the mean time between two requests of a caller. An open loop needs no correction: there a
//! latency counts from the moment at which the request was due.

use hdrhistogram::Histogram;
use std::time::Duration;

/// How operations ended. What was refused was answered rightly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Done.
    pub done: u64,
    /// Refused: not there, not allowed.
    pub refused: u64,
    /// Refused because others' carts stood in the way, after all tries.
    pub contended: u64,
    /// Turned away because more was asked than can be done.
    pub overloaded: u64,
    /// Turned away for another reason: nobody to ask, too late.
    pub turned_away: u64,
    /// Nobody knows.
    pub unknown: u64,
}

impl Counts {
    /// All together.
    pub fn all(self) -> u64 {
        self.done + self.answered_no() + self.overloaded + self.turned_away + self.unknown
    }

    /// Answered, but with no.
    pub fn answered_no(self) -> u64 {
        self.refused + self.contended
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.done += other.done;
        self.refused += other.refused;
        self.contended += other.contended;
        self.overloaded += other.overloaded;
        self.turned_away += other.turned_away;
        self.unknown += other.unknown;
    }
}

/// Counts and latencies of a load.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How operations ended.
    pub counts: Counts,
    latency_us: Histogram<u64>,
}

impl Default for Measured {
    fn default() -> Self {
        Self { counts: Counts::default(), latency_us: histogram() }
    }
}

/// From a microsecond to ten minutes, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("bounds that make sense")
}

impl Measured {
    /// Notes a turn: its operations took this long together, and each of them no less.
    pub fn record(&mut self, took: Duration, counts: Counts) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.latency_us.saturating_record_n(us, counts.all());
        self.counts.add(counts);
    }

    /// Adds what another caller measured.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(other.counts);
        self.latency_us.add(&other.latency_us).expect("the same bounds");
    }

    /// With the latencies that a closed loop did not see.
    #[must_use]
    pub fn corrected(&self) -> Self {
        let mean_us = self.latency_us.mean() as u64;
        Self { counts: self.counts, latency_us: self.latency_us.clone_correct(mean_us.max(1)) }
    }

    /// The latency that a share of all stays within, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        self.latency_us.value_at_quantile(share) as f64 / 1_000.0
    }

    /// The longest, in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.latency_us.max() as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> Counts {
        Counts { done: 1, ..Counts::default() }
    }

    #[test]
    fn a_stop_of_a_second_is_not_hidden() {
        let mut measured = Measured::default();
        (0..999).for_each(|_| measured.record(Duration::from_millis(1), one()));
        measured.record(Duration::from_secs(1), one());
        assert!(measured.quantile_ms(0.99) < 2.0, "what the caller saw");
        let corrected = measured.corrected();
        assert!(corrected.quantile_ms(0.9) > 100.0, "what callers at a steady rate would have seen");
        assert_eq!(corrected.counts, measured.counts);
    }

    #[test]
    fn operations_of_a_batch_count_each() {
        let mut measured = Measured::default();
        measured.record(Duration::from_millis(5), Counts { done: 90, refused: 10, ..Counts::default() });
        measured.record(Duration::from_millis(50), one());
        let mut all = Measured::default();
        all.add(&measured);
        assert_eq!((all.counts.all(), all.counts.answered_no()), (101, 10));
        assert!(all.quantile_ms(0.5) < 6.0 && all.max_ms() > 49.0);
    }
}
