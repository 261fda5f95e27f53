//! When a replica writes a checkpoint, and what it purges behind it.

use super::{machine::Core, proposer::Raft, raft::ReplicaId};
use crate::config::Limits;
use earmark_ledger::{
    planted::{self, Bug},
    types::ShardId,
};
use openraft::async_runtime::watch::WatchReceiver;
use std::{sync::Arc, time::Duration};

/// So long after a checkpoint the next may be a smaller one: between these two, otherwise for each replica of a node and of a shard, or theirs
/// would come together for ever.
const CALM: Duration = Duration::from_millis(450);
const CALM_MOST: Duration = Duration::from_millis(750);

/// Takes a checkpoint at so many dirty bytes, at fewer where they come slowly, or after a few seconds, shards staggered, and purges the log behind it.
/// `silence_max`: who was not heard of for so long is sent nothing any more.
pub(super) async fn run(id: ReplicaId, raft: Raft, core: Arc<Core>, limits: Limits, silence_max: Duration) {
    let shard = core.shard();
    // Shards of a node begin at different moments, so that their checkpoints do not come at once.
    let stagger = limits.checkpoint_every.mul_f64(f64::from(shard.0 % 16) / 16.0);
    // Neither five nor three divides sixteen: the nodes of a shard, and the shards of a node, have each another share.
    let share = (id.node * 5 + shard.0 * 3) % 16;
    let calm = (CALM + (CALM_MOST - CALM).mul_f64(f64::from(share) / 16.0)).min(limits.checkpoint_every);
    tokio::time::sleep(stagger).await;
    loop {
        due(&core, calm, limits.checkpoint_every).await;
        if core.is_broken() {
            core.mark_damaged("apply stopped in the middle of an entry");
            return;
        }
        let beyond = planted::on(Bug::PurgeAboveCheckpoint);
        match core.checkpoint().await {
            Ok(false) => {}
            // Snapshot and purge are only bookkeeping here: what a snapshot would hold is the checkpoint itself.
            Ok(true) => {
                if raft.trigger().snapshot().await.is_err() {
                    return stopped(shard);
                }
                if beyond {
                    // Until the snapshot counts: openraft purges no further than the newest one.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Err(error) => {
                core.mark_damaged(&format!("a checkpoint failed: {error}"));
                return;
            }
        }
        // Also when nothing was written: what kept the log, such as a follower that fell silent, may be gone since.
        if let Some(applied) = core.checkpointed() {
            let kept = applied.index.saturating_sub(limits.log_kept);
            let too_large = core.store().log_before_bytes(limits.log_kept_bytes).unwrap_or(0).min(applied.index);
            let wanted = if beyond { core.applied_index() } else { kept.max(too_large) };
            let upto = core.streams().purgeable(wanted, applied.index, acknowledged(&raft, silence_max));
            if upto > purged(&raft) && raft.trigger().purge_log(upto).await.is_err() {
                return stopped(shard);
            }
        }
        // Only the spacing between checkpoints is limited, never a checkpoint under way.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Resolves when the next checkpoint is to be taken.
async fn due(core: &Core, calm: Duration, every: Duration) {
    if tokio::time::timeout(calm, core.checkpoint_wanted()).await.is_ok() || core.is_broken() {
        return;
    }
    core.want_smaller_checkpoint();
    // Or else because it is time.
    tokio::time::timeout(every - calm, core.checkpoint_wanted()).await.ok();
}

fn stopped(shard: ShardId) {
    tracing::debug!(%shard, "Raft has stopped; no more checkpoints");
}

/// The index up to which the log is purged.
fn purged(raft: &Raft) -> u64 {
    raft.metrics().borrow_watched().purged.map_or(0, |id| id.index)
}

/// What every follower has acknowledged that this replica leads and is sending entries to.
///
/// openraft's append stream reads on in the log behind what it sent last, and asks nobody whether that was purged: it
/// would send entries with a hole before them, and the follower's store would refuse them for good. A follower that
/// is below the log already is sent a snapshot, and one that is silent has no stream: neither keeps the log.
fn acknowledged(raft: &Raft, silence_max: Duration) -> Option<u64> {
    let receiver = raft.metrics();
    let metrics = receiver.borrow_watched();
    let (replication, heartbeat) = (metrics.replication.as_ref()?, metrics.heartbeat.as_ref()?);
    let purged = metrics.purged.map_or(0, |id| id.index);
    let followers = replication.iter().filter(|(id, _)| **id != metrics.id).filter_map(|(id, reached)| {
        let heard = heartbeat.get(id).copied().flatten()?;
        let lately = openraft::Instant::elapsed(&heard.into_inner()) <= silence_max;
        reached.map(|at| at.index).filter(|reached| lately && *reached >= purged)
    });
    followers.min()
}
