//! What only a leader does by itself: let time pass in the log when deadlines do, have replicas compare digests, and
//! drop records whose time is over.

use super::{
    handover::Handover,
    machine::Core,
    proposer::{Proposer, Raft},
};
use crate::{
    failpoint::{self, Step},
    stamp::Clocks,
    storage::{ReplicaStore, StoreError},
};
use earmark_ledger::{
    Corrupt,
    command::{Body, Command, Context, Forget},
    records,
    types::{DurationMs, ShardId, TimeMs},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

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
        let now = clocks.about();
        match (due, now) {
            (Some(due), Some(now)) if due <= now => {
                if raft.as_leader().is_ok() {
                    // Each tick ends a bounded number of holds; the next follows at once while some are overdue.
                    if proposer.tick(false, Instant::now() + TICK_PATIENCE).await.is_ok() {
                        failpoint::hit(Step::HomeExpired);
                        // The stamp may be behind the clocks of the majority by their bound: then it is not yet time.
                        let (due, clock) = {
                            let hot = core.hot();
                            (hot.ledger.next_deadline(), hot.clock())
                        };
                        if let Some(due) = due.filter(|due| *due > clock) {
                            tokio::time::sleep(sleep(due, clock)).await;
                        }
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

/// Between two tries to hand leadership to a node that has the time.
const YIELD_EVERY: Duration = Duration::from_secs(1);

/// A leader that finds no time for its entries, because no majority of the clocks it knows agrees, hands leadership to
/// a voter whose clocks do. While there is none it waits.
pub(super) async fn yield_without_time(timeless: Arc<Notify>, handover: Handover, clocks: Arc<Clocks>) {
    loop {
        timeless.notified().await;
        handover.run(Instant::now() + TICK_PATIENCE, |node| clocks.agree_at(node)).await;
        tokio::time::sleep(YIELD_EVERY).await;
    }
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

/// Between two looks for records to forget.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Cold records looked at in one go, so that a long history is walked in small steps.
const LOOKED_AT: usize = 10_000;

/// Records dropped by one command.
const FORGOTTEN_MAX: usize = 1_000;

/// Why a walk over cold records ended before its range did.
enum Halt {
    Enough,
    Failed(String),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        match error {
            // A snapshot was installed meanwhile: the walk begins anew in it.
            StoreError::Superseded => Self::Enough,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<Corrupt> for Halt {
    fn from(corrupt: Corrupt) -> Self {
        Self::Failed(corrupt.to_string())
    }
}

/// Walks over cold records, a step a minute, and proposes to forget those whose retention is over. The ledger judges
/// each again by its own clock, so a proposal can't forget too early.
pub(super) async fn forget(raft: Raft, core: Arc<Core>, proposer: Proposer) {
    let mut next = Steps::new();
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        if core.is_broken() || raft.as_leader().is_err() {
            continue;
        }
        let clock = core.hot().clock();
        let steps = std::mem::take(&mut next);
        let looked = core.store().aside(move |store| look(store, clock, steps)).await;
        let found;
        (found, next) = match looked.map_err(|error| error.to_string()).flatten() {
            Ok(looked) => looked,
            Err(problem) => {
                core.mark_damaged(&format!("cold records can't be read: {problem}"));
                return;
            }
        };
        if found == Forget::default() {
            continue;
        }
        let command = Command {
            context: Context::default(),
            not_after: clock.plus(DurationMs::minutes(1)),
            attempt: 1,
            heard: false,
            body: Body::Forget(found),
        };
        if let Err(failure) = proposer.propose(Box::new(command), false, Instant::now() + TICK_PATIENCE).await {
            tracing::debug!(?failure, "nothing was forgotten this time");
        }
    }
}

/// For each range (by its first byte, the kind of record) where a step begins.
type Steps = BTreeMap<u8, Vec<u8>>;

/// One step over each range. Gives what is to be forgotten, and where the next steps begin.
fn look(store: &ReplicaStore, clock: TimeMs, mut next: Steps) -> Result<(Forget, Steps), String> {
    let mut forget = Forget::default();
    for (first, end) in records::forget_ranges(clock) {
        let kind = first.first().copied().unwrap_or_default();
        let start = next.remove(&kind).filter(|start| *start < end).unwrap_or(first);
        let (mut seen, mut last) = (0, Vec::new());
        let walked = store.scan_state(&start, &end, |key, value| {
            if seen == LOOKED_AT || forget.reservations.len() + forget.operations.len() >= FORGOTTEN_MAX {
                last = key.to_vec();
                return Err(Halt::Enough);
            }
            seen += 1;
            if records::forgettable(key, value, clock) {
                if kind == records::OPERATION {
                    forget.operations.push(records::operation_id(key)?);
                } else {
                    forget.reservations.push(records::reservation_id(key)?);
                }
            }
            Ok(())
        });
        match walked {
            Ok(()) => {}
            Err(Halt::Enough) if last.is_empty() => {}
            Err(Halt::Enough) => drop(next.insert(kind, last)),
            Err(Halt::Failed(problem)) => return Err(problem),
        }
    }
    Ok((forget, next))
}
