//! What home keeps of a cart over several shards, beside its own lines.

use super::{Ledger, Reservation};
use crate::{
    cart::{
        Number,
        message::{Answer, Decide, From, Granted, LineTruth, Message, Prepare, Shipping, Truth, Wanted},
    },
    command::{Body, Command, Context, Line},
    movement::Spot,
    outcome::pool_of,
    planted::{self, Bug},
    records::read_pool_key,
    settings::Terms,
    types::{DurationMs, Namespace, OperationId, PoolKey, Position, Quantity, ReservationId, ShardId, TimeMs},
};
use bytes::Bytes;

/// A cart with lines in other shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cart {
    pub(crate) namespace: Namespace,
    /// Lines in other shards that are or were held, in the order of their places.
    pub(crate) remote: Vec<RemoteLine>,
    /// In the order of their shards. Who was ever sent a message stays.
    pub(crate) participants: Vec<Participant>,
    /// What is being prepared.
    pub(crate) round: Option<Box<Round>>,
    /// The entry of home's last decision: what it did may be seen in other shards only.
    pub(crate) decided: Spot,
}

/// A line in another shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemoteLine {
    /// Its place in the cart.
    pub(crate) place: u32,
    pub(crate) shard: ShardId,
    /// The pool's key as bytes.
    pub(crate) pool: Bytes,
    pub(crate) asked: u32,
    pub(crate) now: Truth,
    /// As the participant last acknowledged.
    pub(crate) was: Truth,
    /// Version of the settings whose policy chose the pool, and one more; 0: the request named it.
    pub(crate) policy: u64,
    /// What was promised with its units.
    pub(crate) terms: Terms,
}

/// What one participant was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Participant {
    pub(crate) shard: ShardId,
    /// Of the last message.
    pub(crate) number: Number,
    /// Of the oldest message since its last answer, while a row is open.
    pub(crate) oldest: Number,
    /// The message is not answered yet.
    pub(crate) row: Option<Row>,
    /// The reservation's last movement there.
    pub(crate) last: Option<Position>,
    /// Who asked for what the open row says; nobody if time did it.
    pub(crate) context: Option<Box<Context>>,
}

/// Kind of an open row. Tags are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Row {
    Prepare = 1,
    Decide = 2,
}

/// What is prepared in a round. Tags are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RoundKind {
    /// A reserve.
    Open = 1,
    /// A new set of lines; the old ones stay in force meanwhile.
    Replace = 2,
    /// A commit of what has expired.
    Revive = 3,
    /// Committed units that are to leave the house.
    Ship = 4,
}

/// Lines that are being prepared under one number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) kind: RoundKind,
    pub(crate) number: Number,
    /// At this moment it is given up.
    pub(crate) until: TimeMs,
    pub(crate) ttl: DurationMs,
    pub(crate) best_effort: bool,
    pub(crate) zone: u32,
    /// Of the request, for the memory of its outcome.
    pub(crate) not_after: TimeMs,
    pub(crate) attempt: u32,
    pub(crate) heard: bool,
    pub(crate) operation: Option<OperationId>,
    /// Hash of the operation's request; 0 for a reserve, whose own is kept beside it.
    pub(crate) print: u64,
    /// Of each own line its index in the request.
    pub(crate) own_at: Vec<u32>,
    /// Own lines, unless it is a reserve: those stand in the reservation.
    pub(crate) own: Vec<RoundOwn>,
    /// Lines in other shards.
    pub(crate) wanted: Vec<RoundLine>,
    /// Of those that answered.
    pub(crate) granted: Vec<Granted>,
    /// Who asked.
    pub(crate) context: Option<Box<Context>>,
}

/// A line of the home shard that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoundOwn {
    /// The pool's key as bytes.
    pub(crate) pool: Bytes,
    pub(crate) asked: u32,
    /// What it will have: held, committed or shipped.
    pub(crate) units: u32,
    /// Units that moved for it already.
    pub(crate) extra: u32,
    /// Version of the settings whose policy chose the pool, and one more; 0: the request named it.
    pub(crate) policy: u64,
    /// What is promised with the units.
    pub(crate) terms: Terms,
}

/// A line in another shard that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoundLine {
    pub(crate) shard: ShardId,
    /// Index in the request, of the first line of that pool.
    pub(crate) at: u32,
    /// Its place in the cart, if every line gets one pool.
    pub(crate) place: u32,
    pub(crate) line: Line,
}

impl Cart {
    /// Whether a participant has not answered yet.
    pub(crate) fn unsettled(&self) -> bool {
        self.participants.iter().any(|participant| participant.row.is_some())
    }

