//! Disks that lose what they had. The damaged node notices, does not vote, says what happened; the others go on; a
//! re-seed under load brings it back under its next incarnation.

use crate::{
    admitted,
    checks::{books_agree, digests_equal},
    cluster::{Cluster, NODES, eventually},
    load::{Account, Load, Seeded, receive, skus},
    wal,
};
use earmark_client::{
    Client,
    wire::v1::{self, NodeHealth},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

/// Stock shards.
const SHARDS: u32 = 4;
/// Callers at a time.
const CALLERS: u64 = 16;
/// What a node synced this long ago is remembered by its peers; the design promises a second at most.
const QUIET: Duration = Duration::from_secs(1);

/// What is done to the disk of a stopped node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    LogDeleted,
    LastRecordCut,
    BitFlipped,
    TablesFlipped,
    OlderCopy,
    Emptied,
}

/// How often the node's store was opened since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    Once,
    Again,
}

impl Damage {
    /// What is done to which node. A store that was opened before has its older part in tables, and keeps it.
    const STORIES: [(Self, u32, Opened); 7] = [
        (Self::LogDeleted, 1, Opened::Once),
        (Self::LogDeleted, 2, Opened::Again),
        (Self::LastRecordCut, 3, Opened::Again),
        (Self::BitFlipped, 1, Opened::Again),
        (Self::TablesFlipped, 2, Opened::Again),
        (Self::OlderCopy, 2, Opened::Again),
        (Self::Emptied, 3, Opened::Once),
    ];

    fn inflict(self, data: &Path, older: &Path) {
        let store = data.join("store");
        match self {
            Self::LogDeleted => wal::files(&store).iter().for_each(|file| fs::remove_file(file).expect("removed")),
            Self::LastRecordCut => {
                let (file, log) = newest(&store);
                let last = wal::records(&log).into_iter().rfind(wal::Record::has_log_entry).expect("an entry");
                fs::write(file, &log[..last.place.end - 3]).expect("cut");
            }
            Self::BitFlipped => {
                let (file, mut log) = newest(&store);
                let records = wal::records(&log);
                let middle = records[..records.len() / 2].iter().rfind(|record| record.has_log_entry());
                let place = &middle.expect("an entry in the first half").place;
                log[(place.start + place.end) / 2] ^= 0x10;
                fs::write(file, log).expect("flipped");
            }
            // Wherever the state's records are. What is found when it is opened, and what only when they are read, must come to the same.
            Self::TablesFlipped => {
                let files = fs::read_dir(&store).expect("a folder").map(|file| file.expect("a file").path());
                let tables: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "sst")).collect();
                assert!(!tables.is_empty());
                for path in tables {
                    let mut table = fs::read(&path).expect("read");
                    let place = table.len() / 4;
                    table[place] ^= 0x10;
                    fs::write(path, table).expect("flipped");
                }
            }
            Self::OlderCopy => {
                fs::remove_dir_all(data).expect("removed");
                copy(older, data);
            }
            Self::Emptied => {
                fs::remove_dir_all(data).expect("removed");
                fs::create_dir(data).expect("made");
            }
        }
    }

    /// What the reason must speak of.
    fn told(self) -> &'static [&'static str] {
        match self {
            Self::LogDeleted | Self::LastRecordCut | Self::BitFlipped => &["expected", "found"],
            Self::TablesFlipped => &["can't be read"],
            Self::OlderCopy => &["remembers"],
            Self::Emptied => &["empty"],
        }
    }
}

