//! The progress file: what makes an import that was interrupted go on as the same one.
//!
//! It is small whatever the size of the file imported, and replaced as a whole, synced, before anything it speaks of is
//! sent. It keeps who the import is, up to where every row has its verdict, and one *open* block whose operations may have
//! been sent: with the time in their ids, and the settings they were made of. So a row is repeated under the id, and with
//! the request, of its first sending, however the first run ended. What is behind the open block was surely never sent.

use super::ids::ImportId;
use super::report::Counts;
use super::row::Defaults;
use super::source::Mark;
use crate::cli::Failure;
use earmark_client::{SkuSettings, TimeMs, wire::v1};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The form of the file. A build refuses one it does not know.
const FORMAT: u32 = 1;

/// What may not change between two runs of an import, beside the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) cluster: String,
    pub(super) namespace: String,
    pub(super) results: PathBuf,
    #[serde(flatten)]
    pub(super) defaults: Defaults,
}

/// Everything in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    pub(super) import: ImportId,
    pub(super) begun_ms: u64,
    #[serde(flatten)]
    pub(super) terms: Terms,
    pub(super) settled: Settled,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) open: Option<Open>,
    /// The end of the file was reached.
    pub(super) finished: bool,
}

/// Rows that have their verdict, for ever.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Settled {
    #[serde(flatten)]
    mark: MarkText,
    /// Bytes of the results that belong to them.
    pub(super) results_bytes: u64,
    pub(super) counts: Counts,
}

/// The block that may have been sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Open {
    #[serde(flatten)]
    mark: MarkText,
    /// The time in the ids of its operations.
    pub(super) opened_ms: u64,
    /// How often settings were read for it. Each time the changes made of them get ids of their own.
    #[serde(default)]
    pub(super) rounds: u32,
    /// The first rows of SKUs whose settings were as asked, so that their stock was next.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) kept: Vec<u64>,
    /// The changes of settings in it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) changes: Vec<Change>,
}

/// A change of settings as it was made up: the version it is for and everything it sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    /// The row under whose id it goes.
    pub(super) row: u64,
    /// Which reading of the settings it was made of.
    pub(super) round: u32,
    pub(super) version: u64,
    settings: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct MarkText {
    rows: u64,
    digest: String,
}

impl From<Mark> for MarkText {
    fn from(mark: Mark) -> Self {
        Self { rows: mark.rows, digest: format!("{:032x}", mark.digest) }
    }
}

impl MarkText {
    fn read(&self) -> Option<Mark> {
        if self.rows == 0 {
            return Some(Mark::default());
        }
        let digest = u128::from_str_radix(&self.digest, 16).ok()?;
        Some(Mark { rows: self.rows, digest })
    }
}

impl Settled {
    pub(super) fn new(mark: Mark, results_bytes: u64, counts: Counts) -> Self {
        Self { mark: mark.into(), results_bytes, counts }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark.read().expect("checked when it was read")
    }
}

impl Open {
    pub(super) fn new(mark: Mark, opened: TimeMs) -> Self {
        Self { mark: mark.into(), opened_ms: opened.0, rounds: 0, kept: Vec::new(), changes: Vec::new() }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark.read().expect("checked when it was read")
    }
}

impl Change {
    pub(super) fn new(row: u64, round: u32, version: u64, settings: &SkuSettings) -> Self {
        let bytes = v1::SkuSettings::from(settings).encode_to_vec();
        let settings = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { row, round, version, settings }
    }

    /// The settings it sets.
    pub(super) fn settings(&self) -> Option<SkuSettings> {
        let bytes = self.settings.as_bytes().chunks(2).map(|two| {
            let text = std::str::from_utf8(two).ok().filter(|text| text.len() == 2)?;
            u8::from_str_radix(text, 16).ok()
        });
        let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
        v1::SkuSettings::decode(bytes.as_slice()).ok()?.try_into().ok()
    }
}

impl State {
    /// A new import.
    pub(super) fn new(terms: Terms, now: TimeMs) -> Self {
        let import = ImportId::random();
        let settled = Settled::default();
        Self { format: FORMAT, import, begun_ms: now.0, terms, settled, open: None, finished: false }
    }

