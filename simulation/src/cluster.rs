//! The hosts of a run: nodes that outlive their processes, and machines with clients.

use crate::{
    clock::{EPOCH_MS, WallClock},
    dice::Dice,
    network::{Drawn, Simulated},
    scenario::{Kind, Scenario},
    stale::Breaks,
    tap::{Tap, Wire},
    trace::Trace,
    watch::Watch,
    workload::{Crowd, Role, work},
};
use earmark_client::Client;
use earmark_node::{
    config::{Address, Config, Limits, Peer, RaftTimes},
    environment::Environment,
    node::Node,
    storage::{Call, Effect, Failure, PowerLoss, SimulatedDisk},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use turmoil::Sim;

const CLIENT_PORT: u16 = 7_400;
const PEER_PORT: u16 = 7_500;

/// How long a client waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// What the harness has a running node do by itself.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Hand over everything it leads.
    HandOver,
    /// Call an election in every shard.
    Elect,
    /// Take a checkpoint of every shard, and purge what is behind it.
    Checkpoint,
}

impl Order {
    fn kind(self) -> Kind {
        match self {
            Self::HandOver => Kind::Transfer,
            Self::Elect => Kind::Election,
            Self::Checkpoint => Kind::Checkpoint,
        }
    }
}

/// How often faults of a class did something.
pub type Effects = Arc<Mutex<BTreeMap<Kind, u64>>>;

fn took_effect(effects: &Effects, kind: Kind) {
    *effects.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
}

/// A node, whether its process runs or not.
#[derive(Clone)]
pub struct Host {
    /// From 1.
    pub number: u32,
    /// Its data.
    pub disk: SimulatedDisk,
    /// Its wall clock.
    pub clock: WallClock,
    /// How its disk fares.
    pub wear: Arc<Wear>,
    /// How the connections between all nodes fare.
    pub breaks: Breaks,
    running: Arc<Mutex<Weak<Node>>>,
    /// How often faults of these classes did something, which only the node or its disk knows.
    effects: Effects,
    orders: Arc<Mutex<Option<mpsc::UnboundedSender<Order>>>>,
}

/// What a fault does to a disk.
#[derive(Default)]
pub struct Wear {
    /// Synced writes take so much longer, in milliseconds.
    pub slower_ms: AtomicU64,
    /// The next write fails.
    pub fails: AtomicBool,
    /// The next write of the marks fails, or their sync.
    pub marks_fail: AtomicBool,
    /// The next read fails.
    pub read_fails: AtomicBool,
    /// A part of what is read for a snapshot takes so long, in milliseconds.
    pub slow_read_ms: AtomicU64,
    /// No write ends before this, in virtual milliseconds.
    pub frozen_until_ms: AtomicU64,
}

impl Host {
    /// Its name in the network.
    pub fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// The node, while its process runs.
    pub fn node(&self) -> Option<Arc<Node>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    /// Has it do something, if its process runs.
    pub fn order(&self, order: Order) -> bool {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.as_ref().is_some_and(|orders| orders.send(order).is_ok())
    }

