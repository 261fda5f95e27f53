//! What waits in front of a session: tries that are still to be sent, in the order they came.
//!
//! All steps are synchronous, so tests need no network. The actor in `link` feeds the queue and ends what has waited too long; a
//! caller only waits for its answer. So a call needs no timer of its own: there is one for all that a node is asked.

use crate::retry::TryEnd;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

/// A try may wait in the queue for one part in so many of the time its operation has left. Under more load than a node
/// answers all that are sent have waited for about as long; the rest is for the answer.
const QUEUE_SHARE: u32 = 4;

/// Between two looks through all that wait or are in flight it is at least so long for each of them: 4 ms for a full queue.
const EXPIRE_EACH: Duration = Duration::from_nanos(500);

/// Of all moments noted the soonest is kept.
pub(crate) fn note_sooner(soonest: &mut Option<Instant>, moment: Instant) {
    *soonest = Some(soonest.map_or(moment, |soonest| soonest.min(moment)));
}

/// When to look again through `count` that were looked through now, the next of which is over at `due`: of very many some always
/// are.
pub(crate) fn not_before(due: Option<Instant>, now: Instant, count: usize) -> Option<Instant> {
    let rest = EXPIRE_EACH * u32::try_from(count).unwrap_or(u32::MAX);
    due.map(|due| due.max(now + rest))
}

/// What a try comes back with: an encoded `OperationResult`.
pub(crate) type Answer = Result<Bytes, TryEnd>;

/// Where a caller waits for its answer. One that is dropped tells it that there will be none.
#[derive(Debug)]
pub(crate) struct Reply {
    /// None once it is told.
    caller: Option<oneshot::Sender<Answer>>,
    /// It may have left this process.
    sent: bool,
}

impl Reply {
    /// With what its caller waits on.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Answer>) {
        let (caller, answer) = oneshot::channel();
        (Self { caller: Some(caller), sent: false }, answer)
    }

    /// Nobody waits for it, or not any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.caller.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// From now on it may have been done.
    pub(crate) fn mark_sent(&mut self) {
        self.sent = true;
    }

    /// Tells the caller; false if it does not wait any more.
    pub(crate) fn tell(&mut self, answer: Answer) -> bool {
        self.caller.take().is_some_and(|caller| caller.send(answer).is_ok())
    }

    /// Nothing will come: why, as far as it is known.
    pub(crate) fn give_up(&mut self, why: String) {
        let end = if self.sent { TryEnd::Lost(why) } else { TryEnd::Unsent(why) };
        self.tell(Err(end));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.caller.is_some() {
            self.give_up("the session has ended".to_owned());
        }
    }
}

/// One try on its way to a session.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Encoded.
    pub(crate) operation: Bytes,
    /// When it came.
    pub(crate) since: Instant,
    /// When its caller's time is over.
    pub(crate) deadline: Instant,
    pub(crate) reply: Reply,
}

/// How long a try may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For its answer, once it is sent; and to be sent, if that is more than its part of the time that is left.
    pub(crate) try_timeout: Duration,
}

impl Patience {
    /// When a try that came then leaves the queue at the latest.
    pub(crate) fn to_send(self, since: Instant, deadline: Instant) -> Instant {
        earlier(deadline, since, self.try_timeout.max(share(since, deadline)))
    }

    /// The same if the session opened then: waiting for the session itself is not waiting behind others, but waiting behind others
    /// is worth a part of the time only.
    pub(crate) fn behind_others(self, since: Instant, deadline: Instant, opened: Instant) -> Instant {
        earlier(self.to_send(since, deadline), opened.max(since), share(since, deadline))
    }

    /// When the answer to what is sent now must be there.
    pub(crate) fn for_answer(self, sent: Instant, deadline: Instant) -> Instant {
        earlier(deadline, sent, self.try_timeout)
    }
}

/// That long after `since`, but `latest` at the latest.
fn earlier(latest: Instant, since: Instant, wait: Duration) -> Instant {
    since.checked_add(wait).map_or(latest, |end| end.min(latest))
}

fn share(since: Instant, deadline: Instant) -> Duration {
    deadline.saturating_duration_since(since) / QUEUE_SHARE
}

/// The queue of one node. It outlasts sessions.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Each with the moment at which it gives up.
    tickets: VecDeque<(Instant, Ticket)>,
    /// No ticket gives up before one in front of it: nearly always, because most have the same time.
    ordered: bool,
    /// None is told before.
    earliest: Option<Instant>,
    /// Those that callers may take: what is in the queue, or on its way into it, has one.
    places: Arc<Semaphore>,
    patience: Patience,
    opened: Option<Instant>,
    endpoint: String,
}

