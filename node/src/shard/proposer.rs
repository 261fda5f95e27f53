//! One proposer per shard: what arrives while the previous entries are being written goes together into the next one.
//!
//! The size of a batch follows the load by itself. What is under way is bounded (`admission`): one more is OVERLOADED, at once.

use super::{
    admission::{Admission, Caller, Pace},
    answers::{Answers, Reply, Told, tell_all},
    hearing::Hearing,
    look_back::Unseen,
    machine::{Core, Machine},
    raft::{LogId, Payload, ReplicaId, TypeConfig},
    reads::Reads,
    refusals::{Refusals, Refused},
    returning::Returning,
};
use crate::{
    config::Limits,
    stamp::{Clocks, Stamp},
};
use earmark_ledger::{
    Fresh, Ledger,
    cart::message::Message,
    codec,
    command::{Batch, Body, Command, Stockkeeping},
    outcome::{Done, Outcome, Refusal, Verdict},
    planted::{self, Bug},
    types::{ShardId, TimeMs},
};
use openraft::errors::{ClientWriteError, RaftError};
use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot, watch},
    time::Instant,
};

pub(super) type Raft = openraft::Raft<TypeConfig, Machine>;

/// Why a command got no outcome from the ledger. What may have happened is told apart from what surely did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Surely no effect: this replica does not lead. The node that does, if known.
    NotLeader(Option<u32>),
    /// Surely no effect: as much is under way as can be answered.
    Overloaded,
    /// Surely no effect: no majority could be reached before the deadline.
    NoQuorum,
    /// Surely no effect: `not_after` had passed before the command was proposed.
    Late,
    /// Surely no effect: this node's store or replica is not to be trusted.
    Damaged,
    /// It may still take effect, or have taken it.
    Unknown,
    /// Surely no effect: what the books said at the moment it names can't be told.
    Unseen(Unseen),
}

/// An outcome, and whether it stands in the log (so it speaks for every earlier try of the same id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the ledger said.
    pub outcome: Outcome,
    /// False for a refusal read off the applied state.
    pub logged: bool,
}

impl Answer {
    /// Whether it tells that all shards have carried out what was decided, or nothing of that.
    pub fn is_settled(&self) -> bool {
        match &self.outcome.verdict {
            Verdict::Done(Done::Reservation(view)) => view.settled,
            _ => true,
        }
    }
}

/// An entry that takes longer to be decided is worth a line in the log, and nothing waits for it any more.
const SLOW: Duration = Duration::from_secs(5);

/// So many such entries, beside those that are in time, and no more set out.
const SLOW_MAX: usize = 16;

/// Between two lines in the log that say that too much is asked.
const COMPLAINT_EVERY: Duration = Duration::from_secs(10);

/// So many commands need not wait until the entry before them is answered.
const MANY: usize = 256;

/// While commands wait for an entry to be answered: how often to look whether this replica still leads.
const LEADERSHIP_CHECK_EVERY: Duration = Duration::from_millis(50);

/// Nobody waits any longer where [`Bug::TimeoutAsRefusal`] is planted. Deadlines of callers come later than they give up.
const PLANTED_PATIENCE: Duration = Duration::from_millis(300);

/// A command on its way into the log. It is moved between queues many times, so it is small: what is large in it lies behind
/// pointers.
pub(super) struct Proposal {
    pub(super) command: Box<Command>,
    pub(super) fresh: bool,
    /// The homes of others' carts were asked already, whether they answered or not.
    asked: bool,
    pub(super) reply: Reply,
}

pub(super) enum Item {
    Command(Proposal),
    /// An empty batch: lets the ledger's clock move, or every replica note its digest.
    Empty {
        digest: bool,
        done: oneshot::Sender<Result<u64, Failure>>,
    },
}

/// The way into a shard's log.
#[derive(Clone)]
pub struct Proposer {
    shard: ShardId,
    queue: mpsc::Sender<Item>,
    admission: Arc<Admission>,
    /// Entries on their way.
    unanswered: watch::Sender<usize>,
    /// When it was last said that too much is asked.
    complained: Arc<Mutex<Option<Instant>>>,
}

/// What the proposer works with.
pub(super) struct Parts {
    pub raft: Raft,
    pub core: Arc<Core>,
    pub reads: Reads,
    /// What other homes decided.
    pub hearing: Hearing,
    pub clocks: Arc<Clocks>,
    /// Told when there is no time to write into an entry.
    pub timeless: Arc<Notify>,
    pub limits: Limits,
}

