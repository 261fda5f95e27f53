//! Reserve: available -> held, all or nothing, or what is there.

use super::{
    Effect, Entry,
    allocate::{self, Lacking, Open},
    cart::own_lines,
    rules,
};
use crate::{
    cart::message::After,
    command::{self, Command, Reserve},
    idempotency::{Known, fingerprint_in},
    journal::{By, Posting},
    movement::{Delta, MovementKind, Spot},
    outcome::{Done, LineGot, Missing, Outcome, Refusal, Reserved, Shortage, pool_of},
    planted::{self, Bug},
    records::reservation_too_old,
    settings::Terms,
    state::{Due, Intent, Ledger, Line, Lines, Map, Mark, PoolRef, Rare, Reservation, Seldom, Stock},
    types::{DurationMs, Namespace, Owner, Quantity, ReservationId, TimeMs},
};
use bytes::Bytes;

/// What one line wants, after lines of the same pool were summed.
pub(crate) struct Want {
    pub(crate) pool: PoolRef,
    /// Index in the request of the first line of that pool.
    pub(crate) line: u32,
    pub(crate) asked: u32,
    /// All of it, or the minimum with best effort.
    pub(crate) required: u32,
    /// What it gets, once that is known.
    pub(crate) grant: u32,
    /// Version of the settings whose policy chose the pool, and one more; 0: the request named it.
    pub(crate) policy: u64,
}

/// How lines are granted.
#[derive(Clone, Copy)]
pub(crate) struct Granting<'a> {
    pub(crate) namespace: &'a Namespace,
    /// Whose limits are asked.
    pub(crate) owner: &'a Owner,
    /// What is there, as long as it is the minimum; else all of it.
    pub(crate) best_effort: bool,
    /// These are all lines there are, so that nothing at all is no success.
    pub(crate) whole: bool,
    /// Zone of whoever asks, for policies that go by it.
    pub(crate) zone: u32,
    /// What it is for, if that has units already: they are not counted against it.
    pub(crate) of: Option<ReservationId>,
    /// Those units, by pool.
    pub(crate) mine: &'a [(PoolRef, u32)],
    /// What other homes decided was heard: see [`Command::heard`].
    pub(crate) heard: bool,
    /// The pool of the request's first line, where it was found before.
    pub(crate) first: Option<PoolRef>,
}

impl<'a> Granting<'a> {
    /// For a reserve.
    pub(crate) fn of(reserve: &'a Reserve, whole: bool, heard: bool) -> Self {
        let Reserve { namespace, owner, best_effort, zone, .. } = reserve;
        Self {
            namespace,
            owner,
            best_effort: *best_effort,
            whole,
            zone: *zone,
            of: None,
            mine: &[],
            heard,
            first: None,
        }
    }

    /// As [`loose_by`].
    pub(crate) fn loose_by(&self, now: TimeMs) -> TimeMs {
        loose_by(self.heard, now)
    }

    /// Units of that pool that it has already.
    pub(crate) fn mine(&self, pool: PoolRef) -> u32 {
        self.mine.iter().find(|(mine, _)| *mine == pool).map_or(0, |(_, units)| *units)
    }
}

/// The holds of other homes' carts with a deadline up to then may be free any moment: those that are overdue, or all if it
/// was not heard what their homes decided.
pub(crate) fn loose_by(heard: bool, now: TimeMs) -> TimeMs {
    if heard || planted::on(Bug::UnsettledAsHeld) { now } else { TimeMs::MAX }
}

/// What these lines would get at `now`, into `wants`, or why they would be refused: the lines of a cart that live in
/// one shard, each with its index in the request. The request must be valid. Units of holds that are overdue by then
/// count as free.
///
/// # Errors
/// Any refusal of a reserve; [`Refusal::Contended`] if units that another shard may give back any moment would do.
pub(crate) fn plan<'a>(
    ledger: &Ledger,
    granting: &Granting<'_>,
    lines: impl Iterator<Item = (u32, &'a command::Line)> + Clone,
    wants: &mut Vec<Want>,
    now: TimeMs,
) -> Result<(), Refusal> {
    let stock = &ledger.stock;
    rules::owner_is_named(stock, granting, lines.clone())?;
    let open = find(stock, granting, lines, wants).map_err(Refusal::NotFound)?;
    rules::check(ledger, granting, wants, &open, now)?;
    let lacking = match open.is_empty() {
        true => Lacking::default(),
        false => allocate::place(stock, wants, &open, granting, now)?,
    };
    grant(stock, wants, granting, now, lacking)
}

