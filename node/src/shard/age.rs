//! How old the state of a replica is that does not ask the leader.
//!
//! A message of the leader may come in long after it was sent, so what counts is when this node *asked* how far the shard
//! had come: at that moment, or as much earlier as the leader last heard of a majority, everything acknowledged stood at
//! the index it named. Both are told by the clock of one node each, so clocks need not agree.

use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// Answers a replica remembers, while it has not applied yet what the newer ones name.
const KEPT: usize = 8;

/// How far a shard had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Everything that was acknowledged by then stands at this index of the log or before it.
    pub index: u64,
    /// How long ago that was.
    pub age: Duration,
}

/// What a replica was told, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Heard(VecDeque<(u64, Instant)>);

impl Heard {
    /// Takes in the answer to a question of that moment.
    pub fn note(&mut self, reached: Reached, asked: Instant) {
        // An age that reaches beyond the clock's beginning says nothing.
        let Some(moment) = asked.checked_sub(reached.age) else { return };
        // An answer that was overtaken, or comes from who led before, is as true, and of no use.
        if self.0.back().is_some_and(|(_, newest)| moment <= *newest) {
            return;
        }
        if self.0.len() == KEPT {
            // The newest is replaced, not the oldest: who is always a little behind would never reach any.
            self.0.pop_back();
        }
        self.0.push_back((reached.index, moment));
    }

    /// The newest moment of which all is applied.
    pub fn moment(&mut self, applied: u64) -> Option<Instant> {
        while self.0.len() > 1 && self.0[1].0 <= applied {
            self.0.pop_front();
        }
        self.0.front().filter(|(index, _)| *index <= applied).map(|(_, moment)| *moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn reached(index: u64, age: u64) -> Reached {
        Reached { index, age: Duration::from_millis(age) }
    }

    #[test]
    fn the_moment_is_when_it_was_asked_less_the_leaders_own_doubt() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut heard = Heard::default();
        heard.note(reached(5, 30), at(start, 100));
        assert_eq!(heard.moment(4), None);
        assert_eq!(heard.moment(5), Some(at(start, 70)));
    }

    #[test]
    fn what_is_not_applied_yet_does_not_count() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut heard = Heard::default();
        for (index, asked) in [(5, 100), (9, 200), (12, 300)] {
            heard.note(reached(index, 0), at(start, asked));
        }
        assert_eq!(heard.moment(8), Some(at(start, 100)));
        assert_eq!(heard.moment(11), Some(at(start, 200)));
        assert_eq!(heard.moment(40), Some(at(start, 300)));
    }

    #[test]
    fn an_overtaken_answer_makes_nothing_younger_or_older() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut heard = Heard::default();
        heard.note(reached(9, 0), at(start, 200));
        heard.note(reached(5, 0), at(start, 100));
        heard.note(reached(9, 150), at(start, 300));
        assert_eq!(heard.moment(9), Some(at(start, 200)));
    }

    #[test]
    fn who_is_always_behind_gets_older_and_is_told_so() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut heard = Heard::default();
        for asked in 0..100 {
            heard.note(reached(asked * 10, 0), at(start, asked * 200));
        }
        assert_eq!(heard.moment(15), Some(at(start, 200)));
        assert_eq!(heard.moment(990), Some(at(start, 99 * 200)));
    }
}
