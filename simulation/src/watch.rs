//! Looks at every replica while a run goes on, and knows no more than what must always hold.
//!
//! As a witness it sees each entry that any replica applies: at the same index every replica must have applied the same
//! entry of the same term and have the same digest (P9), and nothing may be oversold (P1). Between steps it sees
//! who leads and in which term.

use crate::{
    cluster::{Host, true_ms},
    trace::Trace,
};
use earmark_jepsen::history::Broken;
use earmark_ledger::{Ledger, types::ShardId};
use earmark_node::{
    environment::{Seen, Witness},
    shard::raft::ReplicaId,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Books are added up anew at every so many entries: it looks at every record in memory.
const FULL_CHECK_EVERY: u64 = 32;

/// `limits.clock_bound` is 500 ms: by that the stamp may be off from some right clock of the majority. A right clock is
/// off by 100 ms here ([`Scenario::draw`](crate::scenario::Scenario::draw)), and what a node knows of it by half of a
/// call that took `clock_bound`.
pub const CLOCK_AHEAD_MS_MAX: u64 = 500 + 100 + 250;

/// More than this of one kind would say nothing new.
const BROKEN_MAX: usize = 20;

/// What was seen so far.
pub struct Watch {
    trace: Trace,
    seen: Mutex<All>,
}

#[derive(Default)]
struct All {
    entries: BTreeMap<(u32, u64), Entry>,
    leaders: BTreeMap<(u32, u64), u32>,
    /// Highest term of each replica, by shard, node and incarnation.
    terms: BTreeMap<(u32, u32, u32), u64>,
    applied: u64,
    installed: u64,
    looked: BTreeMap<&'static str, u64>,
    broken: Vec<Broken>,
}

/// An entry as the first replica applied it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    term: u64,
    batch: u64,
    digest: u128,
    clock_ms: u64,
    by: u32,
}

/// How much was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Entries applied, over all replicas.
    pub applied: u64,
    /// Different entries.
    pub entries: u64,
    /// Snapshots installed.
    pub installed: u64,
    /// Terms in which someone led.
    pub leaderships: u64,
}

impl Watch {
    /// Nothing was seen yet.
    pub fn new(trace: Trace) -> Self {
        Self { trace, seen: Mutex::default() }
    }

    /// What must not be and was.
    pub fn broken(&self) -> Vec<Broken> {
        self.all().broken.clone()
    }

    /// Whether anything must not be and was.
    pub fn is_broken(&self) -> bool {
        !self.all().broken.is_empty()
    }

    /// How much was seen.
    pub fn counts(&self) -> Counts {
        let all = self.all();
        Counts {
            applied: all.applied,
            entries: all.entries.len() as u64,
            installed: all.installed,
            leaderships: all.leaders.len() as u64,
        }
    }

    /// Looks at who leads, between two steps.
    pub fn look(&self, hosts: &[Host]) {
        for host in hosts {
            let Some(node) = host.node() else { continue };
            for replica in node.replicas() {
                let (shard, id, standing) = (replica.shard().0, replica.id(), replica.standing());
                let mut all = self.all();
                let highest = all.terms.entry((shard, id.node, id.incarnation)).or_default();
                if standing.term < *highest {
                    let what = format!("shard {shard}: the term of {id} went from {highest} back to {}", standing.term);
                    all.broke("P5", "terms", what);
                } else {
                    *highest = standing.term;
                }
                if standing.role == "leader" {
                    let first = *all.leaders.entry((shard, standing.term)).or_insert_with(|| {
                        self.trace.words("leader", &format!("shard {shard} term {} node {}", standing.term, id.node));
                        id.node
                    });
                    if first != id.node {
                        let what =
                            format!("shard {shard}: nodes {first} and {} both lead in term {}", id.node, standing.term);
                        all.broke("P3", "one-leader", what);
                    }
                }
            }
        }
    }

    /// Notes how much a checker looked at.
    pub fn looked(&self, checker: &'static str, count: u64) {
        *self.all().looked.entry(checker).or_default() += count;
    }

