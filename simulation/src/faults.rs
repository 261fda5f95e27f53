//! Carries the faults of a scenario out, and takes them back.
//!
//! Faults may overlap. What can't be done (the node is down already) is left out and not counted: only what really
//! happened covers a class.

use crate::{
    cluster::{Host, Order},
    damage::Damage,
    dice::Dice,
    links::Links,
    scenario::{Fault, Kind, Scenario},
    tap::Wire,
    trace::Trace,
    watch::Watch,
};
use earmark_node::{
    node::Health,
    storage::{Image, PowerLoss},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};
use turmoil::Sim;

/// Whoever runs the nodes starts a process anew that says it can't go on, after so long.
const SUPERVISOR_MS: u64 = 1_500;

/// Between two losses of messages while [`Kind::Loss`] is on.
const LOSS_EVERY_MS: u64 = 700;

/// Of a hundred writes that fail so many are of the marks, beside which votes stand, and not of RocksDB's log.
const MARKS_PERCENT: u64 = 30;

/// What goes wrong in a run.
pub struct Faults {
    coming: Vec<Fault>,
    on: Vec<On>,
    /// Nodes whose process is down, and when it begins again.
    down: BTreeMap<u32, u64>,
    links: Links,
    damage: Damage,
    wires: Vec<Arc<Wire>>,
    dice: Dice,
    /// What was added later draws from here: the other stream has to go on as it did in scenarios that are kept.
    later: Dice,
    counts: BTreeMap<Kind, u64>,
    trace: Trace,
}

struct On {
    fault: Fault,
    until_ms: u64,
    next_ms: u64,
    apart: bool,
}

impl Faults {
    /// The faults of a scenario, none of which began yet. `wires` are those of the machines of clients.
    pub fn new(scenario: &Scenario, trace: Trace, wires: Vec<Arc<Wire>>, watch: &Arc<Watch>) -> Self {
        let mut coming = scenario.faults.clone();
        coming.sort_by_key(|fault| std::cmp::Reverse(fault.at_ms));
        Self {
            coming,
            on: Vec::new(),
            down: BTreeMap::new(),
            links: Links::new(scenario),
            damage: Damage::new(scenario.nodes, scenario.shards, scenario.seed, trace.clone(), watch.clone()),
            wires,
            dice: Dice::fork(scenario.seed, "faults"),
            later: Dice::fork(scenario.seed, "later faults"),
            counts: BTreeMap::new(),
            trace,
        }
    }

    /// How often each class happened.
    pub fn counts(&self) -> &BTreeMap<Kind, u64> {
        &self.counts
    }

    /// What they led to, by name.
    pub fn met(&self, hosts: &[Host]) -> BTreeMap<String, u64> {
        let sum = |count: fn(&Wire) -> u64| self.wires.iter().map(|wire| count(wire)).sum();
        let mut met: BTreeMap<String, u64> =
            self.damage.counts().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        met.insert("doubled".to_owned(), sum(|wire| wire.doubled_count.load(Ordering::Relaxed)));
        met.insert("unheard".to_owned(), sum(|wire| wire.lost_count.load(Ordering::Relaxed)));
        met.insert("late-reads".to_owned(), hosts.first().map_or(0, |host| host.breaks.late()));
        met
    }

    /// Looks at every node between two steps.
    pub fn look(&mut self, now_ms: u64, hosts: &[Host]) {
        self.damage.look(now_ms, hosts);
    }

    /// Begins and ends what is due, `now_ms` after clients began.
    pub fn step(&mut self, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) {
        while self.coming.last().is_some_and(|fault| fault.at_ms <= now_ms) {
            let Some(fault) = self.coming.pop() else { break };
            self.begin(fault, now_ms, sim, hosts);
        }
        let (over, on) = std::mem::take(&mut self.on).into_iter().partition(|on: &On| on.until_ms <= now_ms);
        self.on = on;
        for ended in &over {
            self.end(&ended.fault, now_ms, sim, hosts);
        }
        self.restart(now_ms, sim, hosts);
        self.supervise(now_ms, sim, hosts);
        for place in 0..self.on.len() {
            if self.on[place].next_ms <= now_ms {
                self.again(place, now_ms);
            }
        }
        self.links.forget_losses(now_ms);
        self.settle_links(sim);
    }

