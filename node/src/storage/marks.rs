//! Which marks follow from what the writer takes: as of everything taken, and as of the last sync.

use super::{mark::Mark, mark_file::MarkFile, queue::MarkChange, replica::Replica};
use earmark_ledger::types::ShardId;
use std::{collections::BTreeMap, sync::Arc};

/// What the store will hold, and what it surely holds.
pub struct Marks {
    /// As written, or to be written.
    pub file: MarkFile,
    /// As of everything taken.
    taken: BTreeMap<ShardId, Mark>,
    /// Changed since the last sync.
    touched: BTreeMap<ShardId, Arc<Replica>>,
    /// The opening to count.
    pub boots: Option<u64>,
    /// Fall before the batch is written.
    falling: Vec<(ShardId, Mark)>,
    /// To be brought to stable storage with the batch, not after it.
    pub at_once: bool,
}

impl Marks {
    /// As they were found.
    pub fn new<'a>(file: MarkFile, replicas: impl Iterator<Item = &'a Arc<Replica>>) -> Self {
        let taken = replicas.map(|replica| (replica.shard, replica.lock().synced)).collect();
        Self { file, taken, touched: BTreeMap::new(), boots: None, falling: Vec::new(), at_once: false }
    }

    /// Follows an operation that was taken.
    pub fn take(&mut self, replica: &Arc<Replica>, change: MarkChange) {
        let mark = self.taken.entry(replica.shard).or_default();
        change.apply(mark);
        if matches!(change, MarkChange::Wiped) {
            self.falling.push((replica.shard, *mark));
        }
        self.touched.insert(replica.shard, Arc::clone(replica));
        self.at_once |= change.at_once();
    }

    /// Lowers the marks of what is about to be removed. Whether there were any.
    pub fn fall(&mut self) -> bool {
        let falling = std::mem::take(&mut self.falling);
        for (shard, mark) in &falling {
            self.file.set(*shard, *mark);
        }
        !falling.is_empty()
    }

    /// What was taken is on stable storage.
    pub fn synced(&mut self) {
        for (shard, replica) in std::mem::take(&mut self.touched) {
            let mark = self.taken.get(&shard).copied().unwrap_or_default();
            self.file.set(shard, mark);
            replica.lock().synced = mark;
        }
        if let Some(boots) = self.boots.take() {
            self.file.set_boots(boots);
        }
    }
}
