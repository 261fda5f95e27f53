//! What one entry changed, as one block of bytes: the journal is a chain of them, and the feed, the audit and the
//! history are read from it.
//!
//! ```text
//! version (1) | hash of the previous block (16) | length of the head (4) | head | count (4) | offsets (4 each)
//!             | movements | crc32c of all before (4)
//! ```
//!
//! Numbers are little-endian, the hash big-endian. The head is a protobuf message: shard, epoch, index, time, and two
//! dictionaries (who asked, and which pools), so that a movement is a few numbers. Offset n is where movement n begins,
//! counted from the first movement; so one movement is read without reading the others. The hash of a block is
//! XXH3-128 of all its bytes: each block vouches for all before it.

mod message;
mod writer;

use crate::{
    codec::{
        Corrupt,
        pool::{operation_id, reservation_id},
    },
    command::Context,
    movement::{Delta, Movement, MovementKind, Spot},
    records::read_pool_key,
    types::{Document, Epoch, LogIndex, Owner, Position, Quantity, Reason, ShardId, TimeMs},
};
use bytes::Bytes;
use message::{HeadMsg, MovementMsg};
use prost::Message;
use std::fmt;
pub(crate) use writer::{By, Parts, Posting, Writer};
use xxhash_rust::xxh3::xxh3_128;

const VERSION: u8 = 1;
const HASH_AT: usize = 1;
const HEAD_AT: usize = 1 + 16;

/// Hash of a block; 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BlockHash(pub u128);

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl BlockHash {
    /// The hash of a block's bytes.
    pub fn of(block: &[u8]) -> Self {
        Self(xxh3_128(block))
    }
}

/// A decoded block.
#[derive(Clone, Debug)]
pub struct Block {
    previous: BlockHash,
    hash: BlockHash,
    head: HeadMsg,
    offsets: Vec<u32>,
    movements: Bytes,
}

impl Block {
    /// Reads a block.
    ///
    /// # Errors
    /// [`Corrupt`] if it is none, or a byte of it changed.
    pub fn decode(bytes: &Bytes) -> Result<Self, Corrupt> {
        let bad = |problem: &str| Corrupt::new("journal block", problem);
        let short = || bad("ends too early");
        if bytes.first() != Some(&VERSION) {
            return Err(bad("has a version not known to this build"));
        }
        let crc_at = bytes.len().checked_sub(4).ok_or_else(short)?;
        if number(bytes, crc_at) != Some(crc32c::crc32c(&bytes[..crc_at])) {
            return Err(bad("fails its checksum"));
        }
        let body = bytes.slice(..crc_at);
        let previous: [u8; 16] = body.get(HASH_AT..HEAD_AT).and_then(|hash| hash.try_into().ok()).ok_or_else(short)?;
        let head_len = number(&body, HEAD_AT).ok_or_else(short)?;
        let head_at = HEAD_AT + 4;
        let count_at = add(head_at, head_len).filter(|end| *end <= body.len()).ok_or_else(short)?;
        let head = HeadMsg::decode(body.slice(head_at..count_at)).map_err(|problem| bad(&problem.to_string()))?;
        let count = number(&body, count_at).ok_or_else(short)?;
        let table_at = count_at + 4;
        let table_len = count.checked_mul(4).ok_or_else(short)?;
        let movements_at = add(table_at, table_len).filter(|end| *end <= body.len()).ok_or_else(short)?;
        let offsets = body[table_at..movements_at]
            .chunks_exact(4)
            .map(|offset| u32::from_le_bytes(offset.try_into().expect("chunks of 4")))
            .collect();
        Ok(Self {
            previous: BlockHash(u128::from_be_bytes(previous)),
            hash: BlockHash::of(bytes),
            head,
            offsets,
            movements: body.slice(movements_at..),
        })
    }

    /// Hash of the block before this one; 0 for the first.
    pub fn previous(&self) -> BlockHash {
        self.previous
    }

    /// Hash of this block.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// Position of its first movement.
    pub fn position(&self) -> Position {
        Position {
            shard: ShardId(self.head.shard),
            epoch: Epoch(self.head.epoch),
            index: LogIndex(self.head.index),
            ordinal: 0,
        }
    }

