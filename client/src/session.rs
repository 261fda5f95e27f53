//! One session stream, without the stream: what waits to be sent, what is in flight, and the server's credit.
//!
//! All steps are synchronous, so tests need no network. The actor in `link` feeds it: operations that arrived while the
//! writer was busy gather in `pending` and leave together as one frame. In flight are at most as many operations as the
//! server gives credit for and answers in time (`window`); what is beyond stays in the bounded queue in front.
//!
//! Whoever waited there for a good part of its time gives up (`link`): it would mostly be answered too late, and so would
//! everything behind it.

use crate::in_flight::{InFlight, InFlights};
use crate::retry::TryEnd;
use crate::window::Window;
use crate::wire::{
    Tagged, is_turned_away,
    v1::{SessionRequest, SessionResponse},
};
use bytes::Bytes;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering},
};
use std::time::Duration;
use tokio::sync::oneshot;
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

/// What a try comes back with: an encoded `OperationResult`.
pub(crate) type Answer = Result<Bytes, TryEnd>;

/// Where a try stands, seen by its caller and by the session: whoever moves it out of `QUEUED` decides whether it counts
/// as sent.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    step: AtomicU8,
    sent_at: OnceLock<Instant>,
}

const QUEUED: u8 = 0;
const SENT: u8 = 1;
const ABANDONED: u8 = 2;

impl Stage {
    /// The session is about to send it; false if its caller has given up.
    fn send(&self, now: Instant) -> bool {
        self.sent_at.get_or_init(|| now);
        self.step.compare_exchange(QUEUED, SENT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// When it was sent, if it was.
    pub(crate) fn sent_at(&self) -> Option<Instant> {
        if self.step.load(Ordering::Acquire) == SENT { self.sent_at.get().copied() } else { None }
    }

    /// The caller gives up; if it is sent already, says when it was.
    pub(crate) fn abandon(&self) -> Result<(), Instant> {
        let given_up = self.step.compare_exchange(QUEUED, ABANDONED, Ordering::AcqRel, Ordering::Acquire);
        match given_up {
            Ok(_) | Err(ABANDONED) => Ok(()),
            Err(_) => Err(*self.sent_at.get().expect("is set before it counts as sent")),
        }
    }
}

/// One try on its way to a session.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Encoded.
    pub(crate) operation: Bytes,
    pub(crate) stage: Arc<Stage>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

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
    pending: Vec<Ticket>,
    in_flight: InFlights,
}

impl Session {
    /// A session that opens at that moment.
    pub(crate) fn new(opened: Instant) -> Self {
        let window = Window::new(opened);
        Self { name: 0, window, gone: 0, counted: opened, credit: 1, pending: Vec::new(), in_flight: InFlights::new() }
    }

    /// How many more tickets it can take now.
    pub(crate) fn room(&self) -> usize {
        let all = self.in_flight.len() + self.pending.len();
        let (by_credit, by_window) = (self.credit, self.window.most().saturating_add(self.gone));
        by_credit.min(by_window).saturating_sub(all)
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

    /// Takes tickets, at most as many as there was room for.
    pub(crate) fn push(&mut self, tickets: impl IntoIterator<Item = Ticket>) {
        self.pending.extend(tickets);
    }

    /// Whether there is something to send.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Everything that waits, as one frame, up to the frame's size. None if all of it was given up meanwhile.
    pub(crate) fn frame(&mut self, now: Instant) -> Option<SessionRequest> {
        let mut operations = Vec::with_capacity(self.pending.len());
        let mut bytes = 0;
        let mut taken = 0;
        for ticket in &self.pending {
            bytes += ticket.operation.len() + OPERATION_OVERHEAD;
            if taken > 0 && bytes > FRAME_BYTES_MAX {
                break;
            }
            taken += 1;
        }
        for ticket in self.pending.drain(..taken) {
            if ticket.reply.is_closed() || !ticket.stage.send(now) {
                continue;
            }
            let tag = self.in_flight.insert(InFlight { since: now, reply: ticket.reply });
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
            let Some(waiting) = self.in_flight.remove(tagged.tag) else { continue };
            answered += 1;
            let told = !is_turned_away(&tagged.body);
            // A caller that stopped waiting is no reason for anything.
            let heard = waiting.reply.send(Ok(tagged.body)).is_ok();
            taken += usize::from(told && heard);
            self.gone = self.gone.saturating_sub(usize::from(!heard));
        }
        self.window.answered(taken, now);
        answered
    }

    /// Since when the oldest operation in flight waits for its answer.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.in_flight.iter().map(|waiting| waiting.since).min()
    }

