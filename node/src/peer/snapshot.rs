//! Sending and receiving a whole state.
//!
//! The sender iterates the live generation as one consistent view of its store and streams it in chunks. The receiver
//! writes them into a new generation, checks every chunk's checksum, computes the digest over what it really received,
//! and loads it. Nothing becomes live unless the digest is the one the state itself carries and the ledger can use it.

use super::{
    bulk::Bulk,
    convert,
    links::Link,
    wire::{self, snapshot_part::Part},
};
use crate::{
    shard::{
        machine::{self, LoadError},
        raft::{SnapshotMeta, Vote},
    },
    storage::{Install, ReplicaStore, StateView, StoreError},
};
use bytes::Bytes;
use earmark_ledger::{
    Accumulator, Digest, Ledger,
    planted::{self, Bug},
    records,
    types::{Epoch, ShardId},
};
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Chunks that wait for the network.
const CHUNKS_AHEAD: usize = 4;

/// The receiver must show a sign of life this often: accept a chunk, or answer at the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver has so long to load and install what it got.
const INSTALL_PATIENCE: Duration = Duration::from_secs(600);

fn checksum(records: &[wire::SnapshotRecord]) -> u32 {
    records.iter().fold(0, |sum, record| {
        let sum = crc32c::crc32c_append(sum, &record.key);
        crc32c::crc32c_append(sum, &record.value)
    })
}

/// Streams a view to the replica `target`, as `bulk` says; gives its vote.
///
/// # Errors
/// For people: what broke.
pub async fn send(
    mut link: Link,
    shard: ShardId,
    target: u64,
    vote: Vote,
    meta: SnapshotMeta,
    mut view: StateView,
    bulk: &Bulk,
) -> Result<Vote, String> {
    let (parts, queue) = tokio::sync::mpsc::channel(CHUNKS_AHEAD);
    let header = wire::SnapshotHeader {
        shard: shard.0,
        target,
        vote: Some(convert::vote(&vote)),
        applied: meta.last_log_id.as_ref().map(convert::log_id),
        membership: convert::membership_frame(&meta.last_membership),
        epoch: view.restored().epoch.0,
    };
    let part = |part| wire::SnapshotPart { part: Some(part) };
    let feeding = async move {
        let gone = |_| "the receiver hung up".to_owned();
        let stands_still = |_| "the receiver stands still".to_owned();
        let send = |part| tokio::time::timeout(PATIENCE, parts.send(part));
        send(part(Part::Header(header))).await.map_err(stands_still)?.map_err(gone)?;
        let (mut chunks, mut total) = (0, 0);
        while let Some(records) = view.next_chunk(bulk.part_bytes()).await.map_err(|error| error.to_string())? {
            bulk.turn(records.iter().map(|(key, value)| key.len() + value.len()).sum()).await;
            let records: Vec<_> = records.into_iter().map(|(key, value)| wire::SnapshotRecord { key, value }).collect();
            total += records.len() as u64;
            let checksum = checksum(&records);
            let chunk = wire::SnapshotChunk { number: chunks, records, checksum };
            send(part(Part::Chunk(chunk))).await.map_err(stands_still)?.map_err(gone)?;
            chunks += 1;
        }
        let end = wire::SnapshotEnd { chunks, records: total };
        send(part(Part::End(end))).await.map_err(stands_still)?.map_err(gone)?;
        Ok::<_, String>((chunks, total))
    };
    let calling =
        async { link.install_snapshot(ReceiverStream::new(queue)).await.map_err(|status| status.to_string()) };
    tokio::pin!(calling);
    let (chunks, records) = tokio::select! {
        fed = feeding => match fed {
            Ok(sent) => sent,
            // Why it hung up says the answer, if there is one.
            Err(problem) => match tokio::time::timeout(PATIENCE, calling).await {
                Ok(Err(status)) => return Err(status),
                Ok(Ok(_)) | Err(_) => return Err(problem),
            },
        },
        // Whoever answers before the end refuses it.
        reply = &mut calling => return Err(reply.err().unwrap_or_else(|| "answered before the end".to_owned())),
    };
    let reply = tokio::time::timeout(INSTALL_PATIENCE, calling).await;
    let reply = reply.map_err(|_| "the receiver does not install it".to_owned())??.into_inner();
    tracing::info!(%shard, target, chunks, records, "a snapshot was sent");
    convert::vote_from(reply.vote).map_err(|bad| bad.to_string())
}

