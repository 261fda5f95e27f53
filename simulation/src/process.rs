//! A run in a process of its own, and what it said at its end.
//!
//! The machine's clock stands still in this binary, so nothing here waits by it: a process is looked after by sleeping.

use crate::report::Report;
use std::{
    fs::File,
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::Duration,
};

/// Between two looks at running processes.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A run that takes longer than this hangs.
const RUN_MAX: Duration = Duration::from_secs(900);

/// SIGHUP, SIGINT, SIGKILL and SIGTERM: nothing in a run sends them to itself.
const OF_OTHERS: [i32; 4] = [1, 2, 9, 15];

/// Set for runs that another process of this program started and waits for.
const STARTED_BY_ANOTHER: &str = "EARMARK_SIMULATION_STARTED_BY_ANOTHER";

/// Has this process end with the one that started it, if one of this program did: a sweep that is ended leaves no runs behind.
pub fn end_with_whoever_started() {
    if std::env::var_os(STARTED_BY_ANOTHER).is_some() {
        std::thread::spawn(|| {
            // Nobody ever writes.
            let _ = io::stdin().read(&mut [0]);
            std::process::exit(1);
        });
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Said {
    /// With a report.
    Report(Box<Report>),
    /// Without one: what it complained of.
    BrokeDown(String),
    /// Somebody ended it, or the system did for want of memory: that says nothing of the run.
    Ended(String),
    /// Not at all, so it was killed.
    Hung,
}

/// A run on its way.
pub struct Process {
    child: Child,
    /// What it says, and what it complains of.
    told: [PathBuf; 2],
    looks: u32,
}

impl Process {
    /// Starts `program` with these arguments; they have to ask for a report as JSON.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start<I: AsRef<std::ffi::OsStr>>(program: &Path, arguments: &[I]) -> io::Result<Self> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        // Into files: a pipe that nobody reads yet holds a process up.
        let name =
            |what: &str| std::env::temp_dir().join(format!("earmark-run-{}-{number}.{what}", std::process::id()));
        let told = [name("told"), name("problem")];
        let file = |path: &PathBuf| {
            File::create(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        };
        let child = Command::new(program)
            .args(arguments)
            .env("RUST_BACKTRACE", "0")
            .env(STARTED_BY_ANOTHER, "1")
            // Closed when this process ends, however it does.
            .stdin(Stdio::piped())
            .stdout(Stdio::from(file(&told[0])?))
            .stderr(Stdio::from(file(&told[1])?))
            .spawn()?;
        Ok(Self { child, told, looks: 0 })
    }

    /// What it said, once it has ended; it is asked every [`LOOK_EVERY`].
    ///
    /// # Errors
    /// If it can't be looked at.
    pub fn look(&mut self) -> io::Result<Option<Said>> {
        self.looks += 1;
        let mut hung = false;
        if self.child.try_wait()?.is_none() {
            if LOOK_EVERY * self.looks <= RUN_MAX {
                return Ok(None);
            }
            hung = true;
            self.child.kill()?;
        }
        let status = self.child.wait()?;
        let [told, problem] = [0, 1].map(|place| std::fs::read_to_string(&self.told[place]).unwrap_or_default());
        for file in &self.told {
            std::fs::remove_file(file)?;
        }
        Ok(Some(match serde_json::from_str::<Report>(&told) {
            _ if hung => Said::Hung,
            // It ends with 1 if it found something, and with another code only if it did not get that far.
            Ok(report) if status.code() == Some(i32::from(!report.broken.is_empty())) => Said::Report(Box::new(report)),
            _ if status.signal().is_some_and(|signal| OF_OTHERS.contains(&signal)) => Said::Ended(status.to_string()),
            _ => Said::BrokeDown(format!("{status}\n{problem}")),
        }))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it can't be looked at.
    pub fn wait(mut self) -> io::Result<Said> {
        loop {
            if let Some(said) = self.look()? {
                return Ok(said);
            }
            sleep(LOOK_EVERY);
        }
    }
}
