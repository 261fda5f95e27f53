//! The SDK's only doors to the outside beside the network: a wall clock and randomness.
//!
//! Everything else that takes time uses `tokio::time`, so the same SDK runs in a deterministic simulation by passing
//! another [`Environment`] and another [`Connector`](crate::Connector).

use std::time::{SystemTime, UNIX_EPOCH};

/// A wall clock and randomness.
pub trait Environment: Send + Sync + 'static {
    /// Unix milliseconds. Only a first guess, used until a node told its own time.
    fn wall_ms(&self) -> u64;

    /// 64 fresh random bits.
    fn random_u64(&self) -> u64;
}

/// The real ones: the system's clock and the thread's generator, which is seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Environment for System {
    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn random_u64(&self) -> u64 {
        rand::random()
    }
}
