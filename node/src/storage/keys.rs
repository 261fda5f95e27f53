//! Every key on disk. All integers are big-endian, so that keys sort as numbers do. Tags are permanent: one that is no
//! longer written is never used again. `docs/storage.md` shows the same byte by byte.
//!
//! | family | key | value | lives |
//! |---|---|---|---|
//! | log | shard, index | entry frame | until purged, truncated or covered by a snapshot |
//! | meta | shard, tag | record | as long as the replica; the incarnation for ever |
//! | meta | `ffffffff`, tag (, node, shard) | record | as long as the folder |
//! | state | shard, generation, key of the ledger | value of the ledger | until deleted, or until another generation is live |
//! | journal | shard, epoch, index | block of the ledger | until below the journal floor |

use earmark_ledger::{
    KEY_ROOM,
    types::{Epoch, LogIndex, ShardId},
};
use std::ops::Range;

/// In the place of a shard: what belongs to the node. No shard ever has this number.
const NODE: u32 = u32::MAX;

/// Length of a journal key.
pub const JOURNAL_KEY_BYTES: usize = 16;

/// A range of keys, its end excluded.
pub type KeyRange = Range<Vec<u8>>;

/// What a `meta` record of a shard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ShardTag {
    /// Incarnation of the replica.
    Incarnation = 1,
    /// Vote.
    Vote = 2,
    /// Last log id known to be decided.
    Committed = 3,
    /// Last log id that was purged.
    Purged = 4,
    /// Last checkpoint: applied id, membership, epoch, live generation.
    Checkpoint = 5,
    /// How often the log was truncated.
    Truncations = 6,
    /// From where on the journal is whole.
    JournalFloor = 7,
    /// Why the replica must not be opened again.
    Damage = 8,
}

impl ShardTag {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Incarnation,
            2 => Self::Vote,
            3 => Self::Committed,
            4 => Self::Purged,
            5 => Self::Checkpoint,
            6 => Self::Truncations,
            7 => Self::JournalFloor,
            8 => Self::Damage,
            _ => return None,
        })
    }
}

/// What a `meta` record of the node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeTag {
    /// Format version of the whole folder.
    Format = 1,
    /// Which cluster, which node.
    Identity = 2,
    /// How often the folder was opened.
    Boots = 3,
    /// What a peer said it holds of a shard.
    Peer = 4,
}

/// A key of the `meta` family, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    /// Of a shard.
    Shard(ShardId, ShardTag),
    /// Of the node.
    Node(NodeTag),
    /// What that node said about that shard.
    Peer(u32, ShardId),
}

impl MetaKey {
    /// As it stands on disk.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Shard(shard, tag) => join(&[&shard.0.to_be_bytes(), &[tag as u8]]),
            Self::Node(tag) => join(&[&NODE.to_be_bytes(), &[tag as u8]]),
            Self::Peer(node, shard) => {
                join(&[&NODE.to_be_bytes(), &[NodeTag::Peer as u8], &node.to_be_bytes(), &shard.0.to_be_bytes()])
            }
        }
    }

    /// Takes a key apart; nothing if it is none that this version knows.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let (first, rest) = key.split_first_chunk::<4>()?;
        let (tag, rest) = rest.split_first()?;
        let first = u32::from_be_bytes(*first);
        if first != NODE {
            return rest.is_empty().then_some(Self::Shard(ShardId(first), ShardTag::of(*tag)?));
        }
        match (*tag, rest.len()) {
            (1, 0) => Some(Self::Node(NodeTag::Format)),
            (2, 0) => Some(Self::Node(NodeTag::Identity)),
            (3, 0) => Some(Self::Node(NodeTag::Boots)),
            (4, 8) => {
                let (node, shard) = rest.split_at(4);
                Some(Self::Peer(number_32(node)?, ShardId(number_32(shard)?)))
            }
            _ => None,
        }
    }
}

