//! `earmark status`: nodes, shards and replicas.

use super::output::{View, list, table};
use super::{Failure, Global, connect};
use clap::Args;
use earmark_client::wire::v1::{GetStatusResponse, NodeHealth, NodeStatus, ReplicaStatus, StoreStatus};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `earmark status`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only what the node that answers knows of itself.
    #[arg(long)]
    local: bool,
}

#[derive(Debug, Serialize)]
struct StatusView {
    cluster_id: String,
    map_version: u64,
    nodes: Vec<NodeView>,
}

#[derive(Debug, Serialize)]
struct NodeView {
    node: u32,
    endpoint: String,
    health: &'static str,
    detail: String,
    version: String,
    uptime_ms: u64,
    store: Option<StoreView>,
    replicas: Vec<ReplicaView>,
}

#[derive(Debug, Serialize)]
struct StoreView {
    batches: u64,
    syncs: u64,
    operations: u64,
    bytes: u64,
    sync_us: u64,
}

#[derive(Debug, Serialize)]
struct ReplicaView {
    shard: u32,
    incarnation: u32,
    role: String,
    term: u64,
    leader_node: u32,
    epoch: u32,
    last_index: u64,
    applied_index: u64,
    checkpoint_index: u64,
    purged_index: u64,
    journal_floor: u64,
    digest: String,
    digest_index: u64,
    damage: String,
    pools: u64,
    live_reservations: u64,
    clock_ms: u64,
    oversold_units: u64,
    voters: u64,
    unanswered: u64,
    in_doubt: u64,
    doubts: u64,
    in_doubt_p99_ms: u64,
    in_doubt_max_ms: u64,
    lease_reads: u64,
}

fn health_name(health: NodeHealth) -> &'static str {
    match health {
        NodeHealth::Unspecified => "unknown",
        NodeHealth::Serving => "serving",
        NodeHealth::Unformed => "unformed",
        NodeHealth::Doubted => "doubted",
        NodeHealth::Poisoned => "poisoned",
        NodeHealth::Unreachable => "unreachable",
        NodeHealth::Starting => "starting",
    }
}

impl From<StoreStatus> for StoreView {
    fn from(told: StoreStatus) -> Self {
        let StoreStatus { batches, syncs, operations, bytes, sync_us } = told;
        Self { batches, syncs, operations, bytes, sync_us }
    }
}

impl From<ReplicaStatus> for ReplicaView {
    fn from(told: ReplicaStatus) -> Self {
        Self {
            shard: told.shard,
            incarnation: told.incarnation,
            role: told.role,
            term: told.term,
            leader_node: told.leader_node,
            epoch: told.epoch,
            last_index: told.last_index,
            applied_index: told.applied_index,
            checkpoint_index: told.checkpoint_index,
            purged_index: told.purged_index,
            journal_floor: told.journal_floor,
            digest: told.digest,
            digest_index: told.digest_index,
            damage: told.damage,
            pools: told.pools,
            live_reservations: told.live_reservations,
            clock_ms: told.clock_ms,
            oversold_units: told.oversold_units,
            voters: told.voters,
            unanswered: told.unanswered,
            in_doubt: told.in_doubt,
            doubts: told.doubts,
            in_doubt_p99_ms: told.in_doubt_p99_ms,
            in_doubt_max_ms: told.in_doubt_max_ms,
            lease_reads: told.lease_reads,
        }
    }
}

impl From<NodeStatus> for NodeView {
    fn from(told: NodeStatus) -> Self {
        Self {
            node: told.node,
            health: health_name(told.health()),
            endpoint: told.endpoint,
            detail: told.detail,
            version: told.version,
            uptime_ms: told.uptime_ms,
            store: told.store.map(StoreView::from),
            replicas: told.replicas.into_iter().map(ReplicaView::from).collect(),
        }
    }
}

impl From<GetStatusResponse> for StatusView {
    fn from(told: GetStatusResponse) -> Self {
        Self {
            cluster_id: told.cluster_id,
            map_version: told.map_version,
            nodes: told.nodes.into_iter().map(NodeView::from).collect(),
        }
    }
}

impl View for StatusView {
    fn table(&self) -> String {
        let cluster = if self.cluster_id.is_empty() {
            "not formed yet: `earmark init`".to_owned()
        } else {
            self.cluster_id.clone()
        };
        let head = list([("cluster", cluster), ("map version", self.map_version.to_string())]);
        [head, self.nodes_table(), self.replicas_table()].join("\n\n").trim_end().to_owned()
    }
}

impl StatusView {
    fn nodes_table(&self) -> String {
        let rows = self.nodes.iter().map(|node| {
            let leads = node.replicas.iter().filter(|replica| replica.role == "leader").count();
            vec![
                node.node.to_string(),
                node.endpoint.clone(),
                node.health.to_owned(),
                leads.to_string(),
                node.replicas.len().to_string(),
                humantime::format_duration(Duration::from_secs(node.uptime_ms / 1_000)).to_string(),
                node.version.clone(),
                node.detail.clone(),
            ]
        });
        let columns = ["#node", "endpoint", "health", "#leads", "#replicas", "up", "version", "detail"];
        table(&columns, rows)
    }

    /// By shard, so that replicas that should be equal stand together.
    fn replicas_table(&self) -> String {
        let mut shards: BTreeMap<u32, Vec<(&NodeView, &ReplicaView)>> = BTreeMap::new();
        for node in &self.nodes {
            for replica in &node.replicas {
                shards.entry(replica.shard).or_default().push((node, replica));
            }
        }
        let rows = shards.into_values().flatten().map(|(node, replica)| {
            let digest: String = replica.digest.chars().take(12).collect();
            vec![
                replica.shard.to_string(),
                node.node.to_string(),
                replica.role.clone(),
                replica.incarnation.to_string(),
                replica.term.to_string(),
                replica.last_index.to_string(),
                replica.applied_index.to_string(),
                replica.checkpoint_index.to_string(),
                replica.pools.to_string(),
                replica.live_reservations.to_string(),
                replica.in_doubt.to_string(),
                if digest.is_empty() { digest } else { format!("{digest}@{}", replica.digest_index) },
                replica.damage.clone(),
            ]
        });
        let columns = [
            "#shard",
            "#node",
            "role",
            "#incarnation",
            "#term",
            "#last",
            "#applied",
            "#checkpoint",
            "#pools",
            "#held",
            "#in doubt",
            "digest",
            "damage",
        ];
        table(&columns, rows)
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let told = connect(global).await?.cluster().status(arguments.local).await?;
    global.output.print(&StatusView::from(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_of_a_shard_stand_together() {
        let replica = |shard, role: &str| ReplicaStatus { shard, role: role.to_owned(), ..Default::default() };
        let node = |node, roles: [&str; 2]| NodeStatus {
            node,
            replicas: vec![replica(1, roles[0]), replica(2, roles[1])],
            ..Default::default()
        };
        let told = GetStatusResponse {
            cluster_id: "c".to_owned(),
            nodes: vec![node(1, ["leader", "follower"]), node(2, ["follower", "leader"])],
            ..Default::default()
        };
        let text = StatusView::from(told).replicas_table();
        let shards: Vec<&str> = text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(shards, ["1", "1", "2", "2"]);
    }

    #[test]
    fn a_cluster_that_was_not_formed_says_so() {
        assert!(StatusView::from(GetStatusResponse::default()).table().contains("earmark init"));
    }
}
