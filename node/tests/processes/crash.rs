//! SIGKILL of leaders, and of everyone.

use crate::{
    admitted,
    checks::{books_agree, digests_equal},
    cluster::{Cluster, NODES},
    load::{Load, Seeded, receive, skus},
};
use earmark_client::wire::v1::NodeHealth;

/// Callers at a time.
const CALLERS: u64 = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_minus_nine() {
    let _admitted = admitted().await;
    let mut random = Seeded::from_environment();
    let mut cluster = Cluster::formed(8, "").await;
    let client = cluster.client().await;
    let skus = skus(40);
    receive(&client, &skus).await;

    let load = Load::start(&client, &skus, CALLERS, &mut random);
    for _ in 0..2 {
        load.goes_on(500).await;
        let leader = cluster.busiest().await;
        cluster.kill(leader);
        load.goes_on(200).await;
        cluster.start(leader);
        cluster.health(leader, NodeHealth::Serving).await;
    }
    load.goes_on(500).await;
    let account = load.end().await;
    let before = books_agree(&client, &skus, &account, &mut random).await;
    digests_equal(&cluster, 1).await;

    for node in NODES {
        cluster.kill(node);
    }
    for node in NODES {
        cluster.start(node);
    }
    for node in NODES {
        cluster.health(node, NodeHealth::Serving).await;
    }
    let after = books_agree(&client, &skus, &account, &mut random).await;
    assert_eq!(after, before);
    digests_equal(&cluster, 2).await;
}