/// The first answer to a reserve that got what `wants` says.
pub(crate) fn told(stock: &Stock, reserve: &Reserve, wants: &[Want], deadline: TimeMs) -> Reserved {
    let line = |want: &Want| LineGot {
        pool: stock.pool(want.pool).name(),
        asked: quantity(want.asked),
        got: quantity(want.grant),
        policy: want.policy.checked_sub(1),
    };
    let all = wants.iter().all(|want| want.asked == want.grant);
    Reserved { id: reserve.id, lines: wants.iter().map(line).collect(), all, deadline }
}

/// The pools of all lines that name a location, in the order of their first mention, into `wants`; returns the lines
/// that name none.
fn find<'a>(
    stock: &Stock,
    granting: &Granting<'_>,
    lines: impl Iterator<Item = (u32, &'a command::Line)>,
    wants: &mut Vec<Want>,
) -> Result<Vec<Open>, Missing> {
    let namespace = granting.namespace;
    wants.clear();
    let mut open = Vec::new();
    // Looking back over all lines before is quickest for a few.
    let mut places: Option<Map<PoolRef, usize>> = None;
    for (at, line) in lines {
        // A line, and the sum of the lines of a pool, is at most 10^9: validated before.
        let units = |quantity: Quantity| u32::try_from(quantity.units()).unwrap_or(u32::MAX);
        let asked = units(line.quantity);
        let required = if granting.best_effort { units(line.minimum) } else { asked };
        let Some(location) = &line.location else {
            allocate::note(stock, namespace, &mut open, (at, line), (asked, required))?;
            continue;
        };
        let found = granting.first.filter(|_| at == 0);
        let Some(pool) = found.or_else(|| stock.find(namespace, &line.sku, location, line.kind, &line.lot)) else {
            return Err(if stock.find_sku(namespace, &line.sku).is_none() {
                Missing::Sku(line.sku.detached())
            } else {
                Missing::Pool(Box::new(pool_of(namespace, &line.sku, location, line.kind, &line.lot).detached()))
            });
        };
        if wants.len() == 16 && places.is_none() {
            places = Some(wants.iter().enumerate().map(|(place, want)| (want.pool, place)).collect());
        }
        let before = match &mut places {
            Some(places) => {
                let place = *places.entry(pool).or_insert(wants.len());
                (place < wants.len()).then_some(place)
            }
            None => wants.iter().position(|want| want.pool == pool),
        };
        match before.filter(|_| !planted::on(Bug::SumAfterCheck)) {
            Some(place) => {
                wants[place].asked = wants[place].asked.saturating_add(asked);
                wants[place].required = wants[place].required.saturating_add(required);
            }
            None => wants.push(Want { pool, line: at, asked, required, grant: 0, policy: 0 }),
        }
    }
    Ok(open)
}

