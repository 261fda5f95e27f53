//! A node's configuration: as written in TOML, and as checked.
//!
//! Unknown keys are refused, and every complaint names its key. The environment overrides the file with a double
//! underscore between the parts (`EARMARK__NODE`), because orchestrators set variables with single ones by themselves.

use earmark_ledger::planted::{self, Bug};
use serde::Deserialize;
use std::{collections::BTreeMap, net::ToSocketAddrs, path::PathBuf, time::Duration};

/// Variables of the commands that speak to a cluster; a shell set up for them can start a node too.
const OF_THE_CLIENT: [&str; 2] = ["EARMARK__ENDPOINTS", "EARMARK__NAMESPACE"];

/// Everything a node must know to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node's number, from 1.
    pub node: u32,
    /// Data folder.
    pub data: PathBuf,
    /// Where clients connect.
    pub client: Address,
    /// `host:port` to bind for peers. They reach it by what `nodes` says.
    pub peer: String,
    /// The nodes that form the cluster, this one included, by number.
    pub nodes: BTreeMap<u32, Peer>,
    /// Limits and times.
    pub limits: Limits,
    /// Raft's times.
    pub raft: RaftTimes,
}

/// Where a surface listens and how others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `host:port` to bind.
    pub listen: String,
    /// `host:port` others use.
    pub advertise: String,
}

/// A node of the first membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `host:port` of its peer port.
    pub peer: String,
    /// `host:port` of its client port.
    pub client: String,
    /// Label.
    pub region: String,
    /// Label.
    pub zone: String,
}

/// Bounds of queues and waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads that do the node's work, beside those that write to the disk. None: one for each processor. Of `earmark serve`.
    pub threads: Option<usize>,
    /// Commands that may wait for a shard's proposer; one more is answered OVERLOADED.
    pub queue: usize,
    /// Commands in one Raft entry.
    pub batch_commands: usize,
    /// Bytes of commands in one Raft entry.
    pub batch_bytes: usize,
    /// Raft entries a shard's proposer keeps in flight at most. A second one sets out only when many commands wait.
    pub entries_in_flight: usize,
    /// Operations a client may have in flight on one session stream.
    pub session_credit: u32,
    /// Unary requests in flight per connection.
    pub requests_per_connection: usize,
    /// How far clocks of a majority may be apart.
    pub clock_bound: Duration,
    /// Time between checkpoints of a shard when there is little to write.
    pub checkpoint_every: Duration,
    /// Dirty bytes that bring a checkpoint at once.
    pub checkpoint_bytes: usize,
    /// Log entries kept for a follower that is behind, beyond the checkpoint.
    pub log_kept: u64,
    /// Bytes of them at most, about, of each shard.
    pub log_kept_bytes: u64,
    /// Bytes of records in one part of a snapshot.
    pub snapshot_chunk_bytes: usize,
    /// Bytes a second that are sent of snapshots and journals, of all together.
    pub snapshot_bytes_per_second: u64,
    /// Time between digest marks.
    pub digest_every: Duration,
    /// Journal blocks older than this are let go of.
    pub journal_retention: Duration,
    /// Bytes of journal a node keeps at most, about; each shard has the same share.
    pub journal_retention_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: None,
            queue: 16_384,
            batch_commands: 4_096,
            batch_bytes: 1 << 20,
            entries_in_flight: 4,
            session_credit: 8_192,
            requests_per_connection: 4_096,
            clock_bound: Duration::from_millis(500),
            checkpoint_every: Duration::from_secs(3),
            checkpoint_bytes: 1 << 20,
            log_kept: 4_096,
            log_kept_bytes: 64 << 20,
            snapshot_chunk_bytes: 256 << 10,
            snapshot_bytes_per_second: 32 << 20,
            digest_every: Duration::from_secs(60),
            journal_retention: Duration::from_secs(7 * 86_400),
            journal_retention_bytes: 8 << 30,
        }
    }
}

/// Raft's times.
///
/// A follower stands for election once it heard nothing for `election_max` and another time drawn between `election_min` and
/// `election_max`; two that stand at the same moment split the votes and draw once more. With the defaults that is 1.6 to 2 s, and up
/// to 3 s if the votes were split once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftTimes {
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// Shortest election timeout.
    pub election_min: Duration,
    /// Longest election timeout.
    pub election_max: Duration,
    /// Whether a leader answers reads without asking the others while its lease lasts.
    pub leases: bool,
    /// By how much two machines' timers may go apart within one election timeout.
    pub lease_drift: Duration,
}

impl RaftTimes {
    /// For how long after a majority heard of it a leader knows that there is no other, if it is to rely on that: no
    /// voter helps to elect another for the longest election timeout, by its own timer.
    pub fn lease(&self) -> Option<Duration> {
        if planted::on(Bug::LeaseWithoutMargin) {
            return self.leases.then(|| self.election_max + self.election_min);
        }
        self.leases.then(|| self.election_max.saturating_sub(self.lease_drift))
    }
}

