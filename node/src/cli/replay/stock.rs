//! The stock under the orders: receiving it, and reading every balance.

use super::crowd;
use super::orders::Orders;
use super::persist::{Asking, End, PATIENCE};
use crate::cli::Failure;
use earmark_client::{Answer, Client, Error, OperationId, PoolKind};
use indicatif::ProgressBar;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Receipts of one batch.
const BATCH: usize = 8_000;

/// Reads in flight.
const READS: usize = 256;

/// What a pool had at one time. A pool that does not exist has nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) on_hand: u64,
    pub(super) available: u64,
    pub(super) held: u64,
    pub(super) committed: u64,
    pub(super) unavailable: u64,
    pub(super) short: u64,
    pub(super) received_total: u64,
    pub(super) sold_total: u64,
}

/// Reads every balance, by pool.
pub(super) async fn read_all(client: &Client, orders: &Orders, bar: &ProgressBar) -> Result<Vec<Balance>, Failure> {
    let pools: HashMap<(usize, String), usize> =
        orders.pools.iter().enumerate().map(|(index, pool)| ((pool.sku, pool.location.clone()), index)).collect();
    let pools = Arc::new(pools);
    let skus: Arc<[String]> = orders.skus.clone().into();
    let balances = Arc::new(Mutex::new(vec![Balance::default(); orders.pools.len()]));
    let (client, shared_bar, filled) = (client.clone(), bar.clone(), Arc::clone(&balances));
    crowd::each(skus.len(), READS, move |sku| {
        let (client, bar, balances) = (client.clone(), shared_bar.clone(), Arc::clone(&filled));
        let (pools, skus) = (Arc::clone(&pools), Arc::clone(&skus));
        async move {
            let mut asking = Asking::begin();
            let end = loop {
                if let Some(end) = asking.told(client.stock(skus[sku].as_str()).send().await).await? {
                    break end;
                }
            };
            // A SKU that nobody ever received is refused as not found: all its balances are 0.
            if let End::Done(stock) = end {
                let mut balances = balances.lock().unwrap_or_else(PoisonError::into_inner);
                for pool in stock.pools.into_iter().filter(|pool| pool.kind == PoolKind::Now && pool.lot.is_empty()) {
                    if let Some(index) = pools.get(&(sku, pool.location.clone())) {
                        balances[*index] = Balance::from(pool);
                    }
                }
            }
            bar.inc(1);
            Ok(())
        }
    })
    .await?;
    bar.finish_and_clear();
    let balances = balances.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(balances)
}

impl From<earmark_client::Pool> for Balance {
    fn from(pool: earmark_client::Pool) -> Self {
        Self {
            on_hand: pool.on_hand,
            available: pool.available,
            held: pool.held,
            committed: pool.committed,
            unavailable: pool.unavailable,
            short: pool.short,
            received_total: pool.received_total,
            sold_total: pool.sold_total,
        }
    }
}

/// Receives so many units into each pool, in batches, each receipt under an id of its own.
pub(super) async fn receive(
    client: &Client,
    orders: &Orders,
    receipts: &[u64],
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let pools: Vec<usize> = (0..receipts.len()).filter(|pool| receipts[*pool] > 0).collect();
    for batch in pools.chunks(BATCH) {
        let mut open: Vec<(usize, OperationId)> =
            batch.iter().map(|pool| (*pool, client.make_operation_id())).collect();
        let give_up = Instant::now() + PATIENCE;
        loop {
            let last = send(client, orders, receipts, &mut open, bar).await?;
            let Some(error) = last else { break };
            if Instant::now() >= give_up {
                return Err(error.into());
            }
            sleep(error.retry_after().unwrap_or(Duration::from_millis(100))).await;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Sends what is open. What is done is taken out; if something is left that is worth another ask, tells why.
async fn send(
    client: &Client,
    orders: &Orders,
    receipts: &[u64],
    open: &mut Vec<(usize, OperationId)>,
    bar: &ProgressBar,
) -> Result<Option<Error>, Failure> {
    let operations = open.iter().map(|(index, id)| {
        let pool = &orders.pools[*index];
        let receive = client.receive(orders.skus[pool.sku].as_str(), pool.location.as_str(), receipts[*index]);
        receive.document("replay").id(*id).operation()
    });
    let operations = operations.collect::<Result<Vec<_>, Error>>()?;
    let mut last = None;
    let mut left = Vec::new();
    for (receipt, answer) in open.iter().zip(client.batch(operations).await) {
        match answer {
            Ok(Answer::Stocked(_)) => bar.inc(1),
            Ok(_) => return Err(Failure::local("a receipt was answered with something else")),
            // A receipt that is unknown or was not possible just now is asked for again with its id.
            Err(error) if error.is_retryable() || error.is_unknown() => {
                left.push(*receipt);
                last = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    *open = left;
    Ok(last)
}
