//! What a node asks before it opens a Raft: did my store lose anything?
//!
//! Its own high-water mark answers first. Then every peer is asked what it remembers of this node; a store that is
//! behind any of them must not vote. A node waits until every reachable peer answered within 5 s, at least one.

use crate::{
    formation::Formation,
    node::{Health, Node},
    peer::{convert, links::cluster_text, wire},
    storage::{Continuity, Mark, OpenError, Store},
};
use earmark_ledger::{
    planted::{self, Bug},
    types::ShardId,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Every reachable peer must have answered within this.
const ROUND: Duration = Duration::from_secs(5);

/// Why a node can't start at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be bound.
    #[error("{key}: can't listen on {address}: {error}")]
    Listen {
        /// Key of the configuration.
        key: &'static str,
        /// What was asked for.
        address: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The data folder can't be used.
    #[error("data: {0}")]
    Data(String),
}

/// Opens the store and finds out what may be served. Returns once that is known; `node.health()` says it.
///
/// # Errors
/// [`StartError`] where waiting or re-seeding can't help.
pub async fn open(node: &Arc<Node>) -> Result<(), StartError> {
    let (store, continuity) = match Store::open(node.environment().disk.clone()) {
        Ok(opened) => opened,
        Err(OpenError::Damaged(reason)) => {
            // Nothing can be read, so nothing is known of identity; peers will say which cluster it was.
            let advice = format!(
                "the store can't be read ({reason}); run `earmark admin reseed {}` against a healthy node",
                node.config().node
            );
            node.set_health(Health::Doubted(advice));
            return Ok(());
        }
        Err(error) => return Err(StartError::Data(error.to_string())),
    };
    if let Some(identity) = store.identity() {
        if identity.node != node.config().node {
            return Err(StartError::Data(format!(
                "the folder belongs to node {}, the configuration says `node = {}`",
                identity.node,
                node.config().node
            )));
        }
        let formation = Formation::read(identity.formation).map_err(StartError::Data)?;
        node.set_formation(formation);
    }
    node.set_store(store.clone());
    let own: Vec<String> = match continuity {
        Continuity::Lost { reasons } => reasons,
        Continuity::Empty | Continuity::Whole => Vec::new(),
    };
    let asking = node.clone();
    tokio::spawn(async move { settle(asking, store, own).await });
    Ok(())
}

/// Asks the peers and decides.
async fn settle(node: Arc<Node>, store: Store, mut reasons: Vec<String>) {
    let peers: Vec<u32> = node.links().others().collect();
    let replies = loop {
        let replies = ask(&node, &peers).await;
        // Who knows no cluster can't remember anything of this node in one.
        let remembers = |reply: &wire::HelloReply| node.formation().is_none() || !reply.cluster.is_empty();
        if replies.len() == peers.len() || replies.iter().any(|(_, reply)| remembers(reply)) {
            break replies;
        }
        tracing::info!("no peer answers yet");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let formed: BTreeMap<u32, &wire::HelloReply> =
        replies.iter().filter(|(_, reply)| !reply.cluster.is_empty()).map(|(node, reply)| (*node, reply)).collect();
    let own_number = node.config().node;
    let advice = format!("run `earmark admin reseed {own_number}` against a healthy node");
    let Some(formation) = node.formation() else {
        if let Some((peer, reply)) = formed.first_key_value() {
            let cluster =
                <[u8; 16]>::try_from(reply.cluster.as_ref()).map(|name| cluster_text(&name)).unwrap_or_default();
            let what = if reasons.is_empty() { "the data folder is empty".to_owned() } else { lost(reasons) };
            node.set_health(Health::Doubted(format!(
                "{what}, but node {peer} knows this node as a member of cluster {cluster}; {advice}"
            )));
        } else if reasons.is_empty() {
            node.set_health(Health::Unformed);
        } else {
            node.set_health(Health::Doubted(format!("{}; {advice}", lost(reasons))));
        }
        return;
    };
    for (peer, reply) in &formed {
        if reply.cluster.as_ref() != formation.cluster.as_ref() {
            node.set_health(Health::Doubted(format!(
                "the data folder belongs to cluster {}, but node {peer} to another one; is `data` or `nodes` wrong?",
                cluster_text(&formation.cluster())
            )));
            return;
        }
    }
    reasons.extend(behind(&store, &formed));
    if !reasons.is_empty() && !planted::on(Bug::BehindMarkServes) {
        node.set_health(Health::Doubted(format!("{}; {advice}", lost(reasons))));
        return;
    }
    // A peer may ask for a replica to be opened anew meanwhile.
    let _changing = node.changing().await;
    node.serve().await;
}

/// The first few losses: more would not help whoever reads them.
fn lost(mut reasons: Vec<String>) -> String {
    const TOLD: usize = 3;
    let more = reasons.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    reasons.truncate(TOLD);
    format!("the store lost something: {}{more}", reasons.join("; "))
}

/// What each peer that answers in time remembers.
async fn ask(node: &Arc<Node>, peers: &[u32]) -> Vec<(u32, wire::HelloReply)> {
    let own = node.config().node;
    let calls = peers.iter().filter_map(|peer| {
        let mut link = node.links().to(*peer)?;
        Some(async move {
            let reply = tokio::time::timeout(ROUND, link.hello(wire::HelloRequest { node: own })).await;
            match reply {
                Ok(Ok(reply)) => Some((*peer, reply.into_inner())),
                Ok(Err(status)) => {
                    tracing::debug!(peer, %status, "hello failed");
                    None
                }
                Err(_) => None,
            }
        })
    });
    futures::future::join_all(calls).await.into_iter().flatten().collect()
}

/// Where this store is behind what peers remember of it.
fn behind(store: &Store, replies: &BTreeMap<u32, &wire::HelloReply>) -> Vec<String> {
    let own: BTreeMap<ShardId, Mark> = store.synced_marks().into_iter().collect();
    let mut reasons = Vec::new();
    for (peer, reply) in replies {
        for frame in &reply.remembered {
            // A frame that a peer's store damaged says nothing; the other peers' do.
            let Ok((shard, remembered)) = convert::mark_from(frame) else { continue };
            let held = own.get(&shard).copied().unwrap_or_default();
            if !held.covers(&remembered) {
                reasons.push(format!("shard {shard}: the store has {held}; node {peer} remembers {remembered}"));
            }
        }
        for member in &reply.members {
            let held = own.get(&ShardId(member.shard)).map_or(0, |mark| mark.incarnation);
            if held < member.incarnation {
                reasons.push(format!(
                    "shard {}: the store has incarnation {held}, but node {peer} knows incarnation {}",
                    member.shard, member.incarnation
                ));
            }
        }
    }
    reasons
}
