//! The steps that the world can take, and how stateright takes them.

use super::{
    configurations::Configuration,
    messages::{Body, Message, Number},
    mutations::Mutation,
    properties,
    state::{Cart, Phase, SHARDS, State},
};
use stateright::{Model, Property};
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
pub struct CartModel {
    pub configuration: Configuration,
    /// The one rule that is left out.
    pub mutation: Option<Mutation>,
    /// Do not drop messages that can have no effect: the same world, in more states.
    pub keep_all_messages: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    Reserve {
        cart: usize,
    },
    Extend {
        cart: usize,
    },
    Replace {
        cart: usize,
    },
    Commit {
        cart: usize,
    },
    CommitPart {
        cart: usize,
        shard: usize,
    },
    ReleasePart {
        cart: usize,
        shard: usize,
    },
    Release {
        cart: usize,
    },
    Revive {
        cart: usize,
    },
    Return {
        cart: usize,
        shard: usize,
    },
    PrepareTimeout {
        cart: usize,
    },
    DeadlinePasses {
        cart: usize,
    },
    Expire {
        cart: usize,
    },
    /// The retention and the return window.
    WindowPasses {
        cart: usize,
    },
    HomeForgets {
        cart: usize,
    },
    Deliver(Message),
    Ask {
        cart: usize,
        shard: usize,
    },
    LearnFloor {
        home: usize,
        shard: usize,
        floor: Number,
    },
    ParticipantForgets {
        cart: usize,
        shard: usize,
    },
    /// The leader of a shard starts anew. All that the protocol rests on is applied state, so this changes something
    /// only where a mutation keeps something elsewhere.
    Restart {
        shard: usize,
    },
    /// Only in mutations.
    ParticipantExpires {
        cart: usize,
        shard: usize,
    },
    StaleLeaderAnswers(Message),
    PrepareSentBeforeDecided {
        cart: usize,
    },
}

impl CartModel {
    pub fn new(configuration: Configuration) -> Self {
        Self { configuration, mutation: None, keep_all_messages: false }
    }

    pub fn mutated(mutation: Mutation) -> Self {
        Self { mutation: Some(mutation), ..Self::new(mutation.configuration()) }
    }

    pub fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Shards other than home that the cart may have lines in.
    pub fn participants(&self, cart: usize) -> impl Iterator<Item = usize> + use<> {
        let plan = &self.configuration.carts[cart];
        let home = plan.home;
        let lines: [bool; SHARDS] =
            std::array::from_fn(|shard| plan.lines[shard] > 0 || plan.replacement.is_some_and(|new| new[shard] > 0));
        (0..SHARDS).filter(move |shard| *shard != home && lines[*shard])
    }

    /// What callers may ask of a cart now. What would be refused, or is a repeat with the same answer, is left out:
    /// it changes nothing.
    fn calls(&self, state: &State, cart: usize, actions: &mut Vec<Action>) {
        let plan = &self.configuration.carts[cart];
        let it = &state.carts[cart];
        let caller = &state.callers[cart];
        let tries = caller.tries < plan.tries;
        match it.phase {
            // A refusal that is no longer remembered is judged anew, whatever it was.
            Phase::Rejected { contended } if tries && (contended || self.configuration.forgets) => {
                actions.push(Action::Reserve { cart });
            }
            Phase::Unknown if tries && (!caller.too_old || plan.anew) => {
                actions.push(Action::Reserve { cart });
            }
            Phase::Open if plan.release => actions.push(Action::Release { cart }),
            Phase::Held => self.calls_while_held(state, cart, actions),
            Phase::Expired if caller.revives < plan.revives && !caller.too_old => actions.push(Action::Revive { cart }),
            Phase::Committed if caller.returns < plan.returns && !caller.too_old => {
                let sold = (0..SHARDS).filter(|shard| it.committed[*shard] > it.returned[*shard]);
                actions.extend(sold.map(|shard| Action::Return { cart, shard }));
            }
            _ => {}
        }
    }

    fn calls_while_held(&self, state: &State, cart: usize, actions: &mut Vec<Action>) {
        let plan = &self.configuration.carts[cart];
        let Cart { held, committed, .. } = &state.carts[cart];
        let caller = &state.callers[cart];
        if plan.release {
            actions.push(Action::Release { cart });
        }
        if state.carts[cart].preparing() && !self.is(Mutation::CommitDuringReplace) {
            return;
        }
        if plan.commit {
            actions.push(Action::Commit { cart });
        }
        if caller.extends < plan.extends {
            actions.push(Action::Extend { cart });
        }
        let free = !state.overdue(cart) && !state.carts[cart].preparing();
        if caller.replaces < plan.replaces && *committed == [0; SHARDS] && free {
            actions.push(Action::Replace { cart });
            if self.is(Mutation::PrepareSentBeforeDecided) {
                actions.push(Action::PrepareSentBeforeDecided { cart });
            }
        }
        for shard in (0..SHARDS).filter(|shard| plan.parts && held[*shard] > 0) {
            actions.push(Action::CommitPart { cart, shard });
            actions.push(Action::ReleasePart { cart, shard });
        }
    }

