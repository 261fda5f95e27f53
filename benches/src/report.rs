//! What a load showed, as a line of JSON and as a row of a table.

use crate::{
    Failed,
    load::measured::Measured,
    usage::{Machine, Usage},
};
use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// How a result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people; Markdown.
    Table,
    /// For programs.
    Json,
}

/// Tells the result of a measurement, or why it came to nothing, and how the program is to end.
pub fn tell<T: Serialize>(done: Result<(T, Output), Failed>, table: impl Fn(&T) -> String) -> ExitCode {
    match done {
        Ok((result, Output::Table)) => println!("{}", table(&result)),
        Ok((result, Output::Json)) => {
            println!("{}", serde_json::to_string_pretty(&result).expect("plain numbers"));
        }
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Of one shape.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Name of the shape.
    pub shape: String,
    /// Operations that ended.
    pub operations: u64,
    /// Of these, refused.
    pub refused: u64,
    /// Of these, refused because others stood in the way.
    pub contended: u64,
    /// Of these, turned away because more was asked than can be done.
    pub overloaded: u64,
    /// Of these, turned away for another reason: nobody to ask, too late.
    pub turned_away: u64,
    /// Of these, nobody knows.
    pub unknown: u64,
    /// How long it took.
    pub seconds: f64,
    /// Operations a second.
    pub rate: f64,
    /// Half of all stay within; latencies are corrected for coordinated omission.
    pub p50_ms: f64,
    /// 99 of 100 stay within.
    pub p99_ms: f64,
    /// 999 of 1,000 stay within.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// The same as callers saw it.
    pub seen_p99_ms: f64,
    /// Processor seconds of all servers for a million operations; 0 where no server was named.
    pub server_cpu_s_per_million: f64,
    /// Processor seconds of the load generator for a million operations.
    pub client_cpu_s_per_million: f64,
    /// Resident memory of all servers in the end.
    pub server_rss_mib: f64,
    /// Synced writes of all servers.
    pub fsyncs: u64,
    /// Bytes that all servers sent to their disks.
    pub bytes_written: u64,
    /// Share of this machine's processors that neither servers nor load generator had, 0 to 1: other processes, the kernel's
    /// own threads, the host's other machines. Where it is large, the rate says little.
    pub elsewhere_share: f64,
    /// Of it, the host's other machines.
    pub stolen_share: f64,
}

/// What was counted of the servers and of this process while a load went on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// All servers together.
    pub servers: Usage,
    /// This process.
    pub own: Usage,
    /// Synced writes of all servers.
    pub fsyncs: u64,
    /// The processors of this machine.
    pub machine: Machine,
}

impl Counted {
    /// With the machine and this process as they are now.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn now(servers: Usage, fsyncs: u64) -> Result<Self, Failed> {
        Ok(Self { servers, own: Usage::own()?, fsyncs, machine: Machine::now()? })
    }

    /// What was counted since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            servers: self.servers.since(earlier.servers),
            own: self.own.since(earlier.own),
            fsyncs: self.fsyncs.saturating_sub(earlier.fsyncs),
            machine: self.machine.since(earlier.machine),
        }
    }
}

impl Report {
    /// Puts it together.
    pub fn new(shape: &str, measured: &Measured, closed: bool, seconds: f64, counted: Counted) -> Self {
        let shown = if closed { measured.corrected() } else { measured.clone() };
        let counts = measured.counts;
        let millions = counts.all() as f64 / 1e6;
        Self {
            shape: shape.to_owned(),
            operations: counts.all(),
            refused: counts.refused,
            contended: counts.contended,
            overloaded: counts.overloaded,
            turned_away: counts.turned_away,
            unknown: counts.unknown,
            seconds,
            rate: counts.all() as f64 / seconds,
            p50_ms: shown.quantile_ms(0.5),
            p99_ms: shown.quantile_ms(0.99),
            p999_ms: shown.quantile_ms(0.999),
            max_ms: shown.max_ms(),
            seen_p99_ms: measured.quantile_ms(0.99),
            server_cpu_s_per_million: counted.servers.cpu_seconds / millions,
            client_cpu_s_per_million: counted.own.cpu_seconds / millions,
            server_rss_mib: counted.servers.resident_mib(),
            fsyncs: counted.fsyncs,
            bytes_written: counted.servers.written_bytes,
            elsewhere_share: counted.machine.elsewhere(counted.servers.cpu_seconds + counted.own.cpu_seconds),
            stolen_share: counted.machine.stolen_seconds / counted.machine.whole_seconds.max(f64::EPSILON),
        }
    }

    /// What others had of the machine, for people.
    pub fn elsewhere(&self) -> String {
        format!("{:.0} %, {:.0} %", 100.0 * self.elsewhere_share, 100.0 * self.stolen_share)
    }

    /// Per million operations.
    pub fn per_million(&self, number: u64) -> f64 {
        number as f64 / (self.operations.max(1) as f64 / 1e6)
    }
}

/// A table in Markdown that has no rows yet.
pub fn markdown<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    table
}

/// The rows of several shapes, as Markdown.
pub fn table(reports: &[Report]) -> String {
    let mut table = markdown([
        "shape",
        "operations/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "server CPU-s per million",
        "client CPU-s per million",
        "server MiB",
        "fsyncs per million",
        "MB written per million",
        "refused",
        "overloaded",
        "turned away, unknown",
        "machine elsewhere, stolen",
    ]);
    for report in reports {
        table.add_row([
            report.shape.clone(),
            format!("{:.0}", report.rate),
            format!("{:.2}", report.p50_ms),
            format!("{:.1}", report.p99_ms),
            format!("{:.1}", report.p999_ms),
            format!("{:.1}", report.max_ms),
            format!("{:.1}", report.server_cpu_s_per_million),
            format!("{:.1}", report.client_cpu_s_per_million),
            format!("{:.0}", report.server_rss_mib),
            format!("{:.0}", report.per_million(report.fsyncs)),
            format!("{:.0}", report.per_million(report.bytes_written) / 1e6),
            (report.refused + report.contended).to_string(),
            report.overloaded.to_string(),
            format!("{}, {}", report.turned_away, report.unknown),
            report.elsewhere(),
        ]);
    }
    table.to_string()
}
