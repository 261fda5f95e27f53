//! Bytes of the messages between home and participants.

use super::{
    Corrupt,
    command::LineMsg,
    outcome::RefusalMsg,
    pool::{halves, reservation_id},
};
use crate::{
    cart::{
        Number,
        message::{
            After, Answer, Ask, Asked, Chosen, Decide, Floor, From as Sent, Gone, Granted, LineTruth, Message, Prepare,
            Shipping, Truth, Wanted,
        },
    },
    command::Line,
    outcome::Refusal,
    records::{pool_key_bytes, read_pool_key},
    settings::Terms,
    types::{DurationMs, Epoch, LogIndex, Namespace, Owner, Position, ReservationId, ShardId, TimeMs},
};
use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CartMsg {
    #[prost(oneof = "KindMsg", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<KindMsg>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum KindMsg {
    #[prost(message, tag = "1")]
    Prepare(PrepareMsg),
    #[prost(message, tag = "2")]
    Decide(DecideMsg),
    #[prost(message, tag = "3")]
    Answer(AnswerMsg),
    #[prost(message, tag = "4")]
    Ask(AskMsg),
    #[prost(message, tag = "5")]
    Gone(AskMsg),
    #[prost(message, tag = "6")]
    Floor(FloorMsg),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct NumberMsg {
    #[prost(uint32, tag = "1")]
    epoch: u32,
    #[prost(uint64, tag = "2")]
    counter: u64,
}

impl From<Number> for NumberMsg {
    fn from(number: Number) -> Self {
        Self { epoch: number.epoch, counter: number.counter }
    }
}

impl From<NumberMsg> for Number {
    fn from(message: NumberMsg) -> Self {
        Self { epoch: message.epoch, counter: message.counter }
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct PositionMsg {
    #[prost(uint32, tag = "1")]
    shard: u32,
    #[prost(uint32, tag = "2")]
    epoch: u32,
    #[prost(uint64, tag = "3")]
    index: u64,
    #[prost(uint32, tag = "4")]
    ordinal: u32,
}

impl From<Position> for PositionMsg {
    fn from(position: Position) -> Self {
        Self { shard: position.shard.0, epoch: position.epoch.0, index: position.index.0, ordinal: position.ordinal }
    }
}

impl From<PositionMsg> for Position {
    fn from(message: PositionMsg) -> Self {
        Self {
            shard: ShardId(message.shard),
            epoch: Epoch(message.epoch),
            index: LogIndex(message.index),
            ordinal: message.ordinal,
        }
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct TruthMsg {
    #[prost(uint32, tag = "1")]
    held: u32,
    #[prost(uint32, tag = "2")]
    committed: u32,
    #[prost(uint32, tag = "3")]
    released: u32,
    #[prost(uint32, tag = "4")]
    expired: u32,
    #[prost(uint32, tag = "5")]
    shipped: u32,
    #[prost(uint32, tag = "6")]
    cancelled: u32,
    #[prost(uint32, tag = "7")]
    returned: u32,
    #[prost(uint32, tag = "8")]
    returned_unavailable: u32,
}

impl From<Truth> for TruthMsg {
    fn from(truth: Truth) -> Self {
        let Truth { held, committed, released, expired, after } = truth;
        let After { shipped, cancelled, returned, returned_unavailable } = after;
        Self { held, committed, released, expired, shipped, cancelled, returned, returned_unavailable }
    }
}

impl From<TruthMsg> for Truth {
    fn from(message: TruthMsg) -> Self {
        let TruthMsg { held, committed, released, expired, .. } = message;
        let TruthMsg { shipped, cancelled, returned, returned_unavailable, .. } = message;
        let after = After { shipped, cancelled, returned, returned_unavailable };
        Self { held, committed, released, expired, after }
    }
}

impl TruthMsg {
    /// Units that were ever got, if the counts make sense.
    pub(crate) fn got(&self) -> Option<u32> {
        after_fits(self.committed, Truth::from(*self).after)?;
        self.held.checked_add(self.committed)?.checked_add(self.released)?.checked_add(self.expired)
    }

    pub(crate) fn committed(&self) -> u32 {
        self.committed
    }

    /// Units that wait to be shipped, of a line that is.
    pub(crate) fn unshipped(&self) -> u32 {
        Truth::from(*self).unshipped()
    }

    pub(crate) fn held(&self) -> u32 {
        self.held
    }
}

/// Units that left or were cancelled were committed, and what came back had left or been sold.
pub(super) fn after_fits(committed: u32, after: After) -> Option<()> {
    after.total()?;
    let gone = after.shipped.checked_add(after.cancelled)?;
    let back = after.returned.checked_add(after.returned_unavailable)?;
    (gone <= committed && back <= committed - after.cancelled).then_some(())
}

/// What was promised with the units of a line. Absent: nothing beyond the defaults.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct TermsMsg {
    #[prost(bool, tag = "1")]
    pub(crate) on_ship: bool,
    #[prost(uint64, tag = "2")]
    cancel: u64,
    #[prost(uint64, optional, tag = "3")]
    returns: Option<u64>,
}

pub(crate) fn put_terms(terms: Terms) -> Option<TermsMsg> {
    let Terms { on_ship, cancel, returns } = terms;
    (terms != Terms::default()).then_some(TermsMsg {
        on_ship,
        cancel: cancel.0,
        returns: returns.map(|window| window.0),
    })
}

pub(crate) fn read_terms(message: Option<TermsMsg>) -> Terms {
    message.map_or_else(Terms::default, |message| Terms {
        on_ship: message.on_ship,
        cancel: DurationMs(message.cancel),
        returns: message.returns.map(DurationMs),
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct LineTruthMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(message, required, tag = "2")]
    now: TruthMsg,
    #[prost(message, required, tag = "3")]
    was: TruthMsg,
}

impl From<&LineTruth> for LineTruthMsg {
    fn from(line: &LineTruth) -> Self {
        Self { pool: pool_key_bytes(&line.pool), now: line.now.into(), was: line.was.into() }
    }
}

impl TryFrom<LineTruthMsg> for LineTruth {
    type Error = Corrupt;

    fn try_from(message: LineTruthMsg) -> Result<Self, Corrupt> {
        if message.now.got().is_none() || message.was.got().is_none() {
            return Err(Corrupt::new("cart message", "has counts beyond 2^32"));
        }
        Ok(Self { pool: read_pool_key(message.pool)?, now: message.now.into(), was: message.was.into() })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct SentMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, required, tag = "3")]
    number: NumberMsg,
    #[prost(uint32, tag = "4")]
    home: u32,
    #[prost(message, required, tag = "5")]
    floor: NumberMsg,
    #[prost(message, optional, tag = "6")]
    last: Option<PositionMsg>,
}

impl From<&Sent> for SentMsg {
    fn from(from: &Sent) -> Self {
        let (id_high, id_low) = halves(from.id.to_bytes());
        Self {
            id_high,
            id_low,
            number: from.number.into(),
            home: from.home.0,
            floor: from.floor.into(),
            last: from.last.map(PositionMsg::from),
        }
    }
}

impl TryFrom<SentMsg> for Sent {
    type Error = Corrupt;

    fn try_from(message: SentMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            number: message.number.into(),
            home: ShardId(message.home),
            floor: message.floor.into(),
            last: message.last.map(Position::from),
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WantedMsg {
    #[prost(uint32, tag = "1")]
    at: u32,
    #[prost(message, required, tag = "2")]
    line: LineMsg,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PrepareMsg {
    #[prost(message, required, tag = "1")]
    from: SentMsg,
    #[prost(bytes = "bytes", tag = "2")]
    namespace: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    owner: Bytes,
    #[prost(bool, tag = "4")]
    best_effort: bool,
    #[prost(message, repeated, tag = "5")]
    wanted: Vec<WantedMsg>,
    #[prost(message, repeated, tag = "6")]
    base: Vec<LineTruthMsg>,
    #[prost(uint32, tag = "7")]
    zone: u32,
    #[prost(message, repeated, tag = "8")]
    ships: Vec<ShippingMsg>,
    #[prost(uint64, tag = "9")]
    deadline: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ShippingMsg {
    #[prost(uint32, tag = "1")]
    at: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pool: Bytes,
    #[prost(uint32, tag = "3")]
    units: u32,
}

impl From<&Shipping> for ShippingMsg {
    fn from(shipping: &Shipping) -> Self {
        Self { at: shipping.at, pool: pool_key_bytes(&shipping.pool), units: shipping.units }
    }
}

impl TryFrom<ShippingMsg> for Shipping {
    type Error = Corrupt;

    fn try_from(message: ShippingMsg) -> Result<Self, Corrupt> {
        Ok(Self { at: message.at, pool: read_pool_key(message.pool)?, units: message.units })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct DecideMsg {
    #[prost(message, required, tag = "1")]
    from: SentMsg,
    #[prost(bytes = "bytes", tag = "2")]
    owner: Bytes,
    #[prost(uint64, tag = "3")]
    deadline: u64,
    #[prost(message, repeated, tag = "4")]
    lines: Vec<LineTruthMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GrantedMsg {
    #[prost(uint32, tag = "1")]
    at: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pool: Bytes,
    #[prost(uint32, tag = "3")]
    units: u32,
    #[prost(bool, tag = "4")]
    contended: bool,
    /// With a policy alone.
    #[prost(uint32, tag = "5")]
    asked: u32,
    /// Version of the settings whose policy chose the pool, and one more; 0: the request named it.
    #[prost(uint64, tag = "6")]
    policy: u64,
    #[prost(message, optional, tag = "7")]
    terms: Option<TermsMsg>,
}

impl From<&Granted> for GrantedMsg {
    fn from(granted: &Granted) -> Self {
        let (asked, policy) = put_chosen(granted.chosen);
        Self {
            at: granted.at,
            pool: pool_key_bytes(&granted.pool),
            units: granted.units,
            contended: granted.contended,
            asked,
            policy,
            terms: put_terms(granted.terms),
        }
    }
}

impl TryFrom<GrantedMsg> for Granted {
    type Error = Corrupt;

    fn try_from(message: GrantedMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            at: message.at,
            pool: read_pool_key(message.pool)?,
            units: message.units,
            contended: message.contended,
            chosen: read_chosen(message.asked, message.policy),
            terms: read_terms(message.terms),
        })
    }
}

/// Units asked, and the version of the settings and one more; both 0 if no policy chose.
pub(super) fn put_chosen(chosen: Option<Chosen>) -> (u32, u64) {
    chosen.map_or((0, 0), |chosen| (chosen.asked, chosen.policy.saturating_add(1)))
}

pub(super) fn read_chosen(asked: u32, policy: u64) -> Option<Chosen> {
    policy.checked_sub(1).map(|policy| Chosen { asked, policy })
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AnswerMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, required, tag = "3")]
    number: NumberMsg,
    #[prost(uint32, tag = "4")]
    from: u32,
    #[prost(message, repeated, tag = "5")]
    granted: Vec<GrantedMsg>,
    #[prost(message, optional, tag = "6")]
    refused: Option<RefusalMsg>,
    #[prost(message, optional, tag = "7")]
    last: Option<PositionMsg>,
}

impl From<&Answer> for AnswerMsg {
    fn from(answer: &Answer) -> Self {
        let (id_high, id_low) = halves(answer.id.to_bytes());
        let granted = answer.result.iter().flatten();
        Self {
            id_high,
            id_low,
            number: answer.number.into(),
            from: answer.from.0,
            granted: granted.map(GrantedMsg::from).collect(),
            refused: answer.result.as_ref().err().map(RefusalMsg::from),
            last: answer.last.map(PositionMsg::from),
        }
    }
}

impl TryFrom<AnswerMsg> for Answer {
    type Error = Corrupt;

    fn try_from(message: AnswerMsg) -> Result<Self, Corrupt> {
        let granted = message.granted.into_iter().map(Granted::try_from).collect::<Result<_, _>>()?;
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            number: message.number.into(),
            from: ShardId(message.from),
            result: match message.refused {
                Some(refused) => Err(Refusal::try_from(refused)?),
                None => Ok(granted),
            },
            last: message.last.map(Position::from),
        })
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct AskMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, required, tag = "3")]
    number: NumberMsg,
    /// Who asks; in the answer, who is asked.
    #[prost(uint32, tag = "4")]
    shard: u32,
}

impl AskMsg {
    fn new(id: ReservationId, number: Number, shard: ShardId) -> Self {
        let (id_high, id_low) = halves(id.to_bytes());
        Self { id_high, id_low, number: number.into(), shard: shard.0 }
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct FloorMsg {
    #[prost(uint32, tag = "1")]
    home: u32,
    #[prost(message, required, tag = "2")]
    floor: NumberMsg,
}

impl From<&Message> for CartMsg {
    fn from(message: &Message) -> Self {
        let kind = match message {
            Message::Prepare(prepare) => KindMsg::Prepare(PrepareMsg {
                from: SentMsg::from(&prepare.from),
                namespace: prepare.namespace.to_shared(),
                owner: prepare.owner.to_shared(),
                best_effort: prepare.best_effort,
                zone: prepare.zone,
                wanted: prepare
                    .wanted
                    .iter()
                    .map(|wanted| WantedMsg { at: wanted.at, line: LineMsg::from(&wanted.line) })
                    .collect(),
                base: prepare.base.iter().map(LineTruthMsg::from).collect(),
                ships: prepare.ships.iter().map(ShippingMsg::from).collect(),
                deadline: prepare.deadline.0,
            }),
            Message::Decide(decide) => KindMsg::Decide(DecideMsg {
                from: SentMsg::from(&decide.from),
                owner: decide.owner.to_shared(),
                deadline: decide.deadline.0,
                lines: decide.lines.iter().map(LineTruthMsg::from).collect(),
            }),
            Message::Answer(answer) => KindMsg::Answer(AnswerMsg::from(answer)),
            Message::Ask(ask) => KindMsg::Ask(AskMsg::new(ask.id, ask.number, ask.from)),
            Message::Gone(gone) => KindMsg::Gone(AskMsg::new(gone.id, gone.number, gone.home)),
            Message::Floor(floor) => KindMsg::Floor(FloorMsg { home: floor.home.0, floor: floor.floor.into() }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<CartMsg> for Message {
    type Error = Corrupt;

    fn try_from(message: CartMsg) -> Result<Self, Corrupt> {
        let kind = message.kind.ok_or_else(|| Corrupt::new("cart message", "is of a kind not known to this build"))?;
        Ok(match kind {
            KindMsg::Prepare(message) => Self::Prepare(Prepare {
                from: message.from.try_into()?,
                namespace: Namespace::new(message.namespace).map_err(|bad| Corrupt::new("namespace", bad))?,
                owner: Owner::new(message.owner).map_err(|bad| Corrupt::new("owner", bad))?,
                best_effort: message.best_effort,
                zone: message.zone,
                wanted: message
                    .wanted
                    .into_iter()
                    .map(|wanted| Ok(Wanted { at: wanted.at, line: Line::try_from(wanted.line)? }))
                    .collect::<Result<_, Corrupt>>()?,
                base: message.base.into_iter().map(LineTruth::try_from).collect::<Result<_, _>>()?,
                ships: message.ships.into_iter().map(Shipping::try_from).collect::<Result<_, _>>()?,
                deadline: TimeMs(message.deadline),
            }),
            KindMsg::Decide(message) => Self::Decide(Decide {
                from: message.from.try_into()?,
                owner: Owner::new(message.owner).map_err(|bad| Corrupt::new("owner", bad))?,
                deadline: TimeMs(message.deadline),
                lines: message.lines.into_iter().map(LineTruth::try_from).collect::<Result<_, _>>()?,
            }),
            KindMsg::Answer(message) => Self::Answer(message.try_into()?),
            KindMsg::Ask(message) => Self::Ask(Ask {
                id: reservation_id(message.id_high, message.id_low)?,
                number: message.number.into(),
                from: ShardId(message.shard),
            }),
            KindMsg::Gone(message) => Self::Gone(Gone {
                id: reservation_id(message.id_high, message.id_low)?,
                number: message.number.into(),
                home: ShardId(message.shard),
            }),
            KindMsg::Floor(message) => Self::Floor(Floor { home: ShardId(message.home), floor: message.floor.into() }),
        })
    }
}

pub(super) fn asked(tag: u32) -> Result<Asked, Corrupt> {
    match tag {
        1 => Ok(Asked::Keep),
        2 => Ok(Asked::Gone),
        _ => Err(Corrupt::new("answer to an ask", "is not known to this build")),
    }
}
