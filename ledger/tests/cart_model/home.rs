//! What a home decides. Every decision takes a number, and replaces the row of each participant that it concerns.

use super::{
    messages::{Body, Message, Number, Truth, Verdict},
    model::CartModel,
    mutations::Mutation,
    state::{Broken, Cart, PerShard, Phase, SHARDS, State},
};

impl CartModel {
    /// The reserve of an id that home does not know, or another try after CONTENDED.
    pub fn reserve(&self, state: &mut State, cart: usize) {
        let plan = &self.configuration.carts[cart];
        let caller = &mut state.callers[cart];
        caller.tries += 1;
        // An id without a time of its own is not refused for its age.
        caller.anew += u8::from(std::mem::take(&mut caller.too_old));
        let own = plan.lines[plan.home];
        if self.available(state, plan.home) < i16::from(own) {
            let contended = self.could_come_free(state, plan.home, cart, own);
            state.carts[cart].phase = Phase::Rejected { contended };
            return;
        }
        // The last decision about an earlier try may still be on its way.
        let Cart { last, rows, oldest, .. } = state.carts[cart];
        state.carts[cart] = Cart { phase: Phase::Open, last, rows, oldest, ..Cart::default() };
        self.prepare(state, cart, plan.lines);
    }

    /// A whole new set of lines. The old ones stay in force until the new ones are held.
    pub fn replace(&self, state: &mut State, cart: usize) {
        let plan = &self.configuration.carts[cart];
        let lines = plan.replacement.expect("the plan replaces");
        let own = lines[plan.home].saturating_sub(state.carts[cart].held[plan.home]);
        state.callers[cart].replaces += 1;
        if self.available(state, plan.home) >= i16::from(own) {
            self.prepare(state, cart, lines);
        }
    }

    /// A commit that came too late: the lines are prepared anew, and sold if they are still there.
    pub fn revive(&self, state: &mut State, cart: usize) {
        let plan = &self.configuration.carts[cart];
        state.callers[cart].revives += 1;
        if self.available(state, plan.home) >= i16::from(plan.lines[plan.home]) {
            state.carts[cart].phase = Phase::Reviving;
            self.prepare(state, cart, plan.lines);
        }
    }

    fn prepare(&self, state: &mut State, cart: usize, lines: PerShard) {
        let home = self.configuration.carts[cart].home;
        let number = self.next_number(state, home);
        let it = &mut state.carts[cart];
        it.pending = lines;
        it.pending_number = number;
        for participant in self.participants(cart).filter(|participant| lines[*participant] > 0) {
            state.carts[cart].asked[participant] = true;
            state.carts[cart].awaited[participant] = true;
            let base = state.carts[cart].line(participant);
            let new = lines[participant];
            let least = new - self.configuration.carts[cart].spare[participant];
            self.write_row(state, cart, participant, number, Body::Prepare { base, new, least });
        }
        self.finish_if_granted(state, cart);
    }

    /// When the last participant has granted its line, the new lines are in force. This is where an Open cart becomes
    /// Held, and a late commit a sale.
    fn finish_if_granted(&self, state: &mut State, cart: usize) {
        let it = &state.carts[cart];
        if it.awaited.contains(&true) {
            return;
        }
        let (phase, pending) = (it.phase, it.pending);
        match phase {
            // Nothing at all is no success.
            Phase::Open if pending == [0; SHARDS] => self.reject(state, cart, false),
            Phase::Open => {
                state.carts[cart].deadline = state.passed[cart] + 1;
                state.callers[cart].held_times += 1;
                self.hold(state, cart, pending);
            }
            Phase::Held => self.hold_in_time(state, cart, pending),
            Phase::Reviving => self.decide(state, cart, |it| {
                it.phase = Phase::Committed;
                it.committed = pending;
            }),
            _ => {}
        }
    }

    fn hold(&self, state: &mut State, cart: usize, lines: PerShard) {
        self.decide(state, cart, |it| {
            it.phase = Phase::Held;
            it.held = lines;
        });
    }

    /// The end of a replace. At or after the deadline nothing is left to replace, and the sweep ends all.
    fn hold_in_time(&self, state: &mut State, cart: usize, lines: PerShard) {
        if self.may_succeed(state, cart, Mutation::HeldAfterDeadline) {
            self.hold(state, cart, lines);
        }
    }

