//! `simulation show`: the scenario of a seed, as a file that can be replayed.

use super::Seed;
use std::process::ExitCode;

/// Prints the scenario of a seed.
pub fn show(seed: &Seed) -> Result<ExitCode, String> {
    let scenario = seed.scenario()?;
    print!("{}", toml::to_string(&scenario).map_err(|error| error.to_string())?);
    Ok(ExitCode::SUCCESS)
}
