//! Home's side: answers come in, and one decision is made. `open` has how a reserve begins, `round` everything else that
//! needs an answer.

use super::{
    super::{Effect, Entry, reserve::loose_by},
    open::index,
};
use crate::{
    cart::{
        Number,
        message::{Answer, Granted, Truth},
    },
    command::Context,
    journal::{By, Posting},
    limits::LINES_MAX,
    movement::{Delta, MovementKind, Spot},
    outcome::{Done, Outcome, Pending, Refusal, ReservationState, Shortage},
    planted::{self, Bug},
    records::pool_key_bytes,
    state::{Due, EndedBy, Header, Intent, PoolRef, RemoteLine, Reservation, Round, RoundKind, Row, stop, units},
    types::{Quantity, ReservationId, ShardId, TimeMs},
};
use bytes::Bytes;
use std::{cmp::Reverse, collections::BTreeMap};

impl Entry<'_> {
    /// Takes the next number of this shard. No decision has the number of another (rule 1).
    pub(super) fn next_number(&mut self) -> Number {
        let header = &mut self.ledger.header;
        header.counter += 1;
        Number { epoch: header.epoch.0, counter: header.counter }
    }

    /// Opens a row to each of these shards. It replaces the older one (rule 3). By whom is kept for the telling.
    pub(super) fn send(&mut self, id: ReservationId, reservation: &mut Reservation, to: &Sending<'_>, by: By<'_>) {
        let decided = self.spot();
        let Some(cart) = &mut reservation.cart else { return };
        cart.decided = decided;
        let Sending { shards, number, row } = *to;
        for shard in shards {
            let participant = cart.participant_mut(*shard);
            let left_out = planted::on(Bug::RowNotReplaced) && participant.row.is_some();
            if participant.number == number || left_out {
                continue;
            }
            self.ledger.outbox.close(participant);
            if participant.row.is_none() {
                participant.oldest = number;
            }
            participant.number = number;
            participant.row = Some(row);
            participant.context = match by {
                By::Request(context) => kept(context),
                By::Nobody => None,
            };
            if !self.ledger.outbox.open(participant, id) {
                stop(format_args!("number {number} was taken before"));
            }
            self.news.sent = true;
        }
    }

    /// Tells these participants how the reservation stands now, under a new number.
    pub(in crate::apply) fn tell(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        shards: &[ShardId],
        by: By<'_>,
    ) {
        if shards.is_empty() {
            return;
        }
        let Header { epoch, counter, .. } = self.ledger.header;
        let reused = planted::on(Bug::NumberReused) && counter > 0;
        let number = if reused { Number { epoch: epoch.0, counter } } else { self.next_number() };
        let to = Sending { shards, number, row: Row::Decide };
        self.send(id, reservation, &to, by);
    }

    /// A participant answered. Only the answer to the open row counts (rule 3).
    pub(super) fn answer(&mut self, answer: &Answer) -> Outcome {
        let id = answer.id;
        let waits = |found: &Reservation| found.cart.as_ref().is_some_and(|cart| cart.waits_for(answer));
        if !self.ledger.reservations.get(&id).is_some_and(|found| waits(found)) {
            return self.noted();
        }
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else { return self.noted() };
        self.take_answer(id, &mut reservation, answer);
        let settled = !reservation.unsettled();
        if settled {
            self.news.settled.push(id);
        }
        self.ledger.dirty.reservation(id, &mut reservation);
        if reservation.ended.is_some() && !reservation.passing() {
            self.ledger.cold.ended.push(Reverse(id));
        }
        self.ledger.reservations.insert(id, reservation);
        if settled && !self.ledger.refusals.contains_key(&Intent::Reserve(id)) {
            self.ledger.drop_rejected(id);
        }
        self.noted()
    }

    fn take_answer(&mut self, id: ReservationId, reservation: &mut Reservation, answer: &Answer) {
        let Some(cart) = &mut reservation.cart else { return };
        let Ok(at) = cart.participants.binary_search_by_key(&answer.from, |found| found.shard) else { return };
        let participant = &mut cart.participants[at];
        let counts = participant.number == answer.number || planted::on(Bug::OldAnswerCounted);
        let Some(row) = participant.row.filter(|_| counts) else { return };
        self.ledger.outbox.close(participant);
        participant.row = None;
        participant.context = None;
        participant.last = answer.last.or(participant.last);
        for line in cart.remote.iter_mut().filter(|line| line.shard == answer.from) {
            line.was = line.now;
        }
        if row == Row::Decide {
            return;
        }
        let Some(round) = &mut cart.round else { return };
        let mut result = answer.result.clone();
        if planted::on(Bug::HalfACart) {
            result = Ok(result.unwrap_or_default());
        }
        match result {
            Err(refusal) => self.refuse_round(id, reservation, refusal),
            // Nothing is held from the moment on at which the cart is given up, swept or not.
            Ok(_) if self.clock() >= round.until => {
                let refusal = self.given_up(reservation);
                self.refuse_round(id, reservation, refusal);
            }
            Ok(granted) => {
                round.granted.extend(granted.iter().map(detached));
                let waiting = cart.participants.iter().any(|other| other.row == Some(Row::Prepare));
                if !waiting || planted::on(Bug::HeldOnFirstAnswer) {
                    self.complete(id, reservation);
                }
            }
        }
    }

    /// Every participant holds its lines: the cart is held. This is the moment of success.
    fn complete(&mut self, id: ReservationId, reservation: &mut Reservation) {
        let clock = self.clock();
        let Some(mut cart) = reservation.cart.take() else { return };
        let Some(round) = cart.round.take() else { return };
        if round.kind != RoundKind::Open {
            reservation.cart = Some(cart);
            return self.complete_round(id, reservation, *round);
        }
        let total: u64 = round.granted.iter().map(|granted| u64::from(granted.units)).sum();
        if total == 0 && reservation.lines.iter().all(|line| line.held == 0) {
            // With best effort each may have granted nothing.
            let own = reservation.lines.iter().enumerate();
            let own = own.map(|(at, line)| (line.pool, line.asked, reservation.rare(at).policy > 0)).collect();
            let refusal = self.nothing(&round, own);
            cart.round = Some(round);
            reservation.cart = Some(cart);
            return self.reject(id, reservation, refusal);
        }
        if reservation.lines.as_slice().len() + round.granted.len() > LINES_MAX {
            // Each shard kept to it, but policies split the lines of several.
            cart.round = Some(round);
            reservation.cart = Some(cart);
            return self.reject(id, reservation, Refusal::PolicyUnsatisfiable);
        }
        self.ledger.rounds.remove(&Due::new(round.until, id));
        let deadline = clock.plus(round.ttl);
        let due = Due::new(deadline, id);
        let context = round.context.as_deref().cloned().unwrap_or_default();
        // Where nothing moves here, what tells of the success is this entry.
        reservation.reserved_at = self.spot();
        for line in reservation.lines.iter().filter(|line| line.held > 0) {
            let held = u64::from(line.held);
            let pool = self.ledger.stock.pool_mut(line.pool);
            pool.undecided -= held;
            pool.add_hold(due, held);
            let chain = (id, Some(reservation.last));
            let told = Some((deadline, &*reservation.owner));
            reservation.last = self.post(line.pool, MovementKind::Reserve, &context, chain, Delta::default(), told);
            reservation.reserved_at = reservation.last;
        }
        cart.remote = remote_lines(id, &round, &[]);
        let shards: Vec<ShardId> = round.wanted.iter().map(|line| line.shard).collect();
        reservation.cart = Some(cart);
        reservation.deadline = deadline;
        reservation.first_deadline = deadline;
        reservation.created = clock;
        reservation.since = clock;
        self.tell(id, reservation, &shards, By::Request(&context));
        self.ledger.deadlines.add(due, ());
        self.ledger.owners.add(&reservation.owner, id);
        self.ledger.drop_refusal(Intent::Reserve(id));
        let done = Done::Reserved(reservation.reserved(id, &self.ledger.stock));
        let outcome = self.outcome(Ok((done, Some(reservation.reserved_at))));
        self.news.decided.push((Pending { id, number: round.number }, outcome));
    }

    /// Why a cart that got nothing at all is refused: there is nothing, or it may come back any moment.
    /// Of each own line it is told the pool, what was asked, and whether a policy chose the pool.
    pub(super) fn nothing(&self, round: &Round, own: Vec<(PoolRef, u32, bool)>) -> Refusal {
        let stock = &self.ledger.stock;
        let clock = self.clock();
        let loose_by = loose_by(round.heard, clock);
        let loose = |(pool, _, chosen): &(PoolRef, u32, bool)| stock.loose_for(*pool, *chosen, loose_by);
        if round.granted.iter().any(|granted| granted.contended) || own.iter().any(loose) {
            return Refusal::Contended;
        }
        let shortage = |at, asked, earliest| Shortage { line: at, asked, sellable: Quantity::ZERO, earliest };
        let earliest = |pool, asked: u32| stock.earliest(pool, u64::from(asked), 0, clock);
        let own = round.own_at.iter().zip(&own);
        let own = own.map(|(at, (pool, asked, _))| shortage(*at, units(*asked), earliest(*pool, *asked)));
        // What is announced in other shards is not known here.
        let wanted = round.wanted.iter().map(|line| shortage(line.at, line.line.quantity, None));
        let mut shortages: Vec<Shortage> = own.chain(wanted).collect();
        shortages.sort_by_key(|shortage| shortage.line);
        Refusal::InsufficientStock(shortages)
    }

    /// What is being prepared comes to nothing.
    pub(in crate::apply) fn refuse_round(
        &mut self,
        id: ReservationId,
        reservation: &mut Reservation,
        refusal: Refusal,
    ) {
        match reservation.round().map(|round| round.kind) {
            Some(RoundKind::Open) => self.reject(id, reservation, refusal),
            Some(_) => self.fail_round(id, reservation, refusal),
            None => {}
        }
    }

    /// The cart is not held: refused by a participant, given up, or released while it was prepared.
    fn reject(&mut self, id: ReservationId, reservation: &mut Reservation, refusal: Refusal) {
        let clock = self.clock();
        let Some(round) = reservation.cart.as_mut().and_then(|cart| cart.round.take()) else { return };
        self.ledger.rounds.remove(&Due::new(round.until, id));
        let context = round.context.as_deref().cloned().unwrap_or_default();
        for line in reservation.lines.as_mut_slice().iter_mut().filter(|line| line.held > 0) {
            let held = u64::from(line.held);
            let ledger = &mut *self.ledger;
            ledger.stock.pool_mut(line.pool).undecided -= held;
            ledger.stock.use_ended(&mut ledger.dirty, clock, id, &reservation.owner, line.pool, held, 0);
            let delta = self.ledger.stock.pool(line.pool).books.give_back(held);
            let chain = (id, Some(reservation.last));
            reservation.last = self.post(line.pool, MovementKind::Withdraw, &context, chain, delta, None);
            line.held = 0;
        }
        let shards: Vec<ShardId> = round.wanted.iter().map(|line| line.shard).collect();
        reservation.ended = Some(EndedBy::Rejection);
        reservation.since = clock;
        self.tell(id, reservation, &shards, By::Request(&context));
        let outcome = self.refused(refusal);
        let sent = crate::idempotency::Sent { not_after: round.not_after, attempt: round.attempt };
        self.ledger.remember_refusal(Intent::Reserve(id), reservation.fingerprint, sent, &outcome);
        self.news.decided.push((Pending { id, number: round.number }, outcome));
    }

    /// Gives up what was not answered in time, oldest first, as far as the entry's bound goes.
    pub(in crate::apply) fn give_up_overdue(&mut self) {
        while self.sweeps_left > 0 {
            match self.ledger.rounds.first() {
                Some(due) if due.deadline() <= self.clock() => {
                    let id = due.id();
                    self.sweeps_left -= 1;
                    let refusal = self.ledger.reservations.get(&id).map(|found| self.given_up(found));
                    self.give_up(id, refusal.unwrap_or(Refusal::Contended));
                }
                _ => return,
            }
        }
    }

    /// Ends the round of a reservation that is being prepared.
    pub(in crate::apply) fn give_up(&mut self, id: ReservationId, refusal: Refusal) {
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else {
            stop(format_args!("reservation {id} is being prepared, but is not there"));
        };
        self.refuse_round(id, &mut reservation, refusal);
        self.ledger.dirty.reservation(id, &mut reservation);
        self.ledger.reservations.insert(id, reservation);
    }

    /// A whole release of a cart that is still being prepared: it is rejected, and nothing was ever held.
    pub(in crate::apply) fn release_open(&mut self, id: ReservationId) -> Result<Effect, Refusal> {
        let since = self.clock();
        self.give_up(id, Refusal::ReservationState { state: ReservationState::Rejected, since });
        // A cart that had got nothing here moves nothing here, and is over in this entry all the same.
        Ok((self.told(id), Some(self.ledger.reservations[&id].last_decision())))
    }

    /// Writes one movement of a reservation. `told` is the deadline and the owner, where they are told.
    pub(super) fn post(
        &mut self,
        pool: PoolRef,
        kind: MovementKind,
        context: &Context,
        (id, previous): (ReservationId, Option<Spot>),
        delta: Delta,
        told: Option<(TimeMs, &[u8])>,
    ) -> Spot {
        let posting = Posting {
            deadline: told.map(|(deadline, _)| deadline),
            owner: told.map_or_else(Bytes::new, |(_, owner)| Bytes::copy_from_slice(owner)),
            ..posting(kind, context, (id, previous), delta)
        };
        self.ledger.stock.post(&mut self.block, pool, posting)
    }

    /// Where this entry stands, for what moved nothing.
    pub(super) fn spot(&self) -> Spot {
        Spot { epoch: self.ledger.header.epoch.0, index: self.index.0, ordinal: 0 }
    }

    pub(super) fn noted(&self) -> Outcome {
        self.outcome(Ok((Done::Noted, None)))
    }
}

