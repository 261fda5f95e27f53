//! A replica that reaches nobody stays calm: it asks before it stands for election (pre-vote), so its term does not rise
//! while it is cut off. Else it would come back with a high term and depose a leader that everybody else follows.
//!
//! Only what the scenario makes sure is looked at: one node cut off alone, nobody having it call an election, and no
//! messages held back that could arrive later.

use crate::{
    cluster::Host,
    scenario::{Fault, Kind, Scenario},
    watch::Watch,
};
use std::collections::BTreeMap;

/// What was on its way when a node was cut off has arrived or is lost after this: more than the longest delay.
const ARRIVES_MAX_MS: u64 = 4_000;

/// Stretches in which a node surely reaches nobody.
pub struct Calm {
    alone: Vec<Alone>,
    /// Term of each replica when it was first seen in a stretch: by the stretch and the shard.
    terms: BTreeMap<(usize, u32), u64>,
    looked_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alone {
    node: u32,
    from_ms: u64,
    to_ms: u64,
}

impl Calm {
    /// For the faults of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let alone = scenario.faults.iter().filter_map(|fault| alone(fault, &scenario.faults)).collect();
        Self { alone, terms: BTreeMap::new(), looked_at: 0 }
    }

    /// Looks at whoever is alone, `now_ms` after clients began.
    pub fn look(&mut self, now_ms: u64, hosts: &[Host], watch: &Watch) {
        let now = self.alone.iter().enumerate().filter(|(_, alone)| (alone.from_ms..alone.to_ms).contains(&now_ms));
        for (stretch, alone) in now {
            let host = hosts.iter().find(|host| host.number == alone.node);
            let Some(node) = host.and_then(Host::node) else { continue };
            for replica in node.replicas() {
                let (shard, term) = (replica.shard().0, replica.standing().term);
                let first = self.terms.entry((stretch, shard)).or_insert(term);
                self.looked_at += 1;
                if term > *first {
                    let what =
                        format!("shard {shard}: node {} is cut off, and went from term {first} to {term}", alone.node);
                    *first = term;
                    watch.broke("liveness", "calm", what);
                }
            }
        }
    }

    /// How often a replica was looked at.
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }
}

/// When a fault leaves a node alone for sure.
fn alone(fault: &Fault, all: &[Fault]) -> Option<Alone> {
    let ([node], Kind::Partition) = (fault.nodes.as_slice(), fault.kind) else { return None };
    let (from_ms, to_ms) = (fault.at_ms + ARRIVES_MAX_MS, fault.at_ms + fault.for_ms);
    let disturbs = |other: &Fault| {
        let overlaps = other.at_ms <= to_ms && other.at_ms + other.for_ms >= fault.at_ms;
        let on_it = other.nodes.contains(node);
        overlaps && (other.kind == Kind::Pause || (on_it && matches!(other.kind, Kind::Election | Kind::Transfer)))
    };
    (from_ms < to_ms && !all.iter().any(disturbs)).then_some(Alone { node: *node, from_ms, to_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: Kind, at_ms: u64, for_ms: u64, nodes: &[u32]) -> Fault {
        Fault { at_ms, for_ms, kind, nodes: nodes.to_vec(), amount: 0 }
    }

    #[test]
    fn only_who_surely_reaches_nobody_is_looked_at() {
        let cut = fault(Kind::Partition, 1_000, 9_000, &[2]);
        let with = |other: Fault| alone(&cut, &[cut.clone(), other]);
        let found = Some(Alone { node: 2, from_ms: 5_000, to_ms: 10_000 });
        assert_eq!(with(fault(Kind::Election, 2_000, 500, &[1, 3])), found);
        assert_eq!(with(fault(Kind::Election, 2_000, 500, &[2])), None, "it is told to");
        assert_eq!(with(fault(Kind::Pause, 0, 3_000, &[1])), None, "something held back may arrive");
        assert_eq!(with(fault(Kind::Pause, 11_000, 3_000, &[1])), found);
        let two = fault(Kind::Partition, 1_000, 9_000, &[2, 3]);
        assert_eq!(alone(&two, std::slice::from_ref(&two)), None, "two may elect each other by a transfer");
    }
}
