//! Refusals without the log: what the applied state refuses is told once this replica was confirmed to lead.
//!
//! While one round of confirmation is on its way, what is refused meanwhile gathers for the next one. So the rounds grow with
//! the load, and callers of a SKU that is sold out are answered many at once.

use super::{
    machine::Core,
    proposer::{Answer, Boxed, Failure, Item, refuse},
    raft::LogId,
    reads::Reads,
};
use earmark_ledger::{
    Fresh,
    outcome::{Outcome, Refusal, Verdict},
    planted::{self, Bug},
    types::TimeMs,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// Groups in one round.
const GROUPS_MAX: usize = 1_024;

/// The longest a round may take, the one of the readers before it included.
const ROUND_MAX: Duration = Duration::from_secs(5);

/// Commands that the applied state refuses, judged at one moment.
pub(super) struct Refused {
    /// Each with why.
    pub proposals: Vec<(Boxed, Refusal)>,
    /// The entry whose state that was.
    pub judged_at: Option<LogId>,
    /// By this time.
    pub time: TimeMs,
}

/// The way to be confirmed.
pub(super) struct Refusals {
    rounds: mpsc::UnboundedSender<Refused>,
    /// How many wait: the channel counts groups, its bound is of commands.
    waiting: Arc<AtomicUsize>,
    room: usize,
}

impl Refusals {
    /// Starts the actor, with room for so many commands. What is not refused any more goes `again` into the queue.
    pub(super) fn start(core: Arc<Core>, reads: Reads, again: mpsc::WeakSender<Item>, room: usize) -> Self {
        let (rounds, groups) = mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        let actor = Actor { core, reads, again, waiting: Arc::clone(&waiting) };
        tokio::spawn(actor.run(groups));
        Self { rounds, waiting, room }
    }

    /// Has these told, in time.
    pub(super) fn confirm(&self, refused: Refused) {
        let count = refused.proposals.len();
        let overloaded = self.waiting.fetch_add(count, Ordering::Relaxed) + count > self.room;
        let turned_away = match overloaded {
            true => Some((refused, Failure::Overloaded)),
            false => self.rounds.send(refused).err().map(|unsent| (unsent.0, Failure::Damaged)),
        };
        if let Some((refused, failure)) = turned_away {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            for (proposal, _) in refused.proposals {
                refuse(Item::Command(proposal), &failure);
            }
        }
    }
}

struct Actor {
    core: Arc<Core>,
    reads: Reads,
    again: mpsc::WeakSender<Item>,
    waiting: Arc<AtomicUsize>,
}

impl Actor {
    async fn run(self, mut groups: mpsc::UnboundedReceiver<Refused>) {
        let mut gathered = Vec::new();
        while groups.recv_many(&mut gathered, GROUPS_MAX).await > 0 {
            let confirmed = match planted::on(Bug::RefusalWithoutBarrier) {
                true => Ok(()),
                false => self.reads.barrier(Instant::now() + ROUND_MAX).await,
            };
            let count = gathered.iter().map(|group| group.proposals.len()).sum();
            match confirmed {
                Ok(()) => gathered.drain(..).for_each(|group| self.tell(group)),
                Err(failure) => {
                    for (proposal, _) in gathered.drain(..).flat_map(|group| group.proposals) {
                        refuse(Item::Command(proposal), &failure);
                    }
                }
            }
            self.waiting.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Judges them again where the state changed meanwhile. What is no longer refused goes through the log.
    fn tell(&self, Refused { proposals, judged_at, time }: Refused) {
        let (mut refused, mut no_longer) = (Vec::new(), Vec::new());
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
                        refused.push((proposal, Outcome { verdict, replayed: false, position, time }));
                    }
                    Fresh::Propose | Fresh::TickFirst => no_longer.push(proposal),
                }
            }
        }
        for (proposal, outcome) in refused {
            let _ = proposal.answer.send(Ok(Answer { outcome, logged: false }));
        }
        let Some(queue) = self.again.upgrade() else { return };
        for mut proposal in no_longer {
            proposal.fresh = false;
            proposal.passage.come_back();
            if let Err(full) = queue.try_send(Item::Command(proposal)) {
                refuse(full.into_inner(), &Failure::Overloaded);
            }
        }
    }
}
