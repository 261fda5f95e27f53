//! Carries the faults of a scenario out, and takes them back.
//!
//! Links are worked out anew from all faults that are on whenever one begins or ends, so that faults may overlap. What
//! can't be done (the node is down already) is left out and not counted: only what really happened covers a class.

use crate::{
    cluster::{Host, Order},
    dice::Dice,
    scenario::{Fault, Kind, Scenario},
    trace::Trace,
};
use earmark_node::{node::Health, storage::PowerLoss};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    time::Duration,
};
use turmoil::Sim;

/// Whoever runs the nodes starts a process anew that says it can't go on, after so long.
const SUPERVISOR_MS: u64 = 1_500;

/// Between two losses of messages while [`Kind::Loss`] is on.
const LOSS_EVERY_MS: u64 = 700;

/// How a link between two hosts is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Link {
    held: bool,
    /// From the first to the second, and back.
    blocked: [bool; 2],
}

/// What goes wrong in a run.
pub struct Faults {
    coming: Vec<Fault>,
    on: Vec<On>,
    /// Nodes whose process is down, and when it begins again.
    down: BTreeMap<u32, u64>,
    links: BTreeMap<(u32, u32), Link>,
    lost_until: BTreeMap<(u32, u32), u64>,
    nodes: u32,
    machines: u32,
    latency_ms_max: u64,
    dice: Dice,
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
    /// The faults of a scenario, none of which began yet.
    pub fn new(scenario: &Scenario, trace: Trace) -> Self {
        let mut coming = scenario.faults.clone();
        coming.sort_by_key(|fault| std::cmp::Reverse(fault.at_ms));
        Self {
            coming,
            on: Vec::new(),
            down: BTreeMap::new(),
            links: BTreeMap::new(),
            lost_until: BTreeMap::new(),
            nodes: scenario.nodes,
            machines: scenario.machines,
            latency_ms_max: scenario.latency_ms_max,
            dice: Dice::fork(scenario.seed, "faults"),
            counts: BTreeMap::new(),
            trace,
        }
    }

