//! What only a leader does by itself: let time pass in the log when deadlines do, and have replicas compare digests.

use super::{
    machine::Core,
    proposer::{Proposer, Raft},
};
use crate::stamp::Clocks;
use earmark_ledger::types::{ShardId, TimeMs};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The shortest TTL is 1 s, so a hold made while this task sleeps is not due before it wakes.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// How long a tick may wait for its entry.
const TICK_PATIENCE: Duration = Duration::from_secs(5);

/// Proposes an empty batch whenever a deadline has passed and nothing else moved the ledger's clock beyond it.
pub(super) async fn expire(raft: Raft, core: Arc<Core>, proposer: Proposer, clocks: Arc<Clocks>) {
    loop {
        if core.is_broken() {
            core.mark_damaged("apply stopped in the middle of an entry");
            return;
        }
        let due = core.hot().ledger.next_deadline();
        let now = clocks.median();
        match (due, now) {
            (Some(due), Some(now)) if due <= now => {
                if raft.as_leader().is_ok() {
                    // Each tick ends a bounded number of holds; the next follows at once while some are overdue.
                    if proposer.tick(false, Instant::now() + TICK_PATIENCE).await.is_ok() {
                        continue;
                    }
                }
                tokio::time::sleep(SLEEP_MAX).await;
            }
            (Some(due), Some(now)) => tokio::time::sleep(sleep(due, now)).await,
            _ => tokio::time::sleep(SLEEP_MAX).await,
        }
    }
}

fn sleep(due: TimeMs, now: TimeMs) -> Duration {
    Duration::from_millis(due.since(now).0 + 1).min(SLEEP_MAX)
}

/// Has every replica note its digest from time to time. They tell each other with the next beacon.
pub(super) async fn mark_digests(shard: ShardId, raft: Raft, proposer: Proposer, every: Duration) {
    tokio::time::sleep(every.mul_f64(f64::from(shard.0 % 16) / 16.0)).await;
    loop {
        tokio::time::sleep(every).await;
        if raft.as_leader().is_ok()
            && let Err(failure) = proposer.tick(true, Instant::now() + TICK_PATIENCE).await
        {
            tracing::debug!(%shard, ?failure, "no digest mark this time");
        }
    }
}
