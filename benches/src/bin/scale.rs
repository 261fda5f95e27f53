//! Whether a reserve costs the same on one shard and on many, among a thousand pools and among a million, and what they take
//! in memory.

#![forbid(unsafe_code)]

use clap::Parser;
use earmark_benches::{
    Failed,
    load::{
        measure::{How, measure},
        shape::{Plan, Shape},
        worker::Crew,
    },
    report::{Output, markdown, tell},
    servers::{Place, Servers, usage},
    usage::Usage,
};
use serde::Serialize;
use std::{process::ExitCode, time::Duration};

/// The same is done for so long before, unmeasured.
const WARM_UP: Duration = Duration::from_secs(2);

/// Processor time in a second by which it shows that a server still merges what was stocked: idle ones take half of that.
const BUSY_LEAST: f64 = 0.15;

/// So long is waited for that.
const REST_MAX: Duration = Duration::from_secs(180);

/// Every node has all of it.
const COPIES: u64 = 3;

/// Measures what a reserve costs on few and on many shards, and among few and many pools.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Numbers of stock shards, each with 10,000 pools.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 64])]
    shards: Vec<u32>,
    /// Numbers of pools, each on eight shards.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    pools: Vec<u64>,
    /// What is asked of so many shards.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Shape::Batches, Shape::Singles1024])]
    shapes: Vec<Shape>,
    /// How long each is measured.
    #[arg(long, default_value = "5s")]
    length: humantime::Duration,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What it showed.
#[derive(Serialize)]
struct Report {
    shards: Vec<OfShards>,
    pools: Vec<OfPools>,
}

#[derive(Serialize)]
struct OfShards {
    shards: u32,
    shape: String,
    rate: f64,
    p99_ms: f64,
    server_cpu_s_per_million: f64,
}

/// Memory is of one node.
#[derive(Serialize)]
struct OfPools {
    pools: u64,
    rate: f64,
    p99_ms: f64,
    server_cpu_s_per_million: f64,
    bytes_per_pool: f64,
    bytes_per_hold: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tell(measure_all(&arguments).await.map(|report| (report, arguments.output)), table)
}

async fn measure_all(arguments: &Arguments) -> Result<Report, Failed> {
    let mut report = Report { shards: Vec::new(), pools: Vec::new() };
    for shards in &arguments.shards {
        for shape in &arguments.shapes {
            let of = of_shards(arguments, *shards, *shape).await?;
            eprintln!("{shards} shards, {}: {:.1} CPU-s per million", of.shape, of.server_cpu_s_per_million);
            report.shards.push(of);
        }
    }
    for pools in &arguments.pools {
        let of = of_pools(arguments, *pools).await?;
        eprintln!("{pools} pools: {:.1} CPU-s per million", of.server_cpu_s_per_million);
        report.pools.push(of);
    }
    Ok(report)
}

async fn of_shards(arguments: &Arguments, shards: u32, shape: Shape) -> Result<OfShards, Failed> {
    let servers = Servers::start(&arguments.place.setting(shards)).await?;
    let how = How { plan: shape.plan(), length: arguments.length.into(), warm_up: WARM_UP, seed: 1 };
    let seen = measure(shape, &how, &servers.endpoints(), &servers.pids(), false).await?;
    servers.end()?;
    Ok(OfShards {
        shards,
        shape: seen.shape,
        rate: seen.rate,
        p99_ms: seen.p99_ms,
        server_cpu_s_per_million: seen.server_cpu_s_per_million,
    })
}

async fn of_pools(arguments: &Arguments, pools: u64) -> Result<OfPools, Failed> {
    let servers = Servers::start(&arguments.place.setting(8)).await?;
    let (endpoints, pids) = (servers.endpoints(), servers.pids());
    let plan = Plan { skus: pools, ..Shape::Batches.plan() };
    let empty = usage(&pids)?;
    Crew::connect(plan.clone(), &endpoints).await?.stock_up().await?;
    let stocked = at_rest(&pids).await?;
    let run = async |length, seed| {
        let how = How { plan: plan.clone(), length, warm_up: Duration::ZERO, seed };
        measure(Shape::Batches, &how, &endpoints, &pids, true).await
    };
    // What is held while it warms up takes memory too.
    let warm = run(WARM_UP, 1).await?;
    let seen = run(arguments.length.into(), 2).await?;
    let after = usage(&pids)?;
    let grown = |from: Usage, to: Usage, count: u64| {
        to.resident_bytes.saturating_sub(from.resident_bytes) as f64 / (count.max(1) * COPIES) as f64
    };
    servers.end()?;
    Ok(OfPools {
        pools,
        rate: seen.rate,
        p99_ms: seen.p99_ms,
        server_cpu_s_per_million: seen.server_cpu_s_per_million,
        bytes_per_pool: grown(empty, stocked, pools),
        bytes_per_hold: grown(stocked, after, warm.operations + seen.operations),
    })
}

/// Their usage once they have nothing to do: what is left to do of the stocking is no part of what a reserve costs.
async fn at_rest(pids: &[u32]) -> Result<Usage, Failed> {
    let mut before = usage(pids)?;
    for _ in 0..REST_MAX.as_secs() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = usage(pids)?;
        if now.cpu_seconds - before.cpu_seconds < BUSY_LEAST {
            return Ok(now);
        }
        before = now;
    }
    eprintln!("the servers were still busy after {}", humantime::format_duration(REST_MAX));
    Ok(before)
}

fn table(report: &Report) -> String {
    let mut shards = markdown(["shards", "shape", "operations/s", "p99 ms", "server CPU-s per million"]);
    for of in &report.shards {
        shards.add_row([
            of.shards.to_string(),
            of.shape.clone(),
            format!("{:.0}", of.rate),
            format!("{:.0}", of.p99_ms),
            format!("{:.1}", of.server_cpu_s_per_million),
        ]);
    }
    let mut pools = markdown([
        "pools",
        "operations/s",
        "p99 ms",
        "server CPU-s per million",
        "bytes per pool and node",
        "bytes per hold and node",
    ]);
    for of in &report.pools {
        pools.add_row([
            of.pools.to_string(),
            format!("{:.0}", of.rate),
            format!("{:.0}", of.p99_ms),
            format!("{:.1}", of.server_cpu_s_per_million),
            format!("{:.0}", of.bytes_per_pool),
            format!("{:.0}", of.bytes_per_hold),
        ]);
    }
    format!("{shards}\n\n{pools}")
}
