//! What the measurements share: clusters of the released binary, what the kernel counts of them, and load.
//!
//! `earmark-load` (`src/bin/earmark-load.rs`) drives a cluster through the public SDK, or through plain unary gRPC. It uses
//! nothing of a node but its public surface and, for processor time, memory and writes, what Linux tells of its process.

#![forbid(unsafe_code)]

pub mod dev_cluster;
pub mod load;
pub mod report;
pub mod servers;
pub mod slow_disk;
pub mod status;
pub mod usage;

/// Why a measurement came to nothing.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// All callers live in one process, beside the servers, and what one of them asks ends in another thread than it began in: the
/// usual allocator's locks would be part of every figure.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
