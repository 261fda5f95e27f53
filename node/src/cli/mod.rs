//! The command line: what a user or an operator does to a cluster from a shell. One command a file.
//!
//! A command reads its arguments, does its work through the SDK and returns either its exit code or a [`Failure`]. Results
//! go to standard output, as a table for people or as JSON with stable keys; everything else goes to standard error. The
//! exit code says what may be concluded: 0 done, 1 refused, 2 bad input, 3 unavailable (surely not done), 4 unknown.

mod adjust;
mod admin;
mod cancel;
mod commit;
mod completions;
mod count;
mod dev;
mod expect;
mod extend;
mod failure;
mod id;
mod import;
mod init;
mod lists;
mod of_reservation;
mod output;
mod parse;
mod paying;
mod quarantine;
mod receive;
mod release;
mod replace;
mod replay;
mod reserve;
mod returns;
mod serve;
mod set;
mod ship;
mod show;
mod sku;
mod status;
mod stock;
mod transfer;
mod views;

pub use failure::Failure;
pub use output::Output;

use clap::{Args, Parser, Subcommand};
use earmark_client::{Client, Page, PageToken};
use earmark_ledger::types::Namespace;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// What the options of every command stand under in the help, apart from a command's own.
const GLOBAL: &str = "Options of every command";

/// How long a command looks for a node that answers.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A distributed ledger for stock: hold units for a shopper, sell them once.
#[derive(Debug, Parser)]
#[command(name = "earmark", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 refused, 2 bad input, 3 unavailable (surely not done), 4 unknown")]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Nodes to begin with, `host:port`, with commas between. Any node of the cluster will do.
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "EARMARK__ENDPOINTS",
        default_value = "127.0.0.1:7400",
        value_delimiter = ',',
        value_name = "HOST:PORT"
    )]
    pub endpoints: Vec<String>,
    /// The tenant or brand everything is under.
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        env = "EARMARK__NAMESPACE",
        default_value = "default",
        value_name = "NAME"
    )]
    pub namespace: String,
    /// How results and errors are printed.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a whole cluster in one process, to try things out.
    Dev(dev::Arguments),
    /// Runs one node of a cluster.
    Serve(serve::Arguments),
    /// Makes a reservation id that lives beside a SKU.
    Id(id::Arguments),
    /// Adds units that arrived; makes the SKU and the location's pool if they are new.
    Receive(receive::Arguments),
    /// Corrects on hand by a signed number of units.
    Adjust(adjust::Arguments),
    /// Sets on hand to a value, for whoever knows what it was.
    Set(set::Arguments),
    /// Tells what was counted, and when; what moved since is applied on top.
    Count(count::Arguments),
    /// Sets units apart: damaged, for a check, or what else.
    Quarantine(quarantine::Arguments),
    /// Makes units available again that were set apart.
    Unquarantine(quarantine::Back),
    /// Takes units off the books that were set apart.
    WriteOff(quarantine::Arguments),
    /// Sends units to another location.
    Transfer(transfer::Transfer),
    /// Tells of units of a transfer that they arrived, or were lost.
    Arrive(transfer::Arrive),
    /// Lists the transfers of a SKU that are under way.
    Transits(transfer::Transits),
    /// Announces a receipt, changes or cancels it.
    Expect(expect::Arguments),
    /// Shows and changes how a SKU is sold: freeze, open, close, limits, and more.
    #[command(subcommand)]
    Sku(sku::Action),
    /// Shows every pool of a SKU.
    Stock(stock::Arguments),
    /// Lists the pools that are short, with the holds at risk.
    Shortages(lists::Shortages),
    /// Holds units for a while: every line or none.
    Reserve(reserve::Arguments),
    /// Sells what a reservation holds.
    Commit(commit::Arguments),
    /// Gives back what a reservation holds.
    Release(release::Arguments),
    /// Moves the deadline of a reservation.
    Extend(extend::Arguments),
    /// Gives a reservation other lines, all at once.
    Replace(replace::Arguments),
    /// Moves the deadline once, because the shopper is paying.
    MarkPaying(paying::Arguments),
    /// Tells that committed units left the house.
    Ship(ship::Arguments),
    /// Takes a sale back before anything left the house.
    Cancel(cancel::Arguments),
    /// Takes units back from the customer.
    Return(returns::Arguments),
    /// Shows a reservation.
    Show(show::Arguments),
    /// Lists the reservations of an owner that hold units.
    Reservations(lists::Reservations),
    /// Lists the holds that end soon.
    Expiring(lists::Expiring),
    /// Shows nodes, shards and replicas.
    Status(status::Arguments),
    /// Forms a new cluster, once.
    Init(init::Arguments),
    /// Acts of an operator.
    #[command(subcommand)]
    Admin(admin::Action),
    /// Plays recorded orders against a cluster and checks the books.
    Replay(replay::Arguments),
    /// Imports stock and settings of SKUs from a CSV file: a verdict per row, resumable, with a dry run.
    Import(Box<import::Arguments>),
    /// Prints a completion script for a shell.
    Completions(completions::Arguments),
}

