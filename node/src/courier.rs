//! Carries the messages of the carts whose home shard is led here to the leaders of the other shards, and their answers
//! back into the home's log. What is not answered is sent again; every message may come twice.

use crate::{
    failpoint,
    router::{Leader, Router},
    shard::{Replica, proposer::Failure},
};
use earmark_ledger::{
    Number,
    cart::message::{Answer, Ask, Asked, Floor, Gone, Message},
    command::{Body, Command, Context},
    outcome::{Done, Outcome, Verdict},
    planted::{self, Bug},
    types::{DurationMs, ShardId, TimeMs},
};
use futures::future::join_all;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

/// Messages of one frame.
const FRAME: usize = 256;
/// Frames on their way to one shard.
const FRAMES_MAX: usize = 8;
/// A frame is given up after this, and its messages are sent again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The oldest open message to a shard is sent again after this, and all behind it, once no frame is on its way.
const RESEND: Duration = Duration::from_millis(500);
/// How often a courier looks after what nobody told it of.
const ROUND: Duration = Duration::from_millis(200);
/// A prepare that is undecided for so long is asked about.
const ASK_AFTER: DurationMs = DurationMs::seconds(10);
/// Questions asked in one go.
const ASKS_MAX: usize = 64;
/// How often questions are asked, and floors are told that no message carried.
const CHORES_EVERY: Duration = Duration::from_secs(2);

/// The way to one participant.
struct Lane {
    /// Messages up to this number were sent.
    sent: Number,
    frames: usize,
    /// The oldest open message, and when it was last sent.
    oldest: Option<(Number, Instant)>,
    /// The highest floor the participant was told.
    floor: Number,
}

/// A frame came back, answered or not.
struct Returned {
    participant: ShardId,
}

/// Carries messages for as long as the replica is open.
pub async fn run(router: Router, replica: Weak<Replica>) {
    // Bounded by the frames on their way.
    let (returns, mut returned) = mpsc::unbounded_channel();
    let mut lanes: BTreeMap<ShardId, Lane> = BTreeMap::new();
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut chores = Instant::now() + CHORES_EVERY;
    loop {
        let Some(replica) = replica.upgrade() else { return };
        if replica.core().is_damaged() || replica.is_closed() {
            return;
        }
        if replica.is_leader() {
            carry(&router, &replica, &mut lanes, &returns);
            if Instant::now() >= chores {
                chores = Instant::now() + CHORES_EVERY;
                ask(&router, &replica);
                tell_floors(&router, &replica, &mut lanes);
            }
        } else {
            // What was sent under an earlier term says nothing under this one.
            lanes.clear();
        }
        let core = replica.core().clone();
        drop(replica);
        tokio::select! {
            () = core.board().sent() => {}
            Some(Returned { participant }) = returned.recv() => {
                if let Some(lane) = lanes.get_mut(&participant) {
                    lane.frames = lane.frames.saturating_sub(1);
                }
            }
            _ = round.tick() => {}
        }
    }
}

/// Sends what was not sent yet, and what was not answered for too long.
fn carry(
    router: &Router,
    replica: &Arc<Replica>,
    lanes: &mut BTreeMap<ShardId, Lane>,
    returns: &mpsc::UnboundedSender<Returned>,
) {
    let now = Instant::now();
    let mut frames = Vec::new();
    {
        let hot = replica.hot();
        for participant in hot.ledger.unsettled_participants() {
            let lane = lanes.entry(participant).or_insert_with(|| Lane {
                sent: Number::default(),
                frames: 0,
                oldest: None,
                floor: Number::default(),
            });
            let first = hot.ledger.outbox(participant, Number::default()).next().map(|(number, _)| number);
            match (first, lane.oldest) {
                (Some(first), Some((oldest, since))) if first == oldest => {
                    // What is on its way may be answered yet: sent again beside it, a slow shard would only be slower.
                    if lane.frames == 0 && !planted::on(Bug::SentOnce) && now.duration_since(since) >= RESEND {
                        lane.sent = Number::default();
                        lane.oldest = Some((first, now));
                    }
                }
                (first, _) => lane.oldest = first.map(|first| (first, now)),
            }
            while lane.frames < FRAMES_MAX {
                let rows: Vec<_> = hot.ledger.outbox(participant, lane.sent).take(FRAME).collect();
                let Some((last, _)) = rows.last() else { break };
                lane.sent = *last;
                lane.floor = lane.floor.max(hot.ledger.floor_for(participant));
                let commands: Vec<_> = rows.iter().filter_map(|(_, id)| hot.ledger.message(*id, participant)).collect();
                if !commands.is_empty() {
                    lane.frames += 1;
                    frames.push((participant, commands));
                }
            }
        }
    }
    for (participant, commands) in frames {
        let (router, replica, returns) = (router.clone(), replica.clone(), returns.clone());
        tokio::spawn(async move {
            let steps: Vec<_> = failpoint::of_frame(&commands).collect();
            let at = |place: usize| steps.iter().for_each(|steps| failpoint::hit(steps[place]));
            at(0);
            let dropped = if planted::on(Bug::RowDropped) { as_answered(&commands, participant) } else { Vec::new() };
            let answers = deliver(&router, participant, commands).await;
            let dropped = if answers.is_empty() { dropped } else { Vec::new() };
            let answers: Vec<_> = answers
                .into_iter()
                .filter_map(|outcome| match outcome.verdict {
                    Verdict::Done(Done::Answered(Some(answer))) => Some(Message::Answer(*answer)),
                    _ => None,
                })
                .chain(dropped)
                .collect();
            if !answers.is_empty() {
                at(1);
            }
            let recorded = join_all(answers.into_iter().map(|answer| propose(&replica, answer))).await;
            if recorded.iter().any(Result::is_ok) {
                at(2);
            }
            for failure in recorded.into_iter().filter_map(Result::err) {
                tracing::debug!(%participant, ?failure, "an answer did not reach its home; it will come again");
            }
            returns.send(Returned { participant }).ok();
        });
    }
}

