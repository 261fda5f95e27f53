//! Everything about a run, drawn from its seed or read from a TOML file.
//!
//! A file needs to name only what differs from [`Scenario::default`]; `simulation show --seed N` writes a drawn
//! scenario as such a file.

use crate::dice::Dice;
use serde::{Deserialize, Serialize};

/// A run, before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What chance in the run itself depends on: delays, ids, timers, what clients do.
    pub seed: u64,
    /// Nodes, 3 or 5.
    pub nodes: u32,
    /// Stock shards.
    pub shards: u32,
    /// For how long clients work and faults come, in virtual seconds.
    pub seconds: u64,
    /// The step of virtual time in which messages travel, in milliseconds.
    pub tick_ms: u64,
    /// A message takes 1 ms to this long.
    pub latency_ms_max: u64,
    /// Machines with clients; each has an SDK of its own.
    pub machines: u32,
    /// Clients on each machine, each doing one thing at a time.
    pub workers: u32,
    /// Clients on each machine that only look: they go on while others wait for a decision.
    pub readers: u32,
    /// SKUs; the first is asked for as often as all others together.
    pub skus: u32,
    /// Units of each SKU at the beginning.
    pub stock: u64,
    /// Goods come in only where fewer than that were seen on hand, so that the last units stay wanted to the end.
    pub scarce: bool,
    /// Clients of the first machine only reserve; what frees units again, others do.
    pub first_only_reserves: bool,
    /// How many reserves of a hundred are carts of several SKUs.
    pub carts_percent: u64,
    /// Shortest and longest time to live of a hold.
    pub ttl_ms: [u64; 2],
    /// Shortest and longest pause of a client between two operations.
    pub pause_ms: [u64; 2],
    /// How long a client waits for an operation with all its tries.
    pub timeout_ms: u64,
    /// A synced write takes this long: from, to.
    pub sync_ms: [u64; 2],
    /// How wrong each node's wall clock is.
    pub clocks_ms: Vec<i64>,
    /// Settings of the nodes.
    pub node: NodeSettings,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

/// Of a partition: no client reaches the nodes that are cut off.
pub const CLIENTS_WITH_THE_OTHERS: i64 = 1;

/// Of a partition: machines of clients with odd numbers reach only the nodes that are cut off, those with even ones only the
/// others.
pub const CLIENTS_ON_BOTH_SIDES: i64 = 2;

/// Settings of the nodes that a scenario chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSettings {
    /// Reads by lease.
    pub leases: bool,
    /// Time between checkpoints.
    pub checkpoint_every_ms: u64,
    /// Dirty bytes that bring one at once.
    pub checkpoint_bytes: usize,
    /// Entries kept behind a checkpoint; few bring snapshots to whoever was away.
    pub log_kept: u64,
    /// Bytes of them.
    pub log_kept_bytes: u64,
    /// Bytes a second of snapshots and journals.
    pub snapshot_bytes_per_second: u64,
    /// Bytes of a part of a snapshot.
    pub snapshot_chunk_bytes: usize,
    /// Time between digest marks.
    pub digest_every_ms: u64,
    /// Commands in one entry.
    pub batch_commands: usize,
    /// Entries a proposer keeps in flight.
    pub entries_in_flight: usize,
}

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, in milliseconds after clients began.
    pub at_ms: u64,
    /// For how long.
    pub for_ms: u64,
    /// What.
    pub kind: Kind,
    /// To which nodes; to which machines of clients for [`Kind::Vanish`], [`Kind::Duplicate`] and [`Kind::Unheard`].
    #[serde(default)]
    pub nodes: Vec<u32>,
    /// How much, as the kind says.
    #[serde(default)]
    pub amount: i64,
}

