//! A participant's side: it holds what home asks for, and does what home decides. It decides nothing itself.

use super::super::{Entry, reserve::Granting};
use super::home::{posting, taken};
use crate::{
    cart::{
        Number,
        message::{Answer, Chosen, Decide, From, Granted, LineTruth, Prepare, Truth},
    },
    command::{Command, Context},
    journal::Posting,
    limits::PARTS_FORGOTTEN_PER_ENTRY,
    movement::{Delta, MovementKind, Spot},
    outcome::{Done, Missing, Outcome, Refusal, Shortage},
    planted::{self, Bug},
    state::{Books, Due, Map, Mark, Part, PartGranted, PartLine, PoolRef, Stock, stop},
    types::{Owner, Quantity, ReservationId, ShardId, TimeMs},
};

/// What a message is to a participant.
enum Arrival {
    /// Too old: no answer.
    Old,
    /// The last one again.
    Again,
    /// To be obeyed.
    New,
}

impl Entry<'_> {
    pub(super) fn prepare(&mut self, command: &Command, prepare: &Prepare) -> Outcome {
        let from = &prepare.from;
        match self.arrival(from) {
            Arrival::Old => return self.answered(None),
            Arrival::Again => return self.repeated(from.id),
            Arrival::New => {}
        }
        let mut part = self.take_part(from, &prepare.owner, &prepare.base);
        let deadline = part.deadline.max(prepare.deadline);
        self.bring_to(from.id, &mut part, &prepare.base, deadline, &command.context);
        part.number = from.number;
        match self.hold_prepared(command, prepare, &mut part) {
            Ok(()) => {
                part.undecided = Some(self.clock());
            }
            // Final for this number: a later sending of it gets the same.
            Err(refusal) => part.refused = Some(Box::new(refusal)),
        }
        self.put_part(from.id, part);
        self.repeated(from.id)
    }

    /// Holds what is wanted on top of what is valid, or says why not. Nothing is changed then.
    fn hold_prepared(&mut self, command: &Command, prepare: &Prepare, part: &mut Part) -> Result<(), Refusal> {
        if !prepare.ships.is_empty() {
            return self.ship_prepared(command, prepare, part);
        }
        let Prepare { namespace, owner, best_effort, zone, .. } = prepare;
        let mine: Vec<(PoolRef, u32)> = part.lines.iter().map(|line| (line.pool, line.truth.held)).collect();
        let (best_effort, of, heard) = (*best_effort, Some(prepare.from.id), command.heard);
        let granting =
            Granting { namespace, owner, best_effort, whole: false, zone: *zone, of, mine: &mine, heard, first: None };
        let lines = prepare.wanted.iter().map(|wanted| (wanted.at, &wanted.line));
        let wants = self.grant_lines(&granting, lines)?;
        let loose_by = granting.loose_by(self.clock());
        for want in &wants {
            let at = match part.lines.iter().position(|line| line.pool == want.pool) {
                Some(at) => at,
                None => {
                    part.lines.push(PartLine::new(want.pool, Truth::default()));
                    part.lines.len() - 1
                }
            };
            let line = &mut part.lines[at];
            line.extra = want.grant.saturating_sub(line.truth.held);
            if planted::on(Bug::PreparedNotHeld) {
                line.extra = 0;
            }
            let chosen = want.policy.checked_sub(1).map(|policy| Chosen { asked: want.asked, policy });
            let contended =
                want.grant < want.asked && self.ledger.stock.loose_for(want.pool, chosen.is_some(), loose_by);
            let terms = self.ledger.stock.terms(want.pool);
            line.granted = Some(PartGranted { at: want.line, units: want.grant, contended, chosen, terms });
            if line.extra > 0 {
                let extra = line.extra;
                let chain = (prepare.from.id, part.last);
                let spot = self.post(want.pool, MovementKind::Prepare, &command.context, chain, taken(extra), None);
                part.last = Some(spot);
            }
        }
        // What is being prepared counts for limits, or two carts could exceed one together.
        let held: Vec<(PoolRef, u64)> = part.lines.iter().map(|line| (line.pool, line.held_in_all())).collect();
        self.recount(prepare.from.id, &part.owner, held.into_iter());
        Ok(())
    }

    /// Committed units leave the house until it is decided, or none do.
    fn ship_prepared(&mut self, command: &Command, prepare: &Prepare, part: &mut Part) -> Result<(), Refusal> {
        let mut parcels = Vec::with_capacity(prepare.ships.len());
        let mut shortages = Vec::new();
        for shipping in &prepare.ships {
            let pool = self.ledger.stock.find_key(&shipping.pool);
            let at = pool.and_then(|pool| part.lines.iter().position(|line| line.pool == pool));
            let Some((pool, at)) = pool.zip(at) else {
                return Err(Refusal::NotFound(Missing::Line(Box::new(shipping.pool.detached()))));
            };
            let shippable = self.ledger.stock.pool(pool).books.shippable();
            let there = shippable.min(u64::from(part.lines[at].truth.unshipped()));
            if u64::from(shipping.units) > there {
                let (line, asked) = (shipping.at, Quantity::most(u64::from(shipping.units)));
                shortages.push(Shortage { line, asked, sellable: Quantity::most(there), earliest: None });
            }
            parcels.push((at, pool, shipping.units));
        }
        if !shortages.is_empty() {
            return Err(Refusal::InsufficientStock(shortages));
        }
        for (at, pool, units) in parcels {
            let (chain, delta) = ((prepare.from.id, part.last), Books::ship(u64::from(units)));
            part.last = Some(self.post(pool, MovementKind::Prepare, &command.context, chain, delta, None));
            part.lines[at].shipping = units;
        }
        Ok(())
    }

    pub(super) fn decide(&mut self, command: &Command, decide: &Decide) -> Outcome {
        let from = &decide.from;
        match self.arrival(from) {
            Arrival::Old => return self.answered(None),
            Arrival::Again => return self.repeated(from.id),
            Arrival::New => {}
        }
        let mut part = self.take_part(from, &decide.owner, &decide.lines);
        if let Some(since) = part.undecided {
            self.news.doubts.push(self.clock().since(since));
        }
        self.bring_to(from.id, &mut part, &decide.lines, decide.deadline, &command.context);
        part.number = from.number;
        self.put_part(from.id, part);
        self.repeated(from.id)
    }

    /// Raises the floor, and says what is to be done with a message: below the floor or below what was obeyed last it
    /// is ignored, equal to that it is answered again (rule 4).
    fn arrival(&mut self, from: &From) -> Arrival {
        self.raise_floor(from.home, from.floor);
        if from.number < self.ledger.floor_of(from.home) {
            return Arrival::Old;
        }
        match self.ledger.parts.get(&from.id) {
            Some(part) if from.number < part.number => Arrival::Old,
            Some(part) if from.number == part.number => Arrival::Again,
            _ => Arrival::New,
        }
    }

    /// The part as it stands, taken out of the state's indexes; or, if it was forgotten, as home knows that it stood.
    fn take_part(&mut self, from: &From, owner: &Owner, lines: &[LineTruth]) -> Box<Part> {
        if let Some(mut part) = self.ledger.parts.remove(&from.id) {
            self.unindex(from.id, &part);
            if part.owner[..] != *owner.as_bytes() {
                // An id that carries no time may begin anew, for somebody else. What is counted for an owner is not.
                self.recount(from.id, &part.owner, part.lines.iter().map(|line| (line.pool, 0)));
                part.owner = owner.as_bytes().into();
            }
            return part;
        }
        let line = |line: &LineTruth| {
            let pool = self.ledger.stock.find_key(&line.pool);
            let Some(pool) = pool.filter(|_| line.was.held == 0) else {
                stop(format_args!("cart {} was forgotten, but home says {line:?}", from.id));
            };
            PartLine::new(pool, line.was)
        };
        Box::new(Part {
            home: from.home,
            number: Number::default(),
            owner: owner.as_bytes().into(),
            lines: lines.iter().map(line).collect(),
            deadline: TimeMs(0),
            undecided: None,
            refused: None,
            last: from.last.map(Spot::from),
            mark: Mark::default(),
        })
    }

    fn put_part(&mut self, id: ReservationId, mut part: Box<Part>) {
        self.ledger.index_part(id, &part);
        self.ledger.dirty.part(id, &mut part);
        self.ledger.parts.insert(id, part);
    }

    fn unindex(&mut self, id: ReservationId, part: &Part) {
        let due = Due::new(part.deadline, id);
        for line in &part.lines {
            let pool = self.ledger.stock.pool_mut(line.pool);
            pool.undecided -= u64::from(line.extra);
            if line.truth.held > 0 {
                pool.take_told(due, u64::from(line.truth.held));
            }
        }
        if !part.idle() {
            self.ledger.holding.take(part.home);
        }
        if let Some(since) = part.undecided {
            self.ledger.undecided.remove(&Due::new(since, id));
        }
        self.ledger.idle_parts.remove(&(part.home, part.number, id.to_bytes()));
    }

    /// Makes the part what home says it is. It is in no index meanwhile. Units that home holds or commits and that are
    /// not here stop the shard (rule 4): no order of messages leads there.
    fn bring_to(
        &mut self,
        id: ReservationId,
        part: &mut Part,
        truths: &[LineTruth],
        deadline: TimeMs,
        context: &Context,
    ) {
        let decided = part.undecided.take().is_some();
        part.refused = None;
        let extended = !decided && deadline > part.deadline;
        part.deadline = deadline;
        let mut told = Map::<PoolRef, Truth>::default();
        for truth in truths {
            let pool = self.ledger.stock.find_key(&truth.pool);
            let Some(pool) = pool.filter(|pool| part.lines.iter().any(|line| line.pool == *pool)) else {
                stop(format_args!("cart {id} is told {truth:?}, and nothing of it was ever held here"));
            };
            told.insert(pool, truth.now);
        }
        for at in 0..part.lines.len() {
            let line = part.lines[at];
            // What home does not name is not held, and is no line of this reservation.
            let mut next = told.get(&line.pool).copied().unwrap_or(Truth { held: 0, ..line.truth });
            if planted::on(Bug::DecideAsDelta) {
                next.committed += line.truth.committed;
            }
            let steps = Steps::between(id, &line, next);
            part.lines[at] = PartLine::new(line.pool, next);
            let (ended, sold) = (steps.held(), u64::from(steps.commit));
            let (clock, ledger) = (self.clock(), &mut *self.ledger);
            if ended > 0 {
                ledger.stock.use_ended(&mut ledger.dirty, clock, id, &part.owner, line.pool, ended, sold);
            }
            if steps.came_back() > 0 {
                let back = steps.came_back();
                ledger.stock.use_given_back(&mut ledger.dirty, clock, id, &part.owner, line.pool, back);
            }
            let mut chain = part.last;
            for (step, units) in steps.moves() {
                let (kind, delta, sold_short) = step.posting(&self.ledger.stock, line.pool, u64::from(units));
                let posting = Posting { sold_short, ..posting(kind, context, (id, chain), delta) };
                chain = Some(self.ledger.stock.post(&mut self.block, line.pool, posting));
            }
            if next.held > 0 && (decided || extended) {
                let kind = if decided && line.extra > 0 { MovementKind::Reserve } else { MovementKind::Extend };
                let told = Some((deadline, &*part.owner));
                chain = Some(self.post(line.pool, kind, context, (id, chain), Delta::default(), told));
            }
            part.last = chain;
        }
        // A hashed id that home has forgotten since begins anew, and so must its counts here.
        part.lines.retain(|line| told.contains_key(&line.pool));
    }

    /// The answer to the last message obeyed.
    fn repeated(&self, id: ReservationId) -> Outcome {
        let part = &self.ledger.parts[&id];
        let granted = part.lines.iter().filter_map(|line| {
            let PartGranted { at, units, contended, chosen, terms } = line.granted?;
            let pool = self.ledger.stock.pool(line.pool).named();
            Some(Granted { at, pool, units, contended, chosen, terms })
        });
        let result = match &part.refused {
            Some(refusal) => Err((**refusal).clone()),
            None => Ok(granted.collect()),
        };
        let last = part.last.map(|spot| spot.at(self.ledger.shard));
        self.answered(Some(Answer { id, number: part.number, from: self.ledger.shard, result, last }))
    }

    fn answered(&self, answer: Option<Answer>) -> Outcome {
        self.outcome(Ok((Done::Answered(answer.map(Box::new)), None)))
    }

    /// Keeps the highest floor of a home, and forgets some of what lies below it (rule 5).
    pub(super) fn raise_floor(&mut self, home: ShardId, floor: Number) {
        let ledger = &mut *self.ledger;
        let mut known = ledger.floors.get(&home).map_or(Number::default(), |(known, _)| *known);
        if floor > known {
            let (kept, mark) = ledger.floors.entry(home).or_default();
            (*kept, known) = (floor, floor);
            ledger.dirty.floor(home, mark);
        }
        if planted::on(Bug::TombstoneForgotten) {
            known = Number { epoch: u32::MAX, counter: u64::MAX };
        }
        for _ in 0..PARTS_FORGOTTEN_PER_ENTRY {
            let first = ledger.idle_parts.range((home, Number::default(), [0; 16])..(home, known, [0; 16])).next();
            let Some(first) = first.copied() else { return };
            ledger.idle_parts.remove(&first);
            let id = ReservationId::from_slice(&first.2).expect("was made from an id");
            if let Some(part) = ledger.parts.remove(&id) {
                ledger.dirty.dropped(&part.mark, first.2);
            }
        }
    }
}

