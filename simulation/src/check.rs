//! Whether a scenario makes sense: one from a file may say anything.

use crate::scenario::{CLIENTS_ON_BOTH_SIDES, FLIPPED, Fault, Kind, Scenario, keep_most_clocks};
use std::{fmt::Display, ops::RangeInclusive};

/// No time in a scenario is longer: a day, in milliseconds.
const MS_MAX: u64 = 86_400_000;

/// No clock is further from the right time: ten years, in milliseconds.
const CLOCK_MS_MAX: i64 = 315_360_000_000;

/// A clock that is less wrong counts as right, in milliseconds.
const RIGHT_CLOCK_MS_MAX: u64 = 250;

/// Everything that is out of bounds, by name.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn within<T: PartialOrd + Display>(&mut self, name: &str, value: T, bounds: RangeInclusive<T>) {
        if !bounds.contains(&value) {
            self.0.push(format!("{name} is {value}, and has to be {} to {}", bounds.start(), bounds.end()));
        }
    }

    fn span(&mut self, name: &str, [first, last]: [u64; 2], least: u64) {
        self.within(name, first, least..=MS_MAX);
        self.within(name, last, least..=MS_MAX);
        if first > last {
            self.0.push(format!("{name} goes from {first} to {last}, which is less"));
        }
    }

    fn unless(&mut self, is_so: bool, problem: impl FnOnce() -> String) {
        if !is_so {
            self.0.push(problem());
        }
    }
}

/// Whether a scenario can be run, and whether Earmark promises anything in it.
///
/// # Errors
/// What is wrong with it, each on a line of its own.
pub fn check(scenario: &Scenario) -> Result<(), String> {
    let mut problems = Problems::default();
    settings(scenario, &mut problems);
    if problems.0.is_empty() {
        for (place, fault) in scenario.faults.iter().enumerate() {
            check_fault(&format!("fault {} ({})", place + 1, fault.kind.name()), fault, scenario, &mut problems);
        }
    }
    if problems.0.is_empty() {
        let mut kept = scenario.faults.clone();
        kept.sort_by_key(|fault| fault.at_ms);
        keep_most_clocks(&mut kept, scenario.nodes);
        problems.unless(kept.len() == scenario.faults.len(), || {
            "the clocks of a majority would be wrong at one time, or within twelve seconds; nothing is promised then"
                .to_owned()
        });
    }
    if problems.0.is_empty() { Ok(()) } else { Err(problems.0.join("\n")) }
}

fn settings(scenario: &Scenario, problems: &mut Problems) {
    problems.unless(matches!(scenario.nodes, 3 | 5), || format!("nodes is {}, and has to be 3 or 5", scenario.nodes));
    problems.within("shards", scenario.shards, 1..=64);
    problems.within("seconds", scenario.seconds, 1..=86_400);
    problems.within("tick_ms", scenario.tick_ms, 1..=1_000);
    problems.within("latency_ms_max", scenario.latency_ms_max, 1..=60_000);
    problems.within("machines", scenario.machines, 1..=16);
    problems.within("workers", scenario.workers, 0..=64);
    problems.within("readers", scenario.readers, 0..=64);
    problems.unless(scenario.workers.saturating_add(scenario.readers) > 0, || "no client does anything".to_owned());
    problems.within("skus", scenario.skus, 1..=1_000);
    problems.within("stock", scenario.stock, 1..=1_000_000);
    problems.within("carts_percent", scenario.carts_percent, 0..=100);
    problems.span("ttl_ms", scenario.ttl_ms, 1);
    problems.span("pause_ms", scenario.pause_ms, 0);
    problems.span("sync_ms", scenario.sync_ms, 0);
    problems.within("timeout_ms", scenario.timeout_ms, 1..=MS_MAX);
    let clocks = u32::try_from(scenario.clocks_ms.len()).unwrap_or(u32::MAX);
    problems.unless(clocks == 0 || clocks == scenario.nodes, || {
        format!("clocks_ms has {clocks} clocks for {} nodes: name all of them, or none", scenario.nodes)
    });
    for clock in &scenario.clocks_ms {
        problems.within("clocks_ms", *clock, -CLOCK_MS_MAX..=CLOCK_MS_MAX);
    }
    let wrong = scenario.clocks_ms.iter().filter(|clock| clock.unsigned_abs() > RIGHT_CLOCK_MS_MAX).count();
    problems.unless(wrong <= usize::try_from(scenario.nodes / 2).unwrap_or(0), || {
        format!(
            "clocks_ms: {wrong} of {} clocks are wrong by more than {RIGHT_CLOCK_MS_MAX} ms; nothing is promised then",
            scenario.nodes
        )
    });
    let node = &scenario.node;
    problems.within("node.checkpoint_every_ms", node.checkpoint_every_ms, 1..=MS_MAX);
    problems.within("node.checkpoint_bytes", node.checkpoint_bytes, 1..=1 << 30);
    problems.within("node.log_kept", node.log_kept, 0..=1 << 40);
    problems.within("node.log_kept_bytes", node.log_kept_bytes, 0..=1 << 40);
    problems.within("node.snapshot_bytes_per_second", node.snapshot_bytes_per_second, 1 << 10..=1 << 40);
    problems.within("node.snapshot_chunk_bytes", node.snapshot_chunk_bytes, 1..=64 << 20);
    problems.within("node.digest_every_ms", node.digest_every_ms, 1..=MS_MAX);
    problems.within("node.batch_commands", node.batch_commands, 1..=1 << 20);
    problems.within("node.entries_in_flight", node.entries_in_flight, 1..=1_024);
}

