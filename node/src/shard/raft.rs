//! openraft's types as we use them, in one place. They stay inside `shard` and `storage`: no format and no public API
//! of ours has them.

use bytes::Bytes;
use earmark_ledger::outcome::Outcome;
use openraft::{EntryPayload, impls::leader_id_std};
use std::fmt;

openraft::declare_raft_types!(
    /// One leader per term, so a log id is (term, index); the payload is an encoded batch.
    pub TypeConfig:
        D = Payload,
        R = Reply,
        NodeId = u64,
        Node = openraft::impls::BasicNode,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = super::runtime::Runtime,
);

/// One log entry.
pub type Entry = <TypeConfig as openraft::RaftTypeConfig>::Entry;
/// A vote: term, node voted for, and whether a majority granted it.
pub type Vote = <TypeConfig as openraft::RaftTypeConfig>::Vote;
/// (term, index).
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// Who votes and who only learns.
pub type Membership = openraft::Membership<u64, openraft::impls::BasicNode>;
/// A membership with the log id it stands at.
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot covers.
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;

/// What a normal entry carries: a batch as `ledger::codec` wrote it, encoded once and shared by log, wire and apply.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch of {} bytes", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What apply answers to the proposer: one outcome per command of the batch, in its order.
#[derive(Clone, Debug, Default)]
pub struct Reply(pub Vec<Outcome>);

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} outcomes", self.0.len())
    }
}

/// A replica's Raft id: which node, and which incarnation of it in this shard. A replica whose disk lost continuity
/// never comes back under the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    /// Number of the node, from 1.
    pub node: u32,
    /// From 1; only the forming of the cluster makes 1.
    pub incarnation: u32,
}

impl ReplicaId {
    /// As openraft knows it: node << 32 | incarnation.
    pub fn raft_id(self) -> u64 {
        u64::from(self.node) << 32 | u64::from(self.incarnation)
    }

    /// Back from openraft's number.
    pub fn from_raft_id(id: u64) -> Self {
        let node = u32::try_from(id >> 32).expect("the upper half");
        let incarnation = u32::try_from(id & u64::from(u32::MAX)).expect("the lower half");
        Self { node, incarnation }
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.incarnation)
    }
}

/// The payload of an entry, if it is a batch.
pub fn batch_of(entry: &Entry) -> Option<&Payload> {
    match &entry.payload {
        EntryPayload::Normal(payload) => Some(payload),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}
