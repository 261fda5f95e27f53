//! What must be true whatever happened.

use crate::{
    cluster::{Cluster, eventually},
    load::{Account, LOCATION, RECEIVED, Seeded},
};
use earmark_client::{Client, ReservationState, wire::v1};
use std::collections::{BTreeMap, BTreeSet};

/// Committed reservations that are read back one by one.
const READ_BACK: u64 = 200;

/// On hand, available, held and sold of each SKU.
pub type Balances = BTreeMap<String, (u64, u64, u64, u64)>;

/// Reads every balance, linearizable.
pub async fn balances(client: &Client, skus: &[String]) -> Balances {
    let mut balances = Balances::new();
    for sku in skus {
        let stock = eventually(&format!("the balance of {sku}"), async || {
            client.stock(sku).location(LOCATION).send().await.map_err(|error| error.to_string())
        })
        .await;
        let [pool] = stock.pools.as_slice() else { panic!("{sku} has {} pools", stock.pools.len()) };
        assert_eq!(pool.on_hand + pool.short, pool.available + pool.held + pool.committed + pool.unavailable, "{sku}");
        assert_eq!(pool.received_total, RECEIVED, "{sku}");
        balances.insert(sku.clone(), (pool.on_hand, pool.available, pool.held, pool.sold_total));
    }
    balances
}

/// Exactly what was acknowledged is there: not less, not more.
pub async fn books_agree(client: &Client, skus: &[String], account: &Account, random: &mut Seeded) -> Balances {
    let balances = balances(client, skus).await;
    for sku in skus {
        let sold = account.sold.get(sku).copied().unwrap_or_default();
        let left = RECEIVED - sold;
        assert_eq!(balances[sku], (left, left, 0, sold), "{sku}: on hand, available, held, sold");
    }
    for _ in 0..READ_BACK.min(account.committed.len() as u64) {
        let place = usize::try_from(random.below(account.committed.len() as u64)).expect("small");
        let id = account.committed[place];
        let read = client.reservation(id).send().await.expect("an acknowledged reservation");
        assert_eq!(read.reservation.state, ReservationState::Committed, "{id}");
    }
    balances
}

/// All three replicas of each shard compute the same digest at the same entry. A replica that is still on its way is
/// waited for; one that differs is a failure at once.
pub async fn digests_equal(cluster: &Cluster, asked: u32) -> BTreeMap<u32, String> {
    let shards = eventually("a digest of each replica", async || {
        let compared = cluster.service(asked).compare(v1::CompareRequest {}).await;
        let compared = compared.map_err(|status| status.to_string())?.into_inner();
        for shard in &compared.shards {
            let distinct: BTreeSet<&str> = shard.replicas.iter().map(|replica| replica.digest.as_str()).collect();
            assert!(distinct.len() <= 1, "the replicas of shard {} differ: {shard:?}", shard.shard);
            assert!(shard.replicas.iter().all(|replica| replica.violations == 0), "{shard:?}");
            if shard.replicas.len() < 3 {
                return Err(format!("shard {} has {} digests", shard.shard, shard.replicas.len()));
            }
        }
        if compared.all_equal { Ok(compared.shards) } else { Err("not all shards were compared".to_owned()) }
    })
    .await;
    for node in crate::cluster::NODES {
        let status = cluster.own_status(node).await.expect("it serves");
        for replica in status.replicas {
            assert_eq!((replica.oversold_units, replica.damage.as_str()), (0, ""), "node {node}: {replica:?}");
        }
    }
    shards.into_iter().map(|shard| (shard.shard, shard.replicas[0].digest.clone())).collect()
}
