//! The public contract as Rust types: messages, client stubs and server stubs, generated from `proto/`.
//!
//! The documentation of every message and field stands in the proto files, which other languages generate from too.
//! The SDK around it (`Client`) is what most programs want; these types are for those who speak to
//! a node directly, and for the node itself.

use crate::outcomes::{RetryClass, code_of, row};
use bytes::Bytes;
use prost::{
    DecodeError, Message,
    encoding::{decode_key, decode_varint},
};

/// Every file of the contract as an encoded `google.protobuf.FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/earmark.v1.descriptors.bin"));

/// Package `earmark.v1`.
// Generated code: its documentation is the comments of the proto files, and its style is the generator's.
#[allow(missing_docs, unused_qualifications, clippy::all, rustdoc::all)]
pub mod v1 {
    tonic::include_proto!("earmark.v1");
}

/// `TaggedOperation` and `TaggedResult`, byte for byte, but with the operation or its result left encoded.
///
/// On the wire an embedded message and a field of bytes are the same. So each is encoded and decoded by whoever asks or
/// answers, in its own task, and what passes through the one who keeps a session is a few words instead of a whole request.
/// Of a field that is written twice, which no encoder does, the last counts; a message would be put together from both.
#[derive(Clone, PartialEq, Message)]
pub struct Tagged {
    /// The client's own, unique among those in flight.
    #[prost(uint64, tag = "1")]
    pub tag: u64,
    /// A [`v1::Operation`] or a [`v1::OperationResult`].
    #[prost(bytes = "bytes", tag = "2")]
    pub body: Bytes,
}

/// Whether an encoded [`v1::OperationResult`] says that the server did not come to what was asked: too much was asked, it was too
/// late, nobody led. It is not decoded for that; what is written otherwise than this build's encoder does is taken not to.
pub(crate) fn is_turned_away(mut result: &[u8]) -> bool {
    /// `OperationResult.error`.
    const ERROR: u32 = 15;
    /// `Error.code`.
    const CODE: u32 = 1;
    let key = |bytes: &mut &[u8]| decode_key(bytes).map_or(0, |(tag, _)| tag);
    key(&mut result) == ERROR
        && decode_varint(&mut result).is_ok()
        && key(&mut result) == CODE
        && decode_varint(&mut result).is_ok_and(|code| {
            let code = code_of(i32::try_from(code).unwrap_or_default());
            code == v1::Code::Late || (code != v1::Code::Contended && row(code).retry == RetryClass::SameId)
        })
}

impl Tagged {
    /// An operation under its tag.
    pub fn operation(tag: u64, operation: &v1::Operation) -> Self {
        Self { tag, body: operation.encode_to_vec().into() }
    }

    /// What came of the operation with that tag.
    pub fn result(tag: u64, result: &v1::OperationResult) -> Self {
        Self { tag, body: result.encode_to_vec().into() }
    }

    /// The operation.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none.
    pub fn to_operation(&self) -> Result<v1::Operation, DecodeError> {
        v1::Operation::decode(self.body.clone())
    }

    /// The result.
    ///
    /// # Errors
    /// [`DecodeError`] if it is none.
    pub fn to_result(&self) -> Result<v1::OperationResult, DecodeError> {
        v1::OperationResult::decode(self.body.clone())
    }
}

/// `BatchRequest`, byte for byte, but with the operations left encoded.
#[derive(Clone, PartialEq, Message)]
pub struct BatchRequest {
    /// Each a [`v1::Operation`].
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub operations: Vec<Bytes>,
}

impl<'a> FromIterator<&'a v1::Operation> for BatchRequest {
    fn from_iter<T: IntoIterator<Item = &'a v1::Operation>>(operations: T) -> Self {
        Self { operations: operations.into_iter().map(|operation| operation.encode_to_vec().into()).collect() }
    }
}

/// `BatchResponse`, byte for byte, but with the results left encoded.
#[derive(Clone, PartialEq, Message)]
pub struct BatchResponse {
    /// Each a [`v1::OperationResult`]; by position.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub results: Vec<Bytes>,
}

