//! From a bucket to the leader of its shard: here, or one hop further.

pub mod placement;

use crate::{
    api::error::{self, refused},
    node::{Health, Node},
    peer::wire::{self, forward_result},
    shard::{
        Replica,
        proposer::{Answer, Failure},
    },
};
use bytes::Bytes;
use earmark_client::{status::never_sent, wire::v1};
use earmark_ledger::{
    chosen_ttl, codec,
    command::{Body, Command, Reserve},
    outcome::Outcome,
    planted::{self, Bug},
    types::{Bucket, DurationMs, ShardId, Sku, TimeMs},
};
pub use placement::Placement;
use prost::Message;
use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::Duration,
};
use tokio::time::Instant;

/// Where a request came from, and what may be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// From a client that wants to be told the leader.
    Direct,
    /// From a client; may be forwarded once.
    First,
    /// From a peer: never forwarded again.
    Forwarded,
}

/// A read waits this long at most.
pub const READ_PATIENCE: Duration = Duration::from_secs(10);

/// Finds the leader and hands over. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    node: Arc<Node>,
    /// The map, and the entry of the meta shard it was read at.
    cached: Arc<RwLock<(u64, Arc<Placement>)>>,
}

/// Where the leader of a shard is.
pub enum Leader {
    /// On this node.
    Here(Arc<Replica>),
    /// On another node, if it is known.
    There(Option<u32>),
}

