//! `earmark import`: stock and settings of SKUs from a CSV file, a verdict per row.
//!
//! The file is read from top to bottom in blocks of bounded size. A block is noted in the progress file, carried out, told
//! in the results file, and only then the next one begins: so what is in flight is bounded, and whatever interrupts the
//! import, at most one block is in doubt. Every operation has an id that follows from the import, its row and the time its
//! block was opened, all of which the progress file keeps. A run that goes on repeats the open block under the ids of its
//! first sending, and the ledger tells the first outcome where there is one.

mod act;
mod ask;
mod carry;
mod columns;
mod dry_run;
mod ids;
mod meter;
mod patch;
mod progress;
mod report;
mod row;
mod source;
mod text;
mod verdict;

use super::serve::stop_asked;
use super::{Failure, Global, connect, parse};
use ask::Patience;
use carry::Carrier;
use clap::Args;
use earmark_client::{Client, TimeMs};
use meter::Meter;
use progress::{Keeper, Open, Settled, State, Terms};
use report::{Counts, Report};
use row::{Action, Defaults};
use source::{Mark, Plan, Source};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use verdict::Results;

/// Arguments of `earmark import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Columns, in any order; only sku is required:
  action sku location kind lot quantity expected_on_hand override document reason
  deduct safety_stock hold_time units_per_owner units_window holds_per_owner frozen opens closes cancel_window
  return_window allocation places

A row without an action receives its quantity; with settings and no quantity it configures. An empty cell changes nothing; \
`none` takes a setting away. Interrupted, the same command goes on where it was; no row is done twice.

The exit code is the gravest of: 4 a row is unknown, 3 stopped before the end, 2 bad rows, 1 refused rows, 0 all done.

Examples:
  earmark import stock.csv --dry-run
  earmark import stock.csv
  earmark import count.csv --action set --override --reason 'first load from the old system'
  zcat feed.csv.gz | earmark import - --progress /var/lib/shop/feed.import")]
pub struct Arguments {
    /// CSV, also gzipped; `-` is standard input, and needs --progress (a dry run: --results).
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Read and check the whole file, look up what it names, tell what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Where to write the verdict of each row: CSV, or JSON lines if it ends in .jsonl. [default: FILE.results.csv]
    #[arg(long, value_name = "PATH")]
    results: Option<PathBuf>,
    /// Where to remember how far the import is. [default: FILE.import]
    #[arg(long, value_name = "PATH")]
    progress: Option<PathBuf>,
    /// Begin anew, as another import: what an earlier one did is done again.
    #[arg(long)]
    restart: bool,
    /// What rows do whose action is empty.
    #[arg(long, value_enum)]
    action: Option<Action>,
    /// Where, for rows whose location is empty.
    #[arg(long, default_value = parse::LOCATION_DEFAULT, value_name = "NAME")]
    location: String,
    /// Delivery note or the like, for rows whose document is empty.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    document: String,
    /// Why, for rows whose reason is empty; set and adjust need one.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// Rows that set on hand do so whatever it was, unless they tell what they expect.
    #[arg(long = "override")]
    overriding: bool,
    /// Rows in flight at most.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u16).range(1..=10_000), value_name = "N")]
    in_flight: u16,
    /// How long rows are asked for again while the cluster does not answer; then the import stops.
    #[arg(long, default_value = "60s", value_name = "LENGTH")]
    patience: String,
}

/// Where an import reads and writes.
struct Paths {
    /// None is standard input.
    file: Option<PathBuf>,
    progress: PathBuf,
    results: PathBuf,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let paths = arguments.paths()?;
    let defaults = arguments.defaults();
    defaults.check()?;
    let length = Duration::from_millis(parse::length("patience", &arguments.patience)?.0);
    if let Some(file) = &paths.file {
        // A file that can't be read is bad input whether or not the cluster is up.
        let problem = |error| Failure::input(file.display().to_string(), format!("can't be read: {error}"));
        std::fs::File::open(file).map_err(problem)?;
    }
    let patience = Patience { length, stop: stopper() };
    if arguments.dry_run {
        return try_out(global, &arguments, paths, defaults, patience).await;
    }
    let mut keeper = Keeper::open(&paths.progress)?;
    let before = match keeper.load() {
        Ok(state) => state.filter(|_| !arguments.restart),
        // What can't be read is no hindrance to beginning anew.
        Err(_) if arguments.restart => None,
        Err(failure) => return Err(failure),
    };
    let begun = Instant::now();
    match begin(global, &arguments, &paths, defaults, before, &mut keeper, &patience).await {
        Ok((client, state, source, results)) => {
            let import = Import { client, state, results, patience };
            let (report, broken) = import.go(&mut keeper, source, begun).await?;
            end(global, &report, broken)
        }
        Err(failure) => {
            keeper.discard();
            Err(failure)
        }
    }
}

