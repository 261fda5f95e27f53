//! Rules taken away, one at a time. Each must have a counterexample, or the rule is not needed, or the model too weak to
//! see why.

use super::{
    configurations::{self, Configuration},
    messages::{Body, Message},
    model::{Action, CartModel},
    properties,
    state::State,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mutation {
    HeldNotTold,
    NoNumbers,
    AnswersWithoutNumbers,
    CounterRestartsWithLeader,
    CounterForgottenWithCart,
    PrepareSentBeforeDecided,
    GrantedNothingNotTold,
    CommitDuringReplace,
    DecideAsDelta,
    PrepareDropsBase,
    RowRemovedWhenSent,
    CountsOutliveLine,
    RefusalNotRemembered,
    RefuserNotTold,
    RefusalNotRememberedNorTold,
    ParticipantExpiresAlone,
    HeldAfterDeadline,
    CommitGuardedBySweep,
    ExtendGuardedBySweep,
    ForgottenAboveFloor,
    ForgottenByAge,
    FloorOfOpenRows,
    WasNotTold,
    FloorAboveUnanswered,
    FloorLostWithLeader,
    StaleLeaderAnswersAsk,
    GoneWithoutNumber,
    RefusedForgottenWithOpenRow,
    SoldForgottenWithOpenRow,
    OldIdRunsAgain,
}

/// A mutation with what it takes away, where it shows, and what it breaks.
pub struct Entry {
    pub mutation: Mutation,
    pub rule: &'static str,
    pub about: &'static str,
    pub configuration: fn() -> Configuration,
    /// The property that no longer holds. None if the others do the same work, so that this one may go.
    pub breaks: Option<&'static str>,
}

/// A rule that is needed: without it the property is broken in the configuration.
macro_rules! needed {
    ($mutation:ident, $rule:literal, $configuration:ident, $breaks:ident, $about:literal) => {
        entry(Mutation::$mutation, $rule, $about, configurations::$configuration, Some(properties::$breaks))
    };
}

/// A rule that can be left out, as far as this configuration shows.
macro_rules! spared {
    ($mutation:ident, $rule:literal, $configuration:ident, $about:literal) => {
        entry(Mutation::$mutation, $rule, $about, configurations::$configuration, None)
    };
}

pub const ALL: [Entry; 30] = [
    needed!(NoNumbers, "1", one, HEALS, "messages carry no numbers; what comes is done"),
    needed!(
        CounterRestartsWithLeader,
        "1",
        restarts,
        HEALS,
        "the counter is the leader's, and begins again with the next one"
    ),
    needed!(CounterForgottenWithCart, "1", forgets_one, WHOLE, "the counter is forgotten with the cart"),
    needed!(HeldNotTold, "2", one, SETTLES, "Held is not told to the participants"),
    needed!(GrantedNothingNotTold, "2", best_effort, SETTLES, "whoever granted nothing is not told the end"),
    needed!(DecideAsDelta, "2", parts_one, HEALS, "a Decide says what changed, not how it stands"),
    needed!(
        PrepareSentBeforeDecided,
        "2",
        replace_one,
        HEALS,
        "a Prepare is sent before it is in the log, and never gets there"
    ),
    needed!(RowRemovedWhenSent, "3", one, HEALS, "a row goes when it is sent, not when it is answered"),
    needed!(AnswersWithoutNumbers, "3", two_tries, WHOLE, "any answer is taken for the awaited one"),
    needed!(CommitGuardedBySweep, "3", one, LIVE, "commit asks whether the hold was swept, not for its deadline"),
    needed!(
        ExtendGuardedBySweep,
        "3",
        extend_one,
        LIVE,
        "extend asks whether the hold was swept, not for its deadline"
    ),
    needed!(HeldAfterDeadline, "3", replace_one, LIVE, "new lines are held at or after the deadline"),
    spared!(
        CommitDuringReplace,
        "3",
        replace_one,
        "commit and extend go through while a replacement is prepared, and end it"
    ),
    needed!(PrepareDropsBase, "4", replace_conflict, WHOLE, "a Prepare gives the old lines up for the new ones"),
    needed!(ParticipantExpiresAlone, "4", extend_one, WHOLE, "a participant ends a hold at the deadline that it knows"),
    needed!(CountsOutliveLine, "4", anew, TOTALS, "a participant keeps the counts of a line that home does not name"),
    spared!(RefusalNotRemembered, "4", two_tries, "a refusal is not remembered, but the refuser is told the end"),
    spared!(RefuserNotTold, "4", two_tries, "a refuser is not told the end, but remembers its refusal"),
    needed!(
        RefusalNotRememberedNorTold,
        "4",
        two_tries,
        HEALS,
        "a refusal is not remembered, nor the refuser told the end"
    ),
    needed!(ForgottenAboveFloor, "5", forgets_refused, HEALS, "a record that ended is forgotten above the floor"),
    needed!(
        ForgottenByAge,
        "5",
        returns,
        UNITS,
        "a record that ended is forgotten when the return window is past, above the floor or not"
    ),
    needed!(
        FloorOfOpenRows,
        "5",
        returns,
        UNITS,
        "the floor is the smallest number of an open row, also if it replaced an unanswered one"
    ),
    needed!(
        WasNotTold,
        "5",
        returns,
        UNITS,
        "messages do not say what the participant last acknowledged; who has forgotten begins with nothing"
    ),
    needed!(FloorAboveUnanswered, "5", forgets_refused, HEALS, "the floor is the next number, answered or not"),
    needed!(FloorLostWithLeader, "5", forgets_refused, HEALS, "the floor is the leader's, and is lost with it"),
    needed!(GoneWithoutNumber, "6", anew, WHOLE, "Gone is obeyed whatever Prepare it names"),
    needed!(StaleLeaderAnswersAsk, "6", asks, WHOLE, "Ask is answered by a leader that has not applied the cart"),
    needed!(RefusedForgottenWithOpenRow, "7", forgets_refused, HEALS, "home forgets a refused cart with an open row"),
    needed!(SoldForgottenWithOpenRow, "7", forgets_sold, HEALS, "home forgets a committed cart with an open row"),
    needed!(OldIdRunsAgain, "7", forgets_one, ONCE, "home forgets an ended cart while its id is still taken"),
];

const fn entry(
    mutation: Mutation,
    rule: &'static str,
    about: &'static str,
    configuration: fn() -> Configuration,
    breaks: Option<&'static str>,
) -> Entry {
    Entry { mutation, rule, about, configuration, breaks }
}

impl Mutation {
    pub fn entry(self) -> &'static Entry {
        ALL.iter().find(|entry| entry.mutation == self).expect("all are listed")
    }

    pub fn configuration(self) -> Configuration {
        (self.entry().configuration)()
    }

    /// Whether records still only move on to higher numbers, so that lower ones can have no effect.
    pub fn keeps_numbers(self) -> bool {
        self.entry().breaks.is_none()
    }
}

impl CartModel {
    /// Steps that no shard of the protocol takes.
    pub fn take_mutated(&self, state: &mut State, action: Action) {
        match action {
            Action::Restart { shard } => {
                if self.is(Mutation::CounterRestartsWithLeader) {
                    state.counters[shard] = 0;
                }
                if self.is(Mutation::FloorLostWithLeader) {
                    state.floors[shard] = Default::default();
                }
            }
            Action::ParticipantExpires { cart, shard } => {
                if let Some(record) = &mut state.records[cart][shard]
                    && state.passed[cart] >= record.deadline
                {
                    record.base = 0;
                    record.pending = 0;
                }
            }
            Action::StaleLeaderAnswers(asked) => self.send(state, Message { body: Body::Gone, ..asked }),
            Action::PrepareSentBeforeDecided { cart } => {
                let mut lost = state.clone();
                self.replace(&mut lost, cart);
                state.sent = lost.sent;
            }
            _ => {}
        }
    }
}
