//! What a cluster tells of itself, while one waits for something.

use crate::Failed;
use earmark_client::{
    Client,
    wire::v1::{GetStatusResponse, NodeHealth},
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Followers hear a little later what is decided; so many entries of a shard are on their way at any time.
const ON_THEIR_WAY: u64 = 64;

/// Waits until the status shows what is looked for.
///
/// # Errors
/// It takes longer than `patience`; `what` says what was waited for, and what was told last is there too.
pub async fn wait<T>(
    client: &Client,
    patience: Duration,
    what: &str,
    look: impl Fn(&GetStatusResponse) -> Option<T>,
) -> Result<T, Failed> {
    let begun = Instant::now();
    loop {
        let status = client.cluster().status(false).await;
        // While a leader is looked for nobody may answer.
        if let Some(found) = status.as_ref().ok().and_then(&look) {
            return Ok(found);
        }
        if begun.elapsed() > patience {
            return Err(format!("{what}: not within {} s: {status:?}", patience.as_secs()).into());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// How a node says that it is.
pub fn health(status: &GetStatusResponse, node: u32) -> NodeHealth {
    let one = status.nodes.iter().find(|one| one.node == node);
    one.map_or(NodeHealth::Unreachable, |one| one.health())
}

/// Whether each replica of a node has applied what the furthest of its shard has, but for what is on its way.
pub fn is_level(status: &GetStatusResponse, node: u32) -> bool {
    behind(status, node).is_some_and(|most| most <= ON_THEIR_WAY)
}

/// Whether who has nothing of a stock shard can have it by a snapshot only, whichever replica sends it.
pub fn was_purged(status: &GetStatusResponse) -> bool {
    let mut stock = status.nodes.iter().flat_map(|node| &node.replicas).filter(|replica| replica.shard > 0).peekable();
    stock.peek().is_some() && stock.all(|replica| replica.purged_index > 0)
}

/// By how many entries the furthest replica of a node is behind; none while it does not answer.
pub fn behind(status: &GetStatusResponse, node: u32) -> Option<u64> {
    let all = || status.nodes.iter().flat_map(|one| one.replicas.iter().map(move |replica| (one.node, replica)));
    let applied = |shard: u32, own: bool| {
        let replicas = all().filter(|(one, replica)| replica.shard == shard && (!own || *one == node));
        replicas.map(|(_, replica)| replica.applied_index).max()
    };
    let lags =
        all().map(|(_, replica)| Some(applied(replica.shard, false)?.saturating_sub(applied(replica.shard, true)?)));
    lags.reduce(|most, lag| Some(most?.max(lag?))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_client::wire::v1::{NodeStatus, ReplicaStatus};

    #[test]
    fn a_node_is_level_when_each_of_its_replicas_is() {
        let node = |node, applied: &[u64]| NodeStatus {
            node,
            replicas: (0..)
                .zip(applied)
                .map(|(shard, applied)| ReplicaStatus { shard, applied_index: *applied, ..ReplicaStatus::default() })
                .collect(),
            ..NodeStatus::default()
        };
        let status = |own: &[u64]| GetStatusResponse {
            nodes: vec![node(1, &[1_000, 9_000]), node(2, own)],
            ..GetStatusResponse::default()
        };
        assert!(is_level(&status(&[990, 9_000]), 2) && is_level(&status(&[1_010, 9_000]), 1));
        assert!(
            !is_level(&status(&[1_000, 8_000]), 2) && !is_level(&status(&[1_000]), 2) && !is_level(&status(&[]), 2)
        );
        assert_eq!(behind(&status(&[700, 8_000]), 2), Some(1_000));
    }

    #[test]
    fn a_snapshot_is_needed_where_every_log_was_purged() {
        let replica = |shard, purged_index| ReplicaStatus { shard, purged_index, ..ReplicaStatus::default() };
        let status = |replicas| GetStatusResponse {
            nodes: vec![NodeStatus { replicas, ..NodeStatus::default() }],
            ..GetStatusResponse::default()
        };
        assert!(was_purged(&status(vec![replica(0, 0), replica(1, 7), replica(2, 1)])));
        assert!(
            !was_purged(&status(vec![replica(0, 9), replica(1, 7), replica(2, 0)])) && !was_purged(&status(vec![]))
        );
    }
}