impl Queue {
    pub(crate) fn new(endpoint: &str, places: Arc<Semaphore>, patience: Patience) -> Self {
        Self {
            tickets: VecDeque::new(),
            ordered: true,
            earliest: None,
            places,
            patience,
            opened: None,
            endpoint: endpoint.to_owned(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.tickets.len()
    }

    /// There is a session since then, or none any more.
    pub(crate) fn set_opened(&mut self, opened: Option<Instant>) {
        self.opened = opened;
        for place in 0..self.tickets.len() {
            let due = self.due_of(&self.tickets[place].1);
            self.tickets[place].0 = due;
        }
        self.look_through();
    }

    /// One more, with the place its caller took.
    pub(crate) fn push(&mut self, ticket: Ticket) {
        let due = self.due_of(&ticket);
        self.ordered &= self.tickets.back().is_none_or(|(last, _)| *last <= due);
        note_sooner(&mut self.earliest, due);
        self.tickets.push_back((due, ticket));
    }

    /// The first `count` of them, and their places.
    pub(crate) fn take(&mut self, count: usize) -> impl Iterator<Item = Ticket> + use<'_> {
        let count = count.min(self.tickets.len());
        self.places.add_permits(count);
        if count == self.tickets.len() {
            (self.ordered, self.earliest) = (true, None);
        }
        self.tickets.drain(..count).map(|(_, ticket)| ticket)
    }

    /// Those waiting, the first first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.iter().map(|(_, ticket)| ticket)
    }

    /// When it is to be looked who gives up.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.ordered { self.tickets.front().map(|(due, _)| *due) } else { self.earliest }
    }

    /// Tells those that have waited too long.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let before = self.tickets.len();
        if self.ordered {
            let over = self.tickets.partition_point(|(due, _)| *due <= now);
            for (_, mut ticket) in self.tickets.drain(..over) {
                ticket.reply.tell(Err(too_long(&self.endpoint, now - ticket.since, self.opened.is_some())));
            }
        } else {
            let (endpoint, opened) = (&self.endpoint, self.opened.is_some());
            self.tickets.retain_mut(|(due, ticket)| {
                let over = *due <= now;
                if over {
                    ticket.reply.tell(Err(too_long(endpoint, now - ticket.since, opened)));
                }
                !over
            });
            self.look_through();
            self.earliest = not_before(self.earliest, now, self.tickets.len());
        }
        self.places.add_permits(before - self.tickets.len());
    }

    /// Nothing can be sent to the node: tells all of them, or the first alone.
    pub(crate) fn turn_away(&mut self, count: usize, why: &str) {
        self.take(count).for_each(|mut ticket| ticket.reply.give_up(why.to_owned()));
    }

    fn due_of(&self, ticket: &Ticket) -> Instant {
        match self.opened {
            Some(opened) => self.patience.behind_others(ticket.since, ticket.deadline, opened),
            None => self.patience.to_send(ticket.since, ticket.deadline),
        }
    }

    fn look_through(&mut self) {
        self.ordered = self.tickets.iter().is_sorted_by_key(|(due, _)| *due);
        self.earliest = self.tickets.iter().map(|(due, _)| *due).min();
    }
}

impl Drop for Queue {
    /// Whoever waits for a place is told that there is none any more.
    fn drop(&mut self) {
        self.places.close();
    }
}

