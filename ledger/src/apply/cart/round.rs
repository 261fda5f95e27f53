//! Everything but a reserve that needs the consent of other shards: a replace, a late commit, a shipping. Home prepares
//! its own lines, asks for the others, and decides when all have answered, or gives up.

use super::home::{Sending, kept, posting, remote_lines, taken};
use crate::{
    apply::{
        Entry,
        replace::{NextLine, held_units},
    },
    command::{Command, Context},
    idempotency::Sent,
    journal::{By, Posting},
    limits::PREPARE_TIMEOUT,
    movement::{Delta, MovementKind},
    outcome::{Done, Outcome, Pending, Refusal, Verdict},
    planted::{self, Bug},
    records::pool_key_bytes,
    state::{
        Books, Cart, Due, EndedBy, Intent, PoolRef, Rare, RemoteLine, Reservation, Round, RoundKind, RoundLine,
        RoundOwn, Row, stop,
    },
    types::{Namespace, OperationId, ReservationId, ShardId},
};

/// What a round is begun with.
pub(in crate::apply) struct Beginning {
    pub(in crate::apply) kind: RoundKind,
    pub(in crate::apply) namespace: Namespace,
    pub(in crate::apply) operation: Option<OperationId>,
    /// Hash of the request.
    pub(in crate::apply) print: u64,
    pub(in crate::apply) best_effort: bool,
    pub(in crate::apply) zone: u32,
    /// Own lines, with the index of each in the request.
    pub(in crate::apply) own: Vec<(u32, RoundOwn)>,
    /// Lines in other shards, at least one.
    pub(in crate::apply) wanted: Vec<RoundLine>,
}

