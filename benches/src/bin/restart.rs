//! How long a node takes to come back: started again with millions of reservations on its disk, and empty, by snapshots. While
//! it does, callers reserve at a steady rate.

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
    servers::{Place, Servers, Setting, usage},
    status::{health, is_level, wait, was_purged},
    usage::mib,
};
use earmark_client::{Client, wire::v1::NodeHealth};
use serde::Serialize;
use std::{
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// A node that is not back by then does not come back.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// So many bytes of a shard's log are kept: what callers ask while a node is started again. Millions of reservations in few large
/// entries would fit into what is kept otherwise, and a node that comes back empty would be sent those and no snapshot.
const LOG_KEPT_BYTES: u64 = 4 << 20;

/// What a node says when it has taken a snapshot.
const INSTALLED: &str = "a snapshot was installed";

/// Logs are purged soon after they are too large.
const PURGE_PATIENCE: Duration = Duration::from_secs(60);

/// Restarts a node that has millions of reservations, then takes its disk, and says how long it takes to come back.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Stock shards.
    #[arg(long, default_value_t = 8)]
    shards: u32,
    /// Open reservations before anything is restarted.
    #[arg(long, default_value_t = 5_000_000)]
    reservations: u64,
    /// Reserves a second that callers want all the time.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long they are watched before.
    #[arg(long, default_value = "15s")]
    length: humantime::Duration,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What it showed.
#[derive(Serialize)]
struct Report {
    reservations: u64,
    fill_rate: f64,
    /// Of each node, on average.
    rss_mib: f64,
    rss_bytes_per_reservation: f64,
    calm_p99_ms: f64,
    restart: Return,
    snapshot: Return,
}

/// How a node came back.
#[derive(Serialize)]
struct Return {
    /// From the start of its process until it serves.
    serves_after_s: f64,
    /// Until it has applied what the others had when they were asked.
    level_after_s: f64,
    /// Of what callers were answered from the kill until then.
    p99_ms: f64,
    /// The same, from the start of the process: without the wait for other leaders.
    coming_back_p99_ms: f64,
    /// That it took meanwhile.
    snapshots: usize,
    not_done: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tell(measure(&arguments).await.map(|report| (report, arguments.output)), table)
}

async fn measure(arguments: &Arguments) -> Result<Report, Failed> {
    let extra = format!("[limits]\nlog_kept_bytes = {LOG_KEPT_BYTES}\n");
    let mut servers = Servers::start(&Setting { extra, ..arguments.place.setting(arguments.shards) }).await?;
    let endpoints = servers.endpoints();
    let client = Client::connect(endpoints.clone()).await?;
    let empty = usage(&servers.pids())?.resident_bytes;
    // Held for hours, so that none of them ends.
    let long = Duration::from_secs(12 * 3_600);
    let bulk = Arc::new(Crew::connect(Plan { ttl: long, outstanding: 3, ..Shape::Batches.plan() }, &endpoints).await?);
    bulk.stock_up().await?;
    let begun = Instant::now();
    let mut seed = 1;
    let mut held = 0;
    while held < arguments.reservations {
        held += drive(&bulk, Duration::from_secs(5), seed).await?.0.counts.done;
        seed += 1;
        eprintln!("{held} reservations after {:.0} s", begun.elapsed().as_secs_f64());
    }
    let fill_rate = held as f64 / begun.elapsed().as_secs_f64();
    let resident = usage(&servers.pids())?.resident_bytes.saturating_sub(empty) / 3;

    let plan = Plan { outstanding: 4_096, rate: Some(arguments.rate), ..Shape::Singles64.plan() };
    let crew = Arc::new(Crew::connect(plan, &endpoints).await?);
    drive(&crew, Duration::from_secs(2), seed).await?;
    let (calm, _) = drive(&crew, arguments.length.into(), seed + 1).await?;
    let calm_p99_ms = calm.quantile_ms(0.99);
    eprintln!("{} reserves a second: p99 {calm_p99_ms:.1} ms", arguments.rate);

    let restart = come_back(&mut servers, &client, &crew, false).await?;
    eprintln!("restarted: level after {:.1} s", restart.level_after_s);
    let snapshot = come_back(&mut servers, &client, &crew, true).await?;
    let report = Report {
        reservations: held,
        fill_rate,
        rss_mib: mib(resident),
        rss_bytes_per_reservation: resident as f64 / held as f64,
        calm_p99_ms,
        restart,
        snapshot,
    };
    servers.end()?;
    Ok(report)
}

/// Kills the last node, takes its disk if it is to come back empty, and waits until it is as far as the others.
async fn come_back(servers: &mut Servers, client: &Client, crew: &Arc<Crew>, empty: bool) -> Result<Return, Failed> {
    let node = *servers.nodes().end();
    if empty {
        let purged = |status: &_| was_purged(status).then_some(());
        let what = "logs that no longer reach back to their beginning: ask for more reservations";
        wait(client, PURGE_PATIENCE, what, purged).await?;
    }
    let before = servers.said(node, INSTALLED)?;
    let failing = Going::begin(crew, 100);
    servers.kill(node)?;
    if empty {
        servers.empty(node)?;
    }
    // Others lead what it led before it is started again.
    sleep(Duration::from_secs(5)).await;
    let failed = failing.end().await?;
    let going = Going::begin(crew, 101);
    let begun = Instant::now();
    servers.begin(node)?;
    if empty {
        let doubted = |status: &_| (health(status, node) == NodeHealth::Doubted).then_some(());
        wait(client, PATIENCE, "the node sees that its disk is empty", doubted).await?;
        let mut steps = client.cluster().reseed(node).await?;
        while let Some(step) = steps.next().await? {
            if step.step == "done" {
                eprintln!("{} of {} shards", step.shards_done, step.shards_total);
            }
        }
    }
    wait(client, PATIENCE, "the node serves", |status| (health(status, node) == NodeHealth::Serving).then_some(()))
        .await?;
    let serves_after_s = begun.elapsed().as_secs_f64();
    wait(client, PATIENCE, "the node is level", |status| is_level(status, node).then_some(())).await?;
    let level_after_s = begun.elapsed().as_secs_f64();
    let mut all: Measured = going.end().await?;
    let coming_back_p99_ms = all.quantile_ms(0.99);
    all.add(&failed);
    Ok(Return {
        serves_after_s,
        level_after_s,
        p99_ms: all.quantile_ms(0.99),
        coming_back_p99_ms,
        snapshots: servers.said(node, INSTALLED)?.saturating_sub(before),
        not_done: all.counts.all() - all.counts.done,
    })
}

fn table(report: &Report) -> String {
    let mut table = markdown([
        "a node with its reservations",
        "serves after s",
        "level after s",
        "p99 ms before",
        "p99 ms from the kill on",
        "p99 ms from its start on",
        "snapshots",
        "not done",
    ]);
    for (what, back) in [("is started again", &report.restart), ("comes back empty", &report.snapshot)] {
        table.add_row([
            format!("{what}, {}", report.reservations),
            format!("{:.1}", back.serves_after_s),
            format!("{:.1}", back.level_after_s),
            format!("{:.1}", report.calm_p99_ms),
            format!("{:.1}", back.p99_ms),
            format!("{:.1}", back.coming_back_p99_ms),
            back.snapshots.to_string(),
            back.not_done.to_string(),
        ]);
    }
    format!(
        "{table}\n\n{:.0} reserves a second filled it; {:.0} MiB a node for it, {:.0} bytes a reservation.",
        report.fill_rate, report.rss_mib, report.rss_bytes_per_reservation
    )
}
