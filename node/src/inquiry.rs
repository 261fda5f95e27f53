//! Before a shard refuses for the sake of units that it holds for other homes' carts, their homes are asked whether they
//! have decided about them meanwhile, and what they decided is carried out first.
//!
//! A decision reaches its participants a moment after it is acknowledged. Without this whoever released a cart and asks
//! for its units again, on another shard, could be told that they are sold.

use crate::{
    peer::wire::{UntoldOfHome, UntoldReply, UntoldRequest},
    router::{Leader, Router},
    shard::{Replica, hearing::Questions},
};
use earmark_ledger::{
    Untold,
    cart::message::Message,
    codec,
    command::{Body, Command},
    types::ShardId,
};
use futures::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Lines of the decisions that one home tells at a time. Where there are more, whoever asks has not heard all.
const LINES_MAX: usize = 16_384;

/// The longest a round may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Makes rounds for as long as the replica is open.
pub async fn run(router: Router, replica: Weak<Replica>, mut questions: Questions) {
    while let Some(gathered) = questions.gathered().await {
        let Some(replica) = replica.upgrade() else { return };
        let heard = hear(&router, &replica, Instant::now() + PATIENCE).await;
        for question in gathered {
            let _ = question.send(heard);
        }
    }
}

/// Asks every home of a hold here, and has their decisions carried out. False if something may be left.
async fn hear(router: &Router, replica: &Arc<Replica>, deadline: Instant) -> bool {
    // A leader that has not caught up yet does not know for whom it holds units. What is prepared and decided from here on
    // has its home among those that are asked: nobody is told that a cart is held before all its shards have prepared it.
    if replica.linearize(deadline).await.is_err() {
        return false;
    }
    let homes: BTreeSet<ShardId> = replica.hot().ledger.homes_of_holds().into_iter().collect();
    let told = ask(router, replica.shard(), &homes, deadline).await;
    if told.len() < homes.len() || told.values().any(|untold| !untold.all) {
        return false;
    }
    let decisions: Vec<Command> = {
        let hot = replica.hot();
        let new = told.into_values().flat_map(|untold| untold.decisions);
        new.filter(|decision| !hot.ledger.has_obeyed(decision)).collect()
    };
    let carried_out = decisions.into_iter().map(|decision| replica.propose(Box::new(decision), false, deadline));
    join_all(carried_out).await.iter().all(Result::is_ok)
}

/// What these homes have to say, as far as they answer.
async fn ask(
    router: &Router,
    participant: ShardId,
    homes: &BTreeSet<ShardId>,
    deadline: Instant,
) -> BTreeMap<ShardId, Untold> {
    let mut here = Vec::new();
    let mut there: BTreeMap<u32, BTreeSet<ShardId>> = BTreeMap::new();
    for home in homes {
        match router.leader(*home) {
            Leader::Here(replica) => here.push(replica),
            Leader::There(Some(node)) => drop(there.entry(node).or_default().insert(*home)),
            // It may be led all the same: this node's own replica may be closed. Only who leads it answers.
            Leader::There(None) => {
                for node in router.node().links().others() {
                    there.entry(node).or_default().insert(*home);
                }
            }
        }
    }
    let here = join_all(here.iter().map(|home| untold(home, participant, deadline)));
    let there = there.into_iter().map(|(node, homes)| ask_node(router, node, participant, homes, deadline));
    let (here, there) = tokio::join!(here, join_all(there));
    here.into_iter().flatten().chain(there.into_iter().flatten()).collect()
}

/// Asks the homes that another node leads.
async fn ask_node(
    router: &Router,
    node: u32,
    participant: ShardId,
    homes: BTreeSet<ShardId>,
    deadline: Instant,
) -> Vec<(ShardId, Untold)> {
    let Some(mut link) = router.node().links().to(node) else { return Vec::new() };
    let request = UntoldRequest { participant: participant.0, homes: homes.iter().map(|home| home.0).collect() };
    match timeout_at(deadline, link.untold(request)).await {
        Ok(Ok(reply)) => {
            let told = reply.into_inner().homes.into_iter();
            told.filter_map(read).filter(|(home, _)| homes.contains(home)).collect()
        }
        Ok(Err(status)) => {
            tracing::debug!(%participant, node, %status, "homes were not heard");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

/// What a home tells, if it is what a home may tell: decisions of its own.
fn read(told: UntoldOfHome) -> Option<(ShardId, Untold)> {
    let UntoldOfHome { home, decisions, all } = told;
    let home = ShardId(home);
    let decisions: Vec<Command> = decisions.into_iter().map(codec::decode_command).collect::<Result<_, _>>().ok()?;
    let own =
        |command: &Command| matches!(&command.body, Body::Cart(Message::Decide(decide)) if decide.from.home == home);
    decisions.iter().all(own).then_some((home, Untold { decisions, all }))
}

/// What a home that is led here has to say, once it was confirmed to lead it, and what is overdue there has ended.
async fn untold(home: &Replica, participant: ShardId, deadline: Instant) -> Option<(ShardId, Untold)> {
    home.linearize(deadline).await.ok()?;
    Some((home.shard(), home.hot().ledger.untold(participant, LINES_MAX)))
}

/// Answers another node for the homes that are led here.
pub async fn answer(router: &Router, request: UntoldRequest) -> UntoldReply {
    let (participant, deadline) = (ShardId(request.participant), Instant::now() + PATIENCE);
    let homes: BTreeSet<u32> = request.homes.into_iter().collect();
    let led: Vec<_> = homes
        .into_iter()
        .filter_map(|home| match router.leader(ShardId(home)) {
            Leader::Here(replica) => Some(replica),
            Leader::There(_) => None,
        })
        .collect();
    let told = join_all(led.iter().map(|home| untold(home, participant, deadline))).await;
    let homes = told.into_iter().flatten().map(|(home, Untold { decisions, all })| UntoldOfHome {
        home: home.0,
        decisions: decisions.iter().map(codec::encode_command).collect(),
        all,
    });
    UntoldReply { homes: homes.collect() }
}
