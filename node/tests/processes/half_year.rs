//! Half a year of real orders, with the leader of most shards killed twice on the way and everyone at the end.
//!
//! `EARMARK_TEST_ORDERS=orders.csv.gz EARMARK_TEST_BINARY=target/release/earmark \
//! cargo test --package earmark-node --test processes half_year -- --ignored --nocapture`

use crate::{
    admitted,
    checks::digests_equal,
    cluster::{Cluster, NODES, binary, eventually},
};
use earmark_client::{Client, Pool, wire::v1::NodeHealth};
use flate2::read::MultiGzDecoder;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Lines in flight.
const CONCURRENCY: &str = "64";

/// Reads in flight.
const READS: usize = 64;

/// One of so many SKUs is looked at to see how far the replay is.
const SAMPLED: usize = 100;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A replay that sells nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(180);

/// Units asked for, by SKU.
type Asked = BTreeMap<String, u64>;

/// Every pool of every SKU, as it is told.
type Balances = BTreeMap<String, Vec<Pool>>;

/// Reads the orders apart from the replay: SKUs and units.
fn read(path: &Path) -> Asked {
    let mut rows = csv::Reader::from_reader(MultiGzDecoder::new(File::open(path).expect("the orders")));
    let header = rows.headers().expect("a header").clone();
    let column = |name: &str| header.iter().position(|column| column == name).expect(name);
    let (sku, units) = (column("product_id"), column("quantity"));
    let mut asked = Asked::new();
    for row in rows.records() {
        let row = row.expect("a row");
        // Rows without units are no orders.
        if let Ok(units @ 1..) = row[units].parse::<u64>() {
            *asked.entry(row[sku].to_owned()).or_default() += units;
        }
    }
    asked
}

async fn pools(client: &Client, sku: &str) -> Vec<Pool> {
    eventually(&format!("the stock of {sku}"), async || {
        match client.stock(sku).send().await {
            Ok(stock) => Ok(stock.pools),
            // Not received yet.
            Err(error) if error.code() == earmark_client::Code::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

async fn balances(client: &Client, skus: impl Iterator<Item = &String>) -> Balances {
    let reads = skus.map(|sku| async move { Ok::<_, String>((sku.clone(), pools(client, sku).await)) });
    stream::iter(reads).buffer_unordered(READS).try_collect().await.expect("read")
}

fn sold(balances: &Balances) -> u64 {
    balances.values().flatten().map(|pool| pool.sold_total).sum()
}

fn replay(cluster: &Cluster, orders: &Path) -> Child {
    let endpoints = NODES.map(|node| cluster.endpoint(node)).join(",");
    let mut command = Command::new(binary());
    command.args(["--endpoints", &endpoints, "--output", "json", "replay", "--mode", "line"]);
    command.args(["--concurrency", CONCURRENCY]).arg(orders);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("started")
}

/// Waits until `share` thirds of the sample are sold, while the replay goes on.
async fn thirds(client: &Client, sample: &Asked, share: u64, replay: &mut Child) {
    let goal = sample.values().sum::<u64>() * share / 3;
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let now = sold(&balances(client, sample.keys()).await);
        assert!(replay.try_wait().expect("asked").is_none(), "the replay ended after {now} of {goal}");
        if now >= goal {
            eprintln!("{now} units of the sample are sold, {goal} were waited for");
            return;
        }
        if now > last {
            (last, moved) = (now, Instant::now());
        }
        assert!(moved.elapsed() < SILENCE_MAX, "nothing is sold any more: {now} of {goal}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: half a year of orders; EARMARK_TEST_ORDERS names the file"]
async fn half_a_year_of_orders_survives_its_leaders() {
    let _admitted = admitted().await;
    let orders = PathBuf::from(std::env::var_os("EARMARK_TEST_ORDERS").expect("EARMARK_TEST_ORDERS names the file"));
    let asked = read(&orders);
    let sample: Asked = asked.iter().step_by(SAMPLED).map(|(sku, units)| (sku.clone(), *units)).collect();
    let mut cluster = Cluster::formed(8, "").await;
    let client = cluster.client().await;
    let begun = Instant::now();
    let mut running = replay(&cluster, &orders);
    for share in [1, 2] {
        thirds(&client, &sample, share, &mut running).await;
        let leader = cluster.busiest().await;
        eprintln!("{:.0?}: SIGKILL of node {leader}", begun.elapsed());
        cluster.kill(leader);
        // The others elect leaders and go on before it comes back.
        let before = sold(&balances(&client, sample.keys()).await);
        eventually("it goes on", async || {
            let now = sold(&balances(&client, sample.keys()).await);
            if now > before { Ok(()) } else { Err(format!("{now} units are sold")) }
        })
        .await;
        assert!(running.try_wait().expect("asked").is_none(), "the replay ended too early for this test");
        cluster.start(leader);
        cluster.health(leader, NodeHealth::Serving).await;
    }
    let told = running.wait_with_output().expect("ended");
    let report: serde_json::Value = serde_json::from_slice(&told.stdout).expect("a report");
    eprintln!("{:.0?}: {report:#}", begun.elapsed());
    for (key, value) in [
        ("oversold_units", serde_json::json!(0)),
        ("conserved", serde_json::json!(true)),
        ("digest_equal", serde_json::json!(true)),
        ("reservations_unknown", serde_json::json!(0)),
    ] {
        assert_eq!(report[key], value, "{key}");
    }
    assert!(told.status.success(), "{}", told.status);
    digests_equal(&cluster, 1).await;

    let before = balances(&client, asked.keys()).await;
    assert_eq!(Some(sold(&before)), report["units_committed"].as_u64(), "the books and what the replay was told");
    assert_eq!(sold(&before), asked.values().sum::<u64>(), "with stock for all, all is sold");
    for node in NODES {
        cluster.kill(node);
    }
    for node in NODES {
        cluster.start(node);
    }
    for node in NODES {
        cluster.health(node, NodeHealth::Serving).await;
    }
    let after = balances(&client, asked.keys()).await;
    eprintln!("{} pools of {} SKUs were read", after.values().map(Vec::len).sum::<usize>(), after.len());
    for (sku, pools) in &before {
        assert_eq!(&after[sku], pools, "{sku}");
    }
    assert_eq!(after.len(), before.len());
    digests_equal(&cluster, 2).await;
}
