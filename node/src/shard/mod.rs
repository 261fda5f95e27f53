//! One Raft shard's replica on this node: propose, read, follow.
//!
//! `Replica` is the handle others hold; the actors behind it are the proposer (commands into entries), the reads'
//! barrier, the checkpointer, and the leader's chores (`leader`). openraft's types stay inside this folder, `storage`
//! and `peer`.

mod admission;
pub mod age;
pub mod answers;
pub mod board;
mod checkpointer;
pub mod handover;
pub mod hearing;
pub mod journal;
mod leader;
pub mod look_back;
pub mod machine;
pub mod membership;
pub mod proposer;
pub mod raft;
pub mod reads;
mod refusals;
mod returning;
pub mod runtime;
pub mod streams;

use crate::{
    config::Config,
    environment::Witness,
    failpoint::{self, Step},
    peer::{links::Links, raft_network::Factory},
    stamp::Clocks,
    storage::ReplicaStore,
};
use admission::Caller;
use age::{Heard, Reached};
use answers::Answers;
use earmark_ledger::{
    command::{Body, Command, Stockkeeping},
    outcome::{Done, Outcome, Verdict},
    planted::{self, Bug},
    types::{DurationMs, Epoch, Position, ReservationId, ShardId, TimeMs},
};
use handover::{Handover, Offers};
use hearing::Questions;
use machine::{Core, Hot, Machine};
use proposer::{Answer, Failure, Parts, Proposer, Raft};
use raft::ReplicaId;
use reads::Reads;
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// How far the ledger's clock may be behind for reads that are judged by the time.
const CLOCK_LAG: DurationMs = DurationMs(200);

/// An answer about a cart over several shards waits this long for all of them.
pub const SETTLE_PATIENCE: Duration = Duration::from_millis(100);

/// A replica that is open.
pub struct Replica {
    shard: ShardId,
    id: ReplicaId,
    raft: Raft,
    core: Arc<Core>,
    proposer: Proposer,
    reads: Reads,
    questions: Mutex<Option<Questions>>,
    clocks: Arc<Clocks>,
    clock_bound: Duration,
    heard: Mutex<Heard>,
    offers: Arc<Offers>,
    /// Until when it helps to elect nobody.
    silent_until: Option<Instant>,
    handover: Handover,
    chores: Vec<tokio::task::JoinHandle<()>>,
    closed: AtomicBool,
}

/// Why a replica could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its records can't be read.
    #[error("shard {shard}: {error}")]
    Load {
        /// Which shard.
        shard: ShardId,
        /// What is wrong.
        error: machine::LoadError,
    },
    /// It was found to differ from the others, now or before a restart.
    #[error("{reason}")]
    Diverged {
        /// As it was noted.
        reason: Arc<str>,
    },
    /// Raft refused its log or vote.
    #[error("shard {shard}: Raft can't start: {what}")]
    Raft {
        /// Which shard.
        shard: ShardId,
        /// What openraft said.
        what: String,
    },
}

/// Who leads and where things stand, at one moment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// leader, follower, learner, candidate, shutdown.
    pub role: &'static str,
    /// Raft term.
    pub term: u64,
    /// The node that leads, if known.
    pub leader: Option<u32>,
    /// Index of the last entry in the log.
    pub last_index: u64,
    /// Index up to which the log is purged.
    pub purged_index: u64,
    /// Replicas that vote.
    pub voters: Vec<ReplicaId>,
}

