//! A node: its store, its replicas, and what state it is in.
//!
//! `Node` is shared by everything that serves; `lib.rs` starts one. Replicas are opened when the node is sure that its
//! store lost nothing, or under a next incarnation when it did.

use crate::{
    config::Config,
    environment::Environment,
    formation::Formation,
    peer::{bulk::Bulk, links::Links},
    shard::{Replica, raft::ReplicaId},
    stamp::Clocks,
    storage::{Store, StoreError},
};
use earmark_ledger::types::ShardId;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, RwLock},
};
use tokio::{sync::watch, time::Instant};

/// How long a damaged leader may take to find a successor.
const YIELD_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// What a node is able to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Waits for its peers to say what they remember of it.
    Starting,
    /// Waits for `earmark init`.
    Unformed,
    /// Serves.
    Serving,
    /// Its store lost something or can't be read: it does not vote and waits to be re-seeded.
    Doubted(String),
    /// Its damaged store was set aside, and its replicas come back one by one.
    Reseeding,
    /// A write or sync failed: nothing is served until the process starts anew.
    Poisoned(String),
}

impl Health {
    /// For people.
    pub fn detail(&self) -> String {
        match self {
            Self::Starting => "waits for its peers to say what they remember of it".to_owned(),
            Self::Unformed => "waits for `earmark init`".to_owned(),
            Self::Serving => String::new(),
            Self::Reseeding => {
                "is being re-seeded; if nothing goes on, run `earmark admin reseed` again: it continues".to_owned()
            }
            Self::Doubted(reason) | Self::Poisoned(reason) => reason.clone(),
        }
    }
}

/// One node of a cluster.
pub struct Node {
    config: Config,
    environment: Environment,
    links: Links,
    clocks: Arc<Clocks>,
    store: RwLock<Option<Store>>,
    formation: RwLock<Option<Arc<Formation>>>,
    replicas: RwLock<BTreeMap<ShardId, Arc<Replica>>>,
    /// Why a replica is not open, per shard.
    closed: Mutex<BTreeMap<ShardId, String>>,
    health: watch::Sender<Health>,
    /// One forming or re-seeding at a time.
    changing: tokio::sync::Mutex<()>,
    /// True once it stops.
    stopping: watch::Sender<bool>,
    started: Instant,
}

