//! A million holds on one SKU, all due in the same second, while many callers reserve.
//!
//! Shows what an open hold costs in memory, how long the sweep takes, what reserving costs meanwhile beside what it
//! costs otherwise, that every read balances, and that the cluster comes back from a crash with the same books.

#![forbid(unsafe_code)]

use clap::Parser;
use earmark_benches::Failed;
use earmark_benches::dev_cluster::{Cluster, Setting};
use earmark_client::{Client, Code, Error, Pool};
use futures::{StreamExt, stream};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Measures a crowd of holds that end at once.
#[derive(Parser)]
struct Args {
    /// The binary to measure.
    #[arg(long, default_value = "target/release/earmark")]
    earmark: PathBuf,
    /// Folder for the data; it is removed first.
    #[arg(long, default_value = "/tmp/earmark-holds")]
    data: PathBuf,
    /// Holds.
    #[arg(long, default_value_t = 1_000_000)]
    holds: u64,
    /// Callers that reserve during the sweep.
    #[arg(long, default_value_t = 1_000)]
    callers: usize,
    /// Seconds from the first hold to the moment all are due.
    #[arg(long, default_value_t = 120)]
    due_in: u64,
    /// First client port.
    #[arg(long, default_value_t = 7_700)]
    port: u16,
}

#[derive(Default, Serialize)]
struct Report {
    holds: u64,
    callers: usize,
    hold_rate: f64,
    bytes_per_hold_and_replica: u64,
    normal_p99_ms: f64,
    sweep_p99_ms: f64,
    sweep_reserves: u64,
    p99_ratio: f64,
    sweep_seconds: f64,
    reads: u64,
    reads_out_of_balance: u64,
    restart_seconds: f64,
    books_equal_after_crash: bool,
}

const SKU: &str = "crowd";
const PLACE: &str = "main";

#[tokio::main]
async fn main() -> ExitCode {
    match measure(Args::parse()).await {
        Ok(report) => {
            println!("{}", serde_json::to_string_pretty(&report).expect("plain numbers"));
            let sound = report.reads_out_of_balance == 0 && report.books_equal_after_crash;
            if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: Args) -> Result<Report, Failed> {
    if args.data.exists() {
        std::fs::remove_dir_all(&args.data)?;
    }
    let setting = Setting { earmark: args.earmark.clone(), data: args.data.clone(), shards: 1, port: args.port };
    let cluster = Cluster::start(&setting)?;
    let client =
        Client::builder().endpoints(cluster.endpoints.clone()).timeout(Duration::from_secs(30)).connect().await?;
    client.receive(SKU, PLACE, args.holds + 10_000_000).send().await?;
    let mut report = Report { holds: args.holds, callers: args.callers, ..Report::default() };

    let normal = crowd(&client, args.callers, Duration::from_secs(10)).await?;
    report.normal_p99_ms = millis(&normal);

    let before = cluster.usage()?.resident_bytes;
    let begun = Instant::now();
    let due = client.server_time().0 + args.due_in * 1_000;
    let mut holds = stream::iter(0..args.holds).map(|_| hold_until(&client, due)).buffer_unordered(4_096);
    while let Some(held) = holds.next().await {
        held?;
    }
    drop(holds);
    report.hold_rate = args.holds as f64 / begun.elapsed().as_secs_f64();
    report.bytes_per_hold_and_replica = cluster.usage()?.resident_bytes.saturating_sub(before) / args.holds / 3;
    if client.server_time().0 >= due {
        return Err(format!("the holds took longer than {} s to make; raise --due-in", args.due_in).into());
    }

    tokio::time::sleep(Duration::from_millis(due.saturating_sub(client.server_time().0 + 200))).await;
    let swept = watch_sweep(&client, &args).await?;
    report.sweep_p99_ms = millis(&swept.latency);
    report.sweep_reserves = swept.latency.len();
    report.p99_ratio = report.sweep_p99_ms / report.normal_p99_ms;
    report.sweep_seconds = swept.seconds;
    report.reads = swept.reads;
    report.reads_out_of_balance = swept.out_of_balance;

    let books = pool(&client).await?;
    cluster.kill()?;
    let begun = Instant::now();
    let cluster = Cluster::start(&setting)?;
    let client = Client::connect(cluster.endpoints.clone()).await?;
    let again = pool(&client).await?;
    report.restart_seconds = begun.elapsed().as_secs_f64();
    // Holds of the crowd may have ended meanwhile; what is there and what was ever received may not have changed.
    report.books_equal_after_crash = (again.on_hand, again.received_total, again.sold_total)
        == (books.on_hand, books.received_total, books.sold_total);
    drop(cluster);
    std::fs::remove_dir_all(&args.data)?;
    Ok(report)
}

/// A hold of one unit that ends at `due` (server time).
async fn hold_until(client: &Client, due: u64) -> Result<(), Error> {
    let left = due.saturating_sub(client.server_time().0).max(1_000);
    client.reserve().line(SKU, PLACE, 1).ttl(Duration::from_millis(left)).send().await.map(drop)
}

/// `callers` reserve one unit each, over and over, for a while.
async fn crowd(client: &Client, callers: usize, length: Duration) -> Result<Histogram<u64>, Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    let callers = start_crowd(client, callers, &stop);
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::SeqCst);
    gather(callers).await
}

