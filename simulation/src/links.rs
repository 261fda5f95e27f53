//! Links between hosts, as the faults that are on make them.
//!
//! They are worked out anew from all of them whenever one begins or ends, so that faults may overlap.

use crate::{
    dice::Dice,
    scenario::{CLIENTS_ON_BOTH_SIDES, CLIENTS_WITH_THE_OTHERS, Fault, Kind, Scenario},
};
use std::{collections::BTreeMap, time::Duration};
use turmoil::Sim;

/// How a link between two hosts is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Link {
    held: bool,
    /// From the first to the second, and back.
    blocked: [bool; 2],
    /// Messages take up to so much longer.
    slower_ms: u64,
}

/// All links of a run: nodes by their numbers, then the machines of clients.
pub struct Links {
    links: BTreeMap<(u32, u32), Link>,
    lost_until: BTreeMap<(u32, u32), u64>,
    nodes: u32,
    machines: u32,
    latency_ms_max: u64,
}

impl Links {
    /// All whole.
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            links: BTreeMap::new(),
            lost_until: BTreeMap::new(),
            nodes: scenario.nodes,
            machines: scenario.machines,
            latency_ms_max: scenario.latency_ms_max,
        }
    }

    /// What is on its way between a node and some other host is lost until then.
    pub fn lose(&mut self, node: u32, until_ms: impl FnOnce(&mut Dice) -> u64, dice: &mut Dice) {
        let others = self.others(node);
        let other = *dice.pick(&others);
        let until_ms = until_ms(dice);
        self.lost_until.insert(pair(node, other), until_ms);
    }

    /// Nothing is lost any more that was to be lost until now.
    pub fn forget_losses(&mut self, now_ms: u64) {
        self.lost_until.retain(|_, until| *until > now_ms);
    }

    /// Brings every link to what these faults make of it; of each it is said whether it holds nodes apart now.
    pub fn settle(&mut self, on: &[(&Fault, bool)], sim: &Sim<'_>) {
        let hosts = self.nodes + self.machines;
        for first in 1..=hosts {
            for second in first + 1..=hosts {
                let wanted = self.wanted(on, first, second);
                let now = self.links.get(&(first, second)).copied().unwrap_or_default();
                if wanted.slower_ms != now.slower_ms {
                    let most = Duration::from_millis(self.latency_ms_max + wanted.slower_ms);
                    sim.set_link_max_message_latency(self.name(first), self.name(second), most);
                }
                if wanted != now {
                    change(sim, &self.name(first), &self.name(second), now, wanted);
                    self.links.insert((first, second), wanted);
                }
            }
        }
    }

    /// Everyone a node has a link to.
    fn others(&self, node: u32) -> Vec<u32> {
        (1..=self.nodes + self.machines).filter(|other| *other != node).collect()
    }

    fn name(&self, host: u32) -> String {
        if host <= self.nodes { format!("n{host}") } else { format!("c{}", host - self.nodes) }
    }

    fn wanted(&self, on: &[(&Fault, bool)], first: u32, second: u32) -> Link {
        let mut link = Link::default();
        for (fault, apart) in on {
            let (a, b) = (fault.nodes.contains(&first), fault.nodes.contains(&second));
            let between_nodes = second <= self.nodes;
            let cut = match fault.kind {
                Kind::Pause | Kind::Freeze => {
                    link.held |= a || b && between_nodes;
                    false
                }
                Kind::Partition if between_nodes => a != b,
                Kind::Partition => match fault.amount {
                    CLIENTS_WITH_THE_OTHERS => a,
                    CLIENTS_ON_BOTH_SIDES => a != stays_with_nodes(second - self.nodes),
                    _ => false,
                },
                Kind::Unreached => {
                    let machine = second.saturating_sub(self.nodes);
                    a && machine > 0 && (fault.amount == 0 || fault.amount == i64::from(machine))
                }
                Kind::Delay | Kind::Lag => {
                    let slows = a || b && between_nodes;
                    if slows && (fault.kind == Kind::Delay || between_nodes) {
                        link.slower_ms = link.slower_ms.max(u64::try_from(fault.amount).unwrap_or(0));
                    }
                    false
                }
                Kind::Flapping => *apart && between_nodes && a != b,
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

/// Whether a machine of clients stays with the nodes that are cut off, where clients are on both sides.
fn stays_with_nodes(machine: u32) -> bool {
    machine % 2 == 1
}

/// Two hosts, in order.
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
