//! What a participant does with what it is told. It decides nothing by itself but whether its units are there.

use super::{
    messages::{Body, Message, Number, Truth, Units, Verdict},
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
        let record = record.unwrap_or_default();
        let answer = match message.body {
            Body::Prepare { base, new, least } => self.on_prepare(state, message, record, [base, new, least]),
            Body::Decide(truth) => Self::on_decide(state, message, record, self.totals(record, truth)),
            _ => return,
        };
        self.send(state, Message { body: Body::Answer(answer), ..message });
    }

    fn on_prepare(&self, state: &mut State, message: Message, record: Record, asked: [Units; 3]) -> Verdict {
        let [base, new, least] = asked;
        let Message { cart, participant, number, .. } = message;
        if base > record.units() {
            state.breaks(Broken::UnitsMissing);
        }
        let base = if self.is(Mutation::PrepareDropsBase) { 0 } else { base };
        // What this cart has here already counts as there.
        let there = self.available(state, participant) + i16::from(record.units());
        let could = |units: Units| there >= i16::from(base.max(units));
        let record = Record { number, base, pending: 0, undecided: false, ..record };
        if let Some(granted) = (least..=new).rev().find(|units| could(*units)) {
            let answer = Verdict::Granted(granted);
            let record = Record { pending: granted, undecided: true, answer, ..record };
            state.records[cart][participant] = Some(record);
            return answer;
        }
        let more = base.max(least) - state.records[cart][participant].map_or(0, |record| record.units());
        let contended = self.could_come_free(state, participant, cart, more);
        let answer = if contended { Verdict::Contended } else { Verdict::Short };
        if !self.is(Mutation::RefusalNotRemembered) && !self.is(Mutation::RefusalNotRememberedNorTold) {
            state.records[cart][participant] = Some(Record { answer, ..record });
        }
        answer
    }

    fn on_decide(state: &mut State, message: Message, record: Record, truth: Truth) -> Verdict {
        let Message { cart, participant, number, .. } = message;
        if truth.committed < record.committed || truth.returned < record.returned {
            state.breaks(Broken::TotalFell);
        }
        let sold = truth.committed.saturating_sub(record.committed);
        let returned = truth.returned.saturating_sub(record.returned);
        if record.units() < truth.held + sold {
            state.breaks(Broken::UnitsMissing);
            return Verdict::Settled;
        }
        state.pools[cart][participant].committed += sold;
        state.pools[cart][participant].returned += returned;
        state.records[cart][participant] = Some(Record {
            number,
            base: truth.held,
            pending: 0,
            committed: truth.committed,
            returned: truth.returned,
            deadline: truth.deadline,
            undecided: false,
            answer: Verdict::Settled,
        });
        Verdict::Settled
    }

    /// Home knows nothing of it. An undecided hold goes; a record of what was sold has no more to wait for, but for old
    /// messages that only the floor keeps out.
    pub fn on_gone(&self, state: &mut State, message: Message) {
        let floor = state.floors[message.participant][self.configuration.carts[message.cart].home];
        let slot = &mut state.records[message.cart][message.participant];
        let Some(record) = slot.filter(|record| record.number == message.number) else {
            return;
        };
        if record.undecided {
            *slot = Some(Record { base: 0, pending: 0, undecided: false, ..record });
        } else if record.ended() && (record.number < floor || self.is(Mutation::GoneForgetsAboveFloor)) {
            *slot = None;
        }
    }

    /// Whether a record may be forgotten without asking: it has ended, sold nothing, and is below the floor.
    pub fn may_forget(&self, state: &State, cart: usize, participant: usize) -> bool {
        let floor: Number = state.floors[participant][self.configuration.carts[cart].home];
        state.records[cart][participant].is_some_and(|record| {
            let below = record.number < floor || self.is(Mutation::ForgottenAboveFloor);
            let by_time = self.is(Mutation::SoldForgottenByTime) && state.callers[cart].too_old;
            let sold = record.committed > 0 && !by_time && !self.is(Mutation::SoldForgottenBelowFloor);
            record.ended() && below && !sold
        })
    }

    /// Whether a participant has reason to ask home: its hold is undecided, or the record of a sale is due to go.
    pub fn may_ask(&self, state: &State, cart: usize, participant: usize) -> bool {
        let floor = state.floors[participant][self.configuration.carts[cart].home];
        state.records[cart][participant].is_some_and(|record| {
            let due = record.ended()
                && record.committed > 0
                && state.callers[cart].too_old
                && (record.number < floor || self.is(Mutation::GoneForgetsAboveFloor));
            record.undecided || self.configuration.forgets && due
        })
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
