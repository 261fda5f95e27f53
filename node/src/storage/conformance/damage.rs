//! What happens to a real folder between two runs, and what the next opening says of it. Where the folder cannot know,
//! the peers' memory does: see [`Mark::covers`].

use super::{
    super::{Continuity, Mark, OpenError, Store, StoreError, long},
    Bed, RealBed, SHARD, append, begin, checkpoint, copy_folder, entries, id, reopen, vote,
};
use earmark_ledger::types::ShardId;
use openraft::{RaftLogReader, storage::RaftLogStorage};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A folder with some work in it, closed. Answers what it promised.
async fn worked(bed: &RealBed) -> Vec<(ShardId, Mark)> {
    let (store, replica) = begin(bed).await;
    replica.log().save_vote(&vote(1, 9)).await.unwrap();
    for index in 1..=50 {
        append(&mut replica.log(), entries(1, index..=index)).await;
    }
    store.close().await;
    store.synced_marks()
}

/// What an opening says; the store is closed again.
async fn verdict(bed: &RealBed) -> Result<Continuity, OpenError> {
    let (store, continuity) = Store::open(bed.disk())?;
    store.close().await;
    Ok(continuity)
}

fn lost(verdict: Result<Continuity, OpenError>) -> Vec<String> {
    match verdict {
        Ok(Continuity::Lost { reasons }) => reasons,
        other => panic!("{other:?}"),
    }
}

/// The newest file with such an ending.
fn newest(bed: &RealBed, ending: &str) -> PathBuf {
    let files = fs::read_dir(bed.path().join("store")).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|end| end == ending)).max().unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

fn cut(file: &Path, bytes: u64) {
    let length = fs::metadata(file).unwrap().len();
    fs::File::options().write(true).open(file).unwrap().set_len(length - bytes).unwrap();
}

/// The end of what was written to a file that may be longer does not arrive.
fn tear(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[end - 2..=end].fill(0);
    fs::write(file, bytes).unwrap();
}

/// Waits until the write-ahead log has its length ahead.
fn await_long(bed: &RealBed) {
    let begun = Instant::now();
    while fs::metadata(newest(bed, "log")).unwrap().len() < long::LENGTH {
        assert!(begun.elapsed() < Duration::from_secs(30), "it stays short");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_deleted_write_ahead_log_is_a_loss() {
    let bed = RealBed::new();
    worked(&bed).await;
    fs::remove_file(newest(&bed, "log")).unwrap();
    // RocksDB opens without complaint on nothing.
    let reasons = lost(verdict(&bed).await);
    assert_eq!(reasons[0], "the store: expected opening 1, found opening 0");
    assert!(reasons[1].starts_with("shard 3: expected incarnation 1, 0 truncations, vote"), "{reasons:?}");
    assert_eq!(lost(verdict(&bed).await), reasons, "and again");
}

#[tokio::test]
async fn a_cut_record_is_a_loss_if_its_mark_was_written() {
    let bed = RealBed::new();
    worked(&bed).await;
    cut(&newest(&bed, "log"), 3);
    let reasons = lost(verdict(&bed).await);
    assert!(reasons[0].contains("log up to 1.50; found") && reasons[0].ends_with("log up to 1.49"), "{reasons:?}");
}

#[tokio::test]
async fn a_torn_tail_that_nobody_was_told_of_is_accepted() {
    let mut bed = RealBed::new();
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=9)).await;
    replica.log().save_committed(Some(id(1, 8))).await.unwrap();
    store.close().await;
    bed.crash();
    // The last record is `committed`, which waited for a sync that only came with the closing.
    cut(&newest(&bed, "log"), 3);
    let mut log = reopen(&bed).replica(SHARD).log();
    assert_eq!(log.read_committed().await.unwrap(), None);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id(1, 9)));
}

