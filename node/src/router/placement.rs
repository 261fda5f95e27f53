//! Which shard owns which bucket: the versioned map of the meta shard, ready to be asked.

use earmark_ledger::{
    MetaState,
    types::{Bucket, ShardId},
};

/// A bucket map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Grows with every change.
    pub version: u64,
    /// Last bucket of a range and the shard it belongs to, in order, covering every bucket.
    ranges: Vec<(u16, ShardId)>,
}

impl Placement {
    /// The map as the meta shard has it.
    pub fn of(meta: &MetaState) -> Self {
        let ranges = meta.ranges.iter().map(|range| (range.last.number(), range.shard)).collect();
        Self { version: meta.map_version, ranges }
    }

    /// Whether there is no map yet.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The shard of a bucket. None only before there is a map.
    pub fn shard(&self, bucket: Bucket) -> Option<ShardId> {
        let place = self.ranges.partition_point(|(last, _)| *last < bucket.number());
        self.ranges.get(place).map(|(_, shard)| *shard)
    }

    /// (first bucket, last bucket, shard), in order.
    pub fn ranges(&self) -> impl Iterator<Item = (u16, u16, ShardId)> + '_ {
        let firsts = std::iter::once(0).chain(self.ranges.iter().map(|(last, _)| last + 1));
        firsts.zip(&self.ranges).map(|(first, (last, shard))| (first, *last, *shard))
    }
}