/// Key of a log entry.
pub fn log(shard: ShardId, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&shard.0.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Index in a log key.
pub fn log_index(key: &[u8]) -> Option<u64> {
    key.get(4..12)?.try_into().ok().map(u64::from_be_bytes)
}

/// All log entries of a shard from `start` up to `end`, excluded.
pub fn log_range(shard: ShardId, start: u64, end: u64) -> KeyRange {
    log(shard, start).to_vec()..log(shard, end).to_vec()
}

/// All log entries of a shard from `start`.
pub fn log_from(shard: ShardId, start: u64) -> KeyRange {
    log(shard, start).to_vec()..after_shard(shard)
}

/// Key of a state record.
pub fn state(shard: ShardId, generation: u32, key: &[u8]) -> Vec<u8> {
    join(&[&state_start(shard, generation), key])
}

/// What all state records of a generation begin with.
pub fn state_start(shard: ShardId, generation: u32) -> [u8; KEY_ROOM] {
    let mut start = [0; KEY_ROOM];
    start[..4].copy_from_slice(&shard.0.to_be_bytes());
    start[4..].copy_from_slice(&generation.to_be_bytes());
    start
}

/// The ledger's part of a state key.
pub fn state_key(key: &[u8]) -> &[u8] {
    key.get(KEY_ROOM..).unwrap_or_default()
}

/// All state records of the generations from `start` up to `end`, excluded.
pub fn generations(shard: ShardId, start: u32, end: Option<u32>) -> KeyRange {
    let end = end.map_or_else(|| after_shard(shard), |end| state(shard, end, &[]));
    state(shard, start, &[])..end
}

/// The state records of one generation from the ledger's key `start` up to `end`, excluded; empty for no end.
pub fn state_range(shard: ShardId, generation: u32, start: &[u8], end: &[u8]) -> KeyRange {
    let end = if end.is_empty() {
        generations(shard, generation, generation.checked_add(1)).end
    } else {
        state(shard, generation, end)
    };
    state(shard, generation, start)..end
}

/// Key of a journal block.
pub fn journal(shard: ShardId, epoch: Epoch, index: LogIndex) -> [u8; JOURNAL_KEY_BYTES] {
    let mut key = [0; JOURNAL_KEY_BYTES];
    key[..4].copy_from_slice(&shard.0.to_be_bytes());
    key[4..8].copy_from_slice(&epoch.0.to_be_bytes());
    key[8..].copy_from_slice(&index.0.to_be_bytes());
    key
}

/// Epoch in a journal key.
pub fn journal_epoch(key: &[u8]) -> Option<Epoch> {
    key.get(4..8).and_then(number_32).map(Epoch)
}

/// Index in a journal key.
pub fn journal_index(key: &[u8]) -> Option<LogIndex> {
    key.get(8..16)?.try_into().ok().map(|bytes| LogIndex(u64::from_be_bytes(bytes)))
}

/// All journal blocks of one epoch from an index.
pub fn journal_from(shard: ShardId, epoch: Epoch, start: LogIndex) -> KeyRange {
    let end = match epoch.0.checked_add(1) {
        Some(next) => journal(shard, Epoch(next), LogIndex(0)).to_vec(),
        None => after_shard(shard),
    };
    journal(shard, epoch, start).to_vec()..end
}

/// All journal blocks of a shard below a place.
pub fn journal_below(shard: ShardId, epoch: Epoch, end: LogIndex) -> KeyRange {
    shard.0.to_be_bytes().to_vec()..journal(shard, epoch, end).to_vec()
}

/// Everything of a shard, in any family.
pub fn shard(shard: ShardId) -> KeyRange {
    shard.0.to_be_bytes().to_vec()..after_shard(shard)
}

fn after_shard(shard: ShardId) -> Vec<u8> {
    // The node's own number is the greatest: every shard has one after it.
    shard.0.saturating_add(1).to_be_bytes().to_vec()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn number_32(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}
