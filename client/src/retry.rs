//! When an operation is tried again, and what may be said of it at the end.
//!
//! Pure bookkeeping of one operation over all its tries: no clock, no network. Whoever sends (session or batch) reports
//! how each try ended and is told what to do next. The id stays the same over all tries.

use crate::error::{Error, Subject};
use crate::outcomes::{RetryClass, code_of, row};
use crate::wire::v1::{self, Code};
use earmark_ledger::planted::{self, Bug};
use std::time::Duration;

/// A contended operation is tried this often at most; by then something other than bad luck is in the way.
const CONTENDED_TRIES_MAX: u32 = 20;

/// This many redirects in a row are followed at once. More means that the nodes are of two minds; then with a pause.
const REDIRECTS_AT_ONCE: u32 = 2;

/// Pauses are drawn from 0 to a ceiling that doubles from the first to the second of these.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_CEILING: Duration = Duration::from_secs(1);

/// How one try ended, if not well.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TryEnd {
    /// A node answered with a refusal or an error.
    Answered(Box<v1::Error>),
    /// It surely never left this process.
    Unsent(String),
    /// The same, because more is asked of the node than it answers.
    Crowded(String),
    /// It was sent, and there is no answer: the stream broke, or time was up.
    Lost(String),
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// It is over.
    Stop(Error),
    /// Send the same id again.
    Again(Again),
}

/// How to send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    /// Not before this time is over.
    pub(crate) after: Duration,
    /// To this node, because another one said so.
    pub(crate) to: Option<String>,
    /// The map of the cluster may be out of date.
    pub(crate) refresh: bool,
    /// What the retry budget has to say to it.
    pub(crate) budget: BudgetRule,
}

/// A retry loads the servers with work they did not ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BudgetRule {
    /// Not this one: whoever answered asked for it.
    Free,
    /// The budget has to allow it, and is waited for.
    Waits,
    /// If the budget does not allow it now, it is over. Where too much is asked already, those who wait to ask again are only
    /// more to come, and callers can do better than to wait.
    Ends,
}

/// One operation over all its tries.
#[derive(Debug)]
pub(crate) struct Progress {
    /// What it goes by.
    subject: Option<Subject>,
    /// It changes the books. A read never has an effect, so it is never unknown.
    effectful: bool,
    /// The id was made here for this operation.
    made_here: bool,
    /// Sent so often.
    sent: u32,
    /// A try was sent and never answered.
    doubt: bool,
    contended: u32,
    redirects: u32,
    /// Tries in a row that ended with a pause.
    pauses: u32,
    /// How the last try ended.
    last: Option<Box<v1::Error>>,
}

impl Progress {
    pub(crate) fn new(subject: Option<Subject>, effectful: bool, made_here: bool) -> Self {
        Self { subject, effectful, made_here, sent: 0, doubt: false, contended: 0, redirects: 0, pauses: 0, last: None }
    }

    /// The number of the coming try, from 1.
    pub(crate) fn next_try(&self) -> u32 {
        self.sent + 1
    }

    /// Whether the coming try is the very first sending of an id made here, so that a refusal need not be remembered.
    pub(crate) fn is_fresh(&self) -> bool {
        self.made_here && (self.sent == 0 || planted::on(Bug::FreshKept))
    }

    /// A try ended without success. `random` draws 64 fresh bits.
    pub(crate) fn ended(&mut self, end: TryEnd, random: impl FnOnce() -> u64) -> Next {
        let answer = match end {
            TryEnd::Unsent(why) => return self.unsent(Code::NoQuorum, why, random),
            TryEnd::Crowded(why) => return self.unsent(Code::Overloaded, why, random),
            TryEnd::Lost(message) if planted::on(Bug::LostTryAsRefusal) => {
                Box::new(v1::Error { code: Code::NoQuorum.into(), message, ..Default::default() })
            }
            TryEnd::Lost(why) => Box::new(unknown(why)),
            TryEnd::Answered(answer) => answer,
        };
        self.sent += 1;
        let code = code_of(answer.code);
        let class = row(code).retry;
        if code == Code::OutcomeUnknown && self.effectful {
            self.doubt = true;
        }
        if code == Code::Contended {
            self.contended += 1;
        }
        let spent = class != RetryClass::SameId || self.contended >= CONTENDED_TRIES_MAX;
        let hint = Duration::from_millis(answer.retry_after_ms.into());
        let to = (!answer.leader_endpoint.is_empty()).then(|| answer.leader_endpoint.clone());
        self.last = Some(answer);
        if spent {
            return Next::Stop(self.concluded());
        }
        if matches!(code, Code::NotLeader | Code::WrongShard) {
            return Next::Again(self.redirected(to, hint, random));
        }
        self.redirects = 0;
        Next::Again(Again {
            after: hint + self.pause(random),
            to: None,
            refresh: matches!(code, Code::NoQuorum | Code::OutcomeUnknown | Code::StoreDamaged),
            budget: self.budget_rule(code),
        })
    }