/// Classes of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The nodes are cut off from all other nodes; from all clients too if `amount` is [`CLIENTS_WITH_THE_OTHERS`]; if it is
    /// [`CLIENTS_ON_BOTH_SIDES`], every other machine of clients stays with them and the rest with the others.
    Partition,
    /// What the nodes send reaches no other node; what is sent to them does.
    OneWay,
    /// The machine of clients `amount`, or each if that is 0, does not reach the nodes; everybody else does.
    Unreached,
    /// The first node reaches everyone, and the rest is split into two halves that do not reach each other.
    Bridge,
    /// Each node reaches only its neighbours in a ring.
    Ring,
    /// The nodes are cut off and joined again, every `amount` milliseconds.
    Flapping,
    /// Now and then messages to and from the nodes are lost, and the connections they belong to with them.
    Loss,
    /// Messages to and from the nodes take up to `amount` milliseconds more, most of them a fraction of that.
    Delay,
    /// The same between nodes alone: clients reach them as fast as ever.
    Lag,
    /// Nothing reaches or leaves the nodes, and all of it arrives afterwards at once.
    Pause,
    /// The processes are killed; what they wrote is there when they come back.
    Crash,
    /// The machines lose power: what was not synced is gone, but for `amount` percent of it.
    PowerLoss,
    /// The wall clocks are wrong by `amount` milliseconds more.
    ClockJump,
    /// The wall clocks run fast by `amount` thousandths, or slow.
    ClockDrift,
    /// Synced writes take `amount` milliseconds more.
    SlowDisk,
    /// A write fails, done or not; the process is started anew some time later.
    FailingDisk,
    /// The nodes hand over what they lead.
    Transfer,
    /// The nodes call elections.
    Election,
    /// The nodes take checkpoints and purge their logs at once.
    Checkpoint,
    /// A machine of clients goes away in the middle of what it did, and comes back with new clients.
    Vanish,
    /// Nothing reaches or leaves the nodes and nothing is written, as if the processes were stopped; then all goes on.
    Freeze,
    /// The nodes' connections to their peers break and are opened anew, and what was sent on the old ones arrives only
    /// at the end.
    Stale,
    /// Of a hundred messages of clients so many arrive twice, the second time later and as another caller's.
    Duplicate,
    /// Of a hundred messages of clients so many, or the answers to them, are lost with the stream they were on.
    Unheard,
    /// A bit turns over in what was synced, somewhere, and at the end the process is started anew.
    BitFlip,
    /// The machine loses power at the end, and with it what was synced since the beginning, but not the marks.
    LostTail,
    /// At the end the disk is as it was at the beginning: an old copy was put back.
    OldCopy,
    /// The disk is empty, and the process begins anew at the end.
    DiskLost,
    /// A read fails, and the process is started anew some time later.
    FailingRead,
    /// What is read for snapshots comes slowly: `amount` milliseconds a part.
    SlowRead,
}

/// What a bit flip meets.
pub const FLIPPED: [&str; 5] = ["state", "log", "journal", "meta", "marks"];

impl Kind {
    /// Every class.
    pub const ALL: [Self; 30] = [
        Self::Partition,
        Self::OneWay,
        Self::Unreached,
        Self::Bridge,
        Self::Ring,
        Self::Flapping,
        Self::Loss,
        Self::Delay,
        Self::Lag,
        Self::Pause,
        Self::Crash,
        Self::PowerLoss,
        Self::ClockJump,
        Self::ClockDrift,
        Self::SlowDisk,
        Self::FailingDisk,
        Self::Transfer,
        Self::Election,
        Self::Checkpoint,
        Self::Vanish,
        Self::Freeze,
        Self::Stale,
        Self::Duplicate,
        Self::Unheard,
        Self::BitFlip,
        Self::LostTail,
        Self::OldCopy,
        Self::DiskLost,
        Self::FailingRead,
        Self::SlowRead,
    ];

