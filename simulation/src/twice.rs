//! The same run again must give the same bytes. Each run has a process of its own, so that nothing is left over from the
//! one before.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

/// How two traces of one run compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are the same, so many events long.
    Same(u64),
    /// The first event in which they differ.
    Differ {
        /// Its number, from 1.
        event: u64,
        /// As the first run has it; none if it ended before.
        first: Option<String>,
        /// As the second run has it.
        second: Option<String>,
    },
}

/// Runs `program` twice with these arguments and compares the traces they write into `folder`.
///
/// # Errors
/// If a process can't be started or a trace can't be read.
pub fn twice(program: &Path, arguments: &[String], folder: &Path) -> io::Result<Verdict> {
    let traces = ["first", "second"].map(|name| folder.join(format!("{}-{name}.trace", std::process::id())));
    let running: Vec<_> = traces
        .iter()
        .map(|trace| {
            let mut command = Command::new(program);
            command.args(arguments).arg("--trace").arg(trace).stdout(Stdio::null());
            command.spawn()
        })
        .collect::<io::Result<_>>()?;
    for mut child in running {
        // What the run found is not asked here; 0 and 1 say that it came to its end.
        let status = child.wait()?;
        if !matches!(status.code(), Some(0 | 1)) {
            return Err(io::Error::other(format!("a run did not come to its end: {status}")));
        }
    }
    let verdict = compare(&traces[0], &traces[1])?;
    if let Verdict::Same(_) = verdict {
        for trace in &traces {
            std::fs::remove_file(trace)?;
        }
    }
    Ok(verdict)
}

fn compare(first: &Path, second: &Path) -> io::Result<Verdict> {
    let mut lines = [first, second].map(|path| File::open(path).map(|file| BufReader::new(file).lines()));
    let mut next = |place: usize| match &mut lines[place] {
        Ok(lines) => lines.next().transpose(),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    };
    let mut event = 0;
    loop {
        let (first, second) = (next(0)?, next(1)?);
        if first != second {
            return Ok(Verdict::Differ { event: event + 1, first, second });
        }
        if first.is_none() {
            return Ok(Verdict::Same(event));
        }
        event += 1;
    }
}
