//! The journal beside the state: fetched from a peer where a snapshot left it out, and let go of when it is old or large.
//!
//! Each block has the hash of the one before it, so the journal is fetched backwards from what is there, and a peer can't
//! pass off anything else. How far it has come is the floor in the store: a restart goes on from there.

use super::{machine::Core, raft::ReplicaId};
use crate::{
    config::Limits,
    peer::{links::Links, wire},
    storage::{JournalFloor, ReplicaStore, StoreError},
};
use bytes::Bytes;
use earmark_ledger::{
    BlockHash, Corrupt,
    journal::Block,
    records,
    types::{DurationMs, Epoch, LogIndex, TimeMs},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::Instant;

/// Between two chunks, so that a long journal takes nothing from the load.
const FILL_EVERY: Duration = Duration::from_millis(50);

/// Between two looks when there is nothing to fetch, or nobody to fetch it from.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Between two trims.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// A peer reads a chunk of the journal from its disk within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Blocks in one chunk, or looked at in one step.
const BLOCKS_MAX: usize = 1_024;

/// Bytes looked at in one step: some milliseconds from disk.
const STEP_BYTES: usize = 1 << 20;

/// Why the journal can't be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block makes no sense.
    #[error("a journal block can't be read: {0}")]
    Corrupt(#[from] Corrupt),
}

/// Keeps a replica's journal whole and within its bounds for as long as it is open.
pub(super) async fn keep(core: Arc<Core>, links: Links, own: ReplicaId, limits: Limits) {
    let shard = core.store().shard();
    let mut size = None;
    // Not all shards at the same moment: the first time each counts its whole journal.
    let mut trim_at = Instant::now() + TRIM_EVERY + TRIM_EVERY.mul_f64(f64::from(shard.0 % 64) / 64.0);
    loop {
        if core.is_broken() {
            return;
        }
        let filled = match fill(&core, &links, own, &limits, &mut size).await {
            Ok(filled) => filled,
            Err(error) => {
                tracing::warn!(%shard, %error, "the journal is not filled in");
                false
            }
        };
        if Instant::now() >= trim_at {
            trim_at = Instant::now() + TRIM_EVERY;
            if let Err(error) = trim(&core, &limits, &mut size).await {
                tracing::warn!(%shard, %error, "the journal is not trimmed");
            }
        }
        tokio::time::sleep(if filled { FILL_EVERY } else { LOOK_EVERY }).await;
    }
}

/// Blocks right below a place, newest first, down to this replica's floor: about `bytes` of them, at least one.
///
/// # Errors
/// [`StoreError`].
pub fn blocks_below(
    store: &ReplicaStore,
    below: (Epoch, LogIndex),
    bytes: usize,
) -> Result<Vec<(Epoch, LogIndex, Bytes)>, StoreError> {
    let (mut blocks, mut total) = (Vec::new(), 0);
    store.walk_journal_back(below.0, below.1, |epoch, index, block| {
        total += block.len();
        blocks.push((epoch, index, Bytes::copy_from_slice(block)));
        total < bytes && blocks.len() < BLOCKS_MAX
    })?;
    Ok(blocks)
}

/// What the block right below the floor must hash to; 0 if there is none.
fn expected(store: &ReplicaStore, floor: JournalFloor) -> Result<BlockHash, JournalError> {
    if let Some((_, _, block)) = store.journal_first(floor)? {
        return Ok(Block::decode(&block)?.previous());
    }
    // Nothing was changed since the snapshot, so its header names the block.
    let header = store.read_state(records::HEADER_KEY)?;
    Ok(header.map(|header| records::header_journal(&header)).transpose()?.unwrap_or_default())
}

fn horizon(core: &Core, limits: &Limits) -> TimeMs {
    let kept = u64::try_from(limits.journal_retention.as_millis()).unwrap_or(u64::MAX);
    core.hot().clock().minus(DurationMs(kept))
}

/// Fetches one chunk of what is missing. Whether there may be more.
async fn fill(
    core: &Core,
    links: &Links,
    own: ReplicaId,
    limits: &Limits,
    size: &mut Option<Size>,
) -> Result<bool, JournalError> {
    let store = core.store();
    let floor = store.journal_floor();
    if floor == JournalFloor::default() {
        return Ok(false);
    }
    let now = measured(store, size).await?;
    let chunk = limits.snapshot_chunk_bytes as u64;
    // What would have to be trimmed again is not fetched.
    if now.bytes + 2 * chunk > share(store, limits) {
        return Ok(false);
    }
    let wanted = expected(store, floor)?;
    if wanted == BlockHash::default() {
        store.fill_journal(floor, &[], JournalFloor::default()).await?;
        return Ok(false);
    }
    let (oldest, nodes): (TimeMs, BTreeSet<u32>) = {
        let horizon = horizon(core, limits);
        let hot = core.hot();
        let members = hot.membership.membership().nodes().map(|(id, _)| ReplicaId::from_raft_id(*id).node);
        (horizon, members.filter(|node| *node != own.node).collect())
    };
    for node in nodes {
        let Some(mut link) = links.to(node) else { continue };
        let request = wire::JournalRequest {
            shard: store.shard().0,
            below_epoch: floor.epoch.0,
            below_index: floor.index.0,
            bytes: u32::try_from(limits.snapshot_chunk_bytes).unwrap_or(u32::MAX),
        };
        let Ok(Ok(reply)) = tokio::time::timeout(PATIENCE, link.journal(request)).await else { continue };
        let (blocks, lowest) = match check(store, floor, wanted, reply.into_inner().blocks, oldest) {
            Ok(checked) => checked,
            Err(problem) => {
                tracing::warn!(shard = %store.shard(), node, problem, "a peer's journal is not the one that is missing");
                continue;
            }
        };
        if !blocks.is_empty() {
            store.fill_journal(floor, &blocks, lowest).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

type Checked = (Vec<(Epoch, LogIndex, Bytes)>, JournalFloor);

/// The blocks of a chunk that are the ones before `floor`, up to the first that is older than what is kept, and from
/// where on the journal is whole with them.
fn check(
    store: &ReplicaStore,
    floor: JournalFloor,
    mut wanted: BlockHash,
    chunk: Vec<Bytes>,
    oldest: TimeMs,
) -> Result<Checked, String> {
    let (mut taken, mut lowest) = (Vec::new(), floor);
    for bytes in chunk {
        if BlockHash::of(&bytes) != wanted {
            return Err(format!("a block has another hash than {wanted}"));
        }
        // Its hash is right, so the block was written by this shard's ledger; what is below guards against our own.
        let block = Block::decode(&bytes).map_err(|corrupt| corrupt.to_string())?;
        let position = block.position();
        if position.shard != store.shard() || (position.epoch, position.index) >= (lowest.epoch, lowest.index) {
            return Err(format!("a block stands at {position:?}"));
        }
        if block.time() < oldest {
            break;
        }
        wanted = block.previous();
        lowest = JournalFloor { epoch: position.epoch, index: position.index };
        taken.push((position.epoch, position.index, bytes));
        if wanted == BlockHash::default() {
            lowest = JournalFloor::default();
            break;
        }
    }
    Ok((taken, lowest))
}

/// What is known of the size of a replica's journal.
pub struct Size {
    bytes: u64,
    /// Counted by the store, as of `bytes`.
    added: u64,
}

/// Lets go of blocks that are older than what is kept, and of the oldest while there are too many bytes. `size` is
/// counted at the first call, block by block, and followed from then on.
///
/// # Errors
/// [`JournalError`].
pub async fn trim(core: &Core, limits: &Limits, size: &mut Option<Size>) -> Result<(), JournalError> {
    let store = core.store();
    let now = measured(store, size).await?;
    let (oldest, bytes_max) = (horizon(core, limits), share(store, limits));
    loop {
        let (floor, over) = (store.journal_floor(), now.bytes.saturating_sub(bytes_max));
        let Step { next, gone, more } = store.aside(move |store| too_old(store, floor, over, oldest)).await??;
        if next > floor {
            store.fill_journal(floor, &[], next).await?;
            now.bytes = now.bytes.saturating_sub(gone);
            tracing::info!(shard = %store.shard(), floor = next.index.0, bytes = gone, "the journal was trimmed");
        }
        if !more || next == floor {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// What a step of a trim came to.
struct Step {
    /// From where on the journal is kept.
    next: JournalFloor,
    /// Bytes of blocks below.
    gone: u64,
    /// There is more to look at.
    more: bool,
}

/// One step over the blocks from `floor` on that are to go: those that make up the bytes that are `over`, and those from before
/// `oldest`.
fn too_old(store: &ReplicaStore, floor: JournalFloor, over: u64, oldest: TimeMs) -> Result<Step, JournalError> {
    let (mut next, mut gone, mut failed) = (floor, 0_u64, None);
    let rest = walk(store, floor, |epoch, index, bytes| {
        match Block::decode(&Bytes::copy_from_slice(bytes)) {
            Ok(block) if gone >= over && block.time() >= oldest => return false,
            Ok(_) => {}
            Err(corrupt) => {
                failed = Some(corrupt);
                return false;
            }
        }
        gone += bytes.len() as u64;
        next = JournalFloor { epoch, index: LogIndex(index.0 + 1) };
        true
    })?;
    match failed {
        Some(corrupt) => Err(corrupt.into()),
        None => Ok(Step { next, gone, more: rest.is_some() }),
    }
}

/// What a shard may keep: each of the node's the same.
fn share(store: &ReplicaStore, limits: &Limits) -> u64 {
    limits.journal_retention_bytes / u64::from(store.shards().max(1))
}

/// The size as it is now.
async fn measured<'a>(store: &ReplicaStore, size: &'a mut Option<Size>) -> Result<&'a mut Size, JournalError> {
    let counted = match size.take() {
        Some(size) => size,
        None => count(store).await?,
    };
    let now = size.insert(counted);
    let added = store.journal_added();
    now.bytes = now.bytes.saturating_add(added.saturating_sub(now.added));
    now.added = added;
    Ok(now)
}

async fn count(store: &ReplicaStore) -> Result<Size, JournalError> {
    let (added, upto) = (store.journal_added(), store.restored().applied.map_or(0, |id| id.index));
    let (mut from, mut bytes) = (store.journal_floor(), 0);
    loop {
        let (more, next) = store.aside(move |store| bytes_upto(store, from, upto)).await??;
        bytes += more;
        let Some(next) = next else { return Ok(Size { bytes, added }) };
        from = next;
        tokio::task::yield_now().await;
    }
}

/// One step over the blocks from `from` on, up to that index: their bytes, and where the next step begins, if any.
fn bytes_upto(store: &ReplicaStore, from: JournalFloor, upto: u64) -> Result<(u64, Option<JournalFloor>), StoreError> {
    let mut bytes = 0;
    let next = walk(store, from, |_, index, block| {
        let counts = index.0 <= upto;
        bytes += if counts { block.len() as u64 } else { 0 };
        counts
    })?;
    Ok((bytes, next))
}

/// Shows blocks from `from` on until `visit` says no or a step's worth was seen. Where the next step begins, if any.
fn walk(
    store: &ReplicaStore,
    from: JournalFloor,
    mut visit: impl FnMut(Epoch, LogIndex, &[u8]) -> bool,
) -> Result<Option<JournalFloor>, StoreError> {
    let (mut seen, mut bytes, mut next) = (0, 0, None);
    store.walk_journal(from, |epoch, index, block| {
        if seen == BLOCKS_MAX || bytes >= STEP_BYTES {
            next = Some(JournalFloor { epoch, index });
            return false;
        }
        seen += 1;
        bytes += block.len();
        visit(epoch, index, block)
    })?;
    Ok(next)
}
