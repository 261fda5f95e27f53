//! The simulation's commands.
//!
//! Only this binary has the machine's clock and randomness replaced (mad-turmoil does it for the whole process): libraries
//! below us ask for them where no door of ours leads. HTTP/2 forgets streams that were reset after a second of real time,
//! and with that went the order in which others were sent. Outside a run the replaced clock stands still, so nothing here
//! waits by it.

mod command;

use clap::{Parser, Subcommand};
use command::{
    Seed,
    mutants::{Mutants, run_mutants},
    replay::{Replay, run_replay},
    run::run_seed,
    show::show,
    shrink::{Smaller, run_shrink},
    sweep::{Sweep, run_sweep},
    twice::{Twice, run_twice},
};
use earmark_simulation::process::end_with_whoever_started;
use std::process::ExitCode;

/// Runs a whole Earmark cluster with its clients and faults in one process, as a seed says.
#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs the scenario of one seed, and tells what was broken.
    Run(Seed),
    /// Runs seeds twice and compares the traces byte by byte.
    Twice(Twice),
    /// Runs a scenario from a file.
    Replay(Replay),
    /// Shows the scenario of a seed as such a file.
    Show(Seed),
    /// Makes the scenario of a seed that fails smaller, as long as the same checker refuses it, and writes it as a file.
    Shrink(Smaller),
    /// Runs many seeds, each in a process of its own. Ends with 1 if a promise was broken, or if a class of faults, an
    /// operation or a kind of end never occurred.
    Sweep(Sweep),
    /// Runs every planted bug over seeds until one run is not clean. Ends with 1 if one was never noticed. Only in a build
    /// with the feature `planted`: `make mutants`.
    Mutants(Mutants),
}

fn main() -> ExitCode {
    end_with_whoever_started();
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let done = match Command::parse().what {
        What::Run(seed) => run_seed(&seed),
        What::Twice(arguments) => run_twice(&arguments),
        What::Replay(arguments) => run_replay(&arguments),
        What::Show(seed) => show(&seed),
        What::Shrink(arguments) => run_shrink(&arguments),
        What::Sweep(arguments) => run_sweep(&arguments),
        What::Mutants(arguments) => run_mutants(&arguments),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::from(2)
    })
}
