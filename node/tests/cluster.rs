//! Three nodes in one process, with real sockets and disks, driven over gRPC as any language would.

use earmark_client::wire::v1::{
    self, cluster_service_client::ClusterServiceClient, reservation_service_client::ReservationServiceClient,
    stock_service_client::StockServiceClient,
};
use earmark_node::{
    Running,
    config::{Address, Config, Limits, Peer, RaftTimes},
    environment::Environment,
    formation,
    node::Health,
    storage::Folder,
};
use std::{collections::BTreeMap, net::TcpListener, path::Path, sync::Arc};
use tonic::transport::Channel;

/// Ports that are free at this moment.
fn ports(count: usize) -> Vec<u16> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("bound").port()).collect()
}

fn config(node: u32, folder: &Path, ports: &[u16]) -> Config {
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
        peer: both(address(place(node) + 1)),
        nodes,
        limits: Limits::default(),
        raft: RaftTimes::default(),
    }
}

async fn start(node: u32, folder: &Path, ports: &[u16]) -> Running {
    let config = config(node, folder, ports);
    let disk = Arc::new(Folder::new(config.data.clone()));
    earmark_node::start(config, Environment::real(disk)).await.expect("a node starts")
}

async fn channel(ports: &[u16]) -> Channel {
    let endpoint = format!("http://127.0.0.1:{}", ports[0]);
    Channel::from_shared(endpoint).expect("an endpoint").connect().await.expect("connected")
}

async fn served(nodes: &[Running]) {
    for running in nodes {
        let mut health = running.node().watch_health();
        health.wait_for(|health| *health == Health::Serving).await.expect("serving");
    }
}

/// Tries until the cluster answers: a fresh leader may still refuse the first writes.
async fn receive(channel: &Channel, sku: &str, quantity: i64) -> v1::Pool {
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

fn line(sku: &str, quantity: i64) -> v1::Line {
    v1::Line { sku: sku.to_owned(), location: "main".to_owned(), quantity, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_ends_once_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let mut nodes = Vec::new();
    for node in 1..=3 {
        nodes.push(start(node, folder.path(), &ports).await);
    }
    for running in &nodes {
        let mut health = running.node().watch_health();
        health.wait_for(|health| *health == Health::Unformed).await.expect("unformed");
    }
    formation::form(nodes[0].node(), 4).await.expect("formed");
    served(&nodes).await;
    let channel_1 = channel(&ports).await;
    let pool = receive(&channel_1, "tea", 10).await;
    assert_eq!((pool.on_hand, pool.available), (10, 10));

    let mut reservations = ReservationServiceClient::new(channel_1.clone());
    let request = v1::ReserveRequest { lines: vec![line("tea", 4)], ..Default::default() };
    let reserved = reservations.reserve(request).await.expect("held").into_inner();
    assert_eq!(reserved.extent(), v1::Extent::All);
    let too_much = v1::ReserveRequest { lines: vec![line("tea", 7)], ..Default::default() };
    let status = reservations.reserve(too_much).await.expect_err("sold out");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    let commit = v1::CommitRequest { reservation_id: reserved.reservation_id.clone(), ..Default::default() };
    let committed = reservations.commit(commit.clone()).await.expect("sold").into_inner();
    assert!(!committed.replayed);
    assert!(reservations.commit(commit).await.expect("sold once").into_inner().replayed);

    let compared =
        ClusterServiceClient::new(channel_1).compare(v1::CompareRequest {}).await.expect("compared").into_inner();
    assert!(compared.all_equal, "{compared:?}");
    for running in nodes {
        running.stop().await;
    }

    let mut nodes = Vec::new();
    for node in 1..=3 {
        nodes.push(start(node, folder.path(), &ports).await);
    }
    served(&nodes).await;
    let channel_2 = channel(&ports).await;
    let mut stock = StockServiceClient::new(channel_2.clone());
    let pool = loop {
        let request = v1::GetStockRequest { sku: "tea".to_owned(), ..Default::default() };
        match stock.get_stock(request).await {
            Ok(response) => break response.into_inner().pools.remove(0),
            Err(status) if status.code() == tonic::Code::Unavailable => tokio::task::yield_now().await,
            Err(status) => panic!("{status}"),
        }
    };
    assert_eq!((pool.on_hand, pool.available, pool.held, pool.sold_total), (6, 6, 0, 4));
    for running in nodes {
        running.stop().await;
    }
}
