//! Many seeds, each in a process of its own, and what they showed together.
//!
//! The machine's clock stands still in this binary, so times are read from the kernel's own files.

use crate::{
    kept::Kept,
    process::{LOOK_EVERY, Process, Said},
    report::Report,
    scenario::{FAULTS_MIN, Kind},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::{Path, PathBuf},
    thread::sleep,
};

/// What seeds showed together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Swept {
    /// How many were run.
    pub seeds: u64,
    /// How many of them an earlier call had run.
    pub kept: u64,
    /// How many of them broke a promise, or broke down.
    pub failed: u64,
    /// Which.
    pub failed_seeds: Vec<u64>,
    /// The commands that run these again, in their order.
    pub again: Vec<String>,
    /// Virtual time, over all.
    pub virtual_seconds: f64,
    /// Time of processors, over all.
    pub cpu_seconds: f64,
    /// Operations of clients that ended.
    pub operations: u64,
    /// Of these, nobody knows whether they happened.
    pub unknown: u64,
    /// Reserves of several SKUs.
    pub carts: u64,
    /// Faults that took hold, by class; of those that never did, 0.
    pub faults: BTreeMap<String, u64>,
    /// What faults led to.
    pub met: BTreeMap<String, u64>,
    /// What checkers looked at.
    pub checks: BTreeMap<String, u64>,
    /// Cases that a checker could not decide.
    pub undecided: BTreeMap<String, u64>,
    /// Ends, by operation and kind of end.
    pub ends: BTreeMap<String, u64>,
    /// Classes of faults, operations and ends that never occurred.
    pub missing: Vec<String>,
    /// Seeds whose runs were shorter than a run has to be, had fewer operations or fewer faults.
    pub small: Vec<u64>,
}

/// What a run has to be at least, to say something: virtual seconds in which clients work, operations of theirs, faults that
/// took hold.
const RUN_MIN: (f64, u64, u64) = (120.0, 500, FAULTS_MIN as u64);

/// A run of a sweep, as it ended.
pub struct Ended {
    /// Which seed.
    pub seed: u64,
    /// What it showed; else what the process said when it broke down.
    pub shown: Result<Report, String>,
}

impl Ended {
    /// Whether all was well.
    pub fn is_clean(&self) -> bool {
        self.shown.as_ref().is_ok_and(|report| report.broken.is_empty())
    }
}

struct Running {
    seed: u64,
    process: Process,
}

/// What a sweep is to do.
pub struct Plan {
    /// This program.
    pub program: PathBuf,
    /// Which seeds.
    pub seeds: Range<u64>,
    /// Ends the work of clients, and the faults, after so many virtual seconds.
    pub seconds: Option<u64>,
    /// Runs at once.
    pub jobs: usize,
    /// Where ended seeds are kept.
    pub kept: Option<Kept>,
}

/// Runs every seed of a range that has not ended yet, and tells each as it ends; those that had ended are told first.
///
/// # Errors
/// If a process can't be started, or what ended can't be kept.
pub fn sweep(mut plan: Plan, mut tell: impl FnMut(&Ended, &Swept)) -> io::Result<Swept> {
    let none = Kind::ALL.map(|kind| (kind.name().to_owned(), 0));
    let mut swept = Swept { faults: none.into(), ..Swept::default() };
    let mut coming = Vec::new();
    for seed in plan.seeds.clone() {
        match plan.kept.as_ref().and_then(|kept| kept.of(seed)) {
            Some(ended) => {
                swept.add(ended);
                swept.kept += 1;
                tell(ended, &swept);
            }
            None => coming.push(seed),
        }
    }
    coming.reverse();
    let mut running: Vec<Running> = Vec::new();
    loop {
        while running.len() < plan.jobs.max(1)
            && let Some(seed) = coming.pop()
        {
            running.push(start(&plan.program, seed, plan.seconds)?);
        }
        if running.is_empty() {
            break;
        }
        sleep(LOOK_EVERY);
        let mut still = Vec::new();
        for mut run in running {
            match run.process.look()? {
                None => still.push(run),
                Some(said) => {
                    // What others ended is run again by the next call.
                    let counts = !matches!(said, Said::Ended(_));
                    let ended = ended(run.seed, said);
                    if let Some(kept) = plan.kept.as_mut().filter(|_| counts) {
                        kept.add(&ended)?;
                    }
                    swept.add(&ended);
                    tell(&ended, &swept);
                }
            }
        }
        running = still;
    }
    swept.failed_seeds.sort_unstable();
    swept.small.sort_unstable();
    swept.missing = missing(&swept);
    Ok(swept)
}

fn start(program: &Path, seed: u64, seconds: Option<u64>) -> io::Result<Running> {
    let mut arguments = vec!["run".to_owned(), "--json".to_owned(), "--seed".to_owned(), seed.to_string()];
    if let Some(seconds) = seconds {
        arguments.extend(["--seconds".to_owned(), seconds.to_string()]);
    }
    if SECOND_OPINION {
        arguments.push("--second-opinion".to_owned());
    }
    Ok(Running { seed, process: Process::start(program, &arguments)? })
}

fn ended(seed: u64, said: Said) -> Ended {
    let shown = match said {
        Said::Report(report) => Ok(*report),
        Said::Hung => Err("the run does not end".to_owned()),
        Said::Ended(how) => Err(format!("somebody ended it: {how}")),
        Said::BrokeDown(problem) => {
            let lines: Vec<&str> = problem.lines().filter(|line| !line.is_empty()).take(6).collect();
            Err(lines.join("\n"))
        }
    };
    Ended { seed, shown }
}