fn check_fault(name: &str, fault: &Fault, scenario: &Scenario, problems: &mut Problems) {
    let last_ms = scenario.seconds * 1_000;
    problems.unless(fault.at_ms < last_ms, || {
        format!("{name} begins at {} ms, when all is over: the run has {last_ms} ms", fault.at_ms)
    });
    problems.within(&format!("{name}: for_ms"), fault.for_ms, 0..=last_ms.saturating_sub(fault.at_ms));
    let (what, count) = match fault.kind {
        Kind::Vanish | Kind::Duplicate | Kind::Unheard => ("machine of clients", scenario.machines),
        _ => ("node", scenario.nodes),
    };
    problems.unless(!fault.nodes.is_empty(), || format!("{name} names no {what}"));
    for (place, node) in fault.nodes.iter().enumerate() {
        problems.unless((1..=count).contains(node), || format!("{name} names {what} {node} of {count}"));
        problems.unless(!fault.nodes[..place].contains(node), || format!("{name} names {what} {node} twice"));
    }
    let all = fault.nodes.len() >= usize::try_from(count).unwrap_or(usize::MAX);
    problems.unless(!all || !matches!(fault.kind, Kind::Partition | Kind::Flapping), || {
        format!("{name} cuts all nodes off from nobody")
    });
    let amounts = match fault.kind {
        Kind::Partition => 0..=CLIENTS_ON_BOTH_SIDES,
        Kind::Unreached => 0..=i64::from(scenario.machines),
        Kind::Flapping => 1..=MS_MAX.cast_signed(),
        Kind::Delay | Kind::Lag | Kind::SlowDisk | Kind::SlowRead => 0..=MS_MAX.cast_signed(),
        Kind::PowerLoss | Kind::Duplicate | Kind::Unheard => 0..=100,
        Kind::ClockJump => -CLOCK_MS_MAX..=CLOCK_MS_MAX,
        Kind::ClockDrift => -1_000..=1_000,
        Kind::BitFlip => 0..=i64::try_from(FLIPPED.len() - 1).unwrap_or(0),
        _ => i64::MIN..=i64::MAX,
    };
    problems.within(&format!("{name}: amount"), fault.amount, amounts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(change: impl FnOnce(&mut Scenario)) -> String {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        check(&scenario).expect_err("it makes no sense")
    }

    fn fault(kind: Kind, nodes: &[u32], amount: i64) -> Fault {
        Fault { at_ms: 1_000, for_ms: 2_000, kind, nodes: nodes.to_vec(), amount }
    }

    #[test]
    fn what_is_drawn_makes_sense() {
        for seed in 0..2_000 {
            let scenario = Scenario::draw(seed);
            assert_eq!(check(&scenario), Ok(()), "seed {seed}");
            assert_eq!(check(&scenario.shortened(20)), Ok(()), "seed {seed}, shortened");
        }
    }

    #[test]
    fn what_was_found_makes_sense() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
        let mut files = 0;
        for file in std::fs::read_dir(folder).expect("there") {
            let file = file.expect("there").path();
            let text = std::fs::read_to_string(&file).expect("a text");
            assert_eq!(check(&toml::from_str(&text).expect("a scenario")), Ok(()), "{}", file.display());
            files += 1;
        }
        assert!(files > 0);
    }

    #[test]
    fn what_makes_no_sense_is_told_by_name() {
        assert!(problem(|scenario| scenario.nodes = 4).contains("nodes is 4, and has to be 3 or 5"));
        assert!(problem(|scenario| scenario.tick_ms = 0).contains("tick_ms is 0"));
        assert!(problem(|scenario| scenario.clocks_ms = vec![5]).contains("1 clocks for 3 nodes"));
        assert!(problem(|scenario| scenario.clocks_ms = vec![-900, 0, 900]).contains("2 of 3 clocks are wrong"));
        assert!(problem(|scenario| scenario.ttl_ms = [5, 1]).contains("ttl_ms goes from 5 to 1"));
        assert!(problem(|scenario| (scenario.workers, scenario.readers) = (0, 0)).contains("no client"));
        let both = problem(|scenario| (scenario.skus, scenario.stock) = (0, 0));
        assert_eq!(both.lines().count(), 2, "{both}");
    }

    #[test]
    fn a_fault_that_can_not_be_is_told() {
        let told = |fault: Fault| problem(|scenario| scenario.faults = vec![fault]);
        assert!(told(fault(Kind::Crash, &[9], 0)).contains("fault 1 (crash) names node 9 of 3"));
        assert!(told(fault(Kind::Loss, &[], 0)).contains("names no node"));
        assert!(told(fault(Kind::Vanish, &[3], 0)).contains("machine of clients 3 of 2"));
        assert!(told(fault(Kind::Partition, &[1, 2, 3], 0)).contains("from nobody"));
        assert!(told(fault(Kind::Delay, &[1, 1], 5)).contains("twice"));
        assert!(told(fault(Kind::ClockJump, &[1], i64::MIN)).contains("amount"));
        assert!(told(fault(Kind::ClockJump, &[1, 2], 5_000)).contains("majority"));
        assert!(told(Fault { at_ms: 100_000, ..fault(Kind::Crash, &[1], 0) }).contains("when all is over"));
        assert!(told(Fault { for_ms: u64::MAX, ..fault(Kind::Crash, &[1], 0) }).contains("for_ms"));
    }
}
