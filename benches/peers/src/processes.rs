//! Processes that end when this is dropped.

use earmark_benches::Failed;
use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Until a system answers after its start.
const PATIENCE: Duration = Duration::from_secs(60);

/// One process.
pub struct Running {
    child: Child,
    signal: &'static str,
}

impl Running {
    /// Starts it; what it says goes into the log. It is ended by that signal, as `kill` names it.
    ///
    /// # Errors
    /// It can't be run.
    pub fn start<A: AsRef<OsStr>>(
        program: &str,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
        signal: &'static str,
    ) -> Result<Self, Failed> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{program}: {error}; `deploy/install-peers` installs it"))?;
        Ok(Self { child, signal })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone.
        let _ = Command::new("kill").args(["-s", self.signal, &self.pid().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
///
/// # Errors
/// It can't be run, or fails; with what it said.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<(), Failed> {
    let ended = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}; `deploy/install-peers` installs it"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&ended.stderr)).into())
}

/// Tries again until it succeeds.
///
/// # Errors
/// The last one, when that takes too long.
pub async fn until<T>(mut attempt: impl AsyncFnMut() -> Result<T, Failed>) -> Result<T, Failed> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
