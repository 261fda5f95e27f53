//! A refusal or error as a gRPC status, and back.
//!
//! In batches and sessions an `earmark.v1.Error` stands in the answer itself. A unary call carries the same facts as a
//! status: `google.rpc` details that generic tools understand (ErrorInfo, BadRequest, RetryInfo) and the whole message
//! as one more detail. A status without that detail was made by something that is not our handler (the transport, a
//! proxy, an expired deadline), and then only what can't have reached a handler counts as "no effect".

use crate::outcomes::{code_of, row};
use crate::wire::v1;
use prost::Message;
use prost_types::Any;
use std::error::Error as _;
use tonic::Status;
use tonic_types::pb;

/// Domain of every `ErrorInfo` of ours; its reason is the name of the code.
pub const DOMAIN: &str = "earmark.v1";

const ERROR_TYPE: &str = "type.googleapis.com/earmark.v1.Error";

/// Details travel in the trailers, and common gRPC stacks refuse more than 8 KiB of them. Base64 adds a third.
const DETAIL_BYTES_MAX: usize = 5 * 1024;

/// The status of a unary call that ended so.
///
/// Very many bad fields or shortages do not fit into trailers; then the first of them are told, and the message says how
/// many there were.
pub fn to_status(error: &v1::Error) -> Status {
    let mut error = error.clone();
    shorten(&mut error);
    let row = row(code_of(error.code));
    let mut details = vec![any(
        "google.rpc.ErrorInfo",
        &pb::ErrorInfo { reason: row.name.to_owned(), domain: DOMAIN.to_owned(), ..Default::default() },
    )];
    if !error.fields.is_empty() {
        details.push(any("google.rpc.BadRequest", &bad_request(&error.fields)));
    }
    if error.retry_after_ms > 0 {
        details.push(any("google.rpc.RetryInfo", &pb::RetryInfo { retry_delay: Some(delay(error.retry_after_ms)) }));
    }
    details.push(Any { type_url: ERROR_TYPE.to_owned(), value: error.encode_to_vec() });
    let rich = pb::Status { code: row.grpc.into(), message: error.message.clone(), details };
    Status::with_details(row.grpc, error.message, rich.encode_to_vec().into())
}

/// The refusal or error inside a status that [`to_status`] made; none if something else made it.
pub fn from_status(status: &Status) -> Option<v1::Error> {
    let rich = pb::Status::decode(status.details()).ok()?;
    let detail = rich.details.iter().find(|detail| detail.type_url == ERROR_TYPE)?;
    v1::Error::decode(detail.value.as_slice()).ok()
}

/// What a caller may conclude from a status, whoever made it.
pub(crate) fn judge(status: &Status) -> v1::Error {
    if let Some(error) = from_status(status) {
        return error;
    }
    let code = match status.code() {
        tonic::Code::Unauthenticated => v1::Code::Unauthenticated,
        tonic::Code::PermissionDenied => v1::Code::PermissionDenied,
        tonic::Code::NotFound => v1::Code::NotFound,
        // A node that lacks the call, or an address that is not a node at all.
        tonic::Code::Unimplemented | tonic::Code::InvalidArgument => v1::Code::InvalidArgument,
        // Everything else may come after the handler ran: CANCELLED "Timeout expired" is tonic's expired deadline,
        // OUT_OF_RANGE an answer too large to decode, UNAVAILABLE a connection that broke meanwhile.
        _ => v1::Code::OutcomeUnknown,
    };
    let message = format!("the call ended with {:?}: {}", status.code(), status.message());
    v1::Error { code: code.into(), message, ..Default::default() }
}

