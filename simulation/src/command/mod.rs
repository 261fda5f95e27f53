//! The commands, one a file, and what they share.
//!
//! A command reads its arguments, lets the library work and tells the result: what it found on standard output, progress
//! and problems on standard error. It ends with 0 if all was well and with 1 if something was found; what kept it from
//! looking is handed up as text.

pub mod mutants;
pub mod replay;
pub mod run;
pub mod show;
pub mod shrink;
pub mod sweep;
pub mod twice;

use clap::{Args, ValueEnum};
use earmark_simulation::{check::check, scenario::Scenario};
use std::{
    fs::File,
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
};

/// A scenario by its seed.
#[derive(Args, Clone, Default)]
pub struct Seed {
    /// Which one.
    #[arg(long)]
    seed: u64,
    /// Ends the work of clients, and the faults, after so many virtual seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Plants a bug, and adds to the scenario what it needs to show.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    /// The scenario in which that bug is looked for, without the bug.
    #[cfg(feature = "planted")]
    #[arg(long, value_name = "NAME", conflicts_with = "planted")]
    as_planted: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Seed {
    fn scenario(&self) -> Result<Scenario, String> {
        let scenario = self.drawn()?;
        Ok(match self.seconds {
            Some(seconds) => scenario.shortened(seconds),
            None => scenario,
        })
    }

    #[cfg(not(feature = "planted"))]
    fn drawn(&self) -> Result<Scenario, String> {
        Ok(Scenario::draw(self.seed))
    }

    /// Plants the bug, if one is named.
    #[cfg(feature = "planted")]
    fn drawn(&self) -> Result<Scenario, String> {
        let Some(name) = self.planted.as_ref().or(self.as_planted.as_ref()) else {
            return Ok(Scenario::draw(self.seed));
        };
        let bug = earmark_simulation::mutants::named(name)?;
        if self.planted.is_some() && !earmark_ledger::planted::plant(bug) {
            return Err("another bug is planted already".to_owned());
        }
        Ok(earmark_simulation::mutants::scenario(bug, self.seed))
    }

    fn arguments(&self, command: &str) -> Vec<String> {
        let mut arguments = vec![command.to_owned(), "--seed".to_owned(), self.seed.to_string()];
        if let Some(seconds) = self.seconds {
            arguments.extend(["--seconds".to_owned(), seconds.to_string()]);
        }
        #[cfg(feature = "planted")]
        for (name, bug) in [("--planted", &self.planted), ("--as-planted", &self.as_planted)] {
            arguments.extend(bug.iter().flat_map(|bug| [name.to_owned(), bug.clone()]));
        }
        arguments
    }
}

/// Where things are written.
#[derive(Args, Clone, Default)]
struct Output {
    /// Writes every event into this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Writes what clients tried and were told into this file: EDN if it ends so, else JSON lines.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Tells the result as JSON.
    #[arg(long)]
    json: bool,
    /// Has another search, by the crate porcupine-rs, judge the history as well.
    #[cfg(feature = "second-opinion")]
    #[arg(long)]
    second_opinion: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
    let (first, last) = text.split_once("..").ok_or("must be A..B")?;
    Ok(number(first)?..number(last)?)
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse::<NonZeroUsize>().map(NonZeroUsize::get).map_err(|error| error.to_string())
}

/// How many seeds a range has, if it has any.
fn count(seeds: &Range<u64>) -> Result<u64, String> {
    match seeds.end.saturating_sub(seeds.start) {
        0 => Err(format!("no seed is in {}..{}", seeds.start, seeds.end)),
        count => Ok(count),
    }
}

fn read(file: &Path) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let scenario = toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    check(&scenario).map_err(|problems| format!("{}:\n{problems}", file.display()))?;
    Ok(scenario)
}

fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// How this program was called, for a command that can be given again.
fn called() -> String {
    quoted(&std::env::args().next().unwrap_or_else(|| "simulation".to_owned()))
}

/// The command that runs the scenario in that file.
fn replay_of(file: &Path) -> String {
    format!("replay {}", quoted(&file.to_string_lossy()))
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "._/-+:=,@".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_stays_one_in_a_shell() {
        for word in ["a/b-1.toml", "a dir/it's.toml", "", "$(x)"] {
            let echoed = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word))).output();
            assert_eq!(String::from_utf8(echoed.expect("a shell").stdout).expect("text"), word);
        }
        assert_eq!(quoted("a/b-1.toml"), "a/b-1.toml");
    }
}
