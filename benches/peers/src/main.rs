//! The same work on Earmark and on what people use instead for it, each as three copies on this machine, in turn.
//!
//! Every system gets what suits it best: pipelines and scripts in Redis, prepared statements and sets in PostgreSQL,
//! transactions on known revisions in etcd. What each copy has synced before an answer counts is told beside its code; where
//! a system can't do as much as Earmark does, the doubt is in its favour.

mod compare;
mod etcd;
mod peer;
mod postgres;
mod processes;
mod redis;

use clap::{Parser, ValueEnum};
use compare::{Row, table};
use earmark_benches::{
    Failed,
    load::{
        measure::{How, measure},
        shape::Shape,
    },
    report::{Output, Report},
    servers::{Servers, Setting},
};
use etcd::Etcd;
use peer::{Place, measure_peer};
use postgres::Postgres;
use redis::Redis;
use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    process::ExitCode,
};

/// What can be done on several of these systems.
const SHAPES: [Shape; 8] = [
    Shape::Batches,
    Shape::BatchesHot,
    Shape::BatchPairs,
    Shape::Singles1024,
    Shape::Singles64,
    Shape::Singles1,
    Shape::Hot32,
    Shape::SoldOut,
];

/// Measures Earmark, Redis, PostgreSQL and etcd with the same load, in turn, each as three copies on this machine.
#[derive(Parser)]
struct Arguments {
    /// What to ask; every shape that several of them can do if none is named.
    #[arg(value_enum)]
    shapes: Vec<Shape>,
    /// Whom to ask.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = System::ALL)]
    systems: Vec<System>,
    /// How long is measured.
    #[arg(long, default_value = "10s")]
    length: humantime::Duration,
    /// How long the same is done before, unmeasured.
    #[arg(long, default_value = "2s")]
    warm_up: humantime::Duration,
    /// The binary to measure.
    #[arg(long, default_value = "target/release/earmark")]
    earmark: PathBuf,
    /// Folder for data and logs; it is removed first.
    #[arg(long, default_value = "/tmp/earmark-peers")]
    folder: PathBuf,
    /// First of ten ports.
    #[arg(long, default_value_t = 7_900)]
    port: u16,
    /// Stock shards of Earmark.
    #[arg(long, default_value_t = 8)]
    shards: u32,
    /// Random numbers begin here.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the result is told.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// This checkout's release build.
    Earmark,
    /// A script for each operation, then WAIT 1.
    Redis,
    /// Two standbys, one of which has to have flushed.
    Postgres,
    /// Three members.
    Etcd,
}

impl System {
    const ALL: [Self; 4] = [Self::Earmark, Self::Redis, Self::Postgres, Self::Etcd];

    fn name(self) -> &'static str {
        match self {
            Self::Earmark => "Earmark",
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::Etcd => "etcd",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(rows) if arguments.output == Output::Json => {
            println!("{}", serde_json::to_string_pretty(&rows).expect("plain numbers"));
            ExitCode::SUCCESS
        }
        Ok(rows) => {
            println!("{}", table(&rows));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<Vec<Row>, Failed> {
    let shapes = if arguments.shapes.is_empty() { &SHAPES[..] } else { &arguments.shapes };
    let mut rows = Vec::new();
    for shape in shapes {
        for system in &arguments.systems {
            let Some(report) = one(arguments, *shape, *system).await? else {
                eprintln!("{}: {} has nothing like it", shape.name(), system.name());
                continue;
            };
            eprintln!(
                "{}: {} {:.0}/s, p99 {:.1} ms, {:.1} CPU-s per million on the servers",
                report.shape,
                system.name(),
                report.rate,
                report.p99_ms,
                report.server_cpu_s_per_million
            );
            rows.push(Row { system: system.name(), report });
        }
    }
    fs::remove_dir_all(&arguments.folder)?;
    Ok(rows)
}

async fn one(arguments: &Arguments, shape: Shape, system: System) -> Result<Option<Report>, Failed> {
    let how = How {
        plan: shape.plan(),
        length: arguments.length.into(),
        warm_up: arguments.warm_up.into(),
        seed: arguments.seed,
    };
    if arguments.folder.exists() {
        fs::remove_dir_all(&arguments.folder)?;
    }
    // PostgreSQL runs as a user of its own and has to get to its folder.
    DirBuilder::new().recursive(true).mode(0o755).create(&arguments.folder)?;
    let place = Place { folder: arguments.folder.clone(), port: arguments.port };
    match system {
        System::Earmark => {
            let servers = Servers::start(&Setting {
                earmark: arguments.earmark.clone(),
                folder: arguments.folder.join("earmark"),
                shards: arguments.shards,
                port: arguments.port,
                extra: String::new(),
                cpus: String::new(),
            })
            .await?;
            measure(shape, &how, &servers.endpoints(), &servers.pids(), false).await.map(Some)
        }
        System::Redis => measure_peer::<Redis>(shape, &place, &how).await,
        System::Postgres => measure_peer::<Postgres>(shape, &place, &how).await,
        System::Etcd => measure_peer::<Etcd>(shape, &place, &how).await,
    }
}
