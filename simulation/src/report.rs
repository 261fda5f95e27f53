//! What a run showed.

use crate::{
    scenario::{Kind, Scenario},
    trace::Trace,
    watch::{CLOCK_AHEAD_MS_MAX, Watch},
};
use earmark_jepsen::{
    checker::{self, told_again},
    history::{Broken, End, History, Operation},
    model::ClockBound,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Operations shown around what was broken.
const AROUND_MAX: usize = 60;

/// Operations named beside what was broken.
const NAMED_MAX: usize = 12;

/// What a run showed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Of the scenario.
    pub seed: u64,
    /// Hash over all events.
    pub trace: String,
    /// How many events there were.
    pub events: u64,
    /// Virtual time the run took.
    pub virtual_seconds: f64,
    /// Virtual time in which clients worked and faults came.
    pub worked_seconds: f64,
    /// Processor time the run took, checkers included.
    pub cpu_seconds: f64,
    /// Operations of clients that ended. The harness's own are judged as well, but not counted.
    pub operations: u64,
    /// Of these, nobody knows whether they happened.
    pub unknown: u64,
    /// Reserves of several SKUs.
    pub carts: u64,
    /// Ends, by operation and kind of end.
    pub ends: BTreeMap<String, u64>,
    /// Faults that took hold, by class.
    pub faults: BTreeMap<String, u64>,
    /// What faults led to: snapshots installed, nodes that doubted their store, re-seeds, and so on.
    pub met: BTreeMap<String, u64>,
    /// What checkers looked at, by checker.
    pub checks: BTreeMap<String, u64>,
    /// Cases that a checker could not decide with the work it may do, by checker.
    pub undecided: BTreeMap<String, u64>,
    /// Promises that were broken.
    pub broken: Vec<Broken>,
    /// Operations around what was broken, as text.
    pub around: Vec<String>,
}

/// When what happened in a run, in virtual milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// The cluster was formed and stocked: clients came.
    pub opened_ms: u64,
    /// Faults were over, and clients began nothing new.
    pub closed_ms: u64,
    /// The run was over.
    pub over_ms: u64,
}

impl Times {
    fn worked_ms(&self) -> u64 {
        self.closed_ms.saturating_sub(self.opened_ms)
    }

    fn is_of_clients(&self, operation: &Operation) -> bool {
        (self.opened_ms..=self.closed_ms).contains(&(operation.invoked_ns / 1_000_000))
    }
}

impl Report {
    /// Judges a run.
    pub fn new(
        scenario: &Scenario,
        history: &History,
        watch: &Watch,
        (faults, met): (&BTreeMap<Kind, u64>, BTreeMap<String, u64>),
        times: &Times,
        trace: &Trace,
    ) -> Self {
        let (hash, events) = trace.hash();
        let mut report = Self {
            seed: scenario.seed,
            trace: format!("{hash:016x}"),
            events,
            virtual_seconds: times.over_ms as f64 / 1_000.0,
            worked_seconds: times.worked_ms() as f64 / 1_000.0,
            faults: faults.iter().map(|(kind, count)| (kind.name().to_owned(), *count)).collect(),
            broken: watch.broken(),
            met,
            ..Self::default()
        };
        for operation in history.operations.iter().filter(|operation| times.is_of_clients(operation)) {
            report.operations += 1;
            let end = match &operation.end {
                End::Done { .. } => "done",
                End::Refused { code, .. } if code == "CONTENDED" => "contended",
                End::Refused { .. } => "refused",
                End::Unknown { .. } => "unknown",
            };
            *report.ends.entry(format!("{} {end}", operation.action.name())).or_default() += 1;
            report.unknown += u64::from(operation.is_unknown());
            if let earmark_jepsen::history::Action::Reserve { lines, .. } = &operation.action {
                report.carts += u64::from(lines.len() > 1);
            }
        }
        let counts = watch.counts();
        report.checks = [
            ("digests", counts.applied),
            ("log-matching", counts.applied),
            ("no-oversell", counts.applied),
            ("snapshots", counts.installed),
            ("one-leader", counts.leaderships),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into();
        report.checks.extend(watch.all_looked().into_iter().map(|(name, count)| (name.to_owned(), count)));
        report.met.insert("snapshots".to_owned(), counts.installed);
        report.judge(history);
        report.judge_memory(scenario, history);
        report.show(history);
        report
    }
}

impl Report {
    /// How long a refusal is remembered is known only where no clock is wild: the SDK has the servers' time from some node,
    /// and says by it until when its request may take effect.
    fn judge_memory(&mut self, scenario: &Scenario, history: &History) {
        if scenario.faults.iter().any(|fault| matches!(fault.kind, Kind::ClockJump | Kind::ClockDrift)) {
            return;
        }
        // Once by the SDK's idea of the servers' time, once by the servers' own.
        let found = told_again::check(history, scenario.timeout_ms.saturating_sub(2 * CLOCK_AHEAD_MS_MAX));
        self.checks.insert("told-again".to_owned(), found.looked_at);
        self.broken.extend(found.broken);
    }

