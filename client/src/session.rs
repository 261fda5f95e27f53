//! One session stream, without the stream: what is in flight, and the server's credit.
//!
//! All steps are synchronous, so tests need no network. The actor in `link` feeds it: operations that arrived while the
//! writer was busy gather in the queue in front (`queue`) and leave together as one frame. In flight are at most as many operations
//! as the server gives credit for and answers in time (`window`).

use crate::in_flight::{InFlight, InFlights};
use crate::queue::{Patience, Queue};
use crate::retry::TryEnd;
use crate::window::Window;
use crate::wire::{
    Tagged, is_turned_away,
    v1::{SessionRequest, SessionResponse},
};
use std::time::Duration;
use tokio::time::Instant;

/// A message has 4 MiB at most; a frame stops well before, because one operation may be large.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 20;

/// The largest single operation that is sent. With a full frame in front of it the message still fits.
pub(crate) const OPERATION_BYTES_MAX: usize = 2 << 20;

/// Tag and lengths around one operation of a frame, generously.
const OPERATION_OVERHEAD: usize = 24;

/// How many operations this side keeps in flight even if a server gives more credit.
const IN_FLIGHT_MAX: usize = 65_536;

/// How often it is counted who does not wait any more.
const COUNT_EVERY: Duration = Duration::from_millis(250);

/// One session stream.
#[derive(Debug)]
pub(crate) struct Session {
    /// As the server named it in its greeting; 0 before.
    name: u64,
    window: Window,
    /// In flight, but nobody waits for it any more, when it was last counted.
    gone: usize,
    counted: Instant,
    credit: usize,
    patience: Patience,
    in_flight: InFlights,
}

impl Session {
    /// A session that opens at that moment.
    pub(crate) fn new(opened: Instant, patience: Patience) -> Self {
        let window = Window::new(opened);
        Self { name: 0, window, gone: 0, counted: opened, credit: 1, patience, in_flight: InFlights::new() }
    }

    /// How many more operations it can take now.
    pub(crate) fn room(&self) -> usize {
        let (by_credit, by_window) = (self.credit, self.window.most().saturating_add(self.gone));
        by_credit.min(by_window).saturating_sub(self.in_flight.len())
    }

    /// There is no room, and something waits for it.
    pub(crate) fn is_short(&mut self, now: Instant) {
        self.window.is_short();
        // What is answered late or never takes up credit, but not the window: else a shard that stands still would leave no place
        // for the others of its node.
        if now.saturating_duration_since(self.counted) >= COUNT_EVERY {
            self.counted = now;
            self.gone = self.in_flight.iter().filter(|waiting| waiting.reply.is_closed()).count();
        }
    }

    /// What waits and has room, as one frame, up to the frame's size. None if all of it was given up meanwhile.
    pub(crate) fn frame(&mut self, queue: &mut Queue, now: Instant) -> Option<SessionRequest> {
        let (mut bytes, mut count) = (0, 0);
        for ticket in queue.iter().take(self.room()) {
            bytes += ticket.operation.len() + OPERATION_OVERHEAD;
            if count > 0 && bytes > FRAME_BYTES_MAX {
                break;
            }
            count += 1;
        }
        let mut operations = Vec::with_capacity(count);
        for mut ticket in queue.take(count) {
            if ticket.reply.is_closed() {
                continue;
            }
            ticket.reply.mark_sent();
            let until = self.patience.for_answer(now, ticket.deadline);
            let tag = self.in_flight.insert(InFlight { since: now, until, reply: ticket.reply });
            operations.push(Tagged { tag, body: ticket.operation });
        }
        (!operations.is_empty()).then_some(SessionRequest { operations, session: self.name })
    }

