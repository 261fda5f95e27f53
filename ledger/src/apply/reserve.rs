//! Reserve: available -> held, all or nothing, or what is there.

use super::{Effect, Entry};
use crate::{
    command::{self, Command, Reserve},
    idempotency::{Known, fingerprint_in},
    journal::{By, Posting},
    movement::{Delta, MovementKind, Spot},
    outcome::{Done, LineGot, Missing, Outcome, Refusal, Reserved, Shortage, pool_of},
    records::reservation_too_old,
    state::{Due, Intent, Line, Lines, Map, Mark, PoolRef, Reservation, Stock},
    types::{Namespace, Quantity, TimeMs},
};
use bytes::Bytes;

/// What one line wants, after lines of the same pool were summed.
pub(crate) struct Want {
    pub(super) pool: PoolRef,
    /// Index in the request of the first line of that pool.
    pub(super) line: u32,
    pub(super) asked: u32,
    /// All of it, or the minimum with best effort.
    required: u32,
    /// What it gets, once that is known.
    pub(super) grant: u32,
}

/// How lines are granted.
#[derive(Clone, Copy)]
pub(crate) struct Granting<'a> {
    pub(crate) namespace: &'a Namespace,
    /// What is there, as long as it is the minimum; else all of it.
    pub(crate) best_effort: bool,
    /// These are all lines there are, so that nothing at all is no success.
    pub(crate) whole: bool,
}

impl<'a> Granting<'a> {
    /// For a reserve.
    pub(crate) fn of(reserve: &'a Reserve, whole: bool) -> Self {
        Self { namespace: &reserve.namespace, best_effort: reserve.best_effort, whole }
    }
}

/// The pools of all lines, in the order of their first mention, into `wants`. The request must be valid.
pub(crate) fn find<'a>(
    stock: &Stock,
    granting: &Granting<'_>,
    lines: impl Iterator<Item = (u32, &'a command::Line)>,
    wants: &mut Vec<Want>,
) -> Result<(), Missing> {
    wants.clear();
    // Looking back over all lines before is quickest for a few.
    let mut places: Option<Map<PoolRef, usize>> = None;
    for (at, line) in lines {
        let Some(pool) = stock.find(granting.namespace, &line.sku, &line.location, line.kind, &line.lot) else {
            return Err(if stock.find_sku(granting.namespace, &line.sku).is_none() {
                Missing::Sku(line.sku.detached())
            } else {
                Missing::Pool(pool_of(granting.namespace, &line.sku, &line.location, line.kind, &line.lot).detached())
            });
        };
        if wants.len() == 16 && places.is_none() {
            places = Some(wants.iter().enumerate().map(|(place, want)| (want.pool, place)).collect());
        }
        // A line, and the sum of the lines of a pool, is at most 10^9: validated before.
        let units = |quantity: Quantity| u32::try_from(quantity.units()).unwrap_or(u32::MAX);
        let asked = units(line.quantity);
        let required = if granting.best_effort { units(line.minimum) } else { asked };
        let before = match &mut places {
            Some(places) => {
                let place = *places.entry(pool).or_insert(wants.len());
                (place < wants.len()).then_some(place)
            }
            None => wants.iter().position(|want| want.pool == pool),
        };
        match before {
            Some(place) => {
                wants[place].asked = wants[place].asked.saturating_add(asked);
                wants[place].required = wants[place].required.saturating_add(required);
            }
            None => wants.push(Want { pool, line: at, asked, required, grant: 0 }),
        }
    }
    Ok(())
}

