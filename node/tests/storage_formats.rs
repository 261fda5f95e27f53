//! What was ever written can be read for ever. `formats/store-N.txt` holds everything on the disk of a small store in
//! format N, one key a line: family, key, value, in hexadecimal; and the file of marks, 64 bytes a line with their place.
//! A sample is never rewritten. A new format gets a new one (`cargo test --test storage_formats -- --ignored`).

use bytes::Bytes;
use earmark_ledger::types::{Epoch, LogIndex, ShardId};
use earmark_node::{
    shard::raft::{Entry, LogId, Membership, Payload, StoredMembership, TypeConfig, Vote},
    storage::{
        Batch, Checkpoint, Continuity, Disk, Family, Identity, JournalFloor, Mark, SimulatedDisk, Store, StoreError,
    },
};
use openraft::{
    EntryPayload, RaftLogReader,
    impls::{BasicNode, leader_id_std::LeaderId},
    storage::{RaftLogStorage, RaftLogStorageExt},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    sync::Arc,
};

const SHARD: ShardId = ShardId(3);
const PRESENT: &str = "tests/formats/store-1.txt";
const DAMAGE: &str = "tests/formats/damage-1.txt";

fn id(term: u64, index: u64) -> LogId {
    LogId::new_term_index(term, index)
}

fn membership() -> Membership {
    let nodes: BTreeMap<u64, BasicNode> =
        [(1 << 32 | 1, BasicNode::new("10.0.0.1:7100")), (2 << 32 | 4, BasicNode::new("10.0.0.2:7100"))].into();
    Membership::new(vec![BTreeSet::from([1 << 32 | 1]), nodes.keys().copied().collect()], nodes).unwrap()
}

fn entries() -> Vec<Entry> {
    let entry = |index, payload| Entry { log_id: id(6, index), payload };
    vec![
        entry(11, EntryPayload::Blank),
        entry(12, EntryPayload::Membership(membership())),
        entry(13, EntryPayload::Normal(Payload(Bytes::from("a batch")))),
    ]
}

fn identity() -> Identity {
    Identity { cluster: *b"sixteen bytes ..", node: 2, shards: 8, formation: Bytes::from("formed with") }
}

fn vote() -> Vote {
    Vote { leader_id: LeaderId { term: 6, voted_for: 2 << 32 | 4 }, committed: true }
}

fn peer() -> Mark {
    Mark { incarnation: 2, truncations: 5, vote: Some(vote()), last: Some(id(6, 12)) }
}

fn floor() -> JournalFloor {
    JournalFloor { epoch: Epoch(1), index: LogIndex(9) }
}

/// Everything a store of this version can hold, at least once.
async fn work(disk: &SimulatedDisk) {
    let (store, _) = Store::open(Arc::new(disk.clone())).unwrap();
    store.set_identity(identity()).await.unwrap();
    let replica = store.replica(SHARD);
    replica.create(4).await.unwrap();
    let mut log = replica.log();
    log.save_vote(&vote()).await.unwrap();
    let install = replica.begin_install().await.unwrap();
    install.finish(id(5, 10), StoredMembership::new(Some(id(5, 2)), membership()), Epoch(1)).await.unwrap();
    let doomed = Entry { log_id: id(5, 11), payload: EntryPayload::Blank };
    RaftLogStorageExt::<TypeConfig>::blocking_append(&mut log, [doomed]).await.unwrap();
    log.truncate_after(Some(id(5, 10))).await.unwrap();
    RaftLogStorageExt::<TypeConfig>::blocking_append(&mut log, entries()).await.unwrap();
    log.save_committed(Some(id(6, 12))).await.unwrap();
    let from = replica.journal_floor();
    replica.fill_journal(from, &[(Epoch(1), LogIndex(9), Bytes::from("block 9"))], floor()).await.unwrap();
    let checkpoint = Checkpoint {
        puts: [("key", "value")].into_iter().collect(),
        journal: vec![(LogIndex(12), Bytes::from("block 12"))],
        applied: Some(id(6, 12)),
        membership: StoredMembership::new(Some(id(6, 12)), membership()),
        epoch: Epoch(1),
        ..Checkpoint::default()
    };
    replica.checkpoint(checkpoint).await.unwrap();
    store.remember_peer(7, &[(SHARD, peer())]);
    store.close().await;
}

/// A store with a replica that must not be opened.
async fn damaged(disk: &SimulatedDisk) {
    let (store, _) = Store::open(Arc::new(disk.clone())).unwrap();
    let replica = store.replica(SHARD);
    replica.create(4).await.unwrap();
    replica.note_damage("differs").await.unwrap();
    store.close().await;
}

