//! Exit codes: 0 done, 1 refused, 2 bad input, 3 unavailable (surely not done), 4 unknown.

use std::{fmt::Display, process::ExitCode};

/// Tells what was wrong with the input, and gives code 2.
pub fn bad_input(error: &impl Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(2)
}