    /// The stream is gone: what was in flight may have been done, what was pending surely was not.
    pub(crate) fn broke(self, why: &str) {
        for waiting in self.in_flight.into_ordered() {
            let _ = waiting.reply.send(Err(TryEnd::Lost(why.to_owned())));
        }
        for ticket in self.pending {
            let _ = ticket.reply.send(Err(TryEnd::Unsent(why.to_owned())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(bytes: usize) -> (Ticket, oneshot::Receiver<Answer>, Arc<Stage>) {
        let (reply, answer) = oneshot::channel();
        let stage = Arc::new(Stage::default());
        (Ticket { operation: vec![7; bytes].into(), stage: Arc::clone(&stage), reply }, answer, stage)
    }

    fn greeting(credit: u32) -> SessionResponse {
        SessionResponse { credit, ..Default::default() }
    }

    fn result(tag: u64) -> Tagged {
        Tagged { tag, body: Bytes::from_static(b"done") }
    }

    fn session(credit: u32) -> Session {
        let mut session = Session::new(Instant::now());
        session.receive(greeting(credit), Instant::now());
        session
    }

    #[tokio::test(start_paused = true)]
    async fn what_gathered_leaves_as_one_frame() {
        let mut session = session(10);
        let mut answers = Vec::new();
        for _ in 0..4 {
            let (ticket, answer, _) = ticket(10);
            session.push([ticket]);
            answers.push(answer);
        }
        let frame = session.frame(Instant::now()).expect("four operations wait");
        assert_eq!(frame.operations.iter().map(|o| o.tag).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(!session.has_pending());
        assert_eq!(session.room(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn in_flight_never_exceeds_the_credit() {
        let mut session = session(2);
        let (tickets, _answers): (Vec<_>, Vec<_>) = (0..2).map(|_| ticket(10)).map(|(t, a, _)| (t, a)).unzip();
        session.push(tickets);
        assert_eq!(session.room(), 0);
        session.frame(Instant::now()).expect("two");
        assert_eq!(session.room(), 0, "sent is still in flight");
        session.receive(SessionResponse { results: vec![result(1)], ..greeting(2) }, Instant::now());
        assert_eq!(session.room(), 1);
        session.receive(greeting(1), Instant::now());
        assert_eq!(session.room(), 0, "a server may give less credit than before");
        session.receive(greeting(0), Instant::now());
        assert_eq!(session.credit, 1, "0 leaves the credit as it is");
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_stops_at_its_size() {
        let mut session = session(10);
        let (tickets, _answers): (Vec<_>, Vec<_>) =
            (0..3).map(|_| ticket(FRAME_BYTES_MAX / 2)).map(|(t, a, _)| (t, a)).unzip();
        session.push(tickets);
        assert_eq!(session.frame(Instant::now()).expect("one").operations.len(), 1);
        assert_eq!(session.frame(Instant::now()).expect("two").operations.len(), 1);
        assert!(session.has_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_up_in_the_queue_is_never_sent() {
        let mut session = session(10);
        let (abandoned, _answer, stage) = ticket(10);
        let (dropped, gone, _) = ticket(10);
        drop(gone);
        session.push([abandoned, dropped]);
        assert_eq!(stage.abandon(), Ok(()), "it is still queued");
        assert!(session.frame(Instant::now()).is_none());
        assert_eq!(session.room(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_takes_up_credit_but_not_the_window() {
        let mut session = session(1_000);
        let (tickets, answers): (Vec<_>, Vec<_>) = (0..300).map(|_| ticket(10)).map(|(t, a, _)| (t, a)).unzip();
        session.push(tickets);
        session.frame(Instant::now()).expect("all");
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
    async fn what_was_sent_cannot_be_given_up() {
        let mut session = session(10);
        let (sent, _answer, stage) = ticket(10);
        session.push([sent]);
        let now = Instant::now();
        session.frame(now).expect("one");
        assert_eq!(stage.abandon(), Err(now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_break_loses_what_was_sent_and_only_that() {
        let mut session = session(10);
        let (first, sent, _) = ticket(10);
        session.push([first]);
        session.frame(Instant::now()).expect("one");
        let (second, waiting, _) = ticket(10);
        session.push([second]);
        session.broke("gone");
        assert_eq!(sent.await.expect("told"), Err(TryEnd::Lost("gone".to_owned())));
        assert_eq!(waiting.await.expect("told"), Err(TryEnd::Unsent("gone".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn no_caller_gets_the_answer_of_another() {
        let mut session = session(10);
        let (first, mut answer, _) = ticket(10);
        session.push([first]);
        session.frame(Instant::now()).expect("one");
        assert_eq!(session.receive(SessionResponse { results: vec![result(7)], ..greeting(10) }, Instant::now()), 0);
        assert!(answer.try_recv().is_err(), "tag 7 is nobody's");
        let twice = SessionResponse { results: vec![result(1), result(1)], ..greeting(10) };
        assert_eq!(session.receive(twice, Instant::now()), 1, "the second answer to tag 1 is ignored");
        assert!(answer.await.expect("told").is_ok());
    }
}
