//! Three real `earmark serve` processes on temporary folders: start, kill, stop, damage, ask.

use earmark_client::{Client, wire::v1};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};
use tonic::transport::{Channel, Endpoint};
use v1::{NodeHealth, cluster_service_client::ClusterServiceClient};

/// Whatever is waited for comes much sooner; a machine under load may take this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reservations in the state that a follower is sent; enough for some dozens of chunks if nobody says how many.
pub fn reservations() -> u64 {
    std::env::var("EARMARK_TEST_RESERVATIONS").map_or(3_000, |text| text.parse().expect("a number"))
}

/// A large state takes longer to send and to compare.
pub fn patience() -> Duration {
    PATIENCE + Duration::from_millis(reservations() / 2)
}

/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Nodes are numbered from 1.
pub const NODES: [u32; 3] = [1, 2, 3];

/// Asks again and again until there is an answer; what the last one lacked is the failure's text.
///
/// # Panics
/// If there is none within [`patience`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + patience();
    loop {
        match look().await {
            Ok(answer) => return answer,
            Err(lacking) if Instant::now() > deadline => panic!("{what}: not within {:?}: {lacking}", patience()),
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// How a node is started beside its configuration.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
}

/// Processes and their folders. Kills what still runs when dropped, and shows the logs if the test failed.
pub struct Cluster {
    folder: tempfile::TempDir,
    ports: BTreeMap<u32, (u16, u16)>,
    /// Where the others reach a node, if not at its own peer port.
    seen_at: BTreeMap<u32, u16>,
    extra: String,
    running: BTreeMap<u32, Child>,
}

/// Ports below those the system hands out by itself, so that a stopped node's port is still free when it comes back.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 10_000).expect("small");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 15_000 + (own.wrapping_add(step.wrapping_mul(7))) % 15_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Cluster {
    /// Folders, ports and configurations of three nodes; nothing runs yet. `extra` is added to each configuration.
    pub fn prepare(extra: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = NODES.map(|node| (node, (free_port(), free_port()))).into();
        let cluster =
            Self { folder, ports, seen_at: BTreeMap::new(), extra: extra.to_owned(), running: BTreeMap::new() };
        cluster.write_configs();
        cluster
    }

    fn write_configs(&self) {
        for node in NODES {
            fs::write(self.config_file(node), self.config(node, &self.data(node))).expect("written");
        }
    }

    /// From the next start on, the others reach the peer port of `node` at `port`.
    pub fn see_at(&mut self, node: u32, port: u16) {
        self.seen_at.insert(node, port);
        self.write_configs();
    }

    /// A node's own peer port.
    pub fn peer_port(&self, node: u32) -> u16 {
        self.ports[&node].1
    }

    /// Starts all nodes and forms a cluster with `shards` stock shards.
    pub async fn begin(&mut self, shards: u32) {
        for node in NODES {
            self.start(node);
        }
        self.form(shards).await;
    }

    /// Three nodes that serve, with `shards` stock shards.
    pub async fn formed(shards: u32, extra: &str) -> Self {
        let mut cluster = Self::prepare(extra);
        cluster.begin(shards).await;
        cluster
    }

    /// Forms the cluster of nodes that run and are empty.
    pub async fn form(&self, shards: u32) {
        for node in NODES {
            self.health(node, NodeHealth::Unformed).await;
        }
        let request = v1::InitRequest { shards };
        self.service(1).init(request).await.expect("formed");
        for node in NODES {
            self.health(node, NodeHealth::Serving).await;
        }
    }

    /// A node's configuration with its data in another folder.
    pub fn config(&self, node: u32, data: &Path) -> String {
        let mut text = format!("node = {node}\ndata = {data:?}\n");
        let (client, peer) = self.ports[&node];
        text += &format!("client = {{ listen = \"127.0.0.1:{client}\" }}\n");
        text += &format!("peer = {{ listen = \"127.0.0.1:{peer}\" }}\n");
        for (node, (client, peer)) in &self.ports {
            let peer = self.seen_at.get(node).unwrap_or(peer);
            text += &format!("[[nodes]]\nnode = {node}\n");
            text += &format!("client = \"127.0.0.1:{client}\"\npeer = \"127.0.0.1:{peer}\"\n");
        }
        text + &self.extra
    }

    /// Where a node's configuration is.
    pub fn config_file(&self, node: u32) -> PathBuf {
        self.folder.path().join(format!("node-{node}.toml"))
    }

    /// A node's data folder.
    pub fn data(&self, node: u32) -> PathBuf {
        self.folder.path().join(format!("node-{node}"))
    }

    /// A place for what the test makes itself.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `host:port` of a node's client surface.
    pub fn endpoint(&self, node: u32) -> String {
        format!("127.0.0.1:{}", self.ports[&node].0)
    }

    /// What a node said so far, over all its starts.
    pub fn log(&self, node: u32) -> String {
        fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    fn log_file(&self, node: u32) -> PathBuf {
        self.folder.path().join(format!("node-{node}.log"))
    }

    /// Starts a node.
    pub fn start(&mut self, node: u32) {
        self.start_with(node, &Start::default());
    }

    /// Starts a node in a special way.
    pub fn start_with(&mut self, node: u32, start: &Start) {
        let mut log = File::options().create(true).append(true).open(self.log_file(node)).expect("a log");
        writeln!(log, "--- started").expect("written");
        let mut command = serve(&self.config_file(node));
        command.envs(start.variables.iter().cloned()).stderr(log);
        let child = command.spawn().expect("started");
        assert!(self.running.insert(node, child).is_none(), "node {node} runs already");
    }

    /// Kills a node at once, as a crash would.
    pub fn kill(&mut self, node: u32) {
        let mut child = self.running.remove(&node).expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// Asks a node to stop, and waits until it did.
    pub fn stop(&mut self, node: u32) {
        let mut child = self.running.remove(&node).expect("it runs");
        let asked = Command::new("kill").arg(child.id().to_string()).status().expect("asked");
        assert!(asked.success());
        let status = wait(&mut child).unwrap_or_else(|| panic!("node {node} did not stop"));
        assert!(status.success(), "node {node} stopped with {status}");
    }

    /// Whether a node's process is still there.
    pub fn runs(&mut self, node: u32) -> bool {
        self.running.get_mut(&node).is_some_and(|child| child.try_wait().expect("asked").is_none())
    }

    /// gRPC of the cluster service of one node.
    pub fn service(&self, node: u32) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel(node))
    }

    /// A channel to one node.
    pub fn channel(&self, node: u32) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.endpoint(node))).expect("an address");
        endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy()
    }

    /// The SDK, knowing all three nodes.
    pub async fn client(&self) -> Client {
        let endpoints = NODES.map(|node| self.endpoint(node));
        Client::builder()
            .endpoints(endpoints)
            .timeout(Duration::from_secs(30))
            .open_timeout(patience())
            .connect()
            .await
            .expect("a node answers")
    }

    /// What a node says of itself.
    pub async fn own_status(&self, node: u32) -> Result<v1::NodeStatus, String> {
        self.status(node, true).await?.pop().ok_or_else(|| "an empty status".to_owned())
    }

    /// What a node says of itself and of the others.
    pub async fn status(&self, asked: u32, local: bool) -> Result<Vec<v1::NodeStatus>, String> {
        let request = v1::GetStatusRequest { local };
        let asked = self.service(asked).get_status(request).await;
        asked.map(|answer| answer.into_inner().nodes).map_err(|status| status.to_string())
    }

    /// Waits until a node says it is in that health; gives its status.
    pub async fn health(&self, node: u32, health: NodeHealth) -> v1::NodeStatus {
        eventually(&format!("node {node} {health:?}"), async || {
            let status = self.own_status(node).await?;
            if status.health() == health { Ok(status) } else { Err(format!("{:?} {}", status.health(), status.detail)) }
        })
        .await
    }

    /// Waits until each shard has a leader among the running nodes; gives it per shard.
    pub async fn leaders(&self) -> BTreeMap<u32, u32> {
        let running: Vec<u32> = self.running.keys().copied().collect();
        self.leaders_among(&running).await
    }

    /// Waits until each shard has a leader among these nodes; gives it per shard.
    pub async fn leaders_among(&self, nodes: &[u32]) -> BTreeMap<u32, u32> {
        eventually("a leader of each shard", async || {
            let mut leaders: BTreeMap<u32, u32> = BTreeMap::new();
            let mut shards = 0;
            for node in nodes {
                let status = self.own_status(*node).await?;
                shards = shards.max(status.replicas.len());
                let led = status.replicas.iter().filter(|replica| replica.role == "leader");
                leaders.extend(led.map(|replica| (replica.shard, *node)));
            }
            if shards > 0 && leaders.len() == shards { Ok(leaders) } else { Err(format!("{leaders:?} of {shards}")) }
        })
        .await
    }

    /// The node that leads most stock shards.
    pub async fn busiest(&self) -> u32 {
        let leaders = self.leaders().await;
        let led = |node: &u32| leaders.iter().filter(|(shard, leader)| **shard > 0 && *leader == node).count();
        self.running.keys().copied().max_by_key(led).expect("a node runs")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            for node in NODES {
                let log = self.log(node);
                let lines: Vec<&str> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(400)..];
                eprintln!("=== node {node}, last lines of its log ===\n{}", tail.join("\n"));
            }
        }
    }
}

/// The program under test: the one built along with the tests, or that of `EARMARK_TEST_BINARY`, to test a release.
pub fn binary() -> PathBuf {
    std::env::var_os("EARMARK_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_earmark").into(), PathBuf::from)
}

/// `earmark serve` with that configuration.
pub fn serve(config: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("serve").arg("--config").arg(config);
    command.env("RUST_LOG", "info,openraft=error,earmark_node::peer::snapshot=debug").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Compiles a library of this folder that a node is started with (`LD_PRELOAD`), to make its world a worse one.
pub fn compile(source: &str, into: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/processes").join(source);
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(into).arg(source).arg("-ldl");
    assert!(command.status().expect("a C compiler").success());
}

/// Waits for the end of a process.
pub fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("asked") {
            return Some(status);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    None
}

/// Runs `earmark serve` where it must fail at once: gives exit code and what it said.
pub fn refused(config: &Path) -> (Option<i32>, String) {
    let mut child = serve(config).stderr(Stdio::piped()).spawn().expect("started");
    let Some(status) = wait(&mut child) else {
        child.kill().ok();
        panic!("it runs, though it must not");
    };
    let said = std::io::read_to_string(child.stderr.take().expect("piped")).expect("text");
    (status.code(), said)
}