    /// Counts what only nodes and disks know to have happened.
    fn count_effects(&mut self, hosts: &[Host]) {
        for (kind, count) in hosts.iter().flat_map(Host::take_effects) {
            *self.counts.entry(kind).or_default() += count;
        }
    }

    /// Ends every fault: links whole, clocks right, disks fast, every process running.
    pub fn stop(&mut self, sim: &mut Sim<'_>, hosts: &[Host]) {
        self.coming.clear();
        for on in std::mem::take(&mut self.on) {
            self.end(&on.fault, 0, sim, hosts);
        }
        self.count_effects(hosts);
        self.links.forget_losses(u64::MAX);
        self.down.values_mut().for_each(|until| *until = 0);
        self.restart(0, sim, hosts);
        self.settle_links(sim);
    }

    /// Starts every process anew that says it can't go on. Goes on when faults are over.
    pub fn supervise(&mut self, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) {
        for host in hosts.iter().filter(|host| !self.down.contains_key(&host.number)).cloned().collect::<Vec<_>>() {
            let poisoned = host.node().is_some_and(|node| matches!(node.health(), Health::Poisoned(_)));
            if poisoned || !sim.is_host_running(host.name()) {
                self.trace.words("supervisor", &format!("n{} is started anew", host.number));
                host.end(sim, None);
                if poisoned {
                    self.damage.poisoned(&host);
                }
                self.down.insert(host.number, now_ms + SUPERVISOR_MS);
            }
        }
    }

    /// Starts the processes whose time to be down is over.
    pub fn restart(&mut self, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) {
        let due: Vec<u32> = self.down.iter().filter(|(_, until)| **until <= now_ms).map(|(node, _)| *node).collect();
        for node in due {
            self.down.remove(&node);
            self.damage.begins(node);
            host(hosts, node).begin(sim);
        }
    }

    fn begin(&mut self, fault: Fault, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) {
        let installed = self.install(&fault, now_ms, sim, hosts);
        self.trace.words("fault", &format!("{fault:?} installed {installed}"));
        if installed == 0 {
            return;
        }
        if !at_its_end(fault.kind) && !by_effect(fault.kind) {
            *self.counts.entry(fault.kind).or_default() += 1;
        }
        let until_ms = now_ms + fault.for_ms;
        self.on.push(On { fault, until_ms, next_ms: now_ms, apart: false });
    }

    /// Does what a fault does at once. On how many nodes it took hold.
    fn install(&mut self, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) -> usize {
        let mut installed = 0;
        for node in &fault.nodes {
            let took = match fault.kind {
                Kind::Vanish if self.still(fault.kind, *node).is_some() => false,
                Kind::Vanish => {
                    sim.crash(format!("c{node}"));
                    true
                }
                Kind::Duplicate | Kind::Unheard => self.tap(fault, *node, fault.amount),
                _ => self.install_on(host(hosts, *node), fault, now_ms, sim),
            };
            installed += usize::from(took);
        }
        installed
    }

