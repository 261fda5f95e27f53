//! One reservation in memory: small, for there may be millions.

use super::{Cart, Mark, PoolRef, RemoteLine, RoundKind, Stock, units};
use crate::{
    cart::{Number, message::Truth},
    command::Command,
    movement::Spot,
    outcome::{LineGot, LineView, ReservationState, ReservationView, Reserved},
    records::read_pool_key,
    types::{Namespace, Owner, PoolKey, ReservationId, TimeMs},
};
use bytes::Bytes;

/// One line: got = held + committed + released + expired, at most `asked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) pool: PoolRef,
    pub(crate) asked: u32,
    pub(crate) held: u32,
    pub(crate) committed: u32,
    pub(crate) released: u32,
    pub(crate) expired: u32,
}

impl Line {
    /// A line that holds nothing.
    pub(crate) fn new(pool: PoolRef, asked: u32) -> Self {
        Self { pool, asked, held: 0, committed: 0, released: 0, expired: 0 }
    }

    /// Its counts.
    pub(crate) fn truth(&self) -> Truth {
        Truth { held: self.held, committed: self.committed, released: self.released, expired: self.expired }
    }

    pub(crate) fn got(&self) -> u32 {
        self.held + self.committed + self.released + self.expired
    }
}

/// The lines of a reservation. Most have one, which needs no allocation of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    One(Line),
    Many(Box<[Line]>),
}

impl Lines {
    pub(crate) fn new(mut lines: impl ExactSizeIterator<Item = Line>) -> Self {
        match (lines.len(), lines.next()) {
            (1, Some(line)) => Self::One(line),
            (_, first) => Self::Many(first.into_iter().chain(lines).collect()),
        }
    }

    pub(crate) fn as_slice(&self) -> &[Line] {
        match self {
            Self::One(line) => std::slice::from_ref(line),
            Self::Many(lines) => lines,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Line] {
        match self {
            Self::One(line) => std::slice::from_mut(line),
            Self::Many(lines) => lines,
        }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Line> {
        self.as_slice().iter()
    }
}

/// What ended the last held units. Tags are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EndedBy {
    Commit = 1,
    Release = 2,
    Expiry = 3,
    /// Nothing was ever held: the reserve of a cart was refused or given up.
    Rejection = 4,
}

impl EndedBy {
    pub(crate) fn tag(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_tag(tag: u32) -> Option<Self> {
        Some(match tag {
            1 => Self::Commit,
            2 => Self::Release,
            3 => Self::Expiry,
            4 => Self::Rejection,
            _ => return None,
        })
    }
}

/// A reservation: live while a line holds units, then ended.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub(crate) lines: Lines,
    pub(crate) owner: Box<[u8]>,
    /// Of the request that made it.
    pub(crate) fingerprint: u64,
    pub(crate) created: TimeMs,
    pub(crate) deadline: TimeMs,
    /// As first told: what a repeated reserve is answered.
    pub(crate) first_deadline: TimeMs,
    /// When its state was reached.
    pub(crate) since: TimeMs,
    /// Last movement of the reserve.
    pub(crate) reserved_at: Spot,
    /// Last movement of all.
    pub(crate) last: Spot,
    pub(crate) revision: u32,
    pub(crate) ended: Option<EndedBy>,
    /// For each line the version of the settings whose policy chose its pool, and one more; 0: the request named it.
    /// None if all were named.
    pub(crate) policies: Option<Policies>,
    /// Its lines in other shards, if it has or had any.
    pub(crate) cart: Option<Box<Cart>>,
    pub(crate) mark: Mark,
}

/// Boxed twice: it is rare, and must be small where it is not.
#[allow(clippy::box_collection, reason = "one word where there is none, which is nearly always")]
pub(crate) type Policies = Box<Vec<u64>>;

impl Reservation {
    /// Whether it holds units in the books that are over at `clock`.
    pub(crate) fn overdue(&self, clock: TimeMs) -> bool {
        self.ended.is_none() && self.deadline <= clock && !self.opening()
    }

    /// Whether it is a cart that is still being prepared.
    pub(crate) fn opening(&self) -> bool {
        self.cart.as_ref().is_some_and(|cart| cart.opening())
    }

    /// Another sending of the reserve that is being prepared will be told its end too: a refusal must then be
    /// remembered for as long as a duplicate of that sending may come. Gives the number, and whether this sending is
    /// later or higher than those before.
    pub(crate) fn join(&mut self, command: &Command) -> Option<(Number, bool)> {
        let round = self.cart.as_mut()?.round.as_mut().filter(|round| round.kind == RoundKind::Open)?;
        let later = command.not_after > round.not_after || command.attempt > round.attempt;
        round.not_after = round.not_after.max(command.not_after);
        round.attempt = round.attempt.max(command.attempt);
        Some((round.number, later))
    }

    /// Whether a participant has not answered home's last decision.
    pub(crate) fn unsettled(&self) -> bool {
        self.cart.as_ref().is_some_and(|cart| cart.unsettled())
    }

    /// Whether it has ended and must stay in memory: somebody has not heard of it, or it was rejected and is about to
    /// be dropped.
    pub(crate) fn passing(&self) -> bool {
        self.ended == Some(EndedBy::Rejection) || (self.ended.is_some() && self.unsettled())
    }

    /// Its last movement here, or the entry of a later decision that moved units in other shards only.
    pub(crate) fn last_decision(&self) -> Spot {
        let order = |spot: &Spot| (spot.epoch, spot.index, spot.ordinal);
        let decided = self.cart.as_ref().map(|cart| cart.decided);
        decided.filter(|decided| order(decided) > order(&self.last)).unwrap_or(self.last)
    }

