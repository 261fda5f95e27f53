//! What can become of a simulated disk while nobody looks: power losses, bits that turn over, older copies that are put
//! back. And what a store that is opened on it afterwards would find, so that whoever plants damage knows whether the
//! marks can tell of it.

use super::{
    super::{
        engine::{Batch, Disk, Family},
        error::OpenError,
        load::{Continuity, Loaded},
        mark::Mark,
        mark_file::MarkFile,
    },
    Content, Families, Image, SimulatedDisk,
};
use bytes::Bytes;
use earmark_ledger::types::ShardId;
use std::{collections::BTreeMap, sync::Arc};

/// What a power loss leaves of what was not synced. A batch is there or not at all, as RocksDB's checksummed records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerLoss {
    /// So many of the oldest un-synced batches: the torn tail of the log.
    pub batches: usize,
    /// The marks as written, not as synced.
    pub marks: bool,
    /// Of what was written last into the marks only the first half is there.
    pub torn: bool,
}

/// What a store would find if it were opened now.
#[derive(Clone, Debug)]
pub struct Found {
    /// What its own marks would say.
    pub continuity: Continuity,
    /// What it would hold of each shard.
    pub marks: BTreeMap<ShardId, Mark>,
}

impl SimulatedDisk {
    /// The machine loses power: what uses the disk fails from now on, and what was not synced is gone but for `left`.
    pub fn power_loss(&self, left: PowerLoss) {
        let mut state = self.state();
        state.end_session();
        let kept: Vec<Batch> = state.unsynced.drain(..).take(left.batches).collect();
        for batch in &kept {
            state.content.synced.apply(batch);
        }
        state.content.current = state.content.synced.clone();
        let torn = state.marks_written.take().filter(|_| left.torn);
        let Content { marks, marks_synced, .. } = &mut state.content;
        if let (Some(written), Some(place)) = (&*marks, torn) {
            let half = place.start + place.len() / 2;
            let synced = marks_synced.get_or_insert_default();
            if synced.len() < half {
                synced.resize(half, 0);
            }
            synced[place.start..half].copy_from_slice(&written[place.start..half]);
        } else if left.marks {
            *marks_synced = marks.clone();
        }
        *marks = marks_synced.clone();
    }

    /// Puts an older copy back: the whole, or only what RocksDB would hold, beside the present marks.
    pub fn put_back(&self, image: &Image, marks_too: bool) {
        let mut state = self.state();
        state.end_session();
        state.unsynced.clear();
        let old = image.0.clone();
        (state.content.synced, state.content.current) = (old.current.clone(), old.current);
        if marks_too {
            (state.content.marks_synced, state.content.marks) = (old.marks.clone(), old.marks);
        }
    }

    /// Turns a bit of a value over, unnoticed by the disk itself. Whether there is such a bit.
    pub fn flip_bit(&self, family: Family, key: &[u8], bit: usize) -> bool {
        let mut state = self.state();
        let Content { current, synced, .. } = &mut state.content;
        let flipped = [current, synced].map(|families| families.flip_bit(family, key, bit));
        flipped[0]
    }

    /// Turns a bit of the marks over. Whether there is such a bit.
    pub fn flip_mark_bit(&self, bit: usize) -> bool {
        let mut state = self.state();
        let Content { marks, marks_synced, .. } = &mut state.content;
        let flipped = [marks, marks_synced].map(|marks| {
            let byte = marks.as_mut().and_then(|marks| marks.get_mut(bit / 8));
            byte.map(|byte| *byte ^= 1 << (bit % 8)).is_some()
        });
        flipped[0]
    }

    /// Lets every read of a key fail its checksum, as RocksDB's blocks do, until it is written anew or removed.
    pub fn damage(&self, family: Family, key: &[u8]) {
        let mut state = self.state();
        let Content { current, synced, .. } = &mut state.content;
        for families in [current, synced] {
            families.damaged.insert((family, key.to_vec()));
        }
    }

