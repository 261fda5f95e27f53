//! The public wire contract of Earmark.
#![forbid(unsafe_code)]

pub mod outcomes;
pub mod status;
pub mod wire;
