//! Histories of what clients of Earmark tried and were told, and checkers that judge whether the promises were kept.
//!
//! A checker knows nothing of the server's code: its model of a shelf ([`model`]) is written apart from
//! `ledger::apply`, because a checker that calls the code under test proves only that it agrees with itself. The
//! deterministic simulation and runs against real processes record the same [`history`] and use the same checkers.
//!
//! An operation without an answer is *unknown*: it may have happened, at any time after it was sent, or never. No
//! checker takes it for a refusal, and none for a success.
#![forbid(unsafe_code)]

pub mod checker;
pub mod export;
pub mod history;
pub mod model;
