//! Whether the memory of servers stays flat while as much is sold as is reserved, hour after hour.

#![forbid(unsafe_code)]

use clap::Parser;
use earmark_benches::{
    Failed,
    load::{
        drive::Going,
        shape::{Plan, Shape},
        worker::Crew,
    },
    report::{Output, markdown, tell},
    servers::{Place, Servers, usage},
};
use serde::Serialize;
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Reserves and commits at a steady rate, and looks at the servers' memory all the while.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Stock shards.
    #[arg(long, default_value_t = 8)]
    shards: u32,
    /// Reservations that are made and committed, a second.
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// How long.
    #[arg(long, default_value = "1h")]
    length: humantime::Duration,
    /// How often it is looked at.
    #[arg(long, default_value = "1m")]
    every: humantime::Duration,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// One look at all servers together.
#[derive(Clone, Copy, Serialize)]
struct Look {
    seconds: f64,
    resident_mib: f64,
}

/// What it showed.
#[derive(Serialize)]
struct Report {
    looks: Vec<Look>,
    done: u64,
    not_done: u64,
    p99_ms: f64,
    server_cpu_s_per_million: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tell(measure(&arguments).await.map(|report| (report, arguments.output)), table)
}

async fn measure(arguments: &Arguments) -> Result<Report, Failed> {
    let servers = Servers::start(&arguments.place.setting(arguments.shards)).await?;
    let (endpoints, pids) = (servers.endpoints(), servers.pids());
    let plan = Plan { rate: Some(arguments.rate), ..Shape::Pairs.plan() };
    let crew = Arc::new(Crew::connect(plan, &endpoints).await?);
    crew.stock_up().await?;
    let (length, mut looks): (Duration, _) = (arguments.length.into(), Vec::new());
    let (before, begun) = (usage(&pids)?, Instant::now());
    let going = Going::begin(&crew, 1);
    let mut ticks = interval(arguments.every.into());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while begun.elapsed() < length {
        ticks.tick().await;
        let look = Look { seconds: begun.elapsed().as_secs_f64(), resident_mib: usage(&pids)?.resident_mib() };
        eprintln!("{:.0} s: {:.0} MiB", look.seconds, look.resident_mib);
        looks.push(look);
    }
    let told = going.end().await?;
    let used = usage(&pids)?.cpu_seconds - before.cpu_seconds;
    servers.end()?;
    Ok(Report {
        looks,
        done: told.counts.done,
        not_done: told.counts.all() - told.counts.done,
        p99_ms: told.quantile_ms(0.99),
        server_cpu_s_per_million: used / (told.counts.all().max(1) as f64 / 1e6),
    })
}

fn table(report: &Report) -> String {
    let mut table = markdown(["minute", "MiB of all servers"]);
    // Some ten lines, the first and the last among them.
    let step = report.looks.len().div_ceil(10).max(1);
    let last = report.looks.len().saturating_sub(1);
    for (_, look) in report.looks.iter().enumerate().filter(|(at, _)| at % step == 0 || *at == last) {
        table.add_row([format!("{:.0}", look.seconds / 60.0), format!("{:.0}", look.resident_mib)]);
    }
    let Report { done, not_done, p99_ms, server_cpu_s_per_million: cpu, .. } = report;
    format!(
        "{table}\n\n{done} operations done, {not_done} not; p99 {p99_ms:.1} ms; {cpu:.1} CPU-seconds per million on the servers"
    )
}
