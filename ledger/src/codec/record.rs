//! Bytes of the records a state is made of.
//!
//! These messages are also what the digest is computed from: two replicas must write the same record as the same
//! bytes, so a change in how a record is written (not only in what can be read) is a new rules version.

mod pack;
mod reservation;
mod stock;

pub(crate) use super::part::{decode_floor, decode_part, put_floor, put_part};
pub(crate) use pack::{begin_pack, decode_pack, decode_pack_left, put_pack_left, put_packed};
pub(crate) use reservation::{ReservationMsg, decode_reservation, put_reservation, view_of_cold};
pub(crate) use stock::{
    decode_owner_uses, decode_pool, decode_sku, decode_transit, put_owner_uses, put_pool, put_sku, put_transit,
};

use super::{Corrupt, command::NodeMsg, pool::halves, put_frame, unframe};
use crate::{
    command::MetaNode,
    journal::BlockHash,
    movement::Spot,
    state::{BucketRange, Header, Mark, MetaState, Operation, Refused},
    types::{Bucket, Epoch, ShardId, TimeMs},
};
use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HeaderMsg {
    #[prost(uint32, tag = "1")]
    pub(crate) shard: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) epoch: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) rules: u32,
    #[prost(uint64, tag = "4")]
    pub(crate) clock: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) counter: u64,
    #[prost(fixed64, tag = "6")]
    journal_high: u64,
    #[prost(fixed64, tag = "7")]
    journal_low: u64,
    /// Sum of the contributions of all other records.
    #[prost(fixed64, tag = "8")]
    sum_high: u64,
    #[prost(fixed64, tag = "9")]
    sum_low: u64,
}

impl HeaderMsg {
    pub(crate) fn new(shard: ShardId, header: &Header, sum: u128) -> Self {
        let (journal_high, journal_low) = halves(header.journal.0.to_be_bytes());
        let (sum_high, sum_low) = halves(sum.to_be_bytes());
        Self {
            shard: shard.0,
            epoch: header.epoch.0,
            rules: header.rules,
            clock: header.clock.0,
            counter: header.counter,
            journal_high,
            journal_low,
            sum_high,
            sum_low,
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            epoch: Epoch(self.epoch),
            rules: self.rules,
            clock: TimeMs(self.clock),
            counter: self.counter,
            journal: BlockHash(u128::from(self.journal_high) << 64 | u128::from(self.journal_low)),
        }
    }

    pub(crate) fn sum(&self) -> u128 {
        u128::from(self.sum_high) << 64 | u128::from(self.sum_low)
    }
}

pub(crate) fn decode_header(value: &[u8]) -> Result<HeaderMsg, Corrupt> {
    unframe("header", Bytes::copy_from_slice(value))
}

pub(crate) fn put_header(out: &mut Vec<u8>, header: &HeaderMsg) {
    put_frame(out, header);
}

/// Where a movement stands; all fields absent where there is none.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct SpotMsg {
    #[prost(uint32, tag = "1")]
    epoch: u32,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(uint32, tag = "3")]
    ordinal: u32,
}

impl From<Spot> for SpotMsg {
    fn from(spot: Spot) -> Self {
        Self { epoch: spot.epoch, index: spot.index, ordinal: spot.ordinal }
    }
}

impl From<SpotMsg> for Spot {
    fn from(message: SpotMsg) -> Self {
        Self { epoch: message.epoch, index: message.index, ordinal: message.ordinal }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct OperationMsg {
    #[prost(fixed64, tag = "1")]
    fingerprint: u64,
    #[prost(bytes = "bytes", tag = "2")]
    outcome: Bytes,
}

pub(crate) fn put_operation(out: &mut Vec<u8>, operation: &Operation) {
    put_frame(
        out,
        &OperationMsg { fingerprint: operation.fingerprint, outcome: Bytes::copy_from_slice(&operation.outcome) },
    );
}

pub(crate) fn decode_operation(value: &[u8]) -> Result<(u64, Box<[u8]>), Corrupt> {
    let message: OperationMsg = unframe("operation record", Bytes::copy_from_slice(value))?;
    super::decode_outcome(message.outcome.clone())?;
    Ok((message.fingerprint, message.outcome.as_ref().into()))
}

#[derive(Clone, PartialEq, prost::Message)]
struct RefusedMsg {
    #[prost(fixed64, tag = "1")]
    fingerprint: u64,
    #[prost(bytes = "bytes", tag = "2")]
    outcome: Bytes,
    #[prost(uint32, tag = "3")]
    attempt: u32,
    #[prost(uint64, tag = "4")]
    until: u64,
}

pub(crate) fn put_refused(out: &mut Vec<u8>, refused: &Refused) {
    put_frame(
        out,
        &RefusedMsg {
            fingerprint: refused.fingerprint,
            outcome: super::encode_outcome(&refused.outcome),
            attempt: refused.attempt,
            until: refused.until.0,
        },
    );
}

pub(crate) fn decode_refused(value: &[u8]) -> Result<Refused, Corrupt> {
    let message: RefusedMsg = unframe("refusal record", Bytes::copy_from_slice(value))?;
    Ok(Refused {
        fingerprint: message.fingerprint,
        outcome: Box::new(super::decode_outcome(message.outcome)?),
        attempt: message.attempt,
        until: TimeMs(message.until),
        mark: Mark::default(),
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetaMsg {
    #[prost(fixed64, tag = "1")]
    cluster_high: u64,
    #[prost(fixed64, tag = "2")]
    cluster_low: u64,
    #[prost(uint64, tag = "3")]
    map_version: u64,
    #[prost(message, repeated, tag = "4")]
    ranges: Vec<RangeMsg>,
    #[prost(message, repeated, tag = "5")]
    nodes: Vec<NodeMsg>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RangeMsg {
    #[prost(uint32, tag = "1")]
    first: u32,
    #[prost(uint32, tag = "2")]
    last: u32,
    #[prost(uint32, tag = "3")]
    shard: u32,
}

pub(crate) fn put_meta(out: &mut Vec<u8>, meta: &MetaState) {
    let (cluster_high, cluster_low) = halves(meta.cluster);
    let range = |range: &BucketRange| RangeMsg {
        first: u32::from(range.first.number()),
        last: u32::from(range.last.number()),
        shard: range.shard.0,
    };
    put_frame(
        out,
        &MetaMsg {
            cluster_high,
            cluster_low,
            map_version: meta.map_version,
            ranges: meta.ranges.iter().map(range).collect(),
            nodes: meta.nodes.iter().map(NodeMsg::from).collect(),
        },
    );
}

pub(crate) fn decode_meta(value: &[u8]) -> Result<MetaState, Corrupt> {
    let message: MetaMsg = unframe("meta record", Bytes::copy_from_slice(value))?;
    let bucket = |number: u32| {
        u16::try_from(number)
            .ok()
            .and_then(Bucket::new)
            .ok_or_else(|| Corrupt::new("meta record", "has a bucket that does not exist"))
    };
    let range = |range: &RangeMsg| {
        Ok(BucketRange { first: bucket(range.first)?, last: bucket(range.last)?, shard: ShardId(range.shard) })
    };
    Ok(MetaState {
        cluster: super::pool::whole(message.cluster_high, message.cluster_low),
        map_version: message.map_version,
        ranges: message.ranges.iter().map(range).collect::<Result<_, Corrupt>>()?,
        nodes: message.nodes.into_iter().map(MetaNode::from).collect(),
    })
}
