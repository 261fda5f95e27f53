//! Three `earmark serve` processes over loopback, in a folder of their own: what a real cluster of three machines is, but
//! that they share one. They are killed when this is dropped.

use crate::{Failed, status::wait, usage::Usage};
use earmark_client::{
    Client,
    wire::v1::{GetStatusResponse, NodeHealth},
};
use std::{
    fs::{self, File},
    net::TcpListener,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Until a cluster is formed, or serves again after a start.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nodes are numbered from 1.
const NODES: u32 = 3;

/// Which binary is started, and where.
#[derive(clap::Args, Clone, Debug)]
pub struct Place {
    /// The binary to measure.
    #[arg(long, default_value = "target/release/earmark")]
    pub earmark: PathBuf,
    /// Folder for configurations, data and logs; it is removed first.
    #[arg(long, default_value = "/tmp/earmark-bench")]
    pub folder: PathBuf,
    /// First of six ports.
    #[arg(long, default_value_t = 7_800)]
    pub port: u16,
}

impl Place {
    /// With the settings a node comes with; each node has its share of the processors.
    pub fn setting(&self, shards: u32) -> Setting {
        let Self { earmark, folder, port } = self.clone();
        Setting { earmark, folder, shards, port, extra: String::new(), cpus: String::new() }
    }
}

/// How the processes are started.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The binary.
    pub earmark: PathBuf,
    /// Where configurations, data and logs lie; removed first.
    pub folder: PathBuf,
    /// Stock shards.
    pub shards: u32,
    /// First port; six are used.
    pub port: u16,
    /// Text added to each configuration: limits, Raft's times.
    pub extra: String,
    /// Processors that the servers may use, as `taskset` names them; all if empty.
    pub cpus: String,
}

/// Running processes.
pub struct Servers {
    setting: Setting,
    running: Vec<Option<Child>>,
    /// Nobody else uses the folder.
    _lock: File,
}