impl BatchResponse {
    /// The results.
    ///
    /// # Errors
    /// [`DecodeError`] if one is none.
    pub fn to_results(&self) -> Result<Vec<v1::OperationResult>, DecodeError> {
        self.results.iter().map(|result| v1::OperationResult::decode(result.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_turned_away_is_known_by_the_bytes_of_the_answer() {
        let error =
            |code: v1::Code| v1::Error { code: code.into(), message: "a text".to_owned(), ..Default::default() };
        let encoded = |body| v1::OperationResult { body: Some(body) }.encode_to_vec();
        let told = |code| is_turned_away(&encoded(v1::operation_result::Body::Error(error(code))));
        for code in
            [v1::Code::Overloaded, v1::Code::RateLimited, v1::Code::Late, v1::Code::NoQuorum, v1::Code::NotLeader]
        {
            assert!(told(code), "{code:?}");
        }
        for code in [v1::Code::InsufficientStock, v1::Code::Contended, v1::Code::NotFound, v1::Code::InvalidArgument] {
            assert!(!told(code), "the server did what there was to do: {code:?}");
        }
        assert!(!is_turned_away(&encoded(v1::operation_result::Body::Reserve(v1::ReserveResponse::default()))));
        assert!(!is_turned_away(&[]) && !is_turned_away(&[0xff; 20]));
    }

    /// As the contract has it.
    #[derive(Clone, PartialEq, Message)]
    struct TaggedOperation {
        #[prost(uint64, tag = "1")]
        tag: u64,
        #[prost(message, optional, tag = "2")]
        operation: Option<v1::Operation>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct TaggedResult {
        #[prost(uint64, tag = "1")]
        tag: u64,
        #[prost(message, optional, tag = "2")]
        result: Option<v1::OperationResult>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Operations {
        #[prost(message, repeated, tag = "1")]
        operations: Vec<v1::Operation>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct Results {
        #[prost(message, repeated, tag = "1")]
        results: Vec<v1::OperationResult>,
    }

    #[test]
    fn a_batch_is_byte_for_byte_as_the_contract_says() {
        let body =
            v1::operation::Body::GetStock(v1::GetStockRequest { sku: "lamp-01".to_owned(), ..Default::default() });
        let operations = vec![v1::Operation { body: Some(body) }, v1::Operation::default()];
        let ours: BatchRequest = operations.iter().collect();
        assert_eq!(ours.encode_to_vec(), Operations { operations }.encode_to_vec());
        let told = v1::operation_result::Body::Error(v1::Error { message: "why".to_owned(), ..Default::default() });
        let results = vec![v1::OperationResult { body: Some(told) }, v1::OperationResult::default()];
        let theirs = Results { results: results.clone() }.encode_to_vec();
        assert_eq!(BatchResponse::decode(theirs.as_slice()).expect("the same bytes").to_results(), Ok(results));
    }

    #[test]
    fn what_is_tagged_is_byte_for_byte_as_the_contract_says() {
        let body =
            v1::operation::Body::GetStock(v1::GetStockRequest { sku: "lamp-01".to_owned(), ..Default::default() });
        let operation = v1::Operation { body: Some(body) };
        let told = v1::operation_result::Body::Error(v1::Error { message: "why".to_owned(), ..Default::default() });
        let result = v1::OperationResult { body: Some(told) };
        for tag in [0, 1, 127, 128, u64::MAX] {
            let asked = TaggedOperation { tag, operation: Some(operation.clone()) };
            let ours = Tagged::operation(tag, &operation);
            assert_eq!(ours.encode_to_vec(), asked.encode_to_vec());
            assert_eq!(ours.to_operation(), Ok(operation.clone()));
            let answered = TaggedResult { tag, result: Some(result.clone()) };
            let ours = Tagged::decode(answered.encode_to_vec().as_slice()).expect("the same bytes");
            assert_eq!((ours.tag, ours.to_result()), (tag, Ok(result.clone())));
            assert_eq!(ours, Tagged::result(tag, &result));
        }
        let empty = TaggedOperation { tag: 7, operation: None };
        assert_eq!(Tagged::decode(empty.encode_to_vec().as_slice()), Ok(Tagged { tag: 7, body: Bytes::new() }));
    }
}
