//! One run: a cluster is formed, clients work while faults come and go, and at the end everything has to be well.

use crate::{
    after,
    calm::Calm,
    clock::EPOCH_MS,
    cluster::{self, Host, Order},
    dice::Dice,
    faults::Faults,
    journal,
    network::Drawn,
    operator::{self, Operator},
    recorder::Recorder,
    report::{Report, Times},
    scenario::Scenario,
    trace::Trace,
    watch::{CLOCK_AHEAD_MS_MAX, Watch},
    workload::{self, Crowd},
};
use earmark_jepsen::history::History;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};
use turmoil::Sim;

/// A simulated connection buffers so many writes.
const TCP_CAPACITY: usize = 65_536;

/// Forming takes less than this, faults or not.
const FORM_MAX: Duration = Duration::from_secs(60);

/// Between two looks at who leads.
const LOOK_EVERY_MS: u64 = 20;

/// After the faults: reading thousands of records one by one takes a while, and holds may have to end first.
const AFTER_MAX: Duration = Duration::from_secs(600);

/// Why a run ended early that had shown enough.
const ENOUGH: &str = "a promise was broken";

/// Of a planted bug more than one broken promise would say nothing new, so the run ends at once.
fn first_is_enough() -> bool {
    #[cfg(feature = "planted")]
    let planted = earmark_ledger::planted::planted().is_some();
    #[cfg(not(feature = "planted"))]
    let planted = false;
    planted
}

/// Where the history of a run is written down.
pub fn recorder(scenario: &Scenario, trace: &Trace) -> Recorder {
    // Once by the SDK's idea of the servers' time, once by the servers' own.
    Recorder::new(trace.clone(), EPOCH_MS, scenario.timeout_ms + 2 * CLOCK_AHEAD_MS_MAX)
}

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario, trace: &Trace, recorder: &Recorder) -> (Report, History) {
    earmark_node::shard::runtime::seed(scenario.seed);
    let watch = Arc::new(Watch::new(trace.clone()));
    let crowd = Crowd::new(scenario, recorder.clone());
    let mut sim = turmoil::Builder::new()
        .rng_seed(scenario.seed)
        .tick_duration(Duration::from_millis(scenario.tick_ms))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(scenario.latency_ms_max))
        .simulation_duration(Duration::from_secs(100_000))
        .tcp_capacity(TCP_CAPACITY)
        .enable_random_order()
        .epoch(UNIX_EPOCH + Duration::from_millis(EPOCH_MS))
        .build();
    let hosts = cluster::nodes(&mut sim, scenario, trace, &watch);
    let stage = Stage::default();
    let wires = cluster::machines(&mut sim, &crowd, trace, &stage.open);
    let reseeds = operator(&mut sim, &crowd, trace, &watch, &stage);
    let calm = Calm::new(scenario);
    let times = Times::default();
    let mut stepper = Stepper { sim, trace, watch: &watch, calm, hosts: &hosts, times, tick_ms: scenario.tick_ms };
    let mut faults = Faults::new(scenario, trace.clone(), wires, &watch);
    let problem = stepper.play(scenario, &crowd, &stage, &mut faults).err();
    let (times, calm_looks) = (stepper.times, stepper.calm.looked_at());
    drop(stepper);
    if let Some(problem) = problem.filter(|problem| problem != ENOUGH) {
        watch.broke("liveness", "run", problem);
    }
    let history = recorder.history();
    let mut met = faults.met(&hosts);
    met.insert("reseeds".to_owned(), reseeds.load(Ordering::Relaxed));
    met.insert("batched".to_owned(), crowd.batched.load(Ordering::Relaxed));
    let mut report = Report::new(scenario, &history, &watch, (faults.counts(), met), &times, trace);
    report.checks.insert("calm".to_owned(), calm_looks);
    (report, history)
}

/// How far a run is.
#[derive(Clone, Default)]
struct Stage {
    /// The cluster is formed and stocked, and clients may come.
    open: Arc<AtomicBool>,
    /// Clients have gone and faults are over.
    quiet: Arc<AtomicBool>,
    /// Everything was looked at.
    over: Arc<AtomicBool>,
}