/// Notes how many units each line would get at `now`, or tells what is lacking. Units of overdue holds count as free.
///
/// # Errors
/// [`Refusal::InsufficientStock`]; [`Refusal::Contended`] if units that another shard may give back any moment would do.
pub(crate) fn grant(stock: &Stock, wants: &mut [Want], whole: bool, now: TimeMs) -> Result<(), Refusal> {
    let mut short = false;
    let mut any = !whole;
    for want in &mut *wants {
        want.grant = sellable(stock, want, now).min(want.asked);
        short |= want.grant < want.required;
        any |= want.grant > 0;
    }
    if !short && any {
        return Ok(());
    }
    let could = |want: &Want| stock.sellable_with_loose(want.pool, now);
    let enough = wants.iter().all(|want| could(want) >= u64::from(want.required));
    if enough && (!whole || wants.iter().any(|want| could(want) > 0)) {
        return Err(Refusal::Contended);
    }
    // Nothing at all is never a success, so with best effort every line lacks its first unit.
    let needs = |want: &Want| want.required.max(u32::from(!any));
    let lacking = || wants.iter().filter(|want| sellable(stock, want, now) < needs(want));
    let shortage = |want: &Want| Shortage {
        line: want.line,
        asked: quantity(want.asked),
        sellable: quantity(sellable(stock, want, now)),
    };
    Err(Refusal::InsufficientStock(lacking().map(shortage).collect()))
}

/// Units a pool can give, as far as they matter to a line.
fn sellable(stock: &Stock, want: &Want, now: TimeMs) -> u32 {
    u32::try_from(stock.sellable_at(want.pool, now)).unwrap_or(u32::MAX)
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(u64::from(units)).expect("32 bits are below 2^53")
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
        if super::cart::spans(reserve, self.ledger.shard) {
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
        let lines = reserve.lines.iter().enumerate();
        let lines = lines.map(|(at, line)| (u32::try_from(at).unwrap_or(u32::MAX), line));
        self.grant_into(&Granting::of(reserve, true), lines, wants)
    }

    /// What each line is granted, those of one pool summed. Overdue holds in the way are ended.
    pub(super) fn grant_lines<'a>(
        &mut self,
        granting: &Granting<'_>,
        lines: impl Iterator<Item = (u32, &'a command::Line)>,
    ) -> Result<Vec<Want>, Refusal> {
        let mut wants = Vec::new();
        self.grant_into(granting, lines, &mut wants).map(|()| wants)
    }

    fn grant_into<'a>(
        &mut self,
        granting: &Granting<'_>,
        lines: impl Iterator<Item = (u32, &'a command::Line)>,
        wants: &mut Vec<Want>,
    ) -> Result<(), Refusal> {
        find(&self.ledger.stock, granting, lines, wants).map_err(Refusal::NotFound)?;
        grant(&self.ledger.stock, wants, granting.whole, self.clock())?;
        // The units are there once what is overdue is swept, if the entry's bound allows it.
        for want in wants.iter() {
            let needed = self.ledger.stock.needed(want.pool, u64::from(want.grant));
            self.sweep_pool(want.pool, needed);
            if self.ledger.stock.pool(want.pool).books.available < needed {
                return Err(Refusal::Contended);
            }
        }
        Ok(())
    }

    fn hold(&mut self, command: &Command, reserve: &Reserve, wants: &[Want], print: u64) -> Effect {
        let clock = self.clock();
        let deadline = clock.plus(reserve.ttl);
        let due = Due::new(deadline, reserve.id);
        let ledger = &mut *self.ledger;
        let mut last: Option<Spot> = None;
        let mut told = Vec::with_capacity(wants.len());
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
                ledger.stock.pool_mut(want.pool).add_hold(due, u64::from(want.grant));
            }
            told.push(LineGot {
                pool: ledger.stock.pool(want.pool).key.clone(),
                asked: quantity(want.asked),
                got: quantity(want.grant),
            });
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
            cart: None,
            mark: Mark::default(),
        });
        ledger.dirty.reservation(reserve.id, &mut reservation);
        ledger.deadlines.insert(due);
        ledger.reservations.insert(reserve.id, reservation);
        let all = wants.iter().all(|want| want.asked == want.grant);
        (Done::Reserved(Reserved { id: reserve.id, lines: told, all, deadline }), Some(last))
    }
}
