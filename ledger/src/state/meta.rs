//! What the meta shard keeps: which shard owns which bucket, and the nodes.

use crate::{
    command::MetaNode,
    types::{BUCKETS, Bucket, ShardId},
};

/// Map and nodes of a formed cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaState {
    /// Names the cluster for ever.
    pub cluster: [u8; 16],
    /// Raised by every change of `ranges`, from 1.
    pub map_version: u64,
    /// In order, covering every bucket once.
    pub ranges: Vec<BucketRange>,
    /// By number.
    pub nodes: Vec<MetaNode>,
}

/// Buckets in a row that one shard owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRange {
    /// The first of them.
    pub first: Bucket,
    /// The last of them.
    pub last: Bucket,
    /// Their owner.
    pub shard: ShardId,
}

impl MetaState {
    /// The owner of a bucket.
    pub fn shard_of(&self, bucket: Bucket) -> Option<ShardId> {
        let at = self.ranges.partition_point(|range| range.last < bucket);
        self.ranges.get(at).filter(|range| range.first <= bucket).map(|range| range.shard)
    }
}

/// Deals all buckets to shards 1..=`shards` in ranges that differ by one bucket at most.
pub(crate) fn equal_ranges(shards: u32) -> Vec<BucketRange> {
    let border = |shard: u32| {
        let bucket = u64::from(shard) * u64::from(BUCKETS) / u64::from(shards);
        u16::try_from(bucket).expect("at most 16,384")
    };
    let bucket = |number: u16| Bucket::new(number).expect("borders lie within all buckets");
    (0..shards)
        .map(|shard| BucketRange {
            first: bucket(border(shard)),
            last: bucket(border(shard + 1) - 1),
            shard: ShardId(shard + 1),
        })
        .collect()
}