    /// There is no other try: no time for it, or no budget.
    pub(crate) fn out_of_time(mut self) -> Error {
        self.concluded()
    }

    /// Nothing was sent; `code` says why, as a node would.
    fn unsent(&mut self, code: Code, why: String, random: impl FnOnce() -> u64) -> Next {
        self.last = Some(Box::new(v1::Error { code: code.into(), message: why, ..Default::default() }));
        let refresh = code == Code::NoQuorum;
        Next::Again(Again { after: self.pause(random), to: None, refresh, budget: self.budget_rule(code) })
    }

    fn budget_rule(&self, code: Code) -> BudgetRule {
        match code {
            Code::Contended => BudgetRule::Free,
            // An earlier try may have been done: another answer can say so, and to end now would leave it unknown.
            Code::Overloaded | Code::RateLimited if !self.doubt => BudgetRule::Ends,
            _ => BudgetRule::Waits,
        }
    }

    fn redirected(&mut self, to: Option<String>, hint: Duration, random: impl FnOnce() -> u64) -> Again {
        self.redirects += 1;
        if to.is_some() && self.redirects <= REDIRECTS_AT_ONCE {
            return Again { after: Duration::ZERO, to, refresh: true, budget: BudgetRule::Free };
        }
        Again { after: hint + self.pause(random), to, refresh: true, budget: BudgetRule::Waits }
    }

    /// Full jitter: anything from nothing to a ceiling that doubles, so that those who failed together don't return
    /// together.
    fn pause(&mut self, random: impl FnOnce() -> u64) -> Duration {
        let ceiling = PAUSE_FIRST.saturating_mul(1 << self.pauses.min(16)).min(PAUSE_CEILING);
        self.pauses += 1;
        let ceiling_us = u64::try_from(ceiling.as_micros()).expect("at most a second");
        Duration::from_micros(random() % (ceiling_us + 1))
    }

    fn concluded(&mut self) -> Error {
        let last = self.last.take().map_or_else(never_sent, |last| *last);
        if !self.effectful && code_of(last.code) == Code::OutcomeUnknown {
            // A read has nothing to be unknown about: it came to no answer in time.
            let late = v1::Error { code: Code::Late.into(), ..last };
            return Error::concluded(late, false, self.sent, self.subject);
        }
        Error::concluded(last, self.doubt, self.sent, self.subject)
    }
}

fn never_sent() -> v1::Error {
    let message = "there was no time to send it".to_owned();
    v1::Error { code: Code::NoQuorum.into(), message, ..Default::default() }
}

