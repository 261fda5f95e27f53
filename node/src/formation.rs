//! How a cluster begins: the document every first node keeps, and the act of `earmark init`.

use crate::{
    config::Config,
    environment::Random,
    node::{Health, Node},
    peer::{links::cluster_text, wire},
    shard::raft::ReplicaId,
    storage::Identity,
};
use bytes::Bytes;
use earmark_ledger::{
    command::{Form, MetaNode},
    types::ShardId,
};
use prost::Message;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Most stock shards a cluster can have.
pub const SHARDS_MAX: u32 = 1_024;

/// How long a peer may take to answer while a cluster is being formed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A peer that is just starting is asked again so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The first membership of a cluster, as each node keeps it beside its store's identity.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Formation {
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub cluster: Bytes,
    /// Stock shards, numbered from 1.
    #[prost(uint32, tag = "2")]
    pub shards: u32,
    /// In order of their numbers.
    #[prost(message, repeated, tag = "3")]
    pub nodes: Vec<FormationNode>,
}

/// One of the first nodes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FormationNode {
    /// From 1.
    #[prost(uint32, tag = "1")]
    pub node: u32,
    /// `host:port` for clients.
    #[prost(string, tag = "2")]
    pub client: String,
    /// `host:port` for peers.
    #[prost(string, tag = "3")]
    pub peer: String,
    /// Label.
    #[prost(string, tag = "4")]
    pub region: String,
    /// Label.
    #[prost(string, tag = "5")]
    pub zone: String,
}

impl Formation {
    /// A new cluster of the configured nodes.
    pub fn new(config: &Config, shards: u32, random: &dyn Random) -> Self {
        let mut cluster = [0; 16];
        cluster[..8].copy_from_slice(&random.next_u64().to_be_bytes());
        cluster[8..].copy_from_slice(&random.next_u64().to_be_bytes());
        let nodes = config.nodes.iter().map(|(node, peer)| FormationNode {
            node: *node,
            client: peer.client.clone(),
            peer: peer.peer.clone(),
            region: peer.region.clone(),
            zone: peer.zone.clone(),
        });
        Self { cluster: Bytes::copy_from_slice(&cluster), shards, nodes: nodes.collect() }
    }

    /// Reads a formation and checks that it makes sense.
    ///
    /// # Errors
    /// For people.
    pub fn read(bytes: Bytes) -> Result<Self, String> {
        let formation = Self::decode(bytes).map_err(|error| format!("the formation can't be read: {error}"))?;
        let sound = formation.cluster.len() == 16
            && (1..=SHARDS_MAX).contains(&formation.shards)
            && !formation.nodes.is_empty()
            && formation.nodes.iter().all(|node| node.node > 0);
        if sound { Ok(formation) } else { Err("the formation makes no sense".to_owned()) }
    }

    /// The cluster's name.
    pub fn cluster(&self) -> [u8; 16] {
        self.cluster.as_ref().try_into().expect("checked when it was read or made")
    }

    /// All shards, the meta shard first.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..=self.shards).map(ShardId)
    }

    /// The node that begins a shard, so that leaders are spread: the shard's number modulo the nodes.
    pub fn first_leader(&self, shard: ShardId) -> u32 {
        let place = usize::try_from(shard.0).expect("32 bits") % self.nodes.len();
        self.nodes[place].node
    }

    /// The first voters of every shard.
    pub fn voters(&self) -> Vec<(ReplicaId, String)> {
        self.nodes.iter().map(|node| (ReplicaId { node: node.node, incarnation: 1 }, node.peer.clone())).collect()
    }

    /// The command that makes the meta shard's map.
    pub fn command(&self) -> Form {
        let nodes = self.nodes.iter().map(|node| MetaNode {
            node: node.node,
            client_endpoint: node.client.clone(),
            peer_endpoint: node.peer.clone(),
            region: node.region.clone(),
            zone: node.zone.clone(),
        });
        Form { cluster: self.cluster(), shards: self.shards, nodes: nodes.collect() }
    }

    /// What the store keeps.
    pub fn identity(&self, node: u32) -> Identity {
        Identity { cluster: self.cluster(), node, shards: self.shards + 1, formation: self.encode_to_vec().into() }
    }
}

