//! The barrier in front of linearizable reads.
//!
//! One read-index round confirms leadership for everything that gathered while the previous round was on its way, then
//! waits until that index is applied here. Reads need no log entry and no clock.
//!
//! With leases on, the round is left out while a majority was heard of lately: no voter of it helps to elect another
//! leader for one election timeout, and the lease is shorter than that by what timers may go apart. openraft counts from
//! the sending of what was acknowledged, and grants nothing to a leader that named a successor.

use super::{
    proposer::{Failure, Raft},
    raft::ReplicaId,
};
use earmark_ledger::planted::{self, Bug};
use openraft::{
    ReadPolicy,
    async_runtime::watch::WatchReceiver,
    errors::{LinearizableReadError, RaftError},
    raft::linearizable_read::LinearizerOption,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Reads that may wait for one round.
const GATHERED_MAX: usize = 65_536;

/// The longest a round may take. A leader cut off from its majority would otherwise keep readers for ever.
const ROUND_MAX: Duration = Duration::from_secs(3);

/// The way to the barrier.
#[derive(Clone)]
pub struct Reads {
    queue: mpsc::Sender<oneshot::Sender<Result<(), Failure>>>,
    by_lease: Arc<AtomicU64>,
}

impl Reads {
    /// Starts the actor.
    pub(super) fn start(raft: Raft, lease: Option<Duration>) -> Self {
        let (queue, waiting) = mpsc::channel(GATHERED_MAX);
        let by_lease = Arc::<AtomicU64>::default();
        tokio::spawn(run(raft, waiting, lease, by_lease.clone()));
        Self { queue, by_lease }
    }

    /// How many were let through by a lease, without a round.
    pub fn by_lease(&self) -> u64 {
        self.by_lease.load(Ordering::Relaxed)
    }

    /// Resolves once this replica was confirmed to lead after the call began and has applied all that was decided.
    pub async fn barrier(&self, deadline: Instant) -> Result<(), Failure> {
        let (done, waiting) = oneshot::channel();
        self.queue.try_send(done).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Failure::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Failure::Damaged,
        })?;
        match tokio::time::timeout_at(deadline, waiting).await {
            Ok(Ok(confirmed)) => confirmed,
            Ok(Err(_)) | Err(_) => Err(Failure::NoQuorum),
        }
    }
}

async fn run(
    raft: Raft,
    mut queue: mpsc::Receiver<oneshot::Sender<Result<(), Failure>>>,
    lease: Option<Duration>,
    by_lease: Arc<AtomicU64>,
) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, GATHERED_MAX).await > 0 {
        let round = async {
            if let Some(lease) = lease
                && leased(&raft, lease).await
            {
                by_lease.fetch_add(u64::try_from(waiting.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
                return Ok(());
            }
            round(&raft).await
        };
        let confirmed = tokio::time::timeout(ROUND_MAX, round).await.unwrap_or(Err(Failure::NoQuorum));
        for reader in waiting.drain(..) {
            let _ = reader.send(confirmed.clone());
        }
    }
}

/// Whether the lease lasts, and all that was decided is applied.
async fn leased(raft: &Raft, lease: Duration) -> bool {
    if planted::on(Bug::LeaseWithoutMargin) {
        // openraft grants no lease beyond the longest election timeout.
        let acked = raft.metrics().borrow_watched().last_quorum_acked;
        return acked.is_some_and(|acked| openraft::Instant::elapsed(&acked.into_inner()) < lease);
    }
    let at_once = LinearizerOption::new(Some(lease), false).with_wait_timeout(Duration::ZERO);
    match raft.get_read_linearizer(at_once).await {
        Ok(linearizer) => linearizer.await_ready(raft).await.is_ok(),
        Err(_) => false,
    }
}

async fn round(raft: &Raft) -> Result<(), Failure> {
    let linearizer = raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(|error| match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
            Failure::NotLeader(forward.leader_id.map(|id| ReplicaId::from_raft_id(id).node))
        }
        RaftError::APIError(_) => Failure::NoQuorum,
        RaftError::Fatal(_) => Failure::Damaged,
    })?;
    if planted::on(Bug::RefusalBeforeApplied) {
        return Ok(());
    }
    linearizer.await_ready(raft).await.map(|_| ()).map_err(|_| Failure::Damaged)
}