impl Servers {
    /// Starts three empty nodes and forms a cluster of them.
    ///
    /// # Errors
    /// The binary can't be run, a port is taken, or the cluster was not formed in time.
    pub async fn start(setting: &Setting) -> Result<Self, Failed> {
        let lock = lock(&setting.folder)?;
        if setting.folder.exists() {
            fs::remove_dir_all(&setting.folder)?;
        }
        fs::create_dir_all(&setting.folder)?;
        for port in setting.port..setting.port + 6 {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| format!("port {port}: {error}; see --port"))?;
        }
        let running = (0..NODES).map(|_| None).collect();
        let mut servers = Self { setting: setting.clone(), running, _lock: lock };
        for node in 1..=NODES {
            fs::write(servers.file(node, "toml"), servers.config(node))?;
            servers.begin(node)?;
        }
        servers.form().await?;
        Ok(servers)
    }

    async fn form(&self) -> Result<(), Failed> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_form().await {
                Ok(()) => return self.serves().await,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn try_form(&self) -> Result<(), Failed> {
        let client = Client::connect(self.endpoints()).await?;
        if client.cluster().routing().await.is_ok_and(|routing| !routing.cluster_id.is_empty()) {
            return Ok(());
        }
        client.cluster().init(self.setting.shards).await?;
        Ok(())
    }

    /// Waits until every node serves and every shard is led.
    ///
    /// # Errors
    /// It takes too long.
    pub async fn serves(&self) -> Result<(), Failed> {
        let client = Client::connect(self.endpoints()).await?;
        let serve = |status: &GetStatusResponse| {
            let serving = status.nodes.iter().filter(|node| node.health() == NodeHealth::Serving).count();
            let replicas = status.nodes.iter().flat_map(|node| &node.replicas);
            let led = replicas.filter(|replica| replica.role == "leader").count();
            let all_led = led > usize::try_from(self.setting.shards).unwrap_or(usize::MAX);
            (serving == status.nodes.len() && all_led).then_some(())
        };
        wait(&client, PATIENCE, "every node serves", serve).await
    }

    /// Starts one node's process.
    ///
    /// # Errors
    /// It can't be run.
    pub fn begin(&mut self, node: u32) -> Result<(), Failed> {
        let log = File::options().create(true).append(true).open(self.file(node, "log"))?;
        let mut command = if self.setting.cpus.is_empty() {
            Command::new(&self.setting.earmark)
        } else {
            let mut command = Command::new("taskset");
            command.args(["--cpu-list", &self.setting.cpus]).arg(&self.setting.earmark);
            command
        };
        // Whoever sets it means it; and what a configuration says comes first.
        if std::env::var_os(THREADS).is_none() {
            command.env(THREADS, threads().to_string());
        }
        let child = command
            .args(["serve", "--config"])
            .arg(self.file(node, "toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.setting.earmark.display()))?;
        self.running[slot(node)] = Some(child);
        Ok(())
    }

    /// Ends one node's process with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(&mut self, node: u32) -> Result<(), Failed> {
        if let Some(mut child) = self.running[slot(node)].take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Stops a node's process where it stands, timers and all, until it is [resumed](Self::resume).
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self, node: u32) -> Result<(), Failed> {
        self.signal(node, "STOP")
    }

    /// Lets a process that was stopped go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self, node: u32) -> Result<(), Failed> {
        self.signal(node, "CONT")
    }

    fn signal(&self, node: u32, signal: &str) -> Result<(), Failed> {
        let pid = self.pid(node)?.to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill -s {signal} {pid}: {status}").into()) }
    }

    /// Takes everything a node that does not run ever wrote.
    ///
    /// # Errors
    /// The folder can't be removed.
    pub fn empty(&self, node: u32) -> Result<(), Failed> {
        Ok(fs::remove_dir_all(self.data(node))?)
    }

    /// Every node by its number.
    pub fn nodes(&self) -> RangeInclusive<u32> {
        1..=NODES
    }

    /// The process of a node.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self, node: u32) -> Result<u32, Failed> {
        let child = self.running[slot(node)].as_ref();
        Ok(child.map(Child::id).ok_or_else(|| format!("node {node} does not run"))?)
    }

    /// `host:port` of every node's client surface.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes().map(|node| format!("127.0.0.1:{}", self.port(node))).collect()
    }

    /// Process ids of those that run.
    pub fn pids(&self) -> Vec<u32> {
        self.running.iter().flatten().map(Child::id).collect()
    }

    fn port(&self, node: u32) -> u16 {
        self.setting.port + 2 * (u16::try_from(node).expect("three nodes") - 1)
    }

    fn file(&self, node: u32, end: &str) -> PathBuf {
        self.setting.folder.join(format!("node-{node}.{end}"))
    }

    /// How often a node said that in its log, over all its starts.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn said(&self, node: u32, what: &str) -> Result<usize, Failed> {
        let log = self.file(node, "log");
        let text = fs::read(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        Ok(String::from_utf8_lossy(&text).lines().filter(|line| line.contains(what)).count())
    }

    fn data(&self, node: u32) -> PathBuf {
        self.setting.folder.join(format!("node-{node}"))
    }

    fn config(&self, node: u32) -> String {
        let port = self.port(node);
        let mut text = format!("node = {node}\ndata = {:?}\n", self.data(node));
        text += &format!("client = {{ listen = \"127.0.0.1:{port}\" }}\n");
        text += &format!("peer = {{ listen = \"127.0.0.1:{}\" }}\n", port + 1);
        for other in 1..=NODES {
            let port = self.port(other);
            text += &format!("[[nodes]]\nnode = {other}\n");
            text += &format!("client = \"127.0.0.1:{port}\"\npeer = \"127.0.0.1:{}\"\n", port + 1);
        }
        text + &self.setting.extra
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Path {
        &self.setting.folder
    }

    /// Kills all of them, and removes their folder: not before, or they would write into it meanwhile.
    ///
    /// # Errors
    /// The folder can't be removed.
    pub fn end(mut self) -> Result<(), Failed> {
        self.stop();
        Ok(fs::remove_dir_all(&self.setting.folder)?)
    }

    /// Stops every process as an operator would, so that it can tidy up; then whoever is still there is killed.
    ///
    /// # Errors
    /// One can't be signalled.
    pub async fn end_tidily(mut self) -> Result<(), Failed> {
        for node in self.nodes().filter(|node| self.running[slot(*node)].is_some()) {
            self.signal(node, "TERM")?;
        }
        let deadline = Instant::now() + TIDYING;
        let ended = |child: &mut Child| child.try_wait().is_ok_and(|ended| ended.is_some());
        while !self.running.iter_mut().flatten().all(ended) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.end()
    }

    fn stop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            // It may have ended by itself; either way it is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How long servers may take to stop.
const TIDYING: Duration = Duration::from_secs(20);

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sets `limits.threads`.
const THREADS: &str = "EARMARK__LIMITS__THREADS";

/// Each node's share of the processors, as an operator would give it: they all have this machine.
fn threads() -> usize {
    let nodes = usize::try_from(NODES).expect("three nodes");
    std::thread::available_parallelism().map_or(1, |processors| processors.get() / nodes).max(1)
}

/// Holds a folder that is about to be removed: another run may still be writing into it.
fn lock(folder: &Path) -> Result<File, Failed> {
    let mut path = folder.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    file.try_lock().map_err(|error| {
        format!("{}: another run uses {} ({error}); see --folder", path.display(), folder.display())
    })?;
    Ok(file)
}

fn slot(node: u32) -> usize {
    usize::try_from(node - 1).expect("three nodes")
}

/// What several processes use together.
///
/// # Errors
/// One of them is gone.
pub fn usage(pids: &[u32]) -> Result<Usage, Failed> {
    pids.iter().try_fold(Usage::default(), |all, pid| Ok(all.and(Usage::of(*pid)?)))
}
