//! A follower that was away for so long that the log it needs is purged.

use crate::{
    admitted,
    checks::{books_agree, digests_equal},
    cluster::{Cluster, NODES, eventually, free_port, reservations},
    load::{Account, Load, Seeded, receive, skus},
    proxy::Proxy,
};
use earmark_client::wire::v1::NodeHealth;
use std::collections::BTreeMap;

/// Stock shards.
const SHARDS: u32 = 4;
/// Callers at a time.
const CALLERS: u64 = 64;
/// The node that lags behind.
const LAGGING: u32 = 3;
/// Chunks the receiver takes before it is killed.
const CHUNKS_BEFORE_KILL: usize = 3;
/// A snapshot of less would not be killed in the middle.
const CHUNKS_MIN: u64 = 20;

const COMES_IN: &str = "a snapshot comes in";
const CHUNK: &str = "a chunk came in";
const RECEIVED: &str = "a snapshot was received";
const INSTALLED: &str = "a snapshot was installed";

/// What a node said since a moment.
struct Said {
    node: u32,
    from: usize,
}

impl Said {
    fn since_now(cluster: &Cluster, node: u32) -> Self {
        Self { node, from: cluster.log(node).len() }
    }

    fn count(&self, cluster: &Cluster, what: &str) -> usize {
        cluster.log(self.node)[self.from..].matches(what).count()
    }

    /// Chunks of all snapshots received whole.
    fn chunks(&self, cluster: &Cluster) -> u64 {
        let log = cluster.log(self.node);
        let received = log[self.from..].lines().filter(|line| line.contains(RECEIVED));
        let chunks =
            received.filter_map(|line| line.split("\"chunks\":").nth(1)?.split(',').next()?.parse::<u64>().ok());
        chunks.sum()
    }
}

/// The last entry of each stock shard in a node's log.
async fn last(cluster: &Cluster, node: u32) -> BTreeMap<u32, u64> {
    let status = cluster.own_status(node).await.expect("it runs");
    let stock = status.replicas.into_iter().filter(|replica| replica.shard > 0);
    stock.map(|replica| (replica.shard, replica.last_index)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_left_behind_takes_a_snapshot_though_it_is_killed_in_the_middle() {
    let _admitted = admitted().await;
    let mut random = Seeded::from_environment();
    let reservations = reservations();
    let chunk = if reservations < 100_000 { 4 << 10 } else { 1 << 20 };
    let limits = format!("[limits]\nlog_kept = 0\ncheckpoint_every = \"200ms\"\nsnapshot_chunk_bytes = {chunk}\n");
    let mut cluster = Cluster::prepare(&limits);
    let port = free_port();
    let line = Proxy::start(port, cluster.peer_port(LAGGING)).await;
    cluster.see_at(LAGGING, port);
    cluster.begin(SHARDS).await;
    let client = cluster.client().await;
    let skus = skus(40);
    receive(&client, &skus).await;
    let mut account = Account::default();
    account.add(Load::run(&client, &skus, CALLERS, reservations / 2, &mut random).finish().await);

    let had = last(&cluster, LAGGING).await;
    cluster.kill(LAGGING);
    account.add(Load::run(&client, &skus, CALLERS, reservations / 2, &mut random).finish().await);
    eventually("the log is purged beyond what the follower has", async || {
        for node in NODES.into_iter().filter(|node| *node != LAGGING) {
            for replica in cluster.own_status(node).await?.replicas {
                let needed = had.get(&replica.shard).map_or(0, |last| last + 1);
                if replica.purged_index < needed {
                    return Err(format!("node {node} shard {}: {} of {needed}", replica.shard, replica.purged_index));
                }
            }
        }
        Ok(())
    })
    .await;

    let load = Load::start(&client, &skus, 8, &mut random);
    line.slow(true);
    let said = Said::since_now(&cluster, LAGGING);
    cluster.start(LAGGING);
    eventually("a snapshot is on its way", async || match said.count(&cluster, CHUNK) {
        chunks if chunks >= CHUNKS_BEFORE_KILL => Ok(()),
        chunks => Err(format!("{chunks} chunks came in")),
    })
    .await;
    cluster.kill(LAGGING);
    let (begun, ended) = (said.count(&cluster, COMES_IN), said.count(&cluster, RECEIVED));
    assert!(begun > ended, "killed in the middle: {begun} begun, {ended} received whole");
    line.slow(false);

    let said = Said::since_now(&cluster, LAGGING);
    cluster.start(LAGGING);
    cluster.health(LAGGING, NodeHealth::Serving).await;
    digests_equal(&cluster, 1).await;
    load.goes_on(100).await;
    account.add(load.end().await);
    let (installed, chunks) = (said.count(&cluster, INSTALLED), said.chunks(&cluster));
    eprintln!("{installed} snapshots installed, {chunks} chunks");
    assert!(installed > 0 && chunks > CHUNKS_MIN, "{installed} snapshots of {chunks} chunks together");
    books_agree(&client, &skus, &account, &mut random).await;
    digests_equal(&cluster, LAGGING).await;
}
