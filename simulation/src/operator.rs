//! Whoever looks after the cluster: forms it, stocks it, and re-seeds the nodes that say they need it, by the same call
//! and for the same reasons as a person would (`docs/operations.md`). Faults leave this machine alone.

use crate::{dice::Dice, scenario::Scenario, trace::Trace};
use earmark_client::{
    Client,
    wire::v1::{NodeHealth, NodeStatus},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// Between two looks at the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// For a status, and for the first step of a re-seed.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A re-seed that tells nothing for so long is asked for again: that continues it.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// Re-seeds what needs it until the run is over.
pub struct Operator {
    client: Client,
    trace: Trace,
    dice: Dice,
    reseeds: Arc<AtomicU64>,
    /// Since when a node needs to be re-seeded, and when that is done.
    ill: BTreeMap<u32, Instant>,
}

impl Operator {
    /// Who counts the re-seeds that were done.
    pub fn new(client: Client, scenario: &Scenario, trace: Trace, reseeds: Arc<AtomicU64>) -> Self {
        Self { client, trace, dice: Dice::fork(scenario.seed, "operator tends"), reseeds, ill: BTreeMap::new() }
    }

    /// Looks and acts until `over`.
    pub async fn tend(mut self, over: Arc<AtomicBool>) {
        while !over.load(Ordering::Relaxed) {
            sleep(LOOK_EVERY).await;
            let Ok(Ok(status)) = timeout(ANSWER_MAX, self.client.cluster().status(false)).await else { continue };
            let ill: Vec<u32> = status.nodes.iter().filter(|node| needs_reseed(node)).map(|node| node.node).collect();
            self.ill.retain(|node, _| ill.contains(node));
            for node in ill {
                // People take their time.
                let patience = Duration::from_millis(self.dice.range(200, 6_000));
                let at = *self.ill.entry(node).or_insert_with(|| Instant::now() + patience);
                if Instant::now() >= at {
                    self.ill.remove(&node);
                    self.reseed(node).await;
                }
            }
        }
    }

    async fn reseed(&self, node: u32) {
        self.trace.words("operator", &format!("re-seeds n{node}"));
        let told = match self.steps(node).await {
            Ok(()) => {
                self.reseeds.fetch_add(1, Ordering::Relaxed);
                "is done".to_owned()
            }
            Err(what) => what,
        };
        self.trace.words("operator", &format!("the re-seed of n{node}: {told}"));
    }

    async fn steps(&self, node: u32) -> Result<(), String> {
        let asked = timeout(ANSWER_MAX, self.client.cluster().reseed(node)).await;
        let mut steps = asked.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        loop {
            let step = timeout(SILENCE_MAX, steps.next()).await.map_err(|_| "it fell silent".to_owned())?;
            match step.map_err(|error| error.to_string())? {
                Some(step) => self.trace.words("operator", &format!("n{node} shard {} {}", step.shard, step.step)),
                None => return Ok(()),
            }
        }
    }
}

/// Whether a node says, or its state says, that it has to be re-seeded.
pub fn needs_reseed(node: &NodeStatus) -> bool {
    match node.health() {
        // A cluster that is formed has no such members.
        NodeHealth::Doubted | NodeHealth::Unformed => true,
        NodeHealth::Serving => node.replicas.iter().any(|replica| !replica.damage.is_empty()),
        // One that was begun and broke off says so.
        NodeHealth::Starting => node.detail.contains("admin reseed"),
        _ => false,
    }
}

/// Forms the cluster, however often it has to be tried.
pub async fn form(client: &Client, scenario: &Scenario, trace: &Trace) {
    while let Err(error) = client.cluster().init(scenario.shards).await {
        trace.words("operator", &format!("not formed yet: {error}"));
        let formed = client.cluster().routing().await.is_ok_and(|routing| !routing.cluster_id.is_empty());
        if formed {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}
