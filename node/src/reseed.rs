//! Bringing a node with a lost or damaged disk back: `earmark admin reseed NODE`.
//!
//! The node forgets what is damaged; then, shard by shard, the leader removes the old incarnation, adds the next one as
//! a learner, waits until it caught up (by log or by snapshot), and gives it a vote. Other shards and the load go on.

use crate::{
    api::error::{invalid_field, refused},
    formation::Formation,
    node::{Health, Node},
    peer::wire,
    shard::{Replica, raft::ReplicaId},
    storage::Store,
};
use earmark_client::wire::v1;
use earmark_ledger::types::ShardId;
use prost::Message;
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tonic::Status;

/// How long a node may take to set its store aside and open an empty one.
const PREPARE_PATIENCE: Duration = Duration::from_secs(60);

/// How long to look for a shard's leader, to go on after steps that failed, and to let another attempt get on.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks or tries.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often a replica is replaced that does not get as far as a vote.
const TRIES: u32 = 3;

/// The last step.
const DONE: &str = "done";

type Progress = mpsc::Sender<Result<wire::ReplaceReplicaProgress, Status>>;

/// On the node that is to be re-seeded: forgets what is damaged. Gives the shards to be added again.
///
/// # Errors
/// For people.
pub async fn prepare(node: &Arc<Node>) -> Result<Vec<u32>, String> {
    let _changing = node.changing().await;
    match node.health() {
        // Single replicas are damaged, the store is sound.
        Health::Serving => {
            let mut shards = Vec::new();
            for shard in node.closed().into_keys() {
                node.close_replica(shard).await;
                let store = node.store().ok_or("the store is not open")?.replica(shard);
                store.wipe().await.map_err(|error| error.to_string())?;
                shards.push(shard.0);
            }
            Ok(shards)
        }
        // The whole store is not to be trusted.
        Health::Doubted(_) => {
            node.close_replicas().await;
            node.close_store().await;
            let disk = node.environment().disk.clone();
            let kept = disk.set_aside().map_err(|error| format!("the damaged files can't be set aside: {error}"))?;
            tracing::warn!(kept, "the damaged store was set aside");
            let (store, _) = Store::open(disk).map_err(|error| format!("no empty store can be opened: {error}"))?;
            node.set_store(store);
            node.set_health(Health::Reseeding);
            Ok(Vec::new())
        }
        // An earlier attempt ended half-way: this one goes on with what it left.
        Health::Reseeding => Ok(Vec::new()),
        Health::Poisoned(reason) => Err(format!("{reason}; then re-seed it if it asks for that")),
        Health::Unformed => Ok(Vec::new()),
        Health::Starting if node.formation().is_none() => Ok(Vec::new()),
        Health::Starting => Err("it is starting; wait until it knows what its peers remember".to_owned()),
    }
}

/// On the node that is re-seeded: opens an empty replica under the next incarnation.
///
/// # Errors
/// For people.
pub async fn open(node: &Arc<Node>, formation: Formation, shard: ShardId, incarnation: u32) -> Result<(), String> {
    let _changing = node.changing().await;
    let store = node.store().ok_or("the store is not open")?;
    if node.formation().is_none() || store.identity().is_none() {
        store.set_identity(formation.identity(node.config().node)).await.map_err(|error| error.to_string())?;
        node.set_formation(formation);
    }
    let replica = store.replica(shard);
    match replica.incarnation() {
        // A late message of an attempt that another took the place of.
        Some(present) if present > incarnation => {
            return Err(format!("shard {shard} has incarnation {present}, later than {incarnation}"));
        }
        // Said twice. What it promised meanwhile stays.
        Some(present) if present == incarnation => {}
        Some(_) | None => {
            node.close_replica(shard).await;
            replica.wipe().await.map_err(|error| error.to_string())?;
            replica.create(incarnation).await.map_err(|error| error.to_string())?;
        }
    }
    if node.replica(shard).is_none() {
        node.close_replica(shard).await;
        node.open_replica(shard).await.ok_or_else(|| format!("shard {shard} could not be opened"))?;
    }
    let complete =
        node.formation().is_some_and(|formation| formation.shards().all(|shard| node.replica(shard).is_some()));
    if complete {
        node.set_health(Health::Serving);
    }
    Ok(())
}

/// On the leader of a shard: replaces the replica of `node`, and tells each step.
pub async fn replace(own: Arc<Node>, leader: Arc<Replica>, node: u32, progress: Progress) {
    if let Err(what) = steps(&own, &leader, node, &progress).await {
        let shard = leader.shard();
        let _ = progress.send(Err(Status::unavailable(format!("shard {shard}: {what}")))).await;
    }
}

