//! Bytes of what the keepers of the stock ask.

use super::{
    Corrupt,
    command::{OperationMsg, required_operation, text},
    pool::quantity,
    settings::SettingsMsg,
};
use crate::{
    command::{
        Arrive, Configure, Count, Expect, Observed, ObservedAt, Quarantine, QuarantineStep, Seen, SetOnHand,
        Stockkeeping, Transfer,
    },
    records::{pool_key_bytes, read_pool_key},
    settings::Settings,
    types::{Document, Location, LogIndex, Namespace, Reason, Sku, TimeMs},
};
use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StockkeepingMsg {
    #[prost(message, optional, tag = "1")]
    operation: Option<OperationMsg>,
    #[prost(oneof = "AskMsg", tags = "10, 11, 12, 13, 14, 15, 16")]
    ask: Option<AskMsg>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum AskMsg {
    #[prost(message, tag = "10")]
    Set(SetMsg),
    #[prost(message, tag = "11")]
    Count(CountMsg),
    #[prost(message, tag = "12")]
    Quarantine(QuarantineMsg),
    #[prost(message, tag = "13")]
    Transfer(TransferMsg),
    #[prost(message, tag = "14")]
    Arrive(ArriveMsg),
    #[prost(message, tag = "15")]
    Expect(ExpectMsg),
    #[prost(message, tag = "16")]
    Configure(ConfigureMsg),
}

#[derive(Clone, PartialEq, prost::Message)]
struct SetMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(uint64, tag = "2")]
    on_hand: u64,
    #[prost(uint64, optional, tag = "3")]
    expected_on_hand: Option<u64>,
    #[prost(bool, tag = "4")]
    overriding: bool,
    #[prost(bytes = "bytes", tag = "5")]
    reason: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CountMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(uint64, tag = "2")]
    counted: u64,
    /// At most one of the two.
    #[prost(uint64, optional, tag = "3")]
    observed_time: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    observed_index: Option<u64>,
    /// With either of them.
    #[prost(uint64, tag = "5")]
    observed_on_hand: u64,
    #[prost(bytes = "bytes", tag = "6")]
    document: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    reason: Bytes,
    /// Both or none, and only with a moment.
    #[prost(uint64, optional, tag = "8")]
    seen_moment: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    seen_counts: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct QuarantineMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(uint32, tag = "2")]
    step: u32,
    #[prost(uint64, tag = "3")]
    quantity: u64,
    #[prost(bytes = "bytes", tag = "4")]
    reason: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TransferMsg {
    #[prost(bytes = "bytes", tag = "1")]
    from: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    to: Bytes,
    #[prost(uint64, tag = "3")]
    quantity: u64,
    #[prost(bool, tag = "4")]
    immediate: bool,
    #[prost(bytes = "bytes", tag = "5")]
    document: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    reason: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ArriveMsg {
    #[prost(bytes = "bytes", tag = "1")]
    namespace: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    sku: Bytes,
    #[prost(message, optional, tag = "3")]
    transfer: Option<OperationMsg>,
    #[prost(uint64, tag = "4")]
    received: u64,
    #[prost(uint64, tag = "5")]
    lost: u64,
    #[prost(bytes = "bytes", tag = "6")]
    document: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    reason: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExpectMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    document: Bytes,
    #[prost(uint64, tag = "3")]
    date: u64,
    #[prost(uint64, tag = "4")]
    quantity: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ConfigureMsg {
    #[prost(bytes = "bytes", tag = "1")]
    namespace: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    sku: Bytes,
    #[prost(uint64, tag = "3")]
    expected_version: u64,
    #[prost(message, optional, tag = "4")]
    settings: Option<SettingsMsg>,
}

impl From<&Stockkeeping> for StockkeepingMsg {
    fn from(asked: &Stockkeeping) -> Self {
        let ask = match asked {
            Stockkeeping::Set(set) => AskMsg::Set(SetMsg {
                pool: pool_key_bytes(&set.pool),
                on_hand: set.on_hand.units(),
                expected_on_hand: set.expected_on_hand.map(|units| units.units()),
                overriding: set.overriding,
                reason: set.reason.to_shared(),
            }),
            Stockkeeping::Count(count) => AskMsg::Count(CountMsg::from(count)),
            Stockkeeping::Quarantine(quarantine) => AskMsg::Quarantine(QuarantineMsg {
                pool: pool_key_bytes(&quarantine.pool),
                step: u32::from(quarantine.step.tag()),
                quantity: quarantine.quantity.units(),
                reason: quarantine.reason.to_shared(),
            }),
            Stockkeeping::Transfer(transfer) => AskMsg::Transfer(TransferMsg {
                from: pool_key_bytes(&transfer.from),
                to: transfer.to.to_shared(),
                quantity: transfer.quantity.units(),
                immediate: transfer.immediate,
                document: transfer.document.to_shared(),
                reason: transfer.reason.to_shared(),
            }),
            Stockkeeping::Arrive(arrive) => AskMsg::Arrive(ArriveMsg {
                namespace: arrive.namespace.to_shared(),
                sku: arrive.sku.to_shared(),
                transfer: Some(arrive.transfer.to_bytes().into()),
                received: arrive.received.units(),
                lost: arrive.lost.units(),
                document: arrive.document.to_shared(),
                reason: arrive.reason.to_shared(),
            }),
            Stockkeeping::Expect(expect) => AskMsg::Expect(ExpectMsg {
                pool: pool_key_bytes(&expect.pool),
                document: expect.document.to_shared(),
                date: expect.date.0,
                quantity: expect.quantity.units(),
            }),
            Stockkeeping::Configure(configure) => AskMsg::Configure(ConfigureMsg {
                namespace: configure.namespace.to_shared(),
                sku: configure.sku.to_shared(),
                expected_version: configure.expected_version,
                settings: Some(SettingsMsg::from(&*configure.settings)),
            }),
        };
        Self { operation: Some(asked.operation().to_bytes().into()), ask: Some(ask) }
    }
}

/// Writes the message alone, without a frame.
pub(crate) fn put_stockkeeping(out: &mut Vec<u8>, asked: &Stockkeeping) {
    StockkeepingMsg::from(asked).encode(out).expect("a vector grows as needed");
}

impl From<&Count> for CountMsg {
    fn from(count: &Count) -> Self {
        let (time, index) = match count.observed.map(|observed| observed.at) {
            None => (None, None),
            Some(ObservedAt::Time(time)) => (Some(time.0), None),
            Some(ObservedAt::Position(index)) => (None, Some(index.0)),
        };
        let seen = count.observed.and_then(|observed| observed.seen);
        Self {
            seen_moment: seen.map(|seen| seen.moment.0),
            seen_counts: seen.map(|seen| seen.counts),
            pool: pool_key_bytes(&count.pool),
            counted: count.counted.units(),
            observed_time: time,
            observed_index: index,
            observed_on_hand: count.observed.map_or(0, |observed| observed.on_hand.units()),
            document: count.document.to_shared(),
            reason: count.reason.to_shared(),
        }
    }
}

fn observed(message: &CountMsg) -> Result<Option<Observed>, Corrupt> {
    let at = match (message.observed_time, message.observed_index) {
        (None, None) => return Ok(None),
        (Some(time), None) => ObservedAt::Time(TimeMs(time)),
        (None, Some(index)) => ObservedAt::Position(LogIndex(index)),
        (Some(_), Some(_)) => return Err(Corrupt::new("count", "was made at a time and at a position")),
    };
    let seen = match (message.seen_moment, message.seen_counts) {
        (Some(moment), Some(counts)) => Some(Seen { moment: TimeMs(moment), counts }),
        (None, None) => None,
        _ => return Err(Corrupt::new("count", "was seen by half")),
    };
    Ok(Some(Observed { at, on_hand: quantity(message.observed_on_hand)?, seen }))
}

impl TryFrom<StockkeepingMsg> for Stockkeeping {
    type Error = Corrupt;

    fn try_from(message: StockkeepingMsg) -> Result<Self, Corrupt> {
        let operation = required_operation(message.operation)?;
        let document = |bytes| text("document", Document::new(bytes));
        let reason = |bytes| text("reason", Reason::new(bytes));
        let ask = message.ask.ok_or_else(|| Corrupt::new("command", "keeps stock in a way not known to this build"))?;
        Ok(match ask {
            AskMsg::Set(set) => Self::Set(SetOnHand {
                operation,
                pool: read_pool_key(set.pool)?,
                on_hand: quantity(set.on_hand)?,
                expected_on_hand: set.expected_on_hand.map(quantity).transpose()?,
                overriding: set.overriding,
                reason: reason(set.reason)?,
            }),
            AskMsg::Count(count) => Self::Count(Count {
                operation,
                observed: observed(&count)?,
                pool: read_pool_key(count.pool)?,
                counted: quantity(count.counted)?,
                document: document(count.document)?,
                reason: reason(count.reason)?,
            }),
            AskMsg::Quarantine(quarantine) => Self::Quarantine(Quarantine {
                operation,
                pool: read_pool_key(quarantine.pool)?,
                step: u8::try_from(quarantine.step)
                    .ok()
                    .and_then(QuarantineStep::from_tag)
                    .ok_or_else(|| Corrupt::new("quarantine", "has a step not known to this build"))?,
                quantity: quantity(quarantine.quantity)?,
                reason: reason(quarantine.reason)?,
            }),
            AskMsg::Transfer(transfer) => Self::Transfer(Transfer {
                operation,
                from: read_pool_key(transfer.from)?,
                to: text("location", Location::new(transfer.to))?,
                quantity: quantity(transfer.quantity)?,
                immediate: transfer.immediate,
                document: document(transfer.document)?,
                reason: reason(transfer.reason)?,
            }),
            AskMsg::Arrive(arrive) => Self::Arrive(Arrive {
                operation,
                namespace: text("namespace", Namespace::new(arrive.namespace))?,
                sku: text("sku", Sku::new(arrive.sku))?,
                transfer: required_operation(arrive.transfer)?,
                received: quantity(arrive.received)?,
                lost: quantity(arrive.lost)?,
                document: document(arrive.document)?,
                reason: reason(arrive.reason)?,
            }),
            AskMsg::Expect(expect) => Self::Expect(Expect {
                operation,
                pool: read_pool_key(expect.pool)?,
                document: document(expect.document)?,
                date: TimeMs(expect.date),
                quantity: quantity(expect.quantity)?,
            }),
            AskMsg::Configure(configure) => Self::Configure(Configure {
                operation,
                namespace: text("namespace", Namespace::new(configure.namespace))?,
                sku: text("sku", Sku::new(configure.sku))?,
                expected_version: configure.expected_version,
                settings: Box::new(Settings::try_from(configure.settings.unwrap_or_default())?),
            }),
        })
    }
}
