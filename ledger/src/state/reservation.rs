//! One reservation in memory: small, for there may be millions.

use super::{Cart, Mark, Packed, PoolRef, RemoteLine, Round, RoundKind, Stock, units};
use crate::{
    cart::{
        Number,
        message::{After, Truth},
    },
    command::Command,
    limits::LIFE_MAX,
    movement::Spot,
    outcome::{LineGot, LineView, ReservationState, ReservationView, Reserved},
    planted::{self, Bug},
    records::{PoolName, read_pool_key},
    settings::Terms,
    types::{DurationMs, Namespace, Owner, PoolKey, ReservationId, TimeMs},
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

    pub(crate) fn got(&self) -> u32 {
        self.held + self.committed + self.released + self.expired
    }
}

/// What few lines have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    /// Version of the settings whose policy chose the pool, and one more; 0: the request named it.
    pub(crate) policy: u64,
    /// What was promised with its units.
    pub(crate) terms: Terms,
    /// What became of its committed units.
    pub(crate) after: After,
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
    /// Its deadline was moved because the shopper is paying.
    pub(crate) paying: bool,
    /// What few reservations have.
    pub(crate) seldom: Option<Box<Seldom>>,
    /// Its lines in other shards, if it has or had any.
    pub(crate) cart: Option<Box<Cart>>,
    pub(crate) mark: Mark,
    /// The pack it is stored in, unchanged since; none if it is not, or has a record of its own.
    pub(crate) packed: Option<Packed>,
}

// Of the sizes there are in memory the next one is a fifth more.
const _: () = assert!(size_of::<Reservation>() <= 160);

/// With more lines than this a hold has a record of its own.
pub(crate) const PACKED_LINES_MAX: usize = 4;

/// What few reservations have: apart, for it must be small where it is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seldom {
    /// For each line what few lines have; empty if none has.
    pub(crate) rares: Vec<Rare>,
    /// The first answer to its reserve, once its lines are others than those.
    pub(crate) first: Option<Bytes>,
    /// How much of the deadline is grace. An extension moves the rest; 30 minutes at most, so 32 bits hold it.
    pub(crate) grace_ms: u32,
}

impl Seldom {
    /// None where there is nothing.
    pub(crate) fn of(rares: Vec<Rare>, first: Option<Bytes>, grace_ms: u32) -> Option<Box<Self>> {
        let any = !rares.is_empty() || first.is_some() || grace_ms > 0;
        any.then(|| Box::new(Self { rares, first, grace_ms }))
    }
}

impl Reservation {
    /// Whether it holds units in the books that are over at `clock`.
    pub(crate) fn overdue(&self, clock: TimeMs) -> bool {
        let late = if planted::on(Bug::ExpiryLate) { planted::sweep_lag() } else { DurationMs(0) };
        self.ended.is_none() && self.deadline.plus(late) <= clock && !self.opening()
    }

    /// What its deadline has on top because the shopper is paying.
    pub(crate) fn grace(&self) -> DurationMs {
        DurationMs(u64::from(self.seldom.as_ref().map_or(0, |seldom| seldom.grace_ms)))
    }

    /// What few lines have, for each; empty if none has.
    pub(crate) fn rares(&self) -> &[Rare] {
        self.seldom.as_ref().map_or(&[], |seldom| &seldom.rares)
    }

    /// The first answer to its reserve, once its lines are others than those.
    pub(crate) fn first(&self) -> Option<&Bytes> {
        self.seldom.as_ref()?.first.as_ref()
    }

    /// What few reservations have, to be changed.
    pub(crate) fn seldom_mut(&mut self) -> &mut Seldom {
        self.seldom.get_or_insert_default()
    }

    /// What few lines have, of that one.
    pub(crate) fn rare(&self, at: usize) -> Rare {
        self.rares().get(at).copied().unwrap_or_default()
    }

    /// The same, to be changed.
    pub(crate) fn rare_mut(&mut self, at: usize) -> &mut Rare {
        let lines = self.lines.as_slice().len();
        let rares = &mut self.seldom_mut().rares;
        rares.resize(lines, Rare::default());
        &mut rares[at]
    }

    /// The counts of one of its own lines.
    pub(crate) fn truth(&self, at: usize) -> Truth {
        let line = &self.lines.as_slice()[at];
        let Line { held, committed, released, expired, .. } = *line;
        Truth { held, committed, released, expired, after: self.rare(at).after }
    }

    /// Expired units of an own line are committed after all.
    pub(crate) fn revived(&mut self, at: usize, units: u32) {
        let line = &mut self.lines.as_mut_slice()[at];
        let Some(expired) = line.expired.checked_sub(units) else {
            super::stop(format_args!("{units} units are revived of {line:?}"));
        };
        line.expired = expired;
        line.committed += units;
    }

    /// For whom, as a value of its own.
    pub(crate) fn owner(&self) -> Owner {
        Owner::new(Bytes::copy_from_slice(&self.owner)).expect("was an owner when it was kept")
    }

