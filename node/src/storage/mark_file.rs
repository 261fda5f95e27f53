//! The file of high-water marks: how often the folder was opened, and a [`Mark`] per shard. It lies beside RocksDB and
//! shares nothing with it, so that it still tells what was there when RocksDB opens without complaint on less.
//!
//! The file is made of pairs of 4 KiB pages. A page holds 64 records of 64 bytes, each with its own checksum and
//! sequence number; the two pages of a pair are written in turn, so a write that is cut off leaves the other page. A
//! record never crosses a sector. Pair 0 holds the number of openings; every further pair holds 64 shards and is added
//! when it is needed, so the file grows with the number of shards and only touched pairs are written.

use super::{
    engine::Engine,
    error::StoreError,
    mark::Mark,
    records::{LogIdRecord, VoteRecord},
};
use crate::shard::raft::{LogId, Vote};
use earmark_ledger::types::ShardId;
use std::collections::{BTreeMap, BTreeSet};

const RECORD: usize = 64;
const PAGE: usize = 4096;
const PER_PAGE: usize = PAGE / RECORD;
const VERSION: u8 = 1;

const HAS_VOTE: u8 = 1;
const VOTE_COMMITTED: u8 = 2;
const HAS_LAST: u8 = 4;
/// The record counts openings instead of describing a shard.
const COUNTS_BOOTS: u8 = 8;

// A record lies within one sector whatever its place, and pages divide evenly.
const _: () = assert!(512_usize.is_multiple_of(RECORD) && PAGE.is_multiple_of(RECORD));

/// The file's content in memory, and what of it is not written yet.
#[derive(Default)]
pub struct MarkFile {
    /// Records by place: place 0 of pair 0 is the number of openings.
    records: Vec<[u8; RECORD]>,
    places: BTreeMap<ShardId, usize>,
    marks: BTreeMap<ShardId, Mark>,
    boots: u64,
    sequence: u64,
    /// Pairs with changes.
    dirty: BTreeSet<usize>,
    /// Which page of each pair is written next.
    turns: Vec<bool>,
    /// Pairs that exist in the file.
    pairs: usize,
}

impl MarkFile {
    /// Reads the file; nothing if there is none, or none of its records is whole.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn read(engine: &dyn Engine) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = engine.read_marks()? else { return Ok(None) };
        let mut file = Self { pairs: bytes.len() / (2 * PAGE), ..Self::default() };
        let mut newest: BTreeMap<usize, (u64, bool)> = BTreeMap::new();
        for (number, page) in bytes.chunks_exact(PAGE).enumerate() {
            for (slot, record) in page.chunks_exact(RECORD).enumerate() {
                let Some(sequence) = sequence_of(record) else { continue };
                let place = number / 2 * PER_PAGE + slot;
                let known = newest.get(&place).is_some_and(|(known, _)| *known >= sequence);
                if !known {
                    newest.insert(place, (sequence, number % 2 == 1));
                    file.keep(place, record);
                }
            }
        }
        file.turns.resize(file.pairs, false);
        for (place, (sequence, second)) in newest {
            file.sequence = file.sequence.max(sequence);
            // The page that holds the newest record of a pair is not the next to be written.
            if sequence == file.newest_of(place / PER_PAGE) {
                file.turns[place / PER_PAGE] = !second;
            }
        }
        Ok((file.boots > 0).then_some(file))
    }

    /// How often the folder was opened.
    pub fn boots(&self) -> u64 {
        self.boots
    }

    /// What is kept for each shard.
    pub fn marks(&self) -> &BTreeMap<ShardId, Mark> {
        &self.marks
    }

    /// Sets the number of openings.
    pub fn set_boots(&mut self, boots: u64) {
        self.boots = boots;
        self.stage(0, |record| {
            record[1] = COUNTS_BOOTS;
            record[28..36].copy_from_slice(&boots.to_be_bytes());
        });
    }

    /// Sets the mark of a shard.
    pub fn set(&mut self, shard: ShardId, mark: Mark) {
        if self.marks.insert(shard, mark) == Some(mark) {
            return;
        }
        let next = self.records.len().max(PER_PAGE);
        let place = *self.places.entry(shard).or_insert(next);
        self.stage(place, |record| write_mark(record, shard, &mark));
    }

    /// Whether something is not written yet.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Writes what changed, without a sync.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write(&mut self, engine: &dyn Engine) -> Result<(), StoreError> {
        for pair in std::mem::take(&mut self.dirty) {
            if pair >= self.pairs {
                self.grow(engine, pair + 1)?;
            }
            let mut page = [0; PAGE];
            let first = pair * PER_PAGE;
            let present = self.records.len().min(first + PER_PAGE);
            for (slot, record) in self.records[first..present].iter().enumerate() {
                page[slot * RECORD..][..RECORD].copy_from_slice(record);
            }
            let number = pair * 2 + usize::from(self.turns[pair]);
            engine.write_marks(offset(number), &page)?;
            self.turns[pair] = !self.turns[pair];
        }
        Ok(())
    }

    /// Brings what changed to stable storage, in both pages: for what is written once and must be found for long.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_both(&mut self, engine: &dyn Engine) -> Result<(), StoreError> {
        let pairs = self.dirty.clone();
        self.write(engine)?;
        engine.sync_marks()?;
        // Not before the first is safe: both could be torn.
        self.dirty = pairs;
        self.write(engine)?;
        engine.sync_marks()
    }

    /// New pairs are filled and synced before they are used, so that no later write has to find room.
    fn grow(&mut self, engine: &dyn Engine, pairs: usize) -> Result<(), StoreError> {
        engine.write_marks(offset(self.pairs * 2), &vec![0; (pairs - self.pairs) * 2 * PAGE])?;
        engine.sync_marks()?;
        self.turns.resize(pairs, false);
        self.pairs = pairs;
        Ok(())
    }

    fn stage(&mut self, place: usize, fill: impl FnOnce(&mut [u8; RECORD])) {
        self.sequence += 1;
        let mut record = [0; RECORD];
        record[0] = VERSION;
        record[12..20].copy_from_slice(&self.sequence.to_be_bytes());
        fill(&mut record);
        let checksum = crc32c::crc32c(&record[..60]);
        record[60..].copy_from_slice(&checksum.to_be_bytes());
        self.place(place, record);
        self.dirty.insert(place / PER_PAGE);
    }

    fn keep(&mut self, place: usize, bytes: &[u8]) {
        let record: [u8; RECORD] = bytes.try_into().expect("a whole record");
        if record[1] & COUNTS_BOOTS != 0 {
            self.boots = number_64(&record, 28);
        } else {
            let (shard, mark) = read_mark(&record);
            self.places.insert(shard, place);
            self.marks.insert(shard, mark);
        }
        self.place(place, record);
    }

    fn place(&mut self, place: usize, record: [u8; RECORD]) {
        if self.records.len() <= place {
            self.records.resize(place + 1, [0; RECORD]);
        }
        self.records[place] = record;
    }

    fn newest_of(&self, pair: usize) -> u64 {
        let first = pair * PER_PAGE;
        let records = self.records.iter().skip(first).take(PER_PAGE);
        records.map(|record| number_64(record, 12)).max().unwrap_or_default()
    }
}