#[tokio::test]
async fn what_was_written_to_a_long_log_is_there_after_a_kill_and_what_was_torn_ends_it() {
    let mut bed = RealBed::new();
    let (_killed, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=9)).await;
    await_long(&bed);
    // Over more than one of RocksDB's blocks of 32 KiB.
    for index in 10..=900 {
        append(&mut replica.log(), entries(1, index..=index)).await;
    }
    bed.crash();
    let copy = RealBed::new();
    copy_folder(&bed.path(), &copy.path()).expect("nobody has it open");
    let (store, continuity) = Store::open(bed.disk()).unwrap();
    assert_eq!(continuity, Continuity::Whole);
    let mut log = store.replica(SHARD).log();
    assert_eq!(log.try_get_log_entries(..).await.unwrap().len(), 900);
    store.close().await;
    // Whether the last entry's mark was written yet is a matter of time.
    tear(&newest(&copy, "log"));
    let (store, _) = Store::open(copy.disk()).unwrap();
    let mut log = store.replica(SHARD).log();
    assert_eq!(log.try_get_log_entries(..).await.unwrap().len(), 899);
}

#[tokio::test]
async fn a_record_cut_before_its_mark_is_known_to_the_peers() {
    let mut bed = RealBed::new();
    let (store, replica) = begin(&bed).await;
    append(&mut replica.log(), entries(1, 1..=9)).await;
    append(&mut replica.log(), entries(1, 10..=10)).await;
    let told = store.synced_marks();
    // The mark of the last sync is written with the next one: the crash comes first.
    bed.crash();
    tear(&newest(&bed, "log"));
    // On a busy machine the mark may have been written after all; then the folder knows as well.
    let (store, _) = Store::open(bed.disk()).unwrap();
    let found = store.synced_marks();
    assert!(!found[0].1.covers(&told[0].1), "the peers remember more");
}

#[tokio::test]
async fn a_flipped_bit_in_the_write_ahead_log_is_never_accepted() {
    let bed = RealBed::new();
    worked(&bed).await;
    let log = newest(&bed, "log");
    let whole = fs::read(&log).unwrap();
    // RocksDB takes what is wrong for a torn tail, and drops it and all that follows. The marks notice.
    for at in (0..600).step_by(5) {
        flip(&log, at);
        let copy = RealBed::new();
        copy_folder(&bed.path(), &copy.path()).expect("nobody has it open");
        let verdict = verdict(&copy).await;
        assert!(matches!(verdict, Ok(Continuity::Lost { .. })), "byte {at} of {}: {verdict:?}", whole.len());
        fs::write(&log, &whole).unwrap();
    }
    assert_eq!(verdict(&bed).await, Ok(Continuity::Whole));
}