impl Node {
    /// A node that has not looked at its store yet.
    pub fn new(config: Config, environment: Environment) -> Arc<Self> {
        let endpoints = config.nodes.iter().map(|(node, peer)| (*node, peer.peer.clone())).collect();
        let bulk = Bulk::new(config.limits.snapshot_chunk_bytes, config.limits.snapshot_bytes_per_second);
        let links = Links::new(config.node, environment.network.clone(), endpoints, bulk);
        let clocks = Clocks::new(environment.clock.clone(), config.nodes.len(), config.limits.clock_bound);
        Arc::new(Self {
            links,
            clocks: Arc::new(clocks),
            store: RwLock::default(),
            formation: RwLock::default(),
            replicas: RwLock::default(),
            closed: Mutex::default(),
            health: watch::channel(Health::Starting).0,
            changing: tokio::sync::Mutex::default(),
            stopping: watch::channel(false).0,
            started: Instant::now(),
            config,
            environment,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its doors to the outside.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Its connections to peers.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// What it knows of its peers' clocks.
    pub fn clocks(&self) -> &Arc<Clocks> {
        &self.clocks
    }

    /// Ends what it has with its peers for as long as both live.
    pub fn end_lasting(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether it stops, as that changes.
    pub fn watch_stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What it is able to do.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// What it is able to do, as it changes.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Changes what it is able to do. Poisoned stays; from doubted it comes back by being re-seeded only.
    pub fn set_health(&self, health: Health) {
        self.health.send_if_modified(|now| {
            let leaves = match now {
                Health::Poisoned(_) => false,
                Health::Doubted(_) => matches!(health, Health::Reseeding | Health::Poisoned(_)),
                _ => true,
            };
            let changes = leaves && *now != health;
            if changes {
                match &health {
                    Health::Doubted(reason) | Health::Poisoned(reason) => {
                        tracing::error!(reason, "this node serves no longer");
                    }
                    other => tracing::info!(health = ?other, "health"),
                }
                *now = health;
            }
            changes
        });
    }

    /// Its store, once it is open.
    pub fn store(&self) -> Option<Store> {
        self.store.read().expect("no panic holds it").clone()
    }

    /// Takes over an opened store; a failed write in it poisons the node. One that finds bytes which it did not write is to be
    /// trusted no more, and reading them again would not help: it is doubted.
    pub fn set_store(self: &Arc<Self>, store: Store) {
        let mut poison = store.poison();
        let node = Arc::downgrade(self);
        tokio::spawn(async move {
            while poison.changed().await.is_ok() {
                let error = poison.borrow().clone();
                if let (Some(error), Some(node)) = (error, node.upgrade()) {
                    let number = node.config.node;
                    node.set_health(match error {
                        StoreError::Corrupt { .. } => Health::Doubted(format!(
                            "the store can't be read ({error}); run `earmark admin reseed {number}` against a healthy node"
                        )),
                        _ => Health::Poisoned(format!(
                            "a write to the store failed ({error}); repair the disk and start the process anew"
                        )),
                    });
                    node.close_replicas().await;
                    return;
                }
            }
        });
        *self.store.write().expect("no panic holds it") = Some(store);
    }

    /// Closes the store: what waits is written, its files are let go of.
    pub async fn close_store(&self) {
        let store = self.store.write().expect("no panic holds it").take();
        if let Some(store) = store {
            store.close().await;
        }
    }

    /// How the cluster began, once this node belongs to one.
    pub fn formation(&self) -> Option<Arc<Formation>> {
        self.formation.read().expect("no panic holds it").clone()
    }

    /// Notes which cluster this node belongs to.
    pub fn set_formation(&self, formation: Formation) {
        self.links.set_cluster(formation.cluster());
        *self.formation.write().expect("no panic holds it") = Some(Arc::new(formation));
    }

    /// Held while the node's place in the cluster changes.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// The replica of a shard, if it is open and not damaged.
    pub fn replica(&self, shard: ShardId) -> Option<Arc<Replica>> {
        let replica = self.replicas.read().expect("no panic holds it").get(&shard).cloned()?;
        (!replica.core().is_damaged()).then_some(replica)
    }

    /// All open replicas, damaged ones included.
    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        self.replicas.read().expect("no panic holds it").values().cloned().collect()
    }

    /// Why a replica is not open.
    pub fn closed(&self) -> BTreeMap<ShardId, String> {
        self.closed.lock().expect("no panic holds it").clone()
    }

    /// Notes why a replica is not open.
    pub fn set_closed(&self, shard: ShardId, why: impl Into<String>) {
        self.closed.lock().expect("no panic holds it").insert(shard, why.into());
    }

    /// Opens the replica of a shard under the incarnation its store has; what goes wrong is noted as its damage.
    pub async fn open_replica(self: &Arc<Self>, shard: ShardId) -> Option<Arc<Replica>> {
        let store = self.store()?.replica(shard);
        let Some(incarnation) = store.incarnation() else {
            self.set_closed(shard, "it was never opened here");
            return None;
        };
        let id = ReplicaId { node: self.config.node, incarnation };
        let witness = self.environment.witness.clone();
        match Replica::open(shard, id, store, &self.config, &self.links, &self.clocks, witness).await {
            Ok(replica) => {
                self.closed.lock().expect("no panic holds it").remove(&shard);
                self.replicas.write().expect("no panic holds it").insert(shard, replica.clone());
                self.guard(&replica);
                if shard != ShardId::META {
                    let router = crate::router::Router::new(self.clone());
                    tokio::spawn(crate::courier::run(router.clone(), Arc::downgrade(&replica)));
                    if let Some(questions) = replica.take_questions() {
                        tokio::spawn(crate::inquiry::run(router, Arc::downgrade(&replica), questions));
                    }
                }
                Some(replica)
            }
            Err(error) => {
                tracing::error!(%shard, %error, "a replica can't be opened");
                self.set_closed(shard, error.to_string());
                None
            }
        }
    }

    /// Hands every shard led here to another voter, where one can lead. Gives how many were.
    pub async fn hand_over(&self, deadline: Instant) -> usize {
        let replicas = self.replicas();
        let handed = futures::future::join_all(replicas.iter().map(|replica| replica.hand_over(deadline))).await;
        handed.into_iter().flatten().count()
    }

    /// Stops a replica as soon as it is found damaged; one that leads yields first.
    fn guard(self: &Arc<Self>, replica: &Arc<Replica>) {
        let mut damage = replica.core().damage();
        let (node, replica) = (Arc::downgrade(self), Arc::downgrade(replica));
        // What was found before anyone looked is found too.
        if damage.borrow().is_some() {
            damage.mark_changed();
        }
        tokio::spawn(async move {
            while damage.changed().await.is_ok() {
                let found = damage.borrow().clone();
                if let (Some(found), Some(replica)) = (found, replica.upgrade()) {
                    if let Some(node) = node.upgrade() {
                        node.set_closed(replica.shard(), found.reason.to_string());
                    }
                    let noted = async {
                        if found.lasting
                            && let Err(error) = replica.core().store().note_damage(&found.reason).await
                        {
                            // The store is poisoned then and the process starts anew: the next digest finds it again.
                            tracing::error!(shard = %replica.shard(), %error, "the damage could not be noted");
                        }
                    };
                    // It serves no more since it was found; a successor shortens the gap.
                    tokio::join!(noted, replica.hand_over(Instant::now() + YIELD_PATIENCE));
                    replica.close().await;
                    return;
                }
            }
        });
    }

    /// Closes one replica, if it is open.
    pub async fn close_replica(&self, shard: ShardId) {
        let replica = self.replicas.write().expect("no panic holds it").remove(&shard);
        if let Some(replica) = replica {
            replica.close().await;
        }
    }

    /// Closes every replica.
    pub async fn close_replicas(&self) {
        let replicas = std::mem::take(&mut *self.replicas.write().expect("no panic holds it"));
        for replica in replicas.into_values() {
            replica.close().await;
        }
    }

    /// Becomes a member of a new cluster: keeps the formation, opens empty replicas, begins the shards this node is to
    /// lead.
    ///
    /// # Errors
    /// For people.
    pub async fn take_part(self: &Arc<Self>, formation: Formation) -> Result<(), String> {
        let _changing = self.changing().await;
        if self.health() != Health::Unformed {
            return Err("it is not waiting to be formed".to_owned());
        }
        if !formation.nodes.iter().any(|node| node.node == self.config.node) {
            return Err(format!("node {} is not in the formation", self.config.node));
        }
        let store = self.store().ok_or("its store is not open")?;
        for shard in formation.shards() {
            store.replica(shard).create(1).await.map_err(|error| error.to_string())?;
        }
        // Last: an identity says that every replica was created.
        store.set_identity(formation.identity(self.config.node)).await.map_err(|error| error.to_string())?;
        self.set_formation(formation);
        self.serve().await;
        Ok(())
    }

    /// Opens every replica that is not open and serves. Whoever calls it holds [`changing`](Self::changing): two that open one replica
    /// would make two of it, with one log.
    pub async fn serve(self: &Arc<Self>) {
        let Some(formation) = self.formation() else { return };
        for shard in formation.shards() {
            if self.replica(shard).is_none() {
                self.open_replica(shard).await;
            }
        }
        self.set_health(Health::Serving);
        tokio::spawn(begin_shards(Arc::downgrade(self), formation));
    }
}

/// Begins the shards whose first leader this node is, and writes the first map. Both are done until they are seen to be
/// done, because the peers may come later.
async fn begin_shards(node: std::sync::Weak<Node>, formation: Arc<Formation>) {
    use earmark_ledger::{
        command::{Body, Command, Context, Meta},
        types::TimeMs,
    };
    use std::time::Duration;
    loop {
        let Some(node) = node.upgrade() else { return };
        let mut settled = true;
        for shard in formation.shards() {
            if formation.first_leader(shard) != node.config.node {
                continue;
            }
            let Some(replica) = node.replica(shard) else { continue };
            // Only a first incarnation may begin a shard: a later one joins what exists.
            if replica.id().incarnation == 1 && !replica.is_initialized().await {
                settled = false;
                if let Err(error) = replica.initialize(&formation.voters()).await {
                    tracing::warn!(%shard, error, "the shard is not begun yet");
                }
            }
        }
        if let Some(meta) = node.replica(ShardId::META)
            && meta.hot().ledger.meta().is_none()
        {
            settled = false;
            if meta.is_leader() {
                let command = Command {
                    context: Context::default(),
                    not_after: TimeMs::MAX,
                    attempt: 1,
                    heard: false,
                    body: Body::Meta(Meta::Form(formation.command())),
                };
                let deadline = Instant::now() + Duration::from_secs(5);
                if let Err(failure) = meta.propose(Box::new(command), false, deadline).await {
                    tracing::debug!(?failure, "the first map is not written yet");
                }
            }
        }
        if settled {
            return;
        }
        drop(node);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
