//! `simulation run`: the scenario of one seed; and what a run is for whoever has a scenario.

use super::{Output, Seed, called, create};
use earmark_simulation::{report::Report, run::run, scenario::Scenario, sweep::cpu_seconds, trace::Trace};
use rand::{SeedableRng, rngs::StdRng};
use std::{io::Write, process::ExitCode};

/// Runs the scenario of a seed.
pub fn run_seed(seed: &Seed) -> Result<ExitCode, String> {
    let scenario = seed.scenario()?;
    play(&scenario, &seed.output, &seed.arguments("run").join(" "))
}

/// Runs a scenario in this process and tells what it showed, and by which command it is run `again`.
pub(super) fn play(scenario: &Scenario, output: &Output, again: &str) -> Result<ExitCode, String> {
    // Before the run: what it shows would be lost.
    let written = output.history.as_deref().map(create).transpose()?;
    let trace = match &output.trace {
        Some(path) => Trace::to_file(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => Trace::default(),
    };
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(scenario.seed));
    let clocks = mad_turmoil::time::SimClocksGuard::init();
    let (mut report, history) = run(scenario, &trace);
    drop(clocks);
    #[cfg(feature = "second-opinion")]
    if output.second_opinion {
        report.ask_again(&history);
    }
    report.cpu_seconds = cpu_seconds();
    trace.flush().map_err(|error| error.to_string())?;
    if let (Some(path), Some(mut file)) = (&output.history, written) {
        let text = if path.extension().is_some_and(|end| end == "edn") {
            earmark_jepsen::export::edn(&history)
        } else {
            earmark_jepsen::export::json_lines(&history)
        };
        file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if output.json {
        println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
    } else {
        tell(&report, again);
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &Report, again: &str) {
    println!(
        "seed {}: {:.0} virtual seconds, {} operations ({} unknown, {} carts), faults {:?}, trace {} over {} events",
        report.seed,
        report.virtual_seconds,
        report.operations,
        report.unknown,
        report.carts,
        report.faults,
        report.trace,
        report.events
    );
    for broken in &report.broken {
        println!("BROKEN {} ({}): {}", broken.promise, broken.checker, broken.what);
    }
    report.around.iter().for_each(|line| println!("  {line}"));
    if !report.broken.is_empty() {
        println!("again: {} {again}", called());
    }
}
