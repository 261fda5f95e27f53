//! What a participant does with what it is told. It decides nothing by itself but whether its units are there.

use super::{
    messages::{Body, Line, Message, Number, Truth, Units, Verdict},
    model::CartModel,
    mutations::Mutation,
    state::{Broken, Phase, Record, State},
};

impl CartModel {
    /// A Prepare or a Decide. Only a number above all before it changes anything.
    pub fn on_row(&self, state: &mut State, message: Message) {
        let Message { cart, participant, number, .. } = message;
        if number < state.floors[participant][self.configuration.carts[cart].home] {
            return;
        }
        let record = state.records[cart][participant];
        if let Some(record) = record
            && !self.is(Mutation::NoNumbers)
        {
            if number < record.number {
                return;
            }
            if number == record.number {
                self.send(state, Message { body: Body::Answer(record.answer), ..message });
                return;
            }
        }
        let answer = match message.body {
            Body::Prepare { base, new, least } => self.on_prepare(state, message, base, [new, least]),
            Body::Decide(line) => self.on_decide(state, message, line),
            _ => return,
        };
        self.send(state, Message { body: Body::Answer(answer), ..message });
    }

    /// The record as it stands; or, if it was forgotten, as home knows that it stood.
    fn record(&self, state: &mut State, message: Message, line: Option<Line>) -> Record {
        if let Some(record) = state.records[message.cart][message.participant] {
            return record;
        }
        let was = line.filter(|_| !self.is(Mutation::WasNotTold)).map_or_else(Truth::default, |line| line.was);
        if was.held > 0 {
            state.breaks(Broken::UnitsMissing);
        }
        Record { committed: was.committed, returned: was.returned, ..Record::default() }
    }

    /// Makes the record what home says it is. What was undecided is given back, as far as it is not held or sold now.
    fn bring_to(&self, state: &mut State, message: Message, record: Record, now: Option<Truth>) -> Option<Record> {
        let Message { cart, participant, number, .. } = message;
        let kept = if self.is(Mutation::CountsOutliveLine) { record } else { Record::default() };
        let unnamed = Record { number, committed: kept.committed, returned: kept.returned, ..Record::default() };
        let Some(now) = now else { return Some(unnamed) };
        if now.committed < record.committed || now.returned < record.returned {
            state.breaks(Broken::TotalFell);
        }
        let sold = now.committed.saturating_sub(record.committed);
        let returned = now.returned.saturating_sub(record.returned);
        if record.units() < now.held + sold {
            state.breaks(Broken::UnitsMissing);
            return None;
        }
        state.pools[cart][participant].committed += sold;
        state.pools[cart][participant].returned += returned;
        Some(Record {
            number,
            base: now.held,
            committed: now.committed,
            returned: now.returned,
            deadline: now.deadline,
            ..Record::default()
        })
    }

    fn on_prepare(&self, state: &mut State, message: Message, base: Option<Line>, asked: [Units; 2]) -> Verdict {
        let [new, least] = asked;
        let Message { cart, participant, .. } = message;
        let before = (state.records[cart][participant], state.pools[cart][participant]);
        let record = self.record(state, message, base);
        // Home says nothing of the deadline here.
        let now = base.map(|Line { now, .. }| Truth { deadline: record.deadline.min(now.deadline), ..now });
        let Some(record) = self.bring_to(state, message, record, now) else { return Verdict::Short };
        let base = if self.is(Mutation::PrepareDropsBase) { 0 } else { record.base };
        let record = Record { base, ..record };
        state.records[cart][participant] = Some(record);
        // What this cart has here already counts as there.
        let there = self.available(state, participant) + i16::from(base);
        if let Some(granted) = (least..=new).rev().find(|units| there >= i16::from(base.max(*units))) {
            let answer = Verdict::Granted(granted);
            state.records[cart][participant] = Some(Record { pending: granted, undecided: true, answer, ..record });
            return answer;
        }
        let contended = self.could_come_free(state, participant, cart, base.max(least) - base);
        let answer = if contended { Verdict::Contended } else { Verdict::Short };
        state.records[cart][participant] = Some(Record { answer, ..record });
        if self.is(Mutation::RefusalNotRemembered) || self.is(Mutation::RefusalNotRememberedNorTold) {
            (state.records[cart][participant], state.pools[cart][participant]) = before;
        }
        answer
    }

