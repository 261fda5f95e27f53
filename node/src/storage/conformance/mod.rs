//! Is a store a store? One suite, run on the real disk and on the simulated one (`suite`, `snapshots`, and openraft's own
//! in `openraft`); what only one of them can show is in `simulated`,
//! `crashes` and `damage`.

mod crashes;
mod damage;
mod loading;
mod openraft;
mod simulated;
mod snapshots;
mod suite;

use super::{
    engine::{Disk, Records},
    folder::Folder,
    load::Continuity,
    log::LogStore,
    replica_store::{Checkpoint, ReplicaStore},
    rocks::RocksOptions,
    simulated::{PowerLoss, SimulatedDisk},
    store::Store,
};
use crate::shard::raft::{Entry, LogId, Membership, Payload, StoredMembership, TypeConfig, Vote};
use ::openraft::{
    EntryPayload,
    impls::{BasicNode, leader_id_std::LeaderId},
    storage::RaftLogStorageExt,
};
use bytes::Bytes;
use earmark_ledger::types::{Epoch, LogIndex, ShardId};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;

/// The shard most tests use.
const SHARD: ShardId = ShardId(3);

/// A disk that a test can crash.
trait Bed {
    /// The disk as it is now.
    fn disk(&self) -> Arc<dyn Disk>;
    /// The node dies at once; what is left is on `disk` afterwards.
    fn crash(&mut self);
}

/// A real folder. A crash leaves what a killed process leaves: everything that was written.
struct RealBed {
    folders: Vec<TempDir>,
}

impl RealBed {
    fn new() -> Self {
        Self { folders: vec![tempfile::tempdir().unwrap()] }
    }

    fn path(&self) -> PathBuf {
        self.folders.last().unwrap().path().to_owned()
    }

    fn folder(&self) -> Folder {
        let options = RocksOptions { write_bytes_max: 8 << 20, cache_bytes: 1 << 20, ..RocksOptions::default() };
        Folder::with_options(self.path(), options)
    }
}

impl Bed for RealBed {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.folder())
    }

    fn crash(&mut self) {
        let left = loop {
            let left = tempfile::tempdir().unwrap();
            match copy_folder(&self.path(), left.path()) {
                Ok(()) => break left,
                // A file that RocksDB needs no more went meanwhile: what was copied is no moment's folder.
                Err(gone) if gone.kind() == ErrorKind::NotFound => {}
                Err(bad) => panic!("{bad}"),
            }
        };
        self.folders.push(left);
    }
}

fn copy_folder(source: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    for file in fs::read_dir(source)? {
        let file = file?;
        let to = target.join(file.file_name());
        if file.file_type()?.is_dir() {
            copy_folder(&file.path(), &to)?;
        } else {
            fs::copy(file.path(), to)?;
        }
    }
    Ok(())
}

/// A simulated disk. A crash leaves what a power loss leaves: nothing that was not synced.
#[derive(Default)]
struct SimulatedBed {
    disk: SimulatedDisk,
}

impl Bed for SimulatedBed {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn crash(&mut self) {
        self.disk.power_loss(PowerLoss::default());
    }
}

/// Makes a test of each disk out of each function.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod real {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                super::$test(super::super::RealBed::new()).await;
            })+
        }
        mod simulated {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                super::$test(super::super::SimulatedBed::default()).await;
            })+
        }
    };
}
use on_both;

/// Opens a store that must be whole.
fn reopen(bed: &impl Bed) -> Store {
    let (store, continuity) = Store::open(bed.disk()).unwrap();
    assert_eq!(continuity, Continuity::Whole);
    store
}

/// Opens an empty store and creates the shard's replica.
async fn begin(bed: &impl Bed) -> (Store, ReplicaStore) {
    let (store, continuity) = Store::open(bed.disk()).unwrap();
    assert_eq!(continuity, Continuity::Empty);
    let replica = store.replica(SHARD);
    replica.create(1).await.unwrap();
    (store, replica)
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

fn vote(term: u64, voted_for: u64) -> Vote {
    Vote { leader_id: LeaderId { term, voted_for }, committed: false }
}

fn entry(term: u64, index: u64, payload: impl Into<Bytes>) -> Entry {
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(Payload(payload.into())) }
}

fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
    indexes.map(|index| entry(term, index, format!("{term}.{index}"))).collect()
}

fn membership(at: LogId) -> StoredMembership {
    let nodes: BTreeMap<u64, BasicNode> = [(1, BasicNode::new("a:1")), (2, BasicNode::new("b:1"))].into();
    let voters = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
    StoredMembership::new(Some(at), Membership::new(voters, nodes).unwrap())
}

fn checkpoint(applied: LogId, puts: &[(&'static str, String)]) -> Checkpoint {
    let block = Bytes::from(format!("block {}", applied.index));
    Checkpoint {
        puts: puts.iter().map(|(key, value)| (Bytes::from(*key), Bytes::from(value.clone()))).collect(),
        journal: vec![(LogIndex(applied.index), block)],
        applied: Some(applied),
        membership: membership(applied),
        epoch: Epoch(7),
        ..Checkpoint::default()
    }
}

/// Appends and waits for the sync.
async fn append(log: &mut LogStore, entries: Vec<Entry>) {
    RaftLogStorageExt::<TypeConfig>::blocking_append(log, entries).await.unwrap();
}

/// All records of the live generation.
fn records_of(replica: &ReplicaStore) -> Records {
    let mut records = Records::new();
    replica
        .scan_state(b"", b"", |key, value| {
            records.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            Ok::<_, super::StoreError>(())
        })
        .unwrap();
    records
}

/// The same as text.
fn state(replica: &ReplicaStore) -> Vec<(String, String)> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    records_of(replica).into_iter().map(|(key, value)| (text(key), text(value))).collect()
}
