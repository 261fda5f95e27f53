//! Many operations in one go, by the batch call.
//!
//! The operations are independent of each other: each has its own id, its own tries and its own end. They are sorted by
//! the node they belong to, sent in calls of bounded size, and what has to be tried again is gathered into the next
//! round. For work that comes in bulk; single operations go by the session streams, which gather by themselves.

use crate::call::{self, Limits, Prepared, answer_of, encoded, pick, stamp};
use crate::client::{Client, Shared};
use crate::error::Error;
use crate::link::{ANSWER_BYTES_MAX, Link};
use crate::request::{Answer, Operation, answer};
use crate::retry::{Again, BudgetRule, Next, Progress, TryEnd};
use crate::status;
use crate::wire::{
    BatchRequest,
    v1::{self, operation_result::Body, reservation_service_client::ReservationServiceClient},
};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use prost::Message;
use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tower::retry::budget::Budget;

/// The contract allows 10,000 operations and 4 MiB a call. Smaller calls let a shard's proposer fill while the next is
/// on its way.
const CALL_OPERATIONS_MAX: usize = 4_000;
const CALL_BYTES_MAX: usize = 2 << 20;

/// Between two rounds that the retry budget does not allow.
const DENIED_PAUSE: Duration = Duration::from_secs(1);

/// Calls under way at once.
const CALLS_MAX: usize = 8;

/// One operation of the batch.
struct Item {
    prepared: Box<Prepared>,
    progress: Progress,
    hint: Option<String>,
    end: Option<Result<Answer, Error>>,
}

/// What goes into one call.
struct Call {
    link: Arc<Link>,
    items: Vec<usize>,
    /// Encoded.
    operations: Vec<Bytes>,
}

impl Client {
    /// Does many operations, each for itself, and answers by position. There is no limit on their number, but all of
    /// them together have the client's timeout: some ten thousand at a time is right.
    pub async fn batch(&self, operations: impl IntoIterator<Item = Operation>) -> Vec<Result<Answer, Error>> {
        let shared = &*self.shared;
        let limits = Limits::after(shared, Instant::now(), shared.timeout);
        let mut items: Vec<Item> = operations.into_iter().map(|operation| item(shared, operation)).collect();
        let mut open: Vec<usize> = (0..items.len()).collect();
        while !open.is_empty() {
            let after = self.round(&mut items, &open, limits).await;
            open.retain(|index| items[*index].end.is_none());
            if !open.is_empty() && call::pause(after, limits.deadline).await.is_none() {
                break;
            }
        }
        items.into_iter().map(|item| item.end.unwrap_or_else(|| Err(item.progress.out_of_time()))).collect()
    }

    /// Sends everything open once. Tells how long to wait before the next round: as long as the most patient of those that
    /// remain, so that the round is one again.
    async fn round(&self, items: &mut [Item], open: &[usize], limits: Limits) -> Duration {
        let shared = &*self.shared;
        // Thousands of operations take longer than one, and are dear to send twice.
        let patience = shared.try_timeout.max(shared.timeout / 2);
        let until = limits.deadline.min(Instant::now() + patience);
        let calls = sort(shared, items, open, limits.not_after_ms);
        let mut ended = stream::iter(calls)
            .map(|call| async move {
                let ends = send(&call.link, call.operations, until).await;
                (call.items, ends)
            })
            .buffer_unordered(CALLS_MAX);
        let (mut after, mut budgeted) = (Duration::ZERO, false);
        while let Some((indices, ends)) = ended.next().await {
            for (index, end) in indices.into_iter().zip(ends.each()) {
                let Some(again) = self.conclude(&mut items[index], end) else { continue };
                after = after.max(again.after);
                budgeted |= again.budget != BudgetRule::Free;
            }
        }
        // A round is one call for thousands of tries, so an empty budget slows it down but does not stop it.
        if budgeted && !shared.budget.withdraw() { after.max(DENIED_PAUSE) } else { after }
    }

