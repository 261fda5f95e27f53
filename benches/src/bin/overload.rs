//! What happens when four times as much is asked as can be done: how much is still done, what the rest is told, what memory
//! the servers take, and how soon others are served as before once it is over.
//!
//! The servers share one processor and this program has another: `make overload`.

#![forbid(unsafe_code)]

use clap::Parser;
use earmark_benches::{
    Failed,
    load::{
        drive::{Going, drive},
        shape::{Plan, Shape},
        worker::Crew,
    },
    report::{Output, markdown, tell},
    servers::{Place, Servers, Setting, usage},
};
use serde::Serialize;
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How many callers are tried, to find how much can be done.
const CALLERS: [usize; 3] = [256, 1_024, 4_096];

/// Of what can be done, this share is asked by others before, meanwhile and after.
const NORMAL_SHARE: f64 = 0.5;

/// Latencies after the overload are looked at in windows of this length.
const WINDOW: Duration = Duration::from_millis(250);

/// A window in which 99 of 100 stay within so many times what they took before is a normal one.
const NORMAL_TIMES: f64 = 2.0;

/// As long as that after an overload, latencies are looked at.
const AFTER_MAX: Duration = Duration::from_secs(30);

/// Asks for four times as much as can be done, and says what is still done.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    place: Place,
    /// What is asked.
    #[arg(value_enum, default_value_t = Shape::Singles1024)]
    shape: Shape,
    /// Stock shards.
    #[arg(long, default_value_t = 8)]
    shards: u32,
    /// Processors of the servers, as `taskset` names them.
    #[arg(long, default_value = "0")]
    server_cpus: String,
    /// How many times as much is asked as can be done.
    #[arg(long, default_value_t = 4.0)]
    times: f64,
    /// How long.
    #[arg(long, default_value = "20s")]
    length: humantime::Duration,
    /// Reserves under way at once during the overload, at most.
    #[arg(long, default_value_t = 65_536)]
    callers: usize,
    /// A reserve waits so long for its end, with all tries.
    #[arg(long, default_value = "2s")]
    timeout: humantime::Duration,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What it showed. Rates are operations a second, done ones if nothing else is said.
#[derive(Serialize)]
struct Report {
    /// The most that was done when callers waited for each other.
    best: f64,
    asked: f64,
    /// Of that, what callers came to ask: so many of them are under way at most, and whoever is not answered asks nothing else.
    begun: f64,
    /// Done while so much was asked.
    goodput: f64,
    goodput_to_best: f64,
    overloaded: u64,
    turned_away: u64,
    refused: u64,
    unknown: u64,
    /// Of half the best, before.
    normal_p99_ms: f64,
    /// Of what was done or answered during the overload.
    overload_p99_ms: f64,
    /// From the end of the overload to the first window in which all was as before; none: not within half a minute.
    back_ms: Option<f64>,
    /// Resident memory of all servers: before, the most during the overload, and in the end.
    rss_before_mib: f64,
    rss_most_mib: f64,
    rss_after_mib: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tell(measure(&arguments).await.map(|report| (report, arguments.output)), table)
}

