//! `earmark.v1.ClusterService`.

use super::{error::refused, status};
use crate::{
    formation::{self, FormError},
    peer::{links::cluster_text, wire},
    reseed,
    router::Router,
};
use earmark_client::{
    status::to_status,
    wire::v1::{
        self,
        cluster_service_server::{ClusterService, ClusterServiceServer},
    },
};
use earmark_ledger::{digest::Digest, types::ShardId};
use std::{collections::BTreeSet, time::Duration};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// How long a comparison of one shard may take.
const COMPARE_PATIENCE: Duration = Duration::from_secs(15);

/// Progress messages of a re-seeding that wait for its caller.
const PROGRESS_AHEAD: usize = 256;

/// Serves the cluster surface.
pub struct Service {
    router: Router,
}

impl Service {
    /// The gRPC service.
    pub fn server(router: Router) -> ClusterServiceServer<Self> {
        ClusterServiceServer::new(Self { router }).max_decoding_message_size(super::MESSAGE_BYTES_MAX)
    }

    fn cluster(&self) -> String {
        self.router.node().links().cluster().map(|name| cluster_text(&name)).unwrap_or_default()
    }

    /// Has the leader mark a digest, then asks every node for what it computed there.
    async fn compare_shard(&self, shard: ShardId) -> v1::ShardComparison {
        let mut comparison = v1::ShardComparison { shard: shard.0, ..v1::ShardComparison::default() };
        let Some(index) = self.mark(shard).await else { return comparison };
        comparison.index = index;
        let node = self.router.node();
        let asked = node.config().nodes.keys().map(|peer| async move {
            let mut link = node.links().to(*peer)?;
            let request = wire::DigestAtRequest { shard: shard.0, index };
            let reply = tokio::time::timeout(COMPARE_PATIENCE, link.digest_at(request)).await.ok()?.ok()?.into_inner();
            let digest = Digest::from_slice(&reply.digest)?;
            Some(v1::ReplicaDigest { node: *peer, digest: digest.to_string(), violations: reply.violations })
        });
        let replicas: Vec<_> = futures::future::join_all(asked).await;
        let complete = replicas.iter().all(Option::is_some);
        comparison.replicas = replicas.into_iter().flatten().collect();
        let distinct: BTreeSet<&str> = comparison.replicas.iter().map(|replica| replica.digest.as_str()).collect();
        let sound = comparison.replicas.iter().all(|replica| replica.violations == 0);
        comparison.equal = complete && sound && distinct.len() == 1;
        comparison
    }

    async fn mark(&self, shard: ShardId) -> Option<u64> {
        let deadline = tokio::time::Instant::now() + COMPARE_PATIENCE;
        let node = self.router.node();
        while tokio::time::Instant::now() < deadline {
            let leader = node.replica(shard).and_then(|replica| replica.standing().leader);
            if let Some(mut link) = leader.and_then(|leader| node.links().to(leader)) {
                let marked = link.mark_digest(wire::MarkDigestRequest { shard: shard.0 });
                if let Ok(Ok(reply)) = tokio::time::timeout_at(deadline, marked).await {
                    return Some(reply.into_inner().index);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }
}

fn form_status(error: &FormError) -> Status {
    to_status(&match error {
        FormError::Shards(_) => {
            super::error::invalid_field("shards", format!("must be 1 to {}", formation::SHARDS_MAX))
        }
        FormError::Formed(_) => refused(v1::Code::InvalidArgument, error.to_string()),
        FormError::Unfit(_) => refused(v1::Code::StoreDamaged, error.to_string()),
        FormError::Peer { .. } => refused(v1::Code::NoQuorum, error.to_string()),
        FormError::HalfWay { .. } => refused(v1::Code::OutcomeUnknown, error.to_string()),
    })
}

#[tonic::async_trait]
impl ClusterService for Service {
    type ReseedStream = ReceiverStream<Result<v1::ReseedProgress, Status>>;

    async fn get_routing(
        &self,
        _request: Request<v1::GetRoutingRequest>,
    ) -> Result<Response<v1::GetRoutingResponse>, Status> {
        let node = self.router.node();
        let placement = self.router.placement();
        let leaders = node.replicas().into_iter().map(|replica| {
            let standing = replica.standing();
            v1::ShardLeader { shard: replica.shard().0, node: standing.leader.unwrap_or(0), term: standing.term }
        });
        Ok(Response::new(v1::GetRoutingResponse {
            cluster_id: self.cluster(),
            map_version: placement.version,
            ranges: placement
                .ranges()
                .map(|(first, last, shard)| v1::BucketRange { first: first.into(), last: last.into(), shard: shard.0 })
                .collect(),
            leaders: leaders.collect(),
            nodes: node
                .config()
                .nodes
                .iter()
                .map(|(number, peer)| v1::NodeEndpoint {
                    node: *number,
                    endpoint: peer.client.clone(),
                    region: peer.region.clone(),
                    zone: peer.zone.clone(),
                })
                .collect(),
            server_time_ms: self.router.server_time().0,
        }))
    }

    async fn init(&self, request: Request<v1::InitRequest>) -> Result<Response<v1::InitResponse>, Status> {
        let formed = formation::form(self.router.node(), request.into_inner().shards).await;
        let formation = formed.map_err(|error| form_status(&error))?;
        Ok(Response::new(v1::InitResponse {
            cluster_id: cluster_text(&formation.cluster()),
            shards: formation.shards,
            nodes: u32::try_from(formation.nodes.len()).unwrap_or(u32::MAX),
        }))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let node = self.router.node();
        let nodes = if request.into_inner().local { vec![status::local(node)] } else { status::all(node).await };
        Ok(Response::new(v1::GetStatusResponse {
            cluster_id: self.cluster(),
            map_version: self.router.placement().version,
            nodes,
        }))
    }

    async fn compare(&self, _request: Request<v1::CompareRequest>) -> Result<Response<v1::CompareResponse>, Status> {
        let Some(formation) = self.router.node().formation() else {
            return Err(to_status(&refused(v1::Code::NoQuorum, "the cluster is not formed yet: run `earmark init`")));
        };
        let shards = formation.shards().map(|shard| self.compare_shard(shard));
        let shards = futures::future::join_all(shards).await;
        let all_equal = shards.iter().all(|shard| shard.equal);
        Ok(Response::new(v1::CompareResponse { shards, all_equal }))
    }

    async fn reseed(&self, request: Request<v1::ReseedRequest>) -> Result<Response<Self::ReseedStream>, Status> {
        let node = request.into_inner().node;
        reseed::may_conduct(self.router.node(), node).map_err(|error| to_status(&error))?;
        let (progress, queue) = tokio::sync::mpsc::channel(PROGRESS_AHEAD);
        tokio::spawn(reseed::run(self.router.node().clone(), node, progress));
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}
