//! The Earmark server: gRPC surfaces, routing, Raft shards, storage.
//!
//! A command travels `api` -> `router` -> `shard` (Raft) -> `ledger` (pure apply) -> `storage`, and its answer comes
//! back by the same road. [`start`] is the only way in: the binary, the simulation and the benchmarks all use it, each
//! with its own [`environment::Environment`].

#![forbid(unsafe_code)]

pub mod api;
pub mod beacon;
pub mod config;
pub mod courier;
pub mod environment;
pub mod failpoint;
pub mod formation;
pub mod inquiry;
pub mod moment;
pub mod node;
pub mod peer;
pub mod reseed;
pub mod router;
pub mod server;
pub mod shard;
pub mod stamp;
pub mod startup;
pub mod storage;

use config::Config;
use environment::Environment;
use node::Node;
use server::Bound;
use startup::StartError;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long open streams may keep a stopping node.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long the shards that a stopping node leads may take to find another leader.
const HANDOVER: Duration = Duration::from_secs(3);

/// A running node.
pub struct Running {
    node: Arc<Node>,
    client: SocketAddr,
    peer: SocketAddr,
    stop: watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

/// Starts a node: binds its ports, opens its store, and serves what may be served.
///
/// # Errors
/// [`StartError`] where waiting or re-seeding can't help: a port in use, a data folder of another node or a newer
/// format. A damaged store is none: the node then runs, says so in its status, and waits to be re-seeded.
pub async fn start(config: Config, environment: Environment) -> Result<Running, StartError> {
    let node = Node::new(config, environment);
    let client = bind(&node, "client.listen", &node.config().client.listen).await?;
    let peer = bind(&node, "peer.listen", &node.config().peer).await?;
    let (client_address, peer_address) = (client.address, peer.address);
    startup::open(&node).await?;
    let (stop, stopped) = watch::channel(false);
    let until = |mut stopped: watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let servers = vec![
        tokio::spawn(server::clients(node.clone(), client, until(stopped.clone()))),
        tokio::spawn(server::peers(node.clone(), peer, until(stopped))),
    ];
    beacon::start(&node);
    tracing::info!(node = node.config().node, client = %client_address, peer = %peer_address, "listening");
    Ok(Running { node, client: client_address, peer: peer_address, stop, servers })
}

async fn bind(node: &Arc<Node>, key: &'static str, address: &str) -> Result<Bound, StartError> {
    let (bound, incoming) = node.environment().network.listen(address).await.map_err(|error| StartError::Listen {
        key,
        address: address.to_owned(),
        error,
    })?;
    Ok(Bound { address: bound, incoming })
}

impl Running {
    /// The node itself.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Where clients connect.
    pub fn client_address(&self) -> SocketAddr {
        self.client
    }

    /// Where peers connect.
    pub fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    /// Stops in order: leadership handed over, no new requests, replicas closed, store synced by what they acknowledged.
    pub async fn stop(self) {
        let handed = self.node.hand_over(tokio::time::Instant::now() + HANDOVER).await;
        tracing::info!(handed, "shards were handed over");
        self.node.close_replicas().await;
        self.node.end_lasting();
        self.stop.send_replace(true);
        for server in self.servers {
            let handle = server.abort_handle();
            if tokio::time::timeout(GOODBYE, server).await.is_err() {
                handle.abort();
            }
        }
        self.node.close_store().await;
    }
}