impl Proposer {
    /// Starts the actor.
    pub(super) fn start(parts: Parts) -> Self {
        let shard = parts.core.shard();
        let (queue, items) = mpsc::channel(parts.limits.queue);
        let unanswered = watch::Sender::new(0);
        let pace = Pace::new(parts.limits.queue);
        let admission = pace.admission();
        let again = queue.downgrade();
        let refusals = Refusals::start(parts.core.clone(), parts.reads, again.clone(), parts.limits.queue);
        let actor = Actor {
            stamp: Stamp::new(parts.clocks.clone()),
            unanswered: unanswered.clone(),
            awaited: watch::Sender::new(0),
            refusals,
            returning: Returning::default(),
            asking: Arc::new(Semaphore::new(parts.limits.queue)),
            again,
            pace,
            raft: parts.raft,
            core: parts.core,
            hearing: parts.hearing,
            timeless: parts.timeless,
            limits: parts.limits,
        };
        tokio::spawn(actor.run(items));
        Self { shard, queue, admission, unanswered, complained: Arc::default() }
    }

    fn enqueue(&self, item: Item) -> Result<(), Failure> {
        let Err(error) = self.queue.try_send(item) else { return Ok(()) };
        let full = matches!(error, mpsc::error::TrySendError::Full(_));
        if let Item::Command(proposal) = error.into_inner() {
            proposal.reply.forget();
        }
        if full {
            self.complain();
        }
        Err(if full { Failure::Overloaded } else { Failure::Damaged })
    }

    /// Says from time to time that more is asked than is done, and whether entries are written meanwhile.
    fn complain(&self) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|then| then.elapsed() >= COMPLAINT_EVERY) {
            *complained = Some(Instant::now());
            let (commands, entries) = (self.admission.under_way(), *self.unanswered.borrow());
            tracing::warn!(shard = %self.shard, commands, entries, "more is asked of the shard than it does; commands are refused as OVERLOADED");
        }
    }

    /// Waits until every entry that was on its way is answered. For a replica that does not lead any more: nothing new
    /// sets out meanwhile.
    pub async fn wait_answered(&self, deadline: Instant) {
        let mut unanswered = self.unanswered.subscribe();
        let none = unanswered.wait_for(|count| *count == 0);
        if tokio::time::timeout_at(deadline, none).await.is_err() {
            tracing::debug!("entries were still on their way");
        }
    }

    /// Proposes a command and waits for its outcome, at most until `deadline`. The command is large and handed on from
    /// place to place, so it is behind a pointer: of these calls thousands are under way at once.
    pub async fn propose(&self, command: Box<Command>, fresh: bool, deadline: Instant) -> Told {
        let answers = Answers::default();
        let caller = self.begin(command, fresh, &answers, 0)?;
        let told = tokio::time::timeout_at(patience(deadline), answers.next()).await;
        match told.ok().and_then(|told| told.into_iter().flatten().next()) {
            Some((_, told)) => told,
            None => Err(unanswered(&caller)),
        }
    }

    /// Proposes a command, whose outcome will be told in `answers` by that number. To be waited for no longer than
    /// [`patience`] allows.
    ///
    /// # Errors
    /// As for a command that surely has no effect.
    pub fn begin(&self, command: Box<Command>, fresh: bool, answers: &Answers, number: u64) -> Result<Caller, Failure> {
        let caller = match &command.body {
            Body::Cart(_) | Body::Forget(_) | Body::Meta(_) => self.admission.let_pass(),
            _ => self.admission.admit().ok_or_else(|| {
                self.complain();
                Failure::Overloaded
            })?,
        };
        let reply = answers.reply(number, Arc::clone(&caller.0));
        self.enqueue(Item::Command(Proposal { command, fresh, asked: false, reply }))?;
        Ok(caller)
    }

    /// Proposes an empty batch and waits until it is applied here; gives its index.
    pub async fn tick(&self, digest: bool, deadline: Instant) -> Result<u64, Failure> {
        let (done, waiting) = oneshot::channel();
        self.enqueue(Item::Empty { digest, done })?;
        tokio::time::timeout_at(deadline, waiting)
            .await
            .map_err(|_| Failure::NoQuorum)?
            .map_err(|_| Failure::Unknown)?
    }
}