    /// Whether something that needs a live hold may succeed now. The deadline is asked, not the sweep.
    pub fn may_succeed(&self, state: &mut State, cart: usize, despite: Mutation) -> bool {
        if !state.overdue(cart) {
            return true;
        }
        if self.is(despite) {
            state.breaks(Broken::LiveAfterDeadline);
            return true;
        }
        false
    }

    pub fn extend(&self, state: &mut State, cart: usize) {
        if self.may_succeed(state, cart, Mutation::ExtendGuardedBySweep) {
            state.callers[cart].extends += 1;
            self.decide(state, cart, |it| it.deadline += 1);
        }
    }

    pub fn commit(&self, state: &mut State, cart: usize) {
        if self.may_succeed(state, cart, Mutation::CommitGuardedBySweep) {
            self.decide(state, cart, |it| {
                for shard in 0..SHARDS {
                    it.committed[shard] += it.held[shard];
                }
                end(it, Phase::Committed);
            });
        }
    }

    /// Sells one unit of one line and keeps the rest.
    pub fn commit_part(&self, state: &mut State, cart: usize, shard: usize) {
        if self.may_succeed(state, cart, Mutation::CommitGuardedBySweep) {
            self.decide(state, cart, |it| {
                it.held[shard] -= 1;
                it.committed[shard] += 1;
                end_if_empty(it);
            });
        }
    }

    /// Gives one unit of one line back and keeps the rest.
    pub fn release_part(&self, state: &mut State, cart: usize, shard: usize) {
        self.decide(state, cart, |it| {
            it.held[shard] -= 1;
            end_if_empty(it);
        });
    }

    pub fn release(&self, state: &mut State, cart: usize) {
        if state.carts[cart].phase == Phase::Open {
            self.reject(state, cart, false);
        } else {
            self.decide(state, cart, |it| end(it, Phase::Released));
        }
    }

    /// The sweep after a deadline.
    pub fn expire(&self, state: &mut State, cart: usize) {
        self.decide(state, cart, |it| end(it, Phase::Expired));
    }

    /// A sold unit comes back.
    pub fn take_back(&self, state: &mut State, cart: usize, shard: usize) {
        state.callers[cart].returns += 1;
        self.decide(state, cart, |it| it.returned[shard] += 1);
    }

    /// Preparing took too long, or was refused: what was in force before stays so.
    pub fn give_up(&self, state: &mut State, cart: usize, contended: bool) {
        match state.carts[cart].phase {
            Phase::Open => self.reject(state, cart, contended),
            Phase::Reviving => self.decide(state, cart, |it| it.phase = Phase::Expired),
            _ => self.decide(state, cart, |_| {}),
        }
    }

    fn reject(&self, state: &mut State, cart: usize, contended: bool) {
        self.decide(state, cart, |it| it.phase = Phase::Rejected { contended });
    }

    /// One decision: changes the cart, and tells each participant for which something changed or was being prepared.
    fn decide(&self, state: &mut State, cart: usize, change: impl FnOnce(&mut Cart)) {
        let before = state.carts[cart].clone();
        let number = self.next_number(state, self.configuration.carts[cart].home);
        let it = &mut state.carts[cart];
        change(it);
        it.pending = [0; SHARDS];
        it.pending_number = 0;
        let asked = std::mem::take(&mut it.asked);
        it.awaited = [false; SHARDS];
        if it.phase != Phase::Held {
            it.deadline = 0;
        }
        for shard in 0..SHARDS {
            state.decided[cart][shard].committed += it.committed[shard] - before.committed[shard];
            state.decided[cart][shard].returned += it.returned[shard] - before.returned[shard];
        }
        if self.is(Mutation::HeldNotTold) && before.phase == Phase::Open && state.carts[cart].phase == Phase::Held {
            return;
        }
        for participant in self.participants(cart) {
            let it = &state.carts[cart];
            let truth = it.truth(participant);
            let mut line = it.line(participant);
            let told = !self.is(Mutation::GrantedNothingNotTold) || before.pending[participant] > 0;
            if asked[participant] && told || truth != before.truth(participant) {
                if let Some(line) = line.as_mut().filter(|_| self.is(Mutation::DecideAsDelta)) {
                    line.now.committed -= before.committed[participant];
                }
                self.write_row(state, cart, participant, number, Body::Decide(line));
            }
        }
    }

