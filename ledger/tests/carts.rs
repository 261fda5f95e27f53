//! Carts over several shards, with a network that delays, repeats, reorders and loses, and shards that restart.
//!

#[path = "carts/journal.rs"]
mod journal;
#[path = "carts/rules.rs"]
mod rules;
mod support;
#[path = "carts/world.rs"]
mod world;
