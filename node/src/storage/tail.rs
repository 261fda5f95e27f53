//! What is in memory of one shard's log: its ends, and its newest entries. An entry is here from the moment it is
//! appended; it may leave once it can be read back from disk. Knows no disk: pure bookkeeping under the replica's lock.

use super::{
    error::{Refusal, StoreError},
    format::{ENTRY_OVERHEAD, payload_bytes},
    sizes::Sizes,
};
use crate::shard::raft::{Entry, LogId};
use std::{collections::VecDeque, ops::Range};

/// Memory for the newest entries of a shard. Replication and apply nearly always read what is this new; who lags
/// further reads from disk.
const CACHE_BYTES_MAX: usize = 8 << 20;

/// The newest entries and the ends of a log.
#[derive(Default)]
pub struct Tail {
    /// Last log id that was purged or covered by a snapshot.
    purged: Option<LogId>,
    /// Last log id; `purged` if there is no entry.
    last: Option<LogId>,
    entries: VecDeque<Entry>,
    /// Index of the first of `entries`; where the next one goes if there is none.
    first: u64,
    bytes: usize,
    sizes: Sizes,
    /// Entries below this index can be read back from disk.
    written: u64,
    /// The first index whose entry was never written.
    on_disk: u64,
    /// How often the log was truncated. Tells what was written before a truncation from what came after it.
    truncations: u64,
}

/// Where a range is found.
pub struct Found {
    /// This part is on disk only.
    pub disk: Range<u64>,
    /// What follows it.
    pub entries: Vec<Entry>,
}

impl Tail {
    /// A log as it was found on disk.
    pub fn loaded(purged: Option<LogId>, last_entry: Option<LogId>, truncations: u64) -> Self {
        let beyond = |entry: &LogId| purged.is_none_or(|purged| entry.index > purged.index);
        let last = last_entry.filter(beyond).or(purged);
        let first = last.map_or(0, |id| id.index + 1);
        Self { purged, last, first, written: first, on_disk: first, truncations, ..Self::default() }
    }

    /// Last log id that was purged or covered by a snapshot.
    pub fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// Last log id.
    pub fn last(&self) -> Option<LogId> {
        self.last
    }

    /// How often the log was truncated.
    pub fn truncations(&self) -> u64 {
        self.truncations
    }

    /// Adds entries at the end, all or none.
    ///
    /// # Errors
    /// [`Refusal::Hole`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut expected = self.last.map(|id| id.index + 1);
        for entry in entries {
            let found = entry.log_id.index;
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(StoreError::Refused(Refusal::Hole { expected, found }));
            }
            expected = Some(found + 1);
        }
        for entry in entries {
            if self.entries.is_empty() {
                self.first = entry.log_id.index;
            }
            let bytes = size(entry);
            self.bytes += bytes;
            self.sizes.add(entry.log_id.index, bytes);
            self.last = Some(entry.log_id);
            self.entries.push_back(entry.clone());
        }
        Ok(())
    }

    /// Removes what comes after `keep`. Whether anything did.
    pub fn truncate_after(&mut self, keep: Option<LogId>) -> bool {
        let end = keep.map_or(0, |id| id.index + 1);
        if self.last.is_none_or(|last| last.index < end) || self.last == self.purged {
            return false;
        }
        while self.entries.back().is_some_and(|entry| entry.log_id.index >= end) {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, size);
        }
        self.sizes.truncate(end);
        self.last = keep.max(self.purged);
        self.first = self.first.min(end);
        self.written = self.written.min(end);
        self.on_disk = self.on_disk.min(end);
        self.truncations += 1;
        true
    }

    /// Removes entries up to `upto`, included; the log begins after it even if it never got so far.
    pub fn purge(&mut self, upto: LogId) {
        while self.entries.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
            self.bytes -= self.entries.pop_front().as_ref().map_or(0, size);
        }
        self.sizes.purge(upto.index);
        self.first = self.first.max(upto.index + 1);
        self.purged = self.purged.max(Some(upto));
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = self.purged;
            self.written = self.written.max(upto.index + 1);
        }
    }

    /// The first index whose entry was not written to the disk yet, whatever a snapshot covers.
    pub fn on_disk(&self) -> u64 {
        self.on_disk
    }

    /// The newest entry that has at least so many bytes of the log behind it, as far as that is known.
    pub fn before_bytes(&self, bytes: u64) -> Option<u64> {
        self.sizes.before(bytes)
    }

    /// Entries up to `last` are on disk, if no truncation came since they were handed over.
    pub fn wrote(&mut self, last: u64, truncations: u64) {
        if truncations == self.truncations {
            self.written = self.written.max(last + 1);
            self.on_disk = self.on_disk.max(last + 1);
        }
        while self.bytes > CACHE_BYTES_MAX && self.first < self.written {
            self.bytes -= self.entries.pop_front().as_ref().map_or(0, size);
            self.first += 1;
        }
    }

    /// What is there of a range: as much as makes up `bytes`, at least one entry.
    pub fn find(&self, range: Range<u64>, bytes: usize) -> Found {
        let start = range.start.max(self.purged.map_or(0, |id| id.index + 1));
        let end = range.end.min(self.last.map_or(0, |id| id.index + 1));
        let disk = start..end.min(self.first);
        let mut entries = Vec::new();
        let mut taken = 0;
        if disk.is_empty() || bytes == usize::MAX {
            let skip = usize::try_from(start.saturating_sub(self.first)).unwrap_or(usize::MAX);
            let wanted = self.entries.iter().skip(skip).take_while(|entry| entry.log_id.index < end);
            for entry in wanted {
                if taken >= bytes {
                    break;
                }
                taken += size(entry);
                entries.push(entry.clone());
            }
        }
        Found { disk, entries }
    }
}

/// What an entry takes in memory, on disk and on the wire.
pub fn size(entry: &Entry) -> usize {
    payload_bytes(entry) + ENTRY_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::EntryPayload;

    fn entries(term: u64, indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        let payload = || EntryPayload::Normal(crate::shard::raft::Payload(vec![0; 1 << 20].into()));
        indexes.map(|index| Entry { log_id: LogId::new_term_index(term, index), payload: payload() }).collect()
    }

    #[test]
    fn only_what_is_written_leaves_memory() {
        let mut tail = Tail::default();
        tail.append(&entries(1, 1..=20)).unwrap();
        assert!(tail.find(1..21, usize::MAX).disk.is_empty(), "nothing can be read back yet");
        tail.wrote(5, 0);
        assert_eq!(tail.find(1..21, usize::MAX).disk, 1..6);
        tail.wrote(20, 0);
        let found = tail.find(1..21, usize::MAX);
        assert_eq!((found.disk, found.entries.len()), (1..14, 7));
    }

    #[test]
    fn what_was_written_before_a_truncation_says_nothing_of_what_came_after() {
        let mut tail = Tail::default();
        tail.append(&entries(1, 1..=20)).unwrap();
        assert!(tail.truncate_after(Some(LogId::new_term_index(1, 2))));
        tail.append(&entries(2, 3..=20)).unwrap();
        // The first twenty reach the disk only now.
        tail.wrote(20, 0);
        assert!(tail.find(3..21, usize::MAX).disk.is_empty(), "the disk still has other entries there");
        tail.wrote(20, 1);
        assert_eq!(tail.find(3..21, usize::MAX).disk, 3..14);
    }
}
