//! A replica that was found to differ from the others stays closed, over a restart too, until it is re-seeded.

use crate::support::{channel, formed, introduced, leader, ports, receive, served, start};
use earmark_client::wire::v1;
use earmark_ledger::types::ShardId;
use earmark_node::{
    Running, api,
    peer::wire::{BeaconRequest, PulseRequest, ReplicaDigest, peer_client::PeerClient, pulse_request::Question},
    reseed,
};
use std::sync::Arc;
use tokio::time::Instant;

const SHARD: ShardId = ShardId(1);
const ODD: u32 = 3;

/// Tells `target` that the other two nodes have another digest at its newest mark. Their true beacons say something else
/// all the time, so it is told until it is believed.
async fn tell_otherwise(target: &Running) {
    let node = target.node();
    let replica = node.replica(SHARD).expect("open");
    let (index, _) = replica.core().newest_digest().expect("a mark");
    let mut peer = PeerClient::connect(format!("http://{}", target.peer_address())).await.expect("connected");
    while node.replica(SHARD).is_some() {
        for from in (1..=3).filter(|from| *from != ODD) {
            let digest = ReplicaDigest { shard: SHARD.0, index, digest: vec![7; 16].into() };
            let beacon = BeaconRequest { digests: vec![digest], ..Default::default() };
            let question = PulseRequest { number: 1, question: Some(Question::Beacon(beacon)) };
            let questions = futures::stream::iter([question]);
            let mut heard = peer.pulse(introduced(questions, target, from)).await.expect("heard").into_inner();
            heard.message().await.expect("answered").expect("an answer");
        }
    }
}

fn told(running: &Running) -> v1::ReplicaStatus {
    let status = api::status::local(running.node());
    status.replicas.into_iter().find(|replica| replica.shard == SHARD.0).expect("the shard is named")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_odd_one_out_stays_closed_over_a_restart_until_it_is_reseeded() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (mut nodes, clocks) = formed(folder.path(), &ports, 1).await;
    let client = channel(&ports).await;
    receive(&client, "MUG", 10).await;
    let leader = leader(&nodes, SHARD).await;
    let marked = leader.mark_digest(Instant::now() + std::time::Duration::from_secs(30)).await.expect("marked");
    let odd = nodes.pop().expect("three nodes");
    let mut applied = odd.node().replica(SHARD).expect("open").applied();
    applied.wait_for(|index| *index >= marked).await.expect("applied");
    tell_otherwise(&odd).await;
    let reason = told(&odd).damage;
    assert!(reason.contains("its digest at entry"), "{reason}");
    // Noted before the Raft is closed; both follow the reason that was told.
    while odd.node().store().expect("open").replica(SHARD).damage().is_none() {
        tokio::task::yield_now().await;
    }
    odd.stop().await;

    let odd = start(ODD, folder.path(), &ports, clocks[2].clone()).await;
    served(std::slice::from_ref(&odd)).await;
    assert!(odd.node().replica(SHARD).is_none(), "it stays closed");
    assert!(odd.node().replica(ShardId::META).is_some(), "its neighbour is open");
    assert_eq!((told(&odd).damage, told(&odd).role.as_str()), (reason, "none"));

    let (progress, mut steps) = tokio::sync::mpsc::channel(64);
    let conductor = Arc::clone(nodes[0].node());
    let reseeding = tokio::spawn(reseed::run(conductor, ODD, progress));
    while let Some(step) = steps.recv().await {
        step.expect("a step");
    }
    reseeding.await.expect("ended");
    let status = told(&odd);
    assert_eq!((status.damage.as_str(), status.incarnation), ("", 2));
    assert_eq!(odd.node().store().expect("open").replica(SHARD).damage(), None);
    for running in nodes.into_iter().chain([odd]) {
        running.stop().await;
    }
}
