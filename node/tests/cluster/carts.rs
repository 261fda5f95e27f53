//! Carts over several shards on three nodes: whole or not at all.

use crate::support::{channel, formed, line, ports, receive};
use earmark_client::wire::v1::{
    self, cluster_service_client::ClusterServiceClient, reservation_service_client::ReservationServiceClient,
    stock_service_client::StockServiceClient,
};
use earmark_node::Running;
use tonic::transport::Channel;

const SKUS: [&str; 12] =
    ["tea", "milk", "bread", "salt", "rice", "soap", "jam", "eggs", "oats", "figs", "kale", "corn"];

async fn pool(channel: &Channel, sku: &str) -> v1::Pool {
    let request = v1::GetStockRequest { sku: sku.to_owned(), ..Default::default() };
    let response = StockServiceClient::new(channel.clone()).get_stock(request).await.expect("stock");
    response.into_inner().pools.remove(0)
}

async fn cluster(folder: &std::path::Path, each: i64) -> (Vec<Running>, Channel) {
    let ports = ports(6);
    let (nodes, _) = formed(folder, &ports, 8).await;
    let channel = channel(&ports).await;
    for sku in SKUS {
        receive(&channel, sku, each).await;
    }
    (nodes, channel)
}

fn cart(units: i64) -> v1::ReserveRequest {
    v1::ReserveRequest { lines: SKUS.iter().map(|sku| line(sku, units)).collect(), ..Default::default() }
}

/// Asks again while units that may come free any moment stand in the way, as the SDK does.
async fn decided(channel: &Channel, cart: v1::ReserveRequest) -> Result<v1::ReserveResponse, tonic::Status> {
    loop {
        match ReservationServiceClient::new(channel.clone()).reserve(cart.clone()).await {
            Err(status) if status.code() == tonic::Code::Aborted => tokio::task::yield_now().await,
            other => return other.map(tonic::Response::into_inner),
        }
    }
}

/// Reads until no participant has anything undecided or held: what home decided reaches it soon.
async fn balances(channel: &Channel, wanted: impl Fn(&v1::Pool) -> bool) {
    for sku in SKUS {
        loop {
            let pool = pool(channel, sku).await;
            if wanted(&pool) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cart_over_all_shards_is_sold_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (nodes, channel) = cluster(folder.path(), 10).await;
    let mut reservations = ReservationServiceClient::new(channel.clone());

    let reserved = reservations.reserve(cart(4)).await.expect("held").into_inner();
    assert_eq!(reserved.extent(), v1::Extent::All);
    assert_eq!(reserved.lines.iter().map(|line| line.sku.as_str()).collect::<Vec<_>>(), SKUS);
    balances(&channel, |pool| pool.held == 4 && pool.available == 6).await;

    // One line that can't be had, and nothing of the others is held.
    let mut greedy = cart(2);
    greedy.lines[7].quantity = 7;
    let status = decided(&channel, greedy).await.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
    balances(&channel, |pool| pool.held == 4 && pool.available == 6).await;

    // Some of it is sold, and the rest stays held.
    let part = |sku: &str, quantity| v1::Part {
        sku: sku.to_owned(),
        location: "main".to_owned(),
        quantity,
        ..Default::default()
    };
    let request = v1::CommitRequest {
        reservation_id: reserved.reservation_id.clone(),
        operation_id: operation(1),
        parts: vec![part("tea", 1), part("corn", 3)],
        keep_rest: true,
        ..Default::default()
    };
    let sold = reservations.commit(request).await.expect("sold in part").into_inner();
    let view = sold.reservation.expect("a view");
    assert_eq!(view.state(), v1::ReservationState::PartlyCommitted);
    let request = v1::CommitRequest { reservation_id: reserved.reservation_id.clone(), ..Default::default() };
    let sold = reservations.commit(request.clone()).await.expect("sold").into_inner();
    assert!(!sold.replayed);
    assert!(reservations.commit(request).await.expect("sold once").into_inner().replayed);
    balances(&channel, |pool| (pool.on_hand, pool.held, pool.sold_total) == (6, 0, 4)).await;

    let reserved = decided(&channel, cart(6)).await.expect("held");
    let request = v1::ReleaseRequest { reservation_id: reserved.reservation_id, ..Default::default() };
    let released = reservations.release(request).await.expect("released").into_inner();
    if released.reservation.expect("a view").settled {
        // Told as settled: every unit can be had again at once, on any shard.
        reservations.reserve(cart(6)).await.expect("held again");
    }

    let request = v1::CompareRequest {};
    let compared = ClusterServiceClient::new(channel).compare(request).await.expect("compared").into_inner();
    assert!(compared.all_equal, "{compared:?}");
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_cart_comes_back_on_every_shard() {
    let folder = tempfile::tempdir().expect("a folder");
    let (nodes, channel) = cluster(folder.path(), 5).await;
    let mut reservations = ReservationServiceClient::new(channel.clone());
    let request = v1::ReserveRequest { ttl_ms: 1_000, ..cart(5) };
    let reserved = reservations.reserve(request).await.expect("held").into_inner();
    balances(&channel, |pool| pool.available == 5).await;
    let request = v1::CommitRequest { reservation_id: reserved.reservation_id, ..Default::default() };
    let status = reservations.commit(request).await.expect_err("expired");
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status}");
    for running in nodes {
        running.stop().await;
    }
}

/// A UUID of version 7, dated now.
fn operation(number: u128) -> bytes::Bytes {
    use earmark_node::environment::{Clock, SystemClock};
    let mut bytes = (u128::from(SystemClock.wall_ms()) << 80 | number).to_be_bytes();
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    bytes.to_vec().into()
}
