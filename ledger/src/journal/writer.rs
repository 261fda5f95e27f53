//! Writes the block of one entry.

use super::{
    BlockHash, HEAD_AT, VERSION,
    message::{ContextMsg, HEAD_POOLS, HeadMsg, MovementMsg},
};
use crate::{
    codec::{pool::halves, writer::put_length},
    command::Context,
    movement::{Delta, MovementKind, Spot},
    state::Pool,
    types::{Epoch, LogIndex, OperationId, Quantity, ReservationId, ShardId, TimeMs},
};
use bytes::Bytes;
use prost::Message;

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

/// More than that is not kept for the next entry.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Where the parts of a block are gathered. Kept from entry to entry, or each would have them grow anew.
#[derive(Default)]
pub(crate) struct Parts {
    /// The rest of the head: the pools, as [`HeadMsg`] has them, written when the first movement of each comes by.
    pools: Vec<u8>,
    offsets: Vec<u32>,
    body: Vec<u8>,
}

impl Parts {
    /// Empty, for the next block.
    fn emptied(mut self) -> Self {
        if self.pools.capacity() + 4 * self.offsets.capacity() + self.body.capacity() > KEPT_BYTES_MAX {
            return Self::default();
        }
        self.pools.clear();
        self.offsets.clear();
        self.body.clear();
        self
    }
}

/// Writes the block of the entry that is being applied.
pub(crate) struct Writer {
    head: HeadMsg,
    /// Context of the last movement written by a request, so that the movements of one command share one row.
    context: Option<Context>,
    parts: Parts,
    pool_count: u32,
    /// Differs for each block of this process: says whether a pool's dictionary place is of this block.
    serial: u64,
    /// What the next movement says beside its posting: few movements do.
    pub(crate) transfer: Option<OperationId>,
    pub(crate) expected: Option<Quantity>,
}

impl Writer {
    /// Gathers in `parts`, which must be empty.
    pub(crate) fn new(shard: ShardId, epoch: Epoch, index: LogIndex, time: TimeMs, serial: u64, parts: Parts) -> Self {
        debug_assert!(parts.offsets.is_empty() && parts.body.is_empty() && parts.pools.is_empty(), "of another block");
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
            parts,
            pool_count: 0,
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
        let ordinal = u32::try_from(self.parts.offsets.len()).expect("an entry has fewer than 2^32 movements");
        let context = self.context_place(posting.by);
        let pool_place = self.pool_place(pool);
        let (reservation, previous) = posting.reservation.unzip();
        let previous = previous.flatten();
        let (reservation_high, reservation_low) = reservation.map(ReservationId::halves).unzip();
        let (transfer_high, transfer_low) = self.transfer.take().map(|id| halves(id.to_bytes())).unzip();
        let message = MovementMsg {
            kind: u32::from(posting.kind.tag()),
            pool: pool_place,
            context,
            reservation_high,
            reservation_low,
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
            transfer_high,
            transfer_low,
            expected: self.expected.take().map(Quantity::units),
        };
        self.parts.offsets.push(u32::try_from(self.parts.body.len()).expect("a block has fewer than 2^32 bytes"));
        message.put(&mut self.parts.body);
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
        if pool.serial != self.serial {
            (pool.serial, pool.place) = (self.serial, self.pool_count);
            self.pool_count = self.pool_count.checked_add(1).expect("an entry touches fewer than 2^32 pools");
            put_length(&mut self.parts.pools, HEAD_POOLS, pool.bytes.len());
            self.parts.pools.extend_from_slice(&pool.bytes);
        }
        pool.place
    }

    /// The bytes of the block, unless nothing moved; and what the next one is gathered in.
    pub(crate) fn finish(self, previous: BlockHash) -> (Option<Bytes>, Parts) {
        let block = (!self.parts.offsets.is_empty()).then(|| self.block(previous));
        (block, self.parts.emptied())
    }

    fn block(&self, previous: BlockHash) -> Bytes {
        let Parts { pools, offsets, body } = &self.parts;
        let head_len = self.head.encoded_len() + pools.len();
        let mut out = Vec::with_capacity(HEAD_AT + 12 + head_len + 4 * offsets.len() + body.len());
        out.push(VERSION);
        out.extend_from_slice(&previous.0.to_be_bytes());
        out.extend_from_slice(&u32::try_from(head_len).expect("below 4 GiB").to_le_bytes());
        self.head.encode(&mut out).expect("a vector grows as needed");
        out.extend_from_slice(pools);
        out.extend_from_slice(&u32::try_from(offsets.len()).expect("counted before").to_le_bytes());
        for offset in offsets {
            out.extend_from_slice(&offset.to_le_bytes());
        }
        out.extend_from_slice(body);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Bytes::from(out)
    }
}
