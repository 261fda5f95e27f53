//! What a follower costs the others that is stopped, or whose disk is slow: three `earmark serve` processes, of which one that
//! leads nothing is hindered while callers reserve.

#![forbid(unsafe_code)]

use clap::Parser;
use earmark_benches::{
    Failed,
    load::{
        drive::{Going, drive},
        measured::Measured,
        shape::{Plan, Shape},
        worker::Crew,
    },
    report::{Output, markdown, tell},
    servers::{Place, Servers, usage},
    slow_disk::SlowDisk,
    status::{self, is_level},
    usage::{Usage, mib},
};
use earmark_client::Client;
use serde::Serialize;
use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// A follower that is not level by then never will be.
const PATIENCE: Duration = Duration::from_secs(120);

/// Hinders a follower, and says what that costs the others.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Stock shards. One of three nodes has to lead none.
    #[arg(long, default_value_t = 1)]
    shards: u32,
    /// How long all is well, and how long the follower is hindered.
    #[arg(long, default_value = "20s")]
    length: humantime::Duration,
    /// Reserves under way at once.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Writes a second that a slow disk takes.
    #[arg(long, default_value_t = 20)]
    writes: u32,
    /// Ways to hinder it.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Way::Stopped, Way::SlowDisk])]
    ways: Vec<Way>,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How a follower is hindered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
enum Way {
    /// Its process stands still (SIGSTOP).
    Stopped,
    /// Its disk takes few writes a second (the kernel's control group for block devices; as root).
    SlowDisk,
}

/// What one way showed. Processor time and memory are those of the two others together.
#[derive(Serialize)]
struct Report {
    way: Way,
    rate_before: f64,
    rate_meanwhile: f64,
    p99_before_ms: f64,
    p99_meanwhile_ms: f64,
    cpu_s_per_million_before: f64,
    cpu_s_per_million_meanwhile: f64,
    rss_before_mib: f64,
    rss_most_mib: f64,
    not_done: u64,
    /// Entries that the follower was behind in the end of it, if it could be asked.
    behind: Option<u64>,
    /// From the end of it until the follower was level again, while callers went on.
    level_after_ms: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tell(measure(&arguments).await.map(|reports| (reports, arguments.output)), |reports| table(reports))
}

async fn measure(arguments: &Arguments) -> Result<Vec<Report>, Failed> {
    let mut reports = Vec::new();
    for way in &arguments.ways {
        eprintln!("{way:?}: all is well for {}, then it is not for as long", arguments.length);
        reports.push(hinder(*way, arguments).await?);
    }
    Ok(reports)
}

async fn hinder(way: Way, arguments: &Arguments) -> Result<Report, Failed> {
    let servers = Servers::start(&arguments.place.setting(arguments.shards)).await?;
    let plan = Plan { outstanding: arguments.callers, ..Shape::Singles64.plan() };
    let crew = Arc::new(Crew::connect(plan, &servers.endpoints()).await?);
    crew.stock_up().await?;
    let client = Client::connect(servers.endpoints()).await?;
    drive(&crew, Duration::from_secs(3), 1).await?;
    let length: Duration = arguments.length.into();

    let follower = idle(&client).await?;
    let others: Vec<u32> =
        servers.nodes().filter(|node| *node != follower).map(|node| servers.pid(node)).collect::<Result<_, _>>()?;
    let before = spend(&others, Duration::ZERO, drive(&crew, length, 2)).await?;
    let slow = match way {
        Way::Stopped => {
            servers.pause(follower)?;
            None
        }
        Way::SlowDisk => Some(SlowDisk::begin(servers.pid(follower)?, servers.folder(), arguments.writes)?),
    };
    // What was under way when it began is not what it costs from then on.
    let meanwhile = spend(&others, Duration::from_secs(2), drive(&crew, length, 3)).await?;
    // A node that stands still tells nothing.
    let behind = status::behind(&client.cluster().status(false).await?, follower);
    let going = Going::begin(&crew, 4);
    let over = Instant::now();
    match slow {
        None => servers.resume(follower)?,
        Some(slow) => slow.end()?,
    }
    let level = |status: &_| is_level(status, follower).then(|| over.elapsed());
    let level = status::wait(&client, PATIENCE, "the follower is level", level).await?;
    going.end().await?;
    let report = Report {
        way,
        rate_before: before.rate(),
        rate_meanwhile: meanwhile.rate(),
        p99_before_ms: before.measured.quantile_ms(0.99),
        p99_meanwhile_ms: meanwhile.measured.quantile_ms(0.99),
        cpu_s_per_million_before: before.cpu_s_per_million(),
        cpu_s_per_million_meanwhile: meanwhile.cpu_s_per_million(),
        rss_before_mib: before.used.resident_mib(),
        rss_most_mib: mib(meanwhile.resident_most),
        not_done: meanwhile.measured.counts.all() - meanwhile.measured.counts.done,
        behind,
        level_after_ms: level.as_secs_f64() * 1_000.0,
    };
    servers.end()?;
    Ok(report)
}

/// A load, and what some processes used for it.
struct Spent {
    measured: Measured,
    took: Duration,
    used: Usage,
    resident_most: u64,
}

impl Spent {
    fn rate(&self) -> f64 {
        self.measured.counts.done as f64 / self.took.as_secs_f64()
    }

    fn cpu_s_per_million(&self) -> f64 {
        self.used.cpu_seconds / (self.measured.counts.all().max(1) as f64 / 1e6)
    }
}

async fn spend(
    pids: &[u32],
    first: Duration,
    load: impl Future<Output = Result<(Measured, Duration), Failed>>,
) -> Result<Spent, Failed> {
    sleep(first).await;
    let before = usage(pids)?;
    let mut load = std::pin::pin!(load);
    let mut resident_most = before.resident_bytes;
    let (measured, took) = loop {
        tokio::select! {
            done = &mut load => break done?,
            () = sleep(Duration::from_millis(100)) => resident_most = resident_most.max(usage(pids)?.resident_bytes),
        }
    };
    let used = usage(pids)?.since(before);
    Ok(Spent { measured, took, used, resident_most: resident_most.max(used.resident_bytes) })
}

/// A node that leads nothing.
async fn idle(client: &Client) -> Result<u32, Failed> {
    let status = client.cluster().status(false).await?;
    let idle = status.nodes.iter().find(|node| node.replicas.iter().all(|replica| replica.role != "leader"));
    Ok(idle.ok_or("every node leads a shard; ask for fewer with --shards")?.node)
}

fn table(reports: &[Report]) -> String {
    let mut table = markdown([
        "a follower's",
        "reserves/s before, meanwhile",
        "p99 ms before, meanwhile",
        "CPU-s per million of the others before, meanwhile",
        "MiB of the others before, most",
        "not done",
        "level again after ms",
    ]);
    for report in reports {
        table.add_row([
            match report.way {
                Way::Stopped => "process is stopped".to_owned(),
                Way::SlowDisk => format!("disk is slow ({} entries behind)", report.behind.unwrap_or(0)),
            },
            format!("{:.0}, {:.0}", report.rate_before, report.rate_meanwhile),
            format!("{:.1}, {:.1}", report.p99_before_ms, report.p99_meanwhile_ms),
            format!("{:.0}, {:.0}", report.cpu_s_per_million_before, report.cpu_s_per_million_meanwhile),
            format!("{:.0}, {:.0}", report.rss_before_mib, report.rss_most_mib),
            report.not_done.to_string(),
            format!("{:.0}", report.level_after_ms),
        ]);
    }
    table.to_string()
}