/// A state received whole, not live yet.
pub struct Received {
    /// The leader's vote.
    pub vote: Vote,
    /// What it covers.
    pub meta: SnapshotMeta,
    /// What was loaded of it.
    pub ledger: Box<Ledger>,
    /// The new generation.
    pub install: Install,
}

/// Takes a header off a stream.
///
/// # Errors
/// If something else comes first, or nothing.
pub async fn header(parts: &mut Streaming<wire::SnapshotPart>) -> Result<wire::SnapshotHeader, Status> {
    match next(parts).await? {
        Some(Part::Header(header)) => Ok(header),
        _ => Err(Status::invalid_argument("a snapshot begins with its header")),
    }
}

async fn next(parts: &mut Streaming<wire::SnapshotPart>) -> Result<Option<Part>, Status> {
    let message = tokio::time::timeout(PATIENCE, parts.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no part of the snapshot came for a minute"))??;
    message.map(|part| part.part.ok_or_else(|| Status::invalid_argument("an empty part"))).transpose()
}

/// Writes the rest of the stream into a new generation of `store` and verifies it.
///
/// # Errors
/// As gRPC status; nothing is live then.
pub async fn receive(
    header: wire::SnapshotHeader,
    parts: &mut Streaming<wire::SnapshotPart>,
    store: &ReplicaStore,
) -> Result<Received, Status> {
    let bad = |what: &str| Status::data_loss(format!("snapshot refused: {what}"));
    let vote = convert::vote_from(header.vote)?;
    let applied = header.applied.map(convert::log_id_from).ok_or_else(|| bad("it covers nothing"))?;
    let membership = convert::membership_from(&header.membership).map_err(|error| bad(&error.to_string()))?;
    let mut install = store.begin_install().await.map_err(|error| Status::unavailable(error.to_string()))?;
    tracing::info!(shard = header.shard, index = applied.index, "a snapshot comes in");
    let mut accumulator = Accumulator::default();
    let (mut chunks, mut total, mut carried) = (0, 0, None);
    let end = loop {
        match next(parts).await? {
            Some(Part::Chunk(chunk)) => {
                if chunk.number != chunks || chunk.checksum != checksum(&chunk.records) {
                    return Err(bad("a chunk is missing or damaged"));
                }
                chunks += 1;
                tracing::debug!(shard = header.shard, chunks, records = chunk.records.len(), "a chunk came in");
                total += chunk.records.len() as u64;
                let mut records: Vec<(Bytes, Bytes)> = Vec::with_capacity(chunk.records.len());
                for record in chunk.records {
                    accumulator.add(&record.key, &record.value);
                    if record.key.as_ref() == records::HEADER_KEY {
                        carried = Some(record.value.clone());
                    }
                    records.push((record.key, record.value));
                }
                if planted::on(Bug::HalfInstalled) && chunk.number > 0 {
                    continue;
                }
                install.write_chunk(&records).await.map_err(|error| match error {
                    StoreError::Refused(refusal) => bad(&refusal.to_string()),
                    error => Status::unavailable(error.to_string()),
                })?;
            }
            Some(Part::End(end)) => break end,
            Some(Part::Header(_)) => return Err(bad("a second header")),
            None => return Err(bad("it broke off")),
        }
    };
    if end.chunks != chunks || end.records != total {
        return Err(bad("it is not complete"));
    }
    let carried: Option<Digest> = carried.and_then(|header| records::header_digest(&header).ok());
    // A shard that has decided nothing but its membership has no record.
    if total > 0 && carried != Some(accumulator.finish()) {
        return Err(bad("its digest is not that of its records"));
    }
    // Once it is live there is no way back, so whether it can be used is found out before.
    let (ledger, install) = machine::load_received(store.shard(), install).await.map_err(|error| match error {
        LoadError::Store(error) => Status::unavailable(error.to_string()),
        LoadError::Corrupt(corrupt) => bad(&format!("it can't be loaded: {corrupt}")),
    })?;
    if ledger.epoch() != Epoch(header.epoch) {
        return Err(bad("its epoch is not that of its records"));
    }
    let meta = SnapshotMeta { last_log_id: Some(applied), last_membership: membership };
    tracing::info!(shard = header.shard, chunks, records = total, index = applied.index, "a snapshot was received");
    Ok(Received { vote, meta, ledger: Box::new(ledger), install })
}
