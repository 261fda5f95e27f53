//! What a replay tells of carts over several shards.

use super::Mode;
use super::orders::Orders;
use crate::cli::Failure;
use earmark_client::Client;
use earmark_client::wire::v1::{BucketRange, ReplicaStatus};
use earmark_ledger::types::{Bucket, Namespace, Sku};
use std::time::{Duration, Instant};

/// How many there were, and how long they were in doubt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carts {
    pub(super) multi_shard: u64,
    pub(super) in_doubt_p99_ms: u64,
    pub(super) in_doubt_max_ms: u64,
}

impl Carts {
    /// Counts by the cluster's own map, and asks its nodes.
    pub(super) async fn read(client: &Client, orders: &Orders, mode: Mode) -> Result<Self, Failure> {
        let multi_shard = match mode {
            Mode::Cart => count(orders, client.namespace(), &client.cluster().routing().await?.ranges),
            Mode::Line => 0,
        };
        let status = client.cluster().status(false).await?;
        let replicas = || status.nodes.iter().flat_map(|node| &node.replicas);
        let highest = |value: fn(&ReplicaStatus) -> u64| replicas().map(value).max().unwrap_or(0);
        Ok(Self {
            multi_shard,
            in_doubt_p99_ms: highest(|replica| replica.in_doubt_p99_ms),
            in_doubt_max_ms: highest(|replica| replica.in_doubt_max_ms),
        })
    }
}

/// What was decided may be on its way to other shards for so long; then something is wrong, and the books will show it.
const REST_MAX: Duration = Duration::from_secs(30);

/// Waits until every cart is decided and every decision has been carried out on all its shards. An answer may come before
/// that, and until then the shards' balances are not those of one moment.
pub(super) async fn at_rest(client: &Client) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let status = client.cluster().status(false).await?;
        let replicas = status.nodes.iter().flat_map(|node| &node.replicas);
        let leaders = replicas.filter(|replica| replica.role == "leader");
        let open: u64 = leaders.map(|replica| replica.unanswered + replica.in_doubt).sum();
        if open == 0 {
            return Ok(());
        }
        if begun.elapsed() > REST_MAX {
            eprintln!("{open} decisions about carts are not carried out after {REST_MAX:?}; their units may seem held");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Baskets whose lines live in more than one shard.
fn count(orders: &Orders, namespace: &str, ranges: &[BucketRange]) -> u64 {
    let namespace = namespace.parse::<Namespace>().unwrap_or_default();
    let shard = |sku: &String| {
        let bucket = Bucket::of(&namespace, &sku.parse::<Sku>().ok()?).number();
        ranges.iter().find(|range| (range.first..=range.last).contains(&u32::from(bucket))).map(|range| range.shard)
    };
    let shards: Vec<Option<u32>> = orders.skus.iter().map(shard).collect();
    let spans = |order: &usize| {
        let mut of_lines = orders.lines[orders.order(*order)].iter().map(|line| shards[orders.pools[line.pool].sku]);
        let first = of_lines.next();
        of_lines.any(|other| Some(other) != first)
    };
    (0..orders.orders).filter(spans).count().try_into().unwrap_or(u64::MAX)
}
