//! Three nodes in this process: started, formed, asked.

use earmark_client::wire::v1::{self, stock_service_client::StockServiceClient};
use earmark_ledger::types::ShardId;
use earmark_node::{
    Running,
    config::{Address, Config, Limits, Peer, RaftTimes},
    environment::{Clock, Environment, SystemClock},
    formation,
    node::Health,
    peer::links::{CLUSTER, FROM, TO, cluster_text},
    shard::Replica,
    storage::Folder,
};
use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tonic::transport::Channel;

/// A wall clock that a test sets wrong, by milliseconds.
#[derive(Default)]
pub struct Hand(AtomicI64);

impl Hand {
    pub fn set_wrong_by(&self, ms: i64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn wall_ms(&self) -> u64 {
        SystemClock.wall_ms().saturating_add_signed(self.0.load(Ordering::SeqCst))
    }
}

/// Ports that are free at this moment.
pub fn ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("bound").port()).collect()
}

pub fn config(node: u32, folder: &Path, ports: &[u16]) -> Config {
    let address = |place: usize| format!("127.0.0.1:{}", ports[place]);
    let place = |node: u32| usize::try_from(node - 1).expect("small") * 2;
    let nodes: BTreeMap<u32, Peer> = (1..=3)
        .map(|number| {
            let peer = Peer {
                client: address(place(number)),
                peer: address(place(number) + 1),
                region: String::new(),
                zone: String::new(),
            };
            (number, peer)
        })
        .collect();
    let both = |address: String| Address { listen: address.clone(), advertise: address };
    Config {
        node,
        data: folder.join(format!("node-{node}")),
        client: both(address(place(node))),
        peer: address(place(node) + 1),
        nodes,
        limits: Limits::default(),
        raft: RaftTimes::default(),
    }
}

pub async fn start(node: u32, folder: &Path, ports: &[u16], clock: Arc<dyn Clock>) -> Running {
    start_with(config(node, folder, ports), clock).await
}

pub async fn start_with(config: Config, clock: Arc<dyn Clock>) -> Running {
    let disk = Arc::new(Folder::new(config.data.clone()));
    let environment = Environment { clock, ..Environment::real(disk) };
    earmark_node::start(config, environment).await.expect("a node starts")
}

/// Three nodes with a clock each, formed.
pub async fn formed(folder: &Path, ports: &[u16], shards: u32) -> (Vec<Running>, Vec<Arc<Hand>>) {
    let clocks: Vec<Arc<Hand>> = (0..3).map(|_| Arc::default()).collect();
    let mut nodes = Vec::new();
    for (node, clock) in (1..=3).zip(&clocks) {
        nodes.push(start(node, folder, ports, clock.clone()).await);
    }
    form(&nodes, shards).await;
    (nodes, clocks)
}

/// Forms the cluster of nodes that are empty; the first of them conducts.
pub async fn form(nodes: &[Running], shards: u32) {
    for running in nodes {
        let mut health = running.node().watch_health();
        health.wait_for(|health| *health == Health::Unformed).await.expect("unformed");
    }
    formation::form(nodes[0].node(), shards).await.expect("formed");
    served(nodes).await;
    // A node that serves may still have to apply the entry with the map: until then it says so, and to try again.
    let knows = |running: &Running| {
        running.node().replica(ShardId::META).is_some_and(|meta| meta.hot().ledger.meta().is_some())
    };
    while !nodes.iter().all(knows) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn channel(ports: &[u16]) -> Channel {
    let endpoint = format!("http://127.0.0.1:{}", ports[0]);
    Channel::from_shared(endpoint).expect("an endpoint").connect().await.expect("connected")
}

pub async fn served(nodes: &[Running]) {
    for running in nodes {
        let mut health = running.node().watch_health();
        health.wait_for(|health| *health == Health::Serving).await.expect("serving");
    }
}

/// Tries until the cluster answers: a fresh leader may still refuse the first writes.
pub async fn receive(channel: &Channel, sku: &str, quantity: i64) -> v1::Pool {
    let mut stock = StockServiceClient::new(channel.clone());
    loop {
        let request =
            v1::ReceiveRequest { sku: sku.to_owned(), location: "main".to_owned(), quantity, ..Default::default() };
        match stock.receive(request).await {
            Ok(response) => return response.into_inner().pool.expect("a pool"),
            Err(status) if status.code() == tonic::Code::Unavailable => tokio::task::yield_now().await,
            Err(status) => panic!("{status}"),
        }
    }
}

pub fn line(sku: &str, quantity: i64) -> v1::Line {
    v1::Line { sku: sku.to_owned(), location: "main".to_owned(), quantity, ..Default::default() }
}

/// The replica that leads a shard, once one does.
pub async fn leader(nodes: &[Running], shard: ShardId) -> Arc<Replica> {
    loop {
        let replicas = nodes.iter().filter_map(|running| running.node().replica(shard));
        if let Some(leader) = replicas.into_iter().find(|replica| replica.is_leader()) {
            return leader;
        }
        tokio::task::yield_now().await;
    }
}

/// A request to `target` that says it comes from another node of the cluster.
pub fn introduced<T>(message: T, target: &Running, from: u32) -> tonic::Request<T> {
    let node = target.node();
    let cluster = cluster_text(&node.formation().expect("formed").cluster());
    let mut request = tonic::Request::new(message);
    for (key, value) in [(CLUSTER, cluster), (FROM, from.to_string()), (TO, node.config().node.to_string())] {
        request.metadata_mut().insert(key, value.parse().expect("text"));
    }
    request
}