impl Default for RaftTimes {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(1_000),
            leases: false,
            lease_drift: Duration::from_millis(200),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read or is not of the form; the message names the key.
    #[error("{0}")]
    Form(String),
    /// A value makes no sense.
    #[error("{key}: {problem}")]
    Value {
        /// Which key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

fn bad(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.into(), problem: problem.into() }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    node: u32,
    data: PathBuf,
    client: WrittenAddress,
    peer: WrittenListener,
    nodes: Vec<WrittenNode>,
    #[serde(default)]
    limits: WrittenLimits,
    #[serde(default)]
    raft: WrittenRaft,
    #[serde(default)]
    journal: WrittenJournal,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAddress {
    listen: String,
    advertise: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenListener {
    listen: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNode {
    node: u32,
    peer: String,
    client: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    zone: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    threads: Option<usize>,
    queue: Option<usize>,
    batch_commands: Option<usize>,
    batch_bytes: Option<usize>,
    entries_in_flight: Option<usize>,
    session_credit: Option<u32>,
    requests_per_connection: Option<usize>,
    #[serde(default, with = "humantime_serde::option")]
    clock_bound: Option<Duration>,
    #[serde(default, with = "humantime_serde::option")]
    checkpoint_every: Option<Duration>,
    checkpoint_bytes: Option<usize>,
    log_kept: Option<u64>,
    log_kept_bytes: Option<u64>,
    snapshot_chunk_bytes: Option<usize>,
    snapshot_bytes_per_second: Option<u64>,
    #[serde(default, with = "humantime_serde::option")]
    digest_every: Option<Duration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenJournal {
    #[serde(default, with = "humantime_serde::option")]
    retention: Option<Duration>,
    retention_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRaft {
    #[serde(default, with = "humantime_serde::option")]
    heartbeat: Option<Duration>,
    #[serde(default, with = "humantime_serde::option")]
    election_min: Option<Duration>,
    #[serde(default, with = "humantime_serde::option")]
    election_max: Option<Duration>,
    leases: Option<bool>,
    #[serde(default, with = "humantime_serde::option")]
    lease_drift: Option<Duration>,
}

impl Config {
    /// Reads a TOML file and the environment over it.
    ///
    /// # Errors
    /// [`ConfigError`] names the key and says what is wrong.
    pub fn read(file: &std::path::Path) -> Result<Self, ConfigError> {
        let source = config::Config::builder()
            .add_source(config::File::from(file).format(config::FileFormat::Toml))
            .add_source(
                config::Environment::with_prefix("EARMARK_")
                    .prefix_separator("_")
                    .separator("__")
                    .try_parsing(true)
                    .source(Some(std::env::vars().filter(|(name, _)| !OF_THE_CLIENT.contains(&&**name)).collect())),
            )
            .build()
            .map_err(|error| ConfigError::Form(format!("{}: {error}", file.display())))?;
        let written: Written =
            source.try_deserialize().map_err(|error| ConfigError::Form(format!("{}: {error}", file.display())))?;
        written.check()
    }
}

impl Written {
    fn check(self) -> Result<Config, ConfigError> {
        let mut nodes = BTreeMap::new();
        for (place, node) in self.nodes.into_iter().enumerate() {
            if node.node == 0 {
                return Err(bad(format!("nodes[{place}].node"), "numbers of nodes begin at 1"));
            }
            check_address(&format!("nodes[{place}].peer"), &node.peer)?;
            check_address(&format!("nodes[{place}].client"), &node.client)?;
            let peer = Peer { peer: node.peer, client: node.client, region: node.region, zone: node.zone };
            if nodes.insert(node.node, peer).is_some() {
                return Err(bad(format!("nodes[{place}].node"), format!("{} is named twice", node.node)));
            }
        }
        let Some(own) = nodes.get(&self.node) else {
            return Err(bad("node", format!("{} is not among `nodes`", self.node)));
        };
        if ![1, 3, 5].contains(&nodes.len()) {
            return Err(bad("nodes", format!("{} nodes are named; a cluster begins with 1, 3 or 5", nodes.len())));
        }
        let client = self.client.check("client", &own.client)?;
        let peer = check_listen("peer", self.peer.listen)?;
        if self.data.as_os_str().is_empty() {
            return Err(bad("data", "must not be empty"));
        }
        Ok(Config {
            node: self.node,
            data: self.data,
            client,
            peer,
            nodes,
            limits: self.journal.check(self.limits.check()?)?,
            raft: self.raft.check()?,
        })
    }
}

fn check_address(key: &str, address: &str) -> Result<(), ConfigError> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(bad(key, format!("`{address}` is not of the form host:port")));
    };
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(bad(key, format!("`{address}` is not of the form host:port")));
    }
    Ok(())
}

fn check_listen(key: &str, listen: String) -> Result<String, ConfigError> {
    let key = format!("{key}.listen");
    check_address(&key, &listen)?;
    if listen.to_socket_addrs().is_err() {
        return Err(bad(key, format!("`{listen}` can't be resolved")));
    }
    Ok(listen)
}

impl WrittenAddress {
    fn check(self, key: &str, known_as: &str) -> Result<Address, ConfigError> {
        let listen = check_listen(key, self.listen)?;
        let advertise = self.advertise.unwrap_or_else(|| known_as.to_owned());
        check_address(&format!("{key}.advertise"), &advertise)?;
        Ok(Address { listen, advertise })
    }
}

fn within<T: PartialOrd + std::fmt::Debug>(key: &str, value: T, least: T, most: T) -> Result<T, ConfigError> {
    if value < least || value > most {
        return Err(bad(key, format!("{value:?} is out of range: {least:?} to {most:?}")));
    }
    Ok(value)
}

impl WrittenLimits {
    fn check(self) -> Result<Limits, ConfigError> {
        let or = Limits::default();
        let second = Duration::from_secs(1);
        Ok(Limits {
            threads: self.threads.map(|threads| within("limits.threads", threads, 1, 1_024)).transpose()?,
            queue: within("limits.queue", self.queue.unwrap_or(or.queue), 1, 1 << 20)?,
            batch_commands: within(
                "limits.batch_commands",
                self.batch_commands.unwrap_or(or.batch_commands),
                1,
                65_536,
            )?,
            batch_bytes: within("limits.batch_bytes", self.batch_bytes.unwrap_or(or.batch_bytes), 1 << 10, 8 << 20)?,
            entries_in_flight: within(
                "limits.entries_in_flight",
                self.entries_in_flight.unwrap_or(or.entries_in_flight),
                1,
                64,
            )?,
            session_credit: within(
                "limits.session_credit",
                self.session_credit.unwrap_or(or.session_credit),
                1,
                1 << 20,
            )?,
            requests_per_connection: within(
                "limits.requests_per_connection",
                self.requests_per_connection.unwrap_or(or.requests_per_connection),
                1,
                65_536,
            )?,
            clock_bound: within(
                "limits.clock_bound",
                self.clock_bound.unwrap_or(or.clock_bound),
                second / 100,
                second * 10,
            )?,
            checkpoint_every: within(
                "limits.checkpoint_every",
                self.checkpoint_every.unwrap_or(or.checkpoint_every),
                second / 10,
                second * 600,
            )?,
            checkpoint_bytes: within(
                "limits.checkpoint_bytes",
                self.checkpoint_bytes.unwrap_or(or.checkpoint_bytes),
                1 << 12,
                1 << 30,
            )?,
            log_kept: within("limits.log_kept", self.log_kept.unwrap_or(or.log_kept), 0, 1 << 32)?,
            log_kept_bytes: within(
                "limits.log_kept_bytes",
                self.log_kept_bytes.unwrap_or(or.log_kept_bytes),
                0,
                1 << 40,
            )?,
            snapshot_chunk_bytes: within(
                "limits.snapshot_chunk_bytes",
                self.snapshot_chunk_bytes.unwrap_or(or.snapshot_chunk_bytes),
                1 << 12,
                8 << 20,
            )?,
            snapshot_bytes_per_second: within(
                "limits.snapshot_bytes_per_second",
                self.snapshot_bytes_per_second.unwrap_or(or.snapshot_bytes_per_second),
                4 << 20,
                1 << 40,
            )?,
            digest_every: within(
                "limits.digest_every",
                self.digest_every.unwrap_or(or.digest_every),
                second,
                second * 86_400,
            )?,
            journal_retention: or.journal_retention,
            journal_retention_bytes: or.journal_retention_bytes,
        })
    }
}

impl WrittenJournal {
    fn check(self, limits: Limits) -> Result<Limits, ConfigError> {
        let hour = Duration::from_secs(3_600);
        let retention = self.retention.unwrap_or(limits.journal_retention);
        let bytes = self.retention_bytes.unwrap_or(limits.journal_retention_bytes);
        Ok(Limits {
            journal_retention: within("journal.retention", retention, hour / 60, hour * 24 * 3_660)?,
            journal_retention_bytes: within("journal.retention_bytes", bytes, 1 << 20, 1 << 50)?,
            ..limits
        })
    }
}

impl WrittenRaft {
    fn check(self) -> Result<RaftTimes, ConfigError> {
        let or = RaftTimes::default();
        let heartbeat = self.heartbeat.unwrap_or(or.heartbeat);
        // What is not set fits what is.
        let election_min = self.election_min.unwrap_or(or.election_min.max(heartbeat * 3));
        let election_max = self.election_max.unwrap_or(or.election_max.max(election_min * 5 / 3));
        within("raft.heartbeat", heartbeat, Duration::from_millis(10), Duration::from_secs(10))?;
        if election_min < heartbeat * 3 {
            return Err(bad("raft.election_min", "must be at least three heartbeats"));
        }
        if election_max <= election_min {
            return Err(bad("raft.election_max", "must be above raft.election_min"));
        }
        let leases = self.leases.unwrap_or(or.leases);
        let lease_drift = self.lease_drift.unwrap_or(or.lease_drift.min(election_max / 4));
        // Timers of sound machines differ by far less; a lease below a heartbeat would never be usable.
        within("raft.lease_drift", lease_drift, election_max / 100, election_max - heartbeat * 2)?;
        Ok(RaftTimes { heartbeat, election_min, election_max, leases, lease_drift })
    }
}
