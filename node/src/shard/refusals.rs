//! Refusals without the log: what the applied state refuses is told once this replica was confirmed to lead.
//!
//! While one round of confirmation is on its way, what is refused meanwhile gathers for the next one. So the rounds grow with
//! the load, and callers of a SKU that is sold out are answered many at once.

use super::{
    answers::tell_all,
    machine::Core,
    proposer::{Answer, Failure, Item, Proposal, refuse},
    raft::LogId,
    reads::Reads,
};
use earmark_ledger::{
    Fresh,
    outcome::{Outcome, Refusal, Verdict},
    planted::{self, Bug},
    types::TimeMs,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};

/// Groups in one round.
const GROUPS_MAX: usize = 1_024;

/// The longest a round may take, the one of the readers before it included.
const ROUND_MAX: Duration = Duration::from_secs(5);

/// Commands that the applied state refuses, judged at one moment.
pub(super) struct Refused {
    /// Each with why.
    pub proposals: Vec<(Proposal, Refusal)>,
    /// The entry whose state that was.
    pub judged_at: Option<LogId>,
    /// By this time.
    pub time: TimeMs,
}

impl Refused {
    /// Turns all of them away.
    fn turn_away(self, failure: &Failure) {
        for (proposal, _) in self.proposals {
            refuse(Item::Command(proposal), failure);
        }
    }
}

/// Some that wait, with the room they take.
type Waiting = (Refused, OwnedSemaphorePermit);

/// The way to be confirmed.
pub(super) struct Refusals {
    rounds: mpsc::UnboundedSender<Waiting>,
    /// The channel counts groups, its bound is of commands.
    room: Arc<Semaphore>,
}

impl Refusals {
    /// Starts the actor, with room for so many commands. What is not refused any more goes `again` into the queue.
    pub(super) fn start(core: Arc<Core>, reads: Reads, again: mpsc::WeakSender<Item>, room: usize) -> Self {
        let (rounds, groups) = mpsc::unbounded_channel();
        let actor = Actor { core, reads, again };
        tokio::spawn(actor.run(groups));
        Self { rounds, room: Arc::new(Semaphore::new(room)) }
    }

    /// Has these told, in time.
    pub(super) fn confirm(&self, refused: Refused) {
        let count = u32::try_from(refused.proposals.len()).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(count) else {
            return refused.turn_away(&Failure::Overloaded);
        };
        if let Err(unsent) = self.rounds.send((refused, room)) {
            unsent.0.0.turn_away(&Failure::Damaged);
        }
    }
}

struct Actor {
    core: Arc<Core>,
    reads: Reads,
    again: mpsc::WeakSender<Item>,
}

impl Actor {
    async fn run(self, mut groups: mpsc::UnboundedReceiver<Waiting>) {
        let mut gathered = Vec::new();
        while groups.recv_many(&mut gathered, GROUPS_MAX).await > 0 {
            let confirmed = match planted::on(Bug::RefusalWithoutBarrier) {
                true => Ok(()),
                false => self.reads.barrier(Instant::now() + ROUND_MAX).await,
            };
            for (group, _room) in gathered.drain(..) {
                match &confirmed {
                    Ok(()) => self.tell(group),
                    Err(failure) => group.turn_away(failure),
                }
            }
        }
    }

    /// Judges them again where the state changed meanwhile. What is no longer refused goes through the log.
    fn tell(&self, Refused { proposals, judged_at, time }: Refused) {
        let (mut refused, mut no_longer) = (Vec::with_capacity(proposals.len()), Vec::new());
        {
            // For these alone: nothing is applied meanwhile.
            let hot = self.core.hot();
            let unchanged = hot.last == judged_at;
            for (proposal, refusal) in proposals {
                let again = || hot.ledger.judge_fresh(&proposal.command, time);
                debug_assert!(!unchanged || again() == Fresh::Refuse(refusal.clone()), "of the same state");
                match if unchanged { Fresh::Refuse(refusal) } else { again() } {
                    Fresh::Refuse(refusal) => {
                        let (position, time) = (hot.position(), hot.ledger.clock());
                        let verdict = Verdict::Refused(refusal);
                        let outcome = Outcome { verdict, replayed: false, position, time };
                        refused.push((proposal, outcome));
                    }
                    Fresh::Propose | Fresh::TickFirst => no_longer.push(proposal),
                }
            }
        }
        let told = |(proposal, outcome): (Proposal, Outcome)| (proposal.reply, Ok(Answer { outcome, logged: false }));
        tell_all(refused.into_iter().map(told));
        let Some(queue) = self.again.upgrade() else { return };
        for mut proposal in no_longer {
            proposal.fresh = false;
            proposal.reply.passage().come_back();
            if let Err(full) = queue.try_send(Item::Command(proposal)) {
                refuse(full.into_inner(), &Failure::Overloaded);
            }
        }
    }
}
