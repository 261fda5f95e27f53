//! A [`Mark`] says what a store has brought to stable storage of one shard. Marks are kept in two places that RocksDB
//! knows nothing of: in a file of their own (`mark_file`) and in the memory of the other nodes. A store that holds less
//! than its mark has lost something it once answered for, and must not vote.

use super::records::{LogIdRecord, MarkRecord, VoteRecord};
use crate::shard::raft::{LogId, ReplicaId, Vote};
use earmark_ledger::types::ShardId;
use std::fmt;

/// What a store holds of a shard, synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Incarnation of the replica; 0 if it has none yet.
    pub incarnation: u32,
    /// How often its log was truncated. A truncation is the one way in which a log may rightly become shorter; it is
    /// counted in the same batch, so a shorter log with the same count is a loss.
    pub truncations: u64,
    /// Its vote.
    pub vote: Option<Vote>,
    /// Its last log id; of its last snapshot if the log is empty.
    pub last: Option<LogId>,
}

impl Mark {
    /// Whether a replica that holds this has all that `other` once claimed to hold. A later incarnation owes an
    /// earlier one nothing.
    pub fn covers(&self, other: &Self) -> bool {
        if self.incarnation != other.incarnation {
            return self.incarnation > other.incarnation;
        }
        let log = (self.truncations, self.last) >= (other.truncations, other.last);
        log && vote_covers(self.vote, other.vote)
    }

    /// Takes over from a later or earlier claim of the same replica what goes beyond this one.
    pub fn raise(&mut self, other: &Self) {
        if other.incarnation > self.incarnation {
            *self = *other;
        } else if other.incarnation == self.incarnation {
            if (other.truncations, other.last) > (self.truncations, self.last) {
                (self.truncations, self.last) = (other.truncations, other.last);
            }
            if vote_covers(other.vote, self.vote) {
                self.vote = other.vote;
            }
        }
    }

    /// Whether nothing was ever promised in the incarnation.
    pub fn is_empty(&self) -> bool {
        self.vote.is_none() && self.last.is_none() && self.truncations == 0
    }

    /// As peers send it and as it is kept.
    pub fn to_record(&self, shard: ShardId) -> MarkRecord {
        MarkRecord {
            shard: shard.0,
            incarnation: self.incarnation,
            truncations: self.truncations,
            vote: self.vote.as_ref().map(VoteRecord::from),
            last: self.last.as_ref().map(LogIdRecord::from),
        }
    }

    /// Back from a record.
    pub fn from_record(record: MarkRecord) -> (ShardId, Self) {
        let mark = Self {
            incarnation: record.incarnation,
            truncations: record.truncations,
            vote: record.vote.map(Vote::from),
            last: record.last.map(LogId::from),
        };
        (ShardId(record.shard), mark)
    }
}

/// In one term a replica votes once: the same term with another name, or granted and then not, is a loss too.
fn vote_covers(own: Option<Vote>, other: Option<Vote>) -> bool {
    let Some(other) = other else { return true };
    let Some(own) = own else { return false };
    own.leader_id.term > other.leader_id.term || (own.leader_id == other.leader_id && own.committed >= other.committed)
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "incarnation {}, {} truncations, ", self.incarnation, self.truncations)?;
        match &self.vote {
            Some(vote) => {
                let ReplicaId { node, incarnation } = ReplicaId::from_raft_id(vote.leader_id.voted_for);
                let led = if vote.committed { ", who led" } else { "" };
                write!(f, "vote in term {} for node {node} (incarnation {incarnation}){led}, ", vote.leader_id.term)?;
            }
            None => f.write_str("no vote, ")?,
        }
        match &self.last {
            Some(last) => write!(f, "log up to {last}"),
            None => f.write_str("no log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::impls::leader_id_std::LeaderId;

    #[test]
    fn people_are_told_of_nodes_not_of_raft_ids() {
        let voted_for = ReplicaId { node: 3, incarnation: 2 }.raft_id();
        let vote = Vote { leader_id: LeaderId { term: 7, voted_for }, committed: true };
        let last = LogId::new_term_index(6, 41);
        let mark = Mark { incarnation: 2, truncations: 1, vote: Some(vote), last: Some(last) };
        assert_eq!(
            mark.to_string(),
            "incarnation 2, 1 truncations, vote in term 7 for node 3 (incarnation 2), who led, log up to 6.41"
        );
        assert_eq!(Mark::default().to_string(), "incarnation 0, 0 truncations, no vote, no log");
    }
}
