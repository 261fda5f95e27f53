//! `earmark replay`: plays recorded orders against a cluster, then checks the books.
//!
//! It receives the stock that the orders need, plays each basket, or each line, as one reservation (reserve, then commit
//! or release), reads every balance back, and compares the difference with what it was told on the way. It relies on being
//! alone with its pools; that they were used before does no harm.

mod books;
mod carts;
mod crowd;
mod factor;
mod orders;
mod persist;
mod play;
mod report;
mod stock;

use super::{Failure, Global, connect};
use clap::{Args, ValueEnum};
use earmark_client::Client;
use indicatif::{ProgressBar, ProgressStyle};
use orders::Orders;
use report::Report;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Arguments of `earmark replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
The CSV has the columns transaction_timestamp, basket_id, household_id, store_id, product_id, quantity, in any order: \
product_id is the SKU, store_id the location, household_id the owner, basket_id the order. Rows that can't be used are \
counted and left out. `seconds` is the time of playing, without receiving and reading back.")]
pub struct Arguments {
    /// Orders as CSV, also gzipped.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What becomes one reservation.
    #[arg(long, value_enum, default_value_t = Mode::Cart)]
    mode: Mode,
    /// How much to receive of each SKU at each location, for each unit the orders ask for.
    #[arg(long, default_value = "1.0", value_name = "FACTOR", allow_hyphen_values = true)]
    stock_factor: String,
    /// How many reservations are in flight. With 1 each order ends as reading the file from top to bottom says.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    concurrency: u32,
    /// Share of reservations that are released instead of committed, 0 to 1.
    #[arg(long, default_value = "0.0", value_name = "SHARE", allow_hyphen_values = true)]
    abandon: String,
    /// Fold all SKUs onto that many (`fold-0`, `fold-1`, ...) at the location `all`, to make them hot.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    fold_skus: Option<u64>,
    /// Where to write the rows that can't be used: line number and reason.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Decides, with the number of its first line, which reservations are released.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

/// What becomes one reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Each basket, over as many shards as it touches: all its lines are held, or none.
    Cart,
    /// Each line of an order. A refused line stops only itself.
    Line,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let stock_factor = factor::stock(&arguments.stock_factor)?;
    let abandon = factor::share(&arguments.abandon)?;
    let orders = read(&arguments)?;
    let client = connect(global).await?;

    let before = stock::read_all(&client, &orders, &progress("reading balances", orders.skus.len())).await?;
    let receipts = orders.receipts(stock_factor);
    stock::receive(&client, &orders, &receipts, &progress("receiving", receipts.len())).await?;
    let orders = Arc::new(orders);
    let plan = play::Plan { mode: arguments.mode, concurrency: arguments.concurrency, abandon, seed: arguments.seed };
    let played = play::play(&client, &orders, plan, &progress("playing", plan.reservations(&orders))).await?;
    carts::at_rest(&client).await?;
    let after = stock::read_all(&client, &orders, &progress("reading balances", orders.skus.len())).await?;

    let pools = (0..orders.pools.len()).map(|pool| books::PoolBooks {
        before: before[pool],
        received: receipts[pool],
        told: played.tallies[pool],
        after: after[pool],
    });
    let verdict = books::judge(pools);
    tell_problems(&orders, &verdict);
    let replicas = oversold_by_replicas(&client).await?;
    let digest_equal = client.cluster().compare().await?.all_equal;
    let carts = carts::Carts::read(&client, &orders, arguments.mode).await?;
    let report = Report::new(&orders, &played, &verdict, replicas, digest_equal, carts);
    global.output.print(&report)?;
    Ok(report.exit_code())
}

fn read(arguments: &Arguments) -> Result<Orders, Failure> {
    let mut rejects = arguments.rejects.as_deref().map(rejects_file).transpose()?;
    let problem = |error: csv::Error| Failure::input("--rejects", format!("can't be written: {error}"));
    let mut note = |line: u64, reason: &str| match &mut rejects {
        Some(file) => file.write_record([&line.to_string(), reason]).map_err(problem),
        None => Ok(()),
    };
    let orders = orders::read(&arguments.file, arguments.fold_skus, &mut note)?;
    if let Some(file) = &mut rejects {
        file.flush().map_err(|error| problem(error.into()))?;
    }
    Ok(orders)
}

fn rejects_file(path: &Path) -> Result<csv::Writer<File>, Failure> {
    let problem = |error: csv::Error| Failure::input("--rejects", format!("{}: {error}", path.display()));
    let mut file = csv::Writer::from_path(path).map_err(problem)?;
    file.write_record(["line", "reason"]).map_err(problem)?;
    Ok(file)
}

/// On a terminal only; indicatif draws nothing elsewhere.
fn progress(what: &'static str, count: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:17} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
        .expect("the template is valid");
    ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX)).with_style(style).with_message(what)
}

/// What the replicas found themselves.
async fn oversold_by_replicas(client: &Client) -> Result<u64, Failure> {
    let status = client.cluster().status(false).await?;
    let replicas = status.nodes.iter().flat_map(|node| &node.replicas);
    Ok(replicas.map(|replica| replica.oversold_units).max().unwrap_or(0))
}

/// The first few, for people; the report has the sum.
fn tell_problems(orders: &Orders, verdict: &books::Verdict) {
    const TOLD_MAX: usize = 10;
    for (pool, problem) in verdict.problems.iter().take(TOLD_MAX) {
        let pool = &orders.pools[*pool];
        eprintln!("the books of {}@{} do not balance: {problem}", orders.skus[pool.sku], pool.location);
    }
    if verdict.problems.len() > TOLD_MAX {
        eprintln!("... and {} more", verdict.problems.len() - TOLD_MAX);
    }
}
