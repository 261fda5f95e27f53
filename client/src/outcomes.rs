//! The one table of what can go wrong: for each code the gRPC status, the HTTP status, whether a retry makes sense, and
//! whether the try surely had no effect.
//!
//! It is data, in the order of the codes' numbers. The SDK judges answers by it and the node encodes refusals by it, so
//! the two can't disagree. What the columns mean is said in `docs/outcomes.md`.

use crate::wire::v1::Code;

/// What to do about a refusal or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// Sending it again changes nothing.
    Never,
    /// The same request with the same id, after the hint or a pause.
    SameId,
    /// Read again, decide again, and send a new request with a new id.
    NewIntent,
}

/// What one try did to the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Surely nothing.
    SurelyNone,
    /// It may have taken effect, or may yet.
    Unknown,
}

/// One code and what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The code on the wire.
    pub code: Code,
    /// Its name in texts, without the prefix of the enumeration.
    pub name: &'static str,
    /// Status of a unary gRPC call.
    pub grpc: tonic::Code,
    /// Status of an HTTP answer.
    pub http: u16,
    /// Whether and how to try again.
    pub retry: RetryClass,
    /// What the try did.
    pub effect: Effect,
}

const fn sure(code: Code, name: &'static str, grpc: tonic::Code, http: u16, retry: RetryClass) -> Row {
    Row { code, name, grpc, http, retry, effect: Effect::SurelyNone }
}

use RetryClass::{Never, NewIntent, SameId};
use tonic::Code as Grpc;

/// Every code, in the order of its number.
#[rustfmt::skip]
pub const TABLE: [Row; 26] = [
    sure(Code::InsufficientStock,    "INSUFFICIENT_STOCK",    Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::Contended,            "CONTENDED",             Grpc::Aborted,            409, SameId),
    sure(Code::LimitExceeded,        "LIMIT_EXCEEDED",        Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::SkuFrozen,            "SKU_FROZEN",            Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::SaleNotOpen,          "SALE_NOT_OPEN",         Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::SaleClosed,           "SALE_CLOSED",           Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::PolicyUnsatisfiable,  "POLICY_UNSATISFIABLE",  Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::ExtensionLimit,       "EXTENSION_LIMIT",       Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::ReservationState,     "RESERVATION_STATE",     Grpc::FailedPrecondition, 409, NewIntent),
    sure(Code::ReservationExpired,   "RESERVATION_EXPIRED",   Grpc::FailedPrecondition, 410, NewIntent),
    sure(Code::VersionStale,         "VERSION_STALE",         Grpc::Aborted,            412, NewIntent),
    sure(Code::NotFound,             "NOT_FOUND",             Grpc::NotFound,           404, Never),
    sure(Code::InvalidArgument,      "INVALID_ARGUMENT",      Grpc::InvalidArgument,    400, Never),
    sure(Code::IdempotencyConflict,  "IDEMPOTENCY_CONFLICT",  Grpc::InvalidArgument,    422, Never),
    sure(Code::IdempotencyTooOld,    "IDEMPOTENCY_TOO_OLD",   Grpc::InvalidArgument,    422, Never),
    sure(Code::Unauthenticated,      "UNAUTHENTICATED",       Grpc::Unauthenticated,    401, Never),
    sure(Code::PermissionDenied,     "PERMISSION_DENIED",     Grpc::PermissionDenied,   403, Never),
    sure(Code::RateLimited,          "RATE_LIMITED",          Grpc::ResourceExhausted,  429, SameId),
    sure(Code::Overloaded,           "OVERLOADED",            Grpc::ResourceExhausted,  503, SameId),
    sure(Code::NotLeader,            "NOT_LEADER",            Grpc::Unavailable,        421, SameId),
    sure(Code::WrongShard,           "WRONG_SHARD",           Grpc::Unavailable,        421, SameId),
    sure(Code::NoQuorum,             "NO_QUORUM",             Grpc::Unavailable,        503, SameId),
    sure(Code::StoreDamaged,         "STORE_DAMAGED",         Grpc::Unavailable,        503, SameId),
    sure(Code::Late,                 "LATE",                  Grpc::DeadlineExceeded,   504, NewIntent),
    Row { code: Code::OutcomeUnknown, name: "OUTCOME_UNKNOWN", grpc: Grpc::DeadlineExceeded, http: 504, retry: SameId,
          effect: Effect::Unknown },
    sure(Code::PositionExpired,      "POSITION_EXPIRED",      Grpc::OutOfRange,         410, NewIntent),
];

