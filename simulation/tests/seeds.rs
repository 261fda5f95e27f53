//! Every seed that ever found something, with what it found.

use std::process::Command;

/// Seed, virtual seconds of work, and what it once broke.
const FOUND: [(u64, u64, &str); 1] = [(
    1,
    100,
    "the log was purged below what an append stream still had to send: openraft sent entries with a hole before them",
)];

#[test]
fn what_was_found_stays_mended() {
    for (seed, seconds, what) in FOUND {
        let (seed, seconds) = (seed.to_string(), seconds.to_string());
        let output = Command::new(env!("CARGO_BIN_EXE_simulation"))
            .args(["run", "--seed", &seed, "--seconds", &seconds])
            .output()
            .expect("it runs");
        let told = String::from_utf8_lossy(&output.stdout);
        let panics = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {seed} ({what}):\n{told}\n{panics}");
    }
}
