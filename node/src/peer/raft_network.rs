//! openraft's network: one append stream per shard and follower, on the connection the node pair shares. Heartbeats of
//! all shards share one stream (`pulse`).
//!
//! Two facts shape it. openraft sleeps its back-off while the request stream is polled, so the first request is taken
//! before the call is made; or an unreachable peer would be called in a hot loop. And a partition can swallow an
//! answer for ever, so an answer that is due has a deadline: a longer one after each that was missed, or a follower that is
//! only slow would be sent the same entries again and again, which makes it slower.

use super::{
    convert,
    links::{Link, Links},
    snapshot,
    turns::{self, Source, Turn},
    wire::{self, vote_request::Kind},
};
use crate::shard::{
    handover::Offers,
    machine::SnapshotData,
    raft::{ReplicaId, TypeConfig, Vote},
};
use earmark_ledger::types::ShardId;
use futures::{Stream, StreamExt};
use openraft::{
    OptionalSend, RaftNetworkFactory,
    alias::SnapshotOf,
    base::{BoxFuture, BoxStream},
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    impls::BasicNode,
    network::{Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption},
    raft::{
        AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// No call to a peer is given up sooner: on a loaded machine a healthy peer takes this long now and then.
const CALL_MIN: Duration = Duration::from_millis(500);

/// The longest an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// How long a follower may take for an answer: twice as long after each that did not come, until one does.
#[derive(Clone, Debug)]
struct Patience {
    millis: Arc<AtomicU64>,
    least: Duration,
}

impl Patience {
    fn new(least: Duration) -> Self {
        Self { millis: Arc::default(), least }
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed)).clamp(self.least, ANSWER_MAX.max(self.least))
    }

    fn missed(&self) {
        let longer = (2 * self.now()).min(ANSWER_MAX);
        self.millis.store(u64::try_from(longer.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn heard(&self) {
        self.millis.store(0, Ordering::Relaxed);
    }
}

/// Makes connections for one shard's Raft.
pub struct Factory {
    shard: ShardId,
    links: Links,
    offers: Arc<Offers>,
}

impl Factory {
    /// For the Raft of `shard`.
    pub fn new(shard: ShardId, links: Links, offers: Arc<Offers>) -> Self {
        Self { shard, links, offers }
    }
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        Peer {
            shard: self.shard,
            target,
            links: self.links.clone(),
            offers: self.offers.clone(),
            patience: Patience::new(CALL_MIN),
            heartbeats: false,
        }
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer { heartbeats: true, ..self.new_client(target, node).await }
    }
}

/// One replica of the shard on another node.
pub struct Peer {
    shard: ShardId,
    target: u64,
    links: Links,
    offers: Arc<Offers>,
    patience: Patience,
    /// It is asked for heartbeats only.
    heartbeats: bool,
}

/// Whether the entries of a request follow what it says comes before them.
///
/// After an error openraft forgets that a follower is being sent entries and may purge them, while the stream that sends
/// them reads on: it finds only what is left. A follower's store refuses a hole for good, so such a request is not sent. The
/// stream ends instead, the next one fails at once, and then openraft decides anew and sends a snapshot.
fn is_whole(request: &AppendEntriesRequest<TypeConfig>) -> bool {
    let next = request.prev_log_id.as_ref().map_or(0, |id| id.index + 1);
    request.entries.first().is_none_or(|entry| entry.log_id.index == next)
}

fn unreachable(what: impl std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::from_string(what))
}

fn broken(what: impl std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::from_string(what))
}

impl Peer {
    fn node(&self) -> u32 {
        ReplicaId::from_raft_id(self.target).node
    }

    fn unknown(&self) -> RPCError<TypeConfig> {
        unreachable(format!("node {} is not known here", self.node()))
    }

    fn link(&self) -> Result<Link, RPCError<TypeConfig>> {
        self.links.to(self.node()).ok_or_else(|| self.unknown())
    }

    /// Asks on the stream of all heartbeats, one after the other.
    fn ask_heartbeats<S>(
        &self,
        input: S,
    ) -> Result<
        impl Stream<Item = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> + use<S>,
        RPCError<TypeConfig>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>>,
    {
        let pulse = self.links.pulse(self.node()).ok_or_else(|| self.unknown())?;
        let (shard, target) = (self.shard, self.target);
        Ok(input.then(move |request| {
            let pulse = pulse.clone();
            async move {
                let reply = pulse.heartbeat(append_request(shard, target, &request)).await;
                let result = append_result(reply.map_err(unreachable)?)?;
                // Nothing conflicts with nothing, and openraft relies on that.
                if request.prev_log_id.is_none() && matches!(result, Err(StreamAppendError::Conflict(_))) {
                    return Err(broken("a conflict with nothing"));
                }
                Ok(result)
            }
        }))
    }

