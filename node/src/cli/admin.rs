//! `earmark admin`: acts of an operator.

use super::{Failure, Global, Output, connect};
use clap::{Args, Subcommand};
use earmark_client::wire::v1::ReseedProgress;
use serde::Serialize;
use std::process::ExitCode;

/// What an operator can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Brings a node with a lost or damaged disk back: its replicas are removed and added again, empty.
    Reseed(Reseed),
}

/// Arguments of `earmark admin reseed`.
#[derive(Debug, Args)]
pub struct Reseed {
    /// Number of the node; `earmark status` tells it.
    #[arg(value_name = "NODE", value_parser = clap::value_parser!(u32).range(1..))]
    node: u32,
}

#[derive(Debug, Serialize)]
struct Step {
    shard: u32,
    step: String,
    shards_done: u32,
    shards_total: u32,
    incarnation: u32,
}

impl From<ReseedProgress> for Step {
    fn from(told: ReseedProgress) -> Self {
        Self {
            shard: told.shard,
            step: told.step,
            shards_done: told.shards_done,
            shards_total: told.shards_total,
            incarnation: told.incarnation,
        }
    }
}

pub(super) async fn run(global: &Global, action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Reseed(arguments) => reseed(global, arguments).await,
    }
}

/// Tells each step on a line of its own as it happens; as JSON one value a line.
async fn reseed(global: &Global, arguments: Reseed) -> Result<ExitCode, Failure> {
    let client = connect(global).await?;
    let mut progress = client.cluster().reseed(arguments.node).await?;
    let mut steps = 0_u64;
    while let Some(told) = progress.next().await? {
        steps += 1;
        let step = Step::from(told);
        match global.output {
            Output::Table => println!(
                "[{}/{}] shard {}: {} (incarnation {})",
                step.shards_done, step.shards_total, step.shard, step.step, step.incarnation
            ),
            Output::Json => {
                println!("{}", serde_json::to_string(&step).expect("texts and numbers can be written as JSON"));
            }
        }
    }
    if steps == 0 {
        eprintln!("node {} has no damaged replica: nothing was to be done", arguments.node);
    }
    Ok(ExitCode::SUCCESS)
}
