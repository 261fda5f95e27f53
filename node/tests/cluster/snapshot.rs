//! A snapshot that this build can't load is refused, and the replica keeps what it has.

use crate::support::{channel, formed, introduced, leader, ports, receive};
use bytes::Bytes;
use earmark_ledger::{Accumulator, records, types::ShardId};
use earmark_node::{
    Running,
    peer::{
        convert,
        wire::{
            LogId, SnapshotChunk, SnapshotEnd, SnapshotHeader, SnapshotPart, SnapshotRecord, Vote,
            peer_client::PeerClient, snapshot_part::Part,
        },
    },
    shard::Replica,
};

const SHARD: ShardId = ShardId(1);

/// Of a kind that no build so far has written.
const NEWER: &[u8] = &[200, 1];

/// The records of the leader's last checkpoint.
async fn records_of(leader: &Replica) -> Vec<(Bytes, Bytes)> {
    leader.core().checkpoint().await.expect("written");
    let mut view = leader.core().store().view().await.expect("a view");
    let mut records = Vec::new();
    while let Some(chunk) = view.next_chunk(1 << 20).await.expect("read") {
        records.extend(chunk);
    }
    records
}

/// Adds a record, and has the header carry the digest that belongs to it: as a newer build would.
fn add(records: &mut Vec<(Bytes, Bytes)>, key: &'static [u8], value: &'static [u8]) {
    let sum = |records: &[(Bytes, Bytes)]| {
        let mut sum = Accumulator::new();
        records.iter().filter(|(key, _)| key != records::HEADER_KEY).for_each(|(key, value)| sum.add(key, value));
        sum.finish().to_bytes()
    };
    let before = sum(records);
    records.push((Bytes::from(key), Bytes::from(value)));
    let after = sum(records);
    let header = records.iter_mut().find(|(key, _)| key == records::HEADER_KEY).expect("a header");
    let mut bytes = header.1.to_vec();
    for (old, new) in before.chunks(8).zip(after.chunks(8)) {
        // Halves of the sum stand in it as little-endian integers.
        let turned = |half: &[u8]| half.iter().rev().copied().collect::<Vec<u8>>();
        let place = bytes.windows(8).position(|window| window == turned(old)).expect("the sum is in it");
        bytes[place..place + 8].copy_from_slice(&turned(new));
    }
    header.1 = Bytes::from(bytes);
}

/// Sends records as a snapshot of the leader, a thousand entries ahead.
async fn send(target: &Running, leader: &Replica, records: &[(Bytes, Bytes)]) -> Result<(), tonic::Status> {
    let replica = target.node().replica(SHARD).expect("open");
    let standing = leader.standing();
    let vote = Vote { term: standing.term, node: leader.id().raft_id(), committed: true };
    let applied = LogId { term: standing.term, index: standing.last_index + 1_000 };
    let mut records: Vec<SnapshotRecord> =
        records.iter().map(|(key, value)| SnapshotRecord { key: key.clone(), value: value.clone() }).collect();
    records.sort_by(|one, other| one.key.cmp(&other.key));
    let checksum = records
        .iter()
        .fold(0, |sum, record| crc32c::crc32c_append(crc32c::crc32c_append(sum, &record.key), &record.value));
    let (membership, epoch) = {
        let hot = leader.hot();
        (convert::membership_frame(&hot.membership), hot.epoch().0)
    };
    let header = SnapshotHeader {
        shard: SHARD.0,
        target: replica.id().raft_id(),
        vote: Some(vote),
        applied: Some(applied),
        membership,
        epoch,
    };
    let end = SnapshotEnd { chunks: 1, records: records.len() as u64 };
    let parts = [Part::Header(header), Part::Chunk(SnapshotChunk { number: 0, records, checksum }), Part::End(end)];
    let parts: Vec<SnapshotPart> = parts.into_iter().map(|part| SnapshotPart { part: Some(part) }).collect();
    let mut peer = PeerClient::connect(format!("http://{}", target.peer_address())).await.expect("connected");
    let request = introduced(tokio_stream::iter(parts), target, leader.id().node);
    peer.install_snapshot(request).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_can_not_be_loaded_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, _) = formed(folder.path(), &ports, 1).await;
    let client = channel(&ports).await;
    receive(&client, "MUG", 10).await;
    let leader = leader(&nodes, SHARD).await;
    let target = nodes.iter().find(|node| node.node().config().node != leader.id().node).expect("a follower");
    let sound = records_of(&leader).await;
    let before = target.node().replica(SHARD).expect("open").core().store().restored().generation;

    let mut newer = sound.clone();
    add(&mut newer, NEWER, b"value");
    let refused = send(target, &leader, &newer).await.expect_err("refused");
    assert!(refused.message().contains("kind 200 is not known to this build"), "{refused}");

    let mut torn = sound;
    add(&mut torn, &[records::SKU, 0], b"no record");
    let refused = send(target, &leader, &torn).await.expect_err("refused");
    assert!(refused.message().contains("can't be loaded"), "{refused}");

    let replica = target.node().replica(SHARD).expect("still open and sound");
    assert_eq!(replica.core().store().restored().generation, before);
    let marked = leader.mark_digest(tokio::time::Instant::now() + std::time::Duration::from_secs(30)).await.unwrap();
    replica.applied().wait_for(|index| *index >= marked).await.expect("it follows");
    assert_eq!(replica.core().digest_at(marked), leader.core().digest_at(marked));

    for running in nodes {
        running.stop().await;
    }
}
