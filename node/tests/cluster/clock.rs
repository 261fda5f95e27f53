//! A leader whose wall clock jumps by an hour either way ends nothing early and freezes nothing.

use crate::support::{Hand, channel, formed, line, ports, receive};
use earmark_client::wire::v1::{self, reservation_service_client::ReservationServiceClient};
use earmark_ledger::types::ShardId;
use earmark_node::Running;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tonic::transport::Channel;

const HOUR_MS: i64 = 3_600_000;
const TTL: Duration = Duration::from_secs(3);

/// Clocks of a majority may be this far apart, so a hold may end this much early.
const CLOCK_BOUND: Duration = Duration::from_millis(500);

async fn hold(client: &mut ReservationServiceClient<Channel>, units: i64) -> v1::ReserveResponse {
    let ttl_ms = u64::try_from(TTL.as_millis()).expect("small");
    let request = v1::ReserveRequest { lines: vec![line("tea", units)], ttl_ms, ..Default::default() };
    client.reserve(request).await.expect("nothing is frozen").into_inner()
}

async fn state(client: &mut ReservationServiceClient<Channel>, id: &[u8]) -> v1::ReservationState {
    let request = v1::GetReservationRequest { reservation_id: id.to_vec().into(), ..Default::default() };
    client.get_reservation(request).await.expect("read").into_inner().reservation.expect("found").state()
}

async fn jump(nodes: &[Running], clocks: &[Arc<Hand>], client: &mut ReservationServiceClient<Channel>, ms: i64) {
    let before = Instant::now();
    let first = hold(client, 4).await;
    let leads = |running: &Running| running.node().replica(ShardId(1)).is_some_and(|replica| replica.is_leader());
    let leader = nodes.iter().position(leads).expect("it just answered");
    clocks[leader].set_wrong_by(ms);
    let second = hold(client, 3).await;
    assert!(second.deadline_ms.abs_diff(first.deadline_ms) < 60_000, "the ledger's clock did not jump along");
    while state(client, &first.reservation_id).await == v1::ReservationState::Held {
        assert!(before.elapsed() < Duration::from_secs(60), "the hold never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(before.elapsed() + CLOCK_BOUND >= TTL, "ended early, after {:?}", before.elapsed());
    assert_eq!(state(client, &first.reservation_id).await, v1::ReservationState::Expired);
    clocks[leader].set_wrong_by(0);
    while state(client, &second.reservation_id).await == v1::ReservationState::Held {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wild_clock_ends_nothing_early_and_freezes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, clocks) = formed(folder.path(), &ports, 1).await;
    let channel = channel(&ports).await;
    receive(&channel, "tea", 10).await;
    let mut client = ReservationServiceClient::new(channel);
    jump(&nodes, &clocks, &mut client, HOUR_MS).await;
    jump(&nodes, &clocks, &mut client, -HOUR_MS).await;
    for running in nodes {
        running.stop().await;
    }
}