/// How long a command is waited for that has until `deadline`.
pub fn patience(deadline: Instant) -> Instant {
    match planted::on(Bug::TimeoutAsRefusal) {
        true => deadline.min(Instant::now() + PLANTED_PATIENCE),
        false => deadline,
    }
}

/// What it comes to that a command was not answered in time.
pub fn unanswered(caller: &Caller) -> Failure {
    let surely = caller.give_up() || planted::on(Bug::TimeoutAsRefusal);
    if surely { Failure::NoQuorum } else { Failure::Unknown }
}

struct Actor {
    raft: Raft,
    core: Arc<Core>,
    hearing: Hearing,
    timeless: Arc<Notify>,
    limits: Limits,
    stamp: Stamp,
    /// Entries on their way.
    unanswered: watch::Sender<usize>,
    /// Those of them that others wait for.
    awaited: watch::Sender<usize>,
    refusals: Refusals,
    returning: Returning,
    /// Room for what waits for other shards; as much again. What finds none goes on unheard.
    asking: Arc<Semaphore>,
    again: mpsc::WeakSender<Item>,
    pace: Pace,
}

/// One entry's worth of work.
#[derive(Default)]
struct Gathered {
    commands: Vec<Command>,
    replies: Vec<Reply>,
    /// What the applied state refuses, and why.
    refused: Vec<(Proposal, Refusal)>,
    /// The entry whose state that was.
    judged_at: Option<LogId>,
    /// Might be refused for the sake of units held for other homes' carts, before these were asked.
    unheard: Vec<Proposal>,
    empties: Vec<oneshot::Sender<Result<u64, Failure>>>,
    digest: bool,
}

