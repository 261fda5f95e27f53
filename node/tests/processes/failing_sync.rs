//! A disk whose syncs fail: the node stops serving from that store, says so, and the cluster goes on.

use crate::{
    admitted,
    checks::{books_agree, digests_equal},
    cluster::{Cluster, NODES, Start, compile, eventually},
    load::{LOCATION, Load, Seeded, receive, skus},
};
use earmark_client::wire::v1::{self, NodeHealth};
use std::{fs, path::Path};

/// Callers at a time.
const CALLERS: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_stops_its_node_and_no_other() {
    let _admitted = admitted().await;
    let mut random = Seeded::from_environment();
    let mut cluster = Cluster::formed(4, "").await;
    let (library, control) = (cluster.scratch("failing_sync.so"), cluster.scratch("syncs-fail"));
    compile("failing_sync.c", &library);
    let client = cluster.client().await;
    let skus = skus(12);
    receive(&client, &skus).await;
    let load = Load::start(&client, &skus, CALLERS, &mut random);

    let victim = cluster.busiest().await;
    cluster.stop(victim);
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let variables = vec![("LD_PRELOAD".to_owned(), text(&library)), ("FAILING_SYNC".to_owned(), text(&control))];
    cluster.start_with(victim, &Start { variables });
    cluster.health(victim, NodeHealth::Serving).await;
    load.goes_on(100).await;

    fs::write(&control, "").expect("written");
    let other = NODES.into_iter().find(|node| *node != victim).expect("three nodes");
    let status = eventually("the others see the node as poisoned", async || {
        let nodes = cluster.status(other, false).await?;
        let status = nodes.into_iter().find(|status| status.node == victim).ok_or("it is not named")?;
        let text = format!("{:?} {}", status.health(), status.detail);
        if status.health() == NodeHealth::Poisoned { Ok(status) } else { Err(text) }
    })
    .await;
    eprintln!("{}", status.detail);
    for word in ["write to the store failed", "Input/output error", "start the process anew"] {
        assert!(status.detail.contains(word), "`{}` does not say `{word}`", status.detail);
    }
    eventually("nothing of the node is open", async || {
        let replicas = cluster.own_status(victim).await?.replicas;
        if replicas.iter().all(|replica| replica.role == "none") { Ok(()) } else { Err(format!("{replicas:?}")) }
    })
    .await;
    let mut stock = v1::stock_service_client::StockServiceClient::new(cluster.channel(victim));
    let request = v1::GetStockRequest { sku: skus[0].clone(), location: LOCATION.to_owned(), ..Default::default() };
    let refused = stock.get_stock(request).await.expect_err("nothing is served from a failed store");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    load.goes_on(300).await;
    assert!(cluster.runs(victim), "it stays up, to say what happened");
    // The third is the one that makes their numbers' sum.
    cluster.leaders_among(&[other, NODES.iter().sum::<u32>() - victim - other]).await;

    // Nothing was lost: what the sync did not bring down is still in the system's memory.
    cluster.stop(victim);
    cluster.start(victim);
    cluster.health(victim, NodeHealth::Serving).await;
    load.goes_on(100).await;
    let account = load.end().await;
    books_agree(&client, &skus, &account, &mut random).await;
    digests_equal(&cluster, other).await;
}
