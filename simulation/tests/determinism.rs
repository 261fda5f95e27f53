//! The same seed twice gives the same bytes. No other result of the simulation counts before this one.

use std::process::{Command, Output};

fn simulation(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulation")).args(arguments).output().expect("it runs")
}

#[test]
fn the_same_seed_twice_gives_the_same_trace() {
    // Seed 7 once went apart in its eighteenth second.
    for (seed, seconds) in [("7", "17"), ("12", "8"), ("13", "8")] {
        let output = simulation(&["twice", "--seed", seed, "--seconds", seconds]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}");
        let events: Option<u64> = told.split(' ').find_map(|word| word.parse().ok().filter(|number| *number > 2_000));
        assert!(events.is_some(), "a run that shows something: {told}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    let traces = ["14", "15"].map(|seed| {
        let output = simulation(&["run", "--json", "--seconds", "2", "--seed", seed]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        report["trace"].as_str().expect("a hash").to_owned()
    });
    assert_ne!(traces[0], traces[1]);
}
