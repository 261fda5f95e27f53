//! The two ports of a node: clients and peers.

use crate::{api, environment::Connection, node::Node, peer::service::Service as PeerService, router::Router};
use futures::stream::BoxStream;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tonic::transport::{Server, server::Router as TonicRouter};

/// A bound port.
pub struct Bound {
    /// The address really bound.
    pub address: SocketAddr,
    /// Connections that come.
    pub incoming: BoxStream<'static, io::Result<Connection>>,
}

/// Settings that both ports share. Nothing sheds load by default, so every bound is set here.
fn server() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(5)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(Some(16 << 10))
        .http2_max_pending_accept_reset_streams(Some(64))
}

/// Serves clients until `until` resolves.
pub async fn clients(node: Arc<Node>, bound: Bound, until: impl Future<Output = ()>) {
    let limits = &node.config().limits;
    let streams = u32::try_from(limits.requests_per_connection).unwrap_or(u32::MAX);
    let router: TonicRouter = server()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_concurrent_streams(Some(streams))
        .add_routes(api::routes(&Router::new(node.clone())));
    if let Err(error) = router.serve_with_incoming_shutdown(bound.incoming, until).await {
        tracing::error!(%error, "the client port broke");
    }
}

/// Serves peers until `until` resolves.
pub async fn peers(node: Arc<Node>, bound: Bound, until: impl Future<Output = ()>) {
    let service = PeerService::server(node.clone(), Router::new(node));
    let router = server()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .max_concurrent_streams(Some(65_536))
        .add_service(service);
    if let Err(error) = router.serve_with_incoming_shutdown(bound.incoming, until).await {
        tracing::error!(%error, "the peer port broke");
    }
}
