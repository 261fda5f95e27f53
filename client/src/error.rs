//! The SDK's one error type. It answers three questions by methods: is it worth a retry, did the operation surely have
//! no effect, is its result unknown.
//!
//! An error speaks of the whole operation, not of its last try: "surely no effect" is said only if every try was answered
//! so, or if the last answer came through the log and therefore speaks for the earlier tries of the same id too.

use crate::outcomes::{Effect, RetryClass, code_of, row};
use crate::wire::v1;
use earmark_ledger::outcome::ReservationState;
use earmark_ledger::planted::{self, Bug};
use earmark_ledger::types::{OperationId, ReservationId, TimeMs};
use std::{fmt, time::Duration};

pub use crate::wire::v1::{Code, FieldViolation, Shortage};

/// The pause before the same id is worth another try where the node gave no hint.
const PAUSE_DEFAULT: Duration = Duration::from_millis(100);

/// What to do after an error. The SDK has already tried again for as long as the operation's deadline allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Sending it again changes nothing.
    Never,
    /// The same request with the same id, after this time.
    SameIdAfter(Duration),
    /// Read again, decide again, and send a new request with a new id.
    NewIntent,
}

/// The id an operation goes by, so that its caller can ask again for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Of a reservation: reserve, commit, release, extend, read.
    Reservation(ReservationId),
    /// Of another mutation: receive, adjust.
    Operation(OperationId),
}

/// Why an operation was not done, or may not have been done.
#[derive(Clone, PartialEq)]
pub struct Error(Box<Facts>);

/// Boxed, because every `Result` would carry its size.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    code: Code,
    answer: v1::Error,
    tries: u32,
    subject: Option<Subject>,
}

impl Error {
    /// The end of an operation whose last answer was `answer`. With `doubt`, an earlier try was left without an answer.
    pub(crate) fn concluded(answer: v1::Error, doubt: bool, tries: u32, subject: Option<Subject>) -> Self {
        let told = code_of(answer.code);
        let believed =
            planted::on(Bug::DoubtForgotten) || (planted::on(Bug::FreshKept) && told == Code::InsufficientStock);
        let sure = row(told).effect == Effect::SurelyNone && (!doubt || answer.logged || believed);
        let code = if sure { told } else { Code::OutcomeUnknown };
        Self(Box::new(Facts { code, answer, tries, subject }))
    }

    /// An error made here, before anything was sent.
    pub(crate) fn local(code: Code, message: impl Into<String>) -> Self {
        let answer = v1::Error { code: code.into(), message: message.into(), ..Default::default() };
        Self(Box::new(Facts { code, answer, tries: 0, subject: None }))
    }

    /// Bad values found here, before anything was sent.
    pub(crate) fn invalid(fields: Vec<FieldViolation>) -> Self {
        let code = Code::InvalidArgument;
        let message =
            fields.iter().map(|bad| format!("{} {}", bad.field, bad.description)).collect::<Vec<_>>().join("; ");
        let answer = v1::Error { code: code.into(), message, fields, ..Default::default() };
        Self(Box::new(Facts { code, answer, tries: 0, subject: None }))
    }

    /// Done, but the node's answer lacks what the contract promises, so what was done can't be told.
    pub(crate) fn unreadable(what: &str, subject: Option<Subject>) -> Self {
        let message = format!("the node's answer can't be read: {what}");
        let answer = v1::Error { code: Code::OutcomeUnknown.into(), message, ..Default::default() };
        Self(Box::new(Facts { code: Code::OutcomeUnknown, answer, tries: 1, subject }))
    }

