//! How far the import is: a bar on a terminal, a line now and then elsewhere. Both go to standard error.

use super::report::Counts;
use super::source::Source;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how far the import is.
pub(super) struct Meter {
    bar: Option<ProgressBar>,
    last: Instant,
    skipped: u64,
    begun: Instant,
}

impl Meter {
    /// `skipped`: rows that an earlier run settled.
    pub(super) fn new(source: &Source, skipped: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let (bar, form) = match source.size() {
                Some(size) => (ProgressBar::new(size), "{wide_bar} {bytes}/{total_bytes} {eta}  {msg}"),
                None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
            };
            bar.enable_steady_tick(Duration::from_millis(200));
            bar.with_style(ProgressStyle::with_template(form).expect("the template is valid"))
        });
        Self { bar, last: Instant::now(), skipped, begun: Instant::now() }
    }

    /// So far.
    pub(super) fn tell(&mut self, source: &Source, counts: &Counts) {
        if let Some(bar) = &self.bar {
            bar.set_position(source.read());
            bar.set_message(self.text(counts));
        } else if self.last.elapsed() >= LINE_EVERY {
            self.last = Instant::now();
            let extent = match source.size() {
                Some(size) if size > 0 => format!("{} %", source.read().saturating_mul(100) / size),
                _ => HumanBytes(source.read()).to_string(),
            };
            eprintln!("import: {extent} read, {}", self.text(counts));
        }
    }

    /// A line for people that the bar does not write over.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, counts: &Counts) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let rate = counts.rows().saturating_sub(self.skipped) as f64 / seconds;
        let failed = counts.rows() - counts.done;
        format!("{} rows, {} not done, {rate:.0} rows/s", HumanCount(counts.rows()), HumanCount(failed))
    }
}
