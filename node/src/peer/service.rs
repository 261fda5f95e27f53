//! The peer port: what other nodes may ask of this one.

use super::{
    convert,
    links::{CLUSTER, FROM, MESSAGE_BYTES_MAX, TO, cluster_text},
    pulse_service, snapshot,
    wire::{
        self,
        peer_server::{self, PeerServer},
        vote_request::Kind,
    },
};
use crate::{
    api, beacon,
    formation::Formation,
    inquiry,
    node::{Health, Node},
    reseed,
    router::Router,
    shard::{
        Replica, journal,
        machine::SnapshotData,
        raft::{Entry, ReplicaId, TypeConfig},
    },
    storage::{ReplicaStore, format::decode_entry},
};
use bytes::Bytes;
use earmark_ledger::types::{Epoch, LogIndex, ShardId};
use futures::{Stream, StreamExt, stream::BoxStream};
use openraft::{
    alias::SnapshotOf,
    raft::{AppendEntriesRequest, TransferLeaderError, TransferLeaderRequest, VoteRequest},
};
use prost::Message;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answers on one append stream that wait for the network.
const ANSWERS_AHEAD: usize = 256;

/// Bytes of journal in one answer, and the block that crosses the line.
const JOURNAL_BYTES_MAX: usize = 8 << 20;

/// How long a replica may take to reach a digest mark.
const DIGEST_PATIENCE: Duration = Duration::from_secs(10);

/// Serves the peer protocol for a node.
pub struct Service {
    node: Arc<Node>,
    router: Router,
    digests: Arc<beacon::DigestBook>,
    /// What replaces a replica of each shard that is led here. A later attempt ends an earlier one, which may wait for a
    /// replica that never comes.
    replacing: tokio::sync::Mutex<BTreeMap<u32, tokio::task::JoinHandle<()>>>,
}

impl Service {
    /// The gRPC service.
    pub fn server(node: Arc<Node>, router: Router) -> PeerServer<Self> {
        PeerServer::new(Self { node, router, digests: Arc::default(), replacing: Default::default() })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Checks who calls whom in which cluster; gives the caller's number.
    fn introduced<T>(&self, request: &Request<T>) -> Result<u32, Status> {
        let from = self.addressed(request)?;
        let cluster = text(request, CLUSTER);
        match self.node.links().cluster() {
            Some(own) if !cluster.is_empty() && cluster != cluster_text(&own) => {
                Err(Status::failed_precondition(format!("this node belongs to cluster {}", cluster_text(&own))))
            }
            _ => Ok(from),
        }
    }

    /// Checks who calls whom, whatever cluster each believes in; gives the caller's number.
    fn addressed<T>(&self, request: &Request<T>) -> Result<u32, Status> {
        let from: u32 =
            text(request, FROM).parse().map_err(|_| Status::unauthenticated("the caller does not say who it is"))?;
        if !self.node.config().nodes.contains_key(&from) {
            return Err(Status::permission_denied(format!("node {from} is not known here")));
        }
        if text(request, TO).parse() != Ok(self.node.config().node) {
            return Err(Status::failed_precondition(format!("this is node {}", self.node.config().node)));
        }
        Ok(from)
    }

    /// The open replica of a shard, if the caller means its incarnation.
    fn replica(&self, shard: u32, target: u64) -> Result<Arc<Replica>, Status> {
        let replica = self.open(shard)?;
        if replica.id().raft_id() != target {
            let meant = ReplicaId::from_raft_id(target);
            return Err(Status::failed_precondition(format!(
                "shard {shard}: replica {} is here, not {meant}",
                replica.id()
            )));
        }
        Ok(replica)
    }

    fn open(&self, shard: u32) -> Result<Arc<Replica>, Status> {
        let closed = || Status::unavailable(format!("shard {shard} is not open on node {}", self.node.config().node));
        self.node.replica(ShardId(shard)).ok_or_else(closed)
    }
}

fn text<'a, T>(request: &'a Request<T>, key: &str) -> &'a str {
    request.metadata().get(key).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The answer to an append when there is no replica to take it.
pub(super) fn closed(node: &Node, shard: u32) -> wire::AppendReply {
    let why = format!("shard {shard} is not open on node {}", node.config().node);
    wire::AppendReply { result: Some(wire::append_reply::Result::Closed(why)) }
}

