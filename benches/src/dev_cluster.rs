//! A cluster of three nodes in one process, started by `earmark dev`: real sockets and real disks. For measurements of the
//! whole; what a single node costs is measured on [processes of their own](crate::servers).

use crate::{Failed, usage::Usage};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

/// A cluster of three nodes in a process of its own. It is killed when this is dropped.
pub struct Cluster {
    child: Child,
    /// Kept open: a process that prints into a closed pipe is ended.
    _output: BufReader<ChildStdout>,
    /// Client endpoints.
    pub endpoints: Vec<String>,
}

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The binary.
    pub earmark: PathBuf,
    /// Where its data lie.
    pub data: PathBuf,
    /// Stock shards.
    pub shards: u32,
    /// First client port.
    pub port: u16,
}

impl Cluster {
    /// Starts a cluster and waits until it serves.
    ///
    /// # Errors
    /// The binary can't be run, or the cluster did not come up.
    pub fn start(setting: &Setting) -> std::io::Result<Self> {
        let mut child = Command::new(&setting.earmark)
            .args(["dev", "--nodes", "3"])
            .args(["--shards", &setting.shards.to_string()])
            .args(["--port", &setting.port.to_string()])
            .arg("--data")
            .arg(&setting.data)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        while output.read_line(&mut line)? > 0 {
            if let Some(endpoints) = line.strip_prefix("endpoints:") {
                let endpoints = endpoints.trim().split(',').map(str::to_owned).collect();
                return Ok(Self { child, _output: output, endpoints });
            }
            line.clear();
        }
        child.wait()?;
        Err(std::io::Error::other("the cluster did not come up"))
    }

    /// What the whole cluster used up to now.
    ///
    /// # Errors
    /// As [`Usage::of`].
    pub fn usage(&self) -> Result<Usage, Failed> {
        Usage::of(self.child.id())
    }

    /// Kills it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