impl Router {
    /// For a node.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, cached: Arc::default() }
    }

    /// The node routed for.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The newest map this node knows.
    pub fn placement(&self) -> Arc<Placement> {
        let Some(meta) = self.node.replica(ShardId::META) else {
            return self.cached.read().expect("no panic holds it").1.clone();
        };
        let applied = meta.core().applied_index();
        {
            let cached = self.cached.read().expect("no panic holds it");
            if cached.0 == applied && cached.1.version > 0 {
                return cached.1.clone();
            }
        }
        let placement = meta.hot().ledger.meta().map(Placement::of).unwrap_or_default();
        let placement = Arc::new(placement);
        *self.cached.write().expect("no panic holds it") = (applied, placement.clone());
        placement
    }

    /// The shard of a bucket.
    ///
    /// # Errors
    /// As told to the client, while there is no map or this node does not serve.
    pub fn shard(&self, bucket: Bucket) -> Result<ShardId, v1::Error> {
        shard_of(&*self.map()?, bucket)
    }

    /// The newest map this node knows, if it serves.
    ///
    /// # Errors
    /// As told to the client, while there is no map or this node does not serve.
    pub fn map(&self) -> Result<Arc<Placement>, v1::Error> {
        match self.node.health() {
            Health::Serving | Health::Starting | Health::Reseeding => {}
            Health::Unformed => {
                return Err(refused(v1::Code::NoQuorum, "the cluster is not formed yet: run `earmark init`"));
            }
            Health::Doubted(reason) | Health::Poisoned(reason) => return Err(refused(v1::Code::StoreDamaged, reason)),
        }
        let placement = self.placement();
        if placement.is_empty() { Err(no_map()) } else { Ok(placement) }
    }

    /// Where the leader of a shard is, as far as this node knows.
    pub fn leader(&self, shard: ShardId) -> Leader {
        let Some(replica) = self.node.replica(shard) else { return Leader::There(None) };
        if replica.is_leader() {
            return Leader::Here(replica);
        }
        let leader = replica.standing().leader.filter(|node| *node != self.node.config().node);
        Leader::There(leader)
    }

    /// Server time: by the clocks of a majority; while they are not known, by what has passed since they last were; before
    /// they ever were, this node's own clock, which may be wild.
    pub fn server_time(&self) -> TimeMs {
        self.node.clocks().about().unwrap_or_else(|| TimeMs(self.node.environment().clock.wall_ms()))
    }

    /// Has a command decided by a shard.
    ///
    /// # Errors
    /// What the client is told instead of an outcome.
    pub async fn execute(
        &self,
        shard: ShardId,
        command: Box<Command>,
        fresh: bool,
        hop: Hop,
        deadline: Instant,
    ) -> Result<Answer, v1::Error> {
        match (self.leader(shard), hop) {
            (Leader::Here(replica), _) => self.propose(&replica, command, fresh, deadline).await,
            (Leader::There(Some(leader)), Hop::First) => {
                Box::pin(self.forward(shard, leader, command, fresh, deadline)).await
            }
            (Leader::There(leader), _) => Err(self.not_leader(leader)),
        }
    }

    async fn propose(
        &self,
        replica: &Replica,
        mut command: Box<Command>,
        fresh: bool,
        deadline: Instant,
    ) -> Result<Answer, v1::Error> {
        if let Body::Reserve(reserve) = &mut command.body
            && reserve.ttl_chosen
            && !reserve.shards.is_empty()
        {
            reserve.ttl = self.hold_time(reserve);
        }
        replica.propose(command, fresh, deadline).await.map_err(|failure| self.failure(failure))
    }

    /// How long a cart over several shards is held whose request leaves it open: the shortest of what the settings of its
    /// SKUs say, as far as the replicas on this node know them. A SKU of a shard without a replica here counts as one
    /// without settings.
    fn hold_time(&self, reserve: &Reserve) -> DurationMs {
        let mut skus: BTreeMap<ShardId, Vec<&Sku>> = BTreeMap::new();
        for (shard, line) in reserve.shards.iter().zip(&reserve.lines) {
            skus.entry(*shard).or_default().push(&line.sku);
        }
        let of_shard = |(shard, skus): (ShardId, Vec<&Sku>)| match self.node.replica(shard) {
            Some(replica) => replica.hot().ledger.hold_time(&reserve.namespace, skus),
            None => chosen_ttl(),
        };
        skus.into_iter().map(of_shard).min().unwrap_or(chosen_ttl())
    }

    /// What a client is told of a failure.
    pub fn failure(&self, failure: Failure) -> v1::Error {
        match failure {
            Failure::NotLeader(leader) => self.not_leader(leader),
            other => error::failure(&other),
        }
    }

    /// NOT_LEADER with the hint.
    pub fn not_leader(&self, leader: Option<u32>) -> v1::Error {
        let endpoint = leader.and_then(|node| self.node.config().nodes.get(&node)).map(|peer| peer.client.clone());
        error::not_leader(leader, endpoint)
    }

    async fn forward(
        &self,
        shard: ShardId,
        leader: u32,
        command: Box<Command>,
        fresh: bool,
        deadline: Instant,
    ) -> Result<Answer, v1::Error> {
        let Some(mut link) = self.node.links().to(leader) else { return Err(self.not_leader(None)) };
        let request = wire::ForwardRequest {
            shard: shard.0,
            commands: vec![codec::encode_command(&command)],
            fresh: vec![fresh],
        };
        let sure = planted::on(Bug::LostForwardAsRefusal);
        let code = if sure { v1::Code::NoQuorum } else { v1::Code::OutcomeUnknown };
        let unknown = |what: &str| refused(code, format!("forwarded to node {leader}: {what}"));
        let reply = tokio::time::timeout_at(deadline, link.forward(request)).await;
        let reply = reply.map_err(|_| unknown("no answer in time"))?.map_err(|status| {
            if never_sent(&status) {
                refused(v1::Code::NoQuorum, format!("the leader, node {leader}, is not reached"))
            } else {
                unknown(status.message())
            }
        })?;
        let result = reply.into_inner().results.into_iter().next().unwrap_or_default();
        match result.result {
            Some(forward_result::Result::Outcome(bytes)) => {
                let outcome = codec::decode_outcome(bytes).map_err(|error| unknown(&error.to_string()))?;
                Ok(Answer { outcome, logged: result.logged })
            }
            Some(forward_result::Result::Error(bytes)) => {
                Err(v1::Error::decode(bytes).map_err(|error| unknown(&error.to_string()))?)
            }
            None => Err(unknown("an empty answer")),
        }
    }

    /// Has commands decided by a shard that another node leads. Those that came to no outcome are left out.
    ///
    /// # Errors
    /// For people, if no answer came.
    pub async fn hand_over(
        &self,
        shard: ShardId,
        leader: u32,
        commands: &[Command],
        deadline: Instant,
    ) -> Result<Vec<Outcome>, String> {
        let Some(mut link) = self.node.links().to(leader) else { return Err(format!("node {leader} is not known")) };
        let stock_shards = self.node.replicas().len().max(2) - 1;
        let next = shard.0 % u32::try_from(stock_shards).unwrap_or(1) + 1;
        let request = wire::ForwardRequest {
            shard: if planted::on(Bug::WrongShard) { next } else { shard.0 },
            commands: commands.iter().map(codec::encode_command).collect(),
            fresh: Vec::new(),
        };
        let reply = tokio::time::timeout_at(deadline, link.forward(request)).await;
        let reply = reply.map_err(|_| "no answer in time".to_owned())?.map_err(|status| status.to_string())?;
        let outcomes = reply.into_inner().results.into_iter().filter_map(|result| match result.result {
            Some(forward_result::Result::Outcome(bytes)) => codec::decode_outcome(bytes).ok(),
            _ => None,
        });
        Ok(outcomes.collect())
    }

    /// The same where this node does not know who leads, perhaps because its own replica is closed: every other node is
    /// asked in turn.
    ///
    /// # Errors
    /// For people, if none of them leads.
    pub async fn hand_around(
        &self,
        shard: ShardId,
        commands: &[Command],
        deadline: Instant,
    ) -> Result<Vec<Outcome>, String> {
        for node in self.node.links().others() {
            match self.hand_over(shard, node, commands, deadline).await {
                Ok(outcomes) if !outcomes.is_empty() => return Ok(outcomes),
                Ok(_) | Err(_) => {}
            }
        }
        Err(format!("no node leads shard {shard}"))
    }

    /// Serves commands a peer forwarded.
    pub async fn execute_forwarded(
        &self,
        shard: ShardId,
        commands: Vec<Bytes>,
        fresh: &[bool],
    ) -> Vec<wire::ForwardResult> {
        let answers = commands.into_iter().enumerate().map(|(place, bytes)| {
            let fresh = fresh.get(place).copied().unwrap_or(false);
            self.execute_one_forwarded(shard, bytes, fresh)
        });
        futures::future::join_all(answers).await
    }

    async fn execute_one_forwarded(&self, shard: ShardId, bytes: Bytes, fresh: bool) -> wire::ForwardResult {
        let answer = async {
            let command = codec::decode_command(bytes).map_err(|error| {
                refused(v1::Code::InvalidArgument, format!("a forwarded command can't be read: {error}"))
            })?;
            // Who leads sees to that himself.
            let command = Box::new(Command { heard: false, ..command });
            let deadline = deadline(command.not_after, self.server_time());
            match self.leader(shard) {
                Leader::Here(replica) => self.propose(&replica, command, fresh, deadline).await,
                Leader::There(leader) => Err(self.not_leader(leader)),
            }
        };
        let (result, logged) = match answer.await {
            Ok(answer) => (forward_result::Result::Outcome(codec::encode_outcome(&answer.outcome)), answer.logged),
            Err(error) => (forward_result::Result::Error(error.encode_to_vec().into()), false),
        };
        wire::ForwardResult { result: Some(result), logged }
    }
}

/// The shard of a bucket by that map.
///
/// # Errors
/// As told to the client, while there is no map.
pub fn shard_of(placement: &Placement, bucket: Bucket) -> Result<ShardId, v1::Error> {
    placement.shard(bucket).ok_or_else(no_map)
}

/// What a client is told while there is no map.
pub fn no_map() -> v1::Error {
    refused(v1::Code::NoQuorum, "this node does not know the bucket map yet; try again")
}

/// The moment on this node's timer that `not_after` stands for, `now` by server time. An answer may still come a little
/// later than the entry was decided, so there is half a second of grace.
pub fn deadline(not_after: TimeMs, now: TimeMs) -> Instant {
    let left = not_after.since(now).0.min(60_000);
    Instant::now() + Duration::from_millis(left + 500)
}
