//! How long nothing is sold when a leader dies: three `earmark serve` processes with the settings they come with, callers that
//! reserve all the time, and a SIGKILL for whoever leads the shard, over and over.

#![forbid(unsafe_code)]

use clap::Parser;
use earmark_benches::{
    Failed,
    report::{Output, markdown, tell},
    servers::{Place, Servers},
    status::wait,
};
use earmark_client::{
    Client, Error,
    wire::v1::{GetStatusResponse, NodeStatus},
};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// The SKU that everybody wants.
const SKU: &str = "last-chance";

/// Where it lies.
const PLACE: &str = "main";

/// Until somebody leads.
const PATIENCE: Duration = Duration::from_secs(60);

/// Kills the leader of a shard under load, over and over, and measures how long nobody got anything.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Stock shards; the one of the SKU is looked at.
    #[arg(long, default_value_t = 1)]
    shards: u32,
    /// How often a leader is killed.
    #[arg(long, default_value_t = 30)]
    kills: u32,
    /// Callers, each with one reserve under way.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// How long all is well between a node that serves again and the next kill.
    #[arg(long, default_value = "2s")]
    pause: humantime::Duration,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What it showed.
#[derive(Serialize)]
struct Report {
    kills: u64,
    /// From a kill to the first success of a reserve that was sent after it.
    p50_ms: f64,
    max_ms: f64,
    /// Until the killed node served again.
    restart_p50_ms: f64,
    restart_max_ms: f64,
    reserved: u64,
    refused: u64,
    unknown: u64,
}

/// What callers saw.
struct Seen {
    begun: Instant,
    over: AtomicBool,
    reserved: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    /// The last kill, in nanoseconds since the beginning.
    after_ns: AtomicU64,
    /// When the first reserve succeeded that was sent after it.
    first_ns: Mutex<Option<u64>>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tell(measure(&arguments).await.map(|report| (report, arguments.output)), table)
}

async fn measure(arguments: &Arguments) -> Result<Report, Failed> {
    let mut servers = Servers::start(&arguments.place.setting(arguments.shards)).await?;
    let client = Client::builder().endpoints(servers.endpoints()).timeout(Duration::from_secs(30)).connect().await?;
    let received = client.receive(SKU, PLACE, 1_000_000_000).send().await?;
    let shard = received.position.shard.0;
    let seen = Arc::new(Seen {
        begun: Instant::now(),
        over: AtomicBool::new(false),
        reserved: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        unknown: AtomicU64::new(0),
        after_ns: AtomicU64::new(0),
        first_ns: Mutex::new(None),
    });
    let mut callers = JoinSet::new();
    for _ in 0..arguments.callers {
        callers.spawn(call(client.clone(), Arc::clone(&seen)));
    }
    let (mut outages, mut restarts) = (histogram(), histogram());
    for kill in 1..=arguments.kills {
        tokio::time::sleep(arguments.pause.into()).await;
        let leader = leader(&client, shard).await?;
        servers.kill(leader)?;
        let killed = seen.begun.elapsed();
        let outage = seen.first_success_after(killed).await;
        outages.saturating_record(outage.as_millis().try_into().unwrap_or(u64::MAX));
        let restarted = Instant::now();
        servers.begin(leader)?;
        servers.serves().await?;
        restarts.saturating_record(restarted.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        eprintln!("{kill}: node {leader} killed, the next success after {} ms", outage.as_millis());
    }
    seen.over.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller?;
    }
    servers.end()?;
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(Report {
        kills: outages.len(),
        p50_ms: outages.value_at_quantile(0.5) as f64,
        max_ms: outages.max() as f64,
        restart_p50_ms: restarts.value_at_quantile(0.5) as f64,
        restart_max_ms: restarts.max() as f64,
        reserved: count(&seen.reserved),
        refused: count(&seen.refused),
        unknown: count(&seen.unknown),
    })
}

/// From a millisecond to ten minutes, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000, 3).expect("bounds that make sense")
}

/// Reserves one unit after the other until it is over.
async fn call(client: Client, seen: Arc<Seen>) {
    while !seen.over.load(Ordering::Relaxed) {
        let sent = seen.begun.elapsed();
        let end = client.reserve().line(SKU, PLACE, 1).ttl(Duration::from_secs(60)).send().await;
        seen.note(sent, &end.map(drop));
    }
}

impl Seen {
    fn note(&self, sent: Duration, end: &Result<(), Error>) {
        let count = match end {
            Ok(()) => &self.reserved,
            Err(error) if error.is_unknown() => &self.unknown,
            Err(_) => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if end.is_ok() && nanos(sent) > self.after_ns.load(Ordering::SeqCst) {
            let mut first = self.first_ns.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| nanos(self.begun.elapsed()));
        }
    }

    /// How long after a moment a reserve succeeded that was sent after it.
    async fn first_success_after(&self, moment: Duration) -> Duration {
        self.after_ns.store(nanos(moment), Ordering::SeqCst);
        // What was noted before this moment of interest says nothing of it.
        *self.first_ns.lock().unwrap_or_else(PoisonError::into_inner) = None;
        loop {
            let first = *self.first_ns.lock().unwrap_or_else(PoisonError::into_inner);
            match first {
                Some(first) => return Duration::from_nanos(first).saturating_sub(moment),
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Who leads a shard.
async fn leader(client: &Client, shard: u32) -> Result<u32, Failed> {
    let leads = |status: &GetStatusResponse| {
        let leads =
            |node: &&NodeStatus| node.replicas.iter().any(|replica| replica.shard == shard && replica.role == "leader");
        status.nodes.iter().find(leads).map(|node| node.node)
    };
    wait(client, PATIENCE, "somebody leads the shard", leads).await
}

fn table(report: &Report) -> String {
    let mut table = markdown([
        "kills",
        "until the first success, p50 ms",
        "max ms",
        "until the node serves again, p50 ms",
        "max ms",
        "reserved",
        "refused",
        "unknown",
    ]);
    let counts = [report.reserved, report.refused, report.unknown].map(|count| count.to_string());
    let times = [report.p50_ms, report.max_ms, report.restart_p50_ms, report.restart_max_ms];
    let row = [report.kills.to_string()].into_iter().chain(times.map(|ms| format!("{ms:.0}"))).chain(counts);
    table.add_row(row);
    table.to_string()
}
