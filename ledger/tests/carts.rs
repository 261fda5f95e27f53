//! Carts over several shards, with a network that delays, repeats, reorders and loses, and shards that restart.
//!
//! `CARTS_CASES=5000 cargo test --release -p earmark-ledger --test carts` runs longer than the usual seconds.

#[path = "carts/ask.rs"]
mod ask;
#[path = "carts/faults.rs"]
mod faults;
#[path = "carts/formats.rs"]
mod formats;
#[path = "carts/formats_sale.rs"]
mod formats_sale;
#[path = "carts/hearing.rs"]
mod hearing;
#[path = "carts/journal.rs"]
mod journal;
#[path = "carts/keeping.rs"]
mod keeping;
#[path = "carts/leaving.rs"]
mod leaving;
#[path = "carts/mended.rs"]
mod mended;
#[path = "carts/promises.rs"]
mod promises;
#[path = "carts/rounds.rs"]
mod rounds;
#[path = "carts/rules.rs"]
mod rules;
#[path = "carts/serial.rs"]
mod serial;
#[path = "carts/short.rs"]
mod short;
#[path = "carts/states.rs"]
mod states;
#[path = "carts/steps.rs"]
mod steps;
mod support;
#[path = "carts/totality.rs"]
mod totality;
#[path = "carts/world.rs"]
mod world;
