//! A planted bug is noticed, and the same run without it is clean. Only in a build with the feature `planted`.
#![cfg(feature = "planted")]

use std::process::{Command, Output};

/// A bug that shows in any run: it begins with receipts.
const BUG: &str = "one-unit-more";

fn run(as_what: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulation"))
        .args(["run", "--seed", "2", "--seconds", "4", as_what, BUG])
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("it runs")
}

#[test]
fn a_planted_bug_is_noticed_and_its_run_without_it_is_clean() {
    let clean = run("--as-planted");
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stdout));
    let planted = run("--planted");
    let told = String::from_utf8_lossy(&planted.stdout);
    assert!(!planted.status.success() && told.contains("(linearizable)"), "{told}");
}

#[test]
fn a_bug_that_does_not_exist_can_not_be_planted() {
    let output = Command::new(env!("CARGO_BIN_EXE_simulation"))
        .args(["run", "--seed", "2", "--planted", "no-such-bug"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
}