/// What takes a line from one truth to the next, in units.
struct Steps {
    commit: u32,
    release: u32,
    expire: u32,
    withdraw: u32,
    /// Shipped on the word of home, and not any more.
    unship: u32,
    ship: u32,
    cancel: u32,
    returned: u32,
    returned_unavailable: u32,
}

/// One of them.
#[derive(Clone, Copy)]
enum Step {
    Commit,
    Release,
    Expire,
    Withdraw,
    Unship,
    Ship,
    Cancel,
    Return,
    ReturnUnavailable,
}

impl Steps {
    fn between(id: ReservationId, line: &PartLine, next: Truth) -> Self {
        let steps = Self::find(line, next);
        steps.unwrap_or_else(|| stop(format_args!("cart {id} is to become {next:?}, and holds {line:?}")))
    }

    fn find(line: &PartLine, next: Truth) -> Option<Self> {
        let before = line.truth;
        let commit = next.committed.checked_sub(before.committed)?;
        let release = next.released.saturating_sub(before.released);
        let expire = next.expired.saturating_sub(before.expired);
        let there = before.held.checked_add(line.extra)?;
        let rest = there.checked_sub(next.held)?.checked_sub(commit)?.checked_sub(release)?.checked_sub(expire)?;
        // A replace gives back what was held before it without saying so.
        let withdraw = rest.min(line.extra);
        let ship = next.after.shipped.checked_sub(before.after.shipped)?;
        if ship > 0 && ship != line.shipping {
            return None;
        }
        Some(Self {
            commit,
            release: release + (rest - withdraw),
            expire,
            withdraw,
            unship: line.shipping - ship,
            ship,
            cancel: next.after.cancelled.checked_sub(before.after.cancelled)?,
            returned: next.after.returned.checked_sub(before.after.returned)?,
            returned_unavailable: next.after.returned_unavailable.checked_sub(before.after.returned_unavailable)?,
        })
    }

