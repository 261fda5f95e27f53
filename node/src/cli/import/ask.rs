//! Asks the cluster for many operations until each has its end, as long as patience lasts.
//!
//! An outcome that is unknown, and a cluster that is not available, are asked again with the same id. What may have been
//! sent before, in this run or an earlier one, is in doubt: then only the log can say that it was not done.

use crate::cli::Failure;
use earmark_client::{Answer, Client, Code, Error, Operation, Retry};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The least pause between two asks, and the most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How one operation ended.
#[derive(Debug)]
pub(super) enum Told {
    Done(Box<Answer>),
    /// Surely not done, by the cluster's judgement.
    Refused(Error),
    /// Surely not done: nobody judged it in time.
    Unavailable(Error),
    /// Nobody could tell in time; asking again may.
    Unknown(Error),
    /// Nobody can tell any more: its id is too old.
    Forgotten(Error),
}

/// How long to ask, and who may end it earlier.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) length: Duration,
    /// Turns true when the import is to stop.
    pub(super) stop: watch::Receiver<bool>,
}

impl Patience {
    pub(super) fn is_over(&self) -> bool {
        *self.stop.borrow()
    }

    /// False if there is no use in waiting.
    async fn pause(&mut self, until: Instant) -> bool {
        if self.is_over() {
            return false;
        }
        tokio::select! {
            () = sleep_until(until) => true,
            // Without a sender nobody stops it any more.
            Ok(_) = self.stop.wait_for(|stop| *stop) => false,
            else => true,
        }
    }
}

/// What another ask is good for.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Again,
    Refused,
    Forgotten,
}

fn judge(error: &Error, doubt: bool) -> Judged {
    match error.code() {
        _ if error.is_unknown() => Judged::Again,
        Code::IdempotencyTooOld if doubt => Judged::Forgotten,
        // What is wrong with the values is wrong at every sending.
        Code::InvalidArgument => Judged::Refused,
        _ if doubt && !error.through_log() => Judged::Again,
        Code::Contended => Judged::Refused,
        // Not remembered under the id, so the same may be sent again.
        Code::Late => Judged::Again,
        _ => match error.retry() {
            Retry::SameIdAfter(_) => Judged::Again,
            Retry::Never | Retry::NewIntent => Judged::Refused,
        },
    }
}

/// One operation that has no end yet.
struct Open {
    place: usize,
    operation: Operation,
    doubt: bool,
    last: Option<Error>,
}

/// Asks for all of them. `doubt`: they may have been sent by an earlier run.
///
/// # Errors
/// Something that is no answer to what was asked.
pub(super) async fn settle(
    client: &Client,
    operations: Vec<Result<Operation, Error>>,
    doubt: bool,
    mut patience: Patience,
) -> Result<Vec<Told>, Failure> {
    let mut told: Vec<Option<Told>> = Vec::new();
    let mut open = Vec::new();
    for (place, operation) in operations.into_iter().enumerate() {
        match operation {
            Ok(operation) => {
                told.push(None);
                open.push(Open { place, operation, doubt, last: None });
            }
            Err(error) => told.push(Some(Told::Refused(error))),
        }
    }
    let give_up = Instant::now() + patience.length;
    let mut pause = PAUSE;
    while !open.is_empty() {
        let answers = client.batch(open.iter().map(|one| one.operation.clone())).await;
        let mut left = Vec::new();
        let mut hint = Duration::ZERO;
        for (mut one, answer) in open.into_iter().zip(answers) {
            let error = match answer {
                Ok(answer) => {
                    told[one.place] = Some(Told::Done(Box::new(answer)));
                    continue;
                }
                Err(error) => error,
            };
            match judge(&error, one.doubt) {
                Judged::Refused => told[one.place] = Some(Told::Refused(error)),
                Judged::Forgotten => told[one.place] = Some(Told::Forgotten(error)),
                Judged::Again => {
                    one.doubt |= error.is_unknown();
                    hint = hint.max(error.retry_after().unwrap_or_default());
                    one.last = Some(error);
                    left.push(one);
                }
            }
        }
        open = left;
        if open.is_empty() {
            break;
        }
        let next = Instant::now() + hint.max(pause).min(PAUSE_MAX);
        pause = (pause * 2).min(PAUSE_MAX);
        if next > give_up || !patience.pause(next).await {
            break;
        }
    }
    for one in open {
        let error = one.last.ok_or_else(|| Failure::local("an operation was left without an answer"))?;
        told[one.place] = Some(if one.doubt { Told::Unknown(error) } else { Told::Unavailable(error) });
    }
    told.into_iter().collect::<Option<_>>().ok_or_else(|| Failure::local("an operation was left without an end"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use earmark_client::wire::v1;

    fn error(code: Code, logged: bool) -> Error {
        v1::Error { code: code.into(), logged, ..Default::default() }.into()
    }

    #[test]
    fn a_refusal_counts_once_nothing_is_in_doubt() {
        for (code, logged, doubt, expected) in [
            (Code::VersionStale, true, false, Judged::Refused),
            (Code::VersionStale, false, false, Judged::Refused),
            (Code::VersionStale, false, true, Judged::Again),
            (Code::VersionStale, true, true, Judged::Refused),
            (Code::InvalidArgument, false, true, Judged::Refused),
            (Code::IdempotencyTooOld, true, false, Judged::Refused),
            (Code::IdempotencyTooOld, true, true, Judged::Forgotten),
            (Code::OutcomeUnknown, false, false, Judged::Again),
            (Code::Late, true, false, Judged::Again),
            (Code::Overloaded, false, false, Judged::Again),
            (Code::NoQuorum, false, true, Judged::Again),
            (Code::NotFound, true, true, Judged::Refused),
            (Code::PermissionDenied, false, false, Judged::Refused),
        ] {
            assert_eq!(judge(&error(code, logged), doubt), expected, "{code:?} logged {logged} doubt {doubt}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_waiting() {
        let (stopper, stop) = watch::channel(false);
        let mut patience = Patience { length: Duration::from_secs(60), stop };
        let begun = Instant::now();
        assert!(patience.pause(begun + Duration::from_secs(1)).await);
        let (waited, ()) = tokio::join!(patience.pause(begun + Duration::from_secs(30)), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stopper.send(true).expect("someone listens");
        });
        assert!(!waited && begun.elapsed() < Duration::from_secs(5));
        assert!(!patience.pause(begun + Duration::from_secs(60)).await, "and every other");
    }
}
