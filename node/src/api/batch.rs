//! A batch of operations.
//!
//! What needs nothing but the log of a shard that is led here is [waited for together](super::awaited). What needs more is begun
//! after it and done beside. The operations of a batch have no order among them.

use super::{
    BATCH_MAX, Sent,
    awaited::{Awaited, Leaders},
    error,
    operation::{Started, finish_encoded, start_encoded},
};
use crate::router::Router;
use bytes::Bytes;
use earmark_client::wire::{BatchRequest, BatchResponse, v1};
use futures::future::{join, join_all};

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
    let (mut leaders, mut awaited) = (Leaders::default(), Awaited::default());
    let mut others = Vec::new();
    for (place, operation) in (0..).zip(&request.operations) {
        // A call may be sent twice by what is in between.
        let started = match start_encoded(router, operation, Sent::Anywhere, now, &map) {
            Started::Command(prepared) => match awaited.begin(router, &mut leaders, place, prepared) {
                Ok(()) => continue,
                Err(prepared) => Started::Command(prepared),
            },
            other => other,
        };
        others.push(async move { (place, finish_encoded(router, started).await) });
    }
    drop(request);
    let mut results = vec![Bytes::new(); count];
    let (of_awaited, of_others) = join(all(router, awaited), join_all(others)).await;
    for (place, result) in of_awaited.into_iter().chain(of_others) {
        if let Some(of_place) = usize::try_from(place).ok().and_then(|place| results.get_mut(place)) {
            *of_place = result;
        }
    }
    Ok(BatchResponse { results })
}

/// What came of all of them, each with its place.
async fn all(router: &Router, mut awaited: Awaited) -> Vec<(u64, Bytes)> {
    let (mut results, mut unsettled) = (Vec::with_capacity(awaited.len()), Vec::new());
    while !awaited.is_empty() {
        for decided in awaited.next(router).await {
            if decided.is_settled() {
                results.push(decided.told());
            } else {
                // All of these wait at the same time.
                unsettled.push(async move { decided.settled().await.told() });
            }
        }
    }
    results.extend(join_all(unsettled).await);
    results
}
