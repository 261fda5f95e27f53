//! The barrier in front of linearizable reads.
//!
//! One read-index round confirms leadership for everything that gathered while the previous round was on its way, then
//! waits until that index is applied here. Reads need no log entry and no clock.

use super::{
    proposer::{Failure, Raft},
    raft::ReplicaId,
};
use openraft::{
    ReadPolicy,
    errors::{LinearizableReadError, RaftError},
};
use std::time::Duration;
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
}

impl Reads {
    /// Starts the actor.
    pub(super) fn start(raft: Raft) -> Self {
        let (queue, waiting) = mpsc::channel(GATHERED_MAX);
        tokio::spawn(run(raft, waiting));
        Self { queue }
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

async fn run(raft: Raft, mut queue: mpsc::Receiver<oneshot::Sender<Result<(), Failure>>>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, GATHERED_MAX).await > 0 {
        let confirmed = tokio::time::timeout(ROUND_MAX, round(&raft)).await.unwrap_or(Err(Failure::NoQuorum));
        for reader in waiting.drain(..) {
            let _ = reader.send(confirmed.clone());
        }
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
    linearizer.await_ready(raft).await.map(|_| ()).map_err(|_| Failure::Damaged)
}
