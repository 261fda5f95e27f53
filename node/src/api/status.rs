//! What a node tells of itself, and what it gathers from its peers.

use crate::{
    node::{Health, Node},
    peer::wire,
    shard::Replica,
    storage::Stats,
};
use earmark_client::wire::v1;
use prost::Message;
use std::{sync::Arc, time::Duration};

/// A peer that does not answer within this is told as unreachable.
const PATIENCE: Duration = Duration::from_secs(2);

/// This node alone.
pub fn local(node: &Node) -> v1::NodeStatus {
    let health = node.health();
    let mut replicas: Vec<v1::ReplicaStatus> = node.replicas().iter().map(of_replica).collect();
    for (shard, why) in node.closed() {
        match replicas.iter_mut().find(|replica| replica.shard == shard.0) {
            Some(replica) if replica.damage.is_empty() => replica.damage = why,
            Some(_) => {}
            None => replicas.push(v1::ReplicaStatus {
                shard: shard.0,
                role: "none".to_owned(),
                damage: why,
                ..v1::ReplicaStatus::default()
            }),
        }
    }
    replicas.sort_by_key(|replica| replica.shard);
    v1::NodeStatus {
        node: node.config().node,
        endpoint: node.config().client.advertise.clone(),
        detail: health.detail(),
        health: match health {
            Health::Starting | Health::Reseeding => v1::NodeHealth::Starting,
            Health::Unformed => v1::NodeHealth::Unformed,
            Health::Serving => v1::NodeHealth::Serving,
            Health::Doubted(_) => v1::NodeHealth::Doubted,
            Health::Poisoned(_) => v1::NodeHealth::Poisoned,
        }
        .into(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: u64::try_from(node.started().elapsed().as_millis()).unwrap_or(u64::MAX),
        replicas,
        store: node.store().map(|store| of_store(&store.stats())),
    }
}

fn of_store(stats: &Stats) -> v1::StoreStatus {
    v1::StoreStatus {
        batches: stats.batches,
        syncs: stats.syncs,
        operations: stats.operations,
        bytes: stats.bytes,
        sync_us: stats.sync_us,
    }
}

fn of_replica(replica: &Arc<Replica>) -> v1::ReplicaStatus {
    let standing = replica.standing();
    let damage = replica.core().damage().borrow().clone();
    if replica.core().is_broken() {
        return v1::ReplicaStatus {
            shard: replica.shard().0,
            incarnation: replica.id().incarnation,
            role: "none".to_owned(),
            damage: damage.map_or_else(
                || "apply stopped in the middle of an entry".to_owned(),
                |damage| damage.reason.to_string(),
            ),
            ..v1::ReplicaStatus::default()
        };
    }
    let newest = replica.core().newest_digest();
    let journal_floor = replica.core().store().journal_floor().index.0;
    let doubts = replica.core().board().doubts();
    let hot = replica.hot();
    let totals = hot.ledger.totals();
    v1::ReplicaStatus {
        shard: replica.shard().0,
        incarnation: replica.id().incarnation,
        role: standing.role.to_owned(),
        term: standing.term,
        leader_node: standing.leader.unwrap_or(0),
        epoch: hot.epoch().0,
        last_index: standing.last_index,
        applied_index: hot.last.map_or(0, |id| id.index),
        checkpoint_index: hot.checkpointed.map_or(0, |id| id.index),
        purged_index: standing.purged_index,
        digest: newest.map(|(_, digest)| digest.to_string()).unwrap_or_default(),
        digest_index: newest.map_or(0, |(index, _)| index),
        damage: damage.map(|damage| damage.reason.to_string()).unwrap_or_default(),
        pools: totals.pools,
        live_reservations: totals.live_reservations,
        clock_ms: hot.clock().0,
        oversold_units: hot.ledger.oversold_units(),
        voters: standing.voters.len() as u64,
        journal_floor,
        unanswered: hot.ledger.unanswered() as u64,
        in_doubt: hot.ledger.in_doubt().0 as u64,
        doubts: doubts.count,
        in_doubt_p99_ms: millis(doubts.p99),
        in_doubt_max_ms: millis(doubts.max),
        lease_reads: replica.reads_by_lease(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One peer, by asking it. What it does not answer is told as unreachable.
pub async fn of_peer(node: &Node, peer: u32) -> v1::NodeStatus {
    if peer == node.config().node {
        return local(node);
    }
    let unreachable = |why: String| v1::NodeStatus {
        node: peer,
        endpoint: node.config().nodes.get(&peer).map(|peer| peer.client.clone()).unwrap_or_default(),
        health: v1::NodeHealth::Unreachable.into(),
        detail: why,
        ..v1::NodeStatus::default()
    };
    let Some(mut link) = node.links().to(peer) else { return unreachable("not known here".to_owned()) };
    match tokio::time::timeout(PATIENCE, link.local_status(wire::LocalStatusRequest {})).await {
        Err(_) => unreachable("did not answer in time".to_owned()),
        Ok(Err(status)) => unreachable(status.message().to_owned()),
        Ok(Ok(reply)) => v1::NodeStatus::decode(reply.into_inner().status)
            .unwrap_or_else(|error| unreachable(format!("answered something unreadable: {error}"))),
    }
}

/// Every node.
pub async fn all(node: &Node) -> Vec<v1::NodeStatus> {
    futures::future::join_all(node.config().nodes.keys().map(|peer| of_peer(node, *peer))).await
}