/// Why a cluster was not formed.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The number of shards is out of range.
    #[error("shards: {0} is out of range, 1 to {SHARDS_MAX}")]
    Shards(u32),
    /// This node belongs to a cluster already. Nothing was done.
    #[error("this node belongs to cluster {0} already; a cluster is formed once")]
    Formed(String),
    /// This node can't take part. Nothing was done.
    #[error("this node can't take part: {0}")]
    Unfit(String),
    /// A peer can't take part. Nothing was done.
    #[error("node {node} can't take part, so nothing was formed: {what}")]
    Peer {
        /// Which one.
        node: u32,
        /// Why.
        what: String,
    },
    /// It failed between the first node and the last, so some may be formed and some not.
    #[error(
        "node {node} failed while the cluster was being formed: {what}; unless `earmark status` shows it formed, stop \
         the nodes and empty the data folders of all to begin anew"
    )]
    HalfWay {
        /// Which one.
        node: u32,
        /// Why.
        what: String,
    },
}

/// Forms a cluster out of the configured nodes, all of which must be up and empty.
///
/// # Errors
/// [`FormError`]. Nothing was done unless it is [`FormError::HalfWay`].
pub async fn form(node: &Arc<Node>, shards: u32) -> Result<Formation, FormError> {
    if !(1..=SHARDS_MAX).contains(&shards) {
        return Err(FormError::Shards(shards));
    }
    let deadline = Instant::now() + PATIENCE;
    let mut health = node.watch_health();
    // Whether it is still starting then, its health says.
    timeout_at(deadline, health.wait_for(|health| *health != Health::Starting)).await.ok();
    match node.health() {
        Health::Unformed => {}
        Health::Serving => {
            let name = node.links().cluster().map(|name| cluster_text(&name)).unwrap_or_default();
            return Err(FormError::Formed(name));
        }
        other => return Err(FormError::Unfit(other.detail())),
    }
    let others: Vec<u32> = node.links().others().collect();
    let unfit = |node: u32, what: String| FormError::Peer { node, what };
    // Once more after the last was waited for: so all of them are fit at about the same moment.
    for _ in 0..2 {
        for other in &others {
            fit(node, *other, deadline).await.map_err(|what| unfit(*other, what))?;
        }
    }
    let formation = Formation::new(node.config(), shards, &*node.environment().random);
    let half_way = |node: u32, what: String| FormError::HalfWay { node, what };
    for other in &others {
        let mut link = node.links().to(*other).ok_or_else(|| half_way(*other, "it is not known".to_owned()))?;
        let request = wire::FormRequest { formation: formation.encode_to_vec().into() };
        timeout(PATIENCE, link.form(request))
            .await
            .map_err(|_| half_way(*other, "it did not answer in time".to_owned()))?
            .map_err(|status| half_way(*other, status.message().to_owned()))?;
    }
    node.take_part(formation.clone()).await.map_err(|what| half_way(node.config().node, what))?;
    Ok(formation)
}

/// Waits until a peer can take part. One that is still asking the others what they know of it must not learn of a cluster that is
/// just being formed: it would take itself for a member that lost its folder.
async fn fit(node: &Arc<Node>, other: u32, deadline: Instant) -> Result<(), String> {
    let mut link = node.links().to(other).ok_or("it is not known")?;
    loop {
        let hello = link.hello(wire::HelloRequest { node: node.config().node });
        let why = match timeout(PATIENCE, hello).await {
            Err(_) => return Err("it does not answer".to_owned()),
            Ok(Err(status)) => format!("it is not reached: {}", status.message()),
            Ok(Ok(reply)) => {
                let reply = reply.into_inner();
                if !reply.cluster.is_empty() {
                    let advice = "it belongs to a cluster already; stop the nodes and empty the data folders of all to \
                                  begin anew";
                    return Err(advice.to_owned());
                }
                if reply.unformed {
                    return Ok(());
                }
                "it is still starting, or its own status says what is wrong; try again".to_owned()
            }
        };
        if Instant::now() >= deadline {
            return Err(why);
        }
        sleep(LOOK_AGAIN).await;
    }
}