    /// How many held units end.
    fn held(&self) -> u64 {
        [self.commit, self.release, self.expire, self.withdraw].into_iter().map(u64::from).sum()
    }

    /// How many committed units are the shop's again.
    fn came_back(&self) -> u64 {
        [self.cancel, self.returned, self.returned_unavailable].into_iter().map(u64::from).sum()
    }

    fn moves(self) -> impl Iterator<Item = (Step, u32)> {
        let moves = [
            (Step::Commit, self.commit),
            (Step::Release, self.release),
            (Step::Expire, self.expire),
            (Step::Withdraw, self.withdraw),
            (Step::Unship, self.unship),
            (Step::Ship, self.ship),
            (Step::Cancel, self.cancel),
            (Step::Return, self.returned),
            (Step::ReturnUnavailable, self.returned_unavailable),
        ];
        moves.into_iter().filter(|(_, units)| *units > 0)
    }
}

impl Step {
    /// The movement it is, what it changes, and how many units were sold beyond on hand.
    fn posting(self, stock: &Stock, pool: PoolRef, units: u64) -> (MovementKind, Delta, u64) {
        let books = &stock.pool(pool).books;
        let with = |kind, (delta, sold_short)| (kind, delta, sold_short);
        match self {
            Self::Commit => with(MovementKind::Commit, stock.sell(pool, units)),
            Self::Release => (MovementKind::Release, books.give_back(units), 0),
            Self::Expire => (MovementKind::Expire, books.give_back(units), 0),
            Self::Withdraw => (MovementKind::Withdraw, books.give_back(units), 0),
            Self::Unship => (MovementKind::Withdraw, Books::unship(units), 0),
            // They left when it was prepared.
            Self::Ship => (MovementKind::Ship, Delta::default(), 0),
            Self::Cancel => with(MovementKind::Cancel, stock.cancel(pool, units)),
            Self::Return => with(MovementKind::Return, stock.take_return(pool, units, true)),
            Self::ReturnUnavailable => with(MovementKind::Return, stock.take_return(pool, units, false)),
        }
    }
}