// `row` finds a code by its number, so the table must have no gap and no swap.
const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].code as usize == index + 1);
        index += 1;
    }
};

/// The row of a code. A code that is not set says nothing, so it has the row of `OUTCOME_UNKNOWN`.
pub const fn row(code: Code) -> &'static Row {
    match code {
        Code::Unspecified => &TABLE[Code::OutcomeUnknown as usize - 1],
        known => &TABLE[known as usize - 1],
    }
}

/// The code of a number on the wire. A number that this build does not know, for instance from a newer node, says
/// nothing about the effect: `OUTCOME_UNKNOWN`.
pub fn code_of(number: i32) -> Code {
    match Code::try_from(number) {
        Ok(Code::Unspecified) | Err(_) => Code::OutcomeUnknown,
        Ok(known) => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Section 10 of the semantics, written down a second time: code, gRPC, HTTP, retry, effect.
    const EXPECTED: &str = "
        INSUFFICIENT_STOCK FailedPrecondition 409 NewIntent SurelyNone
        CONTENDED Aborted 409 SameId SurelyNone
        LIMIT_EXCEEDED FailedPrecondition 409 NewIntent SurelyNone
        SKU_FROZEN FailedPrecondition 409 NewIntent SurelyNone
        SALE_NOT_OPEN FailedPrecondition 409 NewIntent SurelyNone
        SALE_CLOSED FailedPrecondition 409 NewIntent SurelyNone
        POLICY_UNSATISFIABLE FailedPrecondition 409 NewIntent SurelyNone
        EXTENSION_LIMIT FailedPrecondition 409 NewIntent SurelyNone
        RESERVATION_STATE FailedPrecondition 409 NewIntent SurelyNone
        RESERVATION_EXPIRED FailedPrecondition 410 NewIntent SurelyNone
        VERSION_STALE Aborted 412 NewIntent SurelyNone
        NOT_FOUND NotFound 404 Never SurelyNone
        INVALID_ARGUMENT InvalidArgument 400 Never SurelyNone
        IDEMPOTENCY_CONFLICT InvalidArgument 422 Never SurelyNone
        IDEMPOTENCY_TOO_OLD InvalidArgument 422 Never SurelyNone
        UNAUTHENTICATED Unauthenticated 401 Never SurelyNone
        PERMISSION_DENIED PermissionDenied 403 Never SurelyNone
        RATE_LIMITED ResourceExhausted 429 SameId SurelyNone
        OVERLOADED ResourceExhausted 503 SameId SurelyNone
        NOT_LEADER Unavailable 421 SameId SurelyNone
        WRONG_SHARD Unavailable 421 SameId SurelyNone
        NO_QUORUM Unavailable 503 SameId SurelyNone
        STORE_DAMAGED Unavailable 503 SameId SurelyNone
        LATE DeadlineExceeded 504 NewIntent SurelyNone
        OUTCOME_UNKNOWN DeadlineExceeded 504 SameId Unknown
        POSITION_EXPIRED OutOfRange 410 NewIntent SurelyNone";

    #[test]
    fn every_row_is_as_the_semantics_say() {
        let expected: Vec<&str> = EXPECTED.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let actual: Vec<String> =
            TABLE.iter().map(|r| format!("{} {:?} {} {:?} {:?}", r.name, r.grpc, r.http, r.retry, r.effect)).collect();
        assert_eq!(expected, actual);
    }

    #[test]
    fn a_row_carries_the_name_of_its_code_and_is_found_by_it() {
        for entry in &TABLE {
            assert_eq!(entry.code.as_str_name(), format!("CODE_{}", entry.name));
            assert_eq!(row(entry.code).name, entry.name);
            assert_eq!(code_of(entry.code.into()), entry.code);
        }
    }

    #[test]
    fn every_code_of_the_contract_has_a_row() {
        let codes = (1..).map_while(|number| Code::try_from(number).ok()).count();
        assert_eq!(codes, TABLE.len());
    }

    #[test]
    fn what_is_not_known_is_unknown() {
        assert_eq!(code_of(0), Code::OutcomeUnknown);
        assert_eq!(code_of(9_999), Code::OutcomeUnknown);
        assert_eq!(row(Code::Unspecified).effect, Effect::Unknown);
    }
}
