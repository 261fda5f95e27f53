//! The Earmark server.

#![forbid(unsafe_code)]

pub mod shard;
pub mod storage;
