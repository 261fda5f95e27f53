//! What a store holds when it is opened, and whether that is all it ever promised ([`Continuity`]).

use super::{
    engine::{Engine, Family},
    error::{OpenError, StoreError},
    format::{FORMAT, decode_entry, decode_record},
    keys::{self, MetaKey, NodeTag, ShardTag},
    mark::Mark,
    mark_file::MarkFile,
    records::{
        CheckpointRecord, DamageRecord, IdentityRecord, JournalFloorRecord, LogIdRecord, MarkRecord, NumberRecord,
        VoteRecord,
    },
    replica::{Core, JournalFloor, Replica, Restored},
    store::Identity,
    tail::Tail,
};
use crate::shard::raft::{LogId, Vote};
use bytes::Bytes;
use earmark_ledger::types::ShardId;
use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

/// What the high-water marks say of a store at its opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing was ever here, as far as this folder can tell. Only the peers know whether that is so.
    Empty,
    /// At least as much is here as was synced, as far as this folder can tell.
    Whole,
    /// Something that was synced is gone: no replica of this folder may vote.
    Lost {
        /// What was expected and what was found, one loss each.
        reasons: Vec<String>,
    },
}

/// A store as it was found.
#[derive(Default)]
pub struct Loaded {
    /// How often the folder was opened.
    pub boots: u64,
    /// Which cluster, which node.
    pub identity: Option<Identity>,
    /// Replicas.
    pub replicas: BTreeMap<ShardId, Arc<Replica>>,
    /// What peers said they hold.
    pub peers: BTreeMap<(u32, ShardId), Mark>,
}

/// What the records of one shard say.
#[derive(Default)]
struct Parts {
    incarnation: Option<u32>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    live: Restored,
    floor: JournalFloor,
    truncations: u64,
    damage: Option<Arc<str>>,
}