/// openraft's configuration out of ours.
fn raft_config(config: &Config) -> openraft::Config {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    openraft::Config {
        cluster_name: "earmark".to_owned(),
        heartbeat_interval: millis(config.raft.heartbeat),
        // A follower that took entries a moment ago needs none.
        heartbeat_min_interval: Some(millis(config.raft.heartbeat) / 2),
        election_timeout_min: millis(config.raft.election_min),
        election_timeout_max: millis(config.raft.election_max),
        // A snapshot streams for as long as it takes; its parts have deadlines of their own.
        install_snapshot_timeout: 3_600_000,
        // Bytes bound a replication frame (storage::log), so this count only bounds small entries. One frame is on its way
        // to a follower at a time, so one that is far away must get many at once.
        max_payload_entries: 8_192,
        // Neither snapshots nor purges are openraft's to decide: the checkpointer triggers both. By its own rule it would
        // purge with each snapshot all but so many entries.
        snapshot_policy: openraft::SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // A follower this far behind the newest checkpoint gets a snapshot once the log is purged.
        replication_lag_threshold: u64::MAX,
        enable_pre_vote: Some(!planted::on(Bug::NoPreVote)),
        // `committed` is persisted behind its entries; a restarted leader still waits to be elected anew.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    }
}

/// Marks the replica as damaged if its Raft ends by itself. Nobody else would: openraft's numbers stay as they were.
async fn notice_end(raft: Raft, core: Arc<Core>) {
    use openraft::{async_runtime::watch::WatchReceiver, errors::Fatal};
    // Of all that openraft tells this changes least: who waits for the full metrics is woken by every entry.
    let mut metrics = raft.server_metrics();
    while metrics.changed().await.is_ok() {}
    match raft.is_initialized().await.err() {
        Some(Fatal::Stopped) => {}
        Some(fatal) => core.mark_damaged(&format!("Raft ended: {fatal}")),
        None => core.mark_damaged("Raft ended"),
    }
}

impl Replica {
    /// Opens the replica of `shard` on this node under the incarnation its store has.
    ///
    /// # Errors
    /// [`OpenError`]; the replica is damaged then.
    pub async fn open(
        shard: ShardId,
        id: ReplicaId,
        store: ReplicaStore,
        config: &Config,
        links: &Links,
        clocks: &Arc<Clocks>,
        witness: Option<Arc<dyn Witness>>,
    ) -> Result<Arc<Self>, OpenError> {
        if let Some(reason) = store.damage() {
            return Err(OpenError::Diverged { reason });
        }
        let witness = witness.map(|witness| (id, witness));
        // The same changes on every replica at once; their checkpoints need not come at once, too.
        let checkpoint_bytes = config.limits.checkpoint_bytes / 4 * (4 + id.node as usize % 4);
        let core = Core::open(shard, store.clone(), checkpoint_bytes, witness)
            .map_err(|error| OpenError::Load { shard, error })?;
        let failed = |what: String| OpenError::Raft { shard, what };
        // Who voted or acknowledged a leader before a restart may not help another before that one's lease is over, nor
        // stand for election itself. A replica that never took part has promised nothing.
        let silent_until = (config.raft.leases && store.has_promised() && !planted::on(Bug::VoterForgetsLease))
            .then(|| Instant::now() + config.raft.election_max + config.raft.lease_drift);
        let raft_config = openraft::Config { enable_elect: silent_until.is_none(), ..raft_config(config) };
        let raft_config = raft_config.validate().map_err(|error| failed(error.to_string()))?;
        let offers = Arc::<Offers>::default();
        let raft = Raft::new(
            id.raft_id(),
            Arc::new(raft_config),
            Factory::new(shard, links.clone(), offers.clone()),
            store.log(),
            Machine::new(core.clone()),
        )
        .await
        .map_err(|error| failed(error.to_string()))?;
        if let Some(until) = silent_until {
            let raft = raft.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                raft.runtime_config().elect(true);
            });
        }
        let reads = Reads::start(raft.clone(), config.raft.lease());
        let handover = Handover::new(shard, raft.clone(), offers.clone(), config.raft.election_max);
        let timeless = Arc::<tokio::sync::Notify>::default();
        let (hearing, questions) = hearing::channel();
        let proposer = Proposer::start(Parts {
            timeless: timeless.clone(),
            raft: raft.clone(),
            core: core.clone(),
            reads: reads.clone(),
            hearing,
            clocks: clocks.clone(),
            limits: config.limits.clone(),
        });
        // A stream whose follower does not answer is given up long before this.
        let silence_max = 3 * config.raft.election_max;
        let chores = vec![
            tokio::spawn(checkpointer::run(id, raft.clone(), core.clone(), config.limits.clone(), silence_max)),
            tokio::spawn(journal::keep(core.clone(), links.clone(), id, config.limits.clone())),
            tokio::spawn(notice_end(raft.clone(), core.clone())),
            tokio::spawn(leader::expire(raft.clone(), core.clone(), proposer.clone(), clocks.clone())),
            tokio::spawn(leader::yield_without_time(timeless, handover.clone(), clocks.clone())),
            tokio::spawn(membership::finish_changes(raft.clone())),
            tokio::spawn(leader::forget(raft.clone(), core.clone(), proposer.clone())),
            tokio::spawn(leader::mark_digests(shard, raft.clone(), proposer.clone(), config.limits.digest_every)),
        ];
        Ok(Arc::new(Self {
            shard,
            id,
            raft,
            core,
            proposer,
            reads,
            questions: Mutex::new(Some(questions)),
            clocks: clocks.clone(),
            clock_bound: config.limits.clock_bound,
            heard: Mutex::default(),
            offers,
            silent_until,
            handover,
            chores,
            closed: AtomicBool::new(false),
        }))
    }

    /// Begins the shard with these voters. Only the forming of a cluster does this.
    ///
    /// # Errors
    /// For people; that it is begun already is none.
    pub async fn initialize(&self, voters: &[(ReplicaId, String)]) -> Result<(), String> {
        let members: std::collections::BTreeMap<_, _> =
            voters.iter().map(|(id, endpoint)| (id.raft_id(), openraft::impls::BasicNode::new(endpoint))).collect();
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(openraft::errors::RaftError::APIError(openraft::errors::InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What this replica has to ask of other shards. Given once, to whoever asks them.
    pub fn take_questions(&self) -> Option<Questions> {
        self.questions.lock().expect("no panic holds it").take()
    }

    /// Whether the shard was ever begun, as far as this replica knows.
    pub async fn is_initialized(&self) -> bool {
        self.raft.is_initialized().await.unwrap_or(true)
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The replica's Raft id.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Proposes a command and waits for its outcome, at most until `deadline`. Of a cart over several shards that is how
    /// it was decided; and if its shards have not all carried that out within [`SETTLE_PATIENCE`], it is told as not
    /// settled.
    ///
    /// # Errors
    /// [`Failure`] tells what may have happened from what surely did not.
    pub async fn propose(&self, mut command: Box<Command>, fresh: bool, deadline: Instant) -> Result<Answer, Failure> {
        // What few commands need lies apart, so that the many that are under way at once are small.
        if matches!(command.body, Body::Stockkeeping(Stockkeeping::Count(_))) {
            Box::pin(self.look_back(&mut command, deadline)).await?;
        }
        let (before, after) = failpoint::around(&command.body);
        before.into_iter().for_each(failpoint::hit);
        let answer = match may_ask_others(&command.body) {
            true => Box::pin(self.propose_cart(&command, fresh, deadline)).await?,
            false => self.proposer.propose(command, fresh, deadline).await?,
        };
        after.into_iter().for_each(failpoint::hit);
        Ok(self.settled(answer, deadline).await)
    }

    /// Proposes a command that [needs nothing but the log](is_plain). Its outcome will be told in `answers` by that number;
    /// whether a cart is [settled](Self::settled) is not waited for.
    ///
    /// # Errors
    /// As for a command that surely has no effect.
    pub fn begin(&self, command: Box<Command>, fresh: bool, answers: &Answers, number: u64) -> Result<Begun, Failure> {
        debug_assert!(is_plain(&command.body));
        let (before, after) = failpoint::around(&command.body);
        before.into_iter().for_each(failpoint::hit);
        Ok(Begun { caller: self.proposer.begin(command, fresh, answers, number)?, after })
    }

    /// Waits for the shards of a cart to carry out what was decided about it, if that is what the answer tells.
    pub async fn settled(&self, mut answer: Answer, deadline: Instant) -> Answer {
        if let Verdict::Done(Done::Reservation(view)) = &mut answer.outcome.verdict
            && !view.settled
        {
            view.settled = self.settle(view.id, deadline).await;
        }
        answer
    }

    /// The same for what may need the consent of other shards.
    async fn propose_cart(&self, command: &Command, fresh: bool, deadline: Instant) -> Result<Answer, Failure> {
        let mut fresh = fresh;
        let mut opened = false;
        loop {
            let answer = self.proposer.propose(Box::new(command.clone()), fresh, deadline).await;
            // Once the cart was opened, that a later question did not get through says nothing of it.
            let answer = answer.map_err(|failure| if opened { Failure::Unknown } else { failure })?;
            let Verdict::Done(Done::Pending(pending)) = answer.outcome.verdict else { return Ok(answer) };
            let replayed = answer.outcome.replayed;
            failpoint::hit(Step::HomeOpened);
            let decision = {
                let hot = self.hot();
                hot.ledger.is_pending(pending.id, pending.number).then(|| self.core.board().decision(pending))
            };
            // It was decided before anyone could wait: asked again, the ledger tells how.
            let Some(decision) = decision else {
                (fresh, opened) = (false, true);
                continue;
            };
            return match tokio::time::timeout_at(deadline, decision).await {
                Ok(Ok(outcome)) => {
                    failpoint::hit(Step::HomeDecided);
                    // Whoever joined an earlier sending is told its end again.
                    let replayed = replayed || outcome.replayed;
                    Ok(Answer { outcome: Outcome { replayed, ..outcome }, logged: true })
                }
                Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
            };
        }
    }

    /// Whether every shard of a cart has carried out what was decided, now or within a short time.
    async fn settle(&self, id: ReservationId, deadline: Instant) -> bool {
        if planted::on(Bug::SettledEarly) {
            return true;
        }
        let settling = {
            let hot = self.hot();
            (!hot.ledger.is_settled(id)).then(|| self.core.board().settling(id))
        };
        let Some(settling) = settling else { return true };
        let until = deadline.min(Instant::now() + SETTLE_PATIENCE);
        matches!(tokio::time::timeout_at(until, settling).await, Ok(Ok(())))
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Proposes a digest mark; gives its index.
    ///
    /// # Errors
    /// [`Failure`], as for a command.
    pub async fn mark_digest(&self, deadline: Instant) -> Result<u64, Failure> {
        self.proposer.tick(true, deadline).await
    }

    /// Moves the ledger's clock to the leader's, if nothing else did lately: for reads that are judged by the time.
    ///
    /// # Errors
    /// [`Failure`]; a read has no effect in any case.
    pub async fn catch_up(&self, deadline: Instant) -> Result<(), Failure> {
        let clock = self.hot().clock();
        if self.clocks.about().is_none_or(|now| now.since(clock) > CLOCK_LAG) {
            self.proposer.tick(false, deadline).await?;
        }
        Ok(())
    }

    /// Resolves once a read of this replica's state is linearizable: leadership is confirmed, everything decided is
    /// applied, and no hold is overdue by the leader's time while live by the ledger's.
    ///
    /// # Errors
    /// [`Failure`]; a read has no effect in any case.
    pub async fn linearize(&self, deadline: Instant) -> Result<(), Failure> {
        if !planted::on(Bug::ReadWithoutBarrier) {
            self.reads.barrier(deadline).await?;
        }
        let (due, clock) = {
            let hot = self.hot();
            (hot.ledger.next_deadline(), hot.clock())
        };
        // The leader's own time decides only whether to ask the log, never the answer. What is overdue by the ledger's
        // clock is counted as free already, swept or not. Where the time is not known at all the log has to say.
        if let Some(due) = due
            && due > clock
            && self.clocks.about().is_none_or(|now| due <= now)
        {
            self.proposer.tick(false, deadline).await?;
        }
        Ok(())
    }

    /// Hands leadership to another voter, if this replica leads and one can; gives it. By then whoever asks this replica
    /// is sent on, and whoever asked it before has an answer.
    pub async fn hand_over(&self, deadline: Instant) -> Option<ReplicaId> {
        let to = self.handover.run(deadline, |_| true).await?;
        // A damaged replica takes no messages, so it would wait in vain.
        if !self.core.is_damaged() {
            self.handover.wait_over(deadline).await;
            self.proposer.wait_answered(deadline).await;
        }
        Some(to)
    }

    /// Whether it grants no vote yet, because a lease that it forgot over a restart may still last.
    pub fn withholds_votes(&self) -> bool {
        self.silent_until.is_some_and(|until| Instant::now() < until)
    }

    /// How many reads and refusals were let through by a lease since it was opened.
    pub fn reads_by_lease(&self) -> u64 {
        self.reads.by_lease()
    }

    /// What became of offers to lead.
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Whether this replica leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.raft.as_leader().is_ok()
    }

    /// The state, locked for a short look.
    pub fn hot(&self) -> MutexGuard<'_, Hot> {
        self.core.hot()
    }

    /// State and store.
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The index of the last applied entry, as it grows.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.core.applied()
    }

    /// openraft's handle, for the peer service and membership.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Who leads and where things stand.
    pub fn standing(&self) -> Standing {
        use openraft::{ServerState, async_runtime::watch::WatchReceiver};
        let receiver = self.raft.metrics();
        let metrics = receiver.borrow_watched();
        Standing {
            role: match metrics.state {
                ServerState::Leader => "leader",
                ServerState::Follower => "follower",
                ServerState::Learner => "learner",
                ServerState::Candidate => "candidate",
                ServerState::Shutdown => "shutdown",
            },
            term: metrics.current_term,
            leader: metrics.current_leader.map(|id| ReplicaId::from_raft_id(id).node),
            last_index: metrics.last_log_index.unwrap_or(0),
            purged_index: metrics.purged.map_or(0, |id| id.index),
            voters: metrics.membership_config.voter_ids().map(ReplicaId::from_raft_id).collect(),
        }
    }

    /// How far the shard had come at a moment when this replica surely led it; none if it does not lead.
    pub fn reached(&self) -> Option<Reached> {
        let leader = self.raft.as_leader().ok()?;
        // A leader cut off from its majority goes on believing; its state is as old as the last answer of one.
        let heard_of = leader.last_quorum_acked()?;
        // Only behind an entry of its own term does it know all that its predecessors acknowledged.
        let index = self.hot().last.filter(|last| last.leader_id.term == leader.term())?.index;
        Some(Reached { index, age: openraft::Instant::elapsed(&heard_of) })
    }

    /// Takes in how far the shard's leader said it had come, in answer to a question of that moment.
    pub fn follow(&self, reached: Reached, asked: Instant) {
        self.heard.lock().expect("no panic holds it").note(reached, asked);
    }

    /// How old this replica's state may be at most, in whole milliseconds, rounded up. None if it can't be told: it never
    /// heard from a leader and has no entry.
    pub fn age(&self, now: TimeMs) -> Option<Duration> {
        let age = self.exact_age(now)?;
        let millis = age.as_nanos().div_ceil(1_000_000);
        Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }

    fn exact_age(&self, now: TimeMs) -> Option<Duration> {
        if let Some(reached) = self.reached() {
            return Some(reached.age);
        }
        let (last, clock) = {
            let hot = self.hot();
            (hot.last?.index, hot.clock())
        };
        let moment = self.heard.lock().expect("no panic holds it").moment(last);
        // Without word from a leader the stamp of the last entry is all there is to go by, and clocks differ.
        Some(moment.map_or_else(
            || Duration::from_millis(now.since(clock).0).saturating_add(self.clock_bound),
            |moment| moment.elapsed(),
        ))
    }

    /// Stops Raft and the actors. What was in flight is told as unknown.
    pub async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for chore in &self.chores {
            chore.abort();
        }
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(shard = %self.shard, %error, "Raft did not stop in order");
        }
    }
}