    async fn ask(&self, call: wire::VoteRequest, option: &RPCOption) -> Result<wire::VoteReply, RPCError<TypeConfig>> {
        let mut link = self.link()?;
        let reply = tokio::time::timeout(option.soft_ttl().max(CALL_MIN), link.vote(call))
            .await
            .map_err(unreachable)?
            .map_err(unreachable)?;
        Ok(reply.into_inner())
    }

    async fn ask_vote(
        &self,
        kind: Kind,
        request: VoteRequest<TypeConfig>,
        option: &RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = wire::VoteRequest {
            shard: self.shard.0,
            target: self.target,
            kind: kind.into(),
            vote: Some(convert::vote(&request.vote)),
            last: request.last_log_id.as_ref().map(convert::log_id),
            leadership_transfer: request.leadership_transfer,
            to: 0,
        };
        let reply = self.ask(call, option).await?;
        let vote = convert::vote_from(reply.vote).map_err(broken)?;
        Ok(VoteResponse::new(vote, reply.last.map(convert::log_id_from), reply.granted))
    }
}

/// A request to the wire.
fn append_request(shard: ShardId, target: u64, request: &AppendEntriesRequest<TypeConfig>) -> wire::AppendRequest {
    wire::AppendRequest {
        shard: shard.0,
        target,
        vote: Some(convert::vote(&request.vote)),
        previous: request.prev_log_id.as_ref().map(convert::log_id),
        leader_commit: request.leader_commit.as_ref().map(convert::log_id),
        entries: request.entries.iter().map(convert::entry_frame).collect(),
    }
}

/// An answer from the wire.
fn append_result(reply: wire::AppendReply) -> Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>> {
    match reply.result {
        Some(wire::append_reply::Result::Closed(why)) => Err(unreachable(why)),
        Some(result) => convert::append_result_from(result).map_err(broken),
        None => Err(broken("an empty answer")),
    }
}

/// What was sent on one append stream.
struct Sent {
    count: AtomicU64,
    at: Mutex<Instant>,
}

/// Ends the requests of a stream with its answers.
struct Ends {
    _alive: tokio::sync::oneshot::Sender<()>,
    source: Box<dyn Fn() + Send>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        (self.source)();
    }
}

/// What is on its way on one append stream.
struct Answers {
    replies: tonic::Streaming<wire::AppendReply>,
    sent: Arc<Sent>,
    received: u64,
    patience: Patience,
    turn: Turn,
    _ends: Ends,
}

impl Answers {
    /// The next answer; none when the stream ended in order.
    async fn next(&mut self) -> Option<Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>> {
        if self.received > 0 {
            // Asked for the next, openraft has dealt with the one before.
            self.turn.over();
        }
        loop {
            let message = tokio::select! {
                message = tokio::time::timeout_at(self.deadline(), self.replies.message()) => message,
                // Not waiting for the follower to end its side too, which takes a round trip.
                () = self.turn.ended() => return None,
            };
            return match message {
                Err(_) if self.deadline() > Instant::now() => continue,
                Err(_) => {
                    self.patience.missed();
                    Some(Err(unreachable("no answer to an append")))
                }
                Ok(Ok(None)) => None,
                Ok(Err(status)) => Some(Err(broken(status))),
                Ok(Ok(Some(reply))) => {
                    self.patience.heard();
                    self.received += 1;
                    Some(append_result(reply))
                }
            };
        }
    }

    /// Until when there has to be an answer to what was sent, or when to look whether something was.
    fn deadline(&self) -> Instant {
        let waits = self.sent.count.load(Ordering::SeqCst) > self.received;
        let since = *self.sent.at.lock().unwrap_or_else(PoisonError::into_inner);
        if waits { since + self.patience.now() } else { Instant::now() + self.patience.now() }
    }
}