/// What `work` left must be found, whichever version wrote it.
async fn check(disk: &SimulatedDisk) {
    let (store, continuity) = Store::open(Arc::new(disk.clone())).unwrap();
    assert_eq!(continuity, Continuity::Whole);
    assert_eq!(store.boots(), 2);
    assert_eq!(store.identity(), Some(identity()));
    assert_eq!(store.remembered(7), [(SHARD, peer())]);
    let replica = store.replica(SHARD);
    assert_eq!(replica.incarnation(), Some(4));
    let mark = Mark { incarnation: 4, truncations: 1, vote: Some(vote()), last: Some(id(6, 13)) };
    assert_eq!(store.synced_marks(), [(SHARD, mark)]);
    let mut log = replica.log();
    assert_eq!(log.read_vote().await.unwrap(), Some(vote()));
    assert_eq!(log.read_committed().await.unwrap(), Some(id(6, 12)));
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(id(5, 10)));
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries());
    let restored = replica.restored();
    assert_eq!((restored.generation, restored.applied, restored.epoch), (1, Some(id(6, 12)), Epoch(1)));
    assert_eq!(restored.membership, StoredMembership::new(Some(id(6, 12)), membership()));
    assert_eq!(restored.journal_floor, floor());
    assert_eq!(replica.read_state(b"key").unwrap(), Some(Bytes::from("value")));
    let mut blocks = Vec::new();
    let visit = |index: LogIndex, block: &[u8]| {
        blocks.push((index.0, block.to_vec()));
        Ok::<_, StoreError>(())
    };
    replica.read_journal(Epoch(1), LogIndex(0), visit).unwrap();
    assert_eq!(blocks, [(9, b"block 9".to_vec()), (12, b"block 12".to_vec())]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A disk as text.
fn dump(disk: &SimulatedDisk) -> String {
    let engine = disk.open().unwrap();
    let mut text = String::new();
    for family in Family::ALL {
        for key in disk.keys(family) {
            let value = engine.get(family, &key).unwrap().unwrap();
            writeln!(text, "{} {} {}", family.name(), hex(&key), hex(&value)).unwrap();
        }
    }
    let marks = engine.read_marks().unwrap().unwrap();
    for (place, record) in marks.chunks(64).enumerate().filter(|(_, record)| record.iter().any(|byte| *byte != 0)) {
        writeln!(text, "marks {} {}", place * 64, hex(record)).unwrap();
    }
    writeln!(text, "marks-length {}", marks.len()).unwrap();
    text
}

/// A disk from text.
async fn undump(text: &str) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let engine = disk.open().unwrap();
    let mut batch = Batch::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["marks", offset, record] => engine.write_marks(offset.parse().unwrap(), &bytes(record)).unwrap(),
            ["marks-length", length] => {
                engine.write_marks(length.parse::<u64>().unwrap() - 1, &[0]).unwrap();
            }
            [family, key, value] => {
                let family = Family::ALL.into_iter().find(|known| known.name() == family).unwrap();
                batch.put(family, &bytes(key), &bytes(value));
            }
            _ => panic!("{line}"),
        }
    }
    engine.write(&batch, true).await.unwrap();
    disk
}

#[tokio::test(start_paused = true)]
async fn every_saved_format_can_be_read() {
    let mut samples = 0;
    for file in fs::read_dir("tests/formats").unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("store-") {
            check(&undump(&fs::read_to_string(file).unwrap()).await).await;
            samples += 1;
        }
    }
    assert!(samples >= 1);
}

/// Bytes that change without a new format version are found here, not by an older program in a rolling upgrade.
#[tokio::test(start_paused = true)]
async fn the_present_format_is_the_saved_one() {
    let disk = SimulatedDisk::new();
    work(&disk).await;
    assert_eq!(dump(&disk), fs::read_to_string(PRESENT).unwrap());
}

/// The record of a damage stands in a sample of its own: no store has one that need not.
#[tokio::test(start_paused = true)]
async fn a_saved_damage_can_be_read_and_is_the_present_one() {
    let sample = fs::read_to_string(DAMAGE).unwrap();
    let (store, continuity) = Store::open(Arc::new(undump(&sample).await)).unwrap();
    assert_eq!(continuity, Continuity::Whole);
    assert_eq!(store.replica(SHARD).damage().as_deref(), Some("differs"));
    let disk = SimulatedDisk::new();
    damaged(&disk).await;
    assert_eq!(dump(&disk), sample);
}

#[tokio::test(start_paused = true)]
#[ignore = "writes the sample of a damage, once"]
async fn write_the_damage() {
    assert!(!fs::exists(DAMAGE).unwrap(), "a sample is never rewritten");
    let disk = SimulatedDisk::new();
    damaged(&disk).await;
    fs::write(DAMAGE, dump(&disk)).unwrap();
}

#[tokio::test(start_paused = true)]
#[ignore = "writes the sample of a new format version, once"]
async fn write_the_sample() {
    assert!(!fs::exists(PRESENT).unwrap(), "a sample is never rewritten");
    let disk = SimulatedDisk::new();
    work(&disk).await;
    fs::write(PRESENT, dump(&disk)).unwrap();
}
