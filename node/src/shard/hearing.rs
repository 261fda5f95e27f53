//! The way to what other homes have decided about units that are held in this shard.
//!
//! Whoever refuses for the sake of such units asks first. One round asks for everything that gathered while the previous
//! one was on its way; [`inquiry`](crate::inquiry) makes the rounds.

use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Questions that may wait for one round; whoever finds no room has heard nothing.
const GATHERED_MAX: usize = 65_536;

/// Whoever asks waits this long at most, a round before his own included.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where questions are put.
#[derive(Clone)]
pub struct Hearing {
    queue: mpsc::Sender<oneshot::Sender<bool>>,
}

/// Where they arrive.
pub struct Questions {
    queue: mpsc::Receiver<oneshot::Sender<bool>>,
}

/// Both ends.
pub(super) fn channel() -> (Hearing, Questions) {
    let (questions, queue) = mpsc::channel(GATHERED_MAX);
    (Hearing { queue: questions }, Questions { queue })
}

impl Hearing {
    /// Resolves once all that the homes of holds in this shard had decided when the call began is applied here: true. False
    /// if some of it can't be heard of in time.
    pub async fn hear(&self) -> bool {
        let (heard, waiting) = oneshot::channel();
        if self.queue.try_send(heard).is_err() {
            return false;
        }
        matches!(tokio::time::timeout_at(Instant::now() + PATIENCE, waiting).await, Ok(Ok(true)))
    }
}

impl Questions {
    /// Waits for questions, and gives all there are. None once nobody can ask any more.
    pub async fn gathered(&mut self) -> Option<Vec<oneshot::Sender<bool>>> {
        let mut gathered = Vec::new();
        (self.queue.recv_many(&mut gathered, GATHERED_MAX).await > 0).then_some(gathered)
    }
}