impl Actor {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        // What did not fit last time goes first.
        let mut waiting: Vec<Item> = Vec::new();
        while self.gather_up(&mut items, &mut waiting).await {
            let (term, time) = match self.leadership() {
                Ok(leadership) => leadership,
                Err(failure) => {
                    for item in waiting.drain(..) {
                        refuse(item, &failure);
                    }
                    continue;
                }
            };
            self.pace.look();
            let gathered = self.gather(&mut waiting, time);
            if !gathered.refused.is_empty() {
                let (proposals, judged_at) = (gathered.refused, gathered.judged_at);
                self.refusals.confirm(Refused { proposals, judged_at, time });
            }
            if !gathered.unheard.is_empty() {
                self.hear(gathered.unheard);
            }
            if gathered.commands.is_empty() && gathered.empties.is_empty() {
                continue;
            }
            let batch = Batch { rules: self.rules(), time, digest: gathered.digest, commands: gathered.commands };
            let payload = Payload(codec::encode_batch(&batch));
            tracing::trace!(term, commands = batch.commands.len(), bytes = payload.0.len(), "propose");
            let raft = self.raft.clone();
            let (replies, empties) = (gathered.replies, gathered.empties);
            let (shard, commands) = (self.core.shard(), batch.commands.len());
            let (unanswered, awaited) = (self.unanswered.clone(), self.awaited.clone());
            self.returning.set_out(commands);
            unanswered.send_modify(|count| *count += 1);
            awaited.send_modify(|count| *count += 1);
            tokio::spawn(async move {
                let mut written = pin!(raft.client_write(payload));
                let soon = tokio::time::timeout(SLOW, &mut written).await;
                awaited.send_modify(|count| *count -= 1);
                let written = match soon {
                    Ok(written) => written,
                    Err(_) => {
                        tracing::warn!(%shard, term, commands, "an entry is not decided after {} s", SLOW.as_secs());
                        written.await
                    }
                };
                deliver(written, replies, empties);
                unanswered.send_modify(|count| *count -= 1);
            });
        }
    }

    /// Waits until there is something to write, and it is time to. False once nobody can ask any more.
    ///
    /// What an entry costs is mostly the same for one command and for a hundred. So while one is on its way commands gather
    /// for the next, and those who were just answered may come back in time for it; only when a good deal of commands wait do
    /// more entries set out at once.
    async fn gather_up(&mut self, items: &mut mpsc::Receiver<Item>, waiting: &mut Vec<Item>) -> bool {
        let most = self.limits.batch_commands;
        let mut answered = self.awaited.subscribe();
        let mut open = true;
        while open || !waiting.is_empty() {
            while waiting.len() < most {
                let Ok(item) = items.try_recv() else { break };
                waiting.push(item);
            }
            let entries = *answered.borrow_and_update();
            if entries == 0 {
                self.returning.all_answered(waiting.len());
            }
            let many = waiting.len() >= MANY.min(most) && entries < self.limits.entries_in_flight;
            let bearable = *self.unanswered.borrow() < self.limits.entries_in_flight + SLOW_MAX;
            let mut look_again = Instant::now() + LEADERSHIP_CHECK_EVERY;
            if !waiting.is_empty() {
                // Whoever does not lead any more has nothing to wait for: it sends callers on.
                if self.raft.as_leader().is_err() || (many && bearable) {
                    return true;
                }
                if entries == 0 && bearable {
                    match self.returning.waits_until(waiting.len()) {
                        Some(until) if waiting.len() < most => look_again = until,
                        _ => return true,
                    }
                }
            }
            let room = most - waiting.len();
            tokio::select! {
                biased;
                changed = answered.changed() => if changed.is_err() { return false },
                count = items.recv_many(waiting, room), if open && room > 0 => open = count > 0,
                () = tokio::time::sleep_until(look_again), if !waiting.is_empty() => {}
            }
        }
        false
    }

    /// The rules the shard is under; a new shard begins with the first.
    fn rules(&self) -> u32 {
        self.core.hot().ledger.rules().max(1)
    }

    /// The term this replica leads and the time to write, or why it can't propose.
    fn leadership(&mut self) -> Result<(u64, TimeMs), Failure> {
        if self.core.is_damaged() {
            return Err(Failure::Damaged);
        }
        let leader = self.raft.as_leader().map_err(|forward| {
            let node = forward.leader_id.map(|id| ReplicaId::from_raft_id(id).node);
            Failure::NotLeader(node)
        })?;
        let term = leader.term();
        let Some(time) = self.stamp.now(term) else {
            self.timeless.notify_one();
            return Err(Failure::NoQuorum);
        };
        Ok((term, time))
    }

    /// Takes from `waiting` what fits into one entry, and sets aside what the applied state refuses already.
    fn gather(&self, waiting: &mut Vec<Item>, time: TimeMs) -> Gathered {
        let mut gathered = Gathered::default();
        let mut bytes = 0;
        let mut taken = 0;
        let hot = self.core.hot();
        gathered.judged_at = hot.last;
        for item in waiting.iter() {
            let size = match item {
                Item::Command(proposal) => weight(&proposal.command),
                Item::Empty { .. } => 0,
            };
            if taken > 0 && bytes + size > self.limits.batch_bytes {
                break;
            }
            bytes += size;
            taken += 1;
        }
        let mut rest = taken;
        for item in waiting.drain(..taken) {
            rest -= 1;
            match item {
                Item::Empty { digest, done } => {
                    gathered.digest |= digest;
                    gathered.empties.push(done);
                }
                Item::Command(mut proposal) => {
                    // Whoever asked has gone, and will send it again: a queue that is behind only gets longer by doing what
                    // nobody waits for.
                    if !proposal.reply.is_awaited() {
                        continue;
                    }
                    choose_ttl(&hot.ledger, &mut proposal.command);
                    // Only a first sending is judged here; of any other the log knows whether it was done before.
                    if proposal.fresh && proposal.command.not_after < time {
                        proposal.reply.tell(Err(Failure::Late));
                        continue;
                    }
                    if !proposal.asked && hot.ledger.wants_hearing(&proposal.command) {
                        proposal.reply.passage().leave();
                        gathered.unheard.push(proposal);
                        continue;
                    }
                    if proposal.fresh
                        && let Fresh::Refuse(refusal) = hot.ledger.judge_fresh(&proposal.command, time)
                    {
                        proposal.reply.passage().leave();
                        if gathered.refused.is_empty() {
                            // It waits as it is: of few that are refused among many it must not be large.
                            gathered.refused.reserve_exact((rest + 1).min(MANY));
                        }
                        gathered.refused.push((proposal, refusal));
                        continue;
                    }
                    if proposal.reply.passage().propose() {
                        if gathered.commands.is_empty() {
                            gathered.commands.reserve_exact(rest + 1);
                            gathered.replies.reserve_exact(rest + 1);
                        }
                        gathered.commands.push(*proposal.command);
                        gathered.replies.push(proposal.reply);
                    }
                }
            }
        }
        gathered
    }

    /// Asks the homes of what is held here whether they have decided about it, once for all of these. They are queued again
    /// whatever comes of it: what was not heard, the ledger takes as in doubt.
    fn hear(&self, proposals: Vec<Proposal>) {
        let count = u32::try_from(proposals.len()).unwrap_or(u32::MAX);
        let room = self.asking.clone().try_acquire_many_owned(count).ok();
        let (hearing, again) = (self.hearing.clone(), self.again.clone());
        tokio::spawn(async move {
            let heard = room.is_some() && hearing.hear().await;
            let Some(queue) = again.upgrade() else { return };
            for mut proposal in proposals {
                (proposal.asked, proposal.command.heard) = (true, heard);
                proposal.reply.passage().come_back();
                if let Err(full) = queue.try_send(Item::Command(proposal)) {
                    refuse(full.into_inner(), &Failure::Overloaded);
                }
            }
        });
    }
}

