//! A node's store: everything durable on it, behind one writer. Cheap to clone.

use super::{
    engine::{Batch, Disk, Family},
    error::{OpenError, Refusal, StoreError},
    format::{FORMAT, encode_record},
    inner::{Inner, Stats},
    keys::{self, MetaKey, NodeTag},
    load::{Continuity, Loaded},
    mark::Mark,
    mark_file::MarkFile,
    queue::{Changes, MarkChange, Op, Queue, Urgency},
    records::{IdentityRecord, NumberRecord},
    replica::{Core, Replica},
    replica_store::ReplicaStore,
    thread::Thread,
    writer::Writer,
};
use bytes::Bytes;
use earmark_ledger::types::ShardId;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Which cluster a folder belongs to, and which of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Random, made when the cluster was formed.
    pub cluster: [u8; 16],
    /// Number of the node, from 1.
    pub node: u32,
    /// Number of shards, the meta shard included.
    pub shards: u32,
    /// What the cluster was formed with, as its writer encoded it.
    pub formation: Bytes,
}

impl Identity {
    fn to_record(&self) -> IdentityRecord {
        IdentityRecord {
            cluster: Bytes::copy_from_slice(&self.cluster),
            node: self.node,
            shards: self.shards,
            formation: self.formation.clone(),
        }
    }

    /// Back from a record.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the cluster's name has not 16 bytes.
    pub(super) fn from_record(record: IdentityRecord) -> Result<Self, StoreError> {
        let cluster = record.cluster[..].try_into().map_err(|error| StoreError::corrupt("identity", error))?;
        Ok(Self { cluster, node: record.node, shards: record.shards, formation: record.formation })
    }
}

/// A node's store.
#[derive(Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
    pub(super) queue: Queue,
    boots: u64,
}

