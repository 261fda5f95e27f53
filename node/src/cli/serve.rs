//! `earmark serve`: one node, until it is told to stop.

use super::Failure;
use earmark_node::{config::Config, environment::Environment, node::Health, storage::Folder};
use std::{path::PathBuf, process::ExitCode, sync::Arc};

/// Runs one node of a cluster.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// The node's configuration, TOML. `EARMARK__NODE` and the like override single values.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Arguments {
    /// What the file says, and the environment over it.
    pub fn config(&self) -> Result<Config, Failure> {
        Config::read(&self.config).map_err(Failure::config)
    }
}

/// Serves until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<ExitCode, Failure> {
    let disk = Arc::new(Folder::new(config.data.clone()));
    let running = earmark_node::start(config, Environment::real(disk)).await.map_err(Failure::start)?;
    eprintln!(
        "node {} serves clients on {} and peers on {}",
        running.node().config().node,
        running.client_address(),
        running.peer_address()
    );
    let mut health = running.node().watch_health();
    loop {
        tokio::select! {
            () = stop_asked() => break,
            changed = health.changed() => {
                if changed.is_err() {
                    break;
                }
                let now = health.borrow_and_update().clone();
                match now {
                    Health::Serving => eprintln!("serving"),
                    other => eprintln!("not serving: {}", other.detail()),
                }
            }
        }
    }
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Resolves on SIGTERM or SIGINT.
pub async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
