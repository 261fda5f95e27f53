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
use earmark_ledger::{Untold, codec, command::Command, types::ShardId};
use futures::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// Decisions one home tells at a time. Where there are more, whoever asks has not heard all.
const DECISIONS_MAX: usize = 1_024;

/// The longest a round may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Makes rounds for as long as the replica is open.
pub async fn run(router: Router, replica: Weak<Replica>, mut questions: Questions) {
    while let Some(gathered) = questions.gathered().await {
        let Some(replica) = replica.upgrade() else { return };
        let heard = tokio::time::timeout(PATIENCE, hear(&router, &replica)).await.unwrap_or(false);
        for question in gathered {
            let _ = question.send(heard);
        }
    }
}

/// Asks every home of a hold here, and has their decisions carried out. False if something may be left.
async fn hear(router: &Router, replica: &Arc<Replica>) -> bool {
    let homes: BTreeSet<ShardId> = replica.hot().ledger.homes_of_holds().into_iter().collect();
    let Some(untold) = ask(router, replica.shard(), &homes).await else { return false };
    let all = untold.iter().all(|untold| untold.all);
    let decisions: Vec<Command> = {
        let hot = replica.hot();
        let new = untold.into_iter().flat_map(|untold| untold.decisions);
        new.filter(|decision| !hot.ledger.has_obeyed(decision)).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    let carried_out = decisions.into_iter().map(|decision| replica.propose(decision, false, deadline));
    join_all(carried_out).await.iter().all(Result::is_ok) && all
}

/// What each of these homes has to say; none if one of them does not answer.
async fn ask(router: &Router, participant: ShardId, homes: &BTreeSet<ShardId>) -> Option<Vec<Untold>> {
    let mut here = Vec::new();
    let mut there: BTreeMap<u32, Vec<ShardId>> = BTreeMap::new();
    for home in homes {
        match router.leader(*home) {
            Leader::Here(replica) => here.push(replica),
            Leader::There(Some(node)) => there.entry(node).or_default().push(*home),
            Leader::There(None) => return None,
        }
    }
    let here = join_all(here.iter().map(|home| untold(home, participant)));
    let there = join_all(there.into_iter().map(|(node, homes)| ask_node(router, node, participant, homes)));
    let (here, there) = tokio::join!(here, there);
    let there = there.into_iter().map(|told| told.unwrap_or_default()).flatten().map(Some);
    let told: Vec<Untold> = here.into_iter().chain(there).collect::<Option<_>>()?;
    (told.len() == homes.len()).then_some(told)
}

/// Asks the homes that another node leads.
async fn ask_node(router: &Router, node: u32, participant: ShardId, homes: Vec<ShardId>) -> Option<Vec<Untold>> {
    let mut link = router.node().links().to(node)?;
    let asked: BTreeSet<u32> = homes.iter().map(|home| home.0).collect();
    let request = UntoldRequest { participant: participant.0, homes: asked.iter().copied().collect() };
    let reply = match link.untold(request).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => {
            tracing::debug!(%participant, node, %status, "homes were not heard");
            return None;
        }
    };
    let mut answered = BTreeSet::new();
    let of_home = |UntoldOfHome { home, decisions, all }: UntoldOfHome| {
        let new = asked.contains(&home) && answered.insert(home);
        let decisions = decisions.into_iter().map(codec::decode_command).collect::<Result<_, _>>().ok()?;
        new.then_some(Untold { decisions, all })
    };
    reply.homes.into_iter().map(of_home).collect()
}

/// What a home that is led here has to say, once it was confirmed to lead it, and what is overdue there has ended.
async fn untold(home: &Replica, participant: ShardId) -> Option<Untold> {
    home.linearize(Instant::now() + PATIENCE).await.ok()?;
    Some(home.hot().ledger.untold(participant, DECISIONS_MAX))
}

/// Answers another node for the homes that are led here.
pub async fn answer(router: &Router, request: UntoldRequest) -> UntoldReply {
    let participant = ShardId(request.participant);
    let led = request.homes.into_iter().filter_map(|home| match router.leader(ShardId(home)) {
        Leader::Here(replica) => Some(replica),
        Leader::There(_) => None,
    });
    let told = led.map(|replica| async move {
        let Untold { decisions, all } = untold(&replica, participant).await?;
        let decisions = decisions.iter().map(codec::encode_command).collect();
        Some(UntoldOfHome { home: replica.shard().0, decisions, all })
    });
    UntoldReply { homes: join_all(told).await.into_iter().flatten().collect() }
}