    /// Why, for programs.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The name of the code, for instance `INSUFFICIENT_STOCK`.
    pub fn name(&self) -> &'static str {
        row(self.0.code).name
    }

    /// Why, for people. Not to be matched on.
    pub fn message(&self) -> &str {
        &self.0.answer.message
    }

    /// Every bad field of the request, with [`Code::InvalidArgument`].
    pub fn fields(&self) -> &[FieldViolation] {
        &self.0.answer.fields
    }

    /// What each line lacked, with [`Code::InsufficientStock`].
    pub fn shortages(&self) -> &[Shortage] {
        &self.0.answer.shortages
    }

    /// The state the reservation is in and since when, with [`Code::ReservationState`] and
    /// [`Code::ReservationExpired`].
    pub fn state(&self) -> Option<(ReservationState, TimeMs)> {
        let state = crate::model::state_of(self.0.answer.state)?;
        Some((state, TimeMs(self.0.answer.state_since_ms)))
    }

    /// With [`Code::ReservationExpired`], if the commit asked for it by
    /// [`refund_hint`](crate::request::Commit::refund_hint): the shopper has paid for units that can't be had any more, so
    /// the money has to be paid back.
    pub fn is_refund(&self) -> bool {
        self.0.answer.refund && self.0.code == Code::ReservationExpired
    }

    /// What the last try was told, where this error says OUTCOME_UNKNOWN because of an earlier one.
    pub fn last_told(&self) -> Code {
        code_of(self.0.answer.code)
    }

    /// How often the operation was sent. 0 if it never left this process.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    /// The id the operation went by. With it the operation can be asked for again without being done twice.
    pub fn subject(&self) -> Option<Subject> {
        self.0.subject
    }

    /// The id of the reservation, if the operation was about one.
    pub fn reservation_id(&self) -> Option<ReservationId> {
        match self.0.subject {
            Some(Subject::Reservation(id)) => Some(id),
            _ => None,
        }
    }

    /// Whether and how to go on.
    pub fn retry(&self) -> Retry {
        match row(self.0.code).retry {
            RetryClass::Never => Retry::Never,
            RetryClass::NewIntent => Retry::NewIntent,
            RetryClass::SameId => Retry::SameIdAfter(self.hint().unwrap_or(PAUSE_DEFAULT)),
        }
    }

    /// Whether the same request with the same id may end otherwise.
    pub fn is_retryable(&self) -> bool {
        matches!(self.retry(), Retry::SameIdAfter(_))
    }

    /// Whether the operation surely did nothing, and never will.
    pub fn surely_no_effect(&self) -> bool {
        row(self.0.code).effect == Effect::SurelyNone
    }

    /// Whether nobody can tell yet if the operation was done. Asking again with the same id tells.
    pub fn is_unknown(&self) -> bool {
        !self.surely_no_effect()
    }

    /// Whether the answer came through the log. Then it speaks for every earlier sending of the same id too, also for
    /// those of an operation that ended unknown.
    pub fn through_log(&self) -> bool {
        self.0.answer.logged
    }

    /// When a node said the same id is worth another try, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.hint()
    }

    fn hint(&self) -> Option<Duration> {
        let ms = self.0.answer.retry_after_ms;
        (ms > 0).then(|| Duration::from_millis(ms.into()))
    }
}

impl From<v1::Error> for Error {
    /// The answer to one single try, for those who speak to a node without the SDK.
    fn from(answer: v1::Error) -> Self {
        Self::concluded(answer, false, 1, None)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let told = self.last_told();
        if told != self.0.code {
            write!(f, " (the last answer was {})", row(told).name)?;
        }
        if !self.message().is_empty() {
            write!(f, ": {}", self.message())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self}, tries {}, subject {:?})", self.0.tries, self.0.subject)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::TABLE;

    fn answer(code: Code, logged: bool) -> v1::Error {
        v1::Error { code: code.into(), logged, ..Default::default() }
    }

    /// For each code: alone, after a try without an answer, and the same but answered through the log.
    #[test]
    fn no_effect_is_said_only_if_every_try_was_sure_or_the_log_said_it() {
        for row in &TABLE {
            let sure = row.effect == Effect::SurelyNone;
            for (doubt, logged, expected) in
                [(false, false, sure), (false, true, sure), (true, false, false), (true, true, sure)]
            {
                let error = Error::concluded(answer(row.code, logged), doubt, 2, None);
                let case = format!("{} doubt {doubt} logged {logged}", row.name);
                assert_eq!(error.surely_no_effect(), expected, "{case}");
                assert_eq!(error.is_unknown(), !expected, "{case}");
                assert_eq!(error.code(), if expected { row.code } else { Code::OutcomeUnknown }, "{case}");
                assert_eq!(error.last_told(), row.code, "{case}");
            }
        }
    }

    #[test]
    fn each_code_has_its_retry_class() {
        for row in &TABLE {
            let error = Error::concluded(answer(row.code, false), false, 1, None);
            let expected = match row.retry {
                RetryClass::Never => Retry::Never,
                RetryClass::NewIntent => Retry::NewIntent,
                RetryClass::SameId => Retry::SameIdAfter(PAUSE_DEFAULT),
            };
            assert_eq!(error.retry(), expected, "{}", row.name);
            assert_eq!(error.is_retryable(), row.retry == RetryClass::SameId, "{}", row.name);
        }
    }

    #[test]
    fn a_hint_is_told() {
        let hinted = v1::Error { retry_after_ms: 30, ..answer(Code::Overloaded, false) };
        let error = Error::concluded(hinted, false, 1, None);
        assert_eq!(error.retry(), Retry::SameIdAfter(Duration::from_millis(30)));
    }

    #[test]
    fn the_text_tells_what_the_last_answer_was() {
        let error = Error::concluded(answer(Code::NoQuorum, false), true, 2, None);
        assert_eq!(error.to_string(), "OUTCOME_UNKNOWN (the last answer was NO_QUORUM)");
    }
}
