//! `earmark dev`: a whole cluster in one process, with real sockets and disks.

use super::serve::stop_asked;
use super::{Failure, Global, Output};
use earmark_node::{
    Running,
    config::{Address, Config, Limits, Peer, RaftTimes},
    environment::Environment,
    formation::{self, Formation},
    node::Health,
    storage::Folder,
};
use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

/// Runs a whole cluster in one process, for trying and for tests of your own service. Data is durable like in a real
/// cluster; what is not like one is that a crash of the process stops all nodes.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Nodes: 1, 3 or 5.
    #[arg(long, default_value_t = 3, value_parser = nodes)]
    nodes: u16,
    /// Stock shards, 1 to 1,024. A cluster that is in the folder already keeps the number it has. [default: 8]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    shards: Option<u32>,
    /// Folder for the data, one sub-folder a node. Without it a temporary one is used and removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// First client port; node n has this + n - 1. Peer ports follow at + 100.
    #[arg(long, default_value_t = 7_400, value_parser = clap::value_parser!(u16).range(1..=60_000))]
    port: u16,
}

fn nodes(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(nodes @ (1 | 3 | 5)) => Ok(nodes),
        _ => Err("must be 1, 3 or 5".to_owned()),
    }
}

/// Stock shards of a new cluster if nothing is said.
const SHARDS_DEFAULT: u32 = 8;

/// How long a cluster on one machine may take until every shard has a leader.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Where the peer ports begin, above the client ports.
const PEER_OFFSET: u16 = 100;

/// A cluster in this process.
pub struct Cluster {
    nodes: Vec<Running>,
    /// Client endpoints, `host:port`.
    pub endpoints: Vec<String>,
    folder: PathBuf,
    temporary: bool,
}

impl Arguments {
    fn config(&self, node: u16, folder: &std::path::Path) -> Config {
        let address = |port: u16| format!("127.0.0.1:{port}");
        let client = |node: u16| address(self.port + node - 1);
        let peer = |node: u16| address(self.port + PEER_OFFSET + node - 1);
        let peers: BTreeMap<u32, Peer> = (1..=self.nodes)
            .map(|number| {
                let labels = Peer {
                    peer: peer(number),
                    client: client(number),
                    region: "local".to_owned(),
                    zone: format!("zone-{number}"),
                };
                (u32::from(number), labels)
            })
            .collect();
        Config {
            node: node.into(),
            data: folder.join(format!("node-{node}")),
            client: Address { listen: client(node), advertise: client(node) },
            peer: peer(node),
            nodes: peers,
            limits: Limits::default(),
            raft: RaftTimes::default(),
        }
    }

    /// Starts the cluster and forms it, unless its folder holds one already.
    ///
    /// # Errors
    /// For people.
    async fn start(&self) -> Result<Cluster, Failure> {
        let (folder, temporary) = match &self.data {
            Some(folder) => (folder.clone(), false),
            None => (temporary_folder().map_err(Failure::local)?, true),
        };
        let mut cluster = Cluster { nodes: Vec::new(), endpoints: Vec::new(), folder, temporary };
        for number in 1..=self.nodes {
            let config = self.config(number, &cluster.folder);
            let disk = Arc::new(Folder::new(config.data.clone()));
            let running = earmark_node::start(config, Environment::real(disk)).await.map_err(Failure::start)?;
            if let Some(formation) = running.node().formation() {
                self.must_agree(&formation)?;
            }
            cluster.endpoints.push(running.client_address().to_string());
            cluster.nodes.push(running);
        }
        tokio::time::timeout(READY_PATIENCE, cluster.form(self.shards.unwrap_or(SHARDS_DEFAULT)))
            .await
            .map_err(|_| Failure::local("the cluster did not become ready within a minute"))?
            .map_err(Failure::local)?;
        Ok(cluster)
    }

    /// Refuses to run a cluster as another than it was formed: its numbers can't be changed.
    fn must_agree(&self, formation: &Formation) -> Result<(), Failure> {
        let (nodes, shards) = (formation.nodes.len(), formation.shards);
        if nodes != usize::from(self.nodes) {
            return Err(Failure::input(
                "--nodes",
                format!("the cluster in the folder has {nodes}; run it so, or choose another --data"),
            ));
        }
        match self.shards {
            Some(asked) if asked != shards => Err(Failure::input(
                "--shards",
                format!("the cluster in the folder has {shards}; leave it out, or choose another --data"),
            )),
            _ => Ok(()),
        }
    }
}

fn temporary_folder() -> Result<PathBuf, String> {
    let folder = std::env::temp_dir().join(format!("earmark-dev-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

impl Cluster {
    async fn form(&self, shards: u32) -> Result<(), String> {
        for running in &self.nodes {
            let mut health = running.node().watch_health();
            let known =
                health.wait_for(|health| *health != Health::Starting).await.map_err(|error| error.to_string())?;
            if !matches!(*known, Health::Unformed | Health::Serving) {
                return Err(format!("node {}: {}", running.node().config().node, known.detail()));
            }
        }
        if self.nodes.iter().all(|running| running.node().health() == Health::Unformed) {
            let first = self.nodes[0].node();
            formation::form(first, shards).await.map_err(|error| error.to_string())?;
        }
        while !self.ready() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Every shard has a leader that every node knows, and every node has the map.
    fn ready(&self) -> bool {
        self.nodes.iter().all(|running| {
            let replicas = running.node().replicas();
            let led = replicas.iter().all(|replica| replica.standing().leader.is_some());
            let mapped = replicas.iter().any(|replica| replica.hot().ledger.meta().is_some());
            led && mapped
        })
    }

    /// Stock shards it really has.
    fn shards(&self) -> Option<u32> {
        Some(self.nodes.first()?.node().formation()?.shards)
    }

    /// Stops every node; removes the folder if it was a temporary one.
    pub async fn stop(self) {
        futures::future::join_all(self.nodes.into_iter().map(Running::stop)).await;
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The cluster did not come up.
pub async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let cluster = arguments.start().await?;
    if global.output == Output::Json {
        let told = serde_json::json!({
            "endpoints": cluster.endpoints,
            "data": cluster.folder,
            "nodes": arguments.nodes,
            "shards": cluster.shards(),
        });
        println!("{told}");
        stop_asked().await;
        cluster.stop().await;
        return Ok(ExitCode::SUCCESS);
    }
    let (nodes, shards) = (arguments.nodes, cluster.shards().unwrap_or_default());
    println!("{nodes} nodes, {shards} stock shards, data in {}", cluster.folder.display());
    println!("endpoints: {}", cluster.endpoints.join(","));
    println!("try:       earmark --endpoints {} receive tea@main 100", cluster.endpoints[0]);
    println!("stop with ctrl-c");
    stop_asked().await;
    cluster.stop().await;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_a_cluster_is_run_as_it_is_or_not_at_all() {
        let formed =
            Formation { shards: 4, nodes: vec![formation::FormationNode::default(); 3], ..Formation::default() };
        let asked = |nodes, shards| Arguments { nodes, shards, data: None, port: 7_400 }.must_agree(&formed);
        asked(3, None).expect("whatever it has");
        asked(3, Some(4)).expect("what it has");
        assert!(
            asked(3, Some(8))
                .expect_err("other shards")
                .message()
                .contains("--shards: the cluster in the folder has 4;")
        );
        assert!(
            asked(1, Some(4)).expect_err("other nodes").message().contains("--nodes: the cluster in the folder has 3;")
        );
    }
}
