//! Appends to one follower, one on its way at a time, and no more of them than it takes.
//!
//! openraft dates what a follower acknowledged by the last index of its answer: every request up to there counts as heard,
//! also one without entries that was taken up while the answer was already on its way (replication/
//! inflight_append_queue.rs, `drain_acked`). An answer from before a partition would so confirm a leader for a moment after
//! it, and a deposed leader would answer reads as if it led. So no request is taken up before openraft has dealt with the
//! answer to the one before.
//!
//! What is to be sent gathers meanwhile and goes together. Mere news of what is committed waits a moment for entries to go
//! with: while a shard is written to, that is half of all messages.

use crate::shard::raft::TypeConfig;
use futures::{Stream, StreamExt, future::poll_fn, stream};
use openraft::raft::AppendEntriesRequest;
use std::{
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// News of what is committed waits so long for entries. Reads of a follower that ask for what was just written wait for it.
const NEWS_PATIENCE: Duration = Duration::from_millis(2);

type Request = AppendEntriesRequest<TypeConfig>;

/// Where requests come from, shared by those who send them and who hears the answers. Whoever lets go of it first ends it:
/// half asked for the next request it holds a lock of openraft's without which no other stream begins, and a connection
/// that is stuck does not ask it again.
pub struct Source<S>(Arc<Mutex<Option<S>>>);

impl<S> Clone for Source<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Stream<Item = Request> + Unpin> Source<S> {
    /// Of these.
    pub fn new(requests: S) -> Self {
        Self(Arc::new(Mutex::new(Some(requests))))
    }

    /// There are no more.
    pub fn end(&self) {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(requests);
    }

    async fn next(&self) -> Option<Request> {
        poll_fn(|context| {
            let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match requests.as_mut() {
                Some(some) => {
                    let next = some.poll_next_unpin(context);
                    if matches!(next, Poll::Ready(None)) {
                        *requests = None;
                    }
                    next
                }
                None => Poll::Ready(None),
            }
        })
        .await
    }
}

/// Whose turn it is.
#[derive(Clone, Default)]
pub struct Turn {
    answered: Arc<Notify>,
    ended: Arc<Notify>,
}

impl Turn {
    /// openraft has dealt with an answer: the next request may be taken up.
    pub fn over(&self) {
        self.answered.notify_one();
    }

    /// Resolves once there will be no further request, and all were answered.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }
}

/// `first`, and what comes after it, each once the turn before is over.
pub fn requests<S>(first: Request, rest: Source<S>, turn: Turn) -> impl Stream<Item = Request> + Send + 'static
where
    S: Stream<Item = Request> + Send + Unpin + 'static,
{
    let rest = stream::unfold((rest, turn), |(rest, turn)| async move {
        turn.answered.notified().await;
        let Some(mut request) = rest.next().await else {
            turn.ended.notify_one();
            return None;
        };
        let until = Instant::now() + NEWS_PATIENCE;
        while request.entries.is_empty() {
            match tokio::time::timeout_at(until, rest.next()).await {
                // It says all that the one before said.
                Ok(Some(newer)) => request = newer,
                Ok(None) | Err(_) => break,
            }
        }
        Some((request, (rest, turn)))
    });
    stream::iter([first]).chain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::raft::{Entry, LogId, Payload, Vote};
    use futures::FutureExt;
    use openraft::{EntryPayload, impls::leader_id_std::LeaderId};
    use std::pin::pin;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::UnboundedReceiverStream;

    fn request(previous: u64, entries: u64, committed: u64) -> Request {
        let id = |index| LogId::new_term_index(1, index);
        let entry = |index| Entry { log_id: id(index), payload: EntryPayload::Normal(Payload::default()) };
        Request {
            vote: Vote { leader_id: LeaderId { term: 1, voted_for: 1 }, committed: true },
            prev_log_id: Some(id(previous)),
            leader_commit: Some(id(committed)),
            entries: (previous + 1..=previous + entries).map(entry).collect(),
        }
    }

    fn said(request: &Request) -> (usize, u64) {
        (request.entries.len(), request.leader_commit.map_or(0, |id| id.index))
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_is_taken_up_before_the_answer_to_the_one_before() {
        let (sender, rest) = mpsc::unbounded_channel();
        let source = Source::new(UnboundedReceiverStream::new(rest));
        let turn = Turn::default();
        let mut requests = pin!(requests(request(0, 1, 0), source, turn.clone()));
        assert_eq!(requests.next().await.as_ref().map(said), Some((1, 0)));
        sender.send(request(1, 0, 1)).unwrap();
        sender.send(request(1, 2, 1)).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(requests.next().now_or_never().is_none(), "the first is not answered");
        turn.over();
        assert_eq!(requests.next().await.as_ref().map(said), Some((2, 1)), "the news goes with the entries");
        assert!(requests.next().now_or_never().is_none());
        turn.over();
        drop(sender);
        assert!(requests.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn news_waits_a_moment_only() {
        let (sender, rest) = mpsc::unbounded_channel();
        let source = Source::new(UnboundedReceiverStream::new(rest));
        let turn = Turn::default();
        let mut requests = pin!(requests(request(0, 1, 0), source, turn.clone()));
        requests.next().await;
        turn.over();
        let begun = Instant::now();
        sender.send(request(1, 0, 1)).unwrap();
        sender.send(request(1, 0, 2)).unwrap();
        assert_eq!(requests.next().await.as_ref().map(said), Some((0, 2)), "the newest of them");
        assert_eq!(begun.elapsed(), NEWS_PATIENCE);
        turn.over();
        sender.send(request(1, 0, 3)).unwrap();
        drop(sender);
        assert_eq!(requests.next().await.as_ref().map(said), Some((0, 3)), "the last is sent though no more comes");
        turn.over();
        assert!(requests.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_hears_the_answers_ends_the_requests_whoever_holds_them() {
        let (sender, rest) = mpsc::unbounded_channel();
        let source = Source::new(UnboundedReceiverStream::new(rest));
        let turn = Turn::default();
        let mut requests = pin!(requests(request(0, 1, 0), source.clone(), turn.clone()));
        requests.next().await;
        sender.send(request(1, 0, 1)).unwrap();
        turn.over();
        requests.next().await;
        // The connection holds them and asks no more.
        source.end();
        assert!(sender.is_closed(), "what openraft lent is given back");
        turn.over();
        assert!(requests.next().await.is_none());
        assert!(turn.ended().now_or_never().is_some());
    }
}
