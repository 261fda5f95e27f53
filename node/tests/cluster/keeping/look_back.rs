//! A count names a moment that is past: the leader walks back over the journal, in memory, on its way to disk, on disk, and
//! no further than it reaches.

use super::world::{Cluster, World, books, refused};
use crate::support::leader;
use earmark_client::{Code, TimeMs};
use earmark_ledger::types::ShardId;
use earmark_node::{config::Limits, shard::journal};
use std::time::Duration;

const SHARD: ShardId = ShardId(1);

async fn checkpoint(cluster: &Cluster) {
    for running in cluster.nodes() {
        running.node().replica(SHARD).expect("a replica").core().checkpoint().await.expect("written");
    }
}

/// Everything that is on disk is too old from now on, on every node.
async fn trim(cluster: &Cluster) {
    let limits = Limits { journal_retention: Duration::ZERO, ..Limits::default() };
    for running in cluster.nodes() {
        let replica = running.node().replica(SHARD).expect("a replica");
        journal::trim(replica.core(), &limits, &mut None).await.expect("trimmed");
    }
}

/// The ledger's clock moves beyond that moment.
async fn pass(cluster: &Cluster, world: &World, moment: TimeMs) {
    while leader(cluster.nodes(), SHARD).await.hot().clock() <= moment {
        world.receive("other", "main", 1).await;
    }
}

pub async fn all(cluster: &Cluster, world: &World) {
    let client = &world.client;
    world.receive("tea", "main", 100).await;
    let seen = client.stock("tea").send().await.expect("read");
    pass(cluster, world, seen.as_of).await;
    // Half of what follows is on disk, half is in memory.
    for round in 0..40 {
        world.receive("tea", "main", 1).await;
        if round == 20 {
            checkpoint(cluster).await;
        }
    }
    let id = client.make_operation_id();
    let count = || client.count("tea", "main", 90).at_position(seen.position).id(id);
    let counted = count().send().await.expect("counted");
    assert_eq!((counted.delta, books(&counted.pool)[0]), (-10, 130));
    // Another counted the same shelf at the same moment: what was corrected is not corrected again.
    let another = client.count("tea", "main", 90).at_position(seen.position).send().await.expect("counted");
    assert_eq!((another.delta, books(&another.pool)[0]), (0, 130));

    // While checkpoints take the blocks to disk, none is out of sight.
    let leads = leader(cluster.nodes(), SHARD).await;
    let writes = async {
        for _ in 0..20 {
            leads.core().checkpoint().await.expect("written");
            tokio::task::yield_now().await;
        }
    };
    let counts = async {
        for _ in 0..20 {
            let same = client.count("tea", "main", 90).at_time(seen.as_of).send().await.expect("counted");
            assert_eq!((same.delta, books(&same.pool)[0]), (0, 130));
        }
    };
    tokio::join!(writes, counts);

    // Now the journal does not reach back so far any more.
    let last = client.stock("tea").send().await.expect("read").as_of;
    pass(cluster, world, last).await;
    checkpoint(cluster).await;
    let now = leads.hot().clock();
    pass(cluster, world, now).await;
    trim(cluster).await;
    let at_position = client.count("tea", "main", 90).at_position(seen.position).send().await;
    refused(at_position, Code::PositionExpired);
    refused(client.count("tea", "main", 90).at_time(seen.as_of).send().await, Code::PositionExpired);
    let again = count().send().await.expect("what was done is told, whatever the journal says by now");
    assert!(again.replayed);
    assert_eq!(again.position, counted.position);

    // A moment after all that is gone is one without movements of this pool.
    world.receive("other", "main", 1).await;
    let now = client.stock("other").send().await.expect("read").as_of;
    let counted = client.count("tea", "main", 125).at_time(now).send().await.expect("counted");
    assert_eq!((counted.delta, books(&counted.pool)[0]), (-5, 125));
}
