//! RocksDB's write-ahead log, as far as a test must read it to damage it at a place that matters.
//!
//! The file is made of blocks of 32 KiB; a record is split into fragments that never cross one. A fragment has a head
//! of 7 bytes (checksum, length, type), or 11 where log files are used again.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

const BLOCK: usize = 32 << 10;
const HEAD: usize = 7;
/// Head of a batch of changes: sequence number and count.
const BATCH_HEAD: usize = 12;

/// One record: a batch of changes.
pub struct Record {
    /// Where its fragments lie, heads included.
    pub place: Range<usize>,
    payload: Vec<u8>,
}

/// The write-ahead logs of a store, oldest first.
pub fn files(store: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(store).expect("a store").map(|file| file.expect("a file").path());
    let mut logs: Vec<_> = all.filter(|file| file.extension().is_some_and(|end| end == "log")).collect();
    logs.sort();
    logs
}

/// The newest log that has records. It may be longer than they are: zeros follow.
pub fn newest(store: &Path) -> PathBuf {
    let written = |file: &PathBuf| !records(&fs::read(file).expect("a file")).is_empty();
    files(store).into_iter().rfind(written).expect("something is logged")
}

/// All whole records.
pub fn records(log: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let (mut at, mut open) = (0, None::<Record>);
    while at + HEAD <= log.len() {
        let left = BLOCK - at % BLOCK;
        if left < HEAD {
            at += left;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
        let kind = log[at + 6];
        let (kind, head) = if (5..=8).contains(&kind) { (kind - 4, HEAD + 4) } else { (kind, HEAD) };
        let end = at + head + length;
        if kind == 0 && length == 0 || end > log.len() {
            break;
        }
        let body = &log[at + head..end];
        match kind {
            1 | 2 => open = Some(Record { place: at..end, payload: body.to_vec() }),
            3 | 4 => {
                let record = open.as_mut().expect("a fragment follows its first");
                record.place.end = end;
                record.payload.extend_from_slice(body);
            }
            // What RocksDB tells itself.
            _ => {}
        }
        if kind == 1 || kind == 4 {
            records.extend(open.take());
        }
        at = end;
    }
    records
}

impl Record {
    /// Whether it brings an entry of a shard's log: a key of shard and index, and a frame that says the same index.
    pub fn has_log_entry(&self) -> bool {
        let mut rest = self.payload.get(BATCH_HEAD..).unwrap_or_default();
        while let Some((tag, after)) = rest.split_first() {
            rest = after;
            if matches!(tag, 0x04 | 0x05 | 0x0e) {
                number(&mut rest);
            }
            match tag {
                0x00 | 0x04 => drop(text(&mut rest)),
                0x01 | 0x05 | 0x0e | 0x0f => {
                    let (key, value) = (text(&mut rest), text(&mut rest));
                    if *tag == 0x05 && key.len() == 12 && value.get(10..18) == Some(&key[4..12]) {
                        return true;
                    }
                }
                other => panic!("a change of unknown kind {other:#x}"),
            }
        }
        false
    }
}

/// A number of 7 bits a byte, lowest first.
fn number(rest: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, after)) = rest.split_first() {
        *rest = after;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    number
}

/// A length and so many bytes.
fn text<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = number(rest);
    let (text, after) = rest.split_at(length);
    *rest = after;
    text
}