impl Entry<'_> {
    /// The same request is under way: it waits for the same end. Another one under its operation's id is a conflict.
    pub(in crate::apply) fn joined(
        &mut self,
        id: ReservationId,
        kind: RoundKind,
        operation: Option<OperationId>,
        print: u64,
        command: &Command,
    ) -> Option<Outcome> {
        let found = self.ledger.reservations.get_mut(&id)?;
        let round = found.round().filter(|round| round.kind == kind && round.operation == operation)?;
        if round.print != print {
            // Without an operation's id it is another request, which has to wait.
            return operation.map(|_| self.refused(Refusal::IdempotencyConflict));
        }
        let (number, later) = found.join(command, kind)?;
        if later {
            self.ledger.dirty.reservation(id, found);
        }
        let position = found.last_decision().at(self.ledger.shard);
        let verdict = Verdict::Done(Done::Pending(Pending { id, number }));
        Some(Outcome { verdict, replayed: true, position, time: self.clock() })
    }

    /// Refuses what has to wait for the end of a round.
    pub(in crate::apply) fn undisturbed(&self, id: ReservationId) -> Result<(), Refusal> {
        let busy = self.ledger.reservations.get(&id).is_some_and(|found| found.round().is_some());
        if busy && !planted::on(Bug::CommitWhileOpen) { Err(Refusal::Contended) } else { Ok(()) }
    }

    /// Prepares own lines and asks for the others. Nothing can fail here.
    pub(in crate::apply) fn begin_round(&mut self, command: &Command, id: ReservationId, with: Beginning) -> Done {
        let clock = self.clock();
        let number = self.next_number();
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else {
            stop(format_args!("reservation {id} is to be prepared, but is not there"));
        };
        let Beginning { kind, namespace, operation, print, best_effort, zone, own, wanted } = with;
        let (own_at, own): (Vec<u32>, Vec<RoundOwn>) = own.into_iter().unzip();
        for own in &own {
            self.prepare_own(id, &mut reservation, kind, own, &command.context);
        }
        if kind != RoundKind::Ship {
            // What is being prepared counts for limits, or two carts could exceed one together.
            let extra: Vec<(PoolRef, u64)> =
                own.iter().map(|own| (self.own_pool(id, own), u64::from(own.extra))).collect();
            self.recount(id, &reservation.owner, held_units(&reservation.lines).chain(extra));
        }
        let shards: Vec<ShardId> = wanted.iter().map(|line| line.shard).collect();
        let mut until = clock.plus(PREPARE_TIMEOUT);
        if reservation.ended.is_none() {
            // Nothing is decided about a hold that is over.
            until = until.min(reservation.deadline);
        }
        let round = Round {
            kind,
            number,
            until,
            ttl: crate::types::DurationMs(0),
            best_effort,
            zone,
            not_after: command.not_after,
            attempt: command.attempt,
            heard: command.heard,
            operation,
            print,
            own_at,
            own,
            wanted,
            granted: Vec::new(),
            context: kept(&command.context),
        };
        let decided = self.spot();
        let cart = reservation.cart.get_or_insert_with(|| {
            let (remote, participants) = (Vec::new(), Vec::new());
            Box::new(Cart { namespace: namespace.detached(), remote, participants, round: None, decided })
        });
        cart.round = Some(Box::new(round));
        let to = Sending { shards: &shards, number, row: Row::Prepare };
        self.send(id, &mut reservation, &to, By::Request(&command.context));
        self.ledger.rounds.insert(Due::new(until, id));
        self.ledger.preparing.extend(operation);
        self.ledger.dirty.reservation(id, &mut reservation);
        self.ledger.reservations.insert(id, reservation);
        Done::Pending(Pending { id, number })
    }

    fn prepare_own(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        kind: RoundKind,
        own: &RoundOwn,
        context: &Context,
    ) {
        if own.extra == 0 {
            return;
        }
        let (pool, units) = (self.own_pool(id, own), u64::from(own.extra));
        let delta = match kind {
            RoundKind::Ship => Books::ship(units),
            _ => taken(own.extra),
        };
        let chain = (id, reservation.chain());
        reservation.last = self.post(pool, MovementKind::Prepare, context, chain, delta, None);
        if kind != RoundKind::Ship {
            self.ledger.stock.pool_mut(pool).undecided += units;
        }
    }

    fn own_pool(&self, id: ReservationId, own: &RoundOwn) -> PoolRef {
        let found = self.ledger.stock.find_bytes(&own.pool);
        found.unwrap_or_else(|| stop(format_args!("cart {id} prepares in a pool that is not there: {own:?}")))
    }

    /// Every participant agrees.
    pub(super) fn complete_round(&mut self, id: ReservationId, reservation: &mut Reservation, round: Round) {
        self.ledger.rounds.remove(&Due::new(round.until, id));
        let context = round.context.as_deref().cloned().unwrap_or_default();
        let shards = match round.kind {
            RoundKind::Replace => match self.complete_replace(id, reservation, &round, &context) {
                Ok(shards) => shards,
                Err(refusal) => {
                    self.ledger.rounds.insert(Due::new(round.until, id));
                    if let Some(cart) = &mut reservation.cart {
                        cart.round = Some(Box::new(round));
                    }
                    return self.fail_round(id, reservation, refusal);
                }
            },
            RoundKind::Revive => self.complete_revive(id, reservation, &round, &context),
            RoundKind::Ship => self.complete_ship(id, reservation, &round, &context),
            RoundKind::Open => return,
        };
        self.tell(id, reservation, &shards, By::Request(&context));
        let told = Done::Reservation(Box::new(reservation.view(id, &self.ledger.stock, self.clock())));
        let outcome = self.outcome(Ok((told, Some(reservation.last_decision()))));
        if let Some(operation) = round.operation {
            self.ledger.preparing.remove(&operation);
            self.ledger.drop_refusal(Intent::Operation(operation));
            self.ledger.remember_operation(operation, round.print, &outcome);
        }
        self.news.decided.push((Pending { id, number: round.number }, outcome));
    }

    /// The new lines take the place of the old. Gives who is to be told.
    fn complete_replace(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        round: &Round,
        context: &Context,
    ) -> Result<Vec<ShardId>, Refusal> {
        let total = round.granted.iter().map(|granted| u64::from(granted.units)).sum::<u64>();
        if total == 0 && round.own.iter().all(|own| own.units == 0) {
            // With best effort each may have granted nothing.
            let own = round.own.iter().map(|own| (self.own_pool(id, own), own.asked, own.policy > 0));
            return Err(self.nothing(round, own.collect()));
        }
        if round.own.len() + round.granted.len() > crate::limits::LINES_MAX {
            return Err(Refusal::PolicyUnsatisfiable);
        }
        let next: Vec<NextLine> = round
            .own
            .iter()
            .map(|own| NextLine {
                pool: self.own_pool(id, own),
                asked: own.asked,
                units: own.units,
                moved: own.extra,
                rare: Rare { policy: own.policy, terms: own.terms, ..Rare::default() },
            })
            .collect();
        self.swap_own(id, reservation, &next, context);
        let Some(cart) = &mut reservation.cart else { return Ok(Vec::new()) };
        let mut shards: Vec<ShardId> = cart.remote.iter().map(|line| line.shard).collect();
        shards.extend(round.wanted.iter().map(|line| line.shard));
        cart.remote = remote_lines(id, round, &cart.remote);
        Ok(shards)
    }

    /// What has expired is committed.
    fn complete_revive(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        round: &Round,
        context: &Context,
    ) -> Vec<ShardId> {
        let clock = self.clock();
        for own in round.own.iter().filter(|own| own.extra > 0) {
            let (pool, units) = (self.own_pool(id, own), u64::from(own.extra));
            let at = reservation.lines.iter().position(|line| line.pool == pool);
            let Some(at) = at else { stop(format_args!("cart {id} revives what it never had: {own:?}")) };
            let ledger = &mut *self.ledger;
            ledger.stock.pool_mut(pool).undecided -= units;
            ledger.stock.use_ended(&mut ledger.dirty, clock, id, &reservation.owner, pool, units, units);
            let (delta, sold_short) = ledger.stock.sell(pool, units);
            let chain = (id, Some(reservation.last));
            let posting = Posting { sold_short, ..posting(MovementKind::Commit, context, chain, delta) };
            reservation.last = ledger.stock.post(&mut self.block, pool, posting);
            reservation.revived(at, own.extra);
            set_terms(reservation, at, own);
        }
        let mut shards = Vec::new();
        for granted in round.granted.iter().filter(|granted| granted.units > 0) {
            let line = remote_of(id, reservation, &pool_key_bytes(&granted.pool));
            let Some(expired) = line.now.expired.checked_sub(granted.units) else {
                stop(format_args!("cart {id} revives {granted:?} of {line:?}"));
            };
            line.now.expired = expired;
            line.now.committed += granted.units;
            line.terms = granted.terms;
            shards.push(line.shard);
        }
        reservation.ended = Some(EndedBy::Commit);
        reservation.since = clock;
        shards
    }

    /// What was to leave the house has left it.
    fn complete_ship(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        round: &Round,
        context: &Context,
    ) -> Vec<ShardId> {
        for own in &round.own {
            let pool = self.own_pool(id, own);
            let at = reservation.lines.iter().position(|line| line.pool == pool);
            let Some(at) = at else { stop(format_args!("cart {id} ships what it never had: {own:?}")) };
            let chain = (id, Some(reservation.last));
            reservation.last = self.post(pool, MovementKind::Ship, context, chain, Delta::default(), None);
            reservation.rare_mut(at).after.shipped += own.units;
        }
        let mut shards = Vec::new();
        for RoundLine { shard, line, .. } in &round.wanted {
            let units = u32::try_from(line.quantity.units()).unwrap_or(u32::MAX);
            let key = reservation.cart.as_ref().map(|cart| pool_key_bytes(&cart.pool_of(line))).unwrap_or_default();
            remote_of(id, reservation, &key).now.after.shipped += units;
            shards.push(*shard);
        }
        shards
    }

    /// What was being prepared comes to nothing: what moved for it moves back, and whoever was asked is told.
    pub(super) fn fail_round(&mut self, id: ReservationId, reservation: &mut Reservation, refusal: Refusal) {
        let Some(round) = reservation.cart.as_mut().and_then(|cart| cart.round.take()) else { return };
        self.ledger.rounds.remove(&Due::new(round.until, id));
        let context = round.context.as_deref().cloned().unwrap_or_default();
        for own in round.own.iter().filter(|own| own.extra > 0) {
            let (pool, units) = (self.own_pool(id, own), u64::from(own.extra));
            let ledger = &mut *self.ledger;
            let delta = match round.kind {
                RoundKind::Ship => Books::unship(units),
                _ => {
                    ledger.stock.pool_mut(pool).undecided -= units;
                    ledger.stock.pool(pool).books.give_back(units)
                }
            };
            let chain = (id, Some(reservation.last));
            reservation.last = self.post(pool, MovementKind::Withdraw, &context, chain, delta, None);
        }
        if round.kind != RoundKind::Ship {
            let own: Vec<(PoolRef, u64)> = round.own.iter().map(|own| (self.own_pool(id, own), 0)).collect();
            self.recount(id, &reservation.owner, held_units(&reservation.lines).chain(own));
        }
        let shards: Vec<ShardId> = round.wanted.iter().map(|line| line.shard).collect();
        self.tell(id, reservation, &shards, By::Request(&context));
        let refusal = match (round.kind, refusal) {
            // The units are not there any more, whatever the reason.
            (RoundKind::Revive, refusal) if refusal != Refusal::Contended => {
                Refusal::ReservationExpired { since: reservation.since }
            }
            (_, refusal) => refusal,
        };
        let outcome = self.refused(refusal);
        if let Some(operation) = round.operation {
            self.ledger.preparing.remove(&operation);
            let sent = Sent { not_after: round.not_after, attempt: round.attempt };
            self.ledger.remember_refusal(Intent::Operation(operation), round.print, sent, &outcome);
        }
        self.news.decided.push((Pending { id, number: round.number }, outcome));
    }

    /// Ends what is being prepared for a reservation, if anything is.
    pub(in crate::apply) fn end_round(&mut self, id: ReservationId, refusal: Refusal) {
        if self.ledger.reservations.get(&id).is_some_and(|found| found.round().is_some()) {
            self.give_up(id, refusal);
        }
    }

    /// Why what was not answered in time is refused.
    pub(super) fn given_up(&self, reservation: &Reservation) -> Refusal {
        let replace = reservation.round().is_some_and(|round| round.kind == RoundKind::Replace);
        if replace && reservation.overdue(self.clock()) {
            Refusal::ReservationExpired { since: reservation.deadline }
        } else {
            Refusal::Contended
        }
    }
}

fn set_terms(reservation: &mut Reservation, at: usize, own: &RoundOwn) {
    if reservation.rare(at).terms != own.terms {
        reservation.rare_mut(at).terms = own.terms;
    }
}

fn remote_of<'a>(id: ReservationId, reservation: &'a mut Reservation, pool: &[u8]) -> &'a mut RemoteLine {
    let cart = reservation.cart.as_mut();
    let found = cart.and_then(|cart| cart.remote.iter_mut().find(|line| line.pool == pool));
    found.unwrap_or_else(|| stop(format_args!("cart {id} changes a line that it never had")))
}
