//! Between openraft's values and the peer protocol's.

use super::wire;
use crate::{
    shard::raft::{Entry, LogId, StoredMembership, TypeConfig, Vote},
    storage::{Mark, StoreError, format, records::StoredMembershipRecord},
};
use bytes::Bytes;
use earmark_ledger::types::ShardId;
use openraft::{impls::leader_id_std, vote::RaftLeaderId};

/// A message that a peer sent and that can't be understood.
#[derive(Debug, thiserror::Error)]
#[error("a peer sent {0}")]
pub struct BadPeerMessage(pub &'static str);

impl From<BadPeerMessage> for tonic::Status {
    fn from(bad: BadPeerMessage) -> Self {
        Self::invalid_argument(bad.to_string())
    }
}

type LeaderId = leader_id_std::LeaderId<u64, u64>;
type CommittedLeaderId = <LeaderId as RaftLeaderId>::Committed;

/// To the wire.
pub fn vote(vote: &Vote) -> wire::Vote {
    wire::Vote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

/// From the wire; a message without a vote is bad.
///
/// # Errors
/// [`BadPeerMessage`].
pub fn vote_from(vote: Option<wire::Vote>) -> Result<Vote, BadPeerMessage> {
    let vote = vote.ok_or(BadPeerMessage("no vote"))?;
    Ok(if vote.committed { Vote::new_committed(vote.term, vote.node) } else { Vote::new(vote.term, vote.node) })
}

/// To the wire.
pub fn log_id(id: &LogId) -> wire::LogId {
    wire::LogId { term: id.leader_id.term, index: id.index }
}

/// From the wire.
pub fn log_id_from(id: wire::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term), id.index)
}

/// An entry as the log store frames it.
pub fn entry_frame(entry: &Entry) -> Bytes {
    let mut frame = Vec::new();
    format::encode_entry(entry, &mut frame);
    frame.into()
}

/// A mark as the store frames it.
pub fn mark_frame(shard: ShardId, mark: &Mark) -> Bytes {
    let mut frame = Vec::new();
    format::encode_record(&mark.to_record(shard), &mut frame);
    frame.into()
}

/// A mark out of a store's frame.
///
/// # Errors
/// The frame is damaged or of an unknown version.
pub fn mark_from(frame: &Bytes) -> Result<(ShardId, Mark), StoreError> {
    format::decode_record(frame, "a mark from a peer").map(Mark::from_record)
}

/// A membership as the store frames it.
pub fn membership_frame(membership: &StoredMembership) -> Bytes {
    let mut frame = Vec::new();
    format::encode_record(&StoredMembershipRecord::from(membership), &mut frame);
    frame.into()
}

/// A membership out of a store's frame.
///
/// # Errors
/// The frame is damaged or of an unknown version.
pub fn membership_from(frame: &Bytes) -> Result<StoredMembership, StoreError> {
    let record: StoredMembershipRecord = format::decode_record(frame, "a membership from a peer")?;
    StoredMembership::try_from(record)
}

/// The answer to one append, from the wire.
///
/// # Errors
/// [`BadPeerMessage`]; a closed replica is the caller's to tell.
pub fn append_result_from(
    result: wire::append_reply::Result,
) -> Result<openraft::raft::StreamAppendResult<TypeConfig>, BadPeerMessage> {
    use openraft::raft::StreamAppendError;
    use wire::append_reply::Result as Reply;
    Ok(match result {
        Reply::Flushed(flushed) => Ok(flushed.last.map(log_id_from)),
        Reply::Conflict(id) => Err(StreamAppendError::Conflict(log_id_from(id))),
        Reply::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote_from(Some(vote))?)),
        Reply::Closed(_) => return Err(BadPeerMessage("that the replica is closed")),
    })
}

/// The answer to one append, to the wire.
pub fn append_result(result: openraft::raft::StreamAppendResult<TypeConfig>) -> wire::AppendReply {
    use openraft::raft::StreamAppendError;
    use wire::append_reply::Result as Reply;
    let result = match result {
        Ok(last) => Reply::Flushed(wire::Flushed { last: last.as_ref().map(log_id) }),
        Err(StreamAppendError::Conflict(id)) => Reply::Conflict(log_id(&id)),
        Err(StreamAppendError::HigherVote(higher)) => Reply::HigherVote(vote(&higher)),
    };
    wire::AppendReply { result: Some(result) }
}