    /// Notes how a try ended; for one that has to be sent again, tells how.
    fn conclude(&self, item: &mut Item, end: Result<Body, TryEnd>) -> Option<Again> {
        let shared = &*self.shared;
        let end = match end {
            Ok(body) => {
                item.end = Some(answer(self, body, item.prepared.subject));
                return None;
            }
            Err(end) => end,
        };
        match item.progress.ended(end, || shared.environment.random_u64()) {
            Next::Stop(error) => {
                item.end = Some(Err(error));
                None
            }
            Next::Again(mut again) => {
                call::learn(shared, item.prepared.bucket, &again);
                item.hint = again.to.take();
                Some(again)
            }
        }
    }
}

fn item(shared: &Shared, operation: Operation) -> Item {
    shared.deposit();
    let progress = operation.prepared.progress();
    Item { prepared: operation.prepared, progress, hint: None, end: None }
}

/// Which operation goes in which call.
fn sort(shared: &Shared, items: &mut [Item], open: &[usize], not_after_ms: u64) -> Vec<Call> {
    let mut full = Vec::new();
    let mut filling: BTreeMap<String, (Call, usize)> = BTreeMap::new();
    for index in open {
        let item = &mut items[*index];
        let target = pick(shared, &item.prepared, item.hint.take().as_deref());
        stamp(&mut item.prepared.body, &item.progress, &target, not_after_ms);
        let operation = encoded(&item.prepared.body);
        let bytes = operation.len();
        let new = |link| (Call { link, items: Vec::new(), operations: Vec::new() }, 0);
        let (call, size) =
            filling.entry(target.link.endpoint().to_owned()).or_insert_with(|| new(Arc::clone(&target.link)));
        if !call.items.is_empty() && (call.items.len() == CALL_OPERATIONS_MAX || *size + bytes > CALL_BYTES_MAX) {
            let (next, next_size) = new(target.link);
            full.push(std::mem::replace(call, next));
            *size = next_size;
        }
        call.items.push(*index);
        call.operations.push(operation);
        *size += bytes;
    }
    full.extend(filling.into_values().map(|(call, _)| call));
    full
}

/// How the tries of one call ended.
enum Ends {
    /// Each in its own way: still encoded, for what is read of it is large.
    Answered(Vec<Bytes>),
    /// So many, all in the same way.
    Alike(TryEnd, usize),
}

impl Ends {
    fn each(self) -> impl Iterator<Item = Result<Body, TryEnd>> {
        let (answered, alike) = match self {
            Self::Answered(results) => (results, None),
            Self::Alike(end, count) => (Vec::new(), Some(iter::repeat_n(end, count))),
        };
        // What makes no sense of a faulty answer says nothing.
        let read = |bytes: Bytes| answer_of(v1::OperationResult::decode(bytes).unwrap_or_default());
        answered.into_iter().map(read).chain(alike.into_iter().flatten().map(Err))
    }
}

/// One call. As many ends come back as operations went out.
async fn send(link: &Link, operations: Vec<Bytes>, until: Instant) -> Ends {
    let count = operations.len();
    let all = |end: TryEnd| Ends::Alike(end, count);
    let channel = match link.channel() {
        Ok(channel) => channel,
        Err(why) => return all(TryEnd::Unsent(why)),
    };
    let mut stub = ReservationServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut request = tonic::Request::new(BatchRequest { operations });
    request.set_timeout(until.saturating_duration_since(Instant::now()));
    let sent_at = Instant::now();
    match timeout_at(until, stub.batch(request)).await {
        Ok(Ok(answer)) => {
            let mut results = answer.into_inner().results;
            // Operations that a faulty answer left out may have been done.
            results.resize(count, Bytes::new());
            Ends::Answered(results)
        }
        Ok(Err(status)) if status::never_sent(&status) => {
            all(TryEnd::Unsent(format!("{}: {}", link.endpoint(), status::root_cause(&status))))
        }
        Ok(Err(status)) => all(TryEnd::Answered(Box::new(status::judge(&status)))),
        Err(_) => {
            link.note_timeout(sent_at);
            all(TryEnd::Lost(format!("{} gave no answer in time", link.endpoint())))
        }
    }
}