impl Store {
    /// Opens a folder and starts its writer, on a thread of its own or as a task of the present runtime, as the disk
    /// needs it. Says whether what was synced is still there.
    ///
    /// A store that lost something goes on saying so at each opening, until it is set aside or all its replicas are
    /// dropped.
    ///
    /// # Errors
    /// As [`OpenError`] says.
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Self, Continuity), OpenError> {
        let engine = disk.open()?;
        let mut loaded = Loaded::read(&*engine)?;
        let marks = MarkFile::read(&*engine)?;
        let continuity = loaded.judge(marks.as_ref());
        let mut marks = marks.unwrap_or_default();
        let boots = loaded.boots.max(marks.boots()) + 1;
        let lost = matches!(continuity, Continuity::Lost { .. });
        if !lost {
            for (shard, replica) in &loaded.replicas {
                marks.set(*shard, replica.lock().synced);
            }
        }
        if lost {
            loaded.remind(marks.marks());
        }
        let inner = Inner::new(Arc::clone(&engine), loaded.replicas, loaded.identity, loaded.peers);
        let (inner, (queue, receiver)) = (Arc::new(inner), Queue::new());
        let blocks = engine.blocks();
        let writer = Writer::new(engine, Arc::clone(&inner), marks, receiver, queue.room());
        if blocks {
            queue.keep(on_thread(writer)?);
        } else {
            drop(tokio::spawn(writer.run()));
        }
        let store = Self { inner, queue, boots };
        if !lost {
            store.queue.send(Op::Changes(Box::new(opening(boots))))?;
        }
        Ok((store, continuity))
    }

    /// Writes what waits and lets go of the folder. Every operation afterwards fails with [`StoreError::Closed`].
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Op::Close(done)).is_ok() {
            // An answer that never comes means that the writer is gone, and the folder with it.
            closed.await.ok();
        }
    }

    /// Which cluster and node this is, if it was ever told.
    pub fn identity(&self) -> Option<Identity> {
        self.inner.identity().clone()
    }

    /// Sets the identity, for good.
    ///
    /// # Errors
    /// [`Refusal::OtherIdentity`] if it has another; else as the write fails.
    pub async fn set_identity(&self, identity: Identity) -> Result<(), StoreError> {
        self.inner.sound()?;
        if let Some(present) = self.identity() {
            return if present == identity { Ok(()) } else { Err(StoreError::Refused(Refusal::OtherIdentity)) };
        }
        let mut batch = Batch::default();
        let key = MetaKey::Node(NodeTag::Identity).to_bytes();
        batch.put_with(Family::Meta, &key, |out| encode_record(&identity.to_record(), out));
        let inner = Arc::clone(&self.inner);
        let changes = Changes::new(batch, Urgency::Synced).publish(move || *inner.identity() = Some(identity));
        let room = self.queue.reserve(changes.batch.bytes()).await?;
        self.queue.submit(changes, room)?.wait().await
    }

    /// The replica of a shard on this node, made or not.
    pub fn replica(&self, shard: ShardId) -> ReplicaStore {
        let mut replicas = self.inner.replicas();
        let fresh = || Arc::new(Replica::new(shard, Core::default()));
        let replica = Arc::clone(replicas.entry(shard).or_insert_with(fresh));
        ReplicaStore::new(Arc::clone(&self.inner), self.queue.clone(), replica)
    }

    /// Tells once the store has failed, and why. From then on every operation fails.
    pub fn poison(&self) -> watch::Receiver<Option<StoreError>> {
        self.inner.watch_poison()
    }

    /// What is on stable storage of each replica: for the peers to remember, and right after the opening to hold
    /// against what they remember.
    pub fn synced_marks(&self) -> Vec<(ShardId, Mark)> {
        let replicas = self.inner.replicas();
        let marks = replicas.iter().map(|(shard, replica)| (*shard, replica.lock().synced));
        marks.filter(|(_, mark)| mark.incarnation > 0).collect()
    }

    /// Keeps what a peer says it holds, the highest of each shard. Written, un-synced, with the next batch or within
    /// about a second.
    pub fn remember_peer(&self, node: u32, marks: &[(ShardId, Mark)]) {
        let mut peers = self.inner.peers();
        for (shard, mark) in marks {
            let known = peers.marks.entry((node, *shard)).or_default();
            let before = *known;
            known.raise(mark);
            if *known != before {
                peers.dirty.insert((node, *shard));
            }
        }
    }

    /// The highest that a peer ever said it holds.
    pub fn remembered(&self, node: u32) -> Vec<(ShardId, Mark)> {
        let peers = self.inner.peers();
        let all = peers.marks.range((node, ShardId(0))..=(node, ShardId(u32::MAX)));
        all.map(|((_, shard), mark)| (*shard, *mark)).collect()
    }

    /// Removes all replicas but their incarnations, and with them every doubt about this folder: for a node that is
    /// re-seeded. Their Raft must not be open.
    ///
    /// # Errors
    /// As the write fails.
    pub async fn drop_all_replicas(&self) -> Result<(), StoreError> {
        self.inner.sound()?;
        let replicas: Vec<_> = self.inner.replicas().values().cloned().collect();
        let mut wholes = Vec::new();
        for replica in &replicas {
            wholes.push(replica.whole.clone().lock_owned().await);
        }
        let mut changes = opening(self.boots);
        for replica in &replicas {
            replica_wipe(&mut changes.batch, replica);
            changes.marks.push((Arc::clone(replica), MarkChange::Wiped));
        }
        let changes = changes.publish(move || replicas.iter().for_each(|replica| replica.lock().wipe()));
        let room = self.queue.reserve(changes.batch.bytes()).await?;
        self.inner.decided().clear();
        self.queue.submit(changes, room)?.wait().await
    }

    /// What the writer did since the opening.
    pub fn stats(&self) -> Stats {
        self.inner.counters.read()
    }

    /// How often the folder was opened, this time included.
    pub fn boots(&self) -> u64 {
        self.boots
    }
}

/// Counts an opening, in the store and then in the marks.
fn opening(boots: u64) -> Changes {
    let mut batch = Batch::default();
    for (tag, value) in [(NodeTag::Format, u64::from(FORMAT)), (NodeTag::Boots, boots)] {
        let key = MetaKey::Node(tag).to_bytes();
        batch.put_with(Family::Meta, &key, |out| encode_record(&NumberRecord { value }, out));
    }
    Changes { boots: Some(boots), ..Changes::new(batch, Urgency::Synced) }
}

/// Removes everything of a replica but its incarnation.
pub(super) fn replica_wipe(batch: &mut Batch, replica: &Replica) {
    for family in Family::ALL {
        batch.delete_range(family, &keys::shard(replica.shard));
    }
    if let Some(incarnation) = replica.lock().incarnation {
        put_incarnation(batch, replica, incarnation);
    }
}

/// Sets the incarnation of a replica.
pub(super) fn put_incarnation(batch: &mut Batch, replica: &Replica, incarnation: u32) {
    let record = NumberRecord { value: u64::from(incarnation) };
    let key = replica.key(keys::ShardTag::Incarnation);
    batch.put_with(Family::Meta, &key, |out| encode_record(&record, out));
}

/// Runs the writer on a thread of its own, which may block.
fn on_thread(writer: Writer) -> Result<Thread, OpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(Thread::spawn("store-writer", move || runtime.block_on(writer.run()))?)
}
