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

/// Writes the block of the entry that is being applied.
pub(crate) struct Writer {
    head: HeadMsg,
    /// Context of the last movement written by a request, so that the movements of one command share one row.
    context: Option<Context>,
    /// The rest of the head: the pools, as [`HeadMsg`] has them, written when the first movement of each comes by.
    pools: Vec<u8>,
    pool_count: u32,
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
            pools: Vec::new(),
            pool_count: 0,
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
        self.offsets.push(u32::try_from(self.body.len()).expect("a block has fewer than 2^32 bytes"));
        message.put(&mut self.body);
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
            pool.place = (self.serial, self.pool_count);
            self.pool_count = self.pool_count.checked_add(1).expect("an entry touches fewer than 2^32 pools");
            put_length(&mut self.pools, HEAD_POOLS, pool.bytes.len());
            self.pools.extend_from_slice(&pool.bytes);
        }
        pool.place.1
    }

    /// The bytes of the block, unless nothing moved.
    pub(crate) fn finish(self, previous: BlockHash) -> Option<Bytes> {
        if self.offsets.is_empty() {
            return None;
        }
        let head_len = self.head.encoded_len() + self.pools.len();
        let mut out = Vec::with_capacity(HEAD_AT + 12 + head_len + 4 * self.offsets.len() + self.body.len());
        out.push(VERSION);
        out.extend_from_slice(&previous.0.to_be_bytes());
        out.extend_from_slice(&u32::try_from(head_len).expect("below 4 GiB").to_le_bytes());
        self.head.encode(&mut out).expect("a vector grows as needed");
        out.extend_from_slice(&self.pools);
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