    fn makes_sense(&self) -> bool {
        let open = self.open.as_ref();
        self.settled.mark.read().is_some()
            && open.is_none_or(|open| {
                open.mark.read().is_some_and(|mark| mark.rows > self.settled.mark.rows)
                    && open.changes.iter().all(|change| change.settings().is_some())
            })
    }

    /// Refuses to go on under other terms.
    ///
    /// # Errors
    /// Names what differs.
    pub(super) fn must_agree(&self, terms: &Terms, path: &Path) -> Result<(), Failure> {
        let before = serde_json::to_value(&self.terms).expect("texts can be written as JSON");
        let now = serde_json::to_value(terms).expect("texts can be written as JSON");
        let (Some(before), Some(now)) = (before.as_object(), now.as_object()) else { return Ok(()) };
        let other = before.iter().find(|(key, value)| now.get(*key) != Some(*value));
        let Some((key, value)) = other else { return Ok(()) };
        let told = now.get(key).unwrap_or(&serde_json::Value::Null);
        let what = format!("this import was begun with {key} {value}, not {told}");
        let how = "go on with the same, or begin anew with --restart";
        Err(Failure::input(path.display().to_string(), format!("{what}; {how}")))
    }
}

/// The file, held alone as long as this lives: of two imports with the same progress one would not know of the other's
/// operations.
pub(super) struct Keeper {
    path: PathBuf,
    /// Its lock goes with it.
    file: File,
}