    /// Whether a reserve is still being prepared.
    pub(crate) fn opening(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.kind == RoundKind::Open)
    }

    pub(crate) fn participant_mut(&mut self, shard: ShardId) -> &mut Participant {
        let at = match self.participants.binary_search_by_key(&shard, |found| found.shard) {
            Ok(at) => at,
            Err(at) => {
                let fresh = Participant {
                    shard,
                    number: Number::default(),
                    oldest: Number::default(),
                    row: None,
                    last: None,
                    context: None,
                };
                self.participants.insert(at, fresh);
                at
            }
        };
        &mut self.participants[at]
    }

    pub(crate) fn participant(&self, shard: ShardId) -> Option<&Participant> {
        self.participants.iter().find(|found| found.shard == shard)
    }

    /// Whether that is the answer to an open row. Any other is late, or was heard before.
    pub(crate) fn waits_for(&self, answer: &Answer) -> bool {
        let of = self.participant(answer.from);
        of.is_some_and(|participant| {
            let same = participant.number == answer.number || planted::on(Bug::OldAnswerCounted);
            participant.row.is_some() && same
        })
    }

    /// The pool of a line that was granted before: such a line names its location.
    pub(crate) fn pool_of(&self, line: &Line) -> PoolKey {
        match &line.location {
            Some(location) => pool_of(&self.namespace, &line.sku, location, line.kind, &line.lot),
            None => super::stop(format_args!("a line of a reservation names no location: {line:?}")),
        }
    }

    fn truths(&self, shard: ShardId) -> Vec<LineTruth> {
        let of = |line: &&RemoteLine| line.shard == shard;
        let truth = |line: &RemoteLine| LineTruth {
            pool: read_pool_key(line.pool.clone()).expect("a key that was checked before"),
            now: line.now,
            was: line.was,
        };
        self.remote.iter().filter(of).map(truth).collect()
    }
}

impl Ledger {
    /// Numbers of open messages to a participant above `after`, each with its reservation: what its sender has to send
    /// again until it is answered.
    pub fn outbox(&self, participant: ShardId, after: Number) -> impl Iterator<Item = (Number, ReservationId)> + '_ {
        self.outbox.rows(participant, after)
    }

    /// Participants that have not answered everything.
    pub fn unsettled_participants(&self) -> Vec<ShardId> {
        self.outbox.participants()
    }

    /// How many messages are not answered.
    pub fn unanswered(&self) -> usize {
        self.outbox.len()
    }

    /// Below this number nothing will ever be sent to that participant again.
    pub fn floor_for(&self, participant: ShardId) -> Number {
        let next = Number { epoch: self.header.epoch.0, counter: self.header.counter }.next();
        self.outbox.oldest(participant).unwrap_or(next)
    }

    /// Whether what was begun for that reservation under that number is still being prepared.
    pub fn is_pending(&self, id: ReservationId, number: Number) -> bool {
        let round = self.reservations.get(&id).and_then(|found| found.cart.as_ref()?.round.as_ref());
        round.is_some_and(|round| round.number == number)
    }

    /// Whether every participant has answered home's last decision about that reservation.
    pub fn is_settled(&self, id: ReservationId) -> bool {
        !self.reservations.get(&id).and_then(|found| found.cart.as_ref()).is_some_and(|cart| cart.unsettled())
    }

    /// The open message about a reservation to a participant, as the command to propose there.
    pub fn message(&self, id: ReservationId, participant: ShardId) -> Option<Command> {
        let reservation = self.reservations.get(&id)?;
        let cart = reservation.cart.as_ref()?;
        let to = cart.participant(participant)?;
        let from = From { id, number: to.number, home: self.shard, floor: self.floor_for(participant), last: to.last };
        let message = match to.row? {
            Row::Prepare => prepare(reservation, cart, from, participant)?,
            Row::Decide => Message::Decide(Decide {
                from,
                owner: reservation.owner(),
                deadline: reservation.deadline,
                lines: cart.truths(participant),
            }),
        };
        let context = to.context.as_deref().cloned().unwrap_or_default();
        Some(Command { context, not_after: TimeMs(u64::MAX), attempt: 1, heard: false, body: Body::Cart(message) })
    }
}

fn prepare(reservation: &Reservation, cart: &Cart, from: From, participant: ShardId) -> Option<Message> {
    let round = cart.round.as_ref()?;
    let wanted = round.wanted.iter().filter(|line| line.shard == participant);
    Some(Message::Prepare(Prepare {
        from,
        namespace: cart.namespace.clone(),
        owner: reservation.owner(),
        best_effort: round.best_effort,
        zone: round.zone,
        wanted: match round.kind {
            RoundKind::Ship => Vec::new(),
            _ => wanted.clone().map(|line| Wanted { at: line.at, line: line.line.clone() }).collect(),
        },
        ships: match round.kind {
            RoundKind::Ship => wanted.map(|line| shipping(cart, line)).collect(),
            _ => Vec::new(),
        },
        base: cart.truths(participant),
        deadline: if round.kind == RoundKind::Open { TimeMs(0) } else { reservation.deadline },
    }))
}

fn shipping(cart: &Cart, RoundLine { at, line, .. }: &RoundLine) -> Shipping {
    let units = u32::try_from(line.quantity.units()).unwrap_or(u32::MAX);
    Shipping { at: *at, pool: cart.pool_of(line), units }
}

/// A count of 32 bits as a quantity.
pub(crate) fn units(units: u32) -> Quantity {
    Quantity::new(u64::from(units)).expect("32 bits are below 2^53")
}
