//! What is in memory of one shard's replica, shared by its handles and the writer. Whoever changes the log or the
//! generation takes the lock, changes it, and sends to the writer before letting go: memory and disk then change in
//! one order. The lock is never held while waiting.

use super::{
    error::StoreError,
    keys::ShardTag,
    mark::Mark,
    records::{CheckpointRecord, JournalFloorRecord, LogIdRecord, StoredMembershipRecord},
    tail::Tail,
};
use crate::shard::raft::{LogId, StoredMembership, Vote};
use earmark_ledger::types::{Epoch, LogIndex, ShardId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One shard's replica.
pub struct Replica {
    /// Which shard.
    pub shard: ShardId,
    core: Mutex<Core>,
    /// Held while a checkpoint is written, or all is removed: records come and go one by one, and a view waits.
    pub whole: Arc<tokio::sync::Mutex<()>>,
}

/// Its state.
#[derive(Default)]
pub struct Core {
    /// Its incarnation, if it was ever created.
    pub incarnation: Option<u32>,
    /// Its vote, synced.
    pub vote: Option<Vote>,
    /// Last log id known to be decided.
    pub committed: Option<LogId>,
    /// Its log.
    pub tail: Tail,
    /// The last checkpoint on disk.
    pub live: Restored,
    /// The generation that will be live once everything sent is written.
    pub sent_generation: u32,
    /// The checkpoint that will stand once everything sent is written.
    pub sent_applied: Option<LogId>,
    /// The journal's floor once everything sent is written.
    pub sent_floor: JournalFloor,
    /// Bytes of journal blocks written since the opening.
    pub journal_added: u64,
    /// The generation a snapshot is being written into.
    pub installing: Option<u32>,
    /// The last generation that was ever begun.
    pub last_generation: u32,
    /// What is on stable storage.
    pub synced: Mark,
    /// Why its records are not to be trusted, once that is known. Only a wipe takes it away.
    pub damage: Option<Arc<str>>,
}

/// What a replica finds of its ledger at start: the last checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Which generation of `state` is live.
    pub generation: u32,
    /// Up to where the log is in it.
    pub applied: Option<LogId>,
    /// The membership in force there.
    pub membership: StoredMembership,
    /// The shard's epoch.
    pub epoch: Epoch,
    /// From where on the journal is whole.
    pub journal_floor: JournalFloor,
    /// Whether there was a checkpoint at all.
    pub has_state: bool,
}

/// From where on a replica's journal is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalFloor {
    /// In this epoch
    pub epoch: Epoch,
    /// from this entry on, and in every later epoch.
    pub index: LogIndex,
}

impl JournalFloor {
    /// As it is written.
    pub fn to_record(self) -> JournalFloorRecord {
        JournalFloorRecord { epoch: self.epoch.0, index: self.index.0 }
    }

    /// Back from a record.
    pub fn from_record(record: JournalFloorRecord) -> Self {
        Self { epoch: Epoch(record.epoch), index: LogIndex(record.index) }
    }
}

impl Restored {
    /// As it is written.
    pub fn to_record(&self) -> CheckpointRecord {
        CheckpointRecord {
            generation: self.generation,
            applied: self.applied.as_ref().map(LogIdRecord::from),
            membership: Some(StoredMembershipRecord::from(&self.membership)),
            epoch: self.epoch.0,
        }
    }

    /// Back from a record; the journal's floor has one of its own.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the membership contradicts itself.
    pub fn from_record(record: CheckpointRecord) -> Result<Self, StoreError> {
        Ok(Self {
            generation: record.generation,
            applied: record.applied.map(LogId::from),
            membership: record.membership.unwrap_or_default().try_into()?,
            epoch: Epoch(record.epoch),
            journal_floor: JournalFloor::default(),
            has_state: true,
        })
    }
}

impl Replica {
    /// A replica as it was found on disk.
    pub fn new(shard: ShardId, core: Core) -> Self {
        Self { shard, core: Mutex::new(core), whole: Arc::default() }
    }

    /// Its state. Nothing panics while holding the lock, so a poisoned one is whole.
    pub fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Key of one of its records.
    pub fn key(&self, tag: ShardTag) -> Vec<u8> {
        super::keys::MetaKey::Shard(self.shard, tag).to_bytes()
    }
}

impl Core {
    /// What it holds, taking all that is in memory for synced: true right after it was loaded.
    pub fn mark(&self) -> Mark {
        Mark {
            incarnation: self.incarnation.unwrap_or_default(),
            truncations: self.tail.truncations(),
            vote: self.vote,
            last: self.tail.last(),
        }
    }

    /// Whether it holds anything beside its incarnation.
    pub fn is_empty(&self) -> bool {
        self.vote.is_none() && self.tail.last().is_none() && !self.live.has_state && self.damage.is_none()
    }

    /// Forgets everything but the incarnation and the numbers that must not be used again.
    pub fn wipe(&mut self) {
        *self = Self {
            incarnation: self.incarnation,
            last_generation: self.last_generation,
            synced: self.synced,
            ..Self::default()
        };
    }
}
