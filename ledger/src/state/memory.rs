//! What is remembered of requests: outcomes that had an effect, and refusals.

use super::Mark;
use crate::{
    outcome::{Outcome, Refusal, Verdict},
    records::{REFUSED_OPERATION, REFUSED_RESERVE, REFUSED_WHOLE},
    types::{OperationId, ReservationId, TimeMs},
};

/// Whose refusal is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Intent {
    Reserve(ReservationId),
    Operation(OperationId),
    /// A commit or release of all that is held. Its id is remembered for this alone: that it was done, the reservation
    /// tells, so the same id may be that of another operation, which had an effect.
    Whole(OperationId),
}

impl Intent {
    /// Kind of its record, and the key within it.
    pub(crate) fn record(self) -> (u8, [u8; 16]) {
        match self {
            Self::Reserve(id) => (REFUSED_RESERVE, id.to_bytes()),
            Self::Operation(id) => (REFUSED_OPERATION, id.to_bytes()),
            Self::Whole(id) => (REFUSED_WHOLE, id.to_bytes()),
        }
    }
}

/// An operation that had an effect, with its answer as bytes: it is rarely asked for, and millions are kept.
pub(crate) struct Operation {
    pub(crate) fingerprint: u64,
    pub(crate) outcome: Box<[u8]>,
    pub(crate) mark: Mark,
}

/// A refusal that went through the log.
pub(crate) struct Refused {
    pub(crate) fingerprint: u64,
    pub(crate) outcome: Box<Outcome>,
    /// Which sending was refused.
    pub(crate) attempt: u32,
    /// No sending told this refusal can take effect later than this.
    pub(crate) until: TimeMs,
    pub(crate) mark: Mark,
}

impl Refused {
    /// Whether a later sending is judged anew.
    pub(crate) fn contended(&self) -> bool {
        matches!(self.outcome.verdict, Verdict::Refused(Refusal::Contended))
    }
}
