//! The client surface: decode, route, encode. One file a service; `operation` is the one road of every operation,
//! whether it came alone, in a batch, on a session, or from a peer.

mod awaited;
mod batch;
mod check;
pub mod cluster;
pub mod decode;
mod dry_run;
pub mod encode;
pub mod error;
mod gather;
mod operation;
mod read;
mod reservations;
pub mod status;
mod stock;

use crate::{
    node::{Health, Node},
    router::{Hop, Router},
};
use decode::direct::Sent;
use earmark_client::wire::v1::{
    self, reservation_service_server::ReservationServiceServer, stock_service_server::StockServiceServer,
};
use earmark_ledger::types::{ShardId, TimeMs};
use operation::{finish, start};
use std::sync::Arc;

/// Bytes of a request.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Bytes of an answer: a batch of 10,000 may say more than it asked.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Operations in a batch.
const BATCH_MAX: usize = 10_000;

/// All client services of a node, with health and reflection.
pub fn routes(router: &Router) -> tonic::service::Routes {
    let node = router.node();
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(Arc::downgrade(node), reporter));
    let reservations = ReservationServiceServer::new(reservations::Service::new(router.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let stock =
        StockServiceServer::new(stock::Service::new(router.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut routes = tonic::service::Routes::new(health)
        .add_service(reservations)
        .add_service(stock)
        .add_service(cluster::Service::server(router.clone()));
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(earmark_client::wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Both are asked for by tools in use. The descriptors are our own, so building can't fail on them.
    routes = routes.add_service(described().build_v1().expect("our own descriptors"));
    routes.add_service(described().build_v1alpha().expect("our own descriptors"))
}

/// Keeps the health service true: "" for the process, one name per service.
async fn report_health(node: std::sync::Weak<Node>, reporter: tonic_health::server::HealthReporter) {
    use tonic_health::ServingStatus;
    const SERVICES: [&str; 3] =
        ["earmark.v1.StockService", "earmark.v1.ReservationService", "earmark.v1.ClusterService"];
    let Some(mut health) = node.upgrade().map(|node| node.watch_health()) else { return };
    reporter.set_service_status("", ServingStatus::Serving).await;
    loop {
        let serving = *health.borrow_and_update() == Health::Serving;
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &SERVICES[..2] {
            reporter.set_service_status(*service, status).await;
        }
        reporter.set_service_status(SERVICES[2], ServingStatus::Serving).await;
        if health.changed().await.is_err() {
            return;
        }
    }
}

/// Does one operation that came at `now`, by server time.
pub async fn execute(router: &Router, operation: v1::Operation, hop: Hop, now: TimeMs) -> v1::OperationResult {
    let started = start(router, operation, hop, now);
    finish(router, started, None).await
}

/// Answers a read for a peer. Of what is asked of several shards it answers for that one.
pub async fn execute_for_peer(router: &Router, operation: v1::Operation, shard: ShardId) -> v1::OperationResult {
    let started = start(router, operation, Hop::Forwarded, router.server_time());
    finish(router, started, Some(shard)).await
}
