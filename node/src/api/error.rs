//! The one mapping from what went wrong inside to what a client is told.

use crate::{
    moment::writable,
    shard::{look_back::Unseen, proposer::Failure},
};
use earmark_client::wire::v1;
use earmark_ledger::{
    outcome::{LimitKind, Missing, Refusal, ReservationState, Shortage},
    types::TimeMs,
};
use std::{fmt::Write, time::Duration};

/// When a busy shard should be asked again.
const OVERLOADED_HINT_MS: u32 = 50;

/// When a shard without a leader should be asked again.
const ELECTION_HINT_MS: u32 = 100;

/// When a contended line should be asked again.
const CONTENDED_HINT_MS: u32 = 20;

/// A moment as people read it.
fn moment(time: TimeMs) -> String {
    match writable(time) {
        Some(moment) => humantime::format_rfc3339_millis(moment).to_string(),
        None => format!("{} ms after 1970", time.0),
    }
}

/// A code with a text, and nothing more to say.
pub fn refused(code: v1::Code, message: impl Into<String>) -> v1::Error {
    let retry_after_ms = match code {
        v1::Code::Overloaded => OVERLOADED_HINT_MS,
        v1::Code::NoQuorum | v1::Code::StoreDamaged | v1::Code::NotLeader => ELECTION_HINT_MS,
        _ => 0,
    };
    v1::Error { code: code.into(), message: message.into(), retry_after_ms, ..v1::Error::default() }
}

/// All bad fields at once.
pub fn invalid(fields: Vec<v1::FieldViolation>) -> v1::Error {
    let message = fields.iter().map(|bad| format!("{} {}", bad.field, bad.description)).collect::<Vec<_>>().join("; ");
    v1::Error { fields, ..refused(v1::Code::InvalidArgument, message) }
}

/// One bad field.
pub fn invalid_field(field: impl Into<String>, description: impl Into<String>) -> v1::Error {
    invalid(vec![v1::FieldViolation { field: field.into(), description: description.into() }])
}

/// NOT_LEADER with the hint.
pub fn not_leader(leader: Option<u32>, endpoint: Option<String>) -> v1::Error {
    let message = match (&leader, &endpoint) {
        (Some(node), Some(endpoint)) => format!("node {node} at {endpoint} leads this shard"),
        _ => "this shard has no leader at the moment".to_owned(),
    };
    let mut error = refused(v1::Code::NotLeader, message);
    if endpoint.is_some() {
        error.retry_after_ms = 0;
    }
    error.leader_node = leader.unwrap_or(0);
    error.leader_endpoint = endpoint.unwrap_or_default();
    error
}

/// A command that got no outcome.
pub fn failure(failure: &Failure) -> v1::Error {
    match failure {
        Failure::NotLeader(node) => not_leader(*node, None),
        Failure::Overloaded => refused(v1::Code::Overloaded, "more is asked of the shard than it can answer in time"),
        Failure::NoQuorum => refused(v1::Code::NoQuorum, "no majority of the shard could be reached in time"),
        Failure::Late => refused(v1::Code::Late, "not_after had passed before the command was proposed"),
        Failure::Damaged => refused(v1::Code::StoreDamaged, "this node's replica of the shard does not serve"),
        Failure::Unknown => refused(
            v1::Code::OutcomeUnknown,
            "the command was proposed, but its outcome is not known; send the same id again",
        ),
        Failure::Unseen(Unseen::Ahead(field)) => {
            invalid_field(*field, "is still to come: name a moment that is past, or none for now")
        }
        Failure::Unseen(Unseen::Unstocked(field)) => {
            invalid_field(*field, "lies before anything was known of this pool: count as of a later moment, or of now")
        }
        Failure::Unseen(Unseen::Gone) => refused(
            v1::Code::PositionExpired,
            "the journal of this shard does not reach back to that moment; count again, and name a later one or none",
        ),
        Failure::Unseen(Unseen::Counted) => refused(
            v1::Code::PositionExpired,
            "the pool was counted since that moment, and less was there than came in; count again, and name a later one",
        ),
        Failure::Unseen(Unseen::TooMuch) => refused(
            v1::Code::PositionExpired,
            "too much moved in this pool since that moment; count again, and name a later one or none",
        ),
    }
}