/// One message to several participants.
pub(super) struct Sending<'a> {
    pub(super) shards: &'a [ShardId],
    pub(super) number: Number,
    pub(super) row: Row,
}

/// What every movement of a cart says. Nobody asked for it if the context is empty: time did it.
pub(super) fn posting(
    kind: MovementKind,
    context: &Context,
    (id, previous): (ReservationId, Option<Spot>),
    delta: Delta,
) -> Posting<'_> {
    Posting {
        kind,
        by: if *context == Context::default() { By::Nobody } else { By::Request(context) },
        reservation: Some((id, previous)),
        delta,
        sold_short: 0,
        document: Bytes::new(),
        reason: Bytes::new(),
        deadline: None,
        owner: Bytes::new(),
    }
}

/// What the holding of so many units does.
pub(super) fn taken(held: u32) -> Delta {
    let held = i64::from(held);
    Delta { available: -held, held, ..Delta::default() }
}

pub(super) fn kept(context: &Context) -> Option<Box<Context>> {
    Some(context).filter(|context| **context != Context::default()).map(|context| Box::new(context.detached()))
}

fn detached(granted: &Granted) -> Granted {
    Granted { pool: granted.pool.detached(), ..*granted }
}

/// The lines in other shards, each with its place among all lines. A line that names no location may have got several
/// pools: its participant says what is asked of each.
pub(super) fn remote_lines(id: ReservationId, round: &Round, before: &[RemoteLine]) -> Vec<RemoteLine> {
    let mut granted: Vec<&Granted> = round.granted.iter().collect();
    // Several of one line stay in the order in which they were answered.
    granted.sort_by_key(|granted| granted.at);
    let mut own = round.own_at.iter().peekable();
    let mut own_before = 0;
    let mut lines = Vec::with_capacity(granted.len());
    let mut asked = BTreeMap::<ShardId, u64>::new();
    for granted in granted {
        while own.next_if(|at| **at < granted.at).is_some() {
            own_before += 1;
        }
        let mut line = remote_line(round, granted, index(own_before + lines.len()));
        if let Some(before) = before.iter().find(|before| before.shard == line.shard && before.pool == line.pool) {
            line.was = before.was;
        }
        *asked.entry(line.shard).or_default() += u64::from(line.asked);
        lines.push(line);
    }
    let mut wanted = BTreeMap::<ShardId, u64>::new();
    for line in &round.wanted {
        *wanted.entry(line.shard).or_default() += line.line.quantity.units();
    }
    if asked != wanted {
        stop(format_args!("of cart {id} participants judged {asked:?}, and were asked for {wanted:?}"));
    }
    lines
}

fn remote_line(round: &Round, granted: &Granted, place: u32) -> RemoteLine {
    let wanted = round.wanted.iter().find(|line| line.at == granted.at);
    let of_line = wanted.map_or(Quantity::ZERO, |wanted| wanted.line.quantity);
    let of_line = u32::try_from(of_line.units()).unwrap_or(u32::MAX);
    let asked = granted.chosen.map_or(of_line, |chosen| chosen.asked);
    let Some(wanted) = wanted.filter(|_| granted.units <= asked) else {
        stop(format_args!("a participant granted what was not asked for: {granted:?}"));
    };
    RemoteLine {
        place,
        shard: wanted.shard,
        pool: pool_key_bytes(&granted.pool),
        asked,
        now: Truth { held: granted.units, ..Truth::default() },
        was: Truth::default(),
        policy: granted.chosen.map_or(0, |chosen| chosen.policy.saturating_add(1)),
        terms: granted.terms,
    }
}