/// Tells how it ended. `broken`: why the file can't be read to its end, which is for its keeper to mend.
fn end(global: &Global, report: &Report, broken: Option<Failure>) -> Result<ExitCode, Failure> {
    global.output.print(report)?;
    match broken {
        None => Ok(report.exit()),
        Some(failure) if report.has_unknown() => {
            failure.report(global.output);
            Ok(report.exit())
        }
        Some(failure) => Err(failure),
    }
}

/// Checks everything that can be wrong before the first row is sent.
async fn begin(
    global: &Global,
    arguments: &Arguments,
    paths: &Paths,
    defaults: Defaults,
    before: Option<State>,
    keeper: &mut Keeper,
    patience: &Patience,
) -> Result<(Client, State, Source, Results), Failure> {
    if before.is_none() && !arguments.restart && paths.results.exists() {
        let why = "is there, but no progress of its import: give other --results, or begin anew with --restart";
        return Err(Failure::input(paths.results.display().to_string(), why));
    }
    let client = connect(global).await?;
    let terms = terms(global, &client, paths.results.clone(), defaults).await?;
    let state = match before {
        Some(state) => {
            state.must_agree(&terms, &paths.progress)?;
            state
        }
        None => State::new(terms, client.server_time()),
    };
    let plan = arguments.plan(paths, &state.terms.defaults, state.settled.mark(), state.open.as_ref().map(Open::mark));
    let mut source = Source::open(plan)?;
    ready(&mut source, patience).await?;
    let results = Results::open(&paths.results, state.settled.results_bytes)?;
    // From here on the same command goes on, whatever happens to the first block.
    keeper.save(&state)?;
    Ok((client, state, source, results))
}

/// A dry run.
async fn try_out(
    global: &Global,
    arguments: &Arguments,
    paths: Paths,
    defaults: Defaults,
    patience: Patience,
) -> Result<ExitCode, Failure> {
    let before = if arguments.restart { None } else { progress::look(&paths.progress)? };
    let client = connect(global).await?;
    let (mut settled, mut skipped) = (Mark::default(), 0);
    if let Some(state) = &before {
        let results = state.terms.results.clone();
        state.must_agree(&terms(global, &client, results, defaults.clone()).await?, &paths.progress)?;
        (settled, skipped) = (state.settled.mark(), state.settled.counts.rows());
    }
    let mut source = Source::open(arguments.plan(&paths, &defaults, settled, None))?;
    ready(&mut source, &patience).await?;
    let mut results = Results::open(&paths.results, 0)?;
    let (mut meter, mut counts, mut finished, mut broken) = (Meter::new(&source, 0), Counts::default(), false, None);
    if let Some(state) = &before {
        tell_before(&meter, state);
        meter.say("only the rows behind them are tried; with --restart all are");
    }
    let begun = Instant::now();
    while !patience.is_over() {
        let block = match next(&mut source, &patience).await {
            Ok(Some(block)) => block,
            Ok(None) => {
                finished = !patience.is_over();
                break;
            }
            Err(failure) => {
                broken = Some(failure);
                break;
            }
        };
        let verdicts = dry_run::judge(&client, &block, &patience).await?;
        results.write(block.rows.iter().zip(&verdicts))?;
        verdicts.iter().for_each(|verdict| counts.add(verdict));
        meter.tell(&source, &counts);
        if verdicts.iter().any(|verdict| verdict.open) {
            break;
        }
    }
    meter.end();
    let report = Report::new((true, finished), counts, skipped, begun.elapsed(), paths.results);
    end(global, &report, broken)
}

/// Tells what an earlier run did.
fn tell_before(meter: &Meter, state: &State) {
    let since = super::views::time_text(TimeMs(state.begun_ms));
    let how = if state.finished { "this file was imported; looking for more rows in" } else { "going on with" };
    let rows = state.settled.counts.rows();
    meter.say(&format!("{how} the import begun {since}: {rows} rows have their verdict"));
}

/// What may not change between two runs.
async fn terms(global: &Global, client: &Client, results: PathBuf, defaults: Defaults) -> Result<Terms, Failure> {
    let cluster = client.cluster().status(true).await?.cluster_id;
    Ok(Terms { cluster, namespace: global.namespace.clone(), results, defaults })
}

/// An import under way.
struct Import {
    client: Client,
    state: State,
    results: Results,
    patience: Patience,
}

