//! What became of each row, and the results file that tells it: CSV, or JSON lines if its name ends in `.jsonl`.
//!
//! Rows stand in the order of the file. A run that goes on cuts the file back to what the progress file calls settled, so
//! each row is told once.

use super::row::Row;
use crate::cli::Failure;
use serde::Serialize;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// All it asks for is done; in a dry run: would be.
    Done,
    /// The ledger refused it.
    Refused,
    /// The row makes no sense.
    BadInput,
    /// Surely not done, and nobody judged it: the cluster did not answer, or the import was stopped.
    Unavailable,
    /// Nobody could tell in time whether it was done.
    Unknown,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::BadInput => "bad_input",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}

/// What is told of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) end: End,
    /// Of a refusal or an error; empty if it is done.
    pub(super) code: &'static str,
    pub(super) message: String,
    /// An earlier run had done it.
    pub(super) replayed: bool,
    /// Asking again, with the same id, may tell more: the row is not settled.
    pub(super) open: bool,
}

impl Verdict {
    pub(super) fn done(message: String, replayed: bool) -> Self {
        Self { end: End::Done, code: "", message, replayed, open: false }
    }

    pub(super) fn bad(message: String) -> Self {
        Self { end: End::BadInput, code: "INVALID_ARGUMENT", message, replayed: false, open: false }
    }
}

/// A row of the results. The names are stable.
#[derive(Debug, Serialize)]
struct Line<'a> {
    line: u64,
    action: &'a str,
    sku: &'a str,
    location: &'a str,
    verdict: &'a str,
    replayed: bool,
    code: &'a str,
    message: &'a str,
}

/// The results file.
pub(super) struct Results {
    path: PathBuf,
    file: File,
    json: bool,
    bytes: u64,
}

impl Results {
    /// Opens the file and keeps its first so many bytes.
    ///
    /// # Errors
    /// It can't be opened, or is shorter than that.
    pub(super) fn open(path: &Path, keep: u64) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let problem = |error: std::io::Error| Failure::input(name.clone(), format!("can't be written: {error}"));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(problem)?;
        let json = path.extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson");
        Self { path: path.to_owned(), file, json, bytes: 0 }.cut(keep)
    }

    fn cut(mut self, keep: u64) -> Result<Self, Failure> {
        let there = self.file.metadata().map_err(|error| self.problem(&error))?.len();
        if there < keep {
            let what =
                format!("has {there} bytes, the progress file says {keep}: put it back, or begin with --restart");
            return Err(Failure::input(self.path.display().to_string(), what));
        }
        self.file.set_len(keep).map_err(|error| self.problem(&error))?;
        self.file.seek(SeekFrom::Start(keep)).map_err(|error| self.problem(&error))?;
        self.bytes = keep;
        if keep == 0 && !self.json {
            self.append(b"line,action,sku,location,verdict,replayed,code,message\n")?;
        }
        Ok(self)
    }

    fn problem(&self, error: &std::io::Error) -> Failure {
        Failure::local(format!("{} can't be written: {error}", self.path.display()))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| self.problem(&error))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes what became of some rows, and comes back when it is on the disk.
    ///
    /// # Errors
    /// The disk did not play along.
    pub(super) fn write<'a>(&mut self, rows: impl Iterator<Item = (&'a Row, &'a Verdict)>) -> Result<(), Failure> {
        let mut text = Vec::new();
        let mut sheet = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        for (row, verdict) in rows {
            let line = Line {
                line: row.line,
                action: row.action.map_or("", |action| action.name()),
                sku: &row.sku,
                location: &row.location,
                verdict: verdict.end.name(),
                replayed: verdict.replayed,
                code: verdict.code,
                message: &verdict.message,
            };
            if self.json {
                text.extend(serde_json::to_vec(&line).expect("texts and numbers can be written as JSON"));
                text.push(b'\n');
            } else {
                sheet.serialize(line).expect("a vector takes everything");
            }
        }
        text.extend(sheet.into_inner().expect("a vector takes everything"));
        self.append(&text)?;
        self.file.sync_data().map_err(|error| self.problem(&error))
    }

    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::row::Action;

    fn row(line: u64, sku: &str) -> Row {
        let task = Err(String::new());
        let (sku, location) = (sku.to_owned(), "main".to_owned());
        Row { number: line - 1, line, content: 0, action: Some(Action::Receive), sku, location, task }
    }

    #[test]
    fn a_run_that_goes_on_tells_each_row_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.csv");
        let (good, bad) = (Verdict::done("on hand 5".to_owned(), false), Verdict::bad("a \"b\", c".to_owned()));
        let mut results = Results::open(&path, 0).expect("opened");
        results.write([(&row(2, "tea"), &good)].into_iter()).expect("written");
        let settled = results.bytes();
        results.write([(&row(3, "x"), &good)].into_iter()).expect("written");
        drop(results);
        let mut results = Results::open(&path, settled).expect("opened again");
        results.write([(&row(3, "=x;"), &bad)].into_iter()).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let expected = "line,action,sku,location,verdict,replayed,code,message\n\
                        2,receive,tea,main,done,false,,on hand 5\n\
                        3,receive,=x;,main,bad_input,false,INVALID_ARGUMENT,\"a \"\"b\"\", c\"\n";
        assert_eq!(text, expected);
        assert_eq!(results.bytes(), expected.len() as u64);
        drop(results);
        assert!(Results::open(&path, 1_000).is_err(), "some of it is gone");
    }

    #[test]
    fn programs_are_told_line_by_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("results.jsonl");
        let mut results = Results::open(&path, 0).expect("opened");
        let verdict = Verdict::done("on hand 5".to_owned(), true);
        results.write([(&row(2, "tea"), &verdict)].into_iter()).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["verdict"], &value["replayed"], &value["line"]), (&"done".into(), &true.into(), &2.into()));
    }
}