impl NetStreamAppend<TypeConfig> for Peer {
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            if self.heartbeats {
                return Ok(Box::pin(self.ask_heartbeats(input)?) as BoxStream<'s, _>);
            }
            let Some(first) = input.next().await else {
                return Ok(Box::pin(futures::stream::empty()) as BoxStream<'s, _>);
            };
            if !is_whole(&first) {
                return Err(unreachable("the log it needs is purged"));
            }
            let deadline = option.soft_ttl().max(CALL_MIN);
            let sent = Arc::new(Sent { count: AtomicU64::new(0), at: Mutex::new(Instant::now()) });
            let (shard, target) = (self.shard, self.target);
            let turn = Turn::default();
            let rest = Source::new(input.take_while(|request| futures::future::ready(is_whole(request))));
            // Whoever waits for answers lets go of the requests too, also if there never will be any.
            let (alive, over) = tokio::sync::oneshot::channel::<()>();
            let source = rest.clone();
            let ends = Ends { _alive: alive, source: Box::new(move || source.end()) };
            let sending = sent.clone();
            let frames = turns::requests(first, rest, turn.clone()).take_until(over).map(move |request| {
                *sending.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                sending.count.fetch_add(1, Ordering::SeqCst);
                append_request(shard, target, &request)
            });
            let mut link = self.link()?;
            let replies = tokio::time::timeout(deadline, link.append(frames))
                .await
                .map_err(unreachable)?
                .map_err(unreachable)?
                .into_inner();
            let patience = self.patience.clone();
            let answers = Answers { replies, sent, received: 0, patience, turn, _ends: ends };
            let stream = futures::stream::unfold(Some(answers), |answers| async move {
                let mut answers = answers?;
                let answer = answers.next().await?;
                let goes_on = matches!(answer, Ok(Ok(_)));
                Some((answer, goes_on.then_some(answers)))
            });
            Ok(Box::pin(stream) as BoxStream<'s, _>)
        })
    }
}

impl NetVote<TypeConfig> for Peer {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(Kind::Vote, request, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_vote(Kind::PreVote, request, &option).await
    }
}

impl Peer {
    async fn offer_leadership(
        &self,
        request: &TransferLeaderRequest<TypeConfig>,
        option: &RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = wire::VoteRequest {
            shard: self.shard.0,
            target: self.target,
            kind: Kind::TransferLeader.into(),
            vote: Some(convert::vote(request.from_leader())),
            last: request.last_log_id().map(convert::log_id),
            leadership_transfer: true,
            to: *request.to_node_id(),
        };
        let reply = self.ask(call, option).await?;
        let actual = reply.last.map(convert::log_id_from);
        Ok(if reply.vote_changed {
            let vote = convert::vote_from(reply.vote).map_err(broken)?;
            Err(TransferLeaderError::VoteChanged { expected: *request.from_leader(), actual: vote })
        } else if reply.not_flushed {
            Err(TransferLeaderError::LogNotFlushed { expected: request.last_log_id().copied(), actual })
        } else {
            Ok(())
        })
    }
}

impl NetTransferLeader<TypeConfig> for Peer {
    /// Every voter is told; what the successor says is told to whoever waits for it.
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let answer = self.offer_leadership(&request, &option).await;
        if *request.to_node_id() == self.target {
            self.offers.answered(request.from_leader(), matches!(answer, Ok(Ok(()))));
        }
        answer
    }
}

impl NetBackoff<TypeConfig> for Peer {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetSnapshot<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let SnapshotData::Outgoing(view, _claim) = snapshot.snapshot else {
            return Err(Unreachable::<TypeConfig>::from_string("this snapshot has no records to send").into());
        };
        let link = self.link()?;
        let bulk = self.links.bulk();
        tokio::select! {
            sent = snapshot::send(link, self.shard, self.target, vote, snapshot.meta, view, bulk) => {
                // "Unreachable" brings a pause: a whole state is not sent again at once to who did not take it.
                let vote = sent.map_err(|error| {
                    tracing::info!(shard = %self.shard, target = self.target, error, "a snapshot was not taken");
                    Unreachable::<TypeConfig>::from_string(error)
                })?;
                Ok(SnapshotResponse::new(vote))
            }
            closed = cancel => Err(closed.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::raft::{Entry, LogId, Payload};
    use openraft::{EntryPayload, impls::leader_id_std::LeaderId};

    #[test]
    fn a_follower_that_is_slow_is_given_more_time() {
        let patience = Patience::new(CALL_MIN);
        let other = patience.clone();
        let mut waited = Vec::new();
        for _ in 0..5 {
            waited.push(patience.now().as_millis());
            other.missed();
        }
        assert_eq!(waited, [500, 1_000, 2_000, 4_000, 4_000]);
        other.heard();
        assert_eq!(patience.now(), CALL_MIN);
    }

    #[test]
    fn a_request_with_a_hole_before_its_entries_is_not_sent() {
        let request = |previous: Option<u64>, first: Option<u64>| {
            let id = |index| LogId::new_term_index(2, index);
            let entry = |index| Entry { log_id: id(index), payload: EntryPayload::Normal(Payload::default()) };
            AppendEntriesRequest::<TypeConfig> {
                vote: Vote { leader_id: LeaderId { term: 2, voted_for: 1 }, committed: true },
                prev_log_id: previous.map(id),
                leader_commit: None,
                entries: first.map(entry).into_iter().collect(),
            }
        };
        assert!(is_whole(&request(Some(114), Some(115))) && is_whole(&request(None, Some(0))));
        assert!(is_whole(&request(Some(114), None)), "a heartbeat");
        assert!(!is_whole(&request(Some(114), Some(130))) && !is_whole(&request(None, Some(7))));
    }
}
