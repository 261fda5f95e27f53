//! Commands.
pub mod dev;
pub mod exit;
pub mod serve;
