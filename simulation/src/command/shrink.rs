//! `simulation shrink`: a smaller scenario that fails in the same way.

use super::{called, create, read, replay_of};
use clap::Args;
#[cfg(feature = "planted")]
use earmark_simulation::mutants;
use earmark_simulation::{scenario::Scenario, shrink::Shrink};
use std::{io::Write, path::PathBuf, process::ExitCode};

/// A scenario that fails.
#[derive(Args)]
pub struct Smaller {
    /// Of which seed.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    seed: Option<u64>,
    /// Or from a file.
    file: Option<PathBuf>,
    /// Runs to try at most.
    #[arg(long, default_value_t = 200)]
    tries: u32,
    /// Where it is written; standard output if not said.
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// With this bug planted; the scenario of a seed is the one in which it is looked for.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
}

impl Smaller {
    #[cfg(not(feature = "planted"))]
    fn drawn(&self, seed: u64) -> Result<Scenario, String> {
        Ok(Scenario::draw(seed))
    }

    #[cfg(not(feature = "planted"))]
    fn more(&self) -> Vec<String> {
        Vec::new()
    }

    #[cfg(feature = "planted")]
    fn drawn(&self, seed: u64) -> Result<Scenario, String> {
        match &self.planted {
            Some(name) => Ok(mutants::scenario(mutants::named(name)?, seed)),
            None => Ok(Scenario::draw(seed)),
        }
    }

    #[cfg(feature = "planted")]
    fn more(&self) -> Vec<String> {
        self.planted.iter().flat_map(|name| ["--planted".to_owned(), name.clone()]).collect()
    }
}

/// Makes a scenario that fails smaller, and writes what is left of it.
pub fn run_shrink(arguments: &Smaller) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let written = arguments.into.as_deref().map(create).transpose()?;
    let scenario = match (&arguments.file, arguments.seed) {
        (Some(file), _) => read(file)?,
        (None, seed) => arguments.drawn(seed.unwrap_or_default())?,
    };
    let shrunk = Shrink::new(&program, arguments.tries, arguments.more()).shrink(&scenario, |line| eprintln!("{line}"));
    let Some(least) = shrunk.map_err(|error| error.to_string())? else {
        println!("nothing is broken in it");
        return Ok(ExitCode::SUCCESS);
    };
    let text = toml::to_string(&least).map_err(|error| error.to_string())?;
    match (&arguments.into, written) {
        (Some(path), Some(mut file)) => {
            file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
            println!("again: {} {}", called(), replay_of(path));
        }
        _ => print!("{text}"),
    }
    Ok(ExitCode::FAILURE)
}
