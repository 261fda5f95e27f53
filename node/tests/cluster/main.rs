//! Three nodes in one process, with real sockets and disks, driven over gRPC as any language would.

mod bad;
mod carts;
mod clock;
mod damage;
mod forming;
mod handover;
mod import;
mod journal;
mod keeping;
mod lease;
mod limits;
mod opposite;
mod orders;
mod outages;
mod sale;
mod snapshot;
mod support;
