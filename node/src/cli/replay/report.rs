//! What a replay tells at its end. The JSON keys are stable.

use super::books::Verdict;
use super::carts::Carts;
use super::orders::Orders;
use super::play::Played;
use crate::cli::output::{View, list};
use serde::Serialize;
use std::process::ExitCode;

/// The end of a replay.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Baskets with at least one usable line.
    orders: usize,
    /// Usable lines.
    lines: usize,
    /// Rows left out.
    lines_invalid: u64,
    units_asked: u64,
    units_committed: u64,
    units_released: u64,
    units_refused: u64,
    reservations_committed: u64,
    reservations_refused: u64,
    reservations_unknown: u64,
    oversold_units: u64,
    conserved: bool,
    digest_equal: bool,
    /// Of playing, without receiving and reading back.
    seconds: f64,
    reserve_p50_ms: f64,
    reserve_p99_ms: f64,
    /// Reservations over more than one shard.
    carts_multi_shard: u64,
    /// How long carts were undecided at a shard that is not their home: the highest of any shard since its leader was
    /// opened.
    in_doubt_p99_ms: u64,
    in_doubt_max_ms: u64,
}

impl Report {
    pub(super) fn new(
        orders: &Orders,
        played: &Played,
        verdict: &Verdict,
        oversold_by_replicas: u64,
        digest_equal: bool,
        carts: Carts,
    ) -> Self {
        let percentile = |share| thousandths(played.reserve_us.value_at_quantile(share));
        Self {
            orders: orders.orders,
            lines: orders.lines.len(),
            lines_invalid: orders.invalid,
            units_asked: orders.units_asked(),
            units_committed: played.tallies.iter().map(|tally| tally.committed).sum(),
            units_released: played.tallies.iter().map(|tally| tally.released).sum(),
            units_refused: played.tallies.iter().map(|tally| tally.refused).sum(),
            reservations_committed: played.committed,
            reservations_refused: played.refused,
            reservations_unknown: played.unknown,
            oversold_units: verdict.oversold_units + oversold_by_replicas,
            conserved: verdict.conserved(),
            digest_equal,
            seconds: thousandths(u64::try_from(played.elapsed.as_millis()).unwrap_or(u64::MAX)),
            reserve_p50_ms: percentile(0.50),
            reserve_p99_ms: percentile(0.99),
            carts_multi_shard: carts.multi_shard,
            in_doubt_p99_ms: carts.in_doubt_p99_ms,
            in_doubt_max_ms: carts.in_doubt_max_ms,
        }
    }

    /// 0 if every promise was kept, 1 if one was broken, 4 if something stayed unknown.
    pub(super) fn exit_code(&self) -> ExitCode {
        let kept = self.oversold_units == 0 && self.conserved && self.digest_equal;
        match (kept, self.reservations_unknown) {
            (false, _) => ExitCode::from(1),
            (true, 0) => ExitCode::SUCCESS,
            (true, _) => ExitCode::from(4),
        }
    }
}

impl View for Report {
    fn table(&self) -> String {
        let yes = |truth: bool| if truth { "yes" } else { "NO" }.to_owned();
        let rate = if self.seconds > 0.0 { self.lines as f64 / self.seconds } else { 0.0 };
        list([
            ("orders", self.orders.to_string()),
            ("lines", self.lines.to_string()),
            ("lines invalid", self.lines_invalid.to_string()),
            ("units asked", self.units_asked.to_string()),
            ("units committed", self.units_committed.to_string()),
            ("units released", self.units_released.to_string()),
            ("units refused", self.units_refused.to_string()),
            ("reservations committed", self.reservations_committed.to_string()),
            ("reservations refused", self.reservations_refused.to_string()),
            ("reservations unknown", self.reservations_unknown.to_string()),
            ("oversold units", self.oversold_units.to_string()),
            ("units conserved", yes(self.conserved)),
            ("replicas equal", yes(self.digest_equal)),
            ("seconds", format!("{:.3} ({rate:.0} lines/s)", self.seconds)),
            ("reserve p50", format!("{:.3} ms", self.reserve_p50_ms)),
            ("reserve p99", format!("{:.3} ms", self.reserve_p99_ms)),
            ("carts over shards", self.carts_multi_shard.to_string()),
            ("in doubt p99", format!("{} ms", self.in_doubt_p99_ms)),
            ("in doubt max", format!("{} ms", self.in_doubt_max_ms)),
        ])
    }
}

fn thousandths(count: u64) -> f64 {
    count as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::play::Tally;
    use super::*;
    use hdrhistogram::Histogram;
    use std::time::Duration;

    fn report(unknown: u64, oversold: u64) -> Report {
        let played = Played {
            tallies: vec![Tally { committed: 3, released: 2, refused: 1, unknown: 0 }],
            committed: 2,
            refused: 1,
            unknown,
            elapsed: Duration::from_millis(1_500),
            reserve_us: Histogram::new(3).expect("three digits"),
        };
        Report::new(&Orders::default(), &played, &Verdict::default(), oversold, true, Carts::default())
    }

    #[test]
    fn the_keys_are_these_and_no_others() {
        let json = serde_json::to_value(report(0, 0)).expect("JSON");
        let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut expected = "orders lines lines_invalid units_asked units_committed units_released units_refused \
             reservations_committed reservations_refused reservations_unknown oversold_units conserved digest_equal \
             seconds reserve_p50_ms reserve_p99_ms carts_multi_shard in_doubt_p99_ms in_doubt_max_ms"
            .split(' ')
            .filter(|key| !key.is_empty())
            .collect::<Vec<_>>();
        let mut keys = keys;
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(json["seconds"], 1.5);
    }

    #[test]
    fn the_exit_code_tells_broken_promises_and_open_questions() {
        let code = |report: Report| format!("{:?}", report.exit_code());
        assert_eq!(code(report(0, 0)), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(report(1, 0)), format!("{:?}", ExitCode::from(4)));
        assert_eq!(code(report(1, 5)), format!("{:?}", ExitCode::from(1)));
    }
}
