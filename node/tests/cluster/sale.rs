//! One sale from end to end, and after a restart.

use crate::support::{channel, formed, line, ports, receive, served, start};
use earmark_client::wire::v1::{
    self, cluster_service_client::ClusterServiceClient, reservation_service_client::ReservationServiceClient,
    stock_service_client::StockServiceClient,
};
use earmark_node::environment::SystemClock;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_ends_once_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, _) = formed(folder.path(), &ports, 4).await;
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
        nodes.push(start(node, folder.path(), &ports, Arc::new(SystemClock)).await);
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
