//! Every run that ever found something in the product, replayed. They are kept as scenarios, not as seeds: what a seed
//! draws changes whenever a class of faults is added, and what was found has to be looked for where it was.
//!
//! `found/*.toml` are what `simulation show --seed N` said when N found something; the first lines say what.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn found() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let mut scenarios: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "toml")).collect();
    scenarios.sort();
    scenarios
}

#[test]
fn what_was_found_stays_mended() {
    let scenarios = found();
    assert!(scenarios.len() >= 2, "{scenarios:?}");
    for scenario in scenarios {
        let text = std::fs::read_to_string(&scenario).expect("a file");
        assert!(text.starts_with("# "), "{} says what it found", scenario.display());
        let replayed = Command::new(env!("CARGO_BIN_EXE_simulation")).arg("replay").arg(&scenario).output();
        let output = replayed.expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout);
        let panics = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}:\n{told}\n{panics}", scenario.display());
    }
}
