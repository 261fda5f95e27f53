//! One Raft shard on this node.

pub mod raft;
pub mod runtime;