    fn install_on(&mut self, host: &Host, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>) -> bool {
        let wear = &host.wear;
        let runs = host.node().is_some();
        match fault.kind {
            Kind::SlowDisk | Kind::SlowRead | Kind::Freeze if !runs => return false,
            Kind::Crash | Kind::PowerLoss => return self.kill(host, fault, now_ms, sim),
            Kind::DiskLost => return self.lose_disk(host, fault, now_ms, sim),
            Kind::BitFlip | Kind::LostTail | Kind::OldCopy => return self.damage.begin(fault, host),
            Kind::ClockJump => host.clock.jump(fault.amount),
            Kind::ClockDrift => host.clock.drift(fault.amount),
            Kind::SlowDisk => wear.slower_ms.store(unsigned(fault.amount), Ordering::Relaxed),
            Kind::SlowRead => wear.slow_read_ms.store(unsigned(fault.amount), Ordering::Relaxed),
            Kind::Freeze => {
                let until = self.trace.now_ns() / 1_000_000 + fault.for_ms;
                wear.frozen_until_ms.fetch_max(until, Ordering::Relaxed);
            }
            Kind::FailingDisk => {
                let next = if self.later.percent(MARKS_PERCENT) { &wear.marks_fail } else { &wear.fails };
                next.store(runs, Ordering::Relaxed);
                return runs;
            }
            Kind::FailingRead => {
                wear.read_fails.store(runs, Ordering::Relaxed);
                return runs;
            }
            Kind::Transfer => return host.order(Order::HandOver),
            Kind::Election => return host.order(Order::Elect),
            Kind::Checkpoint => return host.order(Order::Checkpoint),
            Kind::Stale => {
                let now_ns = self.trace.now_ns();
                let noticed_ms = self.later.range(100, 1_500).min(fault.for_ms);
                let at = |ms: u64| now_ns + ms * 1_000_000;
                host.breaks.add(host.number.into(), now_ns, at(noticed_ms), at(fault.for_ms));
            }
            // These are links, or were dealt with.
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
            | Kind::Vanish
            | Kind::Duplicate
            | Kind::Unheard => {}
        }
        true
    }

    fn tap(&self, fault: &Fault, machine: u32, percent: i64) -> bool {
        let place = usize::try_from(machine - 1).expect("32 bits");
        let Some(wire) = self.wires.get(place) else { return false };
        let share = if fault.kind == Kind::Duplicate { &wire.doubled } else { &wire.lost };
        share.store(unsigned(percent), Ordering::Relaxed);
        true
    }

    fn lose_disk(&mut self, host: &Host, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>) -> bool {
        if self.down.contains_key(&host.number) || !self.damage.begin(fault, host) {
            return false;
        }
        host.end(sim, None);
        host.disk.put_back(&Image::default(), true);
        self.down.insert(host.number, now_ms + fault.for_ms);
        true
    }

    fn kill(&mut self, host: &Host, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>) -> bool {
        let power = fault.kind == Kind::PowerLoss;
        if self.down.contains_key(&host.number) || power && self.damage.spares_power() {
            return false;
        }
        let left = power.then(|| self.power_loss(host, fault.amount));
        host.end(sim, left);
        self.down.insert(host.number, now_ms + fault.for_ms);
        true
    }

    /// What a power loss leaves of what was not synced: so many of a hundred batches.
    fn power_loss(&mut self, host: &Host, percent: i64) -> PowerLoss {
        let unsynced = host.disk.unsynced() as u64;
        let left = unsynced * unsigned(percent) / 100;
        let batches = usize::try_from(left).unwrap_or(usize::MAX);
        self.trace.words("power", &format!("n{} loses {} of {unsynced} batches", host.number, unsynced - left));
        let marks = self.dice.percent(50);
        let torn = self.later.percent(25) && host.disk.has_unsynced_marks();
        if left < unsynced {
            self.damage.count("lost-writes");
        }
        if torn {
            self.damage.count("torn-marks");
        }
        PowerLoss { batches, marks, torn }
    }

    fn end(&mut self, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) {
        let mut took = false;
        for node in &fault.nodes {
            match fault.kind {
                Kind::Vanish => sim.bounce(format!("c{node}")),
                Kind::Duplicate | Kind::Unheard => {
                    self.tap(fault, *node, self.still(fault.kind, *node).unwrap_or(0));
                }
                _ => took |= self.end_on(host(hosts, *node), fault, now_ms, sim, hosts),
            }
        }
        if took && at_its_end(fault.kind) {
            *self.counts.entry(fault.kind).or_default() += 1;
        }
        self.trace.words("fault", &format!("{} {:?} is over", fault.kind.name(), fault.nodes));
    }

