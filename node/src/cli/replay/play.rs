//! Plays the reservations, each a basket or a line: it is reserved, then committed or released, and what became of it is
//! counted by pool.

use super::Mode;
use super::crowd;
use super::factor::Share;
use super::orders::{Line, Orders};
use super::persist::{Asking, End};
use crate::cli::Failure;
use earmark_client::{Client, ReservationId};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How to play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    /// Reservations in flight.
    pub(super) concurrency: u32,
    /// Which are released instead of committed.
    pub(super) abandon: Share,
    pub(super) seed: u64,
}

impl Plan {
    /// How many reservations there are.
    pub(super) fn reservations(&self, orders: &Orders) -> usize {
        match self.mode {
            Mode::Cart => orders.orders,
            Mode::Line => orders.lines.len(),
        }
    }

    /// The lines of one.
    fn lines(self, orders: &Orders, index: usize) -> Range<usize> {
        match self.mode {
            Mode::Cart => orders.order(index),
            Mode::Line => index..index + 1,
        }
    }
}

/// What the cluster told of the units of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) committed: u64,
    pub(super) released: u64,
    pub(super) refused: u64,
    /// Nobody could tell.
    pub(super) unknown: u64,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Played {
    /// By pool.
    pub(super) tallies: Vec<Tally>,
    pub(super) committed: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    pub(super) elapsed: Duration,
    /// Microseconds from asking for a reserve to its answer.
    pub(super) reserve_us: Histogram<u64>,
}

/// The same while it is being counted.
#[derive(Debug, Default)]
struct Counters {
    committed: AtomicU64,
    released: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
}

impl Counters {
    fn read(&self) -> Tally {
        Tally {
            committed: self.committed.load(Ordering::Relaxed),
            released: self.released.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
        }
    }
}

/// Everything a reservation needs to be played.
struct Stage {
    client: Client,
    orders: Arc<Orders>,
    plan: Plan,
    bar: ProgressBar,
    pools: Vec<Counters>,
    reservations: Counters,
    reserve_us: Mutex<Histogram<u64>>,
}

/// What became of a reservation.
enum Fate {
    Committed,
    Released,
    Refused,
    Unknown,
}

/// Plays every reservation, in order, `concurrency` at once.
pub(super) async fn play(
    client: &Client,
    orders: &Arc<Orders>,
    plan: Plan,
    bar: &ProgressBar,
) -> Result<Played, Failure> {
    let stage = Arc::new(Stage {
        client: client.clone(),
        orders: Arc::clone(orders),
        plan,
        bar: bar.clone(),
        pools: orders.pools.iter().map(|_| Counters::default()).collect(),
        reservations: Counters::default(),
        reserve_us: Mutex::new(latencies()),
    });
    let start = Instant::now();
    let worker = Arc::clone(&stage);
    let width = usize::try_from(plan.concurrency).unwrap_or(usize::MAX);
    crowd::each(plan.reservations(orders), width, move |index| {
        let stage = Arc::clone(&worker);
        async move { stage.play(plan.lines(&stage.orders, index)).await }
    })
    .await?;
    let elapsed = start.elapsed();
    bar.finish_and_clear();
    let reservations = stage.reservations.read();
    let reserve_us = stage.reserve_us.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Played {
        tallies: stage.pools.iter().map(Counters::read).collect(),
        committed: reservations.committed,
        refused: reservations.refused,
        unknown: reservations.unknown,
        elapsed,
        reserve_us,
    })
}

/// From a microsecond to two minutes, longer than any operation may take.
fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("the bounds are in order")
}

impl Stage {
    async fn play(&self, lines: Range<usize>) -> Result<(), Failure> {
        let lines = &self.orders.lines[lines];
        let fate = match self.reserve(lines).await? {
            End::Done(id) => self.end(lines[0], id).await?,
            End::Refused => Fate::Refused,
            End::Unknown => Fate::Unknown,
        };
        let counter = |counters: &'_ Counters, units: u64| {
            let counter = match fate {
                Fate::Committed => &counters.committed,
                Fate::Released => &counters.released,
                Fate::Refused => &counters.refused,
                Fate::Unknown => &counters.unknown,
            };
            counter.fetch_add(units, Ordering::Relaxed);
        };
        lines.iter().for_each(|line| counter(&self.pools[line.pool], line.units));
        counter(&self.reservations, 1);
        self.bar.inc(1);
        Ok(())
    }

    async fn reserve(&self, lines: &[Line]) -> Result<End<ReservationId>, Failure> {
        let owner = self.orders.owners[lines[0].owner].as_str();
        let mut asking = Asking::begin();
        loop {
            let mut reserve = self.client.reserve().owner(owner);
            for line in lines {
                let pool = &self.orders.pools[line.pool];
                reserve = reserve.line(self.orders.skus[pool.sku].as_str(), pool.location.as_str(), line.units);
            }
            if let Some(id) = asking.id() {
                reserve = reserve.id(id);
            }
            let start = Instant::now();
            let answer = reserve.send().await;
            self.note_latency(start.elapsed());
            if let Some(end) = asking.told(answer.map(|reservation| reservation.id())).await? {
                return Ok(end);
            }
        }
    }

    /// Commits, or releases what is abandoned.
    async fn end(&self, first: Line, id: ReservationId) -> Result<Fate, Failure> {
        let abandoned = self.plan.abandon.takes(self.plan.seed, first.number);
        let mut asking = Asking::begin();
        let end = loop {
            let answer =
                if abandoned { self.client.release(id).send().await } else { self.client.commit(id).send().await };
            if let Some(end) = asking.told(answer).await? {
                break end;
            }
        };
        Ok(match end {
            End::Unknown => Fate::Unknown,
            // A release is refused when the hold expired meanwhile: the units are back all the same.
            End::Done(_) | End::Refused if abandoned => Fate::Released,
            End::Done(_) => Fate::Committed,
            End::Refused => Fate::Refused,
        })
    }

    fn note_latency(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.reserve_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_every_size_are_told() {
        let mut latencies = latencies();
        for us in [50, 30_000, 9_000_000, u64::MAX] {
            latencies.saturating_record(us);
        }
        let told = |share| latencies.value_at_quantile(share);
        assert!((30_000..30_100).contains(&told(0.5)), "{}", told(0.5));
        assert!((9_000_000..9_010_000).contains(&told(0.75)), "{}", told(0.75));
        assert!(told(1.0) >= 120_000_000);
    }
}
