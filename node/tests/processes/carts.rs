//! A cluster whose nodes can be killed or held at a step of a cart, and carts over three of its shards.

use crate::cluster::{Cluster, NODES, Start, eventually};
use earmark_client::{Client, ReservationInfo, ReservationState, wire::v1};
use earmark_ledger::types::{Bucket, Namespace, ReservationId, Sku};
use earmark_node::failpoint::{Role, Step};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};
use v1::NodeHealth;

/// Where all stock lies.
pub const LOCATION: &str = "main";

/// Units of each line of a cart.
pub const UNITS: u64 = 3;

/// What is received of each SKU: more than all carts of a test hold or sell.
pub const RECEIVED: u64 = 10_000;

/// Three nodes that look at a file of their own at each step.
pub struct Stage {
    /// The nodes.
    pub cluster: Cluster,
    /// Knows all of them.
    pub client: Client,
    /// Of each bucket range its last bucket and its shard.
    ranges: Vec<(u32, u32)>,
    named: u32,
}

/// Who plays which part, and the SKUs of a cart with a line in each of three shards, the home's first.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Is sent the request; leads neither of the others' shards.
    pub gateway: u32,
    /// Leads the home shard.
    pub home: u32,
    /// Leads the second line's shard.
    pub participant: u32,
    /// Shards of the lines.
    pub shards: [u32; 3],
}

impl Cast {
    /// The node that comes by a step.
    pub fn node(&self, step: Step) -> u32 {
        match step.role() {
            Role::Gateway => self.gateway,
            Role::Home => self.home,
            Role::Participant => self.participant,
        }
    }
}

impl Stage {
    /// A cluster with `shards` stock shards.
    pub async fn set(shards: u32) -> Self {
        let mut cluster = Cluster::prepare("");
        for node in NODES {
            start(&mut cluster, node);
        }
        cluster.form(shards).await;
        let client = cluster.client().await;
        let ranges = eventually("a map", async || {
            let routing = cluster.service(1).get_routing(v1::GetRoutingRequest {}).await;
            let ranges = routing.map_err(|status| status.to_string())?.into_inner().ranges;
            if ranges.is_empty() { Err("no ranges yet".to_owned()) } else { Ok(ranges) }
        })
        .await;
        let ranges = ranges.iter().map(|range| (range.last, range.shard)).collect();
        Self { cluster, client, ranges, named: 0 }
    }

    /// The shard of a SKU.
    pub fn shard(&self, sku: &str) -> u32 {
        let sku: Sku = sku.parse().expect("a SKU");
        let bucket = u32::from(Bucket::of(&Namespace::default(), &sku).number());
        self.ranges[self.ranges.partition_point(|(last, _)| *last < bucket)].1
    }

    /// A SKU in that shard that nobody used yet, with stock.
    pub async fn stocked(&mut self, shard: u32) -> String {
        let sku = loop {
            self.named += 1;
            let sku = format!("sku-{:05}", self.named);
            if self.shard(&sku) == shard {
                break sku;
            }
        };
        let id = self.client.make_operation_id();
        eventually(&format!("{sku} is received"), async || {
            let received = self.client.receive(&sku, LOCATION, RECEIVED).id(id).send().await;
            received.map_err(|error| error.to_string())
        })
        .await;
        sku
    }

    /// Gateway, home and participant on three nodes. Which shards they are changes with `turn`. If one node leads all
    /// shards, it has to give them up first.
    pub async fn cast(&mut self, turn: usize) -> Cast {
        loop {
            let leaders = self.cluster.leaders().await;
            let mut stock: Vec<(u32, u32)> = leaders.into_iter().filter(|(shard, _)| *shard > 0).collect();
            let turn = turn % stock.len();
            stock.rotate_left(turn);
            let (first, home) = stock[0];
            let Some((second, participant)) = stock.iter().copied().find(|(_, leader)| *leader != home) else {
                self.cluster.kill(home);
                start(&mut self.cluster, home);
                self.serving().await;
                continue;
            };
            let third = stock.iter().map(|(shard, _)| *shard).find(|shard| *shard != first && *shard != second);
            let gateway = NODES.into_iter().find(|node| *node != home && *node != participant).expect("a third node");
            let shards = [first, second, third.expect("three shards")];
            return Cast { gateway, home, participant, shards };
        }
    }

    /// Starts a node again.
    pub fn start(&mut self, node: u32) {
        start(&mut self.cluster, node);
    }

    /// Waits until all nodes serve and every shard has a leader.
    pub async fn serving(&self) {
        for node in NODES {
            self.cluster.health(node, NodeHealth::Serving).await;
        }
        self.cluster.leaders().await;
    }