impl Cli {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// The exit code, after help or a usage error was printed. A usage error is JSON too if JSON was asked for.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            if error.use_stderr() && wants_json(std::env::args_os()) {
                return Failure::usage(&error).report(Output::Json);
            }
            // Help that can't be printed has nobody to read why.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
        })
    }
}

/// What was asked for before the arguments could be read. They may be no text: that is for clap to tell.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.collect();
    arguments.iter().any(|one| one == "--output=json")
        || arguments.windows(2).any(|two| two[0] == "--output" && two[1] == "json")
}

/// Does what was asked for, and tells how it went by the exit code.
pub fn run(cli: Cli) -> ExitCode {
    let output = cli.global.output;
    perform(cli).unwrap_or_else(|failure| failure.report(output))
}

fn perform(cli: Cli) -> Result<ExitCode, Failure> {
    if let Command::Completions(arguments) = &cli.command {
        return completions::run(arguments);
    }
    if let Command::Serve(arguments) = &cli.command {
        let config = arguments.config()?;
        return runtime(config.limits.threads)?.block_on(serve::run(config));
    }
    runtime(None)?.block_on(dispatch(&cli.global, cli.command))
}

/// With so many threads, or one for each processor.
fn runtime(threads: Option<usize>) -> Result<Runtime, Failure> {
    let mut builder = match threads {
        // It shares nothing with other threads: a twentieth cheaper with few outstanding than one that could.
        Some(1) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().map_err(|error| Failure::local(format!("the runtime can't be started: {error}")))
}

async fn dispatch(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Dev(arguments) => dev::run(global, arguments).await,
        Command::Serve(arguments) => serve::run(arguments.config()?).await,
        Command::Id(arguments) => id::run(global, arguments).await,
        Command::Receive(arguments) => receive::run(global, arguments).await,
        Command::Adjust(arguments) => adjust::run(global, arguments).await,
        Command::Set(arguments) => set::run(global, arguments).await,
        Command::Count(arguments) => count::run(global, arguments).await,
        Command::Quarantine(arguments) => quarantine::set_apart(global, arguments).await,
        Command::Unquarantine(arguments) => quarantine::back(global, arguments).await,
        Command::WriteOff(arguments) => quarantine::write_off(global, arguments).await,
        Command::Transfer(arguments) => transfer::transfer(global, arguments).await,
        Command::Arrive(arguments) => transfer::arrive(global, arguments).await,
        Command::Transits(arguments) => transfer::transits(global, arguments).await,
        Command::Expect(arguments) => expect::run(global, arguments).await,
        Command::Sku(action) => sku::run(global, action).await,
        Command::Shortages(arguments) => lists::shortages(global, arguments).await,
        Command::Reservations(arguments) => lists::reservations(global, arguments).await,
        Command::Expiring(arguments) => lists::expiring(global, arguments).await,
        Command::Stock(arguments) => stock::run(global, arguments).await,
        Command::Reserve(arguments) => reserve::run(global, arguments).await,
        Command::Commit(arguments) => commit::run(global, arguments).await,
        Command::Release(arguments) => release::run(global, arguments).await,
        Command::Extend(arguments) => extend::run(global, arguments).await,
        Command::Replace(arguments) => replace::run(global, arguments).await,
        Command::MarkPaying(arguments) => paying::run(global, arguments).await,
        Command::Ship(arguments) => ship::run(global, arguments).await,
        Command::Cancel(arguments) => cancel::run(global, arguments).await,
        Command::Return(arguments) => returns::run(global, arguments).await,
        Command::Show(arguments) => show::run(global, arguments).await,
        Command::Status(arguments) => status::run(global, arguments).await,
        Command::Init(arguments) => init::run(global, arguments).await,
        Command::Admin(action) => admin::run(global, action).await,
        Command::Replay(arguments) => replay::run(global, arguments).await,
        Command::Import(arguments) => import::run(global, *arguments).await,
        Command::Completions(arguments) => completions::run(&arguments),
    }
}

