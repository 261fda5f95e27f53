//! A replica's state as of its last checkpoint, held still: what a snapshot for a lagging replica is read from. May be
//! held for minutes and read from another task; writes go on meanwhile.

use super::{
    engine::{Engine, Family, Records, View},
    error::StoreError,
    format::decode_record,
    inner::Inner,
    keys::{self, KeyRange, ShardTag},
    records::CheckpointRecord,
    replica::{Replica, Restored},
};
use bytes::Bytes;
use earmark_ledger::types::ShardId;
use std::sync::Arc;

/// A replica's state at one moment.
pub struct StateView {
    inner: Arc<Inner>,
    shard: ShardId,
    view: Box<dyn View>,
    restored: Restored,
    rest: KeyRange,
}

impl StateView {
    pub(super) async fn open(engine: &dyn Engine, inner: Arc<Inner>, replica: &Replica) -> Result<Self, StoreError> {
        let journal_floor = replica.lock().live.journal_floor;
        let mut view = engine.view().await?;
        let restored = match view.get(Family::Meta, replica.key(ShardTag::Checkpoint)).await? {
            Some(value) => {
                let place = format_args!("Checkpoint of shard {}", replica.shard.0).to_string();
                Restored::from_record(decode_record::<CheckpointRecord>(&value, place)?)?
            }
            None => Restored::default(),
        };
        let generation = restored.generation;
        let rest = keys::generations(replica.shard, generation, generation.checked_add(1));
        Ok(Self { inner, shard: replica.shard, view, restored: Restored { journal_floor, ..restored }, rest })
    }

    /// Position, membership and epoch of the state.
    pub fn restored(&self) -> &Restored {
        &self.restored
    }

    /// The next records in order of keys, about `bytes` of them and at least one; nothing at the end.
    ///
    /// # Errors
    /// As the read fails.
    pub async fn next_chunk(&mut self, bytes: usize) -> Result<Option<Records>, StoreError> {
        let read = self.view.chunk(Family::State, self.rest.clone(), bytes).await;
        let records = self.inner.check(read)?;
        let Some((last, _)) = records.last() else { return Ok(None) };
        // The next key in order is the last one with a zero behind it.
        self.rest.start = [last, &[0][..]].concat();
        let inner_keys = records.into_iter().map(|(key, value)| (key.slice_ref(keys::state_key(&key)), value));
        Ok(Some(inner_keys.collect()))
    }

    /// One record by its key.
    ///
    /// # Errors
    /// As the read fails.
    pub async fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let read = self.view.get(Family::State, keys::state(self.shard, self.restored.generation, key)).await;
        self.inner.check(read)
    }
}
