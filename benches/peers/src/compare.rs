//! Systems beside each other.

use comfy_table::{Table, presets};
use earmark_benches::report::Report;
use serde::Serialize;

/// What one system showed in one shape.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub system: &'static str,
    /// What it showed.
    #[serde(flatten)]
    pub report: Report,
}

/// Markdown; ratios are to the first system of the same shape.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "shape",
        "system",
        "operations/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "server CPU-s per million",
        "rate to the first",
        "p99 to the first",
        "CPU to the first",
        "refused",
        "unknown",
        "machine elsewhere, stolen",
    ]);
    for row in rows {
        let report = &row.report;
        let first = rows.iter().find(|other| other.report.shape == report.shape).map_or(report, |row| &row.report);
        let ratio = |of: fn(&Report) -> f64| format!("{:.2}", of(report) / of(first));
        table.add_row([
            report.shape.clone(),
            row.system.to_owned(),
            format!("{:.0}", report.rate),
            format!("{:.2}", report.p50_ms),
            format!("{:.1}", report.p99_ms),
            format!("{:.1}", report.p999_ms),
            format!("{:.1}", report.server_cpu_s_per_million),
            ratio(|report| report.rate),
            ratio(|report| report.p99_ms),
            ratio(|report| report.server_cpu_s_per_million),
            report.refused.to_string(),
            (report.overloaded + report.turned_away + report.unknown).to_string(),
            report.elsewhere(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_first_of_the_shape() {
        let row = |system, shape: &str, rate| Row {
            system,
            report: Report {
                shape: shape.to_owned(),
                rate,
                p99_ms: 1.0,
                server_cpu_s_per_million: 1.0,
                ..Report::default()
            },
        };
        let rows = [row("a", "x", 10.0), row("b", "x", 5.0), row("a", "y", 3.0), row("b", "y", 6.0)];
        let told = table(&rows);
        let ratios: Vec<&str> = told.lines().skip(2).filter_map(|line| line.split('|').nth(8)).map(str::trim).collect();
        assert_eq!(ratios, ["1.00", "0.50", "1.00", "2.00"], "{told}");
    }
}
