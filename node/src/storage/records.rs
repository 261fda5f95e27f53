//! The messages in `meta` records, and openraft's values to and from them. Every field is optional and every tag is
//! kept for ever. Peers use the same messages on the wire, so that openraft's own formats are never seen outside memory.

use super::error::StoreError;
use crate::shard::raft::{LogId, Membership, StoredMembership, Vote};
use openraft::{impls::BasicNode, impls::leader_id_std::LeaderId};
use prost::{Message, bytes::Bytes};
use std::collections::{BTreeMap, BTreeSet};

/// (term, index).
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LogIdRecord {
    /// Term of the leader that wrote the entry.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Index.
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

/// A vote.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct VoteRecord {
    /// Term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Raft id of the replica voted for.
    #[prost(uint64, tag = "2")]
    pub voted_for: u64,
    /// Whether a majority granted it.
    #[prost(bool, tag = "3")]
    pub committed: bool,
}

/// Who votes and who only learns.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MembershipRecord {
    /// One set of voters, or two during a change.
    #[prost(message, repeated, tag = "1")]
    pub configs: Vec<VotersRecord>,
    /// All replicas; who is in no set of voters learns.
    #[prost(message, repeated, tag = "2")]
    pub replicas: Vec<ReplicaRecord>,
}

/// A set of voters.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VotersRecord {
    /// Raft ids.
    #[prost(uint64, repeated, tag = "1")]
    pub voters: Vec<u64>,
}

/// A replica and where it is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ReplicaRecord {
    /// Raft id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Peer address of its node.
    #[prost(string, tag = "2")]
    pub address: String,
}

/// A membership with the log id it stands at.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StoredMembershipRecord {
    /// Where it stands in the log.
    #[prost(message, optional, tag = "1")]
    pub log_id: Option<LogIdRecord>,
    /// The membership.
    #[prost(message, optional, tag = "2")]
    pub membership: Option<MembershipRecord>,
}

/// The last checkpoint of a replica.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CheckpointRecord {
    /// Which generation of `state` is live.
    #[prost(uint32, tag = "1")]
    pub generation: u32,
    /// Up to where the log is in it.
    #[prost(message, optional, tag = "2")]
    pub applied: Option<LogIdRecord>,
    /// The membership in force there.
    #[prost(message, optional, tag = "3")]
    pub membership: Option<StoredMembershipRecord>,
    /// The shard's epoch.
    #[prost(uint32, tag = "4")]
    pub epoch: u32,
}

/// From where on the journal is whole.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct JournalFloorRecord {
    /// Epoch.
    #[prost(uint32, tag = "1")]
    pub epoch: u32,
    /// Log index.
    #[prost(uint64, tag = "2")]
    pub index: u64,
}

/// Why a replica must not be opened again.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DamageRecord {
    /// For people.
    #[prost(string, tag = "1")]
    pub reason: String,
}

/// A number: incarnation, truncations, boots, format.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct NumberRecord {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub value: u64,
}

/// Which cluster, which node.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IdentityRecord {
    /// Random, made when the cluster was formed; 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub cluster: Bytes,
    /// Number of the node, from 1.
    #[prost(uint32, tag = "2")]
    pub node: u32,
    /// Number of shards, the meta shard included.
    #[prost(uint32, tag = "3")]
    pub shards: u32,
    /// What the cluster was formed with, as its writer encoded it.
    #[prost(bytes = "bytes", tag = "4")]
    pub formation: Bytes,
}

/// What a node holds of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MarkRecord {
    /// Shard.
    #[prost(uint32, tag = "1")]
    pub shard: u32,
    /// Incarnation of the replica.
    #[prost(uint32, tag = "2")]
    pub incarnation: u32,
    /// How often its log was truncated.
    #[prost(uint64, tag = "3")]
    pub truncations: u64,
    /// Its vote.
    #[prost(message, optional, tag = "4")]
    pub vote: Option<VoteRecord>,
    /// Its last log id.
    #[prost(message, optional, tag = "5")]
    pub last: Option<LogIdRecord>,
}

impl From<&LogId> for LogIdRecord {
    fn from(id: &LogId) -> Self {
        Self { term: id.leader_id.term, index: id.index }
    }
}

impl From<LogIdRecord> for LogId {
    fn from(record: LogIdRecord) -> Self {
        Self::new_term_index(record.term, record.index)
    }
}

impl From<&Vote> for VoteRecord {
    fn from(vote: &Vote) -> Self {
        Self { term: vote.leader_id.term, voted_for: vote.leader_id.voted_for, committed: vote.committed }
    }
}

impl From<VoteRecord> for Vote {
    fn from(record: VoteRecord) -> Self {
        let leader_id = LeaderId { term: record.term, voted_for: record.voted_for };
        Self { leader_id, committed: record.committed }
    }
}

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> Self {
        let configs = membership.get_joint_config().iter();
        let replicas = membership.nodes();
        Self {
            configs: configs.map(|voters| VotersRecord { voters: voters.iter().copied().collect() }).collect(),
            replicas: replicas.map(|(id, node)| ReplicaRecord { id: *id, address: node.addr.clone() }).collect(),
        }
    }
}

impl TryFrom<MembershipRecord> for Membership {
    type Error = StoreError;

    /// Fails if a set of voters is empty or names a replica that is not listed.
    fn try_from(record: MembershipRecord) -> Result<Self, StoreError> {
        let configs = record.configs.into_iter().map(|config| BTreeSet::from_iter(config.voters)).collect();
        let replicas = record.replicas.into_iter();
        let nodes: BTreeMap<u64, BasicNode> = replicas.map(|r| (r.id, BasicNode::new(r.address))).collect();
        Self::new(configs, nodes).map_err(|error| StoreError::corrupt("membership", error))
    }
}

impl From<&StoredMembership> for StoredMembershipRecord {
    fn from(stored: &StoredMembership) -> Self {
        Self { log_id: stored.log_id().as_ref().map(LogIdRecord::from), membership: Some(stored.membership().into()) }
    }
}

impl TryFrom<StoredMembershipRecord> for StoredMembership {
    type Error = StoreError;

    /// Fails as [`Membership`] does.
    fn try_from(record: StoredMembershipRecord) -> Result<Self, StoreError> {
        let membership = record.membership.unwrap_or_default().try_into()?;
        Ok(Self::new(record.log_id.map(LogId::from), membership))
    }
}