    /// How often each class happened.
    pub fn counts(&self) -> &BTreeMap<Kind, u64> {
        &self.counts
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
            self.end(&ended.fault, sim, hosts);
        }
        self.restart(now_ms, sim, hosts);
        self.supervise(now_ms, sim, hosts);
        for place in 0..self.on.len() {
            if self.on[place].next_ms <= now_ms {
                self.again(place, now_ms);
            }
        }
        self.lost_until.retain(|_, until| *until > now_ms);
        self.settle_links(sim);
    }

    /// Ends every fault: links whole, clocks right, disks fast, every process running.
    pub fn stop(&mut self, sim: &mut Sim<'_>, hosts: &[Host]) {
        self.coming.clear();
        for on in std::mem::take(&mut self.on) {
            self.end(&on.fault, sim, hosts);
        }
        self.lost_until.clear();
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
                self.down.insert(host.number, now_ms + SUPERVISOR_MS);
            }
        }
    }

    /// Starts the processes whose time to be down is over.
    pub fn restart(&mut self, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) {
        let due: Vec<u32> = self.down.iter().filter(|(_, until)| **until <= now_ms).map(|(node, _)| *node).collect();
        for node in due {
            self.down.remove(&node);
            host(hosts, node).begin(sim);
        }
    }

    fn begin(&mut self, fault: Fault, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) {
        let installed = self.install(&fault, now_ms, sim, hosts);
        self.trace.words("fault", &format!("{fault:?} installed {installed}"));
        if installed == 0 {
            return;
        }
        *self.counts.entry(fault.kind).or_default() += 1;
        let until_ms = now_ms + fault.for_ms;
        self.on.push(On { fault, until_ms, next_ms: now_ms, apart: false });
    }

    /// Does what a fault does at once. On how many nodes it took hold.
    fn install(&mut self, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>, hosts: &[Host]) -> usize {
        let mut installed = 0;
        for node in &fault.nodes {
            let took = match fault.kind {
                Kind::Vanish => {
                    sim.crash(format!("c{node}"));
                    true
                }
                Kind::Crash | Kind::PowerLoss => self.kill(host(hosts, *node), fault, now_ms, sim),
                Kind::ClockJump => {
                    host(hosts, *node).clock.jump(fault.amount);
                    true
                }
                Kind::ClockDrift => {
                    host(hosts, *node).clock.drift(fault.amount);
                    true
                }
                Kind::SlowDisk => {
                    let ms = u64::try_from(fault.amount).unwrap_or(0);
                    host(hosts, *node).wear.slower_ms.store(ms, Ordering::Relaxed);
                    true
                }
                Kind::FailingDisk => {
                    let host = host(hosts, *node);
                    host.node().is_some() && !host.wear.fails.swap(true, Ordering::Relaxed)
                }
                Kind::Transfer => host(hosts, *node).order(Order::HandOver),
                Kind::Election => host(hosts, *node).order(Order::Elect),
                Kind::Checkpoint => host(hosts, *node).order(Order::Checkpoint),
                Kind::Delay => {
                    self.slow_links(*node, Duration::from_millis(u64::try_from(fault.amount).unwrap_or(0)), sim);
                    true
                }
                Kind::Partition
                | Kind::OneWay
                | Kind::Bridge
                | Kind::Ring
                | Kind::Flapping
                | Kind::Loss
                | Kind::Pause => true,
            };
            installed += usize::from(took);
        }
        installed
    }

    fn kill(&mut self, host: &Host, fault: &Fault, now_ms: u64, sim: &mut Sim<'_>) -> bool {
        if self.down.contains_key(&host.number) {
            return false;
        }
        let power = (fault.kind == Kind::PowerLoss).then(|| {
            let unsynced = host.disk.unsynced() as u64;
            let left = unsynced * u64::try_from(fault.amount).unwrap_or(0) / 100;
            let batches = usize::try_from(left).unwrap_or(usize::MAX);
            self.trace.words("power", &format!("n{} loses {} of {unsynced} batches", host.number, unsynced - left));
            PowerLoss { batches, marks: self.dice.percent(50), torn: false }
        });
        host.end(sim, power);
        self.down.insert(host.number, now_ms + fault.for_ms);
        true
    }

    fn end(&mut self, fault: &Fault, sim: &mut Sim<'_>, hosts: &[Host]) {
        for node in &fault.nodes {
            match fault.kind {
                Kind::Vanish => sim.bounce(format!("c{node}")),
                Kind::ClockJump => host(hosts, *node).clock.jump(-fault.amount),
                Kind::ClockDrift => host(hosts, *node).clock.steady(),
                Kind::SlowDisk => host(hosts, *node).wear.slower_ms.store(0, Ordering::Relaxed),
                Kind::FailingDisk => host(hosts, *node).wear.fails.store(false, Ordering::Relaxed),
                Kind::Delay => self.slow_links(*node, Duration::ZERO, sim),
                _ => {}
            }
        }
        self.trace.words("fault", &format!("{} {:?} is over", fault.kind.name(), fault.nodes));
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
                    let others: Vec<u32> = self.others(node);
                    let other = *self.dice.pick(&others);
                    self.lost_until.insert(pair(node, other), now_ms + self.dice.range(1, 30));
                }
                self.on[place].next_ms = now_ms + self.dice.range(LOSS_EVERY_MS / 2, LOSS_EVERY_MS * 2);
            }
            _ => self.on[place].next_ms = u64::MAX,
        }
    }

    /// Everyone a node has a link to: nodes by their numbers, then the machines of clients.
    fn others(&self, node: u32) -> Vec<u32> {
        (1..=self.nodes + self.machines).filter(|other| *other != node).collect()
    }

    fn name(&self, host: u32) -> String {
        if host <= self.nodes { format!("n{host}") } else { format!("c{}", host - self.nodes) }
    }

    fn slow_links(&self, node: u32, by: Duration, sim: &Sim<'_>) {
        let most = Duration::from_millis(self.latency_ms_max) + by;
        for other in self.others(node) {
            sim.set_link_max_message_latency(self.name(node), self.name(other), most);
        }
    }

    /// Brings every link to what the faults that are on make of it.
    fn settle_links(&mut self, sim: &Sim<'_>) {
        let hosts = self.nodes + self.machines;
        for first in 1..=hosts {
            for second in first + 1..=hosts {
                let wanted = self.wanted(first, second);
                let now = self.links.get(&(first, second)).copied().unwrap_or_default();
                if wanted != now {
                    change(sim, &self.name(first), &self.name(second), now, wanted);
                    self.links.insert((first, second), wanted);
                }
            }
        }
    }

    fn wanted(&self, first: u32, second: u32) -> Link {
        let mut link = Link::default();
        for on in &self.on {
            let fault = &on.fault;
            let (a, b) = (fault.nodes.contains(&first), fault.nodes.contains(&second));
            let between_nodes = second <= self.nodes;
            let cut = match fault.kind {
                Kind::Pause => {
                    link.held |= a || b && between_nodes;
                    false
                }
                Kind::Partition => a != (b && between_nodes) && (between_nodes || fault.amount == 1),
                Kind::Flapping => on.apart && between_nodes && a != b,
                Kind::Bridge => between_nodes && bridge_cuts(&fault.nodes, first, second),
                Kind::Ring => between_nodes && ring_cuts(&fault.nodes, first, second),
                Kind::OneWay => {
                    if between_nodes {
                        link.blocked[0] |= a;
                        link.blocked[1] |= b;
                    }
                    false
                }
                _ => false,
            };
            link.blocked[0] |= cut;
            link.blocked[1] |= cut;
        }
        if self.lost_until.contains_key(&(first, second)) {
            link.blocked = [true, true];
        }
        link
    }
}