    /// As a file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Unreached => "unreached",
            Self::Bridge => "bridge",
            Self::Ring => "ring",
            Self::Flapping => "flapping",
            Self::Loss => "loss",
            Self::Delay => "delay",
            Self::Lag => "lag",
            Self::Pause => "pause",
            Self::Crash => "crash",
            Self::PowerLoss => "power-loss",
            Self::ClockJump => "clock-jump",
            Self::ClockDrift => "clock-drift",
            Self::SlowDisk => "slow-disk",
            Self::FailingDisk => "failing-disk",
            Self::Transfer => "transfer",
            Self::Election => "election",
            Self::Checkpoint => "checkpoint",
            Self::Vanish => "vanish",
            Self::Freeze => "freeze",
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::Unheard => "unheard",
            Self::BitFlip => "bit-flip",
            Self::LostTail => "lost-tail",
            Self::OldCopy => "old-copy",
            Self::DiskLost => "disk-lost",
            Self::FailingRead => "failing-read",
            Self::SlowRead => "slow-read",
        }
    }
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            leases: false,
            checkpoint_every_ms: 3_000,
            checkpoint_bytes: 4 << 20,
            log_kept: 4_096,
            log_kept_bytes: 64 << 20,
            snapshot_bytes_per_second: 32 << 20,
            snapshot_chunk_bytes: 1 << 20,
            digest_every_ms: 5_000,
            batch_commands: 4_096,
            entries_in_flight: 4,
        }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 0,
            nodes: 3,
            shards: 4,
            seconds: 100,
            tick_ms: 5,
            latency_ms_max: 10,
            machines: 2,
            workers: 4,
            readers: 0,
            skus: 12,
            stock: 20,
            scarce: false,
            first_only_reserves: false,
            carts_percent: 30,
            ttl_ms: [1_000, 20_000],
            pause_ms: [50, 1_500],
            timeout_ms: 4_000,
            sync_ms: [1, 3],
            clocks_ms: Vec::new(),
            node: NodeSettings::default(),
            faults: Vec::new(),
        }
    }
}

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(seed: u64) -> Self {
        let dice = &mut Dice::fork(seed, "scenario");
        let lagging = &mut Dice::fork(seed, "lagging");
        let nodes = if dice.percent(25) { 5 } else { 3 };
        let mut scenario = Self {
            seed,
            nodes,
            shards: *dice.pick(&[1, 2, 3, 4, 4, 6, 8]).min(&if nodes == 5 { 4 } else { 8 }),
            seconds: dice.range(120, 130),
            latency_ms_max: *dice.pick(&[2, 5, 10, 10, 30]),
            machines: 2,
            workers: u32::try_from(dice.range(3, 5)).expect("small"),
            readers: u32::try_from(dice.range(0, 1)).expect("small"),
            skus: u32::try_from(dice.range(3, 16)).expect("small"),
            stock: dice.range(3, 40),
            scarce: Dice::fork(seed, "scarce").percent(50),
            carts_percent: *dice.pick(&[0, 20, 40, 70]),
            ttl_ms: *dice.pick(&[[1_000, 5_000], [1_000, 20_000], [5_000, 60_000]]),
            pause_ms: *dice.pick(&[[20, 900], [50, 1_200], [300, 1_500]]),
            timeout_ms: *dice.pick(&[1_500, 3_000, 6_000]),
            sync_ms: *dice.pick(&[[1, 1], [1, 3], [2, 10]]),
            clocks_ms: (0..nodes).map(|_| i64::try_from(dice.range(0, 200)).expect("small") - 100).collect(),
            node: NodeSettings {
                leases: dice.percent(30),
                checkpoint_every_ms: *dice.pick(&[300, 1_000, 3_000]),
                checkpoint_bytes: *dice.pick(&[4 << 10, 64 << 10, 4 << 20]),
                log_kept: *dice.pick(&[0, 4, 64, 4_096]),
                log_kept_bytes: *lagging.pick(&[0, 64 << 10, 64 << 20]),
                snapshot_bytes_per_second: *lagging.pick(&[64 << 10, 32 << 20]),
                snapshot_chunk_bytes: *dice.pick(&[512, 16 << 10, 1 << 20]),
                digest_every_ms: *dice.pick(&[1_000, 5_000]),
                batch_commands: *dice.pick(&[1, 3, 4_096]),
                entries_in_flight: *dice.pick(&[1, 4, 16]),
            },
            ..Self::default()
        };
        scenario.faults = draw_faults(&scenario, dice);
        scenario
    }

    /// The same, over after so many seconds.
    pub fn shortened(mut self, seconds: u64) -> Self {
        self.seconds = self.seconds.min(seconds);
        let last_ms = self.seconds * 1_000;
        self.faults.retain(|fault| fault.at_ms < last_ms);
        self.faults.iter_mut().for_each(|fault| fault.for_ms = fault.for_ms.min(last_ms - fault.at_ms));
        self
    }
}