/// Whoever forms the cluster, stocks it, tends it, and looks after it at the end. How often it re-seeded a node.
fn operator(sim: &mut Sim<'_>, crowd: &Crowd, trace: &Trace, watch: &Arc<Watch>, stage: &Stage) -> Arc<AtomicU64> {
    let (crowd, trace, watch, stage) = (crowd.clone(), trace.clone(), watch.clone(), stage.clone());
    let reseeds = Arc::<AtomicU64>::default();
    let counted = reseeds.clone();
    sim.client("operator", async move {
        let scenario = crowd.scenario.clone();
        let random = Drawn::new(Dice::fork(scenario.seed, "operator"));
        let client = cluster::client(&scenario, "operator", random, &trace, None).await;
        operator::form(&client, &scenario, &trace).await;
        workload::stock_up(&client, &crowd).await;
        stage.open.store(true, Ordering::Relaxed);
        let tends = Operator::new(client.clone(), &scenario, trace.clone(), counted);
        tokio::spawn(tends.tend(stage.over.clone()));
        while !stage.quiet.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        after::look(&client, &scenario, &crowd.recorder, &watch).await;
        stage.over.store(true, Ordering::Relaxed);
        Ok(())
    });
    reseeds
}

/// Steps virtual time.
struct Stepper<'a> {
    sim: Sim<'a>,
    trace: &'a Trace,
    watch: &'a Watch,
    calm: Calm,
    hosts: &'a [Host],
    /// What is over is now.
    times: Times,
    tick_ms: u64,
}

impl Stepper<'_> {
    fn now_ms(&self) -> u64 {
        self.times.over_ms
    }

    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| format!("a host broke down: {error}"))?;
        self.times.over_ms += self.tick_ms;
        self.trace.set_now_us(self.now_ms() * 1_000);
        if self.now_ms() % LOOK_EVERY_MS < self.tick_ms {
            self.watch.look(self.hosts);
        }
        if first_is_enough() && self.watch.is_broken() {
            return Err(ENOUGH.to_owned());
        }
        Ok(())
    }

    fn play(&mut self, scenario: &Scenario, crowd: &Crowd, stage: &Stage, faults: &mut Faults) -> Result<(), String> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        while !stage.open.load(Ordering::Relaxed) {
            self.step()?;
            if self.now_ms() > millis(FORM_MAX) {
                return Err(format!("the cluster is not formed and stocked within {FORM_MAX:?}"));
            }
        }
        let opened = self.now_ms();
        self.times.opened_ms = opened;
        self.trace.words("stage", "clients come");
        while self.now_ms() < opened + scenario.seconds * 1_000 {
            faults.step(self.now_ms() - opened, &mut self.sim, self.hosts);
            self.step()?;
            self.calm.look(self.now_ms() - opened, self.hosts, self.watch);
            self.look_at_damage(faults, opened);
            self.times.closed_ms = self.now_ms();
        }
        self.trace.words("stage", "faults are over");
        faults.stop(&mut self.sim, self.hosts);
        crowd.over.store(true, Ordering::Relaxed);
        let until = self.now_ms() + scenario.timeout_ms + scenario.pause_ms[1] + 2_000;
        while self.now_ms() < until || crowd.busy.load(Ordering::Relaxed) > 0 {
            self.step()?;
            self.look_after(faults, opened);
            if self.now_ms() > until + 60_000 {
                return Err("a client waits for an operation beyond its timeout".to_owned());
            }
        }
        self.trace.words("stage", "clients have gone");
        stage.quiet.store(true, Ordering::Relaxed);
        let until = self.now_ms() + millis(AFTER_MAX);
        while !stage.over.load(Ordering::Relaxed) {
            self.step()?;
            self.look_after(faults, opened);
            if self.now_ms() > until {
                return Err(format!("the look at the end did not end within {AFTER_MAX:?}"));
            }
        }
        self.read_journals()
    }

    /// Brings what happened last to the disks, and holds the journals against each other.
    fn read_journals(&mut self) -> Result<(), String> {
        /// A checkpoint takes no longer when all is quiet.
        const CHECKPOINT_MS: u64 = 2_000;
        for host in self.hosts {
            host.order(Order::Checkpoint);
        }
        let until = self.now_ms() + CHECKPOINT_MS;
        while self.now_ms() < until {
            self.step()?;
        }
        journal::check(self.hosts, self.watch);
        Ok(())
    }

    /// A process may still find out that it can't go on.
    fn look_after(&mut self, faults: &mut Faults, opened: u64) {
        faults.supervise(self.now_ms() - opened, &mut self.sim, self.hosts);
        faults.restart(self.now_ms() - opened, &mut self.sim, self.hosts);
        self.look_at_damage(faults, opened);
    }

    fn look_at_damage(&self, faults: &mut Faults, opened: u64) {
        if self.now_ms() % LOOK_EVERY_MS < self.tick_ms {
            faults.look(self.now_ms() - opened, self.hosts);
        }
    }
}
