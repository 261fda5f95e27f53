//! Bytes of what carts over several shards keep: home's part of a reservation's record, and a participant's record.

use super::{
    Corrupt,
    cart::{GrantedMsg, NumberMsg, PositionMsg, TermsMsg, TruthMsg, put_chosen, put_terms, read_chosen, read_terms},
    command::{ContextMsg, LineMsg},
    outcome::RefusalMsg,
    pool::{halves, operation_id, reservation_id},
    put_frame,
    record::SpotMsg,
    unframe,
};
use crate::{
    cart::{
        Number,
        message::{Granted, Truth},
    },
    command::Line,
    outcome::Refusal,
    records::read_pool_key,
    state::{
        Cart, Mark, Part, PartGranted, PartLine, Participant, Pieces, Pool, RemoteLine, Round, RoundKind, RoundLine,
        RoundOwn, Row, Stock,
    },
    types::{DurationMs, Namespace, Owner, Position, ReservationId, ShardId, TimeMs},
};
use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CartMsg {
    #[prost(bytes = "bytes", tag = "1")]
    namespace: Bytes,
    #[prost(message, repeated, tag = "2")]
    remote: Vec<RemoteLineMsg>,
    #[prost(message, repeated, tag = "3")]
    participants: Vec<ParticipantMsg>,
    #[prost(message, optional, tag = "4")]
    round: Option<RoundMsg>,
    #[prost(message, required, tag = "5")]
    decided: SpotMsg,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RemoteLineMsg {
    #[prost(uint32, tag = "1")]
    place: u32,
    #[prost(uint32, tag = "2")]
    shard: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pool: Bytes,
    #[prost(uint32, tag = "4")]
    asked: u32,
    #[prost(message, required, tag = "5")]
    now: TruthMsg,
    #[prost(message, required, tag = "6")]
    was: TruthMsg,
    /// Version of the settings whose policy chose the pool, and one more; 0: the request named it.
    #[prost(uint64, tag = "7")]
    policy: u64,
    #[prost(message, optional, tag = "8")]
    terms: Option<TermsMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ParticipantMsg {
    #[prost(uint32, tag = "1")]
    shard: u32,
    #[prost(message, required, tag = "2")]
    number: NumberMsg,
    /// Kind of the open row; 0: none.
    #[prost(uint32, tag = "3")]
    row: u32,
    #[prost(message, optional, tag = "4")]
    last: Option<PositionMsg>,
    /// Absent: the same as `number`, or nothing is open.
    #[prost(message, optional, tag = "5")]
    oldest: Option<NumberMsg>,
    #[prost(message, optional, tag = "6")]
    context: Option<ContextMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoundMsg {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(message, required, tag = "2")]
    number: NumberMsg,
    #[prost(uint64, tag = "3")]
    until: u64,
    #[prost(uint64, tag = "4")]
    ttl: u64,
    #[prost(bool, tag = "5")]
    best_effort: bool,
    #[prost(uint64, tag = "6")]
    not_after: u64,
    #[prost(uint32, tag = "7")]
    attempt: u32,
    #[prost(fixed64, optional, tag = "8")]
    operation_high: Option<u64>,
    #[prost(fixed64, optional, tag = "9")]
    operation_low: Option<u64>,
    #[prost(message, repeated, tag = "10")]
    wanted: Vec<RoundLineMsg>,
    #[prost(message, repeated, tag = "11")]
    granted: Vec<GrantedMsg>,
    #[prost(message, optional, tag = "12")]
    context: Option<ContextMsg>,
    #[prost(uint32, repeated, tag = "13")]
    own_at: Vec<u32>,
    #[prost(uint32, tag = "14")]
    zone: u32,
    #[prost(fixed64, tag = "15")]
    print: u64,
    #[prost(message, repeated, tag = "16")]
    own: Vec<RoundOwnMsg>,
    #[prost(bool, tag = "17")]
    heard: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoundOwnMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(uint32, tag = "2")]
    asked: u32,
    #[prost(uint32, tag = "3")]
    units: u32,
    #[prost(uint32, tag = "4")]
    extra: u32,
    #[prost(uint64, tag = "5")]
    policy: u64,
    #[prost(message, optional, tag = "6")]
    terms: Option<TermsMsg>,
}

impl From<&RoundOwn> for RoundOwnMsg {
    fn from(own: &RoundOwn) -> Self {
        let RoundOwn { pool, asked, units, extra, policy, terms } = own;
        Self {
            pool: pool.clone(),
            asked: *asked,
            units: *units,
            extra: *extra,
            policy: *policy,
            terms: put_terms(*terms),
        }
    }
}

impl TryFrom<RoundOwnMsg> for RoundOwn {
    type Error = Corrupt;

    fn try_from(message: RoundOwnMsg) -> Result<Self, Corrupt> {
        let RoundOwnMsg { pool, asked, units, extra, policy, terms } = message;
        read_pool_key(pool.clone())?;
        if extra > units || units > asked {
            return Err(Corrupt::new("reservation record", "prepares more units than were asked for"));
        }
        Ok(Self { pool, asked, units, extra, policy, terms: read_terms(terms) })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct RoundLineMsg {
    #[prost(uint32, tag = "1")]
    shard: u32,
    #[prost(uint32, tag = "2")]
    at: u32,
    #[prost(uint32, tag = "4")]
    place: u32,
    #[prost(message, required, tag = "3")]
    line: LineMsg,
}

impl From<&Cart> for CartMsg {
    fn from(cart: &Cart) -> Self {
        Self {
            namespace: cart.namespace.to_shared(),
            remote: cart
                .remote
                .iter()
                .map(|line| RemoteLineMsg {
                    place: line.place,
                    shard: line.shard.0,
                    pool: line.pool.clone(),
                    asked: line.asked,
                    now: line.now.into(),
                    was: line.was.into(),
                    policy: line.policy,
                    terms: put_terms(line.terms),
                })
                .collect(),
            participants: cart
                .participants
                .iter()
                .map(|participant| ParticipantMsg {
                    shard: participant.shard.0,
                    number: participant.number.into(),
                    row: participant.row.map_or(0, |row| row as u32),
                    last: participant.last.map(PositionMsg::from),
                    oldest: Some(participant.oldest)
                        .filter(|oldest| participant.row.is_some() && *oldest != participant.number)
                        .map(NumberMsg::from),
                    context: participant.context.as_deref().map(ContextMsg::from),
                })
                .collect(),
            round: cart.round.as_deref().map(RoundMsg::from),
            decided: cart.decided.into(),
        }
    }
}

impl From<&Round> for RoundMsg {
    fn from(round: &Round) -> Self {
        let operation = round.operation.map(|id| halves(id.to_bytes()));
        Self {
            kind: round.kind as u32,
            number: round.number.into(),
            until: round.until.0,
            ttl: round.ttl.0,
            best_effort: round.best_effort,
            not_after: round.not_after.0,
            attempt: round.attempt,
            heard: round.heard,
            operation_high: operation.map(|(high, _)| high),
            operation_low: operation.map(|(_, low)| low),
            wanted: round
                .wanted
                .iter()
                .map(|wanted| RoundLineMsg {
                    shard: wanted.shard.0,
                    at: wanted.at,
                    place: wanted.place,
                    line: LineMsg::from(&wanted.line),
                })
                .collect(),
            granted: round.granted.iter().map(GrantedMsg::from).collect(),
            context: round.context.as_deref().map(ContextMsg::from),
            own_at: round.own_at.clone(),
            zone: round.zone,
            print: round.print,
            own: round.own.iter().map(RoundOwnMsg::from).collect(),
        }
    }
}

impl CartMsg {
    /// Whether what it says of its rows can be: one row for a participant and number.
    fn check_rows(&self) -> Result<(), Corrupt> {
        let bad = |problem| Err(Corrupt::new("reservation record", problem));
        if self.participants.windows(2).any(|two| two[0].shard >= two[1].shard) {
            return bad("has its participants out of order");
        }
        let older = |row: &ParticipantMsg| row.oldest.is_some_and(|oldest| Number::from(oldest) > row.number.into());
        if self.participants.iter().any(older) {
            return bad("has a row that is older than itself");
        }
        let prepares = self.participants.iter().any(|row| row.row == Row::Prepare as u32);
        if prepares && self.round.is_none() {
            return bad("prepares nothing");
        }
        Ok(())
    }

    /// Pools of the home shard in which something is prepared.
    pub(crate) fn own_pools(&self) -> impl Iterator<Item = &Bytes> + '_ {
        self.round.iter().flat_map(|round| &round.own).map(|own| &own.pool)
    }

    /// Whether a line in another shard is held.
    pub(crate) fn holds(&self) -> bool {
        self.remote.iter().any(|line| line.now.held() > 0)
    }

    pub(crate) fn committed(&self) -> bool {
        self.remote.iter().any(|line| line.now.committed() > 0)
    }

    /// Whether a line in another shard waits to be shipped.
    pub(crate) fn unshipped(&self) -> bool {
        self.remote.iter().any(|line| line.terms.is_some_and(|terms| terms.on_ship) && line.now.unshipped() > 0)
    }

    pub(crate) fn opening(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.kind == RoundKind::Open as u32)
    }

    pub(crate) fn unsettled(&self) -> bool {
        self.participants.iter().any(|participant| participant.row != 0)
    }

    pub(crate) fn cart(self) -> Result<Cart, Corrupt> {
        self.check_rows()?;
        let bad = |problem| Corrupt::new("reservation record", problem);
        let remote = |line: RemoteLineMsg| {
            if line.now.got().is_none_or(|got| got > line.asked) || line.was.got().is_none() {
                return Err(bad("has more units elsewhere than were asked for"));
            }
            read_pool_key(line.pool.clone())?;
            Ok(RemoteLine {
                place: line.place,
                shard: ShardId(line.shard),
                pool: line.pool,
                asked: line.asked,
                now: line.now.into(),
                was: line.was.into(),
                policy: line.policy,
                terms: read_terms(line.terms),
            })
        };
        let participant = |participant: ParticipantMsg| {
            let row = match participant.row {
                0 => None,
                1 => Some(Row::Prepare),
                2 => Some(Row::Decide),
                _ => return Err(bad("has a row of a kind not known to this build")),
            };
            let last = participant.last.map(Position::from);
            let number = participant.number.into();
            let oldest = participant.oldest.map_or(number, Number::from);
            let context = participant.context.map(|context| context.context().map(Box::new)).transpose()?;
            Ok(Participant { shard: ShardId(participant.shard), number, oldest, row, last, context })
        };
        Ok(Cart {
            namespace: Namespace::new(self.namespace).map_err(|bad| Corrupt::new("namespace", bad))?,
            remote: self.remote.into_iter().map(remote).collect::<Result<_, _>>()?,
            participants: self.participants.into_iter().map(participant).collect::<Result<_, _>>()?,
            round: self.round.map(|round| round.round().map(Box::new)).transpose()?,
            decided: self.decided.into(),
        })
    }

    /// What is told of the lines in other shards: place, key and counts.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u32, &Bytes, u32, Truth)> + '_ {
        self.remote.iter().map(|line| (line.place, &line.pool, line.asked, line.now.into()))
    }

    pub(crate) fn namespace(&self) -> Result<Namespace, Corrupt> {
        Namespace::new(self.namespace.clone()).map_err(|bad| Corrupt::new("namespace", bad))
    }
}

