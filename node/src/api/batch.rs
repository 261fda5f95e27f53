//! A batch of operations.
//!
//! Most of a batch is answered with the entry it went into, thousands at a time. So what needs nothing but the log of a shard
//! that is led here is put into its queue at once and waited for one after the other, without a task or a waker for each.
//! What needs more is begun after it and done beside. The operations of a batch have no order among them.

use super::{
    BATCH_MAX, Sent, error,
    operation::{Prepared, Started, Waiting, begin, finish_encoded, start_encoded},
};
use crate::router::{Leader, Router};
use bytes::Bytes;
use earmark_client::wire::{BatchRequest, BatchResponse, v1};
use earmark_ledger::types::ShardId;
use futures::future::{join, join_all};
use std::collections::BTreeMap;

/// Does many independent operations.
///
/// # Errors
/// INVALID_ARGUMENT if there are too many.
pub(super) async fn execute(router: &Router, request: BatchRequest) -> Result<BatchResponse, v1::Error> {
    let count = request.operations.len();
    if count > BATCH_MAX {
        let problem = format!("has {count} entries, at most {BATCH_MAX} are allowed");
        return Err(error::invalid_field("operations", problem));
    }
    let (now, map) = (router.server_time(), router.map());
    let mut leaders = Leaders::default();
    let (mut waiting, mut others) = (Vec::with_capacity(count), Vec::new());
    for (place, operation) in request.operations.into_iter().enumerate() {
        // A call may be sent twice by what is in between.
        let started = match start_encoded(router, &operation, Sent::Anywhere, now, &map) {
            Started::Command(prepared) => match leaders.begin(router, prepared) {
                Ok(begun) => {
                    waiting.push((place, begun));
                    continue;
                }
                Err(prepared) => Started::Command(prepared),
            },
            other => other,
        };
        others.push(async move { (place, finish_encoded(router, started).await) });
    }
    // Nobody is waited for beyond the time of another that has less.
    waiting.sort_by_key(|(_, waiting)| waiting.deadline());
    let mut results = vec![Bytes::new(); count];
    let (of_waiting, of_others) = join(wait_for_all(router, waiting), join_all(others)).await;
    for (place, result) in of_waiting.into_iter().chain(of_others) {
        results[place] = result;
    }
    Ok(BatchResponse { results })
}

/// Who leads each shard, asked once for all of a batch.
#[derive(Default)]
struct Leaders(BTreeMap<ShardId, Leader>);

impl Leaders {
    /// Puts a command into the queue of its shard, if that is all there is to do.
    fn begin(&mut self, router: &Router, prepared: Prepared) -> Result<Waiting, Prepared> {
        let shard = prepared.shard();
        match self.0.entry(shard).or_insert_with(|| router.leader(shard)) {
            Leader::Here(replica) => begin(replica, prepared),
            Leader::There(_) => Err(prepared),
        }
    }
}

/// Each with its place.
async fn wait_for_all(router: &Router, waiting: Vec<(usize, Waiting)>) -> Vec<(usize, Bytes)> {
    let (mut results, mut unsettled) = (Vec::with_capacity(waiting.len()), Vec::new());
    for (place, waiting) in waiting {
        let decided = waiting.decided(router).await;
        if decided.is_settled() {
            results.push((place, decided.told()));
        } else {
            // All of these wait at the same time.
            unsettled.push(async move { (place, decided.settled().await.told()) });
        }
    }
    results.extend(join_all(unsettled).await);
    results
}