/// A client with the options every command takes.
async fn connect(global: &Global) -> Result<Client, Failure> {
    let named = global.endpoints.iter().map(|endpoint| endpoint.trim()).filter(|endpoint| !endpoint.is_empty());
    let endpoints = named.map(parse::endpoint).collect::<Result<Vec<_>, _>>()?;
    if endpoints.is_empty() {
        return Err(Failure::input("endpoints", "must name at least one node, HOST:PORT"));
    }
    let builder = Client::builder()
        .endpoints(endpoints)
        .namespace(parse::name::<Namespace>("namespace", &global.namespace)?)
        .principal("earmark-cli")
        .open_timeout(OPEN_TIMEOUT);
    Ok(builder.connect().await?)
}

/// Entries in one page of a list.
const PAGE: u32 = 1_000;

/// The first so many entries of a list, as one page: `next` says whether there are more.
async fn pages<T, F>(limit: usize, mut read: impl FnMut(u32, Option<PageToken>) -> F) -> Result<Page<T>, Failure>
where
    F: Future<Output = Result<Page<T>, earmark_client::Error>>,
{
    let mut list = read(page_size(limit), None).await?;
    while list.items.len() < limit
        && let Some(after) = list.next.take()
    {
        let page = read(page_size(limit - list.items.len()), Some(after)).await?;
        join(&mut list, page);
    }
    Ok(list)
}

fn page_size(entries: usize) -> u32 {
    u32::try_from(entries).unwrap_or(u32::MAX).min(PAGE)
}

/// Joins the page that follows. What is said of the freshness of both holds for the older one.
fn join<T>(list: &mut Page<T>, page: Page<T>) {
    list.items.extend(page.items);
    list.next = page.next;
    for position in page.positions {
        match list.positions.iter_mut().find(|known| known.shard == position.shard) {
            Some(known) => *known = position.min(*known),
            None => list.positions.push(position),
        }
    }
    list.as_of = list.as_of.min(page.as_of);
    list.age = list.age.max(page.age);
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use earmark_client::{Epoch, Level, LogIndex, Position, ShardId, TimeMs};

    #[test]
    fn the_commands_make_sense_to_clap() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pages_are_as_fresh_as_the_oldest_of_them() {
        let at = |shard, index| Position { shard: ShardId(shard), epoch: Epoch(1), index: LogIndex(index), ordinal: 0 };
        let page = |items, positions, as_of| Page {
            items,
            next: None,
            level: Level::Bounded,
            positions,
            as_of: TimeMs(as_of),
            age: Duration::from_millis(100 - as_of),
        };
        let mut list = page(vec![1, 2], vec![at(1, 7), at(2, 9)], 50);
        join(&mut list, page(vec![3], vec![at(3, 1), at(1, 8), at(2, 4)], 40));
        assert_eq!(list, page(vec![1, 2, 3], vec![at(1, 7), at(2, 4), at(3, 1)], 40));
    }

    #[test]
    fn endpoints_are_separated_by_commas_and_options_may_come_last() {
        let cli = Cli::try_parse_from(["earmark", "stock", "lamp-01", "--endpoints", "a:1,b:2", "--output", "json"]);
        let cli = cli.expect("good arguments");
        assert_eq!(cli.global.endpoints, ["a:1", "b:2"]);
        assert_eq!(cli.global.output, Output::Json);
    }

    #[test]
    fn json_is_noticed_before_the_arguments_are_read() {
        let arguments = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>().into_iter();
        assert!(wants_json(arguments("earmark --output json bogus")));
        assert!(wants_json(arguments("earmark bogus --output=json")));
        assert!(!wants_json(arguments("earmark --output table json")));
    }
}
