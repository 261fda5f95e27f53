//! What nodes tell each other every 200 ms: clocks, what each store has synced, digests, and how far the shards that they
//! lead have come.

use crate::{
    node::Node,
    peer::{convert, wire},
    shard::{Replica, age::Reached, raft::ReplicaId},
};
use bytes::Bytes;
use earmark_ledger::{
    digest::Digest,
    planted::{self, Bug},
    types::ShardId,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use tokio::time::Instant;

/// Between beacons to one peer.
const EVERY: Duration = Duration::from_millis(200);

/// A peer that does not answer within this is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Marks whose digests are compared.
const COMPARED: usize = 8;

/// Sends beacons to every peer for as long as the node lives.
pub fn start(node: &Arc<Node>) {
    for peer in node.links().others() {
        tokio::spawn(run(Arc::downgrade(node), peer));
    }
}

async fn run(node: Weak<Node>, peer: u32) {
    loop {
        let asked = {
            let Some(node) = node.upgrade() else { return };
            node.links().pulse(peer).map(|pulse| (pulse, request(&node)))
        };
        let Some((pulse, request)) = asked else { return };
        let sent = Instant::now();
        if let Ok(Ok(reply)) = tokio::time::timeout(PATIENCE, pulse.beacon(request)).await {
            let Some(node) = node.upgrade() else { return };
            node.clocks().sample(peer, reply.wall_ms, sent);
            node.clocks().note_agreement(peer, reply.clocks_agree);
            follow(&node, &reply.led, if planted::on(Bug::AgeFromArrival) { Instant::now() } else { sent });
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn request(node: &Node) -> wire::BeaconRequest {
    let marks = node.store().map(|store| store.synced_marks()).unwrap_or_default();
    let digests = node.replicas().into_iter().filter(|replica| !replica.core().is_damaged()).filter_map(|replica| {
        let (index, digest) = replica.core().newest_digest()?;
        Some(wire::ReplicaDigest { shard: replica.shard().0, index, digest: digest.to_bytes().to_vec().into() })
    });
    wire::BeaconRequest {
        wall_ms: node.environment().clock.wall_ms(),
        marks: marks.iter().map(|(shard, mark)| convert::mark_frame(*shard, mark)).collect(),
        digests: digests.collect(),
    }
}

/// Takes in what `from` tells, and gives the answer.
pub fn answer(node: &Node, digests: &DigestBook, from: u32, request: &wire::BeaconRequest) -> wire::BeaconReply {
    remember(node, from, &request.marks);
    digests.hear(node, from, &request.digests);
    wire::BeaconReply {
        wall_ms: node.environment().clock.wall_ms(),
        clocks_agree: node.clocks().median().is_some(),
        led: led(node),
    }
}

/// By the index of a mark, what each node computed there.
type Marks = BTreeMap<u64, BTreeMap<u32, Digest>>;

/// How far the shards have come that this node leads.
fn led(node: &Node) -> Vec<wire::Led> {
    let replicas = node.replicas().into_iter().filter(|replica| !replica.core().is_damaged());
    let led = replicas.filter_map(|replica| {
        let Reached { index, age } = replica.reached()?;
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        Some(wire::Led { shard: replica.shard().0, decided: index, age_ms })
    });
    led.collect()
}

/// Takes in what a peer says of the shards it leads, in answer to what was sent then.
fn follow(node: &Node, led: &[wire::Led], sent: Instant) {
    for led in led {
        if let Some(replica) = node.replica(ShardId(led.shard)) {
            replica.follow(Reached { index: led.decided, age: Duration::from_millis(led.age_ms) }, sent);
        }
    }
}

/// Digests the peers told, per shard and index.
#[derive(Default)]
pub struct DigestBook {
    told: Mutex<BTreeMap<ShardId, Marks>>,
}

impl DigestBook {
    /// Takes in what `peer` told, and marks this node's replicas that are the odd one out of a majority.
    fn hear(&self, node: &Node, peer: u32, digests: &[wire::ReplicaDigest]) {
        for told in digests {
            let Some(digest) = Digest::from_slice(&told.digest) else { continue };
            let shard = ShardId(told.shard);
            let Some(replica) = node.replica(shard) else { continue };
            if let Some(told_here) = self.note(shard, told.index, peer, digest) {
                judge(&replica, told.index, &told_here);
            }
        }
    }

    /// What is known of a mark now; none if it is older than those that are compared.
    fn note(&self, shard: ShardId, index: u64, peer: u32, digest: Digest) -> Option<BTreeMap<u32, Digest>> {
        let mut book = self.told.lock().expect("no panic holds it");
        let marks = book.entry(shard).or_default();
        marks.entry(index).or_default().insert(peer, digest);
        while marks.len() > COMPARED {
            marks.pop_first();
        }
        marks.get(&index).cloned()
    }
}

/// With a majority of voters against this replica it is damaged; with none for anyone, nobody knows who is right and
/// this replica stops as well.
fn judge(replica: &Arc<Replica>, index: u64, told: &BTreeMap<u32, Digest>) {
    let Some(own) = replica.core().digest_at(index) else { return };
    let voters: Vec<ReplicaId> = replica.standing().voters;
    let mut votes: BTreeMap<Digest, usize> = [(own, 1)].into();
    for (peer, digest) in told {
        if voters.iter().any(|voter| voter.node == *peer) {
            *votes.entry(*digest).or_default() += 1;
        }
    }
    let majority = voters.len() / 2 + 1;
    if votes[&own] >= majority || votes.len() == 1 {
        return;
    }
    if let Some((other, _)) = votes.iter().find(|(_, count)| **count >= majority) {
        replica.core().mark_diverged(&format!(
            "its digest at entry {index} is {own}, that of a majority is {other}; re-seed this node"
        ));
    } else if votes.values().sum::<usize>() == voters.len() {
        replica.core().mark_diverged(&format!(
            "digests at entry {index} differ and no majority has the same one; the shard stops until an operator decides"
        ));
    }
}

/// Keeps what a peer has synced.
fn remember(node: &Node, peer: u32, marks: &[Bytes]) {
    if let Some(store) = node.store() {
        let marks: Vec<_> = marks.iter().filter_map(|frame| convert::mark_from(frame).ok()).collect();
        store.remember_peer(peer, &marks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_older_than_those_compared_is_let_go() {
        let book = DigestBook::default();
        let note = |index| book.note(ShardId(1), index, 2, Digest(7));
        for index in 100..100 + COMPARED as u64 {
            assert_eq!(note(index), Some([(2, Digest(7))].into()));
        }
        assert_eq!(note(5), None);
        assert_eq!(note(500), Some([(2, Digest(7))].into()));
    }
}
