//! What was sent on a session stream and is not answered yet, by tag.
//!
//! A ring: a tag's place is its lowest bits, and a tag whose place is still taken is left out. So neither sending nor an
//! answer searches, and what is never answered costs its own place only.

use crate::queue::{Reply, not_before, note_sooner};
use tokio::time::Instant;

/// Who waits for the answer to one tag.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) since: Instant,
    /// When its caller no longer waits.
    pub(crate) until: Instant,
    pub(crate) reply: Reply,
}

#[derive(Debug)]
pub(crate) struct InFlights {
    /// A power of two, and more than are in flight. Each with its tag.
    places: Vec<Option<(u64, InFlight)>>,
    len: usize,
    tag_next: u64,
    /// None that still waits is told before.
    due: Option<Instant>,
}

impl InFlights {
    pub(crate) fn new() -> Self {
        Self { places: free(64), len: 0, tag_next: 1, due: None }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// One more, under a new tag, above all before.
    pub(crate) fn insert(&mut self, waiting: InFlight) -> u64 {
        if self.len * 2 >= self.places.len() {
            self.grow();
        }
        while self.places[self.place(self.tag_next)].is_some() {
            self.tag_next += 1;
        }
        let tag = self.tag_next;
        self.tag_next += 1;
        let place = self.place(tag);
        note_sooner(&mut self.due, waiting.until);
        self.places[place] = Some((tag, waiting));
        self.len += 1;
        tag
    }

    /// When it is to be looked whose time is over.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Those whose time is over are shown; they stay in flight.
    pub(crate) fn expire(&mut self, now: Instant, mut over: impl FnMut(&mut InFlight)) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        let mut over_now = Vec::new();
        for (tag, waiting) in self.places.iter_mut().flatten().filter(|(_, waiting)| !waiting.reply.is_closed()) {
            if waiting.until <= now {
                over_now.push((*tag, waiting));
            } else {
                note_sooner(&mut self.due, waiting.until);
            }
        }
        // In the order they were sent, so that two runs of one seed go alike.
        over_now.sort_unstable_by_key(|(tag, _)| *tag);
        over_now.into_iter().for_each(|(_, waiting)| over(waiting));
        self.due = not_before(self.due, now, self.places.len());
    }

    /// The one of that tag, which is none then.
    pub(crate) fn remove(&mut self, tag: u64) -> Option<InFlight> {
        let place = self.place(tag);
        let (_, waiting) = self.places[place].take_if(|(taken, _)| *taken == tag)?;
        self.len -= 1;
        Some(waiting)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.places.iter().flatten().map(|(_, waiting)| waiting)
    }

    /// All of them in the order they were sent: so that a break fails them alike in every run of one seed.
    pub(crate) fn into_ordered(self) -> impl Iterator<Item = InFlight> {
        let mut all: Vec<_> = self.places.into_iter().flatten().collect();
        all.sort_unstable_by_key(|(tag, _)| *tag);
        all.into_iter().map(|(_, waiting)| waiting)
    }

    fn place(&self, tag: u64) -> usize {
        // The length is a power of two, so the lowest bits of a tag are all that counts.
        usize::try_from(tag & (self.places.len() as u64 - 1)).expect("below a length")
    }

    /// Tags that differ in their lowest bits also do with one bit more.
    fn grow(&mut self) {
        let twice = self.places.len() * 2;
        let before = std::mem::replace(&mut self.places, free(twice));
        for (tag, waiting) in before.into_iter().flatten() {
            let place = self.place(tag);
            self.places[place] = Some((tag, waiting));
        }
    }
}

fn free<T>(places: usize) -> Vec<Option<T>> {
    std::iter::repeat_with(|| None).take(places).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Answer;
    use bytes::Bytes;
    use std::time::Duration;
    use tokio::sync::oneshot;

    fn waiting() -> (InFlight, oneshot::Receiver<Answer>) {
        let (reply, answer) = Reply::new();
        let now = Instant::now();
        (InFlight { since: now, until: now + Duration::from_secs(1), reply }, answer)
    }

    #[test]
    fn one_that_is_never_answered_keeps_its_place_and_no_other() {
        let mut in_flight = InFlights::new();
        let stuck = in_flight.insert(waiting().0);
        for _ in 0..10_000 {
            let tag = in_flight.insert(waiting().0);
            assert!(tag > stuck);
            assert!(in_flight.remove(tag).is_some() && in_flight.remove(tag).is_none());
        }
        assert_eq!((in_flight.len(), in_flight.places.len()), (1, 64));
        assert!(in_flight.remove(stuck + 64).is_none(), "another tag of the same place");
        assert!(in_flight.remove(stuck).is_some());
    }

    #[test]
    fn many_are_found_again_and_told_in_their_order() {
        let mut in_flight = InFlights::new();
        let mut answers: Vec<_> = (0..1_000)
            .map(|_| {
                let (waiting, answer) = waiting();
                (in_flight.insert(waiting), answer)
            })
            .collect();
        for (tag, _) in answers.iter().step_by(3) {
            assert!(in_flight.remove(*tag).is_some());
        }
        let mut number = 0;
        answers.retain(|_| {
            number += 1;
            (number - 1) % 3 != 0
        });
        assert_eq!((in_flight.len(), in_flight.iter().count()), (answers.len(), answers.len()));
        for (told, (mut waiting, (_, answer))) in in_flight.into_ordered().zip(&mut answers).enumerate() {
            assert!(waiting.reply.tell(Ok(told.to_string().into())));
            assert_eq!(answer.try_recv(), Ok(Ok(told.to_string().into())));
        }
    }

    #[test]
    fn whose_time_is_over_is_shown_once_and_stays() {
        let mut in_flight = InFlights::new();
        let now = Instant::now();
        let mut answers = Vec::new();
        for seconds in [3, 1, 2, 1] {
            let (reply, answer) = Reply::new();
            let tag = in_flight.insert(InFlight { since: now, until: now + Duration::from_secs(seconds), reply });
            answers.push((tag, answer));
        }
        let over = |in_flight: &mut InFlights, seconds| {
            let mut over = 0;
            in_flight.expire(now + Duration::from_secs(seconds), |waiting| {
                over += 1;
                waiting.reply.tell(Ok(Bytes::new()));
            });
            over
        };
        assert_eq!((over(&mut in_flight, 0), in_flight.due()), (0, Some(now + Duration::from_secs(1))));
        assert_eq!((over(&mut in_flight, 1), in_flight.due()), (2, Some(now + Duration::from_secs(2))));
        // Nobody waits for the third any more, so nothing is due with it.
        answers.remove(2);
        assert_eq!((over(&mut in_flight, 2), in_flight.due()), (0, Some(now + Duration::from_secs(3))));
        assert_eq!((over(&mut in_flight, 3), in_flight.due(), in_flight.len()), (1, None, 4));
        assert!(in_flight.remove(answers[0].0).is_some(), "its answer may come yet");
    }
}
