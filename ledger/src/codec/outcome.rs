//! Bytes of outcomes: for answering through another node, and for remembering them.

use super::{
    Corrupt,
    cart::{AnswerMsg, NumberMsg, asked},
    frame,
    pool::{PoolViewMsg, halves, quantity, reservation_id},
    told::{LimitExceededMsg, SettingsViewMsg, StockChangeMsg, TransferredMsg},
    unframe,
};
use crate::{
    cart::message::Answer,
    outcome::{
        BadField, Done, LimitExceeded, LineGot, LineView, Missing, Outcome, Pending, Refusal, ReservationState,
        ReservationView, Reserved, Shortage, Verdict,
    },
    records::{PoolName, pool_key_bytes, read_pool_key},
    types::{Epoch, LogIndex, Namespace, OperationId, Owner, Position, Reason, ReservationId, ShardId, Sku, TimeMs},
};
use bytes::Bytes;

/// Bytes of one outcome.
pub fn encode_outcome(outcome: &Outcome) -> Bytes {
    let verdict = match &outcome.verdict {
        Verdict::Done(Done::Reserved(reserved)) => VerdictMsg::Reserved(ReservedMsg::from(reserved)),
        Verdict::Done(Done::Reservation(view)) => VerdictMsg::Reservation(ReservationMsg::from(&**view)),
        Verdict::Done(Done::Pool(view)) => VerdictMsg::Pool(PoolViewMsg::from(&**view)),
        Verdict::Done(Done::Noted) => VerdictMsg::Noted(NotedMsg {}),
        Verdict::Done(Done::Pending(pending)) => {
            let (id_high, id_low) = halves(pending.id.to_bytes());
            VerdictMsg::Pending(PendingMsg { id_high, id_low, number: pending.number.into() })
        }
        Verdict::Done(Done::Answered(answer)) => {
            VerdictMsg::Answered(AnsweredMsg { answer: answer.as_deref().map(AnswerMsg::from) })
        }
        Verdict::Done(Done::Asked(asked)) => VerdictMsg::Asked(AskedMsg { asked: *asked as u32 }),
        Verdict::Done(Done::Stock(change)) => VerdictMsg::Stock((&**change).into()),
        Verdict::Done(Done::Transfer(told)) => VerdictMsg::Transfer((&**told).into()),
        Verdict::Done(Done::Settings(view)) => VerdictMsg::Settings((&**view).into()),
        Verdict::Refused(refusal) => VerdictMsg::Refused(RefusalMsg::from(refusal)),
    };
    frame(&OutcomeMsg {
        replayed: outcome.replayed,
        shard: outcome.position.shard.0,
        epoch: outcome.position.epoch.0,
        index: outcome.position.index.0,
        ordinal: outcome.position.ordinal,
        time: outcome.time.0,
        verdict: Some(verdict),
    })
}

