//! `earmark init`: form a new cluster, once.

use super::output::{View, list};
use super::{Failure, Global, connect};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// Arguments of `earmark init`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Stock shards, 1 to 1024. The number stays as it is, so choose for the largest the cluster may become.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    shards: u32,
}

#[derive(Debug, Serialize)]
struct Formed {
    cluster_id: String,
    shards: u32,
    nodes: u32,
}

impl View for Formed {
    fn table(&self) -> String {
        list([
            ("cluster", self.cluster_id.clone()),
            ("shards", self.shards.to_string()),
            ("nodes", self.nodes.to_string()),
        ])
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let formed = connect(global).await?.cluster().init(arguments.shards).await?;
    global.output.print(&Formed { cluster_id: formed.cluster_id, shards: formed.shards, nodes: formed.nodes })
}
