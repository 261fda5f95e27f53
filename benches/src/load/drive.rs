//! Callers that take turns: a closed loop as fast as answers come, an open loop as turns are due.

use super::measured::{Counts, Measured};
use crate::Failed;
use rand::{SeedableRng, rngs::SmallRng};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// A load that nobody ends, ends then.
const GOING_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Who takes turns: callers of a cluster, or of another system that is measured in the same way.
pub trait Callers: Send + Sync + 'static {
    /// Turns under way at once; in an open loop, at most.
    fn outstanding(&self) -> usize;

    /// Turns a second that are due; none for a closed loop.
    fn rate(&self) -> Option<f64> {
        None
    }

    /// One turn of the caller of that number.
    fn turn(&self, caller: usize, random: &mut SmallRng) -> impl Future<Output = Counts> + Send;
}

/// Takes turns for a while; what is under way then is waited for and counted.
///
/// With a rate each turn has a moment at which it is due, whether earlier turns have ended or not, and its latency counts
/// from there. If all callers are busy at that moment, it begins late, and the wait counts.
///
/// # Errors
/// A caller broke down.
pub async fn drive<C: Callers>(crew: &Arc<C>, length: Duration, seed: u64) -> Result<(Measured, Duration), Failed> {
    let begun = Instant::now();
    let mut callers = start(crew, begun..begun + length, &Arc::default(), seed);
    Ok((gather(&mut callers).await?, begun.elapsed()))
}

/// A load that goes on behind what is measured, until it is told to end.
pub struct Going {
    callers: JoinSet<Measured>,
    over: Arc<AtomicBool>,
}

impl Going {
    /// Begins.
    pub fn begin<C: Callers>(crew: &Arc<C>, seed: u64) -> Self {
        let (begun, over) = (Instant::now(), Arc::default());
        Self { callers: start(crew, begun..begun + GOING_MAX, &over, seed), over }
    }

    /// Ends; what is under way is waited for and counted.
    ///
    /// # Errors
    /// A caller broke down.
    pub async fn end(mut self) -> Result<Measured, Failed> {
        self.over.store(true, Ordering::Relaxed);
        gather(&mut self.callers).await
    }
}

fn start<C: Callers>(crew: &Arc<C>, span: Range<Instant>, over: &Arc<AtomicBool>, seed: u64) -> JoinSet<Measured> {
    let turns = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..crew.outstanding().max(1) {
        let random = SmallRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(caller as u64));
        let (crew, turns) = (Arc::clone(crew), Arc::clone(&turns));
        let (span, over) = (span.clone(), Arc::clone(over));
        callers.spawn(async move {
            match crew.rate() {
                None => closed(&*crew, caller, random, span.end, &over).await,
                Some(rate) => open(&*crew, caller, random, span, &over, rate, &turns).await,
            }
        });
    }
    callers
}

async fn gather(callers: &mut JoinSet<Measured>) -> Result<Measured, Failed> {
    let mut all = Measured::default();
    while let Some(measured) = callers.join_next().await {
        all.add(&measured?);
    }
    Ok(all)
}

async fn closed(
    crew: &impl Callers,
    caller: usize,
    mut random: SmallRng,
    until: Instant,
    over: &AtomicBool,
) -> Measured {
    let mut measured = Measured::default();
    while Instant::now() < until && !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let counts = crew.turn(caller, &mut random).await;
        measured.record(begun.elapsed(), counts);
    }
    measured
}

async fn open(
    crew: &impl Callers,
    caller: usize,
    mut random: SmallRng,
    span: Range<Instant>,
    over: &AtomicBool,
    rate: f64,
    turns: &AtomicU64,
) -> Measured {
    let mut measured = Measured::default();
    loop {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let due = span.start + Duration::from_secs_f64(turn as f64 / rate);
        if due >= span.end {
            return measured;
        }
        sleep_until(due).await;
        if over.load(Ordering::Relaxed) {
            return measured;
        }
        let counts = crew.turn(caller, &mut random).await;
        measured.record(due.elapsed(), counts);
    }
}
