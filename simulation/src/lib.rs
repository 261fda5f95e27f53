//! A whole Earmark cluster with its clients in one deterministic process.
//!
//! The real node and the real SDK run under turmoil, with a simulated network, disks, clocks and randomness. A run is a
//! function of its [`scenario`], which is a function of its seed: twice the same seed gives the same [`trace`], byte by
//! byte, and a test says so before any other result is believed.
#![forbid(unsafe_code)]

// rustdoc is not given the flags of the build.
#[cfg(not(any(tokio_unstable, doc, doctest)))]
compile_error!(
    "tokio's scheduler can be seeded only with `--cfg tokio_unstable`; .cargo/config.toml sets it, and an environment \
     variable RUSTFLAGS overrides that file"
);

pub mod after;
pub mod calm;
pub mod check;
pub mod clock;
pub mod cluster;
pub mod damage;
pub mod dice;
pub mod faults;
mod frames;
pub mod journal;
pub mod kept;
pub mod links;
#[cfg(feature = "planted")]
pub mod mutants;
pub mod network;
pub mod operator;
pub mod process;
pub mod recorder;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod stale;
pub mod sweep;
pub mod tap;
pub mod trace;
pub mod twice;
pub mod watch;
pub mod workload;
