//! The only writer: applies one entry of the log to the state.
//!
//! First the clock, then what is overdue, then the commands in order. Every handler has three parts: it refuses, it
//! computes, it writes; a comment marks the place after which nothing can fail. Whatever an entry says, it gets an
//! outcome; only a broken equation of our own stops the shard.

mod adjust;
mod after;
mod ahead;
pub(crate) mod allocate;
pub(crate) mod cart;
mod commit;
mod count;
mod expected;
mod expiry;
mod extend;
mod forget;
mod meta;
mod paying;
mod pick;
mod quarantine;
mod receive;
mod release;
mod replace;
pub(crate) mod reserve;
mod revive;
pub(crate) mod rules;
mod set;
mod settle;
mod sku;
mod stockkeeping;
mod transfer;

use crate::{
    command::{Batch, Body, Command, Meta},
    digest::Digest,
    idempotency::Known,
    journal::{BlockHash, Writer},
    limits::{EXPIRY_ON_DEMAND, EXPIRY_PER_ENTRY, REFUSALS_DROPPED_PER_ENTRY, USES_DROPPED_PER_ENTRY},
    movement::Spot,
    outcome::{Done, Missing, Outcome, Pending, Refusal, Verdict},
    planted::{self, Bug},
    records::{may_be_forgotten, reservation_too_old},
    state::{AHEAD, Intent, Ledger, PoolRef, stop_unless_supported},
    types::{DurationMs, LogIndex, OperationId, ReservationId, ShardId, TimeMs},
    validate::validate,
};
use bytes::Bytes;

/// What came of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// One per command, in their order; none where nobody waits for them.
    pub outcomes: Vec<Outcome>,
    /// The journal block of the entry; none if nothing moved.
    pub journal: Option<Bytes>,
    /// The digest after the entry, if it asked for it.
    pub digest: Option<Digest>,
    /// What the entry means for carts over several shards.
    pub news: News,
}

/// What an entry means for carts over several shards, beside its outcomes: for whoever waits for them, and for whoever
/// sends the home's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What was being prepared and is decided now, with the outcome of its request.
    pub decided: Vec<(Pending, Outcome)>,
    /// Reservations whose participants have all answered now.
    pub settled: Vec<ReservationId>,
    /// There are new messages in the outbox.
    pub sent: bool,
    /// For each prepare that was decided here: how long it was undecided, by the ledger's clock.
    pub doubts: Vec<DurationMs>,
}

impl Ledger {
    /// Applies one entry. Entries are applied in the order of the log, each once; the node makes sure of both, that
    /// this build [supports](Self::supports) the entry's rules, and that cold records are
    /// [given back](Self::cold_keys) first.
    pub fn apply(&mut self, index: LogIndex, batch: &Batch) -> Applied {
        self.apply_for(index, batch, true)
    }

    /// The same where nobody waits for the answers, as on a follower: what would be told and is not kept is not made.
    pub fn follow(&mut self, index: LogIndex, batch: &Batch) -> Applied {
        self.apply_for(index, batch, false)
    }