impl RoundMsg {
    fn round(self) -> Result<Round, Corrupt> {
        let kind = match self.kind {
            1 => RoundKind::Open,
            2 => RoundKind::Replace,
            3 => RoundKind::Revive,
            4 => RoundKind::Ship,
            _ => return Err(Corrupt::new("reservation record", "prepares in a way not known to this build")),
        };
        let operation = match (self.operation_high, self.operation_low) {
            (Some(high), Some(low)) => Some(operation_id(high, low)?),
            _ => None,
        };
        let wanted = |line: RoundLineMsg| {
            Ok(RoundLine {
                shard: ShardId(line.shard),
                at: line.at,
                place: line.place,
                line: Line::try_from(line.line)?,
            })
        };
        Ok(Round {
            kind,
            number: self.number.into(),
            until: TimeMs(self.until),
            ttl: DurationMs(self.ttl),
            best_effort: self.best_effort,
            not_after: TimeMs(self.not_after),
            attempt: self.attempt,
            heard: self.heard,
            operation,
            wanted: self.wanted.into_iter().map(wanted).collect::<Result<_, Corrupt>>()?,
            granted: self.granted.into_iter().map(Granted::try_from).collect::<Result<_, _>>()?,
            context: self.context.map(|context| context.context().map(Box::new)).transpose()?,
            own_at: self.own_at,
            zone: self.zone,
            print: self.print,
            own: self.own.into_iter().map(RoundOwn::try_from).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PartMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(uint32, tag = "3")]
    home: u32,
    #[prost(message, required, tag = "4")]
    number: NumberMsg,
    #[prost(bytes = "bytes", tag = "5")]
    owner: Bytes,
    #[prost(message, repeated, tag = "6")]
    lines: Vec<PartLineMsg>,
    #[prost(uint64, tag = "7")]
    deadline: u64,
    #[prost(uint64, optional, tag = "8")]
    undecided: Option<u64>,
    #[prost(message, optional, tag = "9")]
    refused: Option<RefusalMsg>,
    #[prost(message, optional, tag = "10")]
    last: Option<SpotMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartLineMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pool: Bytes,
    #[prost(message, required, tag = "2")]
    truth: TruthMsg,
    #[prost(uint32, tag = "3")]
    extra: u32,
    #[prost(uint32, optional, tag = "4")]
    granted_at: Option<u32>,
    #[prost(uint32, tag = "5")]
    granted_units: u32,
    #[prost(bool, tag = "6")]
    granted_contended: bool,
    /// With a policy alone.
    #[prost(uint32, tag = "7")]
    granted_asked: u32,
    /// Version of the settings whose policy chose the pool, and one more; 0: the request named it.
    #[prost(uint64, tag = "8")]
    granted_policy: u64,
    #[prost(message, optional, tag = "9")]
    granted_terms: Option<TermsMsg>,
    #[prost(uint32, tag = "10")]
    shipping: u32,
}

pub(crate) fn put_part(out: &mut Vec<u8>, id: ReservationId, part: &Part, pools: &Pieces<Pool>) {
    let (id_high, id_low) = halves(id.to_bytes());
    let chosen = |line: &PartLine| put_chosen(line.granted.and_then(|granted| granted.chosen));
    let line = |line: &PartLine| PartLineMsg {
        pool: pools[line.pool.index()].shared_key(),
        truth: line.truth.into(),
        extra: line.extra,
        granted_at: line.granted.map(|granted| granted.at),
        granted_units: line.granted.map_or(0, |granted| granted.units),
        granted_contended: line.granted.is_some_and(|granted| granted.contended),
        granted_asked: chosen(line).0,
        granted_policy: chosen(line).1,
        granted_terms: line.granted.and_then(|granted| put_terms(granted.terms)),
        shipping: line.shipping,
    };
    put_frame(
        out,
        &PartMsg {
            id_high,
            id_low,
            home: part.home.0,
            number: part.number.into(),
            owner: Bytes::copy_from_slice(&part.owner),
            lines: part.lines.iter().map(line).collect(),
            deadline: part.deadline.0,
            undecided: part.undecided.map(|since| since.0),
            refused: part.refused.as_deref().map(RefusalMsg::from),
            last: part.last.map(SpotMsg::from),
        },
    );
}

pub(crate) fn decode_part(value: &[u8]) -> Result<PartMsg, Corrupt> {
    unframe("cart record", Bytes::copy_from_slice(value))
}

impl PartMsg {
    /// Keys of the pools it names.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Bytes> + '_ {
        self.lines.iter().map(|line| &line.pool)
    }

    pub(crate) fn part(self, id: ReservationId, stock: &Stock, mark: Mark) -> Result<Part, Corrupt> {
        let bad = |problem| Corrupt::new("cart record", problem);
        if reservation_id(self.id_high, self.id_low)? != id {
            return Err(bad("stands under the key of another"));
        }
        Owner::new(self.owner.clone()).map_err(|bad| Corrupt::new("owner", bad))?;
        let line = |line: PartLineMsg| {
            let pool = stock.find_bytes(&line.pool).ok_or_else(|| bad("names a pool that is not there"))?;
            if line.truth.got().and_then(|got| got.checked_add(line.extra)).is_none() {
                return Err(bad("has counts beyond 2^32"));
            }
            let (units, contended) = (line.granted_units, line.granted_contended);
            let chosen = read_chosen(line.granted_asked, line.granted_policy);
            let terms = read_terms(line.granted_terms);
            let granted = line.granted_at.map(|at| PartGranted { at, units, contended, chosen, terms });
            if line.shipping > line.truth.unshipped() {
                return Err(bad("ships more than is committed"));
            }
            Ok(PartLine { pool, truth: line.truth.into(), extra: line.extra, shipping: line.shipping, granted })
        };
        let lines = self.lines.into_iter().map(line).collect::<Result<Vec<_>, Corrupt>>()?;
        let mut pools: Vec<usize> = lines.iter().map(|line| line.pool.index()).collect();
        pools.sort_unstable();
        if pools.windows(2).any(|two| two[0] == two[1]) {
            return Err(bad("has two lines of one pool"));
        }
        let undecided = self.undecided.map(TimeMs);
        if undecided.is_none() && lines.iter().any(|line: &PartLine| line.extra > 0 || line.shipping > 0) {
            return Err(bad("holds undecided units of nothing undecided"));
        }
        Ok(Part {
            home: ShardId(self.home),
            number: self.number.into(),
            owner: self.owner.as_ref().into(),
            lines,
            deadline: TimeMs(self.deadline),
            undecided,
            refused: self.refused.map(Refusal::try_from).transpose()?.map(Box::new),
            last: self.last.map(Into::into),
            mark,
        })
    }
}

pub(crate) fn put_floor(out: &mut Vec<u8>, floor: Number) {
    put_frame(out, &NumberMsg::from(floor));
}

pub(crate) fn decode_floor(value: &[u8]) -> Result<Number, Corrupt> {
    unframe::<NumberMsg>("floor record", Bytes::copy_from_slice(value)).map(Number::from)
}
