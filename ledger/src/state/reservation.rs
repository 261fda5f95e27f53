//! One reservation in memory: small, for there may be millions.

use super::{Mark, PoolRef, Stock};
use crate::{
    movement::Spot,
    outcome::{LineGot, LineView, ReservationState, ReservationView, Reserved},
    types::{Owner, Quantity, ReservationId, TimeMs},
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
    pub(crate) mark: Mark,
}

/// Boxed twice: it is rare, and must be small where it is not.
#[allow(clippy::box_collection, reason = "one word where there is none, which is nearly always")]
pub(crate) type Policies = Box<Vec<u64>>;

impl Reservation {
    /// Whether it holds units in the books that are over at `clock`.
    pub(crate) fn overdue(&self, clock: TimeMs) -> bool {
        self.ended.is_none() && self.deadline <= clock
    }

    pub(crate) fn committed(&self) -> bool {
        self.lines.iter().any(|line| line.committed > 0)
    }

    /// The first answer to its reserve.
    pub(crate) fn reserved(&self, id: ReservationId, stock: &Stock) -> Reserved {
        let line = |(at, line): (usize, &Line)| LineGot {
            pool: stock.pool(line.pool).key.clone(),
            asked: units(line.asked),
            got: units(line.got()),
            policy: self.policies.as_ref().and_then(|policies| policies.get(at)?.checked_sub(1)),
        };
        Reserved {
            id,
            lines: self.lines.iter().enumerate().map(line).collect(),
            all: self.lines.iter().all(|line| line.got() == line.asked),
            deadline: self.first_deadline,
        }
    }

    /// As it is told at `clock`: a hold that is over is expired, swept or not.
    pub(crate) fn view(&self, id: ReservationId, stock: &Stock, clock: TimeMs) -> ReservationView {
        let overdue = self.overdue(clock);
        let line = |line: &Line| LineView {
            pool: stock.pool(line.pool).key.clone(),
            asked: units(line.asked),
            held: units(if overdue { 0 } else { line.held }),
            committed: units(line.committed),
            released: units(line.released),
            expired: units(if overdue { line.expired + line.held } else { line.expired }),
        };
        let look = ReservationLook {
            id,
            owner: Owner::new(Bytes::copy_from_slice(&self.owner)).expect("was an owner when it was kept"),
            ended: if overdue { Some(EndedBy::Expiry) } else { self.ended },
            created: self.created,
            deadline: self.deadline,
            since: if overdue { self.deadline } else { self.since },
            revision: self.revision,
        };
        look.view(self.lines.iter().map(line).collect())
    }

    /// Its state at `clock`, and when it was reached.
    pub(crate) fn state(&self, clock: TimeMs) -> (ReservationState, TimeMs) {
        let overdue = self.overdue(clock);
        let ended = if overdue { Some(EndedBy::Expiry) } else { self.ended };
        let since = if overdue { self.deadline } else { self.since };
        (derive_state(self.committed(), ended), since)
    }
}

/// What a view is made of beside its lines, in memory or on disk.
pub(crate) struct ReservationLook {
    pub(crate) id: ReservationId,
    pub(crate) owner: Owner,
    pub(crate) ended: Option<EndedBy>,
    pub(crate) created: TimeMs,
    pub(crate) deadline: TimeMs,
    pub(crate) since: TimeMs,
    pub(crate) revision: u32,
}

impl ReservationLook {
    /// The view. `lines` has at least one.
    pub(crate) fn view(self, lines: Vec<LineView>) -> ReservationView {
        let committed = lines.iter().any(|line| !line.committed.is_zero());
        ReservationView {
            id: self.id,
            namespace: lines[0].pool.namespace.clone(),
            owner: self.owner,
            state: derive_state(committed, self.ended),
            lines,
            created: self.created,
            deadline: self.deadline,
            since: self.since,
            revision: self.revision,
        }
    }
}

fn derive_state(committed: bool, ended: Option<EndedBy>) -> ReservationState {
    match (committed, ended) {
        (false, None) => ReservationState::Held,
        (true, None) => ReservationState::PartlyCommitted,
        (true, Some(_)) => ReservationState::Committed,
        (false, Some(EndedBy::Expiry)) => ReservationState::Expired,
        (false, Some(EndedBy::Release | EndedBy::Commit)) => ReservationState::Released,
    }
}

fn units(units: u32) -> Quantity {
    Quantity::new(u64::from(units)).expect("32 bits are below 2^53")
}