/// Notes how many units each line would get at `now`, or tells what is lacking, beside what was `lacking` before.
fn grant(
    stock: &Stock,
    wants: &mut [Want],
    granting: &Granting<'_>,
    now: TimeMs,
    mut lacking: Lacking,
) -> Result<(), Refusal> {
    let whole = granting.whole;
    let sellable = |want: &Want| {
        let units = stock.sellable_at(want.pool, now).saturating_add(u64::from(granting.mine(want.pool)));
        let units = units.saturating_sub(u64::from(planted::on(Bug::LastUnitRefused)));
        u32::try_from(units).unwrap_or(u32::MAX)
    };
    let mut short = lacking.any();
    let mut any = !whole;
    for want in &mut *wants {
        want.grant = sellable(want).min(want.asked);
        short |= want.grant < want.required;
        any |= want.grant > 0;
    }
    if !short && any {
        return Ok(());
    }
    let mine = |want: &Want| u64::from(granting.mine(want.pool));
    let loose_by = granting.loose_by(now);
    let could = |want: &Want| stock.sellable_with_loose(want.pool, now, loose_by).saturating_add(mine(want));
    let enough = lacking.would_do && wants.iter().all(|want| could(want) >= u64::from(want.required));
    let some = |want: &Want| could(want) > 0 || stock.loose_for(want.pool, want.policy > 0, loose_by);
    if !planted::on(Bug::UndecidedAsSold) && enough && (!whole || lacking.any() || wants.iter().any(some)) {
        return Err(Refusal::Contended);
    }
    if lacking.policy {
        return Err(Refusal::PolicyUnsatisfiable);
    }
    // Nothing at all is never a success, so with best effort every line lacks its first unit.
    let needs = |want: &Want| want.required.max(u32::from(!any));
    let lacks = |want: &&Want| sellable(want) < needs(want);
    let shortage = |want: &Want| Shortage {
        line: want.line,
        asked: quantity(want.asked),
        sellable: quantity(sellable(want)),
        earliest: stock.earliest(want.pool, u64::from(want.asked), u64::from(sellable(want)), now),
    };
    let mut shortages: Vec<Shortage> = wants.iter().filter(lacks).map(shortage).collect();
    shortages.append(&mut lacking.shortages);
    shortages.sort_by_key(|short| short.line);
    Err(Refusal::InsufficientStock(shortages))
}

pub(crate) fn quantity(units: u32) -> Quantity {
    Quantity::new(u64::from(units)).expect("32 bits are below 2^53")
}

/// What few lines have; empty if none of these has it.
pub(super) fn rares(stock: &Stock, wants: &[Want]) -> Vec<Rare> {
    let plain = |want: &Want| want.policy == 0 && stock.terms(want.pool) == Terms::default();
    let rare = |want: &Want| Rare { policy: want.policy, terms: stock.terms(want.pool), after: After::default() };
    if wants.iter().all(plain) { Vec::new() } else { wants.iter().map(rare).collect() }
}