    /// The ledger's clock at this entry.
    pub fn time(&self) -> TimeMs {
        TimeMs(self.head.time)
    }

    /// How many movements it has.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether it has none. A block that `apply` made has at least one.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// All movements, first to last; reversed for a walk back.
    pub fn movements(&self) -> impl DoubleEndedIterator<Item = Result<Movement, Corrupt>> + ExactSizeIterator + '_ {
        (0..self.offsets.len()).map(|at| self.read(at))
    }

    /// One movement by its ordinal, if there is one.
    ///
    /// # Errors
    /// [`Corrupt`] if it can't be read.
    pub fn movement(&self, ordinal: u32) -> Result<Option<Movement>, Corrupt> {
        match usize::try_from(ordinal) {
            Ok(at) if at < self.offsets.len() => self.read(at).map(Some),
            _ => Ok(None),
        }
    }

    fn read(&self, at: usize) -> Result<Movement, Corrupt> {
        let bad = |problem: &dyn fmt::Display| Corrupt::new("movement", problem);
        let whole = self.movements.len();
        let end = self.offsets.get(at + 1).map_or(Some(whole), |end| usize::try_from(*end).ok());
        let start = usize::try_from(self.offsets[at]).ok();
        let bytes = match (start, end) {
            (Some(start), Some(end)) if start <= end && end <= whole => self.movements.slice(start..end),
            _ => return Err(bad(&"offsets out of order")),
        };
        let message = MovementMsg::decode(bytes).map_err(|problem| bad(&problem))?;
        let shard = ShardId(self.head.shard);
        let entry = |list: usize, at: u32| usize::try_from(at).ok().filter(|at| *at < list);
        let pool = entry(self.head.pools.len(), message.pool).ok_or_else(|| bad(&"no such pool in the head"))?;
        let context = match message.context.checked_sub(1) {
            None => Context::default(),
            Some(at) => {
                let at = entry(self.head.contexts.len(), at).ok_or_else(|| bad(&"no such context in the head"))?;
                self.head.contexts[at].context()?
            }
        };
        let reservation = match (message.reservation_high, message.reservation_low) {
            (Some(high), Some(low)) => Some(reservation_id(high, low)?),
            _ => None,
        };
        let kind = u8::try_from(message.kind).ok().and_then(MovementKind::from_tag);
        let ordinal = u32::try_from(at).map_err(|problem| bad(&problem))?;
        Ok(Movement {
            position: Position { ordinal, ..self.position() },
            time: self.time(),
            kind: kind.ok_or_else(|| bad(&"kind not known to this build"))?,
            pool: read_pool_key(self.head.pools[pool].clone())?,
            reservation,
            delta: Delta {
                on_hand: message.on_hand,
                available: message.available,
                held: message.held,
                committed: message.committed,
                unavailable: message.unavailable,
                short: message.short,
                in_transit: message.in_transit,
            },
            sold_short: message.sold_short,
            previous_of_pool: spot(message.pool_epoch, message.pool_index, message.pool_ordinal, shard),
            previous_of_reservation: spot(
                message.reservation_epoch,
                message.reservation_index,
                message.reservation_ordinal,
                shard,
            ),
            context,
            document: Document::new(message.document).map_err(|problem| bad(&problem))?,
            reason: Reason::new(message.reason).map_err(|problem| bad(&problem))?,
            deadline: message.deadline.map(TimeMs),
            owner: Owner::new(message.owner).map_err(|problem| bad(&problem))?,
            transfer: match (message.transfer_high, message.transfer_low) {
                (Some(high), Some(low)) => Some(operation_id(high, low)?),
                _ => None,
            },
            expected: match message.expected {
                Some(units) => Some(Quantity::new(units).ok_or_else(|| bad(&"announces more than 2^53 units"))?),
                None => None,
            },
        })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().expect("four bytes")))
}

fn add(at: usize, len: u32) -> Option<usize> {
    at.checked_add(usize::try_from(len).ok()?)
}

fn spot(epoch: u32, index: Option<u64>, ordinal: u32, shard: ShardId) -> Option<Position> {
    index.map(|index| Spot { epoch, index, ordinal }.at(shard))
}