/// Answers that nobody gave, to the decisions among messages.
fn as_answered(commands: &[Command], from: ShardId) -> Vec<Message> {
    let answer = |command: &Command| match &command.body {
        Body::Cart(Message::Decide(decide)) => {
            let (id, number, result) = (decide.from.id, decide.from.number, Ok(Vec::new()));
            Some(Message::Answer(Answer { id, number, from, result, last: None }))
        }
        _ => None,
    };
    commands.iter().filter_map(answer).collect()
}

async fn propose(replica: &Replica, message: Message) -> Result<Outcome, Failure> {
    let answer = replica.propose(Box::new(command(message)), false, Instant::now() + PATIENCE).await?;
    Ok(answer.outcome)
}

fn command(message: Message) -> Command {
    Command { context: Context::default(), not_after: TimeMs::MAX, attempt: 1, heard: false, body: Body::Cart(message) }
}

/// Has messages decided by the shard they are for. What fails is left out: it will be sent again.
async fn deliver(router: &Router, shard: ShardId, commands: Vec<Command>) -> Vec<Outcome> {
    let deadline = Instant::now() + PATIENCE;
    let delivered = match router.leader(shard) {
        Leader::Here(replica) => {
            let proposals = commands.into_iter().map(|command| replica.propose(Box::new(command), false, deadline));
            let answers = join_all(proposals).await;
            Ok(answers.into_iter().filter_map(|answer| answer.ok().map(|answer| answer.outcome)).collect())
        }
        Leader::There(Some(leader)) => router.hand_over(shard, leader, &commands, deadline).await,
        Leader::There(None) => router.hand_around(shard, &commands, deadline).await,
    };
    delivered.unwrap_or_else(|problem| {
        tracing::debug!(%shard, problem, "messages of carts did not arrive; they will be sent again");
        Vec::new()
    })
}

/// Asks the homes of what is undecided here since long.
fn ask(router: &Router, replica: &Arc<Replica>) {
    let asks: Vec<_> = {
        let hot = replica.hot();
        let then = hot.clock().minus(ASK_AFTER);
        hot.ledger.undecided_before(then).take(ASKS_MAX).collect()
    };
    let from = replica.shard();
    for (id, home, number) in asks {
        let (router, replica) = (router.clone(), replica.clone());
        tokio::spawn(async move {
            let question = command(Message::Ask(Ask { id, number, from }));
            let said = deliver(&router, home, vec![question]).await.pop();
            let gone = said.is_some_and(|outcome| outcome.verdict == Verdict::Done(Done::Asked(Asked::Gone)));
            tracing::info!(reservation = %id, %home, gone, "asked about a cart that is long undecided");
            if gone && let Err(failure) = propose(&replica, Message::Gone(Gone { id, number, home })).await {
                tracing::debug!(?failure, "what is gone is not given back yet; it will be asked about again");
            }
        });
    }
}

/// Tells participants the floor where no message has carried it.
fn tell_floors(router: &Router, replica: &Arc<Replica>, lanes: &mut BTreeMap<ShardId, Lane>) {
    let floors: Vec<_> = {
        let hot = replica.hot();
        lanes.keys().map(|participant| (*participant, hot.ledger.floor_for(*participant))).collect()
    };
    for (participant, floor) in floors {
        let Some(lane) = lanes.get_mut(&participant).filter(|lane| lane.floor < floor) else { continue };
        lane.floor = floor;
        let (router, home) = (router.clone(), replica.shard());
        tokio::spawn(async move {
            deliver(&router, participant, vec![command(Message::Floor(Floor { home, floor }))]).await;
        });
    }
}