    pub(crate) fn committed(&self) -> bool {
        let remote = self.cart.iter().flat_map(|cart| &cart.remote);
        self.lines.iter().any(|line| line.committed > 0) || remote.into_iter().any(|line| line.now.committed > 0)
    }

    /// Each line once, in the order of their places in the request, made by one function or the other.
    fn in_order<T>(&self, local: impl Fn((usize, &Line)) -> T, remote: impl Fn(&RemoteLine) -> T) -> Vec<T> {
        let Some(cart) = &self.cart else { return self.lines.iter().enumerate().map(local).collect() };
        let mut all = Vec::with_capacity(self.lines.as_slice().len() + cart.remote.len());
        let mut own = self.lines.iter().enumerate();
        for line in &cart.remote {
            while all.len() < line.place as usize
                && let Some(line) = own.next()
            {
                all.push(local(line));
            }
            all.push(remote(line));
        }
        all.extend(own.map(local));
        all
    }

    /// The first answer to its reserve.
    pub(crate) fn reserved(&self, id: ReservationId, stock: &Stock) -> Reserved {
        let line = |(at, line): (usize, &Line)| LineGot {
            pool: stock.pool(line.pool).key.clone(),
            asked: units(line.asked),
            got: units(line.got()),
            policy: self.policies.as_ref().and_then(|policies| policies.get(at)?.checked_sub(1)),
        };
        let remote = |line: &RemoteLine| LineGot {
            pool: pool_key(line),
            asked: units(line.asked),
            got: units(line.got()),
            policy: line.policy.checked_sub(1),
        };
        let lines = self.in_order(line, remote);
        let all = lines.iter().all(|line| line.got == line.asked);
        Reserved { id, lines, all, deadline: self.first_deadline }
    }

    /// As it is told at `clock`: a hold that is over is expired, swept or not.
    pub(crate) fn view(&self, id: ReservationId, stock: &Stock, clock: TimeMs) -> ReservationView {
        let overdue = self.overdue(clock);
        let line = |(_, line): (usize, &Line)| LineView {
            pool: stock.pool(line.pool).key.clone(),
            asked: units(line.asked),
            held: units(if overdue { 0 } else { line.held }),
            committed: units(line.committed),
            released: units(line.released),
            expired: units(if overdue { line.expired + line.held } else { line.expired }),
        };
        let remote = |line: &RemoteLine| LineView {
            pool: pool_key(line),
            asked: units(line.asked),
            held: units(if overdue { 0 } else { line.now.held }),
            committed: units(line.now.committed),
            released: units(line.now.released),
            expired: units(if overdue { line.now.expired + line.now.held } else { line.now.expired }),
        };
        let lines = self.in_order(line, remote);
        let namespace = match &self.cart {
            Some(cart) => cart.namespace.clone(),
            None => lines[0].pool.namespace.clone(),
        };
        let look = ReservationLook {
            id,
            namespace,
            owner: Owner::new(Bytes::copy_from_slice(&self.owner)).expect("was an owner when it was kept"),
            ended: if overdue { Some(EndedBy::Expiry) } else { self.ended },
            created: self.created,
            deadline: self.deadline,
            since: if overdue { self.deadline } else { self.since },
            revision: self.revision,
            opening: self.opening(),
            settled: !self.unsettled(),
        };
        look.view(lines)
    }

    /// Its state at `clock`, and when it was reached.
    pub(crate) fn state(&self, clock: TimeMs) -> (ReservationState, TimeMs) {
        let overdue = self.overdue(clock);
        let ended = if overdue { Some(EndedBy::Expiry) } else { self.ended };
        let since = if overdue { self.deadline } else { self.since };
        (derive_state(self.opening(), self.committed(), ended), since)
    }
}

/// What a view is made of beside its lines, in memory or on disk.
pub(crate) struct ReservationLook {
    pub(crate) id: ReservationId,
    pub(crate) namespace: Namespace,
    pub(crate) owner: Owner,
    pub(crate) ended: Option<EndedBy>,
    pub(crate) created: TimeMs,
    pub(crate) deadline: TimeMs,
    pub(crate) since: TimeMs,
    pub(crate) revision: u32,
    pub(crate) opening: bool,
    pub(crate) settled: bool,
}

impl ReservationLook {
    /// The view.
    pub(crate) fn view(self, lines: Vec<LineView>) -> ReservationView {
        let committed = lines.iter().any(|line| !line.committed.is_zero());
        ReservationView {
            id: self.id,
            namespace: self.namespace,
            owner: self.owner,
            state: derive_state(self.opening, committed, self.ended),
            lines,
            created: self.created,
            deadline: self.deadline,
            since: self.since,
            revision: self.revision,
            settled: self.settled,
        }
    }
}

impl RemoteLine {
    pub(crate) fn got(&self) -> u32 {
        self.now.held + self.now.committed + self.now.released + self.now.expired
    }
}

fn pool_key(line: &RemoteLine) -> PoolKey {
    read_pool_key(line.pool.clone()).expect("a key that was checked before")
}

fn derive_state(opening: bool, committed: bool, ended: Option<EndedBy>) -> ReservationState {
    if opening {
        return ReservationState::Open;
    }
    match (committed, ended) {
        (_, Some(EndedBy::Rejection)) => ReservationState::Rejected,
        (false, None) => ReservationState::Held,
        (true, None) => ReservationState::PartlyCommitted,
        (true, Some(_)) => ReservationState::Committed,
        (false, Some(EndedBy::Expiry)) => ReservationState::Expired,
        (false, Some(EndedBy::Release | EndedBy::Commit)) => ReservationState::Released,
    }
}