fn fatal(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

/// What the leader sent, as openraft takes it.
pub(super) fn append_request(request: wire::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let entries: Result<Vec<Entry>, _> =
        request.entries.iter().map(|frame| decode_entry(frame, "an entry from a peer")).collect();
    Ok(AppendEntriesRequest {
        vote: convert::vote_from(request.vote)?,
        prev_log_id: request.previous.map(convert::log_id_from),
        entries: entries.map_err(|error| Status::data_loss(error.to_string()))?,
        leader_commit: request.leader_commit.map(convert::log_id_from),
    })
}

/// Frames up to the first that is broken or for another replica; the stream ends there and the leader begins anew.
fn requests(
    first: wire::AppendRequest,
    rest: Streaming<wire::AppendRequest>,
) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send {
    let target = (first.shard, first.target);
    futures::stream::iter([Ok(first)]).chain(rest).scan((), move |(), message| {
        let request = message.ok().filter(|request| (request.shard, request.target) == target);
        std::future::ready(request.and_then(|request| append_request(request).ok()))
    })
}

#[tonic::async_trait]
impl peer_server::Peer for Service {
    type AppendStream = BoxStream<'static, Result<wire::AppendReply, Status>>;
    type PulseStream = ReceiverStream<Result<wire::PulseReply, Status>>;
    type ReplaceReplicaStream = ReceiverStream<Result<wire::ReplaceReplicaProgress, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<wire::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.introduced(&request)?;
        let mut frames = request.into_inner();
        let (answers, queue) = tokio::sync::mpsc::channel(ANSWERS_AHEAD);
        let node = self.node.clone();
        // The headers must go out before the first frame is read, or the leader's call never returns.
        tokio::spawn(async move {
            let Ok(Some(first)) = frames.message().await else { return };
            let replica = node.replica(ShardId(first.shard)).filter(|replica| replica.id().raft_id() == first.target);
            let Some(replica) = replica else {
                let _ = answers.send(Ok(closed(&node, first.shard))).await;
                return;
            };
            let mut results = Box::pin(replica.raft().stream_append(requests(first, frames)));
            while let Some(result) = results.next().await {
                let answer = result.map(convert::append_result).map_err(fatal);
                let ends = answer.is_err();
                if answers.send(answer).await.is_err() || ends {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(queue))))
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Result<Response<wire::VoteReply>, Status> {
        self.introduced(&request)?;
        let request = request.into_inner();
        let replica = self.replica(request.shard, request.target)?;
        let vote = convert::vote_from(request.vote)?;
        let last = request.last.map(convert::log_id_from);
        let kind = request.kind();
        if kind == Kind::TransferLeader {
            let asked = TransferLeaderRequest::new(vote, request.to, last);
            let answer = replica.raft().handle_transfer_leader(asked).await.map_err(fatal)?;
            if answer.is_ok() && request.to == replica.id().raft_id() {
                replica.offers().took();
            }
            return Ok(Response::new(match answer {
                Ok(()) => wire::VoteReply { granted: true, ..Default::default() },
                Err(TransferLeaderError::VoteChanged { actual, .. }) => {
                    wire::VoteReply { vote: Some(convert::vote(&actual)), vote_changed: true, ..Default::default() }
                }
                Err(TransferLeaderError::LogNotFlushed { actual, .. }) => wire::VoteReply {
                    last: actual.as_ref().map(convert::log_id),
                    not_flushed: true,
                    ..Default::default()
                },
            }));
        }
        if replica.withholds_votes() && !request.leadership_transfer {
            return Err(Status::unavailable("this replica was opened lately and grants no vote yet"));
        }
        let mut asked = VoteRequest::new(vote, last);
        asked.leadership_transfer = request.leadership_transfer;
        let answer = match kind {
            Kind::Vote => replica.raft().vote(asked).await.map_err(fatal)?,
            Kind::PreVote => replica.raft().pre_vote(asked).await.map_err(fatal)?,
            Kind::TransferLeader | Kind::Unspecified => return Err(Status::invalid_argument("kind")),
        };
        Ok(Response::new(wire::VoteReply {
            vote: Some(convert::vote(&answer.vote)),
            granted: answer.vote_granted,
            last: answer.last_log_id.as_ref().map(convert::log_id),
            ..Default::default()
        }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<wire::SnapshotReply>, Status> {
        self.introduced(&request)?;
        let mut parts = request.into_inner();
        let header = snapshot::header(&mut parts).await?;
        let replica = self.replica(header.shard, header.target)?;
        // One at a time: a second stream would clear the generation that the first is about to make live.
        let receiving = replica
            .core()
            .receiving()
            .try_lock_owned()
            .map_err(|_| Status::unavailable("another snapshot is being installed"))?;
        let received = snapshot::receive(header, &mut parts, replica.core().store()).await?;
        // openraft has it from here on, also if the sender hangs up; so the turn ends only with its answer.
        let installing = tokio::spawn(async move {
            let _receiving = receiving;
            let snapshot = SnapshotOf::<TypeConfig, SnapshotData> {
                meta: received.meta,
                snapshot: SnapshotData::Incoming(received.install, received.ledger),
            };
            replica.raft().install_full_snapshot(received.vote, snapshot).await
        });
        let answer = installing.await.map_err(fatal)?.map_err(fatal)?;
        Ok(Response::new(wire::SnapshotReply { vote: Some(convert::vote(&answer.vote)) }))
    }

    async fn pulse(
        &self,
        request: Request<Streaming<wire::PulseRequest>>,
    ) -> Result<Response<Self::PulseStream>, Status> {
        let from = self.introduced(&request)?;
        let (answers, queue) = tokio::sync::mpsc::channel(ANSWERS_AHEAD);
        tokio::spawn(pulse_service::run(self.node.clone(), self.digests.clone(), from, request.into_inner(), answers));
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn forward(&self, request: Request<wire::ForwardRequest>) -> Result<Response<wire::ForwardReply>, Status> {
        self.introduced(&request)?;
        let request = request.into_inner();
        let results = self.router.execute_forwarded(ShardId(request.shard), request.commands, &request.fresh).await;
        Ok(Response::new(wire::ForwardReply { results }))
    }

    async fn forward_read(
        &self,
        request: Request<wire::ForwardReadRequest>,
    ) -> Result<Response<wire::ForwardReadReply>, Status> {
        self.introduced(&request)?;
        let wire::ForwardReadRequest { shard, operation } = request.into_inner();
        let operation = earmark_client::wire::v1::Operation::decode(operation)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let result = api::execute_for_peer(&self.router, operation, ShardId(shard)).await;
        Ok(Response::new(wire::ForwardReadReply { result: result.encode_to_vec().into() }))
    }

    async fn hello(&self, request: Request<wire::HelloRequest>) -> Result<Response<wire::HelloReply>, Status> {
        // A node with an empty or foreign folder must be able to ask; so the cluster it names is not checked here.
        let asking = request.into_inner().node;
        let remembered = self.node.store().map(|store| store.remembered(asking)).unwrap_or_default();
        let members = self.node.replicas().into_iter().filter_map(|replica| {
            let incarnation = replica.incarnation_of(asking)?;
            Some(wire::Member { shard: replica.shard().0, incarnation })
        });
        Ok(Response::new(wire::HelloReply {
            cluster: match self.node.health() {
                // Its store was set aside, so it remembers nothing and is no witness.
                Health::Reseeding => Bytes::new(),
                _ => self.node.formation().map(|formation| formation.cluster.clone()).unwrap_or_default(),
            },
            remembered: remembered.iter().map(|(shard, mark)| convert::mark_frame(*shard, mark)).collect(),
            members: members.collect(),
            unformed: self.node.health() == Health::Unformed,
        }))
    }

    async fn form(&self, request: Request<wire::FormRequest>) -> Result<Response<wire::FormReply>, Status> {
        self.introduced(&request)?;
        let formation = Formation::read(request.into_inner().formation).map_err(Status::invalid_argument)?;
        self.node.take_part(formation).await.map_err(Status::failed_precondition)?;
        Ok(Response::new(wire::FormReply {}))
    }

    async fn prepare_reseed(
        &self,
        request: Request<wire::PrepareReseedRequest>,
    ) -> Result<Response<wire::PrepareReseedReply>, Status> {
        self.introduced(&request)?;
        let shards = reseed::prepare(&self.node).await.map_err(Status::failed_precondition)?;
        Ok(Response::new(wire::PrepareReseedReply { shards }))
    }

    async fn replace_replica(
        &self,
        request: Request<wire::ReplaceReplicaRequest>,
    ) -> Result<Response<Self::ReplaceReplicaStream>, Status> {
        self.introduced(&request)?;
        let request = request.into_inner();
        let replica = self.open(request.shard)?;
        if !replica.is_leader() {
            return Err(Status::unavailable(format!("shard {} is not led here", request.shard)));
        }
        let (progress, queue) = tokio::sync::mpsc::channel(16);
        let node = self.node.clone();
        let mut replacing = self.replacing.lock().await;
        if let Some(earlier) = replacing.remove(&request.shard) {
            earlier.abort();
            // However it ended.
            earlier.await.ok();
        }
        let replace = tokio::spawn(async move { reseed::replace(node, replica, request.node, progress).await });
        replacing.insert(request.shard, replace);
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn open_replica(
        &self,
        request: Request<wire::OpenReplicaRequest>,
    ) -> Result<Response<wire::OpenReplicaReply>, Status> {
        self.introduced(&request)?;
        let request = request.into_inner();
        let formation = Formation::read(request.formation).map_err(Status::invalid_argument)?;
        reseed::open(&self.node, formation, ShardId(request.shard), request.incarnation)
            .await
            .map_err(Status::failed_precondition)?;
        Ok(Response::new(wire::OpenReplicaReply {}))
    }

    async fn local_status(
        &self,
        request: Request<wire::LocalStatusRequest>,
    ) -> Result<Response<wire::LocalStatusReply>, Status> {
        // A node with the folder of another cluster must be able to say so.
        self.addressed(&request)?;
        let status = api::status::local(&self.node);
        Ok(Response::new(wire::LocalStatusReply { status: status.encode_to_vec().into() }))
    }

    async fn digest_at(
        &self,
        request: Request<wire::DigestAtRequest>,
    ) -> Result<Response<wire::DigestAtReply>, Status> {
        self.introduced(&request)?;
        let request = request.into_inner();
        let replica = self.open(request.shard)?;
        let mut applied = replica.applied();
        let reached = tokio::time::timeout(DIGEST_PATIENCE, applied.wait_for(|index| *index >= request.index)).await;
        if !matches!(reached, Ok(Ok(_))) {
            return Err(Status::deadline_exceeded(format!("entry {} is not applied here yet", request.index)));
        }
        let digest = replica
            .core()
            .digest_at(request.index)
            .ok_or_else(|| Status::not_found(format!("no digest is kept of entry {}", request.index)))?;
        let violations = replica.hot().ledger.violations().len() as u64;
        Ok(Response::new(wire::DigestAtReply { digest: digest.to_bytes().to_vec().into(), violations }))
    }

    async fn mark_digest(
        &self,
        request: Request<wire::MarkDigestRequest>,
    ) -> Result<Response<wire::MarkDigestReply>, Status> {
        self.introduced(&request)?;
        let replica = self.open(request.into_inner().shard)?;
        let deadline = tokio::time::Instant::now() + DIGEST_PATIENCE;
        let index = replica
            .mark_digest(deadline)
            .await
            .map_err(|failure| Status::unavailable(format!("no digest mark: {failure:?}")))?;
        Ok(Response::new(wire::MarkDigestReply { index }))
    }

    async fn untold(&self, request: Request<wire::UntoldRequest>) -> Result<Response<wire::UntoldReply>, Status> {
        self.introduced(&request)?;
        Ok(Response::new(inquiry::answer(&self.router, request.into_inner()).await))
    }

    async fn journal(&self, request: Request<wire::JournalRequest>) -> Result<Response<wire::JournalReply>, Status> {
        self.introduced(&request)?;
        let request = request.into_inner();
        let replica = self.open(request.shard)?;
        let below = (Epoch(request.below_epoch), LogIndex(request.below_index));
        let bytes = usize::try_from(request.bytes).unwrap_or(usize::MAX).min(JOURNAL_BYTES_MAX);
        // Before it is read, so that what is read does not wait.
        self.node.links().bulk().turn(bytes).await;
        let read = move |store: &ReplicaStore| journal::blocks_below(store, below, bytes);
        let blocks = replica.core().store().aside(read).await.map_err(fatal)?;
        let blocks = blocks.map_err(fatal)?;
        Ok(Response::new(wire::JournalReply { blocks: blocks.into_iter().map(|(_, _, block)| block).collect() }))
    }
}
