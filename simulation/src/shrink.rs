//! Makes a scenario that fails smaller, as long as the same checker still refuses it.
//!
//! Faults are left out, in halves first and then one by one; then the run is made shorter, and with fewer clients, SKUs,
//! shards and carts. Chance does the rest: a scenario that is smaller is another run, and what was broken may need more
//! luck to happen in it. Each try is a process of its own.

use crate::{
    check::check,
    process::{Process, Said},
    scenario::Scenario,
};
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

/// Runs scenarios in processes of `program`.
pub struct Shrink {
    program: PathBuf,
    /// Where a scenario lies while it is run.
    file: PathBuf,
    /// What each run is asked beside that: which bug to plant.
    more: Vec<String>,
    /// How many runs may be tried.
    tries: u32,
    /// Checkers one of which has to refuse what is kept; a run that broke down has one by that name.
    wanted: BTreeSet<String>,
}

/// A run that broke down told no report.
const BROKE_DOWN: &str = "broke-down";

impl Shrink {
    /// At most so many tries, each with these arguments too.
    pub fn new(program: &Path, tries: u32, more: Vec<String>) -> Self {
        let file = std::env::temp_dir().join(format!("earmark-shrink-{}.toml", std::process::id()));
        Self { program: program.to_owned(), file, more, tries, wanted: BTreeSet::new() }
    }

    /// The smallest scenario found that fails as this one does; none if this one does not fail.
    ///
    /// # Errors
    /// If a process can't be started.
    pub fn shrink(mut self, scenario: &Scenario, mut tell: impl FnMut(&str)) -> io::Result<Option<Scenario>> {
        self.wanted = self.refused_by(scenario)?;
        if self.wanted.is_empty() {
            return Ok(None);
        }
        tell(&format!("refused by {:?}", self.wanted));
        let mut least = scenario.clone();
        loop {
            let before = least.clone();
            self.fewer_faults(&mut least, &mut tell)?;
            for smaller in steps() {
                self.take(&mut least, smaller, &mut tell)?;
            }
            if least == before || self.tries == 0 {
                break;
            }
        }
        std::fs::remove_file(&self.file)?;
        Ok(Some(least))
    }

    fn fewer_faults(&mut self, least: &mut Scenario, tell: &mut impl FnMut(&str)) -> io::Result<()> {
        let mut size = least.faults.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < least.faults.len() {
                let without = |scenario: &Scenario| {
                    let mut fewer = scenario.clone();
                    fewer.faults.drain(from..(from + size).min(fewer.faults.len()));
                    fewer
                };
                if !self.take(least, without, tell)? {
                    from += size;
                }
            }
            size /= 2;
        }
        Ok(())
    }

    /// Keeps what a step makes of the scenario, if it still fails so. Whether it did.
    fn take(
        &mut self,
        least: &mut Scenario,
        smaller: impl Fn(&Scenario) -> Scenario,
        tell: &mut impl FnMut(&str),
    ) -> io::Result<bool> {
        let candidate = smaller(least);
        if candidate == *least || check(&candidate).is_err() || self.tries == 0 {
            return Ok(false);
        }
        self.tries -= 1;
        let fails = !self.refused_by(&candidate)?.is_disjoint(&self.wanted);
        if fails {
            tell(&format!(
                "{} faults, {} s, {} nodes, {} shards, {} SKUs, {} clients",
                candidate.faults.len(),
                candidate.seconds,
                candidate.nodes,
                candidate.shards,
                candidate.skus,
                candidate.machines * (candidate.workers + candidate.readers)
            ));
            *least = candidate;
        }
        Ok(fails)
    }

    /// Which checkers refuse a run.
    fn refused_by(&self, scenario: &Scenario) -> io::Result<BTreeSet<String>> {
        std::fs::write(&self.file, toml::to_string(scenario).map_err(io::Error::other)?)?;
        let replay = [OsStr::new("replay"), self.file.as_os_str(), OsStr::new("--json")];
        let arguments: Vec<&OsStr> = replay.into_iter().chain(self.more.iter().map(OsStr::new)).collect();
        Ok(match Process::start(&self.program, &arguments)?.wait()? {
            Said::Report(report) => report.broken.into_iter().map(|broken| broken.checker).collect(),
            Said::Ended(how) => return Err(io::Error::other(format!("somebody ended a run: {how}"))),
            Said::BrokeDown(_) | Said::Hung => BTreeSet::from([BROKE_DOWN.to_owned()]),
        })
    }
}

/// Each makes one thing smaller.
fn steps() -> [fn(&Scenario) -> Scenario; 8] {
    [
        |scenario| scenario.clone().shortened(scenario.seconds / 2),
        |scenario| scenario.clone().shortened(scenario.seconds * 3 / 4),
        |scenario| Scenario { workers: (scenario.workers / 2).max(1), ..scenario.clone() },
        |scenario| Scenario { readers: scenario.readers / 2, ..scenario.clone() },
        |scenario| Scenario { skus: (scenario.skus / 2).max(1), ..scenario.clone() },
        |scenario| Scenario { shards: (scenario.shards / 2).max(1), ..scenario.clone() },
        |scenario| Scenario { carts_percent: 0, ..scenario.clone() },
        |scenario| Scenario { clocks_ms: Vec::new(), ..scenario.clone() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_makes_a_scenario_smaller_and_none_for_ever() {
        let mut scenario = Scenario::draw(7);
        for _ in 0..20 {
            for step in steps() {
                let smaller = step(&scenario);
                assert!(smaller.seconds <= scenario.seconds && smaller.skus >= 1 && smaller.workers >= 1);
                assert!(smaller.faults.iter().all(|fault| fault.at_ms + fault.for_ms <= smaller.seconds * 1_000));
                scenario = smaller;
            }
        }
        assert_eq!((scenario.workers, scenario.skus, scenario.shards, scenario.carts_percent), (1, 1, 1, 0));
        assert!(scenario.faults.is_empty());
    }
}
