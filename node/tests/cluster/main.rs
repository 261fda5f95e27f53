//! Three nodes in one process, with real sockets and disks, driven over gRPC as any language would.

mod carts;
mod clock;
mod limits;
mod opposite;
mod sale;
mod support;