impl Keeper {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// It can't be opened, or another import has it.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let problem = |error: std::io::Error| Failure::input(name.clone(), format!("can't be used: {error}"));
        loop {
            let options = File::options().read(true).write(true).create(true).truncate(false).clone();
            let file = options.open(path).map_err(problem)?;
            lock(&file).map_err(|error| match error {
                TryLockError::WouldBlock => Failure::input(name.clone(), "another import is at it right now"),
                TryLockError::Error(error) => problem(error),
            })?;
            // Whoever held it may have put another file in its place just before.
            let (held, there) = (file.metadata().map_err(problem)?, std::fs::metadata(path));
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
                return Ok(Self { path: path.to_owned(), file });
            }
        }
    }

    /// What an earlier run left, if one did.
    ///
    /// # Errors
    /// The file can't be read, or makes no sense.
    pub(super) fn load(&self) -> Result<Option<State>, Failure> {
        read(&self.path, &self.file)
    }

    /// Replaces the file, and comes back when the new one is on the disk.
    ///
    /// # Errors
    /// The disk did not play along.
    pub(super) fn save(&mut self, state: &State) -> Result<(), Failure> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let write = || {
            let mut file = File::create(&new)?;
            lock(&file)?;
            file.write_all(&serde_json::to_vec(state).expect("texts and numbers can be written as JSON"))?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file)
        };
        let problem =
            |error: std::io::Error| Failure::local(format!("{} can't be written: {error}", self.path.display()));
        self.file = write().map_err(problem)?;
        Ok(())
    }

    /// Takes the file away again, if nothing was ever saved in it.
    pub(super) fn discard(self) {
        if self.file.metadata().is_ok_and(|data| data.len() == 0) {
            // An empty file does no harm either.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What a run left in that file, for whoever only looks and does not want to hold it.
///
/// # Errors
/// The file can't be read, or makes no sense.
pub(super) fn look(path: &Path) -> Result<Option<State>, Failure> {
    match File::open(path) {
        Ok(file) => read(path, &file),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::input(path.display().to_string(), format!("can't be read: {error}"))),
    }
}

fn read(path: &Path, file: &File) -> Result<Option<State>, Failure> {
    let problem = |what: String| Failure::input(path.display().to_string(), what);
    let text = std::io::read_to_string(file).map_err(|error| problem(format!("can't be read: {error}")))?;
    if text.is_empty() {
        return Ok(None);
    }
    let state: State =
        serde_json::from_str(&text).map_err(|error| problem(format!("is no progress of an import: {error}")))?;
    if state.format != FORMAT {
        return Err(problem(format!("has form {}, this build knows {FORMAT}", state.format)));
    }
    if !state.makes_sense() {
        return Err(problem("is damaged: its marks or settings can't be read".to_owned()));
    }
    Ok(Some(state))
}

fn lock(file: &File) -> Result<(), TryLockError> {
    file.try_lock()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn terms() -> Terms {
        Terms {
            cluster: "c".to_owned(),
            namespace: "default".to_owned(),
            results: "stock.csv.results.csv".into(),
            defaults: Defaults {
                action: None,
                location: "main".to_owned(),
                document: String::new(),
                reason: String::new(),
                overriding: false,
            },
        }
    }

    fn settings() -> SkuSettings {
        SkuSettings {
            safety_stock: 5,
            hold_time: Some(Duration::from_secs(60)),
            frozen: Some("\u{e4}\"".to_owned()),
            ..SkuSettings::default()
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stock.csv.import");
        let mut keeper = Keeper::open(&path).expect("opened");
        assert!(keeper.load().expect("nothing there").is_none());
        assert!(look(&folder.path().join("other")).expect("no file").is_none());
        let mut state = State::new(terms(), TimeMs(7));
        keeper.save(&state).expect("saved");
        drop(keeper);
        let mut keeper = Keeper::open(&path).expect("opened");
        assert_eq!(keeper.load().expect("good").expect("there").settled.mark(), Mark::default());
        let (first, second) = (Mark { rows: 2, digest: u128::MAX }, Mark { rows: 4, digest: 1 });
        state.settled = Settled::new(first, 99, Counts::default());
        let mut open = Open::new(second, TimeMs(8));
        open.changes.push(Change::new(3, 1, 12, &settings()));
        state.open = Some(open);
        keeper.save(&state).expect("replaced");
        assert!(Keeper::open(&path).is_err(), "it is held, also after it was replaced");
        assert_eq!(look(&path).expect("whoever looks needs not hold it").expect("there").import, state.import);
        drop(keeper);
        let read = Keeper::open(&path).expect("opened").load().expect("good").expect("there");
        assert_eq!((read.settled.mark(), read.settled.results_bytes, read.import), (first, 99, state.import));
        let open = read.open.expect("open");
        assert_eq!((open.mark(), open.opened_ms), (second, 8));
        assert_eq!((open.changes[0].version, open.changes[0].settings()), (12, Some(settings())));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");
    }

    #[test]
    fn what_is_no_progress_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p");
        let good = serde_json::to_string(&State::new(terms(), TimeMs(7))).expect("JSON");
        for (text, word) in [
            ("{}", "no progress"),
            ("sku,quantity\n", "no progress"),
            (&good.replace("\"format\":1", "\"format\":2"), "form 2"),
            (&good.replace("\"rows\":0,\"digest\":\"", "\"rows\":1,\"digest\":\"x"), "damaged"),
            (&good[..good.len() / 2], "no progress"),
        ] {
            std::fs::write(&path, text).expect("written");
            match Keeper::open(&path).expect("opened").load() {
                Err(failure @ Failure::Input(_)) => assert!(failure.message().contains(word), "{text}: {failure:?}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_was_never_begun_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p");
        Keeper::open(&path).expect("opened").discard();
        assert!(!path.exists());
        let mut keeper = Keeper::open(&path).expect("opened");
        keeper.save(&State::new(terms(), TimeMs(7))).expect("saved");
        keeper.discard();
        assert!(path.exists());
    }

    #[test]
    fn other_terms_are_another_import() {
        let state = State::new(terms(), TimeMs(7));
        assert!(state.must_agree(&terms(), Path::new("p")).is_ok());
        let others = [
            (Terms { namespace: "b".to_owned(), ..terms() }, "namespace"),
            (Terms { cluster: "d".to_owned(), ..terms() }, "cluster"),
            (Terms { defaults: Defaults { overriding: true, ..terms().defaults }, ..terms() }, "overriding"),
        ];
        for (other, word) in others {
            match state.must_agree(&other, Path::new("p")) {
                Err(failure @ Failure::Input(_)) => assert!(failure.message().contains(word), "{failure:?}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
