//! The `earmark` binary.

mod cli;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
enum Command {
    Dev(cli::dev::Args),
    Serve(cli::serve::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match Command::parse() {
        Command::Dev(args) => cli::dev::run(args).await,
        Command::Serve(args) => cli::serve::run(args).await,
    }
}