    fn on_decide(&self, state: &mut State, message: Message, line: Option<Line>) -> Verdict {
        let record = self.record(state, message, line);
        let now = line.map(|line| self.totals(record, line.now));
        if let Some(record) = self.bring_to(state, message, record, now) {
            state.records[message.cart][message.participant] = Some(record);
        }
        Verdict::Settled
    }

    /// Home knows nothing of that very Prepare. What it held goes, and whoever brings it again is refused.
    pub fn on_gone(&self, state: &mut State, message: Message) {
        let slot = &mut state.records[message.cart][message.participant];
        let named = |record: &Record| record.number == message.number || self.is(Mutation::GoneWithoutNumber);
        if let Some(record) = slot.as_mut().filter(|record| record.undecided && named(record)) {
            *record = Record { pending: 0, undecided: false, answer: Verdict::Contended, ..*record };
        }
    }

    /// Whether a record may be forgotten: nothing is held any more, and home has heard of that.
    pub fn may_forget(&self, state: &State, cart: usize, participant: usize) -> bool {
        let floor: Number = state.floors[participant][self.configuration.carts[cart].home];
        let aged = self.is(Mutation::ForgottenByAge) && state.callers[cart].too_old;
        state.records[cart][participant].is_some_and(|record| {
            let below = record.number < floor || self.is(Mutation::ForgottenAboveFloor);
            record.ended() && (below || aged)
        })
    }

    /// Whether a participant has reason to ask home.
    pub fn may_ask(state: &State, cart: usize, participant: usize) -> bool {
        state.records[cart][participant].is_some_and(|record| record.undecided)
    }

    /// Units of a shard's pool that nobody holds or bought. Below zero is an oversell.
    pub fn available(&self, state: &State, shard: usize) -> i16 {
        let taken: i16 = (0..state.carts.len()).map(|cart| i16::from(self.taken(state, cart, shard))).sum();
        i16::from(self.configuration.stock[shard]) - taken
    }

    fn taken(&self, state: &State, cart: usize, shard: usize) -> Units {
        if self.configuration.carts[cart].home == shard {
            let it = &state.carts[cart];
            it.held[shard].max(it.pending[shard]) + state.decided[cart][shard].out()
        } else {
            state.records[cart][shard].map_or(0, |record| record.units()) + state.pools[cart][shard].out()
        }
    }

    /// Whether units that others have in doubt or overdue would be enough: then a refusal is not the last word.
    pub fn could_come_free(&self, state: &State, shard: usize, asker: usize, more: Units) -> bool {
        let doubtful: i16 = (0..state.carts.len())
            .filter(|cart| *cart != asker)
            .map(|cart| {
                let it = &state.carts[cart];
                if self.configuration.carts[cart].home == shard {
                    let doubt = it.preparing() || it.phase == Phase::Held && state.overdue(cart);
                    if doubt { i16::from(it.held[shard].max(it.pending[shard])) } else { 0 }
                } else {
                    let overdue = |record: &Record| record.deadline > 0 && state.passed[cart] >= record.deadline;
                    let record = state.records[cart][shard].filter(|record| record.undecided || overdue(record));
                    record.map_or(0, |record| i16::from(record.units()))
                }
            })
            .sum();
        self.available(state, shard) + doubtful >= i16::from(more)
    }

    /// What a Decide says the totals are. A protocol that sent deltas would have to add them up here.
    fn totals(&self, record: Record, truth: Truth) -> Truth {
        let before = if self.is(Mutation::DecideAsDelta) { record.committed } else { 0 };
        Truth { committed: truth.committed + before, ..truth }
    }
}