async fn steps(own: &Arc<Node>, leader: &Arc<Replica>, node: u32, progress: &Progress) -> Result<(), String> {
    // The membership must name an incarnation of the node at every moment, or the next attempt after a failure would
    // begin to count anew. So the old one stays, without a vote, until the next one is in.
    let remembered = own.store().map(|store| store.remembered(node)).unwrap_or_default();
    let id = ReplicaId { node, incarnation: leader.next_incarnation_of(node, &remembered) };
    let tell = |step: &str| {
        let message = wire::ReplaceReplicaProgress { step: step.to_owned(), incarnation: id.incarnation };
        let progress = progress.clone();
        async move {
            let _ = progress.send(Ok(message)).await;
        }
    };
    let formation = own.formation().ok_or("the cluster is not formed")?;
    let endpoint = own.config().nodes.get(&node).map(|peer| peer.peer.clone()).ok_or("the node is not known")?;
    tell("removing").await;
    leader.take_vote(node).await?;
    let mut link = own.links().to(node).ok_or("the node is not known")?;
    let request = wire::OpenReplicaRequest {
        shard: leader.shard().0,
        incarnation: id.incarnation,
        formation: formation.encode_to_vec().into(),
    };
    tell("adding").await;
    tokio::time::timeout(PREPARE_PATIENCE, link.open_replica(request))
        .await
        .map_err(|_| "the node does not answer".to_owned())?
        .map_err(|status| status.message().to_owned())?;
    leader.add_learner(id, &endpoint).await?;
    leader.remove_below(id).await?;
    tell("catching-up").await;
    leader.wait_caught_up(id).await?;
    tell("promoting").await;
    leader.promote(id).await?;
    tell(DONE).await;
    Ok(())
}

/// Whether this node can conduct the re-seeding of `node`. If it can't another one may, and whoever asked is told so.
///
/// # Errors
/// As told to the client.
pub fn may_conduct(own: &Arc<Node>, node: u32) -> Result<(), v1::Error> {
    if !own.config().nodes.contains_key(&node) {
        return Err(invalid_field("node", format!("is {node}, and there is no such node")));
    }
    if node == own.config().node {
        return Err(refused(v1::Code::NotLeader, "a node can't re-seed itself: ask another node"));
    }
    match own.health() {
        Health::Serving => Ok(()),
        Health::Unformed => Err(refused(v1::Code::NoQuorum, "the cluster is not formed yet: run `earmark init`")),
        other => Err(refused(v1::Code::StoreDamaged, format!("ask another node: this one {}", other.detail()))),
    }
}

/// On any healthy node: the whole act, with its progress.
pub async fn run(own: Arc<Node>, node: u32, progress: mpsc::Sender<Result<v1::ReseedProgress, Status>>) {
    if let Err(status) = conduct(&own, node, &progress).await {
        let _ = progress.send(Err(status)).await;
    }
}

/// What tells whoever asked how far a shard is.
struct Tell<'a> {
    progress: &'a mpsc::Sender<Result<v1::ReseedProgress, Status>>,
    shard: ShardId,
    /// Shards before it, and all of them.
    done: u32,
    total: u32,
}

impl Tell<'_> {
    async fn step(&self, step: &str, incarnation: u32) {
        let message = v1::ReseedProgress {
            shard: self.shard.0,
            shards_done: self.done + u32::from(step == DONE),
            shards_total: self.total,
            incarnation,
            step: step.to_owned(),
        };
        // A caller that hung up does not stop the act.
        let _ = self.progress.send(Ok(message)).await;
    }
}