    /// How much such checkers looked at.
    pub fn all_looked(&self) -> BTreeMap<&'static str, u64> {
        self.all().looked.clone()
    }

    /// Notes that something must not be and was.
    pub fn broke(&self, promise: &str, checker: &str, what: String) {
        self.all().broke(promise, checker, what);
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn broke(&mut self, promise: &str, checker: &str, what: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(Broken::new(promise, checker, what, Vec::new()));
        }
    }

    /// The ledger's clock never goes back, and never runs ahead of the true time by more than [`CLOCK_AHEAD_MS_MAX`].
    fn clock(&mut self, shard: ShardId, index: u64, clock_ms: u64, true_ms: u64) {
        let before = index.checked_sub(1).and_then(|before| self.entries.get(&(shard.0, before)));
        if let Some(before) = before.map(|entry| entry.clock_ms).filter(|before| *before > clock_ms) {
            self.broke("P7", "ledger-clock", format!("shard {shard}: the clock went from {before} back to {clock_ms}"));
        }
        if clock_ms > true_ms + CLOCK_AHEAD_MS_MAX {
            let ahead = clock_ms - true_ms;
            self.broke("P7", "ledger-clock", format!("shard {shard}, entry {index}: the clock is {ahead} ms ahead"));
        }
    }

    fn state(&mut self, shard: ShardId, replica: ReplicaId, ledger: &Ledger, full: bool) {
        let oversold = ledger.oversold_units();
        if oversold > 0 {
            self.broke("P1", "no-oversell", format!("shard {shard} on {replica}: {oversold} units are oversold"));
        }
        if full {
            for violation in ledger.violations() {
                let what = format!("shard {shard} on {replica}: {violation:?}");
                self.broke(violation.promise, "books", what);
            }
        }
    }
}

fn digest(ledger: &mut Ledger) -> u128 {
    u128::from_be_bytes(ledger.digest().to_bytes())
}

impl Witness for Watch {
    fn applied(&self, seen: Seen<'_>) {
        let batch = seen.batch.map_or(0, xxhash_rust::xxh3::xxh3_64);
        let (shard, node, term, index) = (seen.shard, seen.replica.node, seen.term, seen.index);
        let entry = Entry { term, batch, digest: digest(seen.ledger), clock_ms: seen.ledger.clock().0, by: node };
        let low = (entry.digest & u128::from(u64::MAX)) as u64;
        self.trace.numbers("applied", &[node.into(), shard.0.into(), index, term, batch, low]);
        let mut all = self.all();
        all.applied += 1;
        let first = *all.entries.entry((shard.0, index)).or_insert(entry);
        if (first.term, first.batch) != (term, batch) {
            let what = format!(
                "shard {shard}, entry {index}: node {} applied term {}, node {node} applied term {term}",
                first.by, first.term
            );
            all.broke("P5", "log-matching", what);
        } else if first.digest != entry.digest {
            let what = format!("shard {shard}, entry {index}: nodes {} and {node} have other states", first.by);
            all.broke("P9", "digests", what);
        }
        all.clock(shard, index, entry.clock_ms, true_ms(&self.trace));
        all.state(shard, seen.replica, seen.ledger, index % FULL_CHECK_EVERY == 0);
    }

    fn installed(&self, shard: ShardId, replica: ReplicaId, term: u64, index: u64, ledger: &mut Ledger) {
        let found = digest(ledger);
        self.trace
            .words("installed", &format!("{replica} shard {shard} index {index} term {term} digest {found:032x}"));
        let mut all = self.all();
        all.installed += 1;
        if let Some(first) = all.entries.get(&(shard.0, index)).copied()
            && first.digest != found
        {
            let what =
                format!("shard {shard}, snapshot at {index}: node {} has another state than {replica}", first.by);
            all.broke("P9", "digests", what);
        }
        all.state(shard, replica, ledger, true);
    }
}
