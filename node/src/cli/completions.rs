//! `earmark completions`: a script that completes commands and options in a shell.

use super::{Cli, Failure};
use clap::{Args, CommandFactory};
use std::io::{self, Write};
use std::process::ExitCode;

/// Arguments of `earmark completions`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// For which shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "earmark", &mut script);
    match io::stdout().write_all(&script) {
        // Whoever reads may have seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::local(format!("stdout: {error}"))),
        _ => Ok(ExitCode::SUCCESS),
    }
}
