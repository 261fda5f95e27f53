//! Leadership is handed over, not waited for: when a node stops, when a leader is damaged, when it has no time.

use crate::support::{Hand, channel, config, form, formed, leader, ports, receive, start, start_with};
use earmark_client::{
    Client,
    wire::v1::{self, stock_service_client::StockServiceClient},
};
use earmark_ledger::types::ShardId;
use earmark_node::Running;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::time::{Duration, Instant};

const SHARDS: u32 = 6;

/// Receives one unit after the other; gives how many.
async fn write(client: Client, sku: String, stop: Arc<AtomicBool>) -> u64 {
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        client.receive(&sku, "main", 1).send().await.expect("no caller notices");
        written += 1;
    }
    written
}

/// Of the whole cluster, as a service uses it.
async fn sdk(ports: &[u16]) -> Client {
    let endpoints = ports.chunks(2).map(|pair| format!("http://127.0.0.1:{}", pair[0]));
    Client::builder().endpoints(endpoints).connect().await.expect("a node answers")
}

fn terms_led(node: &Running) -> BTreeMap<ShardId, u64> {
    let led = node.node().replicas().into_iter().filter(|replica| replica.is_leader());
    led.map(|replica| (replica.shard(), replica.standing().term)).collect()
}

/// How often a replica of the shard was asked to lead and followed, over these nodes.
fn taken(nodes: &[Running], shard: ShardId) -> u64 {
    nodes.iter().filter_map(|running| running.node().replica(shard)).map(|replica| replica.offers().taken()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_hands_over_every_shard_it_leads() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (mut nodes, _) = formed(folder.path(), &ports, SHARDS).await;
    let client = channel(&ports).await;
    for sku in 0..12 {
        receive(&client, &format!("sku-{sku}"), 1).await;
    }
    for shard in 0..=SHARDS {
        leader(&nodes, ShardId(shard)).await;
    }
    let place = (0..3).max_by_key(|place| terms_led(&nodes[*place]).len()).expect("three");
    let stop = Arc::new(AtomicBool::new(false));
    let service = sdk(&ports).await;
    let writers: Vec<_> =
        (0..12).map(|n| tokio::spawn(write(service.clone(), format!("sku-{n}"), stop.clone()))).collect();
    let stopping = nodes.remove(place);
    let led = terms_led(&stopping);
    assert!(!led.is_empty());
    let before: BTreeMap<ShardId, u64> = led.keys().map(|shard| (*shard, taken(&nodes, *shard))).collect();
    let handed = stopping.node().hand_over(Instant::now() + Duration::from_secs(30)).await;
    assert_eq!(handed, led.len());
    for (shard, term) in &led {
        let next = leader(&nodes, *shard).await;
        assert_eq!(taken(&nodes, *shard), before[shard] + 1, "asked once, not elected after a silence");
        assert_eq!(next.standing().term, term + 1, "the first election found a leader");
    }
    assert_eq!(terms_led(&stopping), BTreeMap::new());
    stopping.stop().await;
    stop.store(true, Ordering::Relaxed);
    drop(client);
    for (sku, writer) in writers.into_iter().enumerate() {
        let written = writer.await.expect("every write was done");
        let read = service.stock(format!("sku-{sku}")).location("main").send().await.expect("read");
        assert!(written > 0 && read.pools[0].on_hand == written + 1, "each once: {written}, {read:?}");
    }
    drop(service);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_leader_yields_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, _) = formed(folder.path(), &ports, 1).await;
    let client = channel(&ports).await;
    receive(&client, "MUG", 1).await;
    let shard = ShardId(1);
    let damaged = leader(&nodes, shard).await;
    let term = damaged.standing().term;
    let before = taken(&nodes, shard);
    damaged.core().mark_diverged("its digest is another one");
    let next = leader(&nodes, shard).await;
    assert_eq!((next.standing().term, taken(&nodes, shard)), (term + 1, before + 1));
    receive(&client, "MUG", 1).await;
    for running in nodes {
        running.stop().await;
    }
}

/// A leader whose clock is wrong by an hour, and who reaches only one of the other two, knows of no two clocks that agree.
/// The one it reaches knows of three, and two agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_the_time_yields_to_one_who_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(7);
    let wrong = Arc::new(Hand::default());
    wrong.set_wrong_by(3_600_000);
    let mut alone = config(2, folder.path(), &ports);
    // Nobody is there.
    alone.nodes.get_mut(&3).expect("three nodes").peer = format!("127.0.0.1:{}", ports[6]);
    let nodes = vec![
        start(1, folder.path(), &ports, Arc::new(Hand::default())).await,
        start_with(alone, wrong).await,
        start(3, folder.path(), &ports, Arc::new(Hand::default())).await,
    ];
    // Node g mod n begins shard g, so shard 1 is first led by the second node.
    form(&nodes, 1).await;
    let shard = ShardId(1);
    let first = leader(&nodes, shard).await;
    assert_eq!(first.id().node, 2);
    let mut stock = StockServiceClient::new(channel(&ports).await);
    loop {
        let request = v1::ReceiveRequest {
            sku: "MUG".to_owned(),
            location: "main".to_owned(),
            quantity: 1,
            ..Default::default()
        };
        match stock.receive(request).await {
            Ok(_) => break,
            Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(leader(&nodes, shard).await.id().node, 1);
    assert!(taken(&nodes[..1], shard) >= 1);
    for running in nodes {
        running.stop().await;
    }
}
