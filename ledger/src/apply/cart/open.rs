//! Home begins a cart: its own lines are held, and the others are asked for.

use super::{
    super::{
        Entry,
        reserve::{Granting, Want, rares},
    },
    home::{Sending, kept, taken},
};
use crate::{
    command::{Command, Reserve},
    journal::By,
    limits::{PREPARE_TIMEOUT, UNANSWERED_MAX},
    movement::MovementKind,
    outcome::{Done, Outcome, Pending, Refusal},
    state::{Cart, Due, Intent, Line, Lines, Mark, Reservation, Round, RoundKind, RoundLine, Row, Seldom},
    types::{Quantity, ShardId},
};
use std::collections::BTreeMap;

impl Entry<'_> {
    /// Begins a cart over several shards: its own lines are held, the others are asked for.
    pub(in crate::apply) fn open(&mut self, command: &Command, reserve: &Reserve, print: u64) -> Outcome {
        match self.judge_open(command, reserve) {
            Ok(wants) => self.open_judged(command, reserve, print, &wants),
            Err(refusal) => {
                let outcome = self.refused(refusal);
                self.ledger.remember_refusal(Intent::Reserve(reserve.id), print, command.into(), &outcome);
                outcome
            }
        }
    }

    /// The lines that live here, with what each is granted.
    fn judge_open(&mut self, command: &Command, reserve: &Reserve) -> Result<Vec<Want>, Refusal> {
        self.admit(command)?;
        let lines = own_lines(&reserve.lines, &reserve.shards, self.ledger.shard);
        let wants = self.grant_lines(&Granting::of(reserve, false, command.heard), lines)?;
        self.answers(&reserve.shards)?;
        Ok(wants)
    }

    /// A shard that does not answer must not make its homes keep ever more for it.
    pub(in crate::apply) fn answers(&self, shards: &[ShardId]) -> Result<(), Refusal> {
        let silent = |shard: &ShardId| self.ledger.outbox.count(*shard) >= UNANSWERED_MAX;
        if shards.iter().any(silent) { Err(Refusal::Contended) } else { Ok(()) }
    }

    /// Nothing can fail from here on.
    fn open_judged(&mut self, command: &Command, reserve: &Reserve, print: u64, wants: &[Want]) -> Outcome {
        let clock = self.clock();
        let id = reserve.id;
        let number = self.next_number();
        let home = self.ledger.shard;
        // The same reserve may have been tried before, and its last decision may still be on its way.
        let before = self.ledger.reservations.remove(&id);
        let (mark, cart) = before.map_or((Mark::default(), None), |found| (found.mark, found.cart));
        let participants = cart.map_or_else(Vec::new, |cart| cart.participants);
        let wanted = wanted(&reserve.lines, &reserve.shards, home);
        let mut last = None;
        for want in wants.iter().filter(|want| want.grant > 0) {
            let delta = taken(want.grant);
            last = Some(self.post(want.pool, MovementKind::Prepare, &command.context, (id, last), delta, None));
            let (ledger, units) = (&mut *self.ledger, u64::from(want.grant));
            ledger.stock.pool_mut(want.pool).undecided += units;
            // What is being prepared counts for limits, or two carts could exceed one together.
            ledger.stock.use_held(&mut ledger.dirty, clock, id, reserve.owner.as_bytes(), want.pool, units);
        }
        let spot = last.unwrap_or_else(|| self.spot());
        let shards: Vec<ShardId> = wanted.iter().map(|line| line.shard).collect();
        let until = clock.plus(PREPARE_TIMEOUT);
        let round = Round {
            kind: RoundKind::Open,
            number,
            until,
            ttl: reserve.ttl,
            best_effort: reserve.best_effort,
            zone: reserve.zone,
            not_after: command.not_after,
            attempt: command.attempt,
            heard: command.heard,
            operation: None,
            print: 0,
            own: Vec::new(),
            own_at: wants.iter().map(|want| want.line).collect(),
            wanted,
            granted: Vec::new(),
            context: kept(&command.context),
        };
        let cart = Cart {
            namespace: reserve.namespace.detached(),
            remote: Vec::new(),
            participants,
            round: Some(Box::new(round)),
            decided: self.spot(),
        };
        let mut reservation = Box::new(Reservation {
            lines: Lines::new(wants.iter().map(|want| Line { held: want.grant, ..Line::new(want.pool, want.asked) })),
            owner: reserve.owner.as_bytes().into(),
            fingerprint: print,
            created: clock,
            deadline: until,
            first_deadline: until,
            since: clock,
            reserved_at: spot,
            last: spot,
            revision: 1,
            ended: None,
            paying: false,
            seldom: Seldom::of(rares(&self.ledger.stock, wants), None, 0),
            cart: Some(Box::new(cart)),
            mark,
            // One that was tried before was rejected, and only holds are packed.
            packed: None,
        });
        let to = Sending { shards: &shards, number, row: Row::Prepare };
        self.send(id, &mut reservation, &to, By::Request(&command.context));
        self.ledger.rounds.insert(Due::new(until, id));
        self.ledger.dirty.reservation(id, &mut reservation);
        self.ledger.reservations.insert(id, reservation);
        self.outcome(Ok((Done::Pending(Pending { id, number }), Some(spot))))
    }
}

/// The lines that live in this shard, each with its index in the request.
pub(crate) fn own_lines<'a>(
    lines: &'a [crate::command::Line],
    shards: &'a [ShardId],
    home: ShardId,
) -> impl Iterator<Item = (u32, &'a crate::command::Line)> + Clone {
    let own = move |at: usize| shards.get(at).is_none_or(|shard| *shard == home);
    lines.iter().enumerate().filter(move |(at, _)| own(*at)).map(|(at, line)| (index(at), line))
}

/// The lines that live elsewhere, those of one pool summed.
pub(in crate::apply) fn wanted(lines: &[crate::command::Line], shards: &[ShardId], home: ShardId) -> Vec<RoundLine> {
    let mut places = BTreeMap::new();
    let mut wanted: Vec<RoundLine> = Vec::new();
    for (at, (line, shard)) in lines.iter().zip(shards).enumerate() {
        let next = (index(places.len()), wanted.len());
        let (place, slot) = *places.entry((&line.sku, &line.location, line.kind, &line.lot)).or_insert(next);
        if *shard == home {
            continue;
        }
        match wanted.get_mut(slot).filter(|found| found.place == place) {
            Some(found) => {
                found.line.quantity = sum(found.line.quantity, line.quantity);
                found.line.minimum = sum(found.line.minimum, line.minimum);
            }
            None => wanted.push(RoundLine { shard: *shard, at: index(at), place, line: line.detached() }),
        }
    }
    wanted
}

fn sum(one: Quantity, other: Quantity) -> Quantity {
    Quantity::new(one.units() + other.units()).expect("the sum of the lines of a pool was validated")
}

pub(super) fn index(at: usize) -> u32 {
    u32::try_from(at).expect("a cart has at most 500 lines")
}