    /// Has a node come to its end, or wait, at a step: `kill` or `hold`.
    pub fn arm(&self, node: u32, action: &str, step: Step) {
        let file = fail_file(&self.cluster, node);
        // It must not be read half written.
        let draft = file.with_extension("draft");
        fs::write(&draft, format!("{action} {}\n", step.name())).expect("written");
        fs::rename(draft, file).expect("armed");
    }

    /// Whether nobody came by what a node was armed with.
    pub fn is_armed(&self, node: u32) -> bool {
        fail_file(&self.cluster, node).exists()
    }

    /// Waits until someone is held on that node; gives what is to be removed to let go.
    pub async fn held(&self, node: u32) -> PathBuf {
        let held = PathBuf::from(format!("{}.held", fail_file(&self.cluster, node).display()));
        eventually(&format!("a step on node {node}"), async || {
            if held.exists() { Ok(()) } else { Err("nobody came by".to_owned()) }
        })
        .await;
        held
    }

    /// What `earmark status` tells: every cart is decided, every decision is carried out, nothing is oversold.
    pub fn at_rest(&self) -> Result<(), String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_earmark"));
        command.args(["--endpoints", &self.cluster.endpoint(1), "--output", "json", "status"]);
        let output = command.output().map_err(|error| error.to_string())?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let list = |value: &serde_json::Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let replicas: Vec<_> = list(&status, "nodes").iter().flat_map(|node| list(node, "replicas")).collect();
        let (mut led, mut lacking) = (BTreeSet::new(), Vec::new());
        for replica in &replicas {
            let number = |key: &str| replica[key].as_u64().unwrap_or_else(|| panic!("{key} of {replica}"));
            assert_eq!((number("oversold_units"), replica["damage"].as_str()), (0, Some("")), "{replica}");
            if replica["role"] == "leader" {
                led.insert(number("shard"));
                if number("in_doubt") + number("unanswered") > 0 {
                    lacking.push(replica.to_string());
                }
            }
        }
        let shards: BTreeSet<u64> = (0..=u64::from(self.shards())).collect();
        if led != shards {
            lacking.push(format!("leaders of {led:?} only"));
        }
        if lacking.is_empty() { Ok(()) } else { Err(lacking.join("\n")) }
    }

    fn shards(&self) -> u32 {
        self.ranges.iter().map(|(_, shard)| *shard).max().unwrap_or(0)
    }

    /// One reservation, read by its id.
    pub async fn show(&self, id: ReservationId) -> Result<ReservationInfo, String> {
        let read = self.client.reservation(id).send().await;
        read.map(|read| read.reservation).map_err(|error| error.to_string())
    }

    /// The pools of these SKUs hold and have sold exactly what these reservations say: no cart is half done, and no hold
    /// has no home.
    pub async fn books_agree(
        &self,
        skus: impl IntoIterator<Item = &String>,
        ids: &[ReservationId],
    ) -> Result<(), String> {
        let mut said: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for id in ids {
            let found = self.show(*id).await?;
            whole(&found)?;
            for line in &found.lines {
                let (held, sold) = said.entry(line.sku.clone()).or_default();
                *held += line.held;
                *sold += line.committed;
            }
        }
        for sku in skus {
            let stock = self.client.stock(sku).location(LOCATION).send().await.map_err(|error| error.to_string())?;
            let [pool] = stock.pools.as_slice() else { return Err(format!("{sku}: {stock:?}")) };
            let (held, sold) = said.get(sku).copied().unwrap_or_default();
            let on_hand = RECEIVED - sold;
            let there = (pool.on_hand, pool.available, pool.held, pool.sold_total, pool.short);
            if there != (on_hand, on_hand - held, held, sold, 0) {
                return Err(format!("{sku}: reservations say {held} held and {sold} sold, and there are {pool:?}"));
            }
        }
        Ok(())
    }
}

/// Every line of a cart is in the same state.
fn whole(cart: &ReservationInfo) -> Result<(), String> {
    let lines: Vec<_> =
        cart.lines.iter().map(|line| (line.held, line.committed, line.released, line.expired)).collect();
    let alike = lines.iter().all(|line| *line == lines[0]);
    // A replace asks for one more of each.
    let units = UNITS + u64::from(cart.revision > 1);
    let complete = lines.iter().all(|line| line.0 + line.1 + line.2 + line.3 == units);
    let ended = cart.state == ReservationState::Rejected;
    if alike && (complete && lines.len() == 3 || ended) { Ok(()) } else { Err(format!("not whole: {cart:?}")) }
}

fn fail_file(cluster: &Cluster, node: u32) -> PathBuf {
    cluster.scratch(&format!("fail-{node}"))
}

fn start(cluster: &mut Cluster, node: u32) {
    let file = fail_file(cluster, node).display().to_string();
    cluster.start_with(node, &Start { variables: vec![("EARMARK_FAIL_POINT_FILE".to_owned(), file)] });
}