type Caller = tokio::task::JoinHandle<Result<Histogram<u64>, Error>>;

fn start_crowd(client: &Client, callers: usize, stop: &Arc<AtomicBool>) -> Vec<Caller> {
    let caller = |_| {
        let (client, stop) = (client.clone(), stop.clone());
        tokio::spawn(async move {
            let mut latency = histogram();
            while !stop.load(Ordering::SeqCst) {
                let begun = Instant::now();
                // Ten minutes: this hold is not part of the crowd that ends; it is given back at once.
                let held = client.reserve().line(SKU, PLACE, 1).ttl(Duration::from_secs(600)).send().await;
                match held {
                    Ok(held) => {
                        latency.saturating_record(micros(begun.elapsed()));
                        held.release().await?;
                    }
                    Err(error) if error.code() == Code::Contended => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(latency)
        })
    };
    (0..callers).map(caller).collect()
}

async fn gather(callers: Vec<Caller>) -> Result<Histogram<u64>, Failed> {
    let mut all = histogram();
    for caller in callers {
        all.add(caller.await??)?;
    }
    Ok(all)
}

struct Swept {
    latency: Histogram<u64>,
    seconds: f64,
    reads: u64,
    out_of_balance: u64,
}

/// Reserves and reads until the last due hold is swept.
async fn watch_sweep(client: &Client, args: &Args) -> Result<Swept, Failed> {
    let stop = Arc::new(AtomicBool::new(false));
    let callers = start_crowd(client, args.callers, &stop);
    let (reads, bad) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let last = Arc::new(Mutex::new(String::new()));
    let reader = {
        let (client, stop, reads, bad, last) = (client.clone(), stop.clone(), reads.clone(), bad.clone(), last.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                if let Ok(pool) = pool(&client).await {
                    reads.fetch_add(1, Ordering::SeqCst);
                    if pool.on_hand + pool.short != pool.available + pool.held + pool.committed + pool.unavailable {
                        bad.fetch_add(1, Ordering::SeqCst);
                        *last.lock().expect("no panic holds it") = format!("{pool:?}");
                    }
                }
            }
        })
    };
    let begun = Instant::now();
    let swept = loop {
        // Each caller has one hold at most, so what is open beyond that is still to be swept.
        if live_reservations(client).await? <= args.callers as u64 {
            break begun.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        if begun.elapsed() > Duration::from_secs(300) {
            return Err("the sweep did not end within five minutes".into());
        }
    };
    stop.store(true, Ordering::SeqCst);
    reader.await?;
    let out_of_balance = bad.load(Ordering::SeqCst);
    if out_of_balance > 0 {
        eprintln!("out of balance: {}", last.lock().expect("no panic holds it"));
    }
    let latency = gather(callers).await?;
    Ok(Swept { latency, seconds: swept.as_secs_f64(), reads: reads.load(Ordering::SeqCst), out_of_balance })
}

async fn live_reservations(client: &Client) -> Result<u64, Failed> {
    let status = client.cluster().status(false).await?;
    let open = status.nodes.iter().flat_map(|node| &node.replicas).map(|replica| replica.live_reservations);
    Ok(open.max().unwrap_or(0))
}

async fn pool(client: &Client) -> Result<Pool, Error> {
    let stock = client.stock(SKU).send().await?;
    Ok(stock.pools.into_iter().next().expect("a known SKU has a pool"))
}

/// Latencies from a microsecond to two minutes, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("bounds that make sense")
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

fn millis(latency: &Histogram<u64>) -> f64 {
    latency.value_at_quantile(0.99) as f64 / 1_000.0
}
