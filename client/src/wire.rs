//! The public contract as Rust types: messages, client stubs and server stubs, generated from `proto/`.
//!
//! The documentation of every message and field stands in the proto files, which other languages generate from too.
//! The SDK around it (`Client`) is what most programs want; these types are for those who speak to
//! a node directly, and for the node itself.

/// Every file of the contract as an encoded `google.protobuf.FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/earmark.v1.descriptors.bin"));

/// Package `earmark.v1`.
// Generated code: its documentation is the comments of the proto files, and its style is the generator's.
#[allow(missing_docs, unused_qualifications, clippy::all, rustdoc::all)]
pub mod v1 {
    tonic::include_proto!("earmark.v1");
}
