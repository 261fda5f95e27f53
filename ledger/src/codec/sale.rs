//! Bytes of what becomes of a reservation beside commit, release and extend.

use super::{
    Corrupt,
    command::{LineMsg, OperationMsg, required_operation, text},
    pool::{halves, reservation_id},
};
use crate::{
    command::{Cancel, Disposition, Line, MarkPaying, Part, Replace, Return, Ship},
    types::{DurationMs, Namespace, Reason, ShardId},
};
use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReplaceMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, optional, tag = "3")]
    operation: Option<OperationMsg>,
    #[prost(bytes = "bytes", tag = "4")]
    namespace: Bytes,
    #[prost(message, repeated, tag = "5")]
    lines: Vec<LineMsg>,
    #[prost(bool, tag = "6")]
    best_effort: bool,
    #[prost(uint32, tag = "7")]
    zone: u32,
    /// The shard of each line; absent: all at home.
    #[prost(uint32, repeated, tag = "8")]
    shards: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PayingMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, optional, tag = "3")]
    operation: Option<OperationMsg>,
    #[prost(uint64, tag = "4")]
    grace: u64,
}

/// Of a ship, a cancel and a return.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SoldMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, optional, tag = "3")]
    operation: Option<OperationMsg>,
    #[prost(message, repeated, tag = "4")]
    parts: Vec<LineMsg>,
    /// Of a return alone.
    #[prost(uint32, tag = "5")]
    disposition: u32,
    #[prost(bytes = "bytes", tag = "6")]
    reason: Bytes,
}

impl SoldMsg {
    fn parts(parts: &[Part]) -> Vec<LineMsg> {
        parts.iter().map(LineMsg::from).collect()
    }
}

fn read_parts(parts: Vec<LineMsg>) -> Result<Vec<Part>, Corrupt> {
    parts.into_iter().map(Part::try_from).collect()
}

impl From<&Replace> for ReplaceMsg {
    fn from(replace: &Replace) -> Self {
        let (id_high, id_low) = halves(replace.id.to_bytes());
        Self {
            id_high,
            id_low,
            operation: Some(replace.operation.to_bytes().into()),
            namespace: replace.namespace.to_shared(),
            lines: replace.lines.iter().map(LineMsg::from).collect(),
            best_effort: replace.best_effort,
            zone: replace.zone,
            shards: replace.shards.iter().map(|shard| shard.0).collect(),
        }
    }
}

impl TryFrom<ReplaceMsg> for Replace {
    type Error = Corrupt;

    fn try_from(message: ReplaceMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            operation: required_operation(message.operation)?,
            namespace: text("namespace", Namespace::new(message.namespace))?,
            lines: message.lines.into_iter().map(Line::try_from).collect::<Result<_, _>>()?,
            best_effort: message.best_effort,
            zone: message.zone,
            shards: message.shards.into_iter().map(ShardId).collect(),
        })
    }
}

impl From<&MarkPaying> for PayingMsg {
    fn from(paying: &MarkPaying) -> Self {
        let (id_high, id_low) = halves(paying.id.to_bytes());
        Self { id_high, id_low, operation: Some(paying.operation.to_bytes().into()), grace: paying.grace.0 }
    }
}

impl TryFrom<PayingMsg> for MarkPaying {
    type Error = Corrupt;

    fn try_from(message: PayingMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            operation: required_operation(message.operation)?,
            grace: DurationMs(message.grace),
        })
    }
}

impl From<&Ship> for SoldMsg {
    fn from(ship: &Ship) -> Self {
        let (id_high, id_low) = halves(ship.id.to_bytes());
        let operation = Some(ship.operation.to_bytes().into());
        Self { id_high, id_low, operation, parts: Self::parts(&ship.parts), ..Self::default() }
    }
}

impl TryFrom<SoldMsg> for Ship {
    type Error = Corrupt;

    fn try_from(message: SoldMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            operation: required_operation(message.operation)?,
            parts: read_parts(message.parts)?,
        })
    }
}

impl From<&Cancel> for SoldMsg {
    fn from(cancel: &Cancel) -> Self {
        let (id_high, id_low) = halves(cancel.id.to_bytes());
        let operation = Some(cancel.operation.to_bytes().into());
        let (parts, reason) = (Self::parts(&cancel.parts), cancel.reason.to_shared());
        Self { id_high, id_low, operation, parts, reason, ..Self::default() }
    }
}

impl TryFrom<SoldMsg> for Cancel {
    type Error = Corrupt;

    fn try_from(message: SoldMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            operation: required_operation(message.operation)?,
            parts: read_parts(message.parts)?,
            reason: text("reason", Reason::new(message.reason))?,
        })
    }
}

impl From<&Return> for SoldMsg {
    fn from(back: &Return) -> Self {
        let (id_high, id_low) = halves(back.id.to_bytes());
        Self {
            id_high,
            id_low,
            operation: Some(back.operation.to_bytes().into()),
            parts: Self::parts(&back.parts),
            disposition: u32::from(back.disposition.tag()),
            reason: back.reason.to_shared(),
        }
    }
}

impl TryFrom<SoldMsg> for Return {
    type Error = Corrupt;

    fn try_from(message: SoldMsg) -> Result<Self, Corrupt> {
        let disposition = u8::try_from(message.disposition).ok().and_then(Disposition::from_tag);
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            operation: required_operation(message.operation)?,
            parts: read_parts(message.parts)?,
            disposition: disposition.ok_or_else(|| Corrupt::new("disposition", "is not known to this build"))?,
            reason: text("reason", Reason::new(message.reason))?,
        })
    }
}
