//! Runs each bug over seeds, each run in a process of its own, until one is not clean. Then the same scenario without the
//! bug has to be clean, or it was not the bug that was noticed.

use crate::{
    process::{LOOK_EVERY, Process, Said},
    report::Report,
};
use earmark_ledger::planted::Bug;
use serde::Serialize;
use std::{io, ops::Range, path::Path, thread::sleep};

/// What every assertion of the ledger begins with.
const STOP: &str = "the shard stops: ";

/// Bugs to look for, and where.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Which.
    pub bugs: Vec<Bug>,
    /// In which seeds, in their order.
    pub seeds: Range<u64>,
    /// Runs at once; those of one bug follow each other.
    pub jobs: usize,
}

/// How a bug was noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caught {
    /// The seed in which it was.
    pub seed: u64,
    /// Checkers that noticed, the first one first; or the assertion or panic that ended the run.
    pub by: Vec<String>,
    /// What the first of them said.
    pub said: String,
}

/// What became of one bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hunted {
    /// Its name.
    pub bug: String,
    /// The promise it breaks.
    pub promise: String,
    /// Seeds that were run.
    pub seeds: u64,
    /// How it was noticed; none if it was not.
    pub caught: Option<Caught>,
    /// Seeds that are not clean without the bug either.
    pub unsound: Vec<u64>,
}

/// A bug that is looked for at the moment.
struct Running {
    bug: Bug,
    seed: u64,
    /// How the bug was noticed in this seed, once it was; then it runs without.
    caught: Option<Caught>,
    /// Seeds that were not clean without it.
    unsound: Vec<u64>,
    process: Process,
}

/// Looks for every bug, and tells each as it is caught or was not in any seed.
///
/// # Errors
/// If a process can't be started.
pub fn hunt(program: &Path, hunt: &Hunt, mut tell: impl FnMut(&Hunted)) -> io::Result<Vec<Hunted>> {
    let mut coming = hunt.bugs.iter().copied();
    let mut running: Vec<Running> = Vec::new();
    let mut hunted = Vec::new();
    loop {
        while running.len() < hunt.jobs.max(1)
            && let Some(bug) = coming.next()
        {
            running.push(start(program, bug, hunt.seeds.start, None, Vec::new())?);
        }
        if running.is_empty() {
            return Ok(hunted);
        }
        sleep(LOOK_EVERY);
        let mut still = Vec::new();
        for mut run in running {
            let Some(said) = run.process.look()? else {
                still.push(run);
                continue;
            };
            let noticed = judge(run.seed, said)?;
            let Running { bug, seed, caught, mut unsound, .. } = run;
            let caught = match (caught, noticed) {
                (None, Some(noticed)) => {
                    still.push(start(program, bug, seed, Some(noticed), unsound)?);
                    continue;
                }
                (Some(_), Some(_)) => {
                    unsound.push(seed);
                    None
                }
                (caught, None) => caught,
            };
            if caught.is_none() && seed + 1 < hunt.seeds.end {
                still.push(start(program, bug, seed + 1, None, unsound)?);
                continue;
            }
            let (name, promise) = (bug.name().to_owned(), bug.promise().to_owned());
            let found = Hunted { bug: name, promise, seeds: seed + 1 - hunt.seeds.start, caught, unsound };
            tell(&found);
            hunted.push(found);
        }
        running = still;
    }
}

/// Runs a seed with the bug; without it once it was `caught`.
fn start(program: &Path, bug: Bug, seed: u64, caught: Option<Caught>, unsound: Vec<u64>) -> io::Result<Running> {
    let as_what = if caught.is_some() { "--as-planted" } else { "--planted" };
    let process = Process::start(program, &["run", "--json", as_what, bug.name(), "--seed", &seed.to_string()])?;
    Ok(Running { bug, seed, caught, unsound, process })
}

/// How the bug was noticed in a run that ended so, if it was.
fn judge(seed: u64, said: Said) -> io::Result<Option<Caught>> {
    let (by, said) = match said {
        Said::Report(report) if report.broken.is_empty() => return Ok(None),
        Said::Ended(how) => return Err(io::Error::other(format!("somebody ended a run: {how}"))),
        Said::Report(report) => noticed(&report),
        Said::BrokeDown(problem) => broke_down(&problem),
        Said::Hung => (vec!["the run does not end".to_owned()], String::new()),
    };
    Ok(Some(Caught { seed, by, said }))
}

/// Checkers, each once, in the order in which they noticed.
fn noticed(report: &Report) -> (Vec<String>, String) {
    let mut by: Vec<String> = Vec::new();
    for broken in &report.broken {
        if !by.contains(&broken.checker) {
            by.push(broken.checker.clone());
        }
    }
    (by, report.broken.first().map(|broken| broken.what.clone()).unwrap_or_default())
}

/// Which assertion or panic ended a run.
fn broke_down(problem: &str) -> (Vec<String>, String) {
    let lines: Vec<&str> = problem.lines().filter(|line| !line.is_empty()).collect();
    if let Some(why) = lines.iter().find_map(|line| line.split_once(STOP).map(|(_, why)| why)) {
        return (vec!["assertion: the shard stops".to_owned()], why.to_owned());
    }
    let at = lines.iter().position(|line| line.contains("panicked at"));
    let place = at.map_or("", |at| lines[at].split_once("panicked at ").map_or("", |(_, place)| place));
    let said = at.and_then(|at| lines.get(at + 1)).or(lines.first()).copied().unwrap_or_default();
    let file = place.split(':').next().unwrap_or_default();
    // Of a dependency its name is enough.
    let file = file.rsplit_once("/registry/src/").map_or(file, |(_, path)| path.split('/').nth(1).unwrap_or(path));
    (vec![format!("panic: {file}")], said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_of_the_ledger_is_told_from_any_other_panic() {
        let stop =
            "\nthread 'main' (7) panicked at ledger/src/state/books.rs:9:5:\nthe shard stops: a Commit takes 3\n";
        assert_eq!(broke_down(stop), (vec!["assertion: the shard stops".to_owned()], "a Commit takes 3".to_owned()));
        let other = "thread 'main' panicked at /home/x/.cargo/registry/src/index-1/openraft-0.10/src/a.rs:1:2:\nassertion failed\n";
        assert_eq!(broke_down(other), (vec!["panic: openraft-0.10".to_owned()], "assertion failed".to_owned()));
        let own = "thread 'main' panicked at node/src/shard/machine.rs:1:2:\nno\n";
        assert_eq!(broke_down(own).0, ["panic: node/src/shard/machine.rs"]);
    }
}