    /// How often faults of a class did something, by class; from then on it counts anew.
    pub fn take_effects(&self) -> BTreeMap<Kind, u64> {
        std::mem::take(&mut self.effects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends its process at once. With a power loss, what of the disk is left.
    pub fn end(&self, sim: &mut Sim<'_>, power: Option<PowerLoss>) {
        match power {
            Some(left) => self.disk.power_loss(left),
            None => self.disk.kill(),
        }
        sim.crash(self.name());
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
    }

    /// Starts its process anew.
    pub fn begin(&self, sim: &mut Sim<'_>) {
        sim.bounce(self.name());
    }
}

fn config(scenario: &Scenario, number: u32) -> Config {
    let peer = |number: u32| Peer {
        client: format!("n{number}:{CLIENT_PORT}"),
        peer: format!("n{number}:{PEER_PORT}"),
        region: "here".to_owned(),
        zone: format!("zone-{number}"),
    };
    let nodes: BTreeMap<u32, Peer> = (1..=scenario.nodes).map(|number| (number, peer(number))).collect();
    let settings = &scenario.node;
    Config {
        node: number,
        data: PathBuf::new(),
        client: Address { listen: format!("0.0.0.0:{CLIENT_PORT}"), advertise: peer(number).client },
        peer: format!("0.0.0.0:{PEER_PORT}"),
        nodes,
        limits: Limits {
            checkpoint_every: Duration::from_millis(settings.checkpoint_every_ms),
            checkpoint_bytes: settings.checkpoint_bytes,
            log_kept: settings.log_kept,
            log_kept_bytes: settings.log_kept_bytes,
            snapshot_bytes_per_second: settings.snapshot_bytes_per_second,
            snapshot_chunk_bytes: settings.snapshot_chunk_bytes,
            digest_every: Duration::from_millis(settings.digest_every_ms),
            batch_commands: settings.batch_commands,
            entries_in_flight: settings.entries_in_flight,
            ..Limits::default()
        },
        raft: RaftTimes { leases: settings.leases, ..RaftTimes::default() },
    }
}

/// Registers every node. Their processes begin with the first step.
pub fn nodes(sim: &mut Sim<'_>, scenario: &Scenario, trace: &Trace, watch: &Arc<Watch>) -> Vec<Host> {
    let breaks = Breaks::default();
    (1..=scenario.nodes).map(|number| node(sim, scenario, number, trace, watch, &breaks)).collect()
}

fn node(
    sim: &mut Sim<'_>,
    scenario: &Scenario,
    number: u32,
    trace: &Trace,
    watch: &Arc<Watch>,
    breaks: &Breaks,
) -> Host {
    let place = usize::try_from(number - 1).expect("small");
    let wrong_ms = scenario.clocks_ms.get(place).copied().unwrap_or(0);
    let host = Host {
        number,
        disk: SimulatedDisk::new(),
        clock: WallClock::new(trace.clone(), wrong_ms),
        wear: Arc::default(),
        breaks: breaks.clone(),
        running: Arc::default(),
        effects: Arc::default(),
        orders: Arc::default(),
    };
    wear(&host, scenario, trace);
    let random = Drawn::new(Dice::fork(scenario.seed, &format!("node {number}")));
    let (config, network) = (config(scenario, number), Simulated::new(trace.clone(), breaks.clone()));
    let (living, witness, trace) = (host.clone(), watch.clone(), trace.clone());
    sim.host(host.name(), move || {
        let (config, host, trace) = (config.clone(), living.clone(), trace.clone());
        let environment = Environment {
            clock: Arc::new(host.clock.clone()),
            random: random.clone(),
            network: Arc::new(network.clone()),
            disk: Arc::new(host.disk.clone()),
            witness: Some(witness.clone()),
        };
        async move {
            trace.words("process", &format!("n{number} begins"));
            match earmark_node::start(config, environment).await {
                Ok(running) => live(&host, running).await,
                // A planted fault met its opening: whoever runs the node starts it again.
                Err(error) => trace.words("process", &format!("n{number} did not start: {error}")),
            }
            Ok(())
        }
    });
    host
}

/// Runs a node until its process is ended, and does what the harness orders.
async fn live(host: &Host, running: earmark_node::Running) {
    let (orders, mut given) = mpsc::unbounded_channel();
    *host.orders.lock().unwrap_or_else(PoisonError::into_inner) = Some(orders);
    *host.running.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(running.node());
    while let Some(order) = given.recv().await {
        let (node, effects) = (running.node().clone(), host.effects.clone());
        let tell = move |changed: bool| {
            if changed {
                took_effect(&effects, order.kind());
            }
        };
        match order {
            Order::HandOver => {
                tokio::spawn(async move { tell(node.hand_over(Instant::now() + Duration::from_secs(2)).await > 0) });
            }
            Order::Elect => {
                let mut called = false;
                for replica in node.replicas() {
                    // A replica that is closed calls no election, and one that leads need not.
                    called |= !replica.is_leader() && replica.raft().trigger().elect(false).await.is_ok();
                }
                tell(called);
            }
            Order::Checkpoint => {
                tell(node.replicas().iter().filter(|replica| replica.core().want_checkpoint()).count() > 0);
            }
        }
    }
}

/// Gives each call of the disk its time, and its failure if one is planted.
fn wear(host: &Host, scenario: &Scenario, trace: &Trace) {
    let mut dice = Dice::fork(scenario.seed, &format!("disk {}", host.number));
    let ([least, most], wear, trace) = (scenario.sync_ms, host.wear.clone(), trace.clone());
    let effects = host.effects.clone();
    let met = move |next: &AtomicBool, kind| {
        let fails = next.swap(false, Ordering::Relaxed);
        if fails {
            took_effect(&effects, kind);
        }
        fails
    };
    host.disk.set_faults(move |call| match call {
        Call::Write { .. } | Call::Aside { .. } => {
            let fails = met(&wear.fails, Kind::FailingDisk);
            let failure = fails.then(|| if dice.percent(50) { Failure::Done } else { Failure::Undone });
            let slower = wear.slower_ms.load(Ordering::Relaxed);
            let ms = match call {
                Call::Write { sync: false, .. } => 0,
                // Long enough for others to be written and synced meanwhile.
                Call::Aside { .. } => 8 * dice.range(0, most) + slower,
                _ => dice.range(least, most) + slower,
            };
            let frozen = wear.frozen_until_ms.load(Ordering::Relaxed).saturating_sub(trace.now_ns() / 1_000_000);
            Effect { delay: Duration::from_millis(ms.max(frozen)), failure }
        }
        Call::Read(_) | Call::Stream(_) => {
            let fails = met(&wear.read_fails, Kind::FailingRead);
            let slow = if matches!(call, Call::Stream(_)) { wear.slow_read_ms.load(Ordering::Relaxed) } else { 0 };
            Effect { delay: Duration::from_millis(slow), failure: fails.then_some(Failure::Undone) }
        }
        Call::WriteMarks | Call::SyncMarks => {
            let fails = met(&wear.marks_fail, Kind::FailingDisk);
            let failure = fails.then(|| if dice.percent(50) { Failure::Done } else { Failure::Undone });
            Effect { failure, ..Effect::default() }
        }
        Call::Open => Effect::default(),
    });
}

/// The SDK's doors on one machine.
struct Machine {
    clock: WallClock,
    random: Arc<Drawn>,
}

impl earmark_client::Environment for Machine {
    fn wall_ms(&self) -> u64 {
        self.clock.read_ms()
    }

    fn random_u64(&self) -> u64 {
        self.random.draw()
    }
}

/// Opens the SDK on the machine of that name. Waits until a node answers.
pub async fn client(scenario: &Scenario, name: &str, random: Arc<Drawn>, trace: &Trace, tap: Option<Tap>) -> Client {
    loop {
        let (network, tap) = (Simulated::new(trace.clone(), Breaks::default()), tap.clone());
        let endpoints = (1..=scenario.nodes).map(|number| format!("n{number}:{CLIENT_PORT}"));
        // A machine's own clock is far off; the SDK learns the time from the servers.
        let machine = Machine { clock: WallClock::new(trace.clone(), -5_000), random: random.clone() };
        let opened = Client::builder()
            .endpoints(endpoints)
            .timeout(Duration::from_millis(scenario.timeout_ms))
            .try_timeout(Duration::from_millis(scenario.timeout_ms.min(2_000)))
            .connect_timeout(CONNECT_TIMEOUT)
            .session(name)
            .connector(move |address: &str| {
                let channel = network.connect(address, CONNECT_TIMEOUT)?;
                let Some(tap) = &tap else { return Ok(channel) };
                Ok(tap.channel(&earmark_client::endpoint(address, CONNECT_TIMEOUT)?, &channel))
            })
            .environment(machine)
            .connect()
            .await;
        match opened {
            Ok(client) => return client,
            Err(error) => trace.words("client", &format!("{name} finds no node: {error}")),
        }
    }
}

/// Registers the machines with clients. They begin to work once `open` is set. The wire of each, by number from 0.
pub fn machines(sim: &mut Sim<'_>, crowd: &Crowd, trace: &Trace, open: &Arc<AtomicBool>) -> Vec<Arc<Wire>> {
    let mut wires = Vec::new();
    for number in 1..=crowd.scenario.machines {
        let (crowd, trace, open) = (crowd.clone(), trace.clone(), open.clone());
        let wire = Arc::<Wire>::default();
        wires.push(wire.clone());
        let tap = is_tapped(&crowd.scenario, number)
            .then(|| Tap::new(wire, Dice::fork(crowd.scenario.seed, &format!("tap {number}")), trace.clone()));
        let lives = Arc::<AtomicU64>::default();
        sim.host(format!("c{number}"), move || {
            let (crowd, trace, open, tap) = (crowd.clone(), trace.clone(), open.clone(), tap.clone());
            let name = format!("c{number} life {}", lives.fetch_add(1, Ordering::Relaxed));
            async move {
                while !open.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let seed = crowd.scenario.seed;
                let random = Drawn::new(Dice::fork(seed, &name));
                let client = client(&crowd.scenario, &name.replace(' ', "-"), random, &trace, tap).await;
                let first = number == 1 && crowd.scenario.first_only_reserves;
                let role = if first { Role::Reserves } else { Role::Anything };
                for worker in 0..crowd.scenario.workers {
                    let dice = Dice::fork(seed, &format!("{name} worker {worker}"));
                    tokio::spawn(work(client.clone(), crowd.clone(), role, dice));
                }
                for reader in 0..crowd.scenario.readers {
                    let dice = Dice::fork(seed, &format!("{name} reader {reader}"));
                    tokio::spawn(work(client.clone(), crowd.clone(), Role::Looks, dice));
                }
                std::future::pending().await
            }
        });
    }
    wires
}

/// Whether a fault of the scenario needs a tap on the link of a machine.
fn is_tapped(scenario: &Scenario, machine: u32) -> bool {
    let taps = |kind: Kind| matches!(kind, Kind::Duplicate | Kind::Unheard);
    scenario.faults.iter().any(|fault| taps(fault.kind) && fault.nodes.contains(&machine))
}

/// The true time now, in Unix milliseconds.
pub fn true_ms(trace: &Trace) -> u64 {
    EPOCH_MS + trace.now_ns() / 1_000_000
}
