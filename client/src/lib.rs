//! The public wire contract of Earmark.
#![forbid(unsafe_code)]

pub mod wire;