    /// How many keys fail their checksum.
    pub fn damaged(&self) -> usize {
        self.state().content.current.damaged.len()
    }

    /// Whether marks were written and not synced.
    pub fn has_unsynced_marks(&self) -> bool {
        self.state().marks_written.is_some()
    }

    /// How often what it held was set aside.
    pub fn set_asides(&self) -> usize {
        self.state().aside.len()
    }

    /// What a store would find if it were opened now, without opening one.
    ///
    /// # Errors
    /// As the opening would fail.
    pub fn found(&self) -> Result<Found, OpenError> {
        let copy = Self::default();
        copy.state().content = self.state().content.clone();
        let engine = copy.open()?;
        let loaded = Loaded::read(&*engine)?;
        let continuity = loaded.judge(MarkFile::read(&*engine)?.as_ref());
        let marks = loaded.replicas.iter().map(|(shard, replica)| (*shard, replica.lock().mark())).collect();
        Ok(Found { continuity, marks })
    }
}

impl Families {
    fn flip_bit(&mut self, family: Family, key: &[u8], bit: usize) -> bool {
        let records = Arc::make_mut(&mut self.records[super::place(family)]);
        let Some(value) = records.get_mut(key).filter(|value| bit / 8 < value.len()) else { return false };
        let mut bytes = value.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        *value = Bytes::from(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn damage_lasts_until_its_place_is_written_anew() {
        let disk = SimulatedDisk::new();
        let engine = disk.open().unwrap();
        let mut batch = Batch::default();
        batch.put(Family::State, b"a", b"1");
        batch.put(Family::State, b"b", b"2");
        engine.write(&batch, true).await.unwrap();
        let mut view = engine.view().await.unwrap();
        disk.damage(Family::State, b"a");
        disk.damage(Family::State, b"b");
        assert!(engine.get(Family::State, b"a").is_err() && disk.damaged() == 2);
        assert!(view.get(Family::State, b"a".to_vec()).await.is_ok(), "what was read before is in memory");
        batch.clear();
        batch.put(Family::State, b"a", b"3");
        batch.delete_range(Family::State, &(b"b".to_vec()..b"c".to_vec()));
        engine.write(&batch, false).await.unwrap();
        assert_eq!(engine.get(Family::State, b"a").unwrap().as_deref(), Some(&b"3"[..]));
        assert_eq!((engine.get(Family::State, b"b").unwrap(), disk.damaged()), (None, 0));
        // What mended it was not synced.
        disk.power_loss(PowerLoss::default());
        assert!(disk.open().unwrap().get(Family::State, b"a").is_err() && disk.damaged() == 2);
    }

    #[test]
    fn half_of_what_was_written_last_into_the_marks_is_left() {
        let disk = SimulatedDisk::new();
        let engine = disk.open().unwrap();
        engine.write_marks(0, &[1; 8]).unwrap();
        engine.sync_marks().unwrap();
        engine.write_marks(4, &[2; 8]).unwrap();
        disk.power_loss(PowerLoss { torn: true, ..PowerLoss::default() });
        let marks = disk.open().unwrap().read_marks().unwrap().unwrap();
        assert_eq!(marks, [1, 1, 1, 1, 2, 2, 2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_store_would_find_is_known_without_one() {
        use crate::storage::Store;
        let disk = SimulatedDisk::new();
        let empty = disk.image();
        assert_eq!(disk.found().unwrap().continuity, Continuity::Empty);
        let (store, _) = Store::open(Arc::new(disk.clone())).unwrap();
        store.replica(ShardId(3)).create(1).await.unwrap();
        store.close().await;
        let found = disk.found().unwrap();
        assert_eq!((found.continuity, found.marks[&ShardId(3)].incarnation), (Continuity::Whole, 1));
        disk.put_back(&empty, false);
        assert!(matches!(disk.found().unwrap().continuity, Continuity::Lost { .. }));
        disk.put_back(&empty, true);
        assert_eq!(disk.found().unwrap().continuity, Continuity::Empty);
    }
}
