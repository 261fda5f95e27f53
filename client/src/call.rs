//! Sends one operation by the session streams until it is over: picks the node, stamps the delivery, waits, and asks
//! `retry` what to do next.

use crate::client::Shared;
use crate::error::Error;
use crate::retry::{Again, BudgetRule, Next, Progress, TryEnd};
use crate::routing::Target;
use crate::wire::v1::{self, operation::Body, operation_result};
use bytes::{Bytes, BytesMut};
use earmark_ledger::planted::{self, Bug};
use earmark_ledger::types::Bucket;
use prost::Message;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tower::retry::budget::Budget;

/// An operation ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) body: Body,
    /// Everything about it is routed by this.
    pub(crate) bucket: Bucket,
    pub(crate) subject: Option<crate::error::Subject>,
    /// Its id was made for it just now.
    pub(crate) made_here: bool,
    /// Any replica may answer.
    pub(crate) any_replica: bool,
}

impl Prepared {
    /// Whether it changes the books.
    pub(crate) fn is_effectful(&self) -> bool {
        !matches!(
            self.body,
            Body::GetStock(_)
                | Body::GetReservation(_)
                | Body::GetSkuSettings(_)
                | Body::ListShortages(_)
                | Body::ListInTransit(_)
                | Body::ListReservations(_)
                | Body::ListExpiring(_)
                | Body::DryRun(_)
        )
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress::new(self.subject, self.is_effectful(), self.made_here)
    }
}

/// Until when an operation may be sent and may take effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) deadline: Instant,
    /// The same moment by the servers' clock.
    pub(crate) not_after_ms: u64,
}

impl Limits {
    pub(crate) fn after(shared: &Shared, now: Instant, timeout: Duration) -> Self {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Self { deadline: now + timeout, not_after_ms: shared.time.at(now).0.saturating_add(ms) }
    }
}

/// Sends until there is an end. The body is stamped anew for each try.
pub(crate) async fn run(
    shared: &Shared,
    prepared: &mut Prepared,
    timeout: Duration,
) -> Result<operation_result::Body, Error> {
    let mut since = Instant::now();
    let limits = Limits::after(shared, since, timeout);
    let mut progress = prepared.progress();
    let mut hint: Option<String> = None;
    shared.deposit();
    loop {
        let target = pick(shared, prepared, hint.take().as_deref());
        stamp(&mut prepared.body, &progress, &target, limits.not_after_ms);
        let sent = target.link.send(encoded(&prepared.body), since, limits.deadline).await;
        let end = match sent.and_then(decoded) {
            Ok(body) => return Ok(body),
            Err(end) => end,
        };
        match progress.ended(end, || shared.environment.random_u64()) {
            Next::Stop(error) => return Err(error),
            // Apart: it is rare, and what waits for it is large.
            Next::Again(again) => match Box::pin(wait(shared, prepared.bucket, again, limits.deadline)).await {
                Some(to) => (hint, since) = (to, Instant::now()),
                None => return Err(progress.out_of_time()),
            },
        }
    }
}

/// Which node the coming try goes to.
pub(crate) fn pick(shared: &Shared, prepared: &Prepared, hint: Option<&str>) -> Target {
    let random = shared.environment.random_u64();
    if prepared.any_replica {
        return shared.routing.replica(random);
    }
    let target = shared.routing.leader(prepared.bucket, hint, random);
    if target.leaderless {
        // Whoever is asked sends it on, which costs both nodes ten times as much; and nobody would ever say who leads.
        shared.refresh.notify_one();
    }
    target
}

/// An `Operation` of that body, without the body being moved into one.
pub(crate) fn encoded(body: &Body) -> Bytes {
    let mut bytes = BytesMut::with_capacity(body.encoded_len());
    body.encode(&mut bytes);
    bytes.freeze()
}

/// What an encoded `OperationResult` says.
fn decoded(bytes: Bytes) -> Result<operation_result::Body, TryEnd> {
    match v1::OperationResult::decode(bytes) {
        Ok(result) => answer_of(result),
        Err(error) => Err(TryEnd::Lost(format!("the node's answer can't be read: {error}"))),
    }
}

/// A result without a body says nothing.
pub(crate) fn answer_of(result: v1::OperationResult) -> Result<operation_result::Body, TryEnd> {
    match result.body {
        Some(operation_result::Body::Error(error)) => Err(TryEnd::Answered(Box::new(error))),
        Some(body) => Ok(body),
        None => Err(TryEnd::Lost("the node answered with nothing".to_owned())),
    }
}