    fn apply_for(&mut self, index: LogIndex, batch: &Batch, awaited: bool) -> Applied {
        stop_unless_supported(batch);
        // An entry says itself what it is applied under. What a shard was raised to stays, whoever stamps the next.
        self.header.rules = self.header.rules.max(batch.rules);
        let back = planted::on(Bug::ClockGoesBack);
        self.header.clock = if back { batch.time } else { self.header.clock.max(batch.time) };
        self.dirty.header = true;
        let serial = self.next_serial();
        let parts = std::mem::take(&mut self.scratch.journal);
        let block = Writer::new(self.shard, self.header.epoch, index, self.header.clock, serial, parts);
        let news = News::default();
        let (sweeps_left, reached_before) = (EXPIRY_PER_ENTRY, false);
        let mut entry = Entry {
            index,
            block,
            sweeps_left,
            news,
            reached_before,
            awaited,
            kept: true,
            looked_up: None,
            ledger: self,
        };
        entry.ledger.drop_refusals(REFUSALS_DROPPED_PER_ENTRY);
        entry.ledger.drop_uses(USES_DROPPED_PER_ENTRY);
        entry.give_up_overdue();
        if planted::on(Bug::PreparedHoldExpires) {
            entry.give_back_undecided();
        }
        entry.sweep_oldest();
        entry.sweeps_left = EXPIRY_ON_DEMAND;
        let mut outcomes = Vec::with_capacity(if awaited { batch.commands.len() } else { 0 });
        for commands in batch.commands.chunks(AHEAD) {
            let pools = entry.ledger.look_ahead(commands);
            for (command, pool) in commands.iter().zip(pools) {
                entry.looked_up = pool;
                let outcome = entry.command(command);
                if awaited {
                    outcomes.push(outcome);
                }
            }
        }
        let Entry { block, news, .. } = entry;
        let (journal, parts) = block.finish(self.header.journal);
        self.scratch.journal = parts;
        if let Some(block) = &journal {
            self.header.journal = BlockHash::of(block);
        }
        let digest = batch.digest.then(|| self.digest());
        Applied { outcomes, journal, digest, news }
    }
}

/// One entry while it is applied.
struct Entry<'a> {
    index: LogIndex,
    block: Writer,
    /// How many more lines of overdue holds may be ended.
    sweeps_left: u32,
    news: News,
    /// The command found its end reached by another before.
    reached_before: bool,
    /// Somebody waits for the answers.
    awaited: bool,
    /// The answer that is being made is remembered, too.
    kept: bool,
    /// The pool of the command's first line, if it was there before this entry's last few commands.
    looked_up: Option<PoolRef>,
    ledger: &'a mut Ledger,
}

/// What a handler that took effect has to tell: the answer, and its last movement if there was one.
type Effect = (Done, Option<Spot>);

