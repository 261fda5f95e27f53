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

use crate::{
    codec::Corrupt,
    command::Context,
    movement::{Delta, Movement, MovementKind, Spot},
    records::read_pool_key,
    state::Pool,
    types::{
        Document, Epoch, LogIndex, OperationId, Owner, Position, Principal, Quantity, Reason, RequestId, ReservationId,
        Session, ShardId, TimeMs, TraceParent,
    },
};
use bytes::Bytes;
use prost::Message;
use std::fmt;
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
            (Some(high), Some(low)) => {
                let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
                Some(ReservationId::from_slice(&bytes).map_err(|problem| bad(&problem))?)
            }
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
                (Some(high), Some(low)) => {
                    let bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
                    Some(OperationId::from_slice(&bytes).map_err(|problem| bad(&problem))?)
                }
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

#[derive(Clone, PartialEq, prost::Message)]
struct HeadMsg {
    #[prost(uint32, tag = "1")]
    shard: u32,
    #[prost(uint32, tag = "2")]
    epoch: u32,
    #[prost(uint64, tag = "3")]
    index: u64,
    #[prost(uint64, tag = "4")]
    time: u64,
    #[prost(message, repeated, tag = "5")]
    contexts: Vec<ContextMsg>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pools: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContextMsg {
    #[prost(bytes = "bytes", tag = "1")]
    principal: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    session: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    request_id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    trace_parent: Bytes,
}

impl ContextMsg {
    fn context(&self) -> Result<Context, Corrupt> {
        Ok(Context {
            principal: Principal::new(self.principal.clone()).map_err(|bad| Corrupt::new("principal", bad))?,
            session: Session::new(self.session.clone()).map_err(|bad| Corrupt::new("session", bad))?,
            request_id: RequestId::new(self.request_id.clone()).map_err(|bad| Corrupt::new("request id", bad))?,
            trace_parent: TraceParent::new(self.trace_parent.clone())
                .map_err(|bad| Corrupt::new("trace parent", bad))?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct MovementMsg {
    #[prost(uint32, tag = "1")]
    kind: u32,
    /// Place in the head's list of pools.
    #[prost(uint32, tag = "2")]
    pool: u32,
    /// Place in the head's list of contexts, from 1; 0: nobody asked.
    #[prost(uint32, tag = "3")]
    context: u32,
    #[prost(fixed64, optional, tag = "4")]
    reservation_high: Option<u64>,
    #[prost(fixed64, optional, tag = "5")]
    reservation_low: Option<u64>,
    #[prost(sint64, tag = "6")]
    on_hand: i64,
    #[prost(sint64, tag = "7")]
    available: i64,
    #[prost(sint64, tag = "8")]
    held: i64,
    #[prost(sint64, tag = "9")]
    committed: i64,
    #[prost(sint64, tag = "10")]
    unavailable: i64,
    #[prost(sint64, tag = "11")]
    short: i64,
    #[prost(uint64, tag = "12")]
    sold_short: u64,
    #[prost(uint32, tag = "13")]
    pool_epoch: u32,
    #[prost(uint64, optional, tag = "14")]
    pool_index: Option<u64>,
    #[prost(uint32, tag = "15")]
    pool_ordinal: u32,
    #[prost(uint32, tag = "16")]
    reservation_epoch: u32,
    #[prost(uint64, optional, tag = "17")]
    reservation_index: Option<u64>,
    #[prost(uint32, tag = "18")]
    reservation_ordinal: u32,
    #[prost(bytes = "bytes", tag = "19")]
    document: Bytes,
    #[prost(bytes = "bytes", tag = "20")]
    reason: Bytes,
    #[prost(uint64, optional, tag = "21")]
    deadline: Option<u64>,
    #[prost(bytes = "bytes", tag = "22")]
    owner: Bytes,
    #[prost(sint64, tag = "40")]
    in_transit: i64,
    #[prost(fixed64, optional, tag = "41")]
    transfer_high: Option<u64>,
    #[prost(fixed64, optional, tag = "42")]
    transfer_low: Option<u64>,
    #[prost(uint64, optional, tag = "43")]
    expected: Option<u64>,
}

/// What a movement says beside its pool's key and its position.
pub(crate) struct Posting<'a> {
    pub(crate) kind: MovementKind,
    pub(crate) by: By<'a>,
    /// The reservation, and the movement before this one of the same reservation.
    pub(crate) reservation: Option<(ReservationId, Option<Spot>)>,
    pub(crate) delta: Delta,
    pub(crate) sold_short: u64,
    pub(crate) document: Bytes,
    pub(crate) reason: Bytes,
    pub(crate) deadline: Option<TimeMs>,
    pub(crate) owner: Bytes,
}

/// On whose wish a movement happens.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// Time did it.
    Nobody,
    /// A request with this context.
    Request(&'a Context),
}

/// Writes the block of the entry that is being applied.
pub(crate) struct Writer {
    head: HeadMsg,
    /// Context of the last movement written by a request, so that the movements of one command share one row.
    context: Option<Context>,
    offsets: Vec<u32>,
    body: Vec<u8>,
    /// Differs for each block of this process: says whether a pool's dictionary place is of this block.
    serial: u64,
    /// What the next movement says beside its posting: few movements do.
    pub(crate) transfer: Option<OperationId>,
    pub(crate) expected: Option<Quantity>,
}

impl Writer {
    pub(crate) fn new(shard: ShardId, epoch: Epoch, index: LogIndex, time: TimeMs, serial: u64) -> Self {
        Self {
            head: HeadMsg {
                shard: shard.0,
                epoch: epoch.0,
                index: index.0,
                time: time.0,
                contexts: Vec::new(),
                pools: Vec::new(),
            },
            context: None,
            offsets: Vec::new(),
            body: Vec::new(),
            serial,
            transfer: None,
            expected: None,
        }
    }

    /// The ledger's clock at this entry.
    pub(crate) fn time(&self) -> TimeMs {
        TimeMs(self.head.time)
    }

    /// Writes one movement of `pool` and returns its place. The pool's own `last` is left to the caller.
    pub(crate) fn write(&mut self, pool: &mut Pool, posting: Posting<'_>) -> Spot {
        let ordinal = u32::try_from(self.offsets.len()).expect("an entry has fewer than 2^32 movements");
        let context = self.context_place(posting.by);
        let pool_place = self.pool_place(pool);
        let (reservation, previous) = posting.reservation.unzip();
        let previous = previous.flatten();
        let reservation = reservation.map(|id| u128::from_be_bytes(id.to_bytes()));
        let transfer = self.transfer.take().map(|id| u128::from_be_bytes(id.to_bytes()));
        let message = MovementMsg {
            kind: u32::from(posting.kind.tag()),
            pool: pool_place,
            context,
            reservation_high: reservation.map(|id| (id >> 64) as u64),
            reservation_low: reservation.map(|id| id as u64),
            on_hand: posting.delta.on_hand,
            available: posting.delta.available,
            held: posting.delta.held,
            committed: posting.delta.committed,
            unavailable: posting.delta.unavailable,
            short: posting.delta.short,
            sold_short: posting.sold_short,
            pool_epoch: pool.last.map_or(0, |spot| spot.epoch),
            pool_index: pool.last.map(|spot| spot.index),
            pool_ordinal: pool.last.map_or(0, |spot| spot.ordinal),
            reservation_epoch: previous.map_or(0, |spot| spot.epoch),
            reservation_index: previous.map(|spot| spot.index),
            reservation_ordinal: previous.map_or(0, |spot| spot.ordinal),
            document: posting.document,
            reason: posting.reason,
            deadline: posting.deadline.map(|time| time.0),
            owner: posting.owner,
            in_transit: posting.delta.in_transit,
            transfer_high: transfer.map(|id| (id >> 64) as u64),
            transfer_low: transfer.map(|id| id as u64),
            expected: self.expected.take().map(Quantity::units),
        };
        self.offsets.push(u32::try_from(self.body.len()).expect("a block has fewer than 2^32 bytes"));
        message.encode(&mut self.body).expect("a vector grows as needed");
        Spot { epoch: self.head.epoch, index: self.head.index, ordinal }
    }

    fn context_place(&mut self, by: By<'_>) -> u32 {
        let By::Request(context) = by else { return 0 };
        if self.context.as_ref() != Some(context) {
            self.context = Some(context.clone());
            self.head.contexts.push(ContextMsg {
                principal: context.principal.to_shared(),
                session: context.session.to_shared(),
                request_id: context.request_id.to_shared(),
                trace_parent: context.trace_parent.to_shared(),
            });
        }
        u32::try_from(self.head.contexts.len()).expect("an entry has fewer than 2^32 commands")
    }

    fn pool_place(&mut self, pool: &mut Pool) -> u32 {
        if pool.place.0 != self.serial {
            let place = u32::try_from(self.head.pools.len()).expect("an entry touches fewer than 2^32 pools");
            pool.place = (self.serial, place);
            self.head.pools.push(pool.bytes.clone());
        }
        pool.place.1
    }

    /// The bytes of the block, unless nothing moved.
    pub(crate) fn finish(self, previous: BlockHash) -> Option<Bytes> {
        if self.offsets.is_empty() {
            return None;
        }
        let head_len = self.head.encoded_len();
        let mut out = Vec::with_capacity(HEAD_AT + 12 + head_len + 4 * self.offsets.len() + self.body.len());
        out.push(VERSION);
        out.extend_from_slice(&previous.0.to_be_bytes());
        out.extend_from_slice(&u32::try_from(head_len).expect("below 4 GiB").to_le_bytes());
        self.head.encode(&mut out).expect("a vector grows as needed");
        out.extend_from_slice(&u32::try_from(self.offsets.len()).expect("counted before").to_le_bytes());
        for offset in &self.offsets {
            out.extend_from_slice(&offset.to_le_bytes());
        }
        out.extend_from_slice(&self.body);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Some(Bytes::from(out))
    }
}
