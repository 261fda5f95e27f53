//! Handing leadership to another voter, so that nobody waits for an election timeout: when the node stops in order, when
//! its replica is damaged, and when its clocks do not agree while another's do.
//!
//! openraft's leader takes no proposal after it named a successor, whether that one follows or not; if it does not, the
//! shard waits for an ordinary election. So a successor is named only if it was heard of lately and has nearly all.

use super::{
    proposer::Raft,
    raft::{ReplicaId, Vote},
};
use earmark_ledger::types::ShardId;
use openraft::async_runtime::watch::WatchReceiver;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// A successor within this many entries has them all within a moment.
const NEAR: u64 = 64;

/// Between two looks at who has caught up or leads.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What became of the offers to lead, on either side.
#[derive(Default)]
pub struct Offers {
    /// The term in which this replica led and made its last offer, and whether that was taken.
    answered: watch::Sender<Option<(u64, bool)>>,
    taken: AtomicU64,
}

impl Offers {
    /// A successor answered the offer of the leader with that vote.
    pub fn answered(&self, vote: &Vote, taken: bool) {
        self.answered.send_replace(Some((vote.leader_id.term, taken)));
    }

    /// This replica was asked to lead and follows.
    pub fn took(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// How often this replica was asked to lead and followed.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The way out of leadership.
#[derive(Clone)]
pub struct Handover {
    shard: ShardId,
    raft: Raft,
    offers: Arc<Offers>,
    /// A voter that did not answer for this long is taken for gone.
    silence_max: Duration,
}

impl Handover {
    pub(super) fn new(shard: ShardId, raft: Raft, offers: Arc<Offers>, silence_max: Duration) -> Self {
        Self { shard, raft, offers, silence_max }
    }

    /// Hands leadership to an up-to-date voter on a node for which `may_lead` holds. Gives it once it is asked and
    /// follows; none if this replica does not lead, if there is nobody to lead, or not before `deadline`.
    pub async fn run(&self, deadline: Instant, may_lead: impl Fn(u32) -> bool) -> Option<ReplicaId> {
        let term = self.raft.as_leader().ok()?.term();
        let mut answered = self.offers.answered.subscribe();
        let to = loop {
            if let Some(to) = self.successor(term, &may_lead)? {
                break to;
            }
            if Instant::now() >= deadline {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        self.raft.trigger().transfer_leader(to.raft_id()).await.ok()?;
        let answer = answered.wait_for(|answer| answer.is_some_and(|(of, _)| of >= term));
        let taken = match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer.is_some_and(|(_, taken)| taken),
            Ok(Err(_)) | Err(_) => false,
        };
        tracing::info!(shard = %self.shard, %to, taken, "leadership was offered");
        taken.then_some(to)
    }

    /// Waits until this replica knows that it does not lead any more.
    pub async fn wait_over(&self, deadline: Instant) {
        while self.raft.as_leader().is_ok() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Who could lead next: `Some(None)` if someone may soon, `None` if nobody can.
    fn successor(&self, term: u64, may_lead: &impl Fn(u32) -> bool) -> Option<Option<ReplicaId>> {
        let receiver = self.raft.metrics();
        let metrics = receiver.borrow_watched();
        if metrics.current_term != term {
            return None;
        }
        let (replication, heartbeat) = (metrics.replication.as_ref()?, metrics.heartbeat.as_ref()?);
        let last = metrics.last_log_index.unwrap_or(0);
        let voters = metrics.membership_config.voter_ids().filter(|id| *id != metrics.id).filter_map(|id| {
            let heard = heartbeat.get(&id).copied().flatten()?;
            let reached = replication.get(&id).copied().flatten().map_or(0, |at| at.index);
            let replica = ReplicaId::from_raft_id(id);
            let lately = openraft::Instant::elapsed(&heard.into_inner()) <= self.silence_max;
            (lately && may_lead(replica.node)).then_some((replica, reached))
        });
        choose(self.shard, last, &voters.collect::<Vec<_>>())
    }
}

/// Of voters that are near the end of the log one after the other, by shard: a node that leads many hands them to all.
fn choose(shard: ShardId, last: u64, voters: &[(ReplicaId, u64)]) -> Option<Option<ReplicaId>> {
    if voters.is_empty() {
        return None;
    }
    let near: Vec<ReplicaId> =
        voters.iter().filter(|(_, reached)| reached + NEAR >= last).map(|(replica, _)| *replica).collect();
    let place = usize::try_from(shard.0).unwrap_or(0).checked_rem(near.len());
    Some(place.map(|place| near[place]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_near_and_shards_are_spread() {
        let replica = |node| ReplicaId { node, incarnation: 1 };
        assert_eq!(choose(ShardId(1), 500, &[]), None, "nobody can lead");
        let behind = [(replica(2), 100)];
        assert_eq!(choose(ShardId(1), 500, &behind), Some(None), "it may catch up");
        let both = [(replica(2), 500), (replica(3), 500 - NEAR)];
        assert_eq!(choose(ShardId(1), 500, &both), Some(Some(replica(3))));
        assert_eq!(choose(ShardId(2), 500, &both), Some(Some(replica(2))));
        let one = [(replica(2), 100), (replica(3), 490)];
        assert_eq!(choose(ShardId(2), 500, &one), Some(Some(replica(3))));
    }
}