#[tokio::test]
async fn a_damaged_table_is_found_when_read() {
    let bed = RealBed::new();
    worked(&bed).await;
    // The opening writes what the log holds to tables.
    reopen(&bed).close().await;
    let table = fs::read_dir(bed.path().join("store")).unwrap().map(|file| file.unwrap().path());
    let table = table.filter(|file| fs::read(file).unwrap().windows(4).any(|bytes| bytes == b"1.25"));
    let table = table.filter(|file| file.extension().is_some_and(|end| end == "sst")).last().unwrap();
    let at = fs::read(&table).unwrap().windows(4).position(|bytes| bytes == b"1.25").unwrap();
    flip(&table, at);
    match Store::open(bed.disk()) {
        Err(OpenError::Damaged(_)) => {}
        Ok((store, _)) => {
            let read = store.replica(SHARD).log().try_get_log_entries(..).await.unwrap_err();
            assert!(matches!(read.downcast::<StoreError>(), Ok(StoreError::Corrupt { .. })));
            assert!(store.poison().borrow().is_some());
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_older_copy_is_known_to_the_peers_only() {
    let bed = RealBed::new();
    worked(&bed).await;
    let copy = RealBed::new();
    copy_folder(&bed.path(), &copy.path()).expect("nobody has it open");
    let store = reopen(&bed);
    append(&mut store.replica(SHARD).log(), entries(1, 51..=52)).await;
    store.replica(SHARD).log().truncate_after(Some(id(1, 40))).await.unwrap();
    let told = store.synced_marks();
    store.close().await;
    let found = reopen(&copy).synced_marks();
    // Even a longer log than the promised one does not hide it: a truncation is missing.
    assert!(found[0].1.last > told[0].1.last && !found[0].1.covers(&told[0].1));
}

#[tokio::test]
async fn an_emptied_folder_is_known_to_the_peers_only() {
    let bed = RealBed::new();
    let told = worked(&bed).await;
    fs::remove_dir_all(bed.path().join("store")).unwrap();
    fs::remove_file(bed.path().join("marks")).unwrap();
    let (store, continuity) = Store::open(bed.disk()).unwrap();
    assert_eq!(continuity, Continuity::Empty);
    assert_eq!(store.synced_marks(), []);
    assert!(!Mark::default().covers(&told[0].1));
}

#[tokio::test]
async fn a_missing_store_beside_its_marks_is_a_loss() {
    let bed = RealBed::new();
    worked(&bed).await;
    fs::remove_dir_all(bed.path().join("store")).unwrap();
    assert_eq!(lost(verdict(&bed).await).len(), 2);
    // What was lost is named even where the store does not know it any more, and dropping it ends the doubt.
    let copy = RealBed::new();
    copy_folder(&bed.path(), &copy.path()).expect("nobody has it open");
    let (store, _) = Store::open(copy.disk()).unwrap();
    assert_eq!(store.replica(SHARD).incarnation(), Some(1));
    store.drop_all_replicas().await.unwrap();
    store.close().await;
    let store = reopen(&copy);
    assert_eq!(store.replica(SHARD).incarnation(), Some(1));
    store.replica(SHARD).create(2).await.unwrap();
    // Set aside, the folder is empty and a node can be re-seeded into it.
    let aside = bed.disk().set_aside().unwrap();
    assert!(Path::new(&aside).join("marks").exists());
    assert_eq!(verdict(&bed).await, Ok(Continuity::Empty));
}

#[tokio::test]
async fn missing_or_unreadable_marks_are_a_loss() {
    let bed = RealBed::new();
    worked(&bed).await;
    let marks = bed.path().join("marks");
    let whole = fs::read(&marks).unwrap();
    // One page of a pair may be torn by a crash.
    for page in 0..whole.len() / 4096 {
        let mut torn = whole.clone();
        torn[page * 4096..][..4096].fill(0xff);
        fs::write(&marks, torn).unwrap();
        let copy = RealBed::new();
        copy_folder(&bed.path(), &copy.path()).expect("nobody has it open");
        assert_eq!(verdict(&copy).await, Ok(Continuity::Whole), "page {page}");
    }
    for damaged in [vec![0xff; whole.len()], vec![0; whole.len()], whole[..100].to_vec(), Vec::new()] {
        fs::write(&marks, &damaged).unwrap();
        assert_eq!(lost(verdict(&bed).await), ["the file of high-water marks is missing or unreadable"]);
    }
    fs::remove_file(&marks).unwrap();
    lost(verdict(&bed).await);
    // Both pages of the shards, not of the openings.
    let mut shards_gone = whole.clone();
    shards_gone[2 * 4096..].fill(0xff);
    fs::write(&marks, shards_gone).unwrap();
    assert!(lost(verdict(&bed).await)[0].starts_with("shard 3: no readable mark"));
    fs::write(&marks, whole).unwrap();
    assert_eq!(verdict(&bed).await, Ok(Continuity::Whole));
}

#[tokio::test]
async fn a_view_keeps_the_folder() {
    let bed = RealBed::new();
    let (store, replica) = begin(&bed).await;
    replica.checkpoint(checkpoint(id(1, 1), &[("a", "1".into())])).await.unwrap();
    let mut view = replica.view().await.unwrap();
    store.close().await;
    assert_eq!(verdict(&bed).await, Err(OpenError::Busy));
    assert_eq!(view.next_chunk(1).await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn missing_files_of_rocksdb_refuse_the_store() {
    let bed = RealBed::new();
    worked(&bed).await;
    let store = reopen(&bed);
    store.replica(SHARD).checkpoint(checkpoint(id(1, 50), &[])).await.unwrap();
    store.close().await;
    let files = fs::read_dir(bed.path().join("store")).unwrap().map(|file| file.unwrap().file_name());
    for name in files.map(|name| name.into_string().unwrap()) {
        let needed = name == "CURRENT" || name.starts_with("MANIFEST") || name.ends_with(".sst");
        if !needed {
            continue;
        }
        let copy = RealBed::new();
        copy_folder(&bed.path(), &copy.path()).expect("nobody has it open");
        fs::remove_file(copy.path().join("store").join(&name)).unwrap();
        let said = verdict(&copy).await;
        assert!(matches!(said, Err(OpenError::Damaged(_))), "without {name}: {said:?}");
        copy.disk().set_aside().unwrap();
        assert_eq!(verdict(&copy).await, Ok(Continuity::Empty));
    }
}
