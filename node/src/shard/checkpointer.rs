//! When a replica writes a checkpoint, and what it purges behind it.

use super::{machine::Core, proposer::Raft};
use crate::config::Limits;
use earmark_ledger::types::ShardId;
use std::{sync::Arc, time::Duration};

/// Takes a checkpoint at 4 MiB of dirty bytes or after a few seconds, shards staggered, and purges the log behind it.
pub(super) async fn run(shard: ShardId, raft: Raft, core: Arc<Core>, limits: Limits) {
    // Shards of a node begin at different moments, so that their checkpoints do not come at once.
    let stagger = limits.checkpoint_every.mul_f64(f64::from(shard.0 % 16) / 16.0);
    tokio::time::sleep(stagger).await;
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits.checkpoint_every) => {}
            () = core.checkpoint_wanted() => {}
        }
        if core.is_broken() {
            core.mark_damaged("apply stopped in the middle of an entry");
            return;
        }
        match core.checkpoint().await {
            Ok(None) => {}
            Ok(Some(applied)) => {
                // Snapshot and purge are only bookkeeping here: what a snapshot would hold is the checkpoint itself.
                let told = raft.trigger().snapshot().await;
                let upto = core.streams().purgeable(applied.index.saturating_sub(limits.log_kept), applied.index);
                if told.is_err() || (upto > 0 && raft.trigger().purge_log(upto).await.is_err()) {
                    tracing::debug!(%shard, "Raft has stopped; no more checkpoints");
                    return;
                }
            }
            Err(error) => {
                core.mark_damaged(&format!("a checkpoint failed: {error}"));
                return;
            }
        }
        // Only the spacing between checkpoints is limited, never a checkpoint under way.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
