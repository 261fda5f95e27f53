//! Ask: a participant that holds something undecided since long asks its home. It heals what only a lost home can
//! leave behind; nothing rests on it (rule 6).

use super::super::Entry;
use crate::{
    cart::message::{Ask, Asked, Gone},
    command::Context,
    movement::MovementKind,
    outcome::{Done, Outcome, Refusal},
    state::{Books, Due},
    types::DurationMs,
};

impl Entry<'_> {
    /// What home knows of a prepare.
    pub(super) fn ask(&mut self, ask: Ask) -> Outcome {
        self.ledger.must_know_reservation(ask.id);
        let sent = self.ledger.reservations.get(&ask.id).and_then(|found| found.cart.as_ref()?.participant(ask.from));
        // Whoever was ever sent that number, or a later one, is told more by its row, now or once it is prepared.
        let known = sent.is_some_and(|participant| participant.number >= ask.number);
        let asked = if known { Asked::Keep } else { Asked::Gone };
        self.outcome(Ok((Done::Asked(asked), None)))
    }

    /// Does to what is undecided since 300 ms what home alone may ask for.
    pub(in crate::apply) fn give_back_undecided(&mut self) {
        let then = self.clock().minus(DurationMs(300));
        let old: Vec<_> = self.ledger.undecided_before(then).collect();
        for (id, home, number) in old {
            self.gone(Gone { id, number, home });
        }
    }

    /// Home knows nothing of that prepare. Obeyed only if nothing newer was heard, and it is undecided still.
    pub(super) fn gone(&mut self, gone: Gone) -> Outcome {
        let id = gone.id;
        let there = self
            .ledger
            .parts
            .get(&id)
            .is_some_and(|part| part.home == gone.home && part.number == gone.number && part.undecided.is_some());
        if !there {
            return self.noted();
        }
        let Some(mut part) = self.ledger.parts.remove(&id) else { return self.noted() };
        // A late duplicate of that prepare must not be told that it is held.
        part.refused = Some(Box::new(Refusal::Contended));
        if let Some(since) = part.undecided.take() {
            self.ledger.undecided.remove(&Due::new(since, id));
        }
        for at in 0..part.lines.len() {
            let line = part.lines[at];
            part.lines[at].extra = 0;
            part.lines[at].granted = None;
            part.lines[at].shipping = 0;
            if line.shipping > 0 {
                let (chain, delta) = ((id, part.last), Books::unship(u64::from(line.shipping)));
                let context = Context::default();
                part.last = Some(self.post(line.pool, MovementKind::Withdraw, &context, chain, delta, None));
            }
            if line.extra > 0 {
                let extra = u64::from(line.extra);
                let (clock, ledger) = (self.clock(), &mut *self.ledger);
                ledger.stock.pool_mut(line.pool).undecided -= extra;
                ledger.stock.use_ended(&mut ledger.dirty, clock, id, &part.owner, line.pool, extra, 0);
                let delta = self.ledger.stock.pool(line.pool).books.give_back(extra);
                let chain = (id, part.last);
                let spot = self.post(line.pool, MovementKind::Withdraw, &Context::default(), chain, delta, None);
                part.last = Some(spot);
            }
        }
        if part.idle() {
            self.ledger.holding.take(part.home);
            self.ledger.idle_parts.insert((part.home, part.number, id.to_bytes()));
        }
        self.ledger.dirty.part(id, &mut part);
        self.ledger.parts.insert(id, part);
        self.noted()
    }
}