    /// Takes back what a fault does, or does what it does at its end. Whether that took hold.
    fn end_on(&mut self, host: &Host, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) -> bool {
        /// A process that is ended begins anew after so long.
        const DOWN_MS: u64 = 500;
        let wear = &host.wear;
        // Another of its class may still be on.
        let amount = self.still(fault.kind, host.number);
        match fault.kind {
            Kind::ClockJump => host.clock.jump(-fault.amount),
            Kind::ClockDrift => match amount {
                Some(amount) => host.clock.drift(amount),
                None => host.clock.steady(),
            },
            Kind::SlowDisk => wear.slower_ms.store(unsigned(amount.unwrap_or(0)), Ordering::Relaxed),
            Kind::SlowRead => wear.slow_read_ms.store(unsigned(amount.unwrap_or(0)), Ordering::Relaxed),
            Kind::Freeze if amount.is_none() => wear.frozen_until_ms.store(0, Ordering::Relaxed),
            Kind::FailingDisk if amount.is_none() => {
                [&wear.fails, &wear.marks_fail].into_iter().for_each(|next| next.store(false, Ordering::Relaxed));
            }
            Kind::FailingRead if amount.is_none() => wear.read_fails.store(false, Ordering::Relaxed),
            Kind::BitFlip if !self.down.contains_key(&host.number) => {
                host.end(sim, None);
                self.down.insert(host.number, now_ms + DOWN_MS);
            }
            Kind::LostTail | Kind::OldCopy if !self.down.contains_key(&host.number) => {
                let left = self.power_loss(host, 100);
                host.end(sim, Some(left));
                self.down.insert(host.number, now_ms + DOWN_MS);
                return self.damage.put_back(fault, host, hosts);
            }
            _ => {}
        }
        false
    }

    /// How much the newest fault of a class that is on does to a node, or to a machine of clients.
    fn still(&self, kind: Kind, node: u32) -> Option<i64> {
        let on = self.on.iter().map(|on| &on.fault);
        on.filter(|fault| fault.kind == kind && fault.nodes.contains(&node)).map(|fault| fault.amount).next_back()
    }

    /// What a fault does again and again while it is on.
    fn again(&mut self, place: usize, now_ms: u64) {
        let (kind, nodes, amount) = {
            let on = &self.on[place];
            (on.fault.kind, on.fault.nodes.clone(), u64::try_from(on.fault.amount).unwrap_or(0))
        };
        match kind {
            Kind::Flapping => {
                self.on[place].apart = !self.on[place].apart;
                self.on[place].next_ms = now_ms + amount.max(50);
            }
            Kind::Loss => {
                // What is on its way on a link is gone; TCP as it is simulated sends nothing again, so the connections
                // on it break.
                for node in nodes {
                    self.links.lose(node, |dice| now_ms + dice.range(1, 30), &mut self.dice);
                }
                self.on[place].next_ms = now_ms + self.dice.range(LOSS_EVERY_MS / 2, LOSS_EVERY_MS * 2);
            }
            _ => self.on[place].next_ms = u64::MAX,
        }
    }

    fn settle_links(&mut self, sim: &Sim<'_>) {
        let on: Vec<(&Fault, bool)> = self.on.iter().map(|on| (&on.fault, on.apart)).collect();
        self.links.settle(&on, sim);
    }
}

/// Whether a class of fault takes hold only as it ends, if at all.
fn at_its_end(kind: Kind) -> bool {
    matches!(kind, Kind::LostTail | Kind::OldCopy)
}

/// Whether a class of fault takes hold only if what it waits for comes: each time that it does counts.
fn by_effect(kind: Kind) -> bool {
    matches!(kind, Kind::FailingDisk | Kind::FailingRead | Kind::Transfer | Kind::Election | Kind::Checkpoint)
}

fn unsigned(amount: i64) -> u64 {
    u64::try_from(amount).unwrap_or(0)
}

fn host(hosts: &[Host], node: u32) -> &Host {
    &hosts[usize::try_from(node - 1).expect("32 bits")]
}
