//! Whether an entry that could set out should wait for callers that are about to ask again.
//!
//! Callers that ask one thing after the other come back as soon as they are answered. If the next entry sets out with
//! whoever waited by then, the callers of a shard fall into two halves that take turns, and twice as many entries are
//! written as need be; most of what an entry costs is the same whatever is in it. So those who were just answered are
//! waited for, about as long as their entry took: for that long they would have waited for the other half.
//!
//! Whether they come back is seen. Where most are not there in time, as with callers who each ask at a moment of their own,
//! nobody is waited for during the next entries.

use std::time::Duration;
use tokio::time::Instant;

/// However long an entry took, nobody waits for longer. (Nor for less than the timers can tell apart, a millisecond.)
const WAIT_MAX: Duration = Duration::from_millis(5);

/// More than so many are not waited for: an entry with as many is worth its price.
const EXPECTED_MAX: usize = 256;

/// After a wait in vain so many entries set out at once; after the next one in vain twice as many, up to the second.
const AT_ONCE: u32 = 16;
const AT_ONCE_MAX: u32 = 1_024;

/// What is known of the callers of one shard.
#[derive(Debug, Default)]
pub(super) struct Returning {
    /// Commands on their way, and since when.
    away: Option<(usize, Instant)>,
    wait: Option<Wait>,
    /// So many entries more set out at once.
    at_once: u32,
    at_once_next: u32,
}

#[derive(Debug)]
struct Wait {
    /// Who waited when it began.
    present: usize,
    /// How many it waits for, with these.
    expected: usize,
    until: Instant,
}

impl Returning {
    /// An entry with so many commands sets out.
    pub(super) fn set_out(&mut self, commands: usize) {
        self.wait = None;
        let (before, since) = self.away.unwrap_or_else(|| (0, Instant::now()));
        self.away = Some((before + commands, since));
    }

    /// No entry is on its way, and so many commands wait for the next one.
    pub(super) fn all_answered(&mut self, waiting: usize) {
        let Some((answered, since)) = self.away.take() else { return };
        self.at_once = self.at_once.saturating_sub(1);
        let expected = (waiting + answered).min(EXPECTED_MAX);
        if self.at_once == 0 && expected > waiting {
            let now = Instant::now();
            let until = now + now.duration_since(since).min(WAIT_MAX);
            self.wait = Some(Wait { present: waiting, expected, until });
        }
    }

    /// Until when the so many commands that wait should go on waiting; none: they set out.
    pub(super) fn waits_until(&mut self, waiting: usize) -> Option<Instant> {
        let wait = self.wait.as_ref()?;
        if waiting < wait.expected && Instant::now() < wait.until {
            return Some(wait.until);
        }
        let (came, missing) = (waiting.saturating_sub(wait.present), wait.expected - wait.present);
        if came * 2 < missing {
            self.at_once_next = (self.at_once_next * 2).clamp(AT_ONCE, AT_ONCE_MAX);
            self.at_once = self.at_once_next;
        } else {
            self.at_once_next = 0;
        }
        self.wait = None;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const FLIGHT: Duration = Duration::from_millis(2);

    async fn entry(returning: &mut Returning, commands: usize, waiting: usize) {
        returning.set_out(commands);
        advance(FLIGHT).await;
        returning.all_answered(waiting);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_were_answered_are_waited_for_as_long_as_their_entry_took() {
        let mut returning = Returning::default();
        assert_eq!(returning.waits_until(1), None, "nobody was answered yet");
        entry(&mut returning, 4, 4).await;
        assert_eq!(returning.waits_until(4), Some(Instant::now() + FLIGHT));
        advance(FLIGHT / 2).await;
        assert_eq!(returning.waits_until(7), Some(Instant::now() + FLIGHT / 2));
        assert_eq!(returning.waits_until(8), None, "all are there");
        entry(&mut returning, 8, 0).await;
        assert!(returning.waits_until(3).is_some());
        advance(FLIGHT).await;
        assert_eq!(returning.waits_until(5), None, "most came, the others have had their time");
        entry(&mut returning, 5, 0).await;
        assert!(returning.waits_until(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_caller_never_waits() {
        let mut returning = Returning::default();
        for _ in 0..100 {
            entry(&mut returning, 1, 0).await;
            assert_eq!(returning.waits_until(1), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_come_back_is_waited_for_less_and_less() {
        let mut returning = Returning::default();
        let mut waits = 0;
        for _ in 0..1_000 {
            entry(&mut returning, 3, 1).await;
            if returning.waits_until(1).is_some() {
                waits += 1;
                advance(FLIGHT).await;
                assert_eq!(returning.waits_until(1), None);
            }
        }
        assert_eq!(waits, 6, "after 16, 32, 64, 128, 256 and 512 entries at once");
        let mut until_all_come = 0;
        while returning.waits_until(1).is_none() {
            entry(&mut returning, 3, 1).await;
            until_all_come += 1;
        }
        assert!(until_all_come <= 1_024);
        assert_eq!(returning.waits_until(4), None);
        entry(&mut returning, 4, 0).await;
        assert!(returning.waits_until(1).is_some(), "they do come back now");
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_is_long_and_none_is_for_many() {
        let mut returning = Returning::default();
        returning.set_out(10_000);
        returning.set_out(10);
        advance(Duration::from_secs(3)).await;
        returning.all_answered(0);
        assert_eq!(returning.waits_until(1), Some(Instant::now() + WAIT_MAX));
        assert_eq!(returning.waits_until(EXPECTED_MAX), None);
    }
}