impl Entry<'_> {
    pub(super) fn reserve(&mut self, command: &Command, reserve: &Reserve) -> Outcome {
        let print = fingerprint_in(&mut self.ledger.scratch.bytes, &command.body);
        let rejected = match self.ledger.known_reserve(reserve.id, print, command) {
            Known::Outcome(outcome) => return outcome,
            Known::Conflict => return self.refused(Refusal::IdempotencyConflict),
            Known::New => false,
            Known::Rejected => true,
        };
        if reservation_too_old(reserve.id, self.clock()) {
            return self.refused(Refusal::IdempotencyTooOld);
        }
        if super::cart::spans(&reserve.shards, self.ledger.shard) {
            return self.open(command, reserve, print);
        }
        if rejected {
            // It was a cart over several shards when it was rejected: they must all have heard of that.
            self.ledger.drop_rejected(reserve.id);
            if self.ledger.reservations.contains_key(&reserve.id) {
                return self.refused(Refusal::Contended);
            }
        }
        let intent = Intent::Reserve(reserve.id);
        let mut wants = std::mem::take(&mut self.ledger.scratch.wants);
        let outcome = match self.judge(command, reserve, &mut wants) {
            Ok(()) => {
                // Nothing can fail from here on.
                let effect = self.hold(command, reserve, &wants, print);
                self.ledger.drop_refusal(intent);
                self.outcome(Ok(effect))
            }
            Err(refusal) => {
                let outcome = self.refused(refusal);
                self.ledger.remember_refusal(intent, print, command.into(), &outcome);
                outcome
            }
        };
        self.ledger.scratch.wants = wants;
        outcome
    }

    fn judge(&mut self, command: &Command, reserve: &Reserve, wants: &mut Vec<Want>) -> Result<(), Refusal> {
        self.admit(command)?;
        let lines = own_lines(&reserve.lines, &reserve.shards, self.ledger.shard);
        let granting = Granting { first: self.looked_up, ..Granting::of(reserve, true, command.heard) };
        self.grant_into(&granting, lines, wants)
    }

    /// What each line is granted, those of one pool summed. Overdue holds in the way are ended.
    pub(super) fn grant_lines<'a>(
        &mut self,
        granting: &Granting<'_>,
        lines: impl Iterator<Item = (u32, &'a command::Line)> + Clone,
    ) -> Result<Vec<Want>, Refusal> {
        let mut wants = Vec::new();
        self.grant_into(granting, lines, &mut wants).map(|()| wants)
    }

    fn grant_into<'a>(
        &mut self,
        granting: &Granting<'_>,
        lines: impl Iterator<Item = (u32, &'a command::Line)> + Clone,
        wants: &mut Vec<Want>,
    ) -> Result<(), Refusal> {
        plan(self.ledger, granting, lines, wants, self.clock())?;
        // The units are there once what is overdue is swept, if the entry's bound allows it.
        for want in wants.iter() {
            let more = want.grant.saturating_sub(granting.mine(want.pool));
            let needed = self.ledger.stock.needed(want.pool, u64::from(more));
            self.sweep_pool(want.pool, needed);
            if self.ledger.stock.pool(want.pool).books.available < needed {
                return Err(Refusal::Contended);
            }
        }
        Ok(())
    }

    fn hold(&mut self, command: &Command, reserve: &Reserve, wants: &[Want], print: u64) -> Effect {
        let clock = self.clock();
        let ttl = if planted::on(Bug::TtlHalved) { DurationMs(reserve.ttl.0 / 2) } else { reserve.ttl };
        let deadline = clock.plus(ttl);
        let due = Due::new(deadline, reserve.id);
        let ledger = &mut *self.ledger;
        let late = if planted::on(Bug::DeadlineToldLate) { DurationMs::seconds(2) } else { DurationMs(0) };
        // Nothing of it is kept: the reservation tells it again.
        let reserved = self.awaited.then(|| told(&ledger.stock, reserve, wants, deadline.plus(late)));
        let mut last: Option<Spot> = None;
        for want in wants {
            if want.grant > 0 {
                let units = i64::from(want.grant);
                let posting = Posting {
                    kind: MovementKind::Reserve,
                    by: By::Request(&command.context),
                    reservation: Some((reserve.id, last)),
                    delta: Delta { available: -units, held: units, ..Delta::default() },
                    sold_short: 0,
                    document: Bytes::new(),
                    reason: Bytes::new(),
                    deadline: Some(deadline),
                    owner: reserve.owner.to_shared(),
                };
                last = Some(ledger.stock.post(&mut self.block, want.pool, posting));
                let units = u64::from(want.grant);
                ledger.stock.pool_mut(want.pool).add_hold(due, units);
                let owner = reserve.owner.as_bytes();
                ledger.stock.use_held(&mut ledger.dirty, clock, reserve.id, owner, want.pool, units);
            }
        }
        let last = last.expect("at least one line got a unit");
        let lines = wants.iter().map(|want| Line { held: want.grant, ..Line::new(want.pool, want.asked) });
        let mut reservation = Box::new(Reservation {
            lines: Lines::new(lines),
            owner: reserve.owner.as_bytes().into(),
            fingerprint: print,
            created: clock,
            deadline,
            first_deadline: deadline,
            since: clock,
            reserved_at: last,
            last,
            revision: 1,
            ended: None,
            paying: false,
            seldom: Seldom::of(rares(&ledger.stock, wants), None, 0),
            cart: None,
            mark: Mark::default(),
            packed: None,
        });
        ledger.dirty.hold(reserve.id, &mut reservation, &ledger.stock.pools);
        ledger.deadlines.add(due, ());
        ledger.owners.add(reserve.owner.as_bytes(), reserve.id);
        ledger.reservations.insert(reserve.id, reservation);
        (reserved.map_or(Done::Noted, Done::Reserved), Some(last))
    }
}