/// Between three and a dozen faults, some of them at once.
fn draw_faults(scenario: &Scenario, dice: &mut Dice) -> Vec<Fault> {
    let count = dice.range(3, 14);
    let last_ms = scenario.seconds * 1_000;
    let mut faults: Vec<Fault> = (0..count)
        .map(|_| {
            let kind = *dice.pick(&Kind::ALL);
            let at_ms = dice.range(0, last_ms - 5_000);
            let for_ms = dice.range(200, 15_000).min(last_ms - at_ms);
            Fault { at_ms, for_ms, kind, nodes: draw_nodes(kind, scenario, dice), amount: draw_amount(kind, dice) }
        })
        .collect();
    faults.sort_by_key(|fault| fault.at_ms);
    keep_most_clocks(&mut faults, scenario.nodes);
    while faults.iter().filter(|fault| takes_hold(fault.kind)).count() < FAULTS_MIN {
        let kind = *dice.pick(&Kind::ALL);
        if takes_hold(kind) {
            let at_ms = dice.range(0, last_ms - 5_000);
            let for_ms = dice.range(200, 15_000).min(last_ms - at_ms);
            let (nodes, amount) = (draw_nodes(kind, scenario, dice), draw_amount(kind, dice));
            faults.push(Fault { at_ms, for_ms, kind, nodes, amount });
        }
    }
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

/// Faults of a scenario that take hold whatever else happens.
pub const FAULTS_MIN: usize = 3;

/// Whether a class of faults always takes hold. Others find a node down already, or a disk that may not be damaged as well.
fn takes_hold(kind: Kind) -> bool {
    match kind {
        Kind::Partition
        | Kind::OneWay
        | Kind::Unreached
        | Kind::Bridge
        | Kind::Ring
        | Kind::Flapping
        | Kind::Loss
        | Kind::Delay
        | Kind::Lag
        | Kind::Pause
        | Kind::Stale
        | Kind::Vanish => true,
        Kind::Crash
        | Kind::Freeze
        | Kind::SlowDisk
        | Kind::SlowRead
        | Kind::PowerLoss
        | Kind::ClockJump
        | Kind::ClockDrift
        | Kind::FailingDisk
        | Kind::Transfer
        | Kind::Election
        | Kind::Checkpoint
        | Kind::Duplicate
        | Kind::Unheard
        | Kind::BitFlip
        | Kind::LostTail
        | Kind::OldCopy
        | Kind::DiskLost
        | Kind::FailingRead => false,
    }
}

fn draw_nodes(kind: Kind, scenario: &Scenario, dice: &mut Dice) -> Vec<u32> {
    let mut all: Vec<u32> = match kind {
        Kind::Vanish | Kind::Duplicate | Kind::Unheard => (1..=scenario.machines).collect(),
        _ => (1..=scenario.nodes).collect(),
    };
    for place in (1..all.len()).rev() {
        all.swap(place, dice.place(place + 1));
    }
    let minority = usize::try_from((scenario.nodes - 1) / 2).expect("small");
    let take = match kind {
        Kind::Bridge | Kind::Ring => all.len(),
        Kind::ClockJump | Kind::ClockDrift | Kind::Vanish | Kind::Pause | Kind::OneWay | Kind::Freeze => 1,
        // How many disks may be damaged at one time is judged when it comes to that.
        Kind::BitFlip | Kind::LostTail | Kind::OldCopy | Kind::DiskLost | Kind::FailingRead | Kind::SlowRead => 1,
        Kind::Crash | Kind::PowerLoss if dice.percent(25) => all.len(),
        Kind::Crash | Kind::PowerLoss if dice.percent(20) => minority + 1,
        Kind::Loss | Kind::Transfer | Kind::Election | Kind::Checkpoint | Kind::Stale | Kind::Duplicate => {
            1 + dice.place(all.len())
        }
        _ => 1 + dice.place(minority),
    };
    all.truncate(take);
    all
}

fn draw_amount(kind: Kind, dice: &mut Dice) -> i64 {
    let sign = if dice.percent(50) { 1 } else { -1 };
    match kind {
        Kind::Partition => *dice.pick(&[0, CLIENTS_WITH_THE_OTHERS, CLIENTS_ON_BOTH_SIDES]),
        Kind::Unreached => *dice.pick(&[0, 1, 2]),
        Kind::Flapping => *dice.pick(&[150, 700, 1_500, 3_000]),
        Kind::Delay | Kind::Lag => *dice.pick(&[20, 100, 400, 1_500]),
        Kind::PowerLoss => *dice.pick(&[0, 0, 50, 100]),
        Kind::ClockJump => sign * *dice.pick(&[300, 700, 5_000, 60_000, 3_600_000]),
        Kind::ClockDrift => sign * *dice.pick(&[1, 20, 200]),
        Kind::SlowDisk => *dice.pick(&[20, 200, 1_000]),
        Kind::SlowRead => *dice.pick(&[20, 200, 2_000]),
        Kind::Duplicate | Kind::Unheard => *dice.pick(&[2, 10, 30]),
        Kind::BitFlip => i64::try_from(dice.place(FLIPPED.len())).expect("small"),
        _ => 0,
    }
}

/// Earmark promises its times while the clocks of a majority are right, so at no moment more than a minority is wrong.
pub(crate) fn keep_most_clocks(faults: &mut Vec<Fault>, nodes: u32) {
    let minority = usize::try_from((nodes - 1) / 2).expect("small");
    let mut wrong: Vec<(u64, u32)> = Vec::new();
    faults.retain(|fault| {
        if !matches!(fault.kind, Kind::ClockJump | Kind::ClockDrift) {
            return true;
        }
        // What others know of a clock is up to ten seconds old.
        wrong.retain(|(until, _)| *until + 12_000 > fault.at_ms);
        let others = wrong.iter().filter(|(_, node)| !fault.nodes.contains(node)).count();
        let fits = others + fault.nodes.len() <= minority;
        if fits {
            wrong.extend(fault.nodes.iter().map(|node| (fault.at_ms + fault.for_ms, *node)));
        }
        fits
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_its_file() {
        for seed in 0..200 {
            let scenario = Scenario::draw(seed);
            let text = toml::to_string(&scenario).expect("written");
            assert_eq!(toml::from_str::<Scenario>(&text).expect("read"), scenario, "{text}");
        }
    }

    #[test]
    fn a_scenario_has_faults_that_take_hold() {
        for seed in 0..500 {
            let faults = Scenario::draw(seed).faults;
            assert!(faults.iter().filter(|fault| takes_hold(fault.kind)).count() >= FAULTS_MIN, "{seed}");
            assert!(faults.is_sorted_by_key(|fault| fault.at_ms), "{seed}");
        }
    }

    #[test]
    fn every_class_of_fault_is_drawn_soon() {
        let drawn: Vec<Kind> = (0..100).flat_map(|seed| Scenario::draw(seed).faults).map(|fault| fault.kind).collect();
        for kind in Kind::ALL {
            assert!(drawn.contains(&kind), "{}", kind.name());
        }
    }

    #[test]
    fn every_class_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let fault = Fault { at_ms: 1, for_ms: 2, kind, nodes: vec![1], amount: 0 };
            let text = toml::to_string(&fault).expect("written");
            assert!(text.contains(&format!("kind = \"{}\"", kind.name())), "{text}");
        }
    }
}
