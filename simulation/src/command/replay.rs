//! `simulation replay`: a scenario from a file.

use super::{Output, read, replay_of, run::play};
use clap::Args;
#[cfg(feature = "planted")]
use earmark_simulation::mutants;
use std::{path::PathBuf, process::ExitCode};

/// A scenario from a file.
#[derive(Args)]
pub struct Replay {
    /// In TOML.
    file: PathBuf,
    /// With this bug planted.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Replay {
    /// Plants the bug, if one is named; the command that does the same again.
    #[cfg(feature = "planted")]
    fn prepare(&self) -> Result<String, String> {
        let Some(name) = &self.planted else { return Ok(replay_of(&self.file)) };
        if !earmark_ledger::planted::plant(mutants::named(name)?) {
            return Err("another bug is planted already".to_owned());
        }
        Ok(format!("{} --planted {name}", replay_of(&self.file)))
    }

    #[cfg(not(feature = "planted"))]
    fn prepare(&self) -> Result<String, String> {
        Ok(replay_of(&self.file))
    }
}

/// Runs the scenario of a file.
pub fn run_replay(replay: &Replay) -> Result<ExitCode, String> {
    let scenario = read(&replay.file)?;
    let again = replay.prepare()?;
    play(&scenario, &replay.output, &again)
}
