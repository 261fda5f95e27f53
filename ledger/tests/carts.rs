//! Carts over several shards, with a network that delays, repeats, reorders and loses, and shards that restart.
//!
//! `CARTS_CASES=5000 cargo test --release -p earmark-ledger --test carts` runs longer than the usual seconds.

#[path = "carts/faults.rs"]
mod faults;
#[path = "carts/journal.rs"]
mod journal;
#[path = "carts/keeping.rs"]
mod keeping;
#[path = "carts/rules.rs"]
mod rules;
mod support;
#[path = "carts/world.rs"]
mod world;