/// Reads what [`encode_outcome`] wrote.
///
/// # Errors
/// [`Corrupt`] if it is anything else.
pub fn decode_outcome(bytes: Bytes) -> Result<Outcome, Corrupt> {
    let message: OutcomeMsg = unframe("outcome", bytes)?;
    let verdict = match message.verdict.ok_or_else(|| Corrupt::new("outcome", "has no verdict known to this build"))? {
        VerdictMsg::Reserved(message) => Verdict::Done(Done::Reserved(message.try_into()?)),
        VerdictMsg::Reservation(message) => Verdict::Done(Done::Reservation(Box::new(message.try_into()?))),
        VerdictMsg::Pool(message) => Verdict::Done(Done::Pool(Box::new(message.try_into()?))),
        VerdictMsg::Noted(NotedMsg {}) => Verdict::Done(Done::Noted),
        VerdictMsg::Pending(message) => Verdict::Done(Done::Pending(Pending {
            id: reservation_id(message.id_high, message.id_low)?,
            number: message.number.into(),
        })),
        VerdictMsg::Answered(message) => {
            let answer = message.answer.map(Answer::try_from).transpose()?;
            Verdict::Done(Done::Answered(answer.map(Box::new)))
        }
        VerdictMsg::Asked(message) => Verdict::Done(Done::Asked(asked(message.asked)?)),
        VerdictMsg::Stock(message) => Verdict::Done(Done::Stock(Box::new(message.try_into()?))),
        VerdictMsg::Transfer(message) => Verdict::Done(Done::Transfer(Box::new(message.try_into()?))),
        VerdictMsg::Settings(message) => Verdict::Done(Done::Settings(Box::new(message.try_into()?))),
        VerdictMsg::Refused(message) => Verdict::Refused(message.try_into()?),
    };
    Ok(Outcome {
        verdict,
        replayed: message.replayed,
        position: Position {
            shard: ShardId(message.shard),
            epoch: Epoch(message.epoch),
            index: LogIndex(message.index),
            ordinal: message.ordinal,
        },
        time: TimeMs(message.time),
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct OutcomeMsg {
    #[prost(bool, tag = "1")]
    replayed: bool,
    #[prost(uint32, tag = "2")]
    shard: u32,
    #[prost(uint32, tag = "3")]
    epoch: u32,
    #[prost(uint64, tag = "4")]
    index: u64,
    #[prost(uint32, tag = "5")]
    ordinal: u32,
    #[prost(uint64, tag = "6")]
    time: u64,
    #[prost(oneof = "VerdictMsg", tags = "10, 11, 12, 13, 14, 15, 16, 17, 40, 41, 42")]
    verdict: Option<VerdictMsg>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum VerdictMsg {
    #[prost(message, tag = "10")]
    Reserved(ReservedMsg),
    #[prost(message, tag = "11")]
    Reservation(ReservationMsg),
    #[prost(message, tag = "12")]
    Pool(PoolViewMsg),
    #[prost(message, tag = "13")]
    Noted(NotedMsg),
    #[prost(message, tag = "14")]
    Refused(RefusalMsg),
    #[prost(message, tag = "15")]
    Pending(PendingMsg),
    #[prost(message, tag = "16")]
    Answered(AnsweredMsg),
    #[prost(message, tag = "17")]
    Asked(AskedMsg),
    #[prost(message, tag = "40")]
    Stock(StockChangeMsg),
    #[prost(message, tag = "41")]
    Transfer(TransferredMsg),
    #[prost(message, tag = "42")]
    Settings(SettingsViewMsg),
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct NotedMsg {}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct PendingMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, required, tag = "3")]
    number: NumberMsg,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnsweredMsg {
    /// Absent: the message was too old to be answered.
    #[prost(message, optional, tag = "1")]
    answer: Option<AnswerMsg>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct AskedMsg {
    #[prost(uint32, tag = "1")]
    asked: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReservedMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(message, repeated, tag = "3")]
    lines: Vec<LineMsg>,
    #[prost(bool, tag = "4")]
    all: bool,
    #[prost(uint64, tag = "5")]
    deadline: u64,
}

/// A line as it is told; after a reserve only pool, asked and held (what was got) are set.
#[derive(Clone, PartialEq, prost::Message)]
struct LineMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(uint64, tag = "2")]
    asked: u64,
    #[prost(uint64, tag = "3")]
    held: u64,
    #[prost(uint64, tag = "4")]
    committed: u64,
    #[prost(uint64, tag = "5")]
    released: u64,
    #[prost(uint64, tag = "6")]
    expired: u64,
    #[prost(uint64, tag = "7")]
    shipped: u64,
    #[prost(uint64, tag = "8")]
    cancelled: u64,
    #[prost(uint64, tag = "9")]
    returned: u64,
    #[prost(uint64, tag = "10")]
    returned_unavailable: u64,
    #[prost(uint64, optional, tag = "40")]
    policy: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReservationMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(bytes = "bytes", tag = "3")]
    namespace: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    owner: Bytes,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(message, repeated, tag = "6")]
    lines: Vec<LineMsg>,
    #[prost(uint64, tag = "7")]
    created: u64,
    #[prost(uint64, tag = "8")]
    deadline: u64,
    #[prost(uint64, tag = "9")]
    since: u64,
    #[prost(uint32, tag = "10")]
    revision: u32,
    /// Absent: every participant has answered.
    #[prost(bool, tag = "11")]
    unsettled: bool,
    #[prost(bool, tag = "12")]
    paying: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RefusalMsg {
    /// Which refusal: permanent numbers, below in `TryFrom`.
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<FieldMsg>,
    /// A SKU, a pool's key or the 16 bytes of a reservation, by the code.
    #[prost(bytes = "bytes", tag = "3")]
    missing: Bytes,
    /// A time, by the code.
    #[prost(uint64, tag = "4")]
    time: u64,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint64, tag = "6")]
    on_hand: u64,
    #[prost(message, repeated, tag = "7")]
    shortages: Vec<ShortageMsg>,
    #[prost(uint64, tag = "40")]
    version: u64,
    #[prost(bytes = "bytes", tag = "41")]
    reason: Bytes,
    #[prost(message, optional, tag = "42")]
    limit: Option<LimitExceededMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FieldMsg {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    problem: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct ShortageMsg {
    #[prost(uint32, tag = "1")]
    line: u32,
    #[prost(uint64, tag = "2")]
    asked: u64,
    #[prost(uint64, tag = "3")]
    sellable: u64,
    #[prost(uint64, optional, tag = "40")]
    earliest: Option<u64>,
}

impl From<&Reserved> for ReservedMsg {
    fn from(reserved: &Reserved) -> Self {
        let (id_high, id_low) = halves(reserved.id.to_bytes());
        let lines = reserved
            .lines
            .iter()
            .map(|line| LineMsg {
                pool: line.pool.to_shared(),
                asked: line.asked.units(),
                held: line.got.units(),
                policy: line.policy,
                ..LineMsg::default()
            })
            .collect();
        Self { id_high, id_low, lines, all: reserved.all, deadline: reserved.deadline.0 }
    }
}

impl TryFrom<ReservedMsg> for Reserved {
    type Error = Corrupt;

    fn try_from(message: ReservedMsg) -> Result<Self, Corrupt> {
        let line = |line: LineMsg| {
            Ok(LineGot {
                pool: PoolName::read(line.pool)?,
                asked: quantity(line.asked)?,
                got: quantity(line.held)?,
                policy: line.policy,
            })
        };
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            lines: message.lines.into_iter().map(line).collect::<Result<_, Corrupt>>()?,
            all: message.all,
            deadline: TimeMs(message.deadline),
        })
    }
}

