//! Who waits for the end of a cart, and how long carts are in doubt.

use earmark_ledger::{
    News,
    outcome::{Outcome, Pending},
    types::ReservationId,
};
use hdrhistogram::Histogram;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{Notify, oneshot};

/// What one replica's carts are waited for with. Every method is to be called under the lock of its state, so that
/// nothing is decided between a look at the state and the wait.
pub struct Board {
    waiting: Mutex<Waiting>,
    doubts: Mutex<Histogram<u64>>,
    sent: Notify,
}

/// In order, so that whoever is let go of at once wakes in the same order in every run of one seed.
#[derive(Default)]
struct Waiting {
    decided: BTreeMap<Pending, Vec<oneshot::Sender<Outcome>>>,
    settled: BTreeMap<ReservationId, Vec<oneshot::Sender<()>>>,
}

/// How long prepares were undecided on a replica, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// How many were decided.
    pub count: u64,
    /// 99 of 100 were decided within this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for Board {
    fn default() -> Self {
        // One millisecond to a day, three digits.
        let doubts = Histogram::new_with_bounds(1, 86_400_000, 3).expect("the bounds are good");
        Self { waiting: Mutex::default(), doubts: Mutex::new(doubts), sent: Notify::new() }
    }
}

impl Board {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no panic holds it")
    }

    /// Waits for the decision about something that is pending.
    pub fn decision(&self, pending: Pending) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.waiting().decided.entry(pending).or_default().push(sender);
        receiver
    }

    /// Waits until every participant of an unsettled reservation has answered.
    pub fn settling(&self, id: ReservationId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        let list = waiting.settled.entry(id).or_default();
        // Those who gave up waiting leave nothing behind.
        list.retain(|sender: &oneshot::Sender<()>| !sender.is_closed());
        list.push(sender);
        receiver
    }

    /// Tells everyone what an entry brought.
    pub fn post(&self, news: News) {
        if news.sent {
            self.sent.notify_one();
        }
        if !news.doubts.is_empty() {
            let mut doubts = self.doubts.lock().expect("no panic holds it");
            news.doubts.iter().for_each(|doubt| doubts.saturating_record(doubt.0.max(1)));
        }
        if news.decided.is_empty() && news.settled.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        for (pending, outcome) in news.decided {
            for sender in waiting.decided.remove(&pending).into_iter().flatten() {
                // Whoever asked may have given up.
                sender.send(outcome.clone()).ok();
            }
        }
        for id in news.settled {
            for sender in waiting.settled.remove(&id).into_iter().flatten() {
                sender.send(()).ok();
            }
        }
    }

    /// Lets go of everyone: the state they waited for was replaced by a snapshot.
    pub fn clear(&self) {
        *self.waiting() = Waiting::default();
    }

    /// Resolves when there are new messages in the outbox.
    pub async fn sent(&self) {
        self.sent.notified().await;
    }

    /// How long prepares were undecided.
    pub fn doubts(&self) -> Doubts {
        let doubts = self.doubts.lock().expect("no panic holds it");
        Doubts {
            count: doubts.len(),
            p99: Duration::from_millis(doubts.value_at_quantile(0.99)),
            max: Duration::from_millis(doubts.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_ledger::types::{Bucket, DurationMs, TimeMs};

    fn id(number: u64) -> ReservationId {
        ReservationId::timed(TimeMs(5), Bucket::new(3).expect("small"), number)
    }

    #[tokio::test]
    async fn whoever_waits_for_a_settled_cart_is_told_once_and_nothing_is_left() {
        let board = Board::default();
        let first = board.settling(id(1));
        let other = board.settling(id(2));
        board.post(News { settled: vec![id(1)], doubts: vec![DurationMs(7)], ..News::default() });
        first.await.expect("is told");
        assert_eq!(board.waiting().settled.len(), 1);
        drop(other);
        drop(board.settling(id(2)));
        assert_eq!(board.waiting().settled[&id(2)].len(), 1, "who gave up is forgotten when the next one comes");
        assert_eq!(board.doubts(), Doubts { count: 1, p99: Duration::from_millis(7), max: Duration::from_millis(7) });
    }
}