    /// What home does by itself, or because time passes.
    fn home_steps(&self, state: &State, cart: usize, actions: &mut Vec<Action>) {
        let it = &state.carts[cart];
        if it.preparing() {
            actions.push(Action::PrepareTimeout { cart });
        }
        if it.phase == Phase::Held {
            let overdue = state.overdue(cart);
            actions.push(if overdue { Action::Expire { cart } } else { Action::DeadlinePasses { cart } });
        }
        if self.configuration.forgets {
            let ended = matches!(it.phase, Phase::Released | Phase::Expired | Phase::Committed);
            if ended && !state.callers[cart].too_old {
                actions.push(Action::WindowPasses { cart });
            }
            if self.home_may_forget(state, cart) {
                actions.push(Action::HomeForgets { cart });
            }
        }
    }

    fn participant_steps(&self, state: &State, cart: usize, shard: usize, actions: &mut Vec<Action>) {
        if self.configuration.asks && Self::may_ask(state, cart, shard) {
            actions.push(Action::Ask { cart, shard });
        }
        if self.configuration.forgets && self.may_forget(state, cart, shard) {
            actions.push(Action::ParticipantForgets { cart, shard });
        }
        let holds = state.records[cart][shard].is_some_and(|record| record.units() > 0 && record.deadline > 0);
        if self.is(Mutation::ParticipantExpiresAlone) && holds {
            actions.push(Action::ParticipantExpires { cart, shard });
        }
    }

    fn floor_steps(&self, state: &State, home: usize, actions: &mut Vec<Action>) {
        let carts = (0..state.carts.len()).filter(|cart| self.configuration.carts[*cart].home == home);
        let told: BTreeSet<usize> = carts.flat_map(|cart| self.participants(cart)).collect();
        for shard in told {
            let known = state.floors[shard][home];
            // One is below all numbers, and so says nothing.
            for floor in known.max(1) + 1..=self.floor(state, home, shard) {
                actions.push(Action::LearnFloor { home, shard, floor });
            }
        }
    }

    fn take(&self, state: &mut State, action: Action) {
        match action {
            Action::Reserve { cart } => self.reserve(state, cart),
            Action::Extend { cart } => self.extend(state, cart),
            Action::Replace { cart } => self.replace(state, cart),
            Action::Commit { cart } => self.commit(state, cart),
            Action::CommitPart { cart, shard } => self.commit_part(state, cart, shard),
            Action::ReleasePart { cart, shard } => self.release_part(state, cart, shard),
            Action::Release { cart } => self.release(state, cart),
            Action::Revive { cart } => self.revive(state, cart),
            Action::Return { cart, shard } => self.take_back(state, cart, shard),
            Action::PrepareTimeout { cart } => self.give_up(state, cart, true),
            Action::DeadlinePasses { cart } => state.passed[cart] += 1,
            Action::Expire { cart } => self.expire(state, cart),
            Action::WindowPasses { cart } => state.callers[cart].too_old = true,
            Action::HomeForgets { cart } => self.forget(state, cart),
            Action::Deliver(message) => self.deliver(state, message),
            Action::Ask { cart, shard } => {
                let number = state.records[cart][shard].map_or(0, |record| record.number);
                self.send(state, Message { cart, participant: shard, number, body: Body::Ask });
            }
            Action::LearnFloor { home, shard, floor } => state.floors[shard][home] = floor,
            Action::ParticipantForgets { cart, shard } => state.records[cart][shard] = None,
            Action::Restart { .. } | Action::ParticipantExpires { .. } => self.take_mutated(state, action),
            Action::StaleLeaderAnswers(_) | Action::PrepareSentBeforeDecided { .. } => {
                self.take_mutated(state, action);
            }
        }
    }
}

impl Model for CartModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.configuration.carts.len())]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // What went wrong stays wrong: nothing is learnt from going on.
        if state.broken.is_some() {
            return;
        }
        for cart in 0..state.carts.len() {
            self.calls(state, cart, actions);
            self.home_steps(state, cart, actions);
            for shard in self.participants(cart) {
                self.participant_steps(state, cart, shard, actions);
            }
        }
        for message in &state.sent {
            actions.push(Action::Deliver(*message));
            if self.is(Mutation::StaleLeaderAnswersAsk) && message.body == Body::Ask {
                actions.push(Action::StaleLeaderAnswers(*message));
            }
        }
        for shard in 0..SHARDS {
            let is_home = self.configuration.carts.iter().any(|plan| plan.home == shard);
            if is_home && self.configuration.forgets {
                self.floor_steps(state, shard, actions);
            }
            if self.configuration.restarts {
                actions.push(Action::Restart { shard });
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        self.take(&mut state, action);
        self.drop_obsolete(&mut state);
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}