impl From<&ReservationView> for ReservationMsg {
    fn from(view: &ReservationView) -> Self {
        let (id_high, id_low) = halves(view.id.to_bytes());
        let lines = view
            .lines
            .iter()
            .map(|line| LineMsg {
                pool: pool_key_bytes(&line.pool),
                asked: line.asked.units(),
                held: line.held.units(),
                committed: line.committed.units(),
                released: line.released.units(),
                expired: line.expired.units(),
                shipped: line.shipped.units(),
                cancelled: line.cancelled.units(),
                returned: line.returned.units(),
                returned_unavailable: line.returned_unavailable.units(),
                policy: None,
            })
            .collect();
        Self {
            id_high,
            id_low,
            namespace: view.namespace.to_shared(),
            owner: view.owner.to_shared(),
            state: u32::from(view.state.tag()),
            lines,
            created: view.created.0,
            deadline: view.deadline.0,
            since: view.since.0,
            revision: view.revision,
            unsettled: !view.settled,
            paying: view.paying,
        }
    }
}

impl TryFrom<ReservationMsg> for ReservationView {
    type Error = Corrupt;

    fn try_from(message: ReservationMsg) -> Result<Self, Corrupt> {
        let line = |line: LineMsg| {
            Ok(LineView {
                pool: read_pool_key(line.pool)?,
                asked: quantity(line.asked)?,
                held: quantity(line.held)?,
                committed: quantity(line.committed)?,
                released: quantity(line.released)?,
                expired: quantity(line.expired)?,
                shipped: quantity(line.shipped)?,
                cancelled: quantity(line.cancelled)?,
                returned: quantity(line.returned)?,
                returned_unavailable: quantity(line.returned_unavailable)?,
            })
        };
        Ok(Self {
            id: reservation_id(message.id_high, message.id_low)?,
            namespace: Namespace::new(message.namespace).map_err(|bad| Corrupt::new("namespace", bad))?,
            owner: Owner::new(message.owner).map_err(|bad| Corrupt::new("owner", bad))?,
            state: state(message.state)?,
            lines: message.lines.into_iter().map(line).collect::<Result<_, Corrupt>>()?,
            created: TimeMs(message.created),
            deadline: TimeMs(message.deadline),
            since: TimeMs(message.since),
            revision: message.revision,
            settled: !message.unsettled,
            paying: message.paying,
        })
    }
}

fn state(tag: u32) -> Result<ReservationState, Corrupt> {
    u8::try_from(tag)
        .ok()
        .and_then(ReservationState::from_tag)
        .ok_or_else(|| Corrupt::new("reservation state", format_args!("{tag} is not in use")))
}

