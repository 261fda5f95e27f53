//! What a state comes to when no caller asks for more: first when every row and answer gets through, then when all
//! deadlines have passed too, then when old messages arrive at last.
//!
//! No Ask is used: it is a second way to heal, and correctness does not rest on it.

use super::{
    messages::{Body, Message, cart_name},
    model::CartModel,
    state::{Phase, State},
};

/// A decision brings one round of rows and one of answers, and few decisions are open.
const ROUNDS_MAX: usize = 10;

impl CartModel {
    /// What stays unclear although rows and answers get through, without any time passing.
    pub fn unsettled(&self, state: &State) -> Option<String> {
        let mut end = state.clone();
        self.settle(&mut end);
        let what = self.disagreement(&end)?;
        Some(format!("rows and answers get through, and still {what}"))
    }

    /// What stays held or unclear in the end.
    pub fn unhealed(&self, state: &State) -> Option<String> {
        let mut end = state.clone();
        self.let_deadlines_pass(&mut end);
        self.settle(&mut end);
        if let Some(what) = self.unrest(&end) {
            return Some(format!("deadlines pass, rows and answers get through, and still {what}"));
        }
        let late: Vec<Message> = end.sent.union(&state.sent).copied().collect();
        let mut backwards = late.clone();
        backwards.reverse();
        [late, backwards].into_iter().find_map(|late| {
            let mut end = end.clone();
            for message in late {
                self.deliver(&mut end, message);
            }
            self.settle(&mut end);
            let what = self.unrest(&end)?;
            Some(format!("all comes to rest; then old messages arrive, and {what}"))
        })
    }

    /// Every row and its answer arrive, until no row is open.
    fn settle(&self, state: &mut State) {
        for _ in 0..ROUNDS_MAX {
            let before = state.clone();
            for cart in 0..state.carts.len() {
                if state.carts[cart].phase == Phase::Held && state.overdue(cart) {
                    self.expire(state, cart);
                }
                for participant in self.participants(cart) {
                    if let Some(row) = state.carts[cart].rows[participant] {
                        self.deliver(state, row);
                        self.deliver_answers(state, row);
                    }
                }
            }
            if *state == before {
                return;
            }
        }
    }

    fn deliver_answers(&self, state: &mut State, row: Message) {
        let of_row = |sent: &&Message| {
            (sent.cart, sent.participant, sent.number) == (row.cart, row.participant, row.number)
                && matches!(sent.body, Body::Answer(_))
        };
        let answers: Vec<Message> = state.sent.iter().filter(of_row).copied().collect();
        for answer in answers {
            self.deliver(state, answer);
        }
    }

    fn let_deadlines_pass(&self, state: &mut State) {
        for cart in 0..state.carts.len() {
            match state.carts[cart].phase {
                Phase::Open | Phase::Reviving => self.give_up(state, cart, true),
                Phase::Held => {
                    state.passed[cart] = state.carts[cart].deadline;
                    self.expire(state, cart);
                }
                _ => {}
            }
        }
    }

    /// Where a participant is in doubt or stands elsewhere than home says.
    fn disagreement(&self, state: &State) -> Option<String> {
        if let Some(broken) = state.broken {
            return Some(broken.to_string());
        }
        (0..state.carts.len()).find_map(|cart| {
            let it = &state.carts[cart];
            if it.preparing() {
                return Some(format!("{} is being prepared", cart_name(cart)));
            }
            self.participants(cart).find_map(|participant| self.differs(state, cart, participant))
        })
    }

    fn differs(&self, state: &State, cart: usize, participant: usize) -> Option<String> {
        let name = cart_name(cart);
        let row = state.carts[cart].rows[participant];
        let truth = state.carts[cart].truth(participant);
        let record = state.records[cart][participant].unwrap_or_default();
        let (decided, pool) = (state.decided[cart][participant], state.pools[cart][participant]);
        if let Some(row) = row {
            Some(format!("{row} has no answer"))
        } else if record.undecided {
            Some(format!("{} of {name} are undecided at shard {participant}", record.units()))
        } else if record.units() != truth.held {
            let units = record.units();
            Some(format!("shard {participant} holds {units} of {name}, and home says {}", truth.held))
        } else if record.deadline != truth.deadline {
            Some(format!("shard {participant} knows another deadline of {name} than home"))
        } else if pool != decided {
            let (here, there) = (pool.committed, decided.committed);
            Some(format!("shard {participant} has sold {here} of {name}, and home says {there}"))
        } else {
            None
        }
    }

    fn unrest(&self, state: &State) -> Option<String> {
        let live = |cart: &usize| matches!(state.carts[*cart].phase, Phase::Open | Phase::Held | Phase::Reviving);
        self.disagreement(state)
            .or_else(|| (0..state.carts.len()).find(live).map(|cart| format!("{} is live", cart_name(cart))))
    }
}