/// Whether the connection was never made, so that no byte of the request left this process.
pub fn never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The innermost reason of a failed call: "Connection refused" says more than "transport error".
pub(crate) fn root_cause(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn bad_request(fields: &[v1::FieldViolation]) -> pb::BadRequest {
    let field_violations = fields
        .iter()
        .map(|violation| pb::bad_request::FieldViolation {
            field: violation.field.clone(),
            description: violation.description.clone(),
            ..Default::default()
        })
        .collect();
    pb::BadRequest { field_violations }
}

fn delay(ms: u32) -> prost_types::Duration {
    let nanos = i32::try_from(ms % 1_000 * 1_000_000).expect("below a second");
    prost_types::Duration { seconds: i64::from(ms / 1_000), nanos }
}

/// Fields are told twice (ours and BadRequest), so half of the room is for our message.
fn shorten(error: &mut v1::Error) {
    let (fields, shortages) = (error.fields.len(), error.shortages.len());
    truncate_text(&mut error.message, DETAIL_BYTES_MAX / 8);
    while error.encoded_len() > DETAIL_BYTES_MAX / 2 && error.fields.len() + error.shortages.len() > 1 {
        error.fields.truncate(error.fields.len().div_ceil(2));
        error.shortages.truncate(error.shortages.len().div_ceil(2));
    }
    for violation in &mut error.fields {
        truncate_text(&mut violation.description, DETAIL_BYTES_MAX / 8);
        truncate_text(&mut violation.field, DETAIL_BYTES_MAX / 8);
    }
    if error.fields.len() < fields {
        error.message.push_str(&format!(" (the first {} of {fields} bad fields)", error.fields.len()));
    }
    if error.shortages.len() < shortages {
        error.message.push_str(&format!(" (the first {} of {shortages} short lines)", error.shortages.len()));
    }
}

fn truncate_text(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let cut = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcomes::TABLE;
    use tonic_types::StatusExt;

    fn sample(code: v1::Code) -> v1::Error {
        v1::Error {
            code: code.into(),
            message: "why".to_owned(),
            fields: vec![v1::FieldViolation { field: "lines[0].sku".to_owned(), description: "is empty".to_owned() }],
            shortages: vec![v1::Shortage { line: 3, asked: 5, sellable: 2, earliest_ms: 1_700_000_000_000 }],
            retry_after_ms: 1_250,
            leader_endpoint: "node-2:7400".to_owned(),
            leader_node: 2,
            state: v1::ReservationState::Expired.into(),
            state_since_ms: 77,
            logged: true,
            refund: true,
        }
    }

    #[test]
    fn every_code_survives_the_way_through_a_status() {
        for row in &TABLE {
            let error = sample(row.code);
            let status = to_status(&error);
            assert_eq!(status.code(), row.grpc, "{}", row.name);
            assert_eq!(from_status(&status), Some(error), "{}", row.name);
            let info = status.get_details_error_info().expect(row.name);
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (row.name, DOMAIN));
        }
    }

    #[test]
    fn generic_tools_find_fields_and_the_hint() {
        let status = to_status(&sample(v1::Code::InvalidArgument));
        let fields = status.get_details_bad_request().expect("fields are told");
        assert_eq!(fields.field_violations[0].field, "lines[0].sku");
        let hint = status.get_details_retry_info().expect("a hint is told");
        assert_eq!(hint.retry_delay, Some(std::time::Duration::from_millis(1_250)));
    }

    #[test]
    fn a_thousand_bad_fields_still_fit_into_trailers() {
        let mut error = sample(v1::Code::InvalidArgument);
        error.fields = (0..1_000)
            .map(|line| v1::FieldViolation {
                field: format!("lines[{line}].quantity"),
                description: "must be 1 to 1,000,000,000".to_owned(),
            })
            .collect();
        let status = to_status(&error);
        assert!(status.details().len() <= DETAIL_BYTES_MAX + 1_024, "{} bytes", status.details().len());
        let told = from_status(&status).expect("our detail is there");
        assert_eq!(told.fields[0].field, "lines[0].quantity");
        assert!(told.message.contains("of 1000 bad fields"), "{}", told.message);
    }

    #[test]
    fn a_status_of_another_maker_is_sure_only_where_no_handler_ran() {
        for number in 1..=16 {
            let grpc = tonic::Code::from_i32(number);
            let code = code_of(judge(&Status::new(grpc, "from elsewhere")).code);
            let expected = match grpc {
                tonic::Code::Unauthenticated => v1::Code::Unauthenticated,
                tonic::Code::PermissionDenied => v1::Code::PermissionDenied,
                tonic::Code::NotFound => v1::Code::NotFound,
                tonic::Code::Unimplemented | tonic::Code::InvalidArgument => v1::Code::InvalidArgument,
                _ => v1::Code::OutcomeUnknown,
            };
            assert_eq!(code, expected, "{grpc:?}");
        }
    }

    #[test]
    fn an_expired_deadline_of_tonic_is_unknown() {
        let error = judge(&Status::cancelled("Timeout expired"));
        assert_eq!(code_of(error.code), v1::Code::OutcomeUnknown);
    }
}