/// What a caller is told whose try waited too long to be sent.
pub(crate) fn too_long(endpoint: &str, waited: Duration, behind_others: bool) -> TryEnd {
    if !behind_others {
        return TryEnd::Unsent(format!("the queue to {endpoint} did not move in time"));
    }
    let ms = waited.as_millis();
    TryEnd::Crowded(format!("{ms} ms in the queue to {endpoint}: more is asked of it than it answers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { try_timeout: Duration::from_secs(2) };

    fn queue() -> Queue {
        Queue::new("a:1", Arc::new(Semaphore::new(0)), PATIENCE)
    }

    fn push(queue: &mut Queue, since: Instant, time: Duration) -> oneshot::Receiver<Answer> {
        let (reply, answer) = Reply::new();
        queue.push(Ticket { operation: Bytes::new(), since, deadline: since + time, reply });
        answer
    }

    fn ends(answers: &mut [oneshot::Receiver<Answer>]) -> Vec<Option<TryEnd>> {
        answers.iter_mut().map(|answer| answer.try_recv().ok().and_then(Result::err)).collect()
    }

    #[test]
    fn a_try_has_a_part_of_its_time_to_wait_behind_others() {
        let since = Instant::now();
        let (long, short) = (since + Duration::from_secs(40), since + Duration::from_secs(1));
        let after = |seconds| since + Duration::from_millis(seconds);
        assert_eq!(PATIENCE.to_send(since, long), after(10_000), "a quarter");
        assert_eq!(PATIENCE.to_send(since, since + Duration::from_secs(4)), after(2_000), "as long as a try");
        assert_eq!(PATIENCE.to_send(since, short), short);
        assert_eq!(PATIENCE.behind_others(since, short, since), after(250));
        assert_eq!(PATIENCE.behind_others(since, short, after(500)), after(750), "from when there was a session");
        assert_eq!(PATIENCE.behind_others(since, long, after(500)), after(10_000));
        assert_eq!(PATIENCE.for_answer(since, long), after(2_000));
        assert_eq!(PATIENCE.for_answer(since, short), short);
        assert_eq!(Patience { try_timeout: Duration::MAX }.for_answer(since, long), long);
    }

    #[test]
    fn those_whose_time_is_over_are_told_wherever_they_stand() {
        for times in [vec![4, 8, 12, 16], vec![16, 4, 12, 8], vec![8, 8, 4, 4]] {
            let since = Instant::now();
            let mut queue = queue();
            queue.set_opened(Some(since));
            let mut answers: Vec<_> =
                times.iter().map(|time| push(&mut queue, since, Duration::from_secs(*time))).collect();
            for second in 0..5 {
                let now = since + Duration::from_secs(second);
                queue.expire(now);
                let left = times.iter().filter(|time| **time > second * 4).count();
                assert_eq!(queue.len(), left, "{times:?} after {second} s");
                assert_eq!(queue.places.available_permits(), times.len() - left);
                let least = times.iter().filter(|time| **time > second * 4).min();
                assert_eq!(queue.due(), least.map(|time| since + Duration::from_secs(time / 4)));
            }
            assert!(ends(&mut answers).iter().all(|end| matches!(end, Some(TryEnd::Crowded(_)))));
        }
    }

    #[test]
    fn waiting_for_a_session_is_not_waiting_behind_others() {
        let since = Instant::now();
        let mut queue = queue();
        let mut answers =
            [push(&mut queue, since, Duration::from_secs(4)), push(&mut queue, since, Duration::from_secs(9))];
        queue.expire(since + Duration::from_secs(2));
        assert!(matches!(ends(&mut answers)[..], [Some(TryEnd::Unsent(_)), None]));
        let opened = since + Duration::from_millis(2_100);
        queue.set_opened(Some(opened));
        assert_eq!(queue.due(), Some(since + Duration::from_millis(2_250)), "it has waited long enough for any reason");
        queue.expire(since + Duration::from_millis(2_250));
        assert!(matches!(ends(&mut answers)[..], [None, Some(TryEnd::Crowded(_))]));
    }

    #[test]
    fn a_place_is_free_once_its_ticket_has_left() {
        let mut queue = queue();
        let since = Instant::now();
        let mut answers: Vec<_> = (0..5).map(|_| push(&mut queue, since, Duration::from_secs(1))).collect();
        let mut taken: Vec<Ticket> = queue.take(2).collect();
        assert_eq!((queue.len(), queue.places.available_permits()), (3, 2));
        queue.turn_away(1, "down");
        assert_eq!((queue.len(), queue.places.available_permits()), (2, 3));
        assert_eq!(queue.take(9).count(), 2);
        assert_eq!((queue.due(), queue.places.available_permits()), (None, 5));
        taken[0].reply.mark_sent();
        drop(taken);
        let ends = ends(&mut answers);
        assert!(matches!(ends[0], Some(TryEnd::Lost(_))), "it may have been done");
        assert_eq!(ends[2], Some(TryEnd::Unsent("down".to_owned())));
        assert!([1, 3, 4].iter().all(|place| matches!(ends[*place], Some(TryEnd::Unsent(_)))));
        let places = Arc::clone(&queue.places);
        drop(queue);
        assert!(places.is_closed(), "who waits for one is told");
    }
}
