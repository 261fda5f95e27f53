//! The `earmark` binary: arguments in, exit code out. The commands are in `cli`, the server in the library.

#![forbid(unsafe_code)]

mod cli;

use std::{io::IsTerminal, process::ExitCode};

/// Returns memory to the system as holds end, and does not grow with the number of threads.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is logged unless `RUST_LOG` says otherwise. openraft tells every election as news.
const LOGGED: &str = "warn,earmark_node=info,openraft=error";

fn main() -> ExitCode {
    log_to_stderr();
    // Callers choose ids and names: where in a map these lie is for nobody to know.
    earmark_ledger::seed_hash_maps(rand::random());
    match cli::Cli::read() {
        Ok(cli) => cli::run(cli),
        Err(code) => code,
    }
}

/// Text for people, JSON lines for machines; never standard output, which belongs to results.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { logs.init() } else { logs.json().init() }
}