impl From<&Refusal> for RefusalMsg {
    fn from(refusal: &Refusal) -> Self {
        let code = |code| Self { code, ..Self::default() };
        match refusal {
            Refusal::IdempotencyConflict => code(1),
            Refusal::IdempotencyTooOld => code(2),
            Refusal::InvalidArgument(fields) => Self {
                fields: fields
                    .iter()
                    .map(|bad| FieldMsg { field: bad.field.clone(), problem: bad.problem.clone() })
                    .collect(),
                ..code(3)
            },
            Refusal::Late => code(4),
            Refusal::NotFound(Missing::Sku(sku)) => Self { missing: sku.to_shared(), ..code(5) },
            Refusal::NotFound(Missing::Pool(pool)) => Self { missing: pool_key_bytes(pool), ..code(6) },
            Refusal::NotFound(Missing::Reservation(id)) => {
                Self { missing: Bytes::copy_from_slice(&id.to_bytes()), ..code(7) }
            }
            Refusal::NotFound(Missing::Line(pool)) => Self { missing: pool_key_bytes(pool), ..code(8) },
            Refusal::NotFound(Missing::Transfer(id)) => {
                Self { missing: Bytes::copy_from_slice(&id.to_bytes()), ..code(41) }
            }
            Refusal::WrongShard => code(9),
            Refusal::ReservationExpired { since } => Self { time: since.0, ..code(10) },
            Refusal::ReservationState { state, since } => {
                Self { state: u32::from(state.tag()), time: since.0, ..code(11) }
            }
            Refusal::ExtensionLimit { latest } => Self { time: latest.0, ..code(12) },
            Refusal::VersionStale { on_hand } => Self { on_hand: on_hand.units(), ..code(13) },
            Refusal::SettingsStale { version } => Self { version: *version, ..code(40) },
            Refusal::SkuFrozen { reason } => Self { reason: reason.to_shared(), ..code(14) },
            Refusal::SaleNotOpen { opens } => Self { time: opens.0, ..code(15) },
            Refusal::SaleClosed => code(16),
            Refusal::LimitExceeded(exceeded) => Self {
                // Of nothing but defaults there is no message, as before there was one.
                limit: (*exceeded != LimitExceeded::default()).then(|| exceeded.into()),
                ..code(17)
            },
            Refusal::PolicyUnsatisfiable => code(18),
            Refusal::Contended => code(19),
            Refusal::InsufficientStock(shortages) => Self {
                shortages: shortages
                    .iter()
                    .map(|short| ShortageMsg {
                        line: short.line,
                        asked: short.asked.units(),
                        sellable: short.sellable.units(),
                        earliest: short.earliest.map(|date| date.0),
                    })
                    .collect(),
                ..code(20)
            },
        }
    }
}

impl TryFrom<RefusalMsg> for Refusal {
    type Error = Corrupt;

    fn try_from(message: RefusalMsg) -> Result<Self, Corrupt> {
        let time = TimeMs(message.time);
        Ok(match message.code {
            1 => Self::IdempotencyConflict,
            2 => Self::IdempotencyTooOld,
            3 => Self::InvalidArgument(
                message.fields.into_iter().map(|bad| BadField { field: bad.field, problem: bad.problem }).collect(),
            ),
            4 => Self::Late,
            5 => Self::NotFound(Missing::Sku(Sku::new(message.missing).map_err(|bad| Corrupt::new("sku", bad))?)),
            6 => Self::NotFound(Missing::Pool(Box::new(read_pool_key(message.missing)?))),
            7 => Self::NotFound(Missing::Reservation(
                ReservationId::from_slice(&message.missing).map_err(|bad| Corrupt::new("reservation id", bad))?,
            )),
            8 => Self::NotFound(Missing::Line(Box::new(read_pool_key(message.missing)?))),
            9 => Self::WrongShard,
            10 => Self::ReservationExpired { since: time },
            11 => Self::ReservationState { state: state(message.state)?, since: time },
            12 => Self::ExtensionLimit { latest: time },
            13 => Self::VersionStale { on_hand: quantity(message.on_hand)? },
            14 => Self::SkuFrozen { reason: Reason::new(message.reason).map_err(|bad| Corrupt::new("reason", bad))? },
            15 => Self::SaleNotOpen { opens: time },
            16 => Self::SaleClosed,
            17 => Self::LimitExceeded(message.limit.map(LimitExceeded::try_from).transpose()?.unwrap_or_default()),
            18 => Self::PolicyUnsatisfiable,
            19 => Self::Contended,
            20 => Self::InsufficientStock(
                message
                    .shortages
                    .into_iter()
                    .map(|short| {
                        Ok(Shortage {
                            line: short.line,
                            asked: quantity(short.asked)?,
                            sellable: quantity(short.sellable)?,
                            earliest: short.earliest.map(TimeMs),
                        })
                    })
                    .collect::<Result<_, Corrupt>>()?,
            ),
            40 => Self::SettingsStale { version: message.version },
            41 => Self::NotFound(Missing::Transfer(
                OperationId::from_slice(&message.missing).map_err(|bad| Corrupt::new("operation id", bad))?,
            )),
            other => return Err(Corrupt::new("refusal", format_args!("code {other} is not known to this build"))),
        })
    }
}
