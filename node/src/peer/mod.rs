//! What nodes say to each other: the client side (`links`, `raft_network`, `turns`, `pulse`, `snapshot`, `bulk`) and the server
//! side (`service`, `pulse_service`).

pub mod bulk;
pub mod convert;
pub mod links;
pub mod pulse;
mod pulse_service;
pub mod raft_network;
pub mod service;
pub mod snapshot;
mod turns;

/// The peer protocol, generated from `proto/earmark/peer/v1/peer.proto`.
#[allow(missing_docs, unused_qualifications, clippy::all)]
pub mod wire {
    tonic::include_proto!("earmark.peer.v1");
}