    /// An answer from a participant.
    pub fn on_answer(&self, state: &mut State, message: Message, verdict: Verdict) {
        let Message { cart, participant, number, .. } = message;
        let counts = |asked: Number| asked == number || self.is(Mutation::AnswersWithoutNumbers);
        let it = &mut state.carts[cart];
        if it.rows[participant].is_some_and(|row| counts(row.number)) {
            it.rows[participant] = None;
            it.oldest[participant] = 0;
            if let Some(line) = it.line(participant).filter(|_| self.configuration.forgets) {
                it.was[participant] = Truth { deadline: 0, ..line.now };
            }
        }
        if !it.asked[participant] || !counts(it.pending_number) {
            return;
        }
        let refused = matches!(verdict, Verdict::Short | Verdict::Contended);
        if refused && (self.is(Mutation::RefuserNotTold) || self.is(Mutation::RefusalNotRememberedNorTold)) {
            it.asked[participant] = false;
        }
        match verdict {
            Verdict::Granted(units) => {
                it.pending[participant] = units;
                it.awaited[participant] = false;
                self.finish_if_granted(state, cart);
            }
            Verdict::Short => self.give_up(state, cart, false),
            Verdict::Contended => self.give_up(state, cart, true),
            // Only without numbers in the answers does this come here: home takes it for what it waits for.
            Verdict::Settled => {
                it.awaited[participant] = false;
                self.finish_if_granted(state, cart);
            }
        }
    }

    /// An Ask, answered by the home's applied state. Whoever was sent that number or a later one is told more by its
    /// row, or once all is prepared; a home that knows nothing of the cart never gave a number to it.
    pub fn on_ask(&self, state: &mut State, message: Message) {
        if state.carts[message.cart].last[message.participant] < message.number {
            self.send(state, Message { body: Body::Gone, ..message });
        }
    }

    /// Home lets go of a cart that ended. Only a refused one may be asked for again.
    pub fn forget(&self, state: &mut State, cart: usize) {
        state.carts[cart] = Cart::default();
        if self.is(Mutation::CounterForgottenWithCart) {
            state.counters[self.configuration.carts[cart].home] = 0;
        }
    }

    /// Whether home may forget the cart: it ended, no row is open, and nobody may ask for it again.
    pub fn home_may_forget(&self, state: &State, cart: usize) -> bool {
        let it = &state.carts[cart];
        let too_old = state.callers[cart].too_old || self.is(Mutation::OldIdRunsAgain);
        match it.phase {
            Phase::Rejected { .. } => it.settled() || self.is(Mutation::RefusedForgottenWithOpenRow),
            Phase::Released | Phase::Expired => too_old && it.settled(),
            Phase::Committed => too_old && (it.settled() || self.is(Mutation::SoldForgottenWithOpenRow)),
            _ => false,
        }
    }

    /// The oldest number to this participant since its last answer about that cart, of all carts with an open row; else
    /// the next that will be given.
    pub fn floor(&self, state: &State, home: usize, participant: usize) -> Number {
        let next = state.counters[home] + 1;
        if self.is(Mutation::FloorAboveUnanswered) {
            return next;
        }
        let carts = state.carts.iter().zip(&self.configuration.carts).filter(|(_, plan)| plan.home == home);
        let open =
            carts.filter_map(|(cart, _)| cart.rows[participant].map(|row| (row.number, cart.oldest[participant])));
        let of_row = self.is(Mutation::FloorOfOpenRows);
        open.map(|(number, oldest)| if of_row { number } else { oldest }).min().unwrap_or(next)
    }

    fn next_number(&self, state: &mut State, home: usize) -> Number {
        if self.is(Mutation::NoNumbers) {
            return 1;
        }
        state.counters[home] += 1;
        let number = state.counters[home];
        if state.given[home] & (1 << number) != 0 {
            state.reused = true;
        }
        state.given[home] |= 1 << number;
        number
    }

    fn write_row(&self, state: &mut State, cart: usize, participant: usize, number: Number, body: Body) {
        let message = Message { cart, participant, number, body };
        let it = &mut state.carts[cart];
        it.last[participant] = number;
        if !self.is(Mutation::RowRemovedWhenSent) {
            if self.configuration.forgets && it.rows[participant].is_none() {
                it.oldest[participant] = number;
            }
            it.rows[participant] = Some(message);
        }
        self.send(state, message);
    }
}

/// Nothing is held any more.
fn end(cart: &mut Cart, phase: Phase) {
    cart.held = [0; SHARDS];
    cart.phase = if cart.committed == [0; SHARDS] { phase } else { Phase::Committed };
}

fn end_if_empty(cart: &mut Cart) {
    if cart.held == [0; SHARDS] {
        end(cart, Phase::Released);
    }
}
