//! Callers that take turns: a closed loop as fast as answers come, an open loop as turns are due.

use super::measured::{Counts, Measured};
use crate::Failed;
use rand::{SeedableRng, rngs::SmallRng};
use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// A histogram takes a quarter of a MiB: callers share so many.
const NOTEBOOKS: usize = 64;

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
    let measured = start(crew, begun..begun + length, &Arc::default(), seed).gather().await?;
    Ok((measured, begun.elapsed()))
}

/// A load that goes on behind what is measured, until it is told to end.
pub struct Going {
    callers: Crowd,
    over: Arc<AtomicBool>,
}

impl Going {
    /// Begins.
    pub fn begin<C: Callers>(crew: &Arc<C>, seed: u64) -> Self {
        let (begun, over) = (Instant::now(), Arc::default());
        Self { callers: start(crew, begun..begun + GOING_MAX, &over, seed), over }
    }

    /// What has ended so far.
    pub fn so_far(&self) -> Counts {
        let mut counts = Counts::default();
        self.callers.notebooks.iter().for_each(|notebook| notebook.read(|measured| counts.add(measured.counts)));
        counts
    }

    /// Ends; what is under way is waited for and counted.
    ///
    /// # Errors
    /// A caller broke down.
    pub async fn end(self) -> Result<Measured, Failed> {
        self.over.store(true, Ordering::Relaxed);
        self.callers.gather().await
    }
}

/// Callers at work, and what they note.
struct Crowd {
    callers: JoinSet<()>,
    notebooks: Vec<Notebook>,
}

impl Crowd {
    /// What all noted, once all have ended.
    async fn gather(mut self) -> Result<Measured, Failed> {
        while let Some(ended) = self.callers.join_next().await {
            ended?;
        }
        let mut all = Measured::default();
        self.notebooks.iter().for_each(|notebook| notebook.read(|measured| all.add(measured)));
        Ok(all)
    }
}

/// What some of the callers note.
#[derive(Clone, Default)]
struct Notebook(Arc<Mutex<Measured>>);

impl Notebook {
    fn record(&self, took: Duration, counts: Counts) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record(took, counts);
    }

    fn read(&self, read: impl FnOnce(&Measured)) {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn start<C: Callers>(crew: &Arc<C>, span: Range<Instant>, over: &Arc<AtomicBool>, seed: u64) -> Crowd {
    let turns = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    let notebooks: Vec<Notebook> = (0..NOTEBOOKS).map(|_| Notebook::default()).collect();
    for caller in 0..crew.outstanding().max(1) {
        let random = SmallRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(caller as u64));
        let (crew, turns) = (Arc::clone(crew), Arc::clone(&turns));
        let (span, over, notebook) = (span.clone(), Arc::clone(over), notebooks[caller % NOTEBOOKS].clone());
        callers.spawn(async move {
            match crew.rate() {
                None => closed(&*crew, caller, random, span.end, &over, &notebook).await,
                Some(rate) => open(&*crew, caller, random, span, (&over, &notebook), rate, &turns).await,
            }
        });
    }
    Crowd { callers, notebooks }
}

async fn closed(
    crew: &impl Callers,
    caller: usize,
    mut random: SmallRng,
    until: Instant,
    over: &AtomicBool,
    notebook: &Notebook,
) {
    // The end of one turn is the beginning of the next: to look at the clock is a good part of what a quick turn takes.
    let mut begun = Instant::now();
    while begun < until && !over.load(Ordering::Relaxed) {
        let counts = crew.turn(caller, &mut random).await;
        let ended = Instant::now();
        notebook.record(ended - begun, counts);
        begun = ended;
    }
}

async fn open(
    crew: &impl Callers,
    caller: usize,
    mut random: SmallRng,
    span: Range<Instant>,
    (over, notebook): (&AtomicBool, &Notebook),
    rate: f64,
    turns: &AtomicU64,
) {
    loop {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let due = span.start + Duration::from_secs_f64(turn as f64 / rate);
        if due >= span.end {
            return;
        }
        if due > Instant::now() {
            sleep_until(due).await;
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
        let counts = crew.turn(caller, &mut random).await;
        notebook.record(due.elapsed(), counts);
    }
}