impl Hot {
    /// Where the state stands, as a position.
    pub fn position(&self) -> Position {
        Position {
            shard: self.ledger.shard(),
            epoch: self.epoch(),
            index: earmark_ledger::types::LogIndex(self.last.map_or(0, |id| id.index)),
            ordinal: 0,
        }
    }

    /// The shard's epoch.
    pub fn epoch(&self) -> Epoch {
        self.ledger.epoch()
    }

    /// The ledger's clock.
    pub fn clock(&self) -> TimeMs {
        self.ledger.clock()
    }
}

/// A command that was put into the queue. Whoever drops it does not want to know any more.
pub struct Begun {
    /// It counts as under way until this goes.
    caller: Caller,
    after: Option<Step>,
}

impl Begun {
    /// Its outcome was told.
    pub fn decided(self) {
        self.after.into_iter().for_each(failpoint::hit);
    }

    /// It was not, and it was waited for long enough.
    pub fn unanswered(self) -> Failure {
        proposer::unanswered(&self.caller)
    }
}

/// Whether a command needs nothing but the log.
pub fn is_plain(body: &Body) -> bool {
    matches!(body, Body::Reserve(_) | Body::Commit(_) | Body::Release(_) | Body::Receive(_) | Body::Adjust(_))
        && !may_ask_others(body)
}

/// Whether the outcome of a command may have to wait for answers of other shards.
fn may_ask_others(body: &Body) -> bool {
    match body {
        Body::Reserve(reserve) => !reserve.shards.is_empty(),
        Body::Replace(replace) => !replace.shards.is_empty(),
        Body::Commit(commit) => commit.revive,
        Body::Ship(_) => true,
        _ => false,
    }
}
