//! `simulation sweep`: many seeds, and what they showed together.

use super::{Form, at_least_one, called, count, range};
use clap::Args;
use earmark_simulation::{
    kept::{BUILD, Kept},
    report::told,
    sweep::{Ended, Plan, Swept, sweep},
};
use std::{io::IsTerminal, ops::Range, path::PathBuf, process::ExitCode};

/// Many seeds.
#[derive(Args)]
pub struct Sweep {
    /// From the first up to the second, excluded.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Range<u64>,
    /// Ends the work of clients, and the faults, after so many virtual seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Runs at once.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    jobs: usize,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Says nothing of what never occurred, nor of runs that were short or poor: for a few seeds.
    #[arg(long)]
    partial: bool,
    /// Keeps each seed that ended in this file. A second call runs only what is missing, and tells of all. Seeds that
    /// another build ran do not count.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// Lines of progress where nobody watches a terminal.
const TELL_EVERY: u64 = 25;

/// Runs the seeds, tells how far it is and what failed as it goes, and in the end what all of them showed.
pub fn run_sweep(arguments: &Sweep) -> Result<ExitCode, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let kept = match &arguments.state {
        Some(path) => {
            let kept = Kept::open(path, arguments.seconds);
            Some(kept.map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    if let Some(others) = kept.as_ref().map(|kept| kept.others).filter(|others| *others > 0) {
        eprintln!("{others} lines are of other builds or lengths than {BUILD}, and do not count");
    }
    let total = count(&arguments.seeds)?;
    let tell = |ended: &Ended, swept: &Swept| {
        tell_ended(ended, arguments.seconds);
        tell_progress(swept, total);
    };
    let plan = Plan { program, seeds: arguments.seeds.clone(), seconds: arguments.seconds, jobs: arguments.jobs, kept };
    let mut swept = sweep(plan, tell).map_err(|error| error.to_string())?;
    if arguments.partial {
        swept.missing.clear();
        swept.small.clear();
    }
    swept.again = swept.failed_seeds.iter().map(|seed| again(*seed, arguments.seconds)).collect();
    match arguments.output {
        Form::Json => println!("{}", serde_json::to_string_pretty(&swept).map_err(|error| error.to_string())?),
        Form::Text => tell_swept(&swept),
    }
    Ok(if swept.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// On a terminal one line that changes; elsewhere a line now and then. Clocks stand still in this program, so it says
/// how far it is and not for how long.
fn tell_progress(swept: &Swept, total: u64) {
    let line = format!(
        "{} of {total} seeds, {} failed, {:.0} an hour of a processor",
        swept.seeds,
        swept.failed,
        swept.seeds_per_cpu_hour()
    );
    let over = swept.seeds == total;
    if std::io::stderr().is_terminal() {
        let end = if over { "\n" } else { "" };
        eprint!("\r{line}\x1b[K{end}");
    } else if over || swept.seeds.is_multiple_of(TELL_EVERY) {
        eprintln!("{line}");
    }
}

/// What went wrong goes to standard error at once, with the command that shows it again.
fn tell_ended(ended: &Ended, seconds: Option<u64>) {
    if ended.is_clean() {
        return;
    }
    match &ended.shown {
        Ok(report) => {
            for broken in &report.broken {
                eprintln!("seed {}: {}", ended.seed, told(broken));
            }
            report.around.iter().for_each(|line| eprintln!("  {line}"));
        }
        Err(problem) => eprintln!("seed {}: the run broke down\n{problem}", ended.seed),
    }
    eprintln!("again: {}", again(ended.seed, seconds));
}

/// The command that shows what a seed showed.
fn again(seed: u64, seconds: Option<u64>) -> String {
    let seconds = seconds.map(|seconds| format!(" --seconds {seconds}")).unwrap_or_default();
    format!("{} run --seed {seed}{seconds}", called())
}

fn tell_swept(swept: &Swept) {
    if swept.kept > 0 {
        println!("{} of them an earlier call had run", swept.kept);
    }
    println!(
        "{} seeds, {} failed {:?}; {:.0} virtual seconds in {:.0} seconds of processors: {:.0} to 1, {:.0} seeds an hour",
        swept.seeds,
        swept.failed,
        swept.failed_seeds,
        swept.virtual_seconds,
        swept.cpu_seconds,
        swept.speed(),
        swept.seeds_per_cpu_hour()
    );
    println!("{} operations, {} unknown, {} carts", swept.operations, swept.unknown, swept.carts);
    println!("faults {:?}", swept.faults);
    println!("which led to {:?}", swept.met);
    println!("ends {:?}", swept.ends);
    println!("looked at {:?}, undecided {:?}", swept.checks, swept.undecided);
    if !swept.missing.is_empty() {
        let missing = swept.missing.join(", ");
        println!("not enough: never occurred: {missing} (more seeds bring it; --partial does not ask for it)");
    }
    if !swept.small.is_empty() {
        println!("not enough: too short, with too few operations or faults: {:?}", swept.small);
    }
    if swept.is_clean() {
        println!("nothing is broken");
    }
}