/// Writes how this try wants to be delivered into the request.
pub(crate) fn stamp(body: &mut Body, progress: &Progress, target: &Target, not_after_ms: u64) {
    let delivery = v1::Delivery {
        not_after_ms,
        r#try: progress.next_try(),
        fresh: progress.is_fresh(),
        direct: target.direct,
        map_version: target.map_version,
    };
    if let Body::Receive(request) = body
        && planted::on(Bug::RetryUnderNewId)
        && progress.next_try() > 1
    {
        let mut id = request.operation_id.to_vec();
        id.iter_mut().last().into_iter().for_each(|last| *last ^= 1);
        request.operation_id = id.into();
    }
    match body {
        Body::Reserve(request) => request.delivery = Some(delivery),
        Body::Commit(request) => request.delivery = Some(delivery),
        Body::Release(request) => request.delivery = Some(delivery),
        Body::Extend(request) => request.delivery = Some(delivery),
        Body::Receive(request) => request.delivery = Some(delivery),
        Body::Adjust(request) => request.delivery = Some(delivery),
        Body::Replace(request) => request.delivery = Some(delivery),
        Body::MarkPaying(request) => request.delivery = Some(delivery),
        Body::Ship(request) => request.delivery = Some(delivery),
        Body::Cancel(request) => request.delivery = Some(delivery),
        Body::ReturnUnits(request) => request.delivery = Some(delivery),
        Body::GetStock(request) => request.direct = target.direct,
        Body::GetReservation(request) => request.direct = target.direct,
        Body::Set(request) => request.delivery = Some(delivery),
        Body::Count(request) => request.delivery = Some(delivery),
        Body::Quarantine(request) | Body::Unquarantine(request) | Body::WriteOff(request) => {
            request.delivery = Some(delivery);
        }
        Body::Transfer(request) => request.delivery = Some(delivery),
        Body::Arrive(request) => request.delivery = Some(delivery),
        Body::Expect(request) => request.delivery = Some(delivery),
        Body::ConfigureSku(request) => request.delivery = Some(delivery),
        Body::GetSkuSettings(request) => request.direct = target.direct,
        Body::ListInTransit(request) => request.direct = target.direct,
        // Whoever is asked gathers them from all shards.
        Body::ListShortages(_) | Body::ListReservations(_) | Body::ListExpiring(_) | Body::DryRun(_) => {}
    }
}

/// Takes up what the end of a try says of who leads.
pub(crate) fn learn(shared: &Shared, bucket: Bucket, again: &Again) {
    if let Some(endpoint) = &again.to {
        shared.routing.hint(bucket, endpoint);
    }
    if again.refresh {
        shared.refresh.notify_one();
    }
}

/// Waits as told, and for the retry budget. None if the deadline comes first or the budget ends it, else the node to ask.
async fn wait(shared: &Shared, bucket: Bucket, again: Again, deadline: Instant) -> Option<Option<String>> {
    learn(shared, bucket, &again);
    if again.budget == BudgetRule::Ends && !shared.crowd_budget.withdraw() {
        return None;
    }
    if !again.after.is_zero() {
        pause(again.after, deadline).await?;
    }
    while again.budget == BudgetRule::Waits && !shared.budget.withdraw() {
        // So much has failed lately that more tries would only add to it. Waiting costs nobody anything.
        let random_us = shared.environment.random_u64() % 1_000_000;
        pause(Duration::from_micros(random_us), deadline).await?;
    }
    Some(again.to)
}

/// None if the deadline comes before the pause is over: then there is no use in waiting for it.
pub(crate) async fn pause(length: Duration, deadline: Instant) -> Option<()> {
    let end = Instant::now() + length;
    if end >= deadline {
        return None;
    }
    sleep_until(end).await;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_body_is_an_operation() {
        let body = Body::Receive(v1::ReceiveRequest { sku: "lamp-01".to_owned(), quantity: 5, ..Default::default() });
        let operation = v1::Operation { body: Some(body.clone()) };
        assert_eq!(encoded(&body), operation.encode_to_vec());
    }

    #[test]
    fn an_answer_that_says_nothing_is_a_lost_try() {
        assert!(matches!(decoded(Bytes::new()), Err(TryEnd::Lost(_))));
        assert!(matches!(decoded(Bytes::from_static(b"\xff\xff")), Err(TryEnd::Lost(_))));
    }
}