impl Entry<'_> {
    fn command(&mut self, command: &Command) -> Outcome {
        match &command.body {
            Body::Reserve(reserve) => self.reserve(command, reserve),
            Body::Commit(commit) => self.commit(command, commit),
            Body::Release(release) => self.release(command, release),
            Body::Extend(extend) => self.once(extend.operation, command, |entry| entry.extend(command, extend)),
            Body::Receive(receive) => self.once(receive.operation, command, |entry| entry.receive(command, receive)),
            Body::Adjust(adjust) => self.once(adjust.operation, command, |entry| entry.adjust(command, adjust)),
            Body::Forget(forget) => self.forget(forget),
            Body::Meta(Meta::Form(form)) => self.form(command, form),
            Body::Stockkeeping(asked) => {
                self.once(asked.operation(), command, |entry| entry.keep_stock(command, asked))
            }
            Body::Cart(message) => self.cart(command, message),
            Body::Replace(replace) => self.replace(command, replace),
            Body::MarkPaying(paying) => {
                self.once(paying.operation, command, |entry| entry.mark_paying(command, paying))
            }
            Body::Ship(ship) => self.ship(command, ship),
            Body::Cancel(cancel) => self.once(cancel.operation, command, |entry| entry.cancel(command, cancel)),
            Body::Return(back) => self.once(back.operation, command, |entry| entry.take_return(command, back)),
        }
    }

    fn clock(&self) -> TimeMs {
        self.ledger.header.clock
    }

    fn outcome(&self, result: Result<Effect, Refusal>) -> Outcome {
        let (verdict, last) = match result {
            Ok((done, last)) => (Verdict::Done(done), last),
            Err(refusal) => (Verdict::Refused(refusal), None),
        };
        let of_entry = Spot { epoch: self.ledger.header.epoch.0, index: self.index.0, ordinal: 0 };
        Outcome {
            verdict,
            replayed: false,
            position: last.unwrap_or(of_entry).at(self.ledger.shard),
            time: self.clock(),
        }
    }

    fn refused(&self, refusal: Refusal) -> Outcome {
        self.outcome(Err(refusal))
    }

    /// Carries out an operation that is remembered under its id, at most once.
    fn once(
        &mut self,
        id: OperationId,
        command: &Command,
        run: impl FnOnce(&mut Self) -> Result<Effect, Refusal>,
    ) -> Outcome {
        let print = crate::idempotency::fingerprint(&command.body);
        match self.ledger.known_operation(id, print, command) {
            Known::Outcome(outcome) => return outcome,
            Known::Conflict => return self.refused(Refusal::IdempotencyConflict),
            Known::New | Known::Rejected => {}
        }
        if may_be_forgotten(id.time(), self.clock()) {
            return self.refused(Refusal::IdempotencyTooOld);
        }
        let intent = Intent::Operation(id);
        match run(self) {
            // Other shards are asked: its end is remembered once it is reached.
            Ok(effect @ (Done::Pending(_), _)) => self.outcome(Ok(effect)),
            Ok(effect) => {
                let replayed = std::mem::take(&mut self.reached_before);
                let outcome = Outcome { replayed, ..self.outcome(Ok(effect)) };
                self.ledger.drop_refusal(intent);
                self.ledger.remember_operation(id, print, &outcome);
                outcome
            }
            Err(refusal) => {
                let outcome = self.refused(refusal);
                self.ledger.remember_refusal(intent, print, command.into(), &outcome);
                outcome
            }
        }
    }

    /// Carries out a commit or release of all that is held: done, the reservation tells it, and only a refusal is
    /// remembered under its id, for as long as any sending of it may arrive. Else one that comes twice could be told
    /// that there is nothing, and take effect the second time.
    fn whole(
        &mut self,
        id: Option<OperationId>,
        command: &Command,
        run: impl FnOnce(&mut Self) -> Result<Effect, Refusal>,
    ) -> Outcome {
        let run = |entry: &mut Self| {
            let kept = std::mem::replace(&mut entry.kept, false);
            let result = run(entry);
            entry.kept = kept;
            result
        };
        let Some(id) = id else {
            let result = run(self);
            return self.outcome(result);
        };
        let intent = Intent::Whole(id);
        match self.ledger.known_whole(id, command) {
            Known::Outcome(outcome) => return outcome,
            Known::Conflict => return self.refused(Refusal::IdempotencyConflict),
            Known::New | Known::Rejected => {}
        }
        let result = run(self);
        let (refused, outcome) = (result.is_err(), self.outcome(result));
        if refused {
            let print = crate::idempotency::fingerprint(&command.body);
            self.ledger.remember_refusal(intent, print, command.into(), &outcome);
        } else {
            self.ledger.drop_refusal(intent);
        }
        outcome
    }

    /// The refusals every stock command has in common.
    fn admit(&self, command: &Command) -> Result<(), Refusal> {
        let bad = validate(command, self.clock());
        if !bad.is_empty() {
            return Err(Refusal::InvalidArgument(bad));
        }
        if self.ledger.shard == ShardId::META {
            return Err(Refusal::WrongShard);
        }
        self.in_time(command)
    }

    fn in_time(&self, command: &Command) -> Result<(), Refusal> {
        if self.clock() > command.not_after { Err(Refusal::Late) } else { Ok(()) }
    }

    /// Why a reservation that is not there is not there.
    fn absent(&self, id: ReservationId) -> Refusal {
        if reservation_too_old(id, self.clock()) {
            Refusal::IdempotencyTooOld
        } else {
            Refusal::NotFound(Missing::Reservation(id))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_a_shard_never_fall() {
        let mut ledger = Ledger::new(ShardId(1));
        ledger.apply(LogIndex(1), &Batch { rules: 1, ..Batch::default() });
        assert_eq!(ledger.rules(), 1);
        // As a newer build left it.
        ledger.header.rules = 2;
        ledger.apply(LogIndex(2), &Batch { rules: 1, ..Batch::default() });
        assert_eq!(ledger.rules(), 2);
    }
}