impl Swept {
    fn add(&mut self, ended: &Ended) {
        self.seeds += 1;
        if !ended.is_clean() {
            self.failed += 1;
            self.failed_seeds.push(ended.seed);
        }
        let Ok(report) = &ended.shown else { return };
        let (seconds, operations, faults) = RUN_MIN;
        let few = report.operations < operations || report.faults.values().sum::<u64>() < faults;
        if report.worked_seconds < seconds || few {
            self.small.push(ended.seed);
        }
        self.virtual_seconds += report.virtual_seconds;
        self.cpu_seconds += report.cpu_seconds;
        self.operations += report.operations;
        self.unknown += report.unknown;
        self.carts += report.carts;
        for (total, one) in [
            (&mut self.faults, &report.faults),
            (&mut self.met, &report.met),
            (&mut self.checks, &report.checks),
            (&mut self.undecided, &report.undecided),
            (&mut self.ends, &report.ends),
        ] {
            for (name, count) in one {
                *total.entry(name.clone()).or_default() += count;
            }
        }
    }

    /// Seeds a processor does in an hour.
    pub fn seeds_per_cpu_hour(&self) -> f64 {
        self.seeds as f64 * 3_600.0 / self.cpu_seconds.max(0.001)
    }

    /// Virtual time by time of processors.
    pub fn speed(&self) -> f64 {
        self.virtual_seconds / self.cpu_seconds.max(0.001)
    }

    /// Whether no promise was broken, and everything that a sweep is to cover occurred.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.missing.is_empty() && self.small.is_empty()
    }
}

/// How an operation can end that stock may lack for, or that other shards have to agree to.
const ALL_ENDS: &[&str] = &["done", "refused", "contended", "unknown"];

/// How an operation can end that is decided at once.
const ENDS: &[&str] = &["done", "refused", "unknown"];

/// Every operation that changes something, and how it can end. A receipt, an announcement and a count of what is there
/// are refused to nobody.
const CHANGES: [(&str, &[&str]); 23] = [
    ("reserve", ALL_ENDS),
    ("reserve-some", ALL_ENDS),
    ("replace", ALL_ENDS),
    ("revive", ALL_ENDS),
    ("ship", ALL_ENDS),
    ("commit", ENDS),
    ("release", ENDS),
    ("extend", ENDS),
    ("mark-paying", ENDS),
    ("cancel", ENDS),
    ("return", ENDS),
    ("receive", &["done", "unknown"]),
    ("receive-expected", &["done", "unknown"]),
    ("expect", &["done", "unknown"]),
    ("adjust", ENDS),
    ("set", ENDS),
    ("count", &["done", "unknown"]),
    ("quarantine", ENDS),
    ("unquarantine", ENDS),
    ("write-off", ENDS),
    ("transfer", ENDS),
    ("arrive", ENDS),
    ("configure", ENDS),
];

/// Every operation that only looks.
const READS: [&str; 12] = [
    "read-stock",
    "read-reservation",
    "read-settings",
    "session-stock",
    "session-reservation",
    "bounded-stock",
    "bounded-reservation",
    "dry-run",
    "list-reservations",
    "list-in-transit",
    "list-shortages",
    "list-expiring",
];

/// What clients have to have done in a sweep beside its operations, and what faults have to have led to: snapshots installed, nodes that doubted their stores and were re-seeded, power
/// losses that lost something, and so on.
const MET: [&str; 10] = [
    "batched",
    "snapshots",
    "doubted",
    "reseeds",
    "poisoned",
    "lost-writes",
    "torn-marks",
    "doubled",
    "unheard",
    "late-reads",
];

/// Every checker that counts what it looked at.
const CHECKERS: [&str; 20] = [
    "acknowledged",
    "books",
    "calm",
    "counts",
    "digests",
    "expiry",
    "fresh",
    "journal",
    "journal-books",
    "linearizable",
    "lists",
    "log-matching",
    "no-oversell",
    "one-effect",
    "one-leader",
    "shortages",
    "strict-serializable",
    "surely-not-done",
    "told-again",
    "whole-carts",
];

/// A build that has another search judge histories has it judge all of a sweep.
const SECOND_OPINION: bool = cfg!(feature = "second-opinion");

/// What a sweep has to have met to say anything: every class of fault, what faults lead to, every operation, every way in
/// which it can end, and something to look at for every checker.
fn missing(swept: &Swept) -> Vec<String> {
    let mut missing: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| kind.name())
        .filter(|name| swept.faults.get(*name).is_none_or(|count| *count == 0))
        .map(str::to_owned)
        .collect();
    for name in MET.iter().filter(|name| swept.met.get(**name).is_none_or(|count| *count == 0)) {
        // Some faults are met under their own name.
        if missing.iter().all(|known| known != name) {
            missing.push((*name).to_owned());
        }
    }
    let wanted = CHANGES.iter().flat_map(|(action, ends)| ends.iter().map(move |end| format!("{action} {end}")));
    let wanted = wanted.chain(READS.iter().map(|read| format!("{read} done")));
    missing.extend(wanted.filter(|name| !swept.ends.contains_key(name)));
    let blind = CHECKERS.iter().chain(SECOND_OPINION.then_some(&"second-opinion"));
    let blind = blind.filter(|name| swept.checks.get(**name).is_none_or(|count| *count == 0));
    missing.extend(blind.map(|name| format!("anything for {name}")));
    missing
}

/// Seconds this process has used of the machine's processors, as the kernel counts them.
pub fn cpu_seconds() -> f64 {
    /// Of /proc, on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in brackets, may have spaces.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let field = |place: usize| after.split_whitespace().nth(place).and_then(|field| field.parse::<f64>().ok());
    (field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)) / TICKS_PER_SECOND
}