/// A refusal of the ledger.
pub fn refusal(refusal: &Refusal, logged: bool) -> v1::Error {
    let plain = |code, message: String| v1::Error { logged, ..refused(code, message) };
    match refusal {
        Refusal::IdempotencyConflict => {
            plain(v1::Code::IdempotencyConflict, "this id was used for another request".to_owned())
        }
        Refusal::IdempotencyTooOld => plain(
            v1::Code::IdempotencyTooOld,
            "this id is so old that its record may be forgotten; use a new one".to_owned(),
        ),
        Refusal::InvalidArgument(fields) => {
            let fields = fields
                .iter()
                .map(|bad| v1::FieldViolation { field: bad.field.clone(), description: bad.problem.clone() });
            v1::Error { logged, ..invalid(fields.collect()) }
        }
        Refusal::WrongShard => plain(v1::Code::WrongShard, "another shard owns this bucket".to_owned()),
        Refusal::Late => plain(v1::Code::Late, "it was decided after not_after, and had no effect".to_owned()),
        Refusal::NotFound(missing) => plain(v1::Code::NotFound, missing_text(missing)),
        Refusal::ReservationExpired { since } => v1::Error {
            state: v1::ReservationState::Expired.into(),
            state_since_ms: since.0,
            ..plain(v1::Code::ReservationExpired, "the hold is over".to_owned())
        },
        Refusal::ReservationState { state, since } => {
            let told = state_to_wire(*state);
            v1::Error {
                state: told.into(),
                state_since_ms: since.0,
                ..plain(v1::Code::ReservationState, format!("not possible: the reservation is {}", state_name(*state)))
            }
        }
        Refusal::ExtensionLimit { latest } => {
            plain(v1::Code::ExtensionLimit, format!("the hold can't live beyond {}", moment(*latest)))
        }
        Refusal::VersionStale { on_hand } => plain(v1::Code::VersionStale, format!("on hand is {on_hand} by now")),
        Refusal::SettingsStale { version } => {
            plain(v1::Code::VersionStale, format!("the settings have version {version} by now"))
        }
        Refusal::SkuFrozen { reason } => plain(v1::Code::SkuFrozen, format!("the SKU is frozen: {reason}")),
        Refusal::SaleNotOpen { opens } => plain(v1::Code::SaleNotOpen, format!("the sale opens at {}", moment(*opens))),
        Refusal::SaleClosed => plain(v1::Code::SaleClosed, "the sale is over".to_owned()),
        Refusal::LimitExceeded(exceeded) => {
            let (line, limit, used) = (exceeded.line, exceeded.limit, exceeded.used);
            let message = match exceeded.kind {
                LimitKind::Units => {
                    let window = humantime::format_duration(Duration::from_millis(exceeded.window.0));
                    format!(
                        "lines[{line}] asks for too much: an owner may hold and buy {limit} units in {window}, and has {used}"
                    )
                }
                LimitKind::Holds => {
                    format!("lines[{line}] is one too many: of the {limit} holds an owner may have {used} are there")
                }
                LimitKind::Counted => {
                    format!("lines[{line}]: {used} reservations of the owner are counted, no more can be")
                }
            };
            plain(v1::Code::LimitExceeded, message)
        }
        Refusal::PolicyUnsatisfiable => {
            plain(v1::Code::PolicyUnsatisfiable, "no allocation satisfies the SKU's policy".to_owned())
        }
        Refusal::InsufficientStock(shortages) => {
            let shortages: Vec<_> = shortages.iter().map(shortage).collect();
            let message = lacking(&shortages);
            v1::Error { shortages, ..plain(v1::Code::InsufficientStock, message) }
        }
        Refusal::Contended => v1::Error {
            retry_after_ms: CONTENDED_HINT_MS,
            ..plain(v1::Code::Contended, "units that are about to be free stand in the way; ask again".to_owned())
        },
    }
}

/// What a line lacks, as a message.
pub fn shortage(short: &Shortage) -> v1::Shortage {
    v1::Shortage {
        line: short.line,
        asked: units(short.asked),
        sellable: units(short.sellable),
        earliest_ms: short.earliest.map_or(0, |date| date.0),
    }
}

/// What lines lack, for people.
pub fn lacking(shortages: &[v1::Shortage]) -> String {
    /// About as long as what is said of one.
    const ONE: usize = 48;
    let mut told = String::with_capacity(ONE * shortages.len());
    for short in shortages {
        let between = if told.is_empty() { "" } else { "; " };
        // Into a string nothing fails.
        let _ = write!(told, "{between}lines[{}]: {} asked, {} to be had", short.line, short.asked, short.sellable);
    }
    told
}

fn missing_text(missing: &Missing) -> String {
    match missing {
        Missing::Sku(sku) => format!("SKU `{sku}` was never received"),
        Missing::Pool(pool) => format!("SKU `{}` was never stocked at `{}`", pool.sku, pool.location),
        Missing::Reservation(id) => format!("there is no reservation {id}"),
        Missing::Transfer(id) => format!("no transfer {id} is under way"),
        Missing::Line(pool) => format!("the reservation has no line of SKU `{}` at `{}`", pool.sku, pool.location),
    }
}

/// A quantity on the wire. At most 2^53, so it fits.
pub fn units(quantity: earmark_ledger::types::Quantity) -> i64 {
    i64::try_from(quantity.units()).unwrap_or(i64::MAX)
}

/// A state on the wire; tags are the same numbers.
pub fn state_to_wire(state: ReservationState) -> v1::ReservationState {
    match state {
        ReservationState::Open => v1::ReservationState::Open,
        ReservationState::Rejected => v1::ReservationState::Rejected,
        ReservationState::Held => v1::ReservationState::Held,
        ReservationState::PartlyCommitted => v1::ReservationState::PartlyCommitted,
        ReservationState::Committed => v1::ReservationState::Committed,
        ReservationState::Released => v1::ReservationState::Released,
        ReservationState::Expired => v1::ReservationState::Expired,
    }
}

fn state_name(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Open => "open",
        ReservationState::Rejected => "rejected",
        ReservationState::Held => "held",
        ReservationState::PartlyCommitted => "partly committed",
        ReservationState::Committed => "committed",
        ReservationState::Released => "released",
        ReservationState::Expired => "expired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_can_be_told() {
        assert_eq!(moment(TimeMs(1_795_862_850_080)), "2026-11-28T10:47:30.080Z");
        assert_eq!(moment(TimeMs(253_402_300_799_999)), "9999-12-31T23:59:59.999Z");
        assert_eq!(moment(TimeMs(u64::MAX)), "18446744073709551615 ms after 1970");
    }
}