impl Loaded {
    /// Reads a store's `meta` family, and the last log entry of each shard.
    ///
    /// # Errors
    /// [`OpenError::NewerFormat`], [`OpenError::Damaged`], [`OpenError::Io`].
    pub fn read(engine: &dyn Engine) -> Result<Self, OpenError> {
        check_format(engine)?;
        let mut loaded = Self::default();
        let mut records = Vec::new();
        let everything = Vec::new()..vec![u8::MAX; 6];
        engine.scan(Family::Meta, &everything, &mut |key, value| {
            records.push((key.to_vec(), Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        })?;
        let mut shards: BTreeMap<ShardId, Parts> = BTreeMap::new();
        for (key, value) in &records {
            match MetaKey::parse(key) {
                Some(MetaKey::Shard(shard, tag)) => shards.entry(shard).or_default().take(shard, tag, value)?,
                Some(key) => loaded.take(key, value)?,
                None => {
                    return Err(StoreError::corrupt(format_args!("meta {key:02x?}"), "an unknown key").into());
                }
            }
        }
        for (shard, parts) in shards {
            let last = last_entry(engine, shard)?;
            loaded.replicas.insert(shard, Arc::new(parts.into_replica(shard, last)));
        }
        Ok(loaded)
    }

    fn take(&mut self, key: MetaKey, value: &[u8]) -> Result<(), StoreError> {
        match key {
            MetaKey::Node(NodeTag::Identity) => {
                let record: IdentityRecord = decode_record(value, "identity")?;
                self.identity = Some(Identity::from_record(record)?);
            }
            MetaKey::Node(NodeTag::Boots) => {
                self.boots = decode_record::<NumberRecord>(value, "openings")?.value;
            }
            MetaKey::Peer(node, shard) => {
                let record: MarkRecord = decode_record(value, format_args!("mark of node {node}, shard {}", shard.0))?;
                self.peers.insert((node, shard), Mark::from_record(record).1);
            }
            MetaKey::Node(NodeTag::Format | NodeTag::Peer) | MetaKey::Shard(..) => {}
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.identity.is_none() && self.replicas.is_empty()
    }

    /// Where the store forgot a replica, or which incarnation it was in, the marks say so.
    pub fn remind(&mut self, marks: &BTreeMap<ShardId, Mark>) {
        for (shard, mark) in marks {
            let fresh = || Arc::new(Replica::new(*shard, Core::default()));
            let mut core = self.replicas.entry(*shard).or_insert_with(fresh).lock();
            core.incarnation = core.incarnation.max(Some(mark.incarnation));
            core.synced = core.mark();
        }
    }

    /// Holds what was found against the marks.
    pub fn judge(&self, marks: Option<&MarkFile>) -> Continuity {
        let nothing = MarkFile::default();
        let marks = match marks {
            Some(marks) => marks,
            // Before a replica can promise anything its mark is on stable storage; until then a crash may come between.
            None if self.replicas.values().all(|replica| replica.lock().is_empty()) => &nothing,
            None => {
                let reasons = vec!["the file of high-water marks is missing or unreadable".into()];
                return Continuity::Lost { reasons };
            }
        };
        let mut reasons = Vec::new();
        if self.boots < marks.boots() {
            let (found, expected) = (self.boots, marks.boots());
            reasons.push(format!("the store: expected opening {expected}, found opening {found}"));
        }
        for (shard, expected) in marks.marks() {
            let found = self.replicas.get(shard).map(|replica| replica.lock().mark()).unwrap_or_default();
            if !found.covers(expected) {
                reasons.push(format!("shard {}: expected {expected}; found {found}", shard.0));
            }
        }
        for (shard, replica) in &self.replicas {
            if !replica.lock().is_empty() && !marks.marks().contains_key(shard) {
                reasons.push(format!("shard {}: no readable mark; found {}", shard.0, replica.lock().mark()));
            }
        }
        if !reasons.is_empty() {
            Continuity::Lost { reasons }
        } else if self.is_empty() {
            Continuity::Empty
        } else {
            Continuity::Whole
        }
    }
}

impl Parts {
    fn take(&mut self, shard: ShardId, tag: ShardTag, value: &[u8]) -> Result<(), StoreError> {
        let place = format_args!("{tag:?} of shard {}", shard.0).to_string();
        match tag {
            ShardTag::Incarnation => {
                let value = decode_record::<NumberRecord>(value, &place)?.value;
                let incarnation = u32::try_from(value).map_err(|error| StoreError::corrupt(&place, error))?;
                self.incarnation = Some(incarnation);
            }
            ShardTag::Vote => self.vote = Some(decode_record::<VoteRecord>(value, place)?.into()),
            ShardTag::Committed => self.committed = Some(decode_record::<LogIdRecord>(value, place)?.into()),
            ShardTag::Purged => self.purged = Some(decode_record::<LogIdRecord>(value, place)?.into()),
            ShardTag::Checkpoint => {
                self.live = Restored::from_record(decode_record::<CheckpointRecord>(value, place)?)?;
            }
            ShardTag::JournalFloor => {
                self.floor = JournalFloor::from_record(decode_record::<JournalFloorRecord>(value, place)?);
            }
            ShardTag::Truncations => self.truncations = decode_record::<NumberRecord>(value, place)?.value,
            ShardTag::Damage => self.damage = Some(decode_record::<DamageRecord>(value, place)?.reason.into()),
        }
        Ok(())
    }

    fn into_replica(self, shard: ShardId, last: Option<LogId>) -> Replica {
        let mut core = Core {
            incarnation: self.incarnation,
            vote: self.vote,
            committed: self.committed,
            tail: Tail::loaded(self.purged, last, self.truncations),
            sent_generation: self.live.generation,
            sent_applied: self.live.applied,
            sent_floor: self.floor,
            last_generation: self.live.generation,
            live: Restored { journal_floor: self.floor, ..self.live },
            damage: self.damage,
            ..Core::default()
        };
        core.synced = core.mark();
        Replica::new(shard, core)
    }
}

/// Refuses what a newer program wrote, before anything else of it is read.
fn check_format(engine: &dyn Engine) -> Result<(), OpenError> {
    let Some(value) = engine.get(Family::Meta, &MetaKey::Node(NodeTag::Format).to_bytes())? else { return Ok(()) };
    let found = decode_record::<NumberRecord>(&value, "format version")?.value;
    let found = u32::try_from(found).map_err(|error| OpenError::Damaged(error.to_string()))?;
    if found > FORMAT { Err(OpenError::NewerFormat { found, known: FORMAT }) } else { Ok(()) }
}

/// The last log id of a shard, from the entry itself.
fn last_entry(engine: &dyn Engine, shard: ShardId) -> Result<Option<LogId>, StoreError> {
    let mut last = None;
    engine.scan_back(Family::Log, &keys::shard(shard), &mut |key, value| {
        last = Some((keys::log_index(key), Bytes::copy_from_slice(value)));
        ControlFlow::Break(())
    })?;
    let Some((index, value)) = last else { return Ok(None) };
    let place = format_args!("last log entry of shard {}", shard.0).to_string();
    let entry = decode_entry(&value, &place)?;
    if Some(entry.log_id.index) != index {
        return Err(StoreError::corrupt(place, format_args!("it says index {}", entry.log_id.index)));
    }
    Ok(Some(entry.log_id))
}
