//! How many operations a session keeps in flight: as many as the server gives credit for, but while more is asked than it
//! answers, no more than it answers within half a second.
//!
//! With more in flight each of them only waits longer at the server, until all are answered after their callers have gone.

use std::time::Duration;
use tokio::time::Instant;

/// Over so long it is looked at how much is answered.
const SPAN: Duration = Duration::from_millis(250);

/// So long an operation may be on its way, about.
const BEARABLE: Duration = Duration::from_millis(500);

/// So many may always be: a server that answered nothing for a while, as when its leader changed, is not judged by that.
const LEAST: usize = 256;

/// The window of one session.
#[derive(Debug)]
pub(crate) struct Window {
    most: usize,
    since: Instant,
    answered: usize,
    /// There was a moment when something waited for a place.
    short: bool,
}

impl Window {
    pub(crate) fn new(now: Instant) -> Self {
        Self { most: usize::MAX, since: now, answered: 0, short: false }
    }

    /// The most that may be in flight.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Something waits for a place.
    pub(crate) fn is_short(&mut self) {
        self.short = true;
    }

    /// So many were answered, and not with OVERLOADED.
    pub(crate) fn answered(&mut self, count: usize, now: Instant) {
        self.answered += count;
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed < SPAN {
            return;
        }
        if elapsed > SPAN * 4 {
            // Nothing was asked or nothing answered for a while; neither says what can be done now.
            *self = Self { most: self.most, ..Self::new(now) };
            return;
        }
        // It opens step by step: all who were turned away would come at once.
        self.most = if self.short { self.bearable(elapsed) } else { self.most.saturating_mul(2) };
        *self = Self { most: self.most, ..Self::new(now) };
    }

    fn bearable(&self, elapsed: Duration) -> usize {
        let most = self.answered as u128 * BEARABLE.as_micros() / elapsed.as_micros().max(1);
        usize::try_from(most).unwrap_or(usize::MAX).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_too_much_of_is_not_held_back() {
        let start = Instant::now();
        let mut window = Window::new(start);
        for n in 1..10 {
            window.answered(3, start + SPAN * n);
            assert_eq!(window.most(), usize::MAX, "however little is asked");
        }
    }

    #[test]
    fn what_is_has_no_more_on_its_way_than_is_answered_in_half_a_second() {
        let start = Instant::now();
        let mut window = Window::new(start);
        window.is_short();
        window.answered(300, start + SPAN / 2);
        assert_eq!(window.most(), usize::MAX, "it is looked at over a while");
        window.answered(700, start + SPAN);
        assert_eq!(window.most(), 2_000);
        window.is_short();
        window.answered(0, start + SPAN * 2);
        assert_eq!(window.most(), LEAST, "though nothing was answered of late");
        window.is_short();
        window.answered(5_000, start + SPAN * 3);
        assert_eq!(window.most(), 10_000);
        window.answered(5_000, start + SPAN * 4);
        assert_eq!(window.most(), 20_000, "nobody waited any more");
        window.is_short();
        window.answered(50, start + SPAN * 400);
        assert_eq!(window.most(), 20_000, "a pause says nothing");
        (401..460).for_each(|n| window.answered(5_000, start + SPAN * n));
        assert_eq!(window.most(), usize::MAX, "as before");
    }
}