fn offset(page: usize) -> u64 {
    u64::try_from(page * PAGE).expect("a file's size")
}

/// The sequence number of a record that is whole.
fn sequence_of(record: &[u8]) -> Option<u64> {
    let whole = record[0] == VERSION && crc32c::crc32c(&record[..60]).to_be_bytes() == record[60..];
    whole.then(|| number_64(record, 12))
}

/// Version, flags, 2 free; shard, incarnation, sequence, truncations; vote's term and name; last term and index; checksum.
fn write_mark(record: &mut [u8; RECORD], shard: ShardId, mark: &Mark) {
    record[4..8].copy_from_slice(&shard.0.to_be_bytes());
    record[8..12].copy_from_slice(&mark.incarnation.to_be_bytes());
    record[20..28].copy_from_slice(&mark.truncations.to_be_bytes());
    if let Some(vote) = mark.vote.as_ref().map(VoteRecord::from) {
        record[1] |= HAS_VOTE | if vote.committed { VOTE_COMMITTED } else { 0 };
        record[28..36].copy_from_slice(&vote.term.to_be_bytes());
        record[36..44].copy_from_slice(&vote.voted_for.to_be_bytes());
    }
    if let Some(last) = mark.last.as_ref().map(LogIdRecord::from) {
        record[1] |= HAS_LAST;
        record[44..52].copy_from_slice(&last.term.to_be_bytes());
        record[52..60].copy_from_slice(&last.index.to_be_bytes());
    }
}

fn read_mark(record: &[u8; RECORD]) -> (ShardId, Mark) {
    let flags = record[1];
    let vote = VoteRecord {
        term: number_64(record, 28),
        voted_for: number_64(record, 36),
        committed: flags & VOTE_COMMITTED != 0,
    };
    let last = LogId::new_term_index(number_64(record, 44), number_64(record, 52));
    let mark = Mark {
        incarnation: number_32(record, 8),
        truncations: number_64(record, 20),
        vote: (flags & HAS_VOTE != 0).then(|| Vote::from(vote)),
        last: (flags & HAS_LAST != 0).then_some(last),
    };
    (ShardId(number_32(record, 4)), mark)
}

fn number_64(record: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(record[at..at + 8].try_into().expect("within the record"))
}

fn number_32(record: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(record[at..at + 4].try_into().expect("within the record"))
}

#[cfg(test)]
mod tests {
    use super::{super::SimulatedDisk, *};
    use crate::storage::Disk;

    #[test]
    fn the_page_with_the_newest_record_is_not_the_next_to_be_written() {
        let engine = SimulatedDisk::new().open().unwrap();
        let mark = |index| Mark { last: Some(LogId::new_term_index(1, index)), ..Mark::default() };
        let mut file = MarkFile::default();
        file.set_boots(1);
        for index in 1..20 {
            file.set(ShardId(9), mark(index));
            file.write(&*engine).unwrap();
            // As if the node had been started again.
            file = MarkFile::read(&*engine).unwrap().unwrap();
            assert_eq!(file.marks()[&ShardId(9)], mark(index));
            let mut torn = engine.read_marks().unwrap().unwrap();
            let next = (2 + usize::from(file.turns[1])) * PAGE;
            torn[next..][..PAGE].fill(0xff);
            let copy = SimulatedDisk::new().open().unwrap();
            copy.write_marks(0, &torn).unwrap();
            let left = MarkFile::read(&*copy).unwrap().unwrap();
            assert_eq!(left.marks()[&ShardId(9)], mark(index), "what is written next may tear");
        }
    }
}
