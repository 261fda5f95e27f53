//! The frames of a session: byte for byte `SessionRequest` and `SessionResponse`, but with each operation and each result
//! left encoded.
//!
//! On the wire an embedded message and a field of bytes are the same. So callers encode and decode their own operations,
//! each in its own task, and what passes through the one actor of a session is a few words instead of a whole request.

use bytes::Bytes;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{GrpcMethod, IntoStreamingRequest, Status, Streaming};
use tonic_prost::ProstCodec;

/// `earmark.v1.SessionRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FrameOut {
    #[prost(message, repeated, tag = "1")]
    pub(crate) operations: Vec<Tagged>,
    #[prost(uint64, tag = "2")]
    pub(crate) session: u64,
}

/// `earmark.v1.SessionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FrameIn {
    #[prost(message, repeated, tag = "1")]
    pub(crate) results: Vec<Tagged>,
    #[prost(uint64, tag = "2")]
    pub(crate) server_time_ms: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) credit: u32,
    #[prost(uint64, tag = "4")]
    pub(crate) session: u64,
}

/// `earmark.v1.TaggedOperation` and `earmark.v1.TaggedResult`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Tagged {
    #[prost(uint64, tag = "1")]
    pub(crate) tag: u64,
    /// An `Operation` or an `OperationResult`.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) body: Bytes,
}

/// Opens a session stream, as the generated stub does.
pub(crate) async fn open(
    channel: Channel,
    frames_out: impl IntoStreamingRequest<Message = FrameOut>,
    answer_bytes_max: usize,
) -> Result<Streaming<FrameIn>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(answer_bytes_max);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::from_static("/earmark.v1.ReservationService/Session");
    let mut request = frames_out.into_streaming_request();
    request.extensions_mut().insert(GrpcMethod::new("earmark.v1.ReservationService", "Session"));
    let codec = ProstCodec::<FrameOut, FrameIn>::default();
    Ok(grpc.streaming(request, path, codec).await?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{self, operation, operation_result};
    use prost::Message;

    #[test]
    fn a_frame_out_is_a_session_request() {
        let body = operation::Body::GetStock(v1::GetStockRequest { sku: "lamp-01".to_owned(), ..Default::default() });
        let operation = v1::Operation { body: Some(body) };
        let ours = FrameOut {
            operations: (1..=300).map(|tag| Tagged { tag, body: operation.encode_to_vec().into() }).collect(),
            session: 7,
        };
        let operations = (1..=300).map(|tag| v1::TaggedOperation { tag, operation: Some(operation.clone()) }).collect();
        assert_eq!(ours.encode_to_vec(), v1::SessionRequest { operations, session: 7 }.encode_to_vec());
    }

    #[test]
    fn a_session_response_is_a_frame_in() {
        let body = operation_result::Body::Error(v1::Error { message: "why".to_owned(), ..Default::default() });
        let result = v1::OperationResult { body: Some(body) };
        let told = v1::SessionResponse {
            results: vec![v1::TaggedResult { tag: 9, result: Some(result.clone()) }],
            server_time_ms: 77,
            credit: 5,
            session: u64::MAX,
        };
        let ours = FrameIn::decode(told.encode_to_vec().as_slice()).expect("the same bytes");
        assert_eq!((ours.server_time_ms, ours.credit, ours.session, ours.results[0].tag), (77, 5, u64::MAX, 9));
        assert_eq!(v1::OperationResult::decode(ours.results[0].body.clone()), Ok(result));
    }
}
