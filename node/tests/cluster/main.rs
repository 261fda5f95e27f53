//! Three nodes in one process, with real sockets and disks, driven over gRPC as any language would.

mod bad;
mod clock;
mod limits;
mod sale;
mod support;
