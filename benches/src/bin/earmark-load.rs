//! Loads a cluster in the shapes that other systems are measured by, and says what it cost.

#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use earmark_benches::{
    Failed,
    load::{
        keys::Spread,
        measure::{How, measure},
        shape::{Plan, Shape},
    },
    report::{Output, Report, table, tell},
    servers::{Place, Servers, Setting},
};
use std::process::ExitCode;

/// Loads a cluster in the shapes that other systems are measured by, and says what it cost.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Drives a cluster that runs already.
    Run(Run),
    /// Starts three `earmark serve` processes anew for each shape, drives them, and prints a table.
    Bench(Bench),
}

#[derive(Args)]
struct Run {
    /// What to ask.
    #[arg(value_enum)]
    shape: Shape,
    /// Nodes, host:port.
    #[arg(long, value_delimiter = ',', default_value = "127.0.0.1:7400")]
    endpoints: Vec<String>,
    /// Process ids of the servers on this machine, for what they use.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    /// Takes the stock as it is; else every SKU receives its units first.
    #[arg(long)]
    stocked: bool,
    #[command(flatten)]
    load: Load,
}

#[derive(Args)]
struct Bench {
    /// What to ask; every shape if none is named.
    #[arg(value_enum)]
    shapes: Vec<Shape>,
    #[command(flatten)]
    place: Place,
    /// Stock shards.
    #[arg(long, default_value_t = 8)]
    shards: u32,
    /// Processors of the servers, as `taskset` names them (0, 0-3); all if absent.
    #[arg(long, default_value = "")]
    server_cpus: String,
    /// Stops the servers with SIGTERM after each shape and waits for them: they may have something to write at their end, as one
    /// that is built to count what it does.
    #[arg(long)]
    tidily: bool,
    #[command(flatten)]
    load: Load,
}

/// What departs from the shape, and for how long.
#[derive(Args, Clone)]
struct Load {
    /// How long is measured.
    #[arg(long, default_value = "10s")]
    length: humantime::Duration,
    /// How long the same is done before, unmeasured.
    #[arg(long, default_value = "2s")]
    warm_up: humantime::Duration,
    /// Turns under way at once.
    #[arg(long)]
    outstanding: Option<usize>,
    /// SDK clients with connections of their own.
    #[arg(long)]
    clients: Option<usize>,
    /// SKUs.
    #[arg(long)]
    skus: Option<u64>,
    /// How demand spreads over them.
    #[arg(long, value_enum)]
    spread: Option<Spread>,
    /// For how long units are held.
    #[arg(long)]
    ttl: Option<humantime::Duration>,
    /// Turns a second that are due whether earlier ones have ended or not (open loop); as fast as answers come if absent.
    #[arg(long)]
    rate: Option<f64>,
    /// Random numbers begin here.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Load {
    fn how(&self, shape: Shape) -> How {
        How { plan: self.plan(shape), length: self.length.into(), warm_up: self.warm_up.into(), seed: self.seed }
    }

    fn plan(&self, shape: Shape) -> Plan {
        let plan = shape.plan();
        Plan {
            outstanding: self.outstanding.unwrap_or(plan.outstanding),
            clients: self.clients.unwrap_or(plan.clients),
            skus: self.skus.unwrap_or(plan.skus),
            spread: self.spread.unwrap_or(plan.spread),
            ttl: self.ttl.map_or(plan.ttl, Into::into),
            rate: self.rate,
            ..plan
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Command::parse().what {
        What::Run(arguments) => run(&arguments).await.map(|report| (vec![report], arguments.load.output)),
        What::Bench(arguments) => bench(&arguments).await.map(|reports| (reports, arguments.load.output)),
    };
    tell(done, |reports| table(reports))
}

async fn run(arguments: &Run) -> Result<Report, Failed> {
    measure(
        arguments.shape,
        &arguments.load.how(arguments.shape),
        &arguments.endpoints,
        &arguments.pids,
        arguments.stocked,
    )
    .await
}

async fn bench(arguments: &Bench) -> Result<Vec<Report>, Failed> {
    let shapes = if arguments.shapes.is_empty() { Shape::ALL.to_vec() } else { arguments.shapes.clone() };
    let setting = Setting { cpus: arguments.server_cpus.clone(), ..arguments.place.setting(arguments.shards) };
    let mut reports = Vec::new();
    for shape in shapes {
        let servers = Servers::start(&setting).await?;
        let report = measure(shape, &arguments.load.how(shape), &servers.endpoints(), &servers.pids(), false).await?;
        eprintln!(
            "{}: {:.0}/s, p99 {:.1} ms, {:.1} CPU-s per million on the servers",
            report.shape, report.rate, report.p99_ms, report.server_cpu_s_per_million
        );
        reports.push(report);
        match arguments.tidily {
            true => servers.end_tidily().await?,
            false => servers.end()?,
        }
    }
    Ok(reports)
}