    /// Tenant of all its lines.
    pub(crate) fn namespace(&self, stock: &Stock) -> Namespace {
        match &self.cart {
            Some(cart) => cart.namespace.clone(),
            None => stock.pool(self.lines.as_slice()[0].pool).named().namespace,
        }
    }

    /// Whether that is the tenant of its lines.
    pub(crate) fn is_of(&self, namespace: &Namespace, stock: &Stock) -> bool {
        match &self.cart {
            Some(cart) => cart.namespace == *namespace,
            None => stock.pool(self.lines.as_slice()[0].pool).texts().namespace == namespace.as_bytes(),
        }
    }

    /// What is being prepared for it.
    pub(crate) fn round(&self) -> Option<&Round> {
        self.cart.as_ref()?.round.as_deref()
    }

    /// Units that wait to be shipped: its record stays as long as there are any.
    pub(crate) fn unshipped(&self) -> bool {
        let own = (0..self.lines.as_slice().len()).map(|at| (self.rare(at).terms, self.truth(at)));
        let remote = self.cart.iter().flat_map(|cart| &cart.remote).map(|line| (line.terms, line.now));
        own.chain(remote).any(|(terms, truth)| terms.on_ship && truth.unshipped() > 0)
    }

    /// Whether it is a cart that is still being prepared.
    pub(crate) fn opening(&self) -> bool {
        self.cart.as_ref().is_some_and(|cart| cart.opening())
    }

    /// Another sending of the request that is being prepared will be told its end too: a refusal must then be
    /// remembered for as long as a duplicate of that sending may come. Gives the number, and whether this sending is
    /// later or higher than those before.
    pub(crate) fn join(&mut self, command: &Command, kind: RoundKind) -> Option<(Number, bool)> {
        let round = self.cart.as_mut()?.round.as_mut().filter(|round| round.kind == kind)?;
        let later = command.not_after > round.not_after || command.attempt > round.attempt;
        round.not_after = round.not_after.max(command.not_after);
        round.attempt = round.attempt.max(command.attempt);
        Some((round.number, later))
    }

    /// Whether it can be stored with others in one record: it is of a bounded size, changes seldom while it is live, and does not
    /// keep the others' bytes for long once they are gone.
    pub(crate) fn packs(&self) -> bool {
        let plain = self.cart.is_none() && self.first().is_none() && self.ended.is_none();
        plain && self.lines.as_slice().len() <= PACKED_LINES_MAX && self.deadline <= self.created.plus(LIFE_MAX)
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

    /// Its last movement here, for the next one to follow; none if nothing of it ever moved here. `last` is then the
    /// entry that began it, which is older than the one that told of its success.
    pub(crate) fn chain(&self) -> Option<Spot> {
        let order = |spot: &Spot| (spot.epoch, spot.index, spot.ordinal);
        Some(self.last).filter(|last| order(last) >= order(&self.reserved_at))
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
            pool: stock.pool(line.pool).name(),
            asked: units(line.asked),
            got: units(line.got()),
            policy: self.rare(at).policy.checked_sub(1),
        };
        let remote = |line: &RemoteLine| LineGot {
            pool: PoolName::checked(&line.pool),
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
        let line =
            |(at, line): (usize, &Line)| line_view(stock.pool(line.pool).named(), line.asked, self.truth(at), overdue);
        let remote = |line: &RemoteLine| line_view(pool_key(line), line.asked, line.now, overdue);
        let lines = self.in_order(line, remote);
        let namespace = match &self.cart {
            Some(cart) => cart.namespace.clone(),
            None => lines[0].pool.namespace.clone(),
        };
        let look = ReservationLook {
            id,
            namespace,
            owner: self.owner(),
            ended: if overdue { Some(EndedBy::Expiry) } else { self.ended },
            created: self.created,
            deadline: self.deadline,
            since: if overdue { self.deadline } else { self.since },
            revision: self.revision,
            opening: self.opening(),
            settled: !self.unsettled(),
            paying: self.paying,
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
    pub(crate) paying: bool,
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
            paying: self.paying,
        }
    }
}

/// A line as it is told.
pub(crate) fn line_view(pool: PoolKey, asked: u32, truth: Truth, overdue: bool) -> LineView {
    let Truth { held, committed, released, expired, after } = truth;
    LineView {
        pool,
        asked: units(asked),
        held: units(if overdue { 0 } else { held }),
        committed: units(committed),
        released: units(released),
        expired: units(if overdue { expired + held } else { expired }),
        shipped: units(after.shipped),
        cancelled: units(after.cancelled),
        returned: units(after.returned),
        returned_unavailable: units(after.returned_unavailable),
    }
}

impl Truth {
    /// Units committed that neither left the house nor were cancelled.
    pub(crate) fn unshipped(&self) -> u32 {
        self.committed.saturating_sub(self.after.shipped).saturating_sub(self.after.cancelled)
    }

    /// Units that came back.
    pub(crate) fn came_back(&self) -> u32 {
        self.after.returned + self.after.returned_unavailable
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