fn newest(store: &Path) -> (std::path::PathBuf, Vec<u8>) {
    let file = wal::newest(store);
    let log = fs::read(&file).expect("read");
    (file, log)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a file");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// A cluster, what was sold in it, and which incarnation each node is in.
struct Story {
    cluster: Cluster,
    client: Client,
    skus: Vec<String>,
    random: Seeded,
    account: Account,
    incarnations: BTreeMap<u32, u32>,
}

impl Story {
    async fn begin() -> Self {
        let random = Seeded::from_environment();
        let cluster = Cluster::formed(SHARDS, "").await;
        let client = cluster.client().await;
        let skus = skus(12);
        receive(&client, &skus).await;
        let incarnations = NODES.map(|node| (node, 1)).into();
        Self { cluster, client, skus, random, account: Account::default(), incarnations }
    }

    fn load(&mut self) -> Load {
        Load::start(&self.client, &self.skus, CALLERS, &mut self.random)
    }

    async fn sell(&mut self, reservations: u64) {
        let load = Load::run(&self.client, &self.skus, CALLERS, reservations, &mut self.random);
        self.account.add(load.finish().await);
    }

    async fn restart(&mut self, node: u32) {
        self.cluster.start(node);
        self.cluster.health(node, NodeHealth::Serving).await;
    }

    /// Stops a node, damages its disk, and starts it again.
    async fn damage(&mut self, node: u32, damage: Damage, opened: Opened) {
        let older = self.cluster.scratch("older");
        if opened == Opened::Again {
            self.cluster.kill(node);
            if damage == Damage::OlderCopy {
                copy(&self.cluster.data(node), &older);
            }
            self.restart(node).await;
        }
        self.sell(300).await;
        // Every replica has what was sold, and the peers have heard of it.
        digests_equal(&self.cluster, node).await;
        tokio::time::sleep(QUIET).await;
        self.cluster.kill(node);
        damage.inflict(&self.cluster.data(node), &older);
        self.cluster.start(node);
    }

    /// The others' status shows what happened; nothing of the node is open; it answers nobody.
    async fn is_doubted(&self, node: u32, damage: Damage) {
        let other = NODES.into_iter().find(|other| *other != node).expect("three nodes");
        let status = eventually(&format!("node {other} shows node {node} as doubted"), async || {
            let nodes = self.cluster.status(other, false).await?;
            let status = nodes.into_iter().find(|status| status.node == node).ok_or("it is not named")?;
            let text = format!("{:?} {}", status.health(), status.detail);
            if status.health() == NodeHealth::Doubted { Ok(status) } else { Err(text) }
        })
        .await;
        eprintln!("{damage:?}: {}", status.detail);
        for word in damage.told() {
            assert!(status.detail.contains(word), "{damage:?}: `{}` does not say `{word}`", status.detail);
        }
        assert!(status.detail.contains("reseed"), "{damage:?}: `{}` does not say what to do", status.detail);
        assert!(status.replicas.iter().all(|replica| replica.role == "none"), "{damage:?}: {:?}", status.replicas);
        let mut stock = v1::stock_service_client::StockServiceClient::new(self.cluster.channel(node));
        let request = v1::GetStockRequest { sku: self.skus[0].clone(), ..Default::default() };
        let refused = stock.get_stock(request).await.expect_err("a doubted node serves nothing");
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{damage:?}: {refused}");
    }

    /// Without the doubted node's vote one healthy node is no majority.
    async fn does_not_vote(&mut self, node: u32) {
        let other = NODES.into_iter().find(|other| *other != node).expect("three nodes");
        self.cluster.kill(other);
        let third = NODES.into_iter().find(|third| *third != node && *third != other).expect("three nodes");
        let alone = Client::builder().endpoint(self.cluster.endpoint(third)).timeout(Duration::from_secs(5));
        let alone = alone.connect().await.expect("it answers");
        let refused = alone.reserve().line(&self.skus[0], crate::load::LOCATION, 1).send().await;
        let Err(error) = refused else { panic!("no majority, and yet it was done") };
        assert!(error.is_retryable(), "{error:?}");
        if error.is_unknown() {
            // It may lie in the log of the node that was alone, and be decided later: settle what it came to.
            let id = error.reservation_id().expect("it names its id");
            self.restart(other).await;
            self.account.settle(&self.client, id, &self.skus[0]).await;
        } else {
            self.restart(other).await;
        }
    }

    async fn reseed(&mut self, node: u32) {
        let mut steps = self.client.cluster().reseed(node).await.expect("begun");
        let mut done = BTreeSet::new();
        while let Some(step) = steps.next().await.expect("the reseed goes on") {
            assert_eq!(step.shards_total, SHARDS + 1);
            assert_eq!(step.incarnation, self.incarnations[&node] + 1, "{step:?}");
            if step.step == "done" {
                done.insert(step.shard);
            }
        }
        assert_eq!(done, (0..=SHARDS).collect());
        *self.incarnations.get_mut(&node).expect("a node") += 1;
        let status = self.cluster.health(node, NodeHealth::Serving).await;
        assert_eq!(status.replicas.len(), done.len());
        for replica in &status.replicas {
            assert_eq!(replica.incarnation, self.incarnations[&node], "{replica:?}");
        }
    }

    /// Begins a re-seed of a node at `conductor`, and leaves it alone in the middle of the second shard.
    async fn reseed_in_part(&self, conductor: u32, node: u32) {
        let asked = self.cluster.service(conductor).reseed(v1::ReseedRequest { node }).await;
        let mut steps = asked.expect("begun").into_inner();
        while let Some(step) = steps.message().await.expect("the reseed goes on") {
            if step.shards_done == 1 && step.step == "adding" {
                return;
            }
        }
        panic!("the reseed ended");
    }

    /// Re-seeds the node with another one as conductor, to the end.
    async fn reseed_from(&self, conductor: u32, node: u32) {
        let asked = self.cluster.service(conductor).reseed(v1::ReseedRequest { node }).await;
        let mut steps = asked.expect("begun").into_inner();
        let mut done = 0;
        while let Some(step) = steps.message().await.expect("the reseed goes on") {
            eprintln!("from node {conductor}: {step:?}");
            assert_ne!(step.step == "done", done == step.shards_done, "one more with each that is done, and only then");
            done = step.shards_done;
        }
    }

    /// Kills leaders until each node has led a shard.
    async fn everyone_can_lead(&mut self) {
        let mut seen = BTreeSet::new();
        eventually("each node leads a shard", async || {
            seen.extend(self.cluster.leaders().await.into_values());
            if seen.len() == NODES.len() {
                return Ok(());
            }
            let leader = self.cluster.busiest().await;
            self.cluster.kill(leader);
            seen.extend(self.cluster.leaders().await.into_values());
            self.restart(leader).await;
            Err(format!("only {seen:?} led one"))
        })
        .await;
    }
}

/// Incarnation of each replica of a node, by shard, as one of its peers' status shows them.
async fn incarnations(cluster: &Cluster, asked: u32, node: u32) -> BTreeMap<u32, u32> {
    let nodes = cluster.status(asked, false).await.expect("it answers");
    let status = nodes.into_iter().find(|status| status.node == node).expect("it is named");
    status.replicas.iter().map(|replica| (replica.shard, replica.incarnation)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reseed_that_broke_off_is_taken_up_again() {
    let _admitted = admitted().await;
    let mut story = Story::begin().await;
    let (conductor, other, node) = (1, 2, 3);
    story.damage(node, Damage::Emptied, Opened::Once).await;
    story.is_doubted(node, Damage::Emptied).await;
    let load = story.load();

    // Who conducts it is killed; the node waits, and says for what.
    story.reseed_in_part(conductor, node).await;
    story.cluster.kill(conductor);
    story.restart(conductor).await;
    let status = story.cluster.health(node, NodeHealth::Starting).await;
    assert!(status.detail.contains("reseed"), "{}", status.detail);
    let first = incarnations(&story.cluster, conductor, node).await;
    assert!(!first.is_empty() && first.len() < 1 + SHARDS as usize, "in the middle: {first:?}");

    // The node itself is killed. What it has is not all that its peers know of: doubted again.
    story.reseed_in_part(other, node).await;
    story.cluster.kill(node);
    story.cluster.start(node);
    story.cluster.health(node, NodeHealth::Doubted).await;

    // Two conduct it at once, beside the one that was left half-way and may still be at it: each gets to the end.
    tokio::join!(story.reseed_from(conductor, node), story.reseed_from(other, node));
    story.cluster.health(node, NodeHealth::Serving).await;
    let last = incarnations(&story.cluster, conductor, node).await;
    assert_eq!(last.len(), 1 + SHARDS as usize);
    for (shard, incarnation) in &last {
        let before = first.get(shard).copied().unwrap_or(1);
        assert!(*incarnation > before, "shard {shard}: incarnation {incarnation} after {before}");
    }
    load.goes_on(100).await;
    let sold = load.end().await;
    story.account.add(sold);
    books_agree(&story.client, &story.skus, &story.account, &mut story.random).await;
    digests_equal(&story.cluster, node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_disk_is_noticed_and_reseeded_under_load() {
    let _admitted = admitted().await;
    let mut story = Story::begin().await;
    for (damage, node, opened) in Damage::STORIES {
        eprintln!("--- {damage:?} on node {node}");
        story.damage(node, damage, opened).await;
        story.is_doubted(node, damage).await;
        if damage == Damage::OlderCopy {
            story.does_not_vote(node).await;
        }
        let load = story.load();
        load.goes_on(100).await;
        story.is_doubted(node, damage).await;
        story.reseed(node).await;
        load.goes_on(100).await;
        let sold = load.end().await;
        story.account.add(sold);
        digests_equal(&story.cluster, node).await;
    }
    story.everyone_can_lead().await;
    books_agree(&story.client, &story.skus, &story.account, &mut story.random).await;
    digests_equal(&story.cluster, 1).await;
}