async fn conduct(
    own: &Arc<Node>,
    node: u32,
    progress: &mpsc::Sender<Result<v1::ReseedProgress, Status>>,
) -> Result<(), Status> {
    let formation = own.formation().ok_or_else(|| Status::failed_precondition("the cluster is not formed"))?;
    let mut link = own.links().to(node).ok_or_else(|| Status::not_found(format!("node: there is no node {node}")))?;
    let prepared = tokio::time::timeout(PREPARE_PATIENCE, link.prepare_reseed(wire::PrepareReseedRequest {}))
        .await
        .map_err(|_| Status::unavailable(format!("node {node} does not answer")))??;
    let named = prepared.into_inner().shards;
    // A node that names none lost everything.
    let shards: Vec<ShardId> =
        if named.is_empty() { needing(own, &formation, node).await? } else { named.into_iter().map(ShardId).collect() };
    let total = u32::try_from(shards.len()).unwrap_or(u32::MAX);
    for (done, shard) in (0..).zip(shards) {
        let tell = Tell { progress, shard, done, total };
        // A leader may fall, or have been elected a moment ago and not be ready: the next one goes on where it stopped.
        let mut deadline = tokio::time::Instant::now() + PATIENCE;
        let mut fruitless = 0;
        let incarnation = loop {
            match attempt(own, node, shard, &mut deadline, &tell).await {
                Ok(Some(incarnation)) => break incarnation,
                Ok(None) if fruitless + 1 < TRIES => fruitless += 1,
                Ok(None) => {
                    let what =
                        format!("shard {shard}: node {node} has no vote in it after {TRIES} tries; see its status");
                    return Err(Status::unavailable(what));
                }
                Err(status) if tokio::time::Instant::now() >= deadline => return Err(status),
                Err(status) => {
                    tracing::info!(%shard, node, %status, "a replica was not replaced yet");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        };
        tell.step(DONE, incarnation).await;
    }
    Ok(())
}

/// Has the shard's leader replace the node's replica, unless it was. Gives the incarnation that has a vote now, or none
/// if another attempt was in the way and did not get there either.
async fn attempt(
    own: &Arc<Node>,
    node: u32,
    shard: ShardId,
    deadline: &mut tokio::time::Instant,
    tell: &Tell<'_>,
) -> Result<Option<u32>, Status> {
    if let Some(incarnation) = has_vote(&replicas(own, node).await?, shard) {
        return Ok(Some(incarnation));
    }
    let mut steps = ask_leader(own, shard, node).await?;
    let mut finished = false;
    while let Some(step) = steps.message().await? {
        *deadline = tokio::time::Instant::now() + PATIENCE;
        finished = step.step == DONE;
        if !finished {
            tell.step(&step.step, step.incarnation).await;
        }
    }
    // A later attempt takes the place of an earlier one in the leader. Two that both insisted would end each other for
    // ever; so who was ended waits for the other, and tries again only if that one does not get on.
    if !finished {
        tell.step("waiting", 0).await;
    }
    // As long as the replica gets on, somebody brings it back.
    let (mut reached, mut since) = (None, tokio::time::Instant::now());
    while since.elapsed() < PATIENCE {
        if let Ok(replicas) = replicas(own, node).await {
            if let Some(incarnation) = has_vote(&replicas, shard) {
                return Ok(Some(incarnation));
            }
            let found = replicas.iter().find(|replica| replica.shard == shard.0);
            let now = found.map(|replica| (replica.incarnation, replica.applied_index, replica.last_index));
            if now != reached {
                (reached, since) = (now, tokio::time::Instant::now());
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

/// Shards the node has no open replica of, or one without a vote.
async fn needing(own: &Arc<Node>, formation: &Formation, node: u32) -> Result<Vec<ShardId>, Status> {
    let replicas = replicas(own, node).await?;
    Ok(formation.shards().filter(|shard| has_vote(&replicas, *shard).is_none()).collect())
}

/// What the node says of its replicas.
async fn replicas(own: &Arc<Node>, node: u32) -> Result<Vec<v1::ReplicaStatus>, Status> {
    let status = crate::api::status::of_peer(own, node).await;
    // What a node does not say must not be taken for "nothing": its good replicas would be wiped.
    if status.health() == v1::NodeHealth::Unreachable {
        return Err(Status::unavailable(format!("node {node} does not say what it has: {}", status.detail)));
    }
    Ok(status.replicas)
}

/// The incarnation of a shard's replica, if that is open and has a vote.
fn has_vote(replicas: &[v1::ReplicaStatus], shard: ShardId) -> Option<u32> {
    let open = replicas.iter().find(|replica| replica.shard == shard.0 && replica.damage.is_empty())?;
    (!["none", "learner"].contains(&open.role.as_str())).then_some(open.incarnation)
}

async fn ask_leader(
    own: &Arc<Node>,
    shard: ShardId,
    node: u32,
) -> Result<tonic::Streaming<wire::ReplaceReplicaProgress>, Status> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let leader = own.replica(shard).and_then(|replica| replica.standing().leader);
        if let Some(leader) = leader
            && leader != node
        {
            let request = wire::ReplaceReplicaRequest { shard: shard.0, node };
            // The leader calls itself through its own peer port, so that there is one road.
            let link = own.links().to(leader);
            if let Some(mut link) = link
                && let Ok(steps) = link.replace_replica(request).await
            {
                return Ok(steps.into_inner());
            }
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(Status::unavailable(format!("shard {shard} has no leader that answers")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
