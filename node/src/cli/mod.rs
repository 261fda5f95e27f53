//! The command line: what a user or an operator does to a cluster from a shell. One command a file.
//!
//! A command reads its arguments, does its work through the SDK and returns either its exit code or a [`Failure`]. Results
//! go to standard output, as a table for people or as JSON with stable keys; everything else goes to standard error. The
//! exit code says what may be concluded: 0 done, 1 refused, 2 bad input, 3 unavailable (surely not done), 4 unknown.

mod adjust;
mod admin;
mod commit;
mod completions;
mod dev;
mod extend;
mod failure;
mod id;
mod init;
mod output;
mod parse;
mod receive;
mod release;
mod replay;
mod reserve;
mod serve;
mod show;
mod status;
mod stock;
mod views;

pub use failure::Failure;
pub use output::Output;

use clap::{Args, Parser, Subcommand};
use earmark_client::Client;
use earmark_ledger::types::Namespace;
use std::process::ExitCode;
use std::time::Duration;

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
    /// Shows every pool of a SKU.
    Stock(stock::Arguments),
    /// Holds units for a while: every line or none.
    Reserve(reserve::Arguments),
    /// Sells what a reservation holds.
    Commit(commit::Arguments),
    /// Gives back what a reservation holds.
    Release(release::Arguments),
    /// Moves the deadline of a reservation.
    Extend(extend::Arguments),
    /// Shows a reservation.
    Show(show::Arguments),
    /// Shows nodes, shards and replicas.
    Status(status::Arguments),
    /// Forms a new cluster, once.
    Init(init::Arguments),
    /// Acts of an operator.
    #[command(subcommand)]
    Admin(admin::Action),
    /// Plays recorded orders against a cluster and checks the books.
    Replay(replay::Arguments),
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
            if error.use_stderr() && wants_json(std::env::args()) {
                return Failure::usage(&error).report(Output::Json);
            }
            // Help that can't be printed has nobody to read why.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
        })
    }
}

/// What was asked for before the arguments could be read.
fn wants_json(arguments: impl Iterator<Item = String>) -> bool {
    let arguments: Vec<String> = arguments.collect();
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("the runtime can't be started: {error}")))?;
    runtime.block_on(dispatch(&cli.global, cli.command))
}

async fn dispatch(global: &Global, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Dev(arguments) => dev::run(global, arguments).await,
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Id(arguments) => id::run(global, arguments).await,
        Command::Receive(arguments) => receive::run(global, arguments).await,
        Command::Adjust(arguments) => adjust::run(global, arguments).await,
        Command::Stock(arguments) => stock::run(global, arguments).await,
        Command::Reserve(arguments) => reserve::run(global, arguments).await,
        Command::Commit(arguments) => commit::run(global, arguments).await,
        Command::Release(arguments) => release::run(global, arguments).await,
        Command::Extend(arguments) => extend::run(global, arguments).await,
        Command::Show(arguments) => show::run(global, arguments).await,
        Command::Status(arguments) => status::run(global, arguments).await,
        Command::Init(arguments) => init::run(global, arguments).await,
        Command::Admin(action) => admin::run(global, action).await,
        Command::Replay(arguments) => replay::run(global, arguments).await,
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_make_sense_to_clap() {
        Cli::command().debug_assert();
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
        let arguments = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter();
        assert!(wants_json(arguments("earmark --output json bogus")));
        assert!(wants_json(arguments("earmark bogus --output=json")));
        assert!(!wants_json(arguments("earmark --output table json")));
    }
}
