//! How many bytes of a shard's log lie behind an entry, about: what is kept for those who lag is bounded in bytes, too.

use std::collections::VecDeque;

/// It is known every so many bytes.
const STEP: u64 = 64 << 10;

/// Bytes appended since the log was opened. What was on disk before counts as nothing.
#[derive(Default)]
pub struct Sizes {
    total: u64,
    /// Some indexes, and what had been appended with that entry.
    marks: VecDeque<(u64, u64)>,
}

impl Sizes {
    /// An entry was appended.
    pub fn add(&mut self, index: u64, bytes: usize) {
        self.total += bytes as u64;
        if self.marks.back().is_none_or(|(_, then)| self.total - then >= STEP) {
            self.marks.push_back((index, self.total));
        }
    }

    /// Entries from that index on were removed. Others will come in their place.
    pub fn truncate(&mut self, from: u64) {
        self.marks.truncate(self.marks.partition_point(|(index, _)| *index < from));
        // Less than a step too few.
        self.total = self.marks.back().map_or(0, |(_, then)| *then);
    }

    /// Entries up to that index were removed.
    pub fn purge(&mut self, upto: u64) {
        self.marks.drain(..self.marks.partition_point(|(index, _)| *index <= upto));
    }

    /// The newest entry known to have at least `bytes` behind it.
    pub fn before(&self, bytes: u64) -> Option<u64> {
        let enough = self.marks.partition_point(|(_, then)| self.total - then >= bytes);
        self.marks.get(enough.checked_sub(1)?).map(|(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entry_with_so_much_behind_it_is_known_to_a_step() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.before(0), None);
        (1..=40).for_each(|index| sizes.add(index, 32 << 10));
        // Of 1, 3, 5 ... is known what lies behind.
        assert_eq!(sizes.before(0), Some(39));
        assert_eq!(sizes.before(256 << 10), Some(31), "eight entries and one");
        assert_eq!(sizes.before(100 << 20), None);
        sizes.purge(31);
        assert_eq!((sizes.before(256 << 10), sizes.before(192 << 10)), (None, Some(33)));
        sizes.truncate(35);
        assert_eq!((sizes.before(0), sizes.before(1)), (Some(33), None), "what was removed lies behind nothing");
        sizes.add(35, 32 << 10);
        sizes.add(36, 32 << 10);
        assert_eq!(sizes.before(64 << 10), Some(33));
    }
}