impl Import {
    async fn go(
        mut self,
        keeper: &mut Keeper,
        mut source: Source,
        begun: Instant,
    ) -> Result<(Report, Option<Failure>), Failure> {
        let mut counts = self.state.settled.counts;
        let skipped = counts.rows();
        let mut meter = Meter::new(&source, skipped);
        if skipped > 0 || self.state.open.is_some() {
            tell_before(&meter, &self.state);
        }
        // What an earlier run left open comes first, as it was.
        let mut doubt = self.state.open.is_some();
        let (mut finished, mut broken) = (false, None);
        while !self.patience.is_over() {
            let block = match next(&mut source, &self.patience).await {
                Ok(Some(block)) => block,
                Ok(None) => {
                    finished = !self.patience.is_over();
                    break;
                }
                Err(failure) => {
                    broken = Some(failure);
                    break;
                }
            };
            if !doubt {
                self.state.open = Some(Open::new(block.end, self.client.server_time()));
                self.state.finished = false;
            }
            let carrier = Carrier { client: &self.client, patience: self.patience.clone(), doubt };
            let verdicts = carrier.carry(&block, &mut self.state, keeper).await?;
            self.results.write(block.rows.iter().zip(&verdicts))?;
            verdicts.iter().for_each(|verdict| counts.add(verdict));
            meter.tell(&source, &counts);
            if verdicts.iter().any(|verdict| verdict.open) {
                break;
            }
            // Noted with the next block, or at the end: until then it would be repeated, which changes nothing.
            self.state.settled = Settled::new(block.end, self.results.bytes(), counts);
            self.state.open = None;
            doubt = false;
        }
        if self.state.open.is_none() {
            self.state.finished |= finished;
            keeper.save(&self.state)?;
        }
        meter.end();
        let results = self.state.terms.results.clone();
        Ok((Report::new((false, finished), counts, skipped, begun.elapsed(), results), broken))
    }
}

/// Waits until the file is known to be good as far as it has to be. A pipe may have nothing to read for long.
async fn ready(source: &mut Source, patience: &Patience) -> Result<(), Failure> {
    let mut stop = patience.stop.clone();
    tokio::select! {
        ready = source.ready() => ready,
        Ok(_) = stop.wait_for(|stop| *stop) => Err(Failure::local("stopped before the first row")),
    }
}

/// The next block; none at the end, and when the import is to stop while a slow pipe is waited for.
async fn next(source: &mut Source, patience: &Patience) -> Result<Option<source::Block>, Failure> {
    let mut stop = patience.stop.clone();
    tokio::select! {
        block = source.next() => block,
        Ok(_) = stop.wait_for(|stop| *stop) => Ok(None),
    }
}

/// Turns true when the import is asked to stop. Who asks twice does not want to wait for what is in flight.
fn stopper() -> watch::Receiver<bool> {
    let (stopper, stop) = watch::channel(false);
    tokio::spawn(async move {
        stop_asked().await;
        eprintln!("stopping after the rows in flight; the same command goes on later");
        // Nobody may be left to be told.
        let _ = stopper.send(true);
        stop_asked().await;
        std::process::exit(4);
    });
    stop
}

impl Arguments {
    fn paths(&self) -> Result<Paths, Failure> {
        let mut paths = self.named()?;
        // The progress file remembers it, and the next run may be begun in another folder.
        paths.results = std::path::absolute(&paths.results)
            .map_err(|error| Failure::input("--results", format!("can't be told as a whole path: {error}")))?;
        Ok(paths)
    }

    fn named(&self) -> Result<Paths, Failure> {
        let with = |path: &Path, end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let end = if self.dry_run { ".dry-run.csv" } else { ".results.csv" };
        if self.file != Path::new("-") {
            let progress = self.progress.clone().unwrap_or_else(|| with(&self.file, ".import"));
            let results = self.results.clone().unwrap_or_else(|| with(&self.file, end));
            return Ok(Paths { file: Some(self.file.clone()), progress, results });
        }
        match (&self.progress, &self.results) {
            (Some(progress), results) => {
                let results = results.clone().unwrap_or_else(|| with(progress, end));
                Ok(Paths { file: None, progress: progress.clone(), results })
            }
            (None, Some(results)) if self.dry_run => {
                Ok(Paths { file: None, progress: PathBuf::new(), results: results.clone() })
            }
            (None, _) => {
                let why = "is required with standard input, which has no name to put files beside";
                Err(if self.dry_run {
                    Failure::input("--results", format!("{why}; --progress does as well"))
                } else {
                    Failure::input("--progress", why)
                })
            }
        }
    }

    fn defaults(&self) -> Defaults {
        Defaults {
            action: self.action,
            location: self.location.clone(),
            document: self.document.clone(),
            reason: self.reason.clone(),
            overriding: self.overriding,
        }
    }

    fn plan(&self, paths: &Paths, defaults: &Defaults, settled: Mark, open: Option<Mark>) -> Plan {
        Plan {
            path: paths.file.clone(),
            name: source::shown(paths.file.as_deref()),
            defaults: defaults.clone(),
            block_rows: self.in_flight.into(),
            settled,
            open,
        }
    }
}
