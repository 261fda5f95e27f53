//! `simulation run`: the scenario of one seed; and what a run is for whoever has a scenario.

use super::{Output, Seed, called, create};
use earmark_simulation::{
    recorder::Recorder,
    report::{self, Report},
    run::{recorder, run},
    scenario::Scenario,
    sweep::cpu_seconds,
    trace::Trace,
};
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
    let recorder = recorder(scenario, &trace);
    if !output.json {
        tell_of_panics(scenario.seed, &recorder, again);
    }
    let (mut report, history) = run(scenario, &trace, &recorder);
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

/// Operations shown before a panic.
const BEFORE_A_PANIC: usize = 20;

/// Lets a panic say what every failure says, and end the process: it can't be unwound, since hosts that are dropped while
/// another is stepped panic again.
fn tell_of_panics(seed: u64, recorder: &Recorder, again: &str) {
    let (before, recorder) = (std::panic::take_hook(), recorder.clone());
    let again = format!("again: {} {again}", called());
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        let seconds = recorder.now_ns() as f64 / 1e9;
        println!("seed {seed}: broke down after {seconds:.3} virtual seconds");
        println!("BROKEN (panic): {}", panic.payload_as_str().unwrap_or("a panic without words"));
        match recorder.history_at_once() {
            Some(history) => report::last(&history, BEFORE_A_PANIC).iter().for_each(|line| println!("  {line}")),
            None => println!("  while an operation was written down"),
        }
        println!("{again}");
        std::process::exit(1);
    }));
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
        println!("{}", report::told(broken));
    }
    report.around.iter().for_each(|line| println!("  {line}"));
    if report.broken.is_empty() {
        println!("nothing is broken");
        return;
    }
    if report.around.is_empty() {
        println!("  no operation shows it by itself: --trace FILE writes every event");
    }
    println!("again: {} {again}", called());
}
