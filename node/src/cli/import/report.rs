//! What an import tells at its end. The JSON keys are stable.

use super::verdict::{End, Verdict};
use crate::cli::output::{View, list};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How rows ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) done: u64,
    pub(super) refused: u64,
    pub(super) bad_input: u64,
    pub(super) unavailable: u64,
    pub(super) unknown: u64,
    /// Of those done: repeated, and done by an earlier run.
    pub(super) replayed: u64,
}

impl Counts {
    pub(super) fn add(&mut self, verdict: &Verdict) {
        let count = match verdict.end {
            End::Done => &mut self.done,
            End::Refused => &mut self.refused,
            End::BadInput => &mut self.bad_input,
            End::Unavailable => &mut self.unavailable,
            End::Unknown => &mut self.unknown,
        };
        *count += 1;
        self.replayed += u64::from(verdict.replayed);
    }

    pub(super) fn rows(&self) -> u64 {
        self.done + self.refused + self.bad_input + self.unavailable + self.unknown
    }
}

/// The end of an import.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) dry_run: bool,
    /// Every row of the file was reached.
    pub(super) finished: bool,
    /// Rows with a verdict, of all runs of this import; in a dry run: of this one.
    rows: u64,
    #[serde(flatten)]
    counts: Counts,
    /// Rows whose verdict is of an earlier run.
    skipped: u64,
    /// Of this run.
    seconds: f64,
    rows_per_second: f64,
    results: PathBuf,
}

impl Report {
    pub(super) fn new(
        (dry_run, finished): (bool, bool),
        counts: Counts,
        skipped: u64,
        took: Duration,
        results: PathBuf,
    ) -> Self {
        let seconds = took.as_secs_f64();
        let worked = if dry_run { counts.rows() } else { counts.rows().saturating_sub(skipped) };
        let rate = if seconds > 0.0 { worked as f64 / seconds } else { 0.0 };
        let rounded = |number: f64| (number * 1_000.0).round() / 1_000.0;
        Self {
            dry_run,
            finished,
            rows: counts.rows(),
            counts,
            skipped,
            seconds: rounded(seconds),
            rows_per_second: rounded(rate),
            results,
        }
    }

    /// Nobody can tell of some rows whether they are done.
    pub(super) fn has_unknown(&self) -> bool {
        self.counts.unknown > 0
    }

    /// The gravest wins: 4 unknown, 3 not all was reached, 2 bad input, 1 refused, 0 all done.
    pub(super) fn exit_code(&self) -> u8 {
        let Counts { refused, bad_input, unavailable, unknown, .. } = self.counts;
        match () {
            () if unknown > 0 => 4,
            () if unavailable > 0 || !self.finished => 3,
            () if bad_input > 0 => 2,
            () if refused > 0 => 1,
            () => 0,
        }
    }

    /// The same for the shell.
    pub(super) fn exit(&self) -> ExitCode {
        ExitCode::from(self.exit_code())
    }
}

impl View for Report {
    fn table(&self) -> String {
        let (would, extent) = match (self.dry_run, self.finished) {
            (true, true) => (" (would be)", "dry run of the whole file: nothing was changed"),
            (true, false) => (" (would be)", "dry run that was stopped: nothing was changed"),
            (false, true) => ("", "the whole file"),
            (false, false) => ("", "stopped before the end: run it again to go on"),
        };
        let some = |count: u64| if count == 0 { String::new() } else { count.to_string() };
        list([
            ("import", extent.to_owned()),
            ("rows", self.rows.to_string()),
            ("done", format!("{}{would}", self.counts.done)),
            ("refused", format!("{}{would}", self.counts.refused)),
            ("bad input", self.counts.bad_input.to_string()),
            ("unavailable", some(self.counts.unavailable)),
            ("unknown", some(self.counts.unknown)),
            ("replayed", some(self.counts.replayed)),
            ("skipped", some(self.skipped)),
            ("seconds", format!("{:.3} ({:.0} rows/s)", self.seconds, self.rows_per_second)),
            ("results", self.results.display().to_string()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(finished: bool, counts: Counts) -> Report {
        Report::new((false, finished), counts, 10, Duration::from_millis(1_500), "r.csv".into())
    }

    #[test]
    fn the_gravest_end_is_the_exit_code() {
        let counts = Counts { done: 40, ..Counts::default() };
        assert_eq!(report(true, counts).exit_code(), 0);
        assert_eq!(report(false, counts).exit_code(), 3);
        let counts = Counts { refused: 1, ..counts };
        assert_eq!(report(true, counts).exit_code(), 1);
        let counts = Counts { bad_input: 1, ..counts };
        assert_eq!(report(true, counts).exit_code(), 2);
        let counts = Counts { unavailable: 1, ..counts };
        assert_eq!(report(true, counts).exit_code(), 3);
        let counts = Counts { unknown: 1, ..counts };
        assert_eq!(report(true, counts).exit_code(), 4);
        assert_eq!(report(false, counts).exit_code(), 4);
    }

    #[test]
    fn the_keys_are_these_and_no_others() {
        let json = serde_json::to_value(report(true, Counts { done: 40, ..Counts::default() })).expect("JSON");
        let mut keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut expected: Vec<&str> =
            "dry_run finished rows done refused bad_input unavailable unknown replayed skipped \
             seconds rows_per_second results"
                .split_whitespace()
                .collect();
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(
            (&json["rows"], &json["seconds"], &json["rows_per_second"]),
            (&40.into(), &1.5.into(), &20.0.into())
        );
    }
}