fn unknown(why: String) -> v1::Error {
    v1::Error { code: Code::OutcomeUnknown.into(), message: why, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::{Effect, TABLE};

    fn reserve() -> Progress {
        Progress::new(None, true, true)
    }

    fn refused(code: Code) -> TryEnd {
        TryEnd::Answered(Box::new(v1::Error { code: code.into(), ..Default::default() }))
    }

    fn most() -> u64 {
        // The ceiling itself: u64::MAX modulo (ceiling + 1) would be arbitrary.
        PAUSE_FIRST.as_micros().try_into().expect("small")
    }

    #[test]
    fn each_code_is_retried_or_not_as_the_table_says() {
        for row in &TABLE {
            let next = reserve().ended(refused(row.code), || 0);
            let again = matches!(next, Next::Again(_));
            assert_eq!(again, row.retry == RetryClass::SameId, "{}", row.name);
        }
    }

    /// First a try without an answer, then each code, plain and through the log.
    #[test]
    fn after_a_lost_try_only_the_log_can_say_no_effect() {
        for row in &TABLE {
            for logged in [false, true] {
                let mut progress = reserve();
                assert!(matches!(progress.ended(TryEnd::Lost("broke".to_owned()), || 0), Next::Again(_)));
                let answer = v1::Error { code: row.code.into(), logged, ..Default::default() };
                let error = match progress.ended(TryEnd::Answered(Box::new(answer)), || 0) {
                    Next::Stop(error) => error,
                    Next::Again(_) => progress.out_of_time(),
                };
                let sure = logged && row.effect == Effect::SurelyNone;
                assert_eq!(error.surely_no_effect(), sure, "{} logged {logged}", row.name);
                assert_eq!(error.tries(), 2, "{}", row.name);
            }
        }
    }

    #[test]
    fn only_the_first_sending_of_an_id_made_here_is_fresh() {
        let mut progress = reserve();
        assert!(progress.is_fresh());
        let _ = progress.ended(TryEnd::Unsent("down".to_owned()), || 0);
        assert!(progress.is_fresh(), "it was not sent yet");
        assert_eq!(progress.next_try(), 1);
        let _ = progress.ended(refused(Code::Overloaded), || 0);
        assert!(!progress.is_fresh());
        assert_eq!(progress.next_try(), 2);
        assert!(!Progress::new(None, true, false).is_fresh(), "the caller's id may have been sent before");
    }

    #[test]
    fn redirects_are_followed_at_once_until_the_nodes_go_in_circles() {
        let mut progress = reserve();
        let redirect = || {
            TryEnd::Answered(Box::new(v1::Error {
                code: Code::NotLeader.into(),
                leader_endpoint: "b:1".to_owned(),
                ..Default::default()
            }))
        };
        for _ in 0..REDIRECTS_AT_ONCE {
            let Next::Again(again) = progress.ended(redirect(), most) else { panic!("followed") };
            let to = Some("b:1".to_owned());
            assert_eq!(again, Again { after: Duration::ZERO, to, refresh: true, budget: BudgetRule::Free });
        }
        let Next::Again(again) = progress.ended(redirect(), most) else { panic!("followed") };
        assert_eq!((again.after, again.budget), (PAUSE_FIRST, BudgetRule::Waits));
    }

    #[test]
    fn contended_is_given_up_after_twenty_tries() {
        let mut progress = reserve();
        for _ in 1..CONTENDED_TRIES_MAX {
            assert!(matches!(progress.ended(refused(Code::Contended), || 0), Next::Again(_)));
        }
        let Next::Stop(error) = progress.ended(refused(Code::Contended), || 0) else { panic!("given up") };
        assert_eq!((error.code(), error.tries()), (Code::Contended, CONTENDED_TRIES_MAX));
        assert!(error.surely_no_effect());
    }

    #[test]
    fn a_hint_is_the_least_pause() {
        let hinted = v1::Error { code: Code::Overloaded.into(), retry_after_ms: 300, ..Default::default() };
        let Next::Again(again) = reserve().ended(TryEnd::Answered(Box::new(hinted)), most) else { panic!("again") };
        assert_eq!(again.after, Duration::from_millis(300) + PAUSE_FIRST);
    }

    #[test]
    fn pauses_double_up_to_their_ceiling() {
        let mut progress = reserve();
        let mut pauses = Vec::new();
        for step in 0..10 {
            let ceiling = PAUSE_FIRST.saturating_mul(1 << step).min(PAUSE_CEILING);
            let draw = u64::try_from(ceiling.as_micros()).expect("small");
            let Next::Again(again) = progress.ended(refused(Code::NoQuorum), || draw) else { panic!("again") };
            pauses.push(again.after.as_millis());
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn a_read_is_never_unknown() {
        let mut read = Progress::new(None, false, false);
        let _ = read.ended(TryEnd::Lost("broke".to_owned()), || 0);
        let error = read.out_of_time();
        assert_eq!(error.code(), Code::Late);
        assert!(error.surely_no_effect());
    }

    #[test]
    fn what_was_turned_away_here_is_overloaded_and_ends_where_the_budget_does() {
        let mut progress = reserve();
        let Next::Again(again) = progress.ended(TryEnd::Crowded("a queue".to_owned()), most) else { panic!("again") };
        assert_eq!((again.after, again.budget, again.refresh), (PAUSE_FIRST, BudgetRule::Ends, false));
        assert!(progress.is_fresh(), "it was not sent");
        let error = progress.out_of_time();
        assert_eq!((error.code(), error.tries(), error.surely_no_effect()), (Code::Overloaded, 0, true));
        // A node that says so is believed as well.
        let Next::Again(again) = reserve().ended(refused(Code::Overloaded), most) else { panic!("again") };
        assert_eq!(again.budget, BudgetRule::Ends);
        // An earlier try without an answer stays in doubt.
        let mut progress = reserve();
        let _ = progress.ended(TryEnd::Lost("broke".to_owned()), most);
        let Next::Again(again) = progress.ended(TryEnd::Crowded("a queue".to_owned()), most) else { panic!("again") };
        assert_eq!(again.budget, BudgetRule::Waits, "to end now would leave it unknown");
        assert_eq!(progress.out_of_time().code(), Code::OutcomeUnknown);
    }

    #[test]
    fn what_was_never_sent_has_surely_no_effect() {
        let mut progress = reserve();
        let _ = progress.ended(TryEnd::Unsent("connection refused".to_owned()), || 0);
        let error = progress.out_of_time();
        assert_eq!((error.code(), error.tries()), (Code::NoQuorum, 0));
        assert!(error.surely_no_effect());
    }
}
