//! Bytes of what the keepers of the stock are told.

use super::{
    Corrupt,
    pool::{PoolViewMsg, halves, operation_id, quantity, reservation_id},
    settings::SettingsMsg,
};
use crate::{
    outcome::{AtRisk, LimitExceeded, LimitKind, SettingsView, ShortageView, StockChange, TransferView, Transferred},
    records::{pool_key_bytes, read_pool_key},
    settings::Settings,
    types::{Document, DurationMs, Epoch, LogIndex, Position, ShardId, TimeMs},
};
use bytes::Bytes;

fn required<T>(what: &'static str, message: Option<T>) -> Result<T, Corrupt> {
    message.ok_or_else(|| Corrupt::new(what, "is absent"))
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StockChangeMsg {
    #[prost(message, optional, tag = "1")]
    pool: Option<PoolViewMsg>,
    #[prost(sint64, tag = "2")]
    delta: i64,
    #[prost(uint64, tag = "3")]
    beyond: u64,
    #[prost(message, optional, tag = "4")]
    shortage: Option<ShortageViewMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ShortageViewMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(uint64, tag = "2")]
    units: u64,
    #[prost(uint64, tag = "3")]
    since: u64,
    #[prost(uint32, tag = "4")]
    shard: u32,
    #[prost(uint32, tag = "5")]
    epoch: u32,
    #[prost(uint64, tag = "6")]
    index: u64,
    #[prost(uint32, tag = "7")]
    ordinal: u32,
    #[prost(uint64, tag = "8")]
    at_risk: u64,
    #[prost(message, repeated, tag = "9")]
    newest: Vec<AtRiskMsg>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct AtRiskMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(uint64, tag = "3")]
    held: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TransferredMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(uint64, tag = "3")]
    sent: u64,
    #[prost(uint64, tag = "4")]
    received: u64,
    #[prost(uint64, tag = "5")]
    lost: u64,
    #[prost(uint64, tag = "6")]
    since: u64,
    #[prost(bytes = "bytes", tag = "7")]
    document: Bytes,
    #[prost(message, optional, tag = "8")]
    from: Option<PoolViewMsg>,
    #[prost(message, optional, tag = "9")]
    to: Option<PoolViewMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SettingsViewMsg {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(message, optional, tag = "2")]
    settings: Option<SettingsMsg>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct LimitExceededMsg {
    #[prost(uint32, tag = "1")]
    line: u32,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(uint64, tag = "3")]
    limit: u64,
    #[prost(uint64, tag = "4")]
    window: u64,
    #[prost(uint64, tag = "5")]
    used: u64,
}

impl From<&StockChange> for StockChangeMsg {
    fn from(change: &StockChange) -> Self {
        Self {
            pool: Some(PoolViewMsg::from(&change.pool)),
            delta: change.delta,
            beyond: change.beyond.units(),
            shortage: change.shortage.as_ref().map(ShortageViewMsg::from),
        }
    }
}

impl TryFrom<StockChangeMsg> for StockChange {
    type Error = Corrupt;

    fn try_from(message: StockChangeMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            pool: required("pool", message.pool)?.try_into()?,
            delta: message.delta,
            beyond: quantity(message.beyond)?,
            shortage: message.shortage.map(ShortageView::try_from).transpose()?,
        })
    }
}

impl From<&ShortageView> for ShortageViewMsg {
    fn from(view: &ShortageView) -> Self {
        let at_risk = |hold: &AtRisk| {
            let (id_high, id_low) = halves(hold.reservation.to_bytes());
            AtRiskMsg { id_high, id_low, held: hold.held.units() }
        };
        Self {
            pool: pool_key_bytes(&view.pool),
            units: view.units.units(),
            since: view.since.0,
            shard: view.by.shard.0,
            epoch: view.by.epoch.0,
            index: view.by.index.0,
            ordinal: view.by.ordinal,
            at_risk: view.at_risk.units(),
            newest: view.newest.iter().map(at_risk).collect(),
        }
    }
}

impl TryFrom<ShortageViewMsg> for ShortageView {
    type Error = Corrupt;

    fn try_from(message: ShortageViewMsg) -> Result<Self, Corrupt> {
        let at_risk = |hold: AtRiskMsg| {
            let reservation = reservation_id(hold.id_high, hold.id_low)?;
            Ok(AtRisk { reservation, held: quantity(hold.held)? })
        };
        Ok(Self {
            pool: read_pool_key(message.pool)?,
            units: quantity(message.units)?,
            since: TimeMs(message.since),
            by: Position {
                shard: ShardId(message.shard),
                epoch: Epoch(message.epoch),
                index: LogIndex(message.index),
                ordinal: message.ordinal,
            },
            at_risk: quantity(message.at_risk)?,
            newest: message.newest.into_iter().map(at_risk).collect::<Result<_, Corrupt>>()?,
        })
    }
}

impl From<&Transferred> for TransferredMsg {
    fn from(told: &Transferred) -> Self {
        let (id_high, id_low) = halves(told.transfer.id.to_bytes());
        Self {
            id_high,
            id_low,
            sent: told.transfer.sent.units(),
            received: told.transfer.received.units(),
            lost: told.transfer.lost.units(),
            since: told.transfer.since.0,
            document: told.transfer.document.to_shared(),
            from: Some(PoolViewMsg::from(&told.from)),
            to: Some(PoolViewMsg::from(&told.to)),
        }
    }
}

impl TryFrom<TransferredMsg> for Transferred {
    type Error = Corrupt;

    fn try_from(message: TransferredMsg) -> Result<Self, Corrupt> {
        let from: crate::outcome::PoolView = required("pool", message.from)?.try_into()?;
        let to: crate::outcome::PoolView = required("pool", message.to)?.try_into()?;
        let transfer = TransferView {
            id: operation_id(message.id_high, message.id_low)?,
            from: from.key.clone(),
            to: to.key.clone(),
            sent: quantity(message.sent)?,
            received: quantity(message.received)?,
            lost: quantity(message.lost)?,
            since: TimeMs(message.since),
            document: Document::new(message.document).map_err(|bad| Corrupt::new("document", bad))?,
        };
        Ok(Self { transfer, from, to })
    }
}

impl From<&SettingsView> for SettingsViewMsg {
    fn from(view: &SettingsView) -> Self {
        Self { version: view.version, settings: Some(SettingsMsg::from(&view.settings)) }
    }
}

impl TryFrom<SettingsViewMsg> for SettingsView {
    type Error = Corrupt;

    fn try_from(message: SettingsViewMsg) -> Result<Self, Corrupt> {
        let settings = Settings::try_from(required("settings", message.settings)?)?;
        Ok(Self { version: message.version, settings })
    }
}

impl From<&LimitExceeded> for LimitExceededMsg {
    fn from(exceeded: &LimitExceeded) -> Self {
        Self {
            line: exceeded.line,
            kind: u32::from(exceeded.kind.tag()),
            limit: exceeded.limit.units(),
            window: exceeded.window.0,
            used: exceeded.used.units(),
        }
    }
}

impl TryFrom<LimitExceededMsg> for LimitExceeded {
    type Error = Corrupt;

    fn try_from(message: LimitExceededMsg) -> Result<Self, Corrupt> {
        let kind = u8::try_from(message.kind).ok().and_then(LimitKind::from_tag);
        Ok(Self {
            line: message.line,
            kind: kind.ok_or_else(|| Corrupt::new("limit", "is of a kind not known to this build"))?,
            limit: quantity(message.limit)?,
            window: DurationMs(message.window),
            used: quantity(message.used)?,
        })
    }
}
