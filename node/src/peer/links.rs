//! One HTTP/2 connection to each peer, shared by all shards.

use super::{bulk::Bulk, pulse::Pulse, wire::peer_client::PeerClient};
use crate::environment::Network;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// Bounds a replication frame: entries are gathered up to about 1 MiB, one entry has 1 MiB of commands at most, plus
/// what frames them. Snapshots come in chunks below this.
pub const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Names the cluster in the metadata of a call.
pub const CLUSTER: &str = "earmark-cluster";
/// Names the calling node.
pub const FROM: &str = "earmark-from";
/// Names the node that is meant.
pub const TO: &str = "earmark-to";

/// A client of one peer.
pub type Link = PeerClient<InterceptedService<Channel, Introduction>>;

/// Says with each call who calls whom, in which cluster.
#[derive(Clone)]
pub struct Introduction {
    cluster: Arc<Mutex<Option<[u8; 16]>>>,
    from: u32,
    to: u32,
}

/// 32 hexadecimal digits.
pub fn cluster_text(cluster: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*cluster))
}

impl Interceptor for Introduction {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let cluster = *self.cluster.lock().expect("no panic holds it");
        let cluster = cluster.as_ref().map(cluster_text).unwrap_or_default();
        let text = |text: String| -> MetadataValue<Ascii> { text.parse().expect("digits are ASCII") };
        request.metadata_mut().insert(CLUSTER, text(cluster));
        request.metadata_mut().insert(FROM, text(self.from.to_string()));
        request.metadata_mut().insert(TO, text(self.to.to_string()));
        Ok(request)
    }
}

/// The connections of a node to its peers.
#[derive(Clone)]
pub struct Links {
    node: u32,
    cluster: Arc<Mutex<Option<[u8; 16]>>>,
    network: Arc<dyn Network>,
    endpoints: Arc<BTreeMap<u32, String>>,
    open: Arc<Mutex<BTreeMap<u32, Link>>>,
    pulses: Arc<Mutex<BTreeMap<u32, Pulse>>>,
    bulk: Bulk,
}

impl Links {
    /// Connections of `node` to the peers named, opened when first used. States and journals go as `bulk` says.
    pub fn new(node: u32, network: Arc<dyn Network>, endpoints: BTreeMap<u32, String>, bulk: Bulk) -> Self {
        Self {
            node,
            cluster: Arc::default(),
            network,
            endpoints: Arc::new(endpoints),
            open: Arc::default(),
            pulses: Arc::default(),
            bulk,
        }
    }

    /// From now on, speak as a member of this cluster.
    pub fn set_cluster(&self, cluster: [u8; 16]) {
        *self.cluster.lock().expect("no panic holds it") = Some(cluster);
    }

    /// The cluster this node is a member of, once it is.
    pub fn cluster(&self) -> Option<[u8; 16]> {
        *self.cluster.lock().expect("no panic holds it")
    }

    /// This node's number.
    pub fn node(&self) -> u32 {
        self.node
    }

    /// How fast whole states and journals are sent.
    pub fn bulk(&self) -> &Bulk {
        &self.bulk
    }

    /// Numbers of the other nodes.
    pub fn others(&self) -> impl Iterator<Item = u32> + '_ {
        self.endpoints.keys().copied().filter(|node| *node != self.node)
    }

    /// A client of `node`, if it is known.
    pub fn to(&self, node: u32) -> Option<Link> {
        let mut open = self.open.lock().expect("no panic holds it");
        if let Some(link) = open.get(&node) {
            return Some(link.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", self.endpoints.get(&node)?))
            .ok()?
            .tcp_nodelay(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .connect_timeout(Duration::from_millis(500))
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let introduction = Introduction { cluster: self.cluster.clone(), from: self.node, to: node };
        let link = PeerClient::with_interceptor(self.network.channel(endpoint), introduction)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        open.insert(node, link.clone());
        Some(link)
    }

    /// Where `node` is asked what is asked all the time, if it is known.
    pub fn pulse(&self, node: u32) -> Option<Pulse> {
        let link = self.to(node)?;
        let mut pulses = self.pulses.lock().expect("no panic holds it");
        Some(pulses.entry(node).or_insert_with(|| Pulse::new(link)).clone())
    }
}
