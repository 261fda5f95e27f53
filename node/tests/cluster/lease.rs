//! Leases, where they are switched on: reads without a round, and never beyond what the voters keep.

use crate::support::{Hand, channel, config, form, introduced, leader, ports, receive, start_with};
use earmark_ledger::types::ShardId;
use earmark_node::{
    Running,
    config::Config,
    peer::wire::{LogId, Vote, VoteRequest, peer_client::PeerClient, vote_request::Kind},
    shard::Replica,
};
use std::{path::Path, sync::Arc};
use tokio::time::{Duration, Instant};

const SHARD: ShardId = ShardId(1);

fn leased(node: u32, folder: &Path, ports: &[u16]) -> Config {
    let mut config = config(node, folder, ports);
    config.raft.leases = true;
    config
}

async fn begin(folder: &Path, ports: &[u16], leases: bool) -> Vec<Running> {
    let mut nodes = Vec::new();
    for node in 1..=3 {
        let mut config = leased(node, folder, ports);
        config.raft.leases = leases;
        nodes.push(start_with(config, Arc::new(Hand::default())).await);
    }
    form(&nodes, 1).await;
    receive(&channel(ports).await, "MUG", 1).await;
    nodes
}

async fn read(replica: &Replica) -> bool {
    replica.linearize(Instant::now() + Duration::from_secs(10)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_answers_by_its_lease_and_stops_before_another_can_be_elected() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let mut nodes = begin(folder.path(), &ports, true).await;
    let old = leader(&nodes, SHARD).await;
    while old.reads_by_lease() < 100 {
        assert!(read(&old).await || !old.is_leader());
    }

    // The others are gone at once, without a word.
    let place = nodes.iter().position(|running| running.node().config().node == old.id().node).expect("one of them");
    let alone = nodes.remove(place);
    for other in &nodes {
        other.node().close_replicas().await;
    }
    let acked = || old.raft().as_leader().ok().and_then(|leader| leader.last_quorum_acked());
    let times = &alone.node().config().raft;
    assert!(times.lease().expect("on") < times.election_max);
    loop {
        let (before, begun) = (old.reads_by_lease(), Instant::now());
        let answered = read(&old).await;
        if !answered {
            assert_eq!(old.reads_by_lease(), before);
            break;
        }
        // It acknowledged nothing since, so the same acknowledgement counts for every read.
        if old.reads_by_lease() > before {
            let silence = openraft::Instant::elapsed(&acked().expect("it leads")).saturating_sub(begun.elapsed());
            assert!(silence < times.lease().expect("on"), "answered after a silence of {silence:?}");
        }
    }
    let silence = openraft::Instant::elapsed(&acked().expect("it leads, as far as it knows"));
    assert!(silence >= times.lease().expect("on"), "it refused a lease that lasts");
    let before = old.reads_by_lease();
    assert!(!read(&old).await);
    assert_eq!(old.reads_by_lease(), before, "the lease stays over");
    for running in nodes.into_iter().chain([alone]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_option_every_read_asks_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let nodes = begin(folder.path(), &ports, false).await;
    let leader = leader(&nodes, SHARD).await;
    while !read(&leader).await {
        tokio::task::yield_now().await;
    }
    assert_eq!(leader.reads_by_lease(), 0);
    assert!(!leader.withholds_votes());
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_grants_no_vote_for_one_election_timeout() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let mut nodes = begin(folder.path(), &ports, true).await;
    assert!(!leader(&nodes, SHARD).await.withholds_votes(), "a new replica has no promise to keep");
    nodes.pop().expect("three").stop().await;
    // So long that the test is over before.
    let mut config = leased(3, folder.path(), &ports);
    config.raft.election_max = Duration::from_secs(3_600);
    let again = start_with(config, Arc::new(Hand::default())).await;
    crate::support::served(std::slice::from_ref(&again)).await;
    let replica = again.node().replica(SHARD).expect("open");
    assert!(replica.withholds_votes());

    let mut peer = PeerClient::connect(format!("http://{}", again.peer_address())).await.expect("connected");
    let ask = |kind: Kind, leadership_transfer| VoteRequest {
        shard: SHARD.0,
        target: replica.id().raft_id(),
        kind: kind.into(),
        vote: Some(Vote { term: 1_000, node: 1 << 32 | 1, committed: false }),
        last: Some(LogId { term: 999, index: 1_000_000 }),
        leadership_transfer,
        to: 0,
    };
    for kind in [Kind::PreVote, Kind::Vote] {
        let refused = peer.vote(introduced(ask(kind, false), &again, 1)).await.expect_err("refused");
        assert!(refused.message().contains("no vote yet"), "{refused}");
    }
    assert_ne!(replica.standing().term, 1_000);
    let granted = peer.vote(introduced(ask(Kind::Vote, true), &again, 1)).await.expect("answered").into_inner();
    assert!(granted.granted, "the leader itself asked for it");
    for running in nodes.into_iter().chain([again]) {
        running.stop().await;
    }
}