    /// A frame from the server. Tells how many operations it answered.
    ///
    /// A result whose tag is not in flight is ignored: its caller can't be found, and no caller may get another's answer.
    pub(crate) fn receive(&mut self, frame: SessionResponse, now: Instant) -> usize {
        if frame.credit > 0 {
            self.credit = usize::try_from(frame.credit).unwrap_or(IN_FLIGHT_MAX).min(IN_FLIGHT_MAX);
        }
        if frame.session > 0 {
            self.name = frame.session;
        }
        let (mut answered, mut taken) = (0, 0);
        for tagged in frame.results {
            let Some(mut waiting) = self.in_flight.remove(tagged.tag) else { continue };
            answered += 1;
            let told = !is_turned_away(&tagged.body);
            // A caller that stopped waiting is no reason for anything.
            let heard = waiting.reply.tell(Ok(tagged.body));
            taken += usize::from(told && heard);
            self.gone = self.gone.saturating_sub(usize::from(!heard));
        }
        self.window.answered(taken, now);
        answered
    }

    /// No answer is missed before that moment.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.in_flight.due()
    }

    /// Tells those whose answer is not there in time, and `late` when each was sent. The server may still answer them, so they
    /// go on to take up credit.
    pub(crate) fn expire(&mut self, now: Instant, endpoint: &str, mut late: impl FnMut(Instant)) {
        self.in_flight.expire(now, |waiting| {
            if waiting.reply.tell(Err(TryEnd::Lost(format!("{endpoint} gave no answer in time")))) {
                late(waiting.since);
            }
        });
    }

    /// Since when the oldest operation in flight waits for its answer.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.in_flight.iter().map(|waiting| waiting.since).min()
    }

    /// The stream is gone: what was in flight may have been done.
    pub(crate) fn broke(self, why: &str) {
        for mut waiting in self.in_flight.into_ordered() {
            waiting.reply.give_up(why.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Answer, Reply, Ticket};
    use bytes::Bytes;
    use std::sync::Arc;
    use tokio::sync::{Semaphore, oneshot};

    const PATIENCE: Patience = Patience { try_timeout: Duration::from_secs(2) };

    /// A session and what waits in front of it.
    struct Side {
        session: Session,
        queue: Queue,
    }

    impl Side {
        fn new(credit: u32) -> Self {
            let mut session = Session::new(Instant::now(), PATIENCE);
            session.receive(greeting(credit), Instant::now());
            Self { session, queue: Queue::new("a:1", Arc::new(Semaphore::new(0)), PATIENCE) }
        }

        fn ask(&mut self, bytes: usize) -> oneshot::Receiver<Answer> {
            let (reply, answer) = Reply::new();
            let since = Instant::now();
            let deadline = since + Duration::from_secs(10);
            self.queue.push(Ticket { operation: vec![7; bytes].into(), since, deadline, reply });
            answer
        }

        /// The tags of the next frame.
        fn frame(&mut self) -> Option<Vec<u64>> {
            let frame = self.session.frame(&mut self.queue, Instant::now())?;
            Some(frame.operations.iter().map(|operation| operation.tag).collect())
        }
    }

    fn greeting(credit: u32) -> SessionResponse {
        SessionResponse { credit, ..Default::default() }
    }

    fn result(tag: u64) -> Tagged {
        Tagged { tag, body: Bytes::from_static(b"done") }
    }

    #[tokio::test(start_paused = true)]
    async fn what_gathered_leaves_as_one_frame() {
        let mut side = Side::new(10);
        let _answers: Vec<_> = (0..4).map(|_| side.ask(10)).collect();
        assert_eq!(side.frame(), Some(vec![1, 2, 3, 4]));
        assert!(side.queue.is_empty());
        assert_eq!(side.session.room(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn in_flight_never_exceeds_the_credit() {
        let mut side = Side::new(2);
        let _answers: Vec<_> = (0..3).map(|_| side.ask(10)).collect();
        assert_eq!(side.frame(), Some(vec![1, 2]));
        assert_eq!(side.session.room(), 0, "sent is in flight");
        assert_eq!((side.frame(), side.queue.len()), (None, 1));
        let answered = SessionResponse { results: vec![result(1)], ..greeting(2) };
        side.session.receive(answered, Instant::now());
        assert_eq!(side.session.room(), 1);
        side.session.receive(greeting(1), Instant::now());
        assert_eq!(side.session.room(), 0, "a server may give less credit than before");
        side.session.receive(greeting(0), Instant::now());
        assert_eq!(side.session.credit, 1, "0 leaves the credit as it is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_stops_at_its_size() {
        let mut side = Side::new(10);
        let _answers: Vec<_> = (0..3).map(|_| side.ask(FRAME_BYTES_MAX / 2)).collect();
        assert_eq!(side.frame(), Some(vec![1]));
        assert_eq!(side.frame(), Some(vec![2]));
        assert!(!side.queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_in_the_queue_is_never_sent() {
        let mut side = Side::new(10);
        drop(side.ask(10));
        assert_eq!(side.frame(), None);
        assert_eq!(side.session.room(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_takes_up_credit_but_not_the_window() {
        let mut side = Side::new(1_000);
        let answers: Vec<_> = (0..300).map(|_| side.ask(10)).collect();
        side.frame().expect("all");
        let session = &mut side.session;
        session.is_short(Instant::now());
        tokio::time::advance(COUNT_EVERY).await;
        session.receive(greeting(1_000), Instant::now());
        assert_eq!(session.room(), 0, "the window has 256");
        drop(answers);
        session.is_short(Instant::now());
        assert_eq!(session.room(), 256);
        session.receive(SessionResponse { results: vec![result(1)], ..greeting(350) }, Instant::now());
        assert_eq!(session.room(), 51, "of the credit 299 are taken");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_in_time_is_lost_and_still_takes_up_credit() {
        let mut side = Side::new(10);
        let (mut first, mut gone) = (side.ask(10), side.ask(10));
        side.frame().expect("two");
        let sent = Instant::now();
        assert_eq!(side.session.due(), Some(sent + PATIENCE.try_timeout));
        gone.close();
        let mut late = Vec::new();
        let before = sent + PATIENCE.try_timeout - Duration::from_millis(1);
        side.session.expire(before, "a:1", |sent| late.push(sent));
        assert!(first.try_recv().is_err() && late.is_empty());
        side.session.expire(sent + PATIENCE.try_timeout, "a:1", |sent| late.push(sent));
        assert!(matches!(first.try_recv(), Ok(Err(TryEnd::Lost(_)))));
        assert_eq!(late, [sent], "of one that nobody waits for nothing is told");
        assert_eq!((side.session.room(), side.session.due()), (8, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_loses_what_was_sent_and_only_that() {
        let mut side = Side::new(10);
        let sent = side.ask(10);
        side.frame().expect("one");
        let mut waiting = side.ask(10);
        side.session.broke("gone");
        assert_eq!(sent.await.expect("told"), Err(TryEnd::Lost("gone".to_owned())));
        assert!(waiting.try_recv().is_err(), "the next session may send it");
        drop(side.queue);
        assert!(matches!(waiting.await.expect("told"), Err(TryEnd::Unsent(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn whose_session_is_dropped_is_told_whether_it_was_sent() {
        let mut side = Side::new(1);
        let (sent, waiting) = (side.ask(10), side.ask(10));
        assert_eq!(side.frame(), Some(vec![1]));
        drop(side);
        assert!(matches!(sent.await.expect("told"), Err(TryEnd::Lost(_))));
        assert!(matches!(waiting.await.expect("told"), Err(TryEnd::Unsent(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn no_caller_gets_the_answer_of_another() {
        let mut side = Side::new(10);
        let mut answer = side.ask(10);
        side.frame().expect("one");
        let session = &mut side.session;
        assert_eq!(session.receive(SessionResponse { results: vec![result(7)], ..greeting(10) }, Instant::now()), 0);
        assert!(answer.try_recv().is_err(), "tag 7 is nobody's");
        let twice = SessionResponse { results: vec![result(1), result(1)], ..greeting(10) };
        assert_eq!(session.receive(twice, Instant::now()), 1, "the second answer to tag 1 is ignored");
        assert!(answer.await.expect("told").is_ok());
    }
}
