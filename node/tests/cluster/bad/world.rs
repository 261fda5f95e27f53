//! A cluster with some stock and some holds, and all that can be seen of them.

use crate::support::{channel, formed, line, ports, receive};
use earmark_client::wire::v1::{
    self, cluster_service_client::ClusterServiceClient, reservation_service_client::ReservationServiceClient,
    stock_service_client::StockServiceClient,
};
use earmark_node::{Running, node::Health};
use prost::bytes::Bytes;
use std::sync::{
    Once,
    atomic::{AtomicU64, Ordering},
};
use tonic::transport::Channel;

/// Panics of any node in this process: a request must not cause one, not even in a task that nobody waits for.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// The most units of a line.
pub const LINE_MAX: i64 = 1_000_000_000;

/// The most units of a pool.
pub const POOL_MAX: i64 = 1 << 53;

/// Three nodes, one shard, one SKU with two holds.
pub struct World {
    pub channel: Channel,
    pub ports: Vec<u16>,
    /// Holds five hundred units in one line.
    pub five_hundred: Bytes,
    /// Holds as many units as a line may have.
    pub most: Bytes,
    nodes: Vec<Running>,
    _folder: tempfile::TempDir,
}

/// What can be seen of stock and holds.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pools: Vec<v1::Pool>,
    reservations: Vec<v1::Reservation>,
    /// Pools, live reservations and units oversold, as the leader counts them.
    counts: (u64, u64, u64),
}

impl World {
    pub async fn new() -> Self {
        count_panics();
        let folder = tempfile::tempdir().expect("a folder");
        let ports = ports(6);
        let (nodes, _) = formed(folder.path(), &ports, 1).await;
        let channel = channel(&ports).await;
        receive(&channel, "tea", 10 * LINE_MAX).await;
        let five_hundred = hold(&channel, 500).await;
        let most = hold(&channel, LINE_MAX).await;
        Self { channel, ports, five_hundred, most, nodes, _folder: folder }
    }

    pub fn reservations(&self) -> ReservationServiceClient<Channel> {
        ReservationServiceClient::new(self.channel.clone())
    }

    pub fn cluster(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel.clone())
    }

    pub async fn seen(&self) -> Seen {
        let request = v1::GetStockRequest { sku: "tea".to_owned(), ..Default::default() };
        let stock = StockServiceClient::new(self.channel.clone()).get_stock(request).await.expect("read").into_inner();
        let mut reservations = Vec::new();
        for id in [&self.five_hundred, &self.most] {
            let request = v1::GetReservationRequest { reservation_id: id.clone(), ..Default::default() };
            let read = self.reservations().get_reservation(request).await.expect("read").into_inner();
            reservations.push(read.reservation.expect("a reservation"));
        }
        let status = self.cluster().get_status(v1::GetStatusRequest::default()).await.expect("told").into_inner();
        let mut replicas = status.nodes.into_iter().flat_map(|node| node.replicas);
        let leader = replicas.find(|replica| replica.shard == 1 && replica.role == "leader").expect("a leader");
        let counts = (leader.pools, leader.live_reservations, leader.oversold_units);
        Seen { pools: stock.pools, reservations, counts }
    }

    /// Nothing changed since, nothing panicked, and every node serves.
    pub async fn unchanged_since(&self, before: &Seen) {
        assert_eq!(&self.seen().await, before);
        self.sound();
    }

    /// Nothing panicked, every node serves, and a request that makes sense is done.
    pub async fn end(self) {
        hold(&self.channel, 1).await;
        self.sound();
        for running in self.nodes {
            running.stop().await;
        }
    }

    fn sound(&self) {
        assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked");
        for running in &self.nodes {
            assert_eq!(running.node().health(), Health::Serving);
        }
    }
}

async fn hold(channel: &Channel, units: i64) -> Bytes {
    let request = v1::ReserveRequest { lines: vec![line("tea", units)], ..Default::default() };
    let held = ReservationServiceClient::new(channel.clone()).reserve(request).await.expect("held");
    held.into_inner().reservation_id
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A test fails on the thread that bears its name; what panics elsewhere is the node's.
            if !std::thread::current().name().is_some_and(|name| name.contains("::")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            tell(panic);
        }));
    });
}