/// How long a hold lasts whose request leaves it open, by the settings of its SKUs. It stands in the entry from here on.
/// Of a cart over several shards the router has noted what the nodes' own replicas say.
fn choose_ttl(ledger: &Ledger, command: &mut Command) {
    if let Body::Reserve(reserve) = &mut command.body
        && reserve.ttl_chosen
        && reserve.shards.is_empty()
    {
        reserve.ttl = ledger.hold_time(&reserve.namespace, reserve.lines.iter().map(|line| &line.sku));
    }
}

/// About how many bytes a command takes in an entry. Only bounds a batch, so it need not be exact.
fn weight(command: &Command) -> usize {
    /// Id, times, owner, context.
    const HEAD: usize = 128;
    /// Names, quantity and framing of a line.
    const LINE: usize = 96;
    let lines = match &command.body {
        Body::Reserve(reserve) => reserve.lines.len(),
        Body::Commit(commit) => commit.parts.len(),
        Body::Release(release) => release.parts.len(),
        Body::Forget(forget) => forget.reservations.len() + forget.operations.len(),
        Body::Cart(Message::Prepare(prepare)) => prepare.wanted.len() + prepare.ships.len() + prepare.base.len(),
        Body::Cart(Message::Decide(decide)) => decide.lines.len(),
        Body::Extend(_) | Body::Receive(_) | Body::Adjust(_) | Body::Meta(_) | Body::Cart(_) => 1,
        // A policy may name many locations.
        Body::Stockkeeping(Stockkeeping::Configure(_)) => 48,
        Body::Stockkeeping(_) => 4,
        Body::Replace(replace) => replace.lines.len(),
        Body::Ship(ship) => ship.parts.len(),
        Body::Cancel(cancel) => cancel.parts.len() + 3,
        Body::Return(back) => back.parts.len() + 3,
        Body::MarkPaying(_) => 1,
    };
    HEAD + LINE * lines
}

pub(super) fn refuse(item: Item, failure: &Failure) {
    match item {
        Item::Command(proposal) => {
            // Its caller may be told of it much later than it is answered.
            proposal.reply.passage().leave();
            proposal.reply.tell(Err(failure.clone()));
        }
        Item::Empty { done, .. } => {
            let _ = done.send(Err(failure.clone()));
        }
    }
}

type Written =
    Result<openraft::raft::ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

fn deliver(written: Written, replies: Vec<Reply>, empties: Vec<oneshot::Sender<Result<u64, Failure>>>) {
    let failure = match written {
        Ok(response) => {
            let index = response.log_id.index;
            let mut outcomes = response.data.0;
            if planted::on(Bug::WrongWaiter) && !outcomes.is_empty() {
                outcomes.rotate_left(1);
            }
            debug_assert_eq!(outcomes.len(), replies.len(), "one outcome a command");
            tell_all(replies.into_iter().zip(outcomes).map(|(reply, outcome)| {
                reply.passage().answered();
                (reply, Ok(Answer { outcome, logged: true }))
            }));
            for done in empties {
                let _ = done.send(Ok(index));
            }
            return;
        }
        // openraft answers this only before the entry is appended.
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            Failure::NotLeader(forward.leader_id.map(|id| ReplicaId::from_raft_id(id).node))
        }
        Err(_) if planted::on(Bug::TimeoutAsRefusal) => Failure::NoQuorum,
        Err(_) => Failure::Unknown,
    };
    tell_all(replies.into_iter().map(|reply| {
        reply.passage().leave();
        (reply, Err(failure.clone()))
    }));
    for done in empties {
        let _ = done.send(Err(failure.clone()));
    }
}
