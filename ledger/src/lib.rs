//! The pure ledger.
#![forbid(unsafe_code)]
pub mod command;
pub mod movement;
pub mod outcome;
pub mod types;
