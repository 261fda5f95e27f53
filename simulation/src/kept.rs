//! What a sweep has done so far, in a file: a JSON line for each seed that ended. A sweep that is cut off, however it is,
//! loses the seeds that were running and no other; the next one goes on with what is missing.
//!
//! A line says which build it was. Lines of another build, or of runs that were shortened otherwise, are left where they
//! are and not counted.

use crate::{report::Report, sweep::Ended};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Hash of the sources that this program was built from.
pub const BUILD: &str = env!("SIMULATION_BUILD");

/// How each line begins.
const BEGINNING: &str = "{\"build\":";

/// A file of ended seeds.
pub struct Kept {
    file: File,
    build: String,
    seconds: Option<u64>,
    /// Lines that say nothing of this sweep.
    pub others: u64,
    found: BTreeMap<u64, Ended>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    build: String,
    /// Runs were shortened to so many virtual seconds.
    seconds: Option<u64>,
    seed: u64,
    report: Option<Report>,
    /// What the process said when it broke down.
    problem: Option<String>,
}

impl Kept {
    /// Opens the file, making it if need be, and reads what it has of this build.
    ///
    /// # Errors
    /// If it can't be read or written.
    pub fn open(path: &Path, seconds: Option<u64>) -> io::Result<Self> {
        Self::open_as(path, BUILD, seconds)
    }

    fn open_as(path: &Path, build: &str, seconds: Option<u64>) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.try_lock().is_err() {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another sweep is writing it"));
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut kept = Self { file, build: build.to_owned(), seconds, others: 0, found: BTreeMap::new() };
        // A line that was cut off is not a line; the next one must not become its end.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if !text.is_empty() && !BEGINNING.starts_with(&text[..text.len().min(BEGINNING.len())]) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not a file of ended seeds"));
        }
        kept.file.set_len(whole as u64)?;
        kept.file.seek(SeekFrom::End(0))?;
        for line in text[..whole].lines() {
            kept.take(line);
        }
        Ok(kept)
    }

    fn take(&mut self, line: &str) {
        let Ok(line) = serde_json::from_str::<Line>(line) else {
            self.others += 1;
            return;
        };
        if line.build != self.build || line.seconds != self.seconds {
            self.others += 1;
            return;
        }
        let shown = line.report.ok_or_else(|| line.problem.unwrap_or_default());
        self.found.insert(line.seed, Ended { seed: line.seed, shown });
    }

    /// What a seed showed, if it has ended already.
    pub fn of(&self, seed: u64) -> Option<&Ended> {
        self.found.get(&seed)
    }

    /// Writes down how a seed ended.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn add(&mut self, ended: &Ended) -> io::Result<()> {
        let line = Line {
            build: self.build.clone(),
            seconds: self.seconds,
            seed: ended.seed,
            report: ended.shown.as_ref().ok().cloned(),
            problem: ended.shown.as_ref().err().cloned(),
        };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        // One write: what ends a process ends it before or after.
        self.file.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_goes_on_where_it_was_cut_off() {
        let path = std::env::temp_dir().join(format!("earmark-kept-{}", std::process::id()));
        let report = Report { seed: 4, operations: 7, ..Report::default() };
        let mut kept = Kept::open_as(&path, "one", None).expect("made");
        kept.add(&Ended { seed: 4, shown: Ok(report) }).expect("written");
        kept.add(&Ended { seed: 5, shown: Err("it broke down".to_owned()) }).expect("written");
        // The next line was cut off.
        kept.file.write_all(b"{\"build\":\"one\",\"seed\":6").expect("written");
        drop(kept);
        let mut kept = Kept::open_as(&path, "one", None).expect("read");
        assert_eq!(kept.of(4).expect("ended").shown.as_ref().expect("a report").operations, 7);
        assert!(kept.of(5).expect("ended").shown.is_err() && kept.of(6).is_none());
        kept.add(&Ended { seed: 6, shown: Ok(Report::default()) }).expect("written");
        drop(kept);
        let kept = Kept::open_as(&path, "one", None).expect("read");
        assert!(kept.of(6).is_some() && kept.others == 0);
        drop(kept);
        for (build, seconds) in [("two", None), ("one", Some(9))] {
            let other = Kept::open_as(&path, build, seconds).expect("read");
            assert!(other.of(4).is_none() && other.others == 3);
            let second = Kept::open_as(&path, build, seconds).err().expect("two would write over each other");
            assert!(second.to_string().contains("another sweep"));
        }
        std::fs::write(&path, "notes of mine").expect("written");
        let refused = Kept::open_as(&path, "one", None).err().expect("not ours");
        assert!(refused.to_string().contains("not a file of ended seeds"));
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "notes of mine");
        std::fs::remove_file(path).expect("removed");
    }
}
