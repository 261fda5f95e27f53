//! A sweep that every change has to pass, and that a sweep goes on where it was cut off.

use std::process::{Command, Output};

fn sweep(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulation"));
    command.args(["sweep", "--output", "json", "--partial", "--jobs", "2"]).args(arguments).output().expect("it runs")
}

fn told(output: &Output) -> serde_json::Value {
    let problems = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {problems}"))
}

#[test]
fn a_few_seeds_are_clean() {
    let output = sweep(&["--seeds", "0..10"]);
    let told = told(&output);
    assert!(output.status.success(), "{}\n{told:#}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&told["seeds"], &told["failed"]), (&10.into(), &0.into()), "{told:#}");
    // Few as they are, they show something.
    for (what, least) in [("operations", 5_000), ("carts", 100), ("unknown", 10)] {
        assert!(told[what].as_u64().is_some_and(|count| count >= least), "{what}: {told:#}");
    }
    let fell = |faults: &serde_json::Map<_, serde_json::Value>| faults.values().filter(|count| **count != 0).count();
    assert!(told["faults"].as_object().is_some_and(|faults| fell(faults) >= 15), "{told:#}");
}

#[test]
fn a_second_sweep_runs_what_is_missing() {
    let state = std::env::temp_dir().join(format!("earmark-sweep-test-{}", std::process::id()));
    let text = state.to_str().expect("a path");
    let call = |seeds: &str| told(&sweep(&["--seconds", "3", "--state", text, "--seeds", seeds]));
    let first = call("40..42");
    assert_eq!((&first["seeds"], &first["kept"]), (&2.into(), &0.into()), "{first:#}");
    let second = call("40..43");
    assert_eq!((&second["seeds"], &second["kept"]), (&3.into(), &2.into()), "{second:#}");
    let third = call("40..43");
    assert_eq!((&third["seeds"], &third["kept"]), (&3.into(), &3.into()), "{third:#}");
    assert_eq!((&third["operations"], &third["checks"]), (&second["operations"], &second["checks"]));
    std::fs::remove_file(state).expect("removed");
}