async fn measure(arguments: &Arguments) -> Result<Report, Failed> {
    let setting = Setting { cpus: arguments.server_cpus.clone(), ..arguments.place.setting(arguments.shards) };
    let servers = Servers::start(&setting).await?;
    let (endpoints, pids) = (servers.endpoints(), servers.pids());
    let crew = async |outstanding, rate| {
        let plan = Plan { outstanding, rate, timeout: arguments.timeout.into(), ..arguments.shape.plan() };
        Ok::<_, Failed>(Arc::new(Crew::connect(plan, &endpoints).await?))
    };
    crew(1, None).await?.stock_up().await?;
    let mut best = 0.0_f64;
    for callers in CALLERS {
        let (measured, took) = drive(&crew(callers, None).await?, Duration::from_secs(5), 1).await?;
        let done = measured.counts.done as f64 / took.as_secs_f64();
        eprintln!("{callers} callers: {done:.0} a second");
        best = best.max(done);
    }
    let normal = crew(4_096, Some(best * NORMAL_SHARE)).await?;
    let (before, _) = drive(&normal, Duration::from_secs(10), 2).await?;
    let normal_p99_ms = before.quantile_ms(0.99);
    let rss_before_mib = usage(&pids)?.resident_mib();
    eprintln!("half of it: p99 {normal_p99_ms:.1} ms; now {} times as much for {}", arguments.times, arguments.length);

    let asked = best * arguments.times;
    let crowd = Going::begin(&crew(arguments.callers, Some(asked)).await?, 3);
    let length: Duration = arguments.length.into();
    let (begun, mut rss_most_mib) = (Instant::now(), rss_before_mib);
    while begun.elapsed() < length {
        sleep(Duration::from_millis(100)).await;
        rss_most_mib = rss_most_mib.max(usage(&pids)?.resident_mib());
    }
    let goodput = crowd.so_far().done as f64 / begun.elapsed().as_secs_f64();
    // What is under way ends while it is looked at who comes next.
    let ending = tokio::spawn(async move { crowd.end().await });
    let back_ms = back_to(&normal, normal_p99_ms).await?;
    let told = ending.await??;
    let counts = told.counts;
    let report = Report {
        best,
        asked,
        begun: counts.all() as f64 / length.as_secs_f64(),
        goodput,
        goodput_to_best: goodput / best,
        overloaded: counts.overloaded,
        turned_away: counts.turned_away,
        refused: counts.answered_no(),
        unknown: counts.unknown,
        normal_p99_ms,
        overload_p99_ms: told.quantile_ms(0.99),
        back_ms,
        rss_before_mib,
        rss_most_mib,
        rss_after_mib: usage(&pids)?.resident_mib(),
    };
    servers.end()?;
    Ok(report)
}

/// Until the end of the first window in which callers that come now are served as before.
async fn back_to(normal: &Arc<Crew>, p99_ms: f64) -> Result<Option<f64>, Failed> {
    let over = Instant::now();
    let mut seed = 4;
    while over.elapsed() < AFTER_MAX {
        let (window, _) = drive(normal, WINDOW, seed).await?;
        let (counts, at) = (window.counts, over.elapsed().as_millis());
        eprintln!("{at} ms after: {} of {} done, p99 {:.1} ms", counts.done, counts.all(), window.quantile_ms(0.99));
        if window.counts.done == window.counts.all() && window.quantile_ms(0.99) <= p99_ms * NORMAL_TIMES {
            return Ok(Some(over.elapsed().as_secs_f64() * 1_000.0));
        }
        seed += 1;
    }
    Ok(None)
}

fn table(report: &Report) -> String {
    let mut table = markdown(["what", "seen"]);
    let back = report.back_ms.map_or("not within 30 s".to_owned(), |ms| format!("{ms:.0} ms"));
    let rows = [
        ("the most that can be done, a second", format!("{:.0}", report.best)),
        ("asked, a second; begun", format!("{:.0}; {:.0}", report.asked, report.begun)),
        ("done, a second", format!("{:.0} ({:.2} of the most)", report.goodput, report.goodput_to_best)),
        ("told OVERLOADED", report.overloaded.to_string()),
        ("turned away otherwise, unknown", format!("{}, {}", report.turned_away, report.unknown)),
        ("p99 of half the most, before", format!("{:.1} ms", report.normal_p99_ms)),
        ("p99 during the overload", format!("{:.1} ms", report.overload_p99_ms)),
        ("until half the most is served as before", back),
        (
            "MiB of all servers before, most, after",
            format!("{:.0}, {:.0}, {:.0}", report.rss_before_mib, report.rss_most_mib, report.rss_after_mib),
        ),
    ];
    table.add_rows(rows.map(|(what, seen)| [what.to_owned(), seen]));
    table.to_string()
}