fn host(hosts: &[Host], node: u32) -> &Host {
    &hosts[usize::try_from(node - 1).expect("32 bits")]
}

fn pair(a: u32, b: u32) -> (u32, u32) {
    (a.min(b), a.max(b))
}

/// The first node is the bridge; the others are halves.
fn bridge_cuts(order: &[u32], a: u32, b: u32) -> bool {
    let place = |node: u32| order.iter().position(|other| *other == node);
    let half = order.len().div_ceil(2);
    match (place(a), place(b)) {
        (Some(a), Some(b)) if a > 0 && b > 0 => (a < half) != (b < half),
        _ => false,
    }
}

/// Each reaches the one before and the one after it; of three, the first and the last do not.
fn ring_cuts(order: &[u32], a: u32, b: u32) -> bool {
    let place = |node: u32| order.iter().position(|other| *other == node);
    let (Some(a), Some(b)) = (place(a), place(b)) else { return false };
    let apart = a.abs_diff(b);
    if order.len() == 3 { apart == 2 } else { apart != 1 && apart != order.len() - 1 }
}

fn change(sim: &Sim<'_>, first: &str, second: &str, now: Link, wanted: Link) {
    if now.held && !wanted.held {
        sim.release(first, second);
    }
    if wanted.held {
        // What was cut is lost; what is sent from now on waits.
        sim.hold(first, second);
        return;
    }
    let before = if now.held { [false, false] } else { now.blocked };
    for (direction, (from, to)) in [(first, second), (second, first)].into_iter().enumerate() {
        match (before[direction], wanted.blocked[direction]) {
            (false, true) => sim.partition_oneway(from, to),
            (true, false) => sim.repair_oneway(from, to),
            _ => {}
        }
    }
}

/// Every class of fault in a list.
pub fn classes(faults: &[Fault]) -> BTreeSet<Kind> {
    faults.iter().map(|fault| fault.kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_and_rings_leave_everyone_a_majority_or_a_bridge() {
        assert!(!bridge_cuts(&[2, 1, 3], 2, 1) && !bridge_cuts(&[2, 1, 3], 2, 3) && bridge_cuts(&[2, 1, 3], 1, 3));
        let five = [1, 2, 3, 4, 5];
        assert!(bridge_cuts(&five, 2, 4) && !bridge_cuts(&five, 2, 3) && !bridge_cuts(&five, 4, 5));
        assert!(!ring_cuts(&five, 1, 5) && !ring_cuts(&five, 1, 2) && ring_cuts(&five, 1, 3));
        assert!(ring_cuts(&[1, 2, 3], 1, 3) && !ring_cuts(&[1, 2, 3], 1, 2));
    }
}
