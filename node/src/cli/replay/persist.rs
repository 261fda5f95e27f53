//! Asks until there is an answer: an outcome that is unknown, or a cluster that is unavailable, is asked again with the
//! same id for a while before it is given up.

use crate::cli::Failure;
use earmark_client::{Code, Error, ReservationId, Retry};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longer than any fail-over, and than any `not_after`.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The least pause between two asks.
const PAUSE: Duration = Duration::from_millis(100);

/// How it ended.
#[derive(Debug)]
pub(super) enum End<T> {
    /// Done, now or by an earlier ask.
    Done(T),
    /// Surely not done, by the cluster's judgement.
    Refused,
    /// Nobody could tell in time.
    Unknown,
}

/// What one more ask may be good for.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is settled: not done.
    Refused,
    /// Ask again with the same id.
    Same,
    /// Nothing was done and this id is spent: ask again with a new one.
    Anew,
}

/// `doubt`: an earlier ask with this id ended unknown, and only the log can settle that.
fn judge(error: &Error, doubt: bool) -> Verdict {
    if error.is_unknown() || (doubt && !error.through_log()) {
        return Verdict::Same;
    }
    match error.retry() {
        // The SDK tried as often as is any good, and the ledger remembers the last try: a new id begins anew.
        Retry::SameIdAfter(_) if error.code() == Code::Contended => Verdict::Anew,
        Retry::SameIdAfter(_) => Verdict::Same,
        Retry::NewIntent if error.code() == Code::Late => Verdict::Anew,
        Retry::Never | Retry::NewIntent => Verdict::Refused,
    }
}

/// One operation that is asked for until it is settled: ask, hand in the answer, and ask again as long as there is no end.
#[derive(Debug)]
pub(super) struct Asking {
    give_up: Instant,
    id: Option<ReservationId>,
    doubt: bool,
}

impl Asking {
    pub(super) fn begin() -> Self {
        Self { give_up: Instant::now() + PATIENCE, id: None, doubt: false }
    }

    /// The id for the coming ask; none for a new intent. Operations on a reservation that exists have no use for it.
    pub(super) fn id(&self) -> Option<ReservationId> {
        self.id
    }

    /// What the ask came to. Without an end it has paused as long as it should before the next one.
    ///
    /// # Errors
    /// The cluster was unavailable all the time, so nothing was done and nothing more can be.
    pub(super) async fn told<T>(&mut self, answer: Result<T, Error>) -> Result<Option<End<T>>, Failure> {
        let error = match answer {
            Ok(done) => return Ok(Some(End::Done(done))),
            Err(error) => error,
        };
        let verdict = judge(&error, self.doubt);
        self.doubt = verdict == Verdict::Same && (self.doubt || error.is_unknown());
        self.id = if verdict == Verdict::Anew { None } else { error.reservation_id().or(self.id) };
        if verdict == Verdict::Refused {
            return Ok(Some(End::Refused));
        }
        if Instant::now() >= self.give_up {
            return match error.code() {
                _ if self.doubt => Ok(Some(End::Unknown)),
                Code::Contended => Ok(Some(End::Refused)),
                _ => Err(error.into()),
            };
        }
        sleep(error.retry_after().unwrap_or(PAUSE).max(PAUSE)).await;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_client::wire::v1;

    fn error(code: Code, logged: bool) -> Error {
        v1::Error { code: code.into(), logged, ..Default::default() }.into()
    }

    /// The end, and how often was asked until then.
    async fn play(errors: impl IntoIterator<Item = Error>) -> (Result<End<()>, Failure>, usize) {
        let mut asking = Asking::begin();
        let mut errors = errors.into_iter();
        for asked in 1.. {
            match asking.told(errors.next().map_or(Ok(()), Err)).await {
                Ok(None) => {}
                Ok(Some(end)) => return (Ok(end), asked),
                Err(failure) => return (Err(failure), asked),
            }
        }
        unreachable!("patience ends");
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_is_asked_again_until_it_is_told() {
        let (end, asked) = play([error(Code::OutcomeUnknown, false), error(Code::NoQuorum, false)]).await;
        assert!(matches!(end, Ok(End::Done(()))));
        assert_eq!(asked, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn after_unknown_a_refusal_counts_only_through_the_log() {
        let (end, asked) = play([
            error(Code::OutcomeUnknown, false),
            error(Code::InsufficientStock, false),
            error(Code::InsufficientStock, true),
        ])
        .await;
        assert!(matches!(end, Ok(End::Refused)));
        assert_eq!(asked, 3);
        let (end, asked) = play([error(Code::InsufficientStock, false)]).await;
        assert!(matches!(end, Ok(End::Refused)), "without a doubt it counts at once");
        assert_eq!(asked, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let start = Instant::now();
        let (end, _) = play((0..10_000).map(|_| error(Code::OutcomeUnknown, false))).await;
        assert!(matches!(end, Ok(End::Unknown)));
        assert!(start.elapsed() < PATIENCE * 2);
        let (end, _) = play((0..10_000).map(|_| error(Code::NoQuorum, false))).await;
        assert!(matches!(end, Err(Failure::Cluster { .. })), "surely not done, and no use in going on");
    }

    #[test]
    fn late_without_a_doubt_is_a_new_intent() {
        assert_eq!(judge(&error(Code::Late, true), false), Verdict::Anew);
        assert_eq!(judge(&error(Code::Late, false), true), Verdict::Same);
        assert_eq!(judge(&error(Code::Late, true), true), Verdict::Anew);
    }
}