    /// Has every checker look at the history.
    fn judge(&mut self, history: &History) {
        for (name, found) in checker::all(history, ClockBound(CLOCK_AHEAD_MS_MAX)) {
            self.checks.insert(name.to_owned(), found.looked_at);
            if found.undecided > 0 {
                self.undecided.insert(name.to_owned(), found.undecided);
            }
            self.broken.extend(found.broken);
        }
    }

    /// The operations around all that was broken.
    fn show(&mut self, history: &History) {
        let mut around: Vec<usize> = self.broken.iter().flat_map(|broken| broken.around.iter().copied()).collect();
        around.sort_unstable();
        around.dedup();
        let more = around.len().saturating_sub(AROUND_MAX);
        around.truncate(AROUND_MAX);
        self.around = around.into_iter().map(|place| line(place, &history.operations[place])).collect();
        if more > 0 {
            self.around.push(format!("and {more} more: --history FILE writes them all"));
        }
    }
}

/// A broken promise as a line of text. The operations that show it are named by their numbers in the history, as in
/// [`Report::around`].
pub fn told(broken: &Broken) -> String {
    let Broken { promise, checker, what, around } = broken;
    let mut places: Vec<String> = around.iter().take(NAMED_MAX).map(usize::to_string).collect();
    if let more @ 1.. = around.len().saturating_sub(NAMED_MAX) {
        places.push(format!("and {more} more"));
    }
    let by = if places.is_empty() { String::new() } else { format!(" [operations {}]", places.join(", ")) };
    format!("BROKEN {promise} ({checker}): {what}{by}")
}

/// The operations that ended last, as text.
pub fn last(history: &History, count: usize) -> Vec<String> {
    let first = history.operations.len().saturating_sub(count);
    history.operations.iter().enumerate().skip(first).map(|(place, operation)| line(place, operation)).collect()
}

#[cfg(feature = "second-opinion")]
impl Report {
    /// Has another search judge the history.
    pub fn ask_again(&mut self, history: &History) {
        let found = checker::second_opinion::check(history, ClockBound(CLOCK_AHEAD_MS_MAX));
        self.checks.insert("second-opinion".to_owned(), found.looked_at);
        if found.undecided > 0 {
            self.undecided.insert("second-opinion".to_owned(), found.undecided);
        }
        self.broken.extend(found.broken);
        self.show(history);
    }
}

fn line(place: usize, operation: &Operation) -> String {
    let seconds = |ns: u64| ns as f64 / 1e9;
    format!(
        "{place:>5} process {:<3} {:.3}..{:.3} s {:?} -> {:?}",
        operation.process,
        seconds(operation.invoked_ns),
        seconds(operation.ended_ns),
        operation.action,
        operation.end
    )
}
