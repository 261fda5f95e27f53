//! The network: everything that was sent may arrive at any later time, any number of times, in any order, or never.
//!
//! Floors ride on every message of the real protocol. Here a participant may learn at any time any floor up to the
//! present one, which allows all that riding on delayed messages allows, and more.

use super::{
    messages::{Body, Message},
    model::CartModel,
    state::State,
};

impl CartModel {
    pub fn send(&self, state: &mut State, message: Message) {
        state.sent.insert(message);
    }

    pub fn deliver(&self, state: &mut State, message: Message) {
        match message.body {
            Body::Prepare { .. } | Body::Decide(_) => self.on_row(state, message),
            Body::Gone => self.on_gone(state, message),
            Body::Answer(verdict) => self.on_answer(state, message, verdict),
            Body::Ask => self.on_ask(state, message),
        }
    }

    /// Forgets what can have no effect any more, so that fewer states differ only by it. This rests on the numbers and
    /// floors being right, so a model without them keeps everything.
    pub fn drop_obsolete(&self, state: &mut State) {
        if self.keep_all_messages || self.mutation.is_some_and(|mutation| !mutation.keeps_numbers()) {
            return;
        }
        let mut sent = std::mem::take(&mut state.sent);
        sent.retain(|message| !self.obsolete(state, message));
        state.sent = sent;
    }

    fn obsolete(&self, state: &State, message: &Message) -> bool {
        let Message { cart, participant, number, body } = *message;
        let record = state.records[cart][participant];
        match body {
            Body::Prepare { .. } | Body::Decide(_) => {
                let floor = state.floors[participant][self.configuration.carts[cart].home];
                number < floor || record.is_some_and(|record| number < record.number)
            }
            Body::Answer(_) => {
                let it = &state.carts[cart];
                let row = it.rows[participant].is_some_and(|row| row.number == number);
                !row && it.pending_number != number
            }
            // Both are about the record as it is, and a record that moved on never comes back to the same number.
            Body::Ask | Body::Gone => record.is_none_or(|record| record.number != number),
        }
    }
}
