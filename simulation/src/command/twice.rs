//! `simulation twice`: whether the same seed gives the same trace.

use super::{Seed, count, range};
use clap::Args;
use earmark_simulation::twice::{Verdict, twice};
use std::{ops::Range, process::ExitCode};

/// Seeds, each to be run twice.
#[derive(Args)]
pub struct Twice {
    /// One seed.
    #[arg(long, required_unless_present = "seeds", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// From the first up to the second, excluded.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<Range<u64>>,
    /// Ends the work of clients, and the faults, after so many virtual seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// Runs each seed twice, and tells where its traces differ.
pub fn run_twice(arguments: &Twice) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let one = arguments.seed.map(|seed| seed..seed.saturating_add(1));
    let seeds = arguments.seeds.clone().or(one).unwrap_or(0..0);
    let (mut same, mut events, total) = (0, 0, count(&seeds)?);
    for seed in seeds {
        let run = Seed { seed, seconds: arguments.seconds, ..Seed::default() };
        let verdict = twice(&program, &run.arguments("run"), &std::env::temp_dir());
        match verdict.map_err(|error| error.to_string())? {
            Verdict::Same(count) => {
                println!("seed {seed}: the same {count} events twice");
                same += 1;
                events += count;
            }
            Verdict::Differ { event, first, second } => {
                println!("seed {seed}: event {event} differs\n  {first:?}\n  {second:?}");
            }
        }
    }
    if total > 1 {
        println!("{same} of {total} seeds had the same events twice, {events} in all");
    }
    Ok(if same == total { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
