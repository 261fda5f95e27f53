//! Commit, release and extend.

use super::{
    roads::{Case, done, refused},
    shapes::{
        DAY_MS, MINUTE_MS, bad_contexts, bad_operation_ids, bad_places, bad_reservation_ids, longest_context, now_ms,
        operation_id, reservation_id, tea, with_context, with_operation_id,
    },
    world::{LINE_MAX, World},
};
use earmark_client::wire::v1::{self, Code, operation::Body as Asked};
use prost::bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) fn part(quantity: i64) -> v1::Part {
    let place = tea();
    v1::Part { sku: place.sku, location: place.location, kind: place.kind, lot: place.lot, quantity }
}

/// One that no other request of these tests has.
pub(super) fn fresh() -> Bytes {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    operation_id(now_ms() - DAY_MS + NEXT.fetch_add(1, Ordering::Relaxed), 9)
}

fn commit(id: &Bytes, parts: Vec<v1::Part>) -> Asked {
    let operation_id = fresh();
    Asked::Commit(v1::CommitRequest { reservation_id: id.clone(), operation_id, parts, ..Default::default() })
}

fn release(id: &Bytes, parts: Vec<v1::Part>) -> Asked {
    let operation_id = fresh();
    Asked::Release(v1::ReleaseRequest { reservation_id: id.clone(), operation_id, parts, ..Default::default() })
}

fn extend(id: &Bytes, ttl_ms: u64) -> Asked {
    Asked::Extend(v1::ExtendRequest { reservation_id: id.clone(), ttl_ms, ..Default::default() })
}

/// What both commit and release can have wrong.
fn bad_settlements(id: &Bytes, ask: fn(&Bytes, Vec<v1::Part>) -> Asked) -> Vec<Case> {
    let mut cases = Vec::new();
    for bad in bad_reservation_ids() {
        cases.push(Case::field(ask(&bad, Vec::new()), "reservation_id"));
    }
    for quantity in [0, -1, i64::MIN, LINE_MAX + 1, i64::MAX] {
        cases.push(Case::field(ask(id, vec![part(1), part(quantity)]), "parts[1].quantity"));
    }
    for (place, field) in bad_places() {
        let bad = v1::Part { sku: place.sku, location: place.location, kind: place.kind, lot: place.lot, quantity: 1 };
        cases.push(Case::field(ask(id, vec![bad]), format!("parts[0].{field}")));
    }
    cases.push(Case::field(ask(id, vec![part(1); 501]), "parts"));
    // Bad or not, parts beyond the limit are told by one complaint.
    cases.push(Case::field(ask(id, vec![part(0); 501]), "parts"));
    cases.push(Case::field(ask(id, vec![v1::Part::default(); 100_000]), "parts"));
    let in_parts = ask(id, vec![part(1)]);
    cases.push(Case::field(with_operation_id(&in_parts, &Bytes::new()), "operation_id"));
    cases.extend(ids_and_contexts(&in_parts));
    // Not refused for its form: nothing is known by that name, or too much is asked.
    cases.push(Case::code(ask(&reservation_id(now_ms(), 77), Vec::new()), Code::NotFound));
    cases.push(Case::field(ask(&reservation_id(now_ms() + 365 * DAY_MS, 77), Vec::new()), "reservation_id"));
    cases.push(Case::code(ask(&reservation_id(now_ms() - 365 * DAY_MS, 77), Vec::new()), Code::IdempotencyTooOld));
    let elsewhere = v1::Part { location: "elsewhere".to_owned(), ..part(1) };
    cases.push(Case::code(ask(id, vec![elsewhere]), Code::NotFound));
    cases.push(Case::code(ask(id, vec![part(501)]), Code::InsufficientStock));
    cases.push(Case::code(ask(id, vec![part(LINE_MAX); 500]), Code::InsufficientStock));
    cases
}

pub(super) fn ids_and_contexts(asked: &Asked) -> Vec<Case> {
    let mut cases = Vec::new();
    for id in bad_operation_ids() {
        cases.push(Case::field(with_operation_id(asked, &id), "operation_id"));
    }
    for (context, field) in bad_contexts() {
        cases.push(Case::field(with_context(asked, &context), field));
    }
    let forgotten = operation_id(now_ms() - 30 * DAY_MS, 11);
    cases.push(Case::code(with_operation_id(asked, &forgotten), Code::IdempotencyTooOld));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_commits_and_releases_are_refused() {
    let world = World::new().await;
    refused(&world, &bad_settlements(&world.five_hundred, commit)).await;
    refused(&world, &bad_settlements(&world.five_hundred, release)).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_extensions_are_refused() {
    let world = World::new().await;
    let id = &world.five_hundred;
    let mut cases: Vec<Case> =
        bad_reservation_ids().iter().map(|bad| Case::field(extend(bad, 60_000), "reservation_id")).collect();
    for ttl_ms in [0, 999, 31 * DAY_MS + 1, 3_650 * DAY_MS, u64::MAX] {
        cases.push(Case::field(extend(id, ttl_ms), "ttl_ms"));
    }
    cases.extend(ids_and_contexts(&extend(id, 60_000)));
    cases.push(Case::code(extend(id, 31 * DAY_MS), Code::ExtensionLimit));
    cases.push(Case::code(extend(&reservation_id(now_ms(), 77), 60_000), Code::NotFound));
    cases.push(Case::code(extend(&reservation_id(now_ms() - 365 * DAY_MS, 77), 60_000), Code::IdempotencyTooOld));
    refused(&world, &cases).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_at_its_limit_is_done() {
    let world = World::new().await;
    let ahead = operation_id(now_ms() + 4 * MINUTE_MS, 21);
    let shortest = with_context(&extend(&world.five_hundred, 1_000), &longest_context());
    let half =
        |ask: fn(&Bytes, Vec<v1::Part>) -> Asked, id: &Bytes, parts| with_context(&ask(id, parts), &longest_context());
    let keep = |asked: Asked| match asked {
        Asked::Commit(request) => Asked::Commit(v1::CommitRequest { keep_rest: true, ..request }),
        other => other,
    };
    done(
        &world,
        [
            with_operation_id(&shortest, &ahead),
            // Parts of one line are summed: 500 of them are 250 units, twice.
            keep(half(commit, &world.five_hundred, vec![part(1); 250])),
            half(release, &world.five_hundred, vec![part(1); 250]),
            with_operation_id(&half(commit, &world.most, vec![part(LINE_MAX)]), &fresh()),
        ],
    )
    .await;
    let whole = World::new().await;
    done(&whole, [commit(&whole.five_hundred, vec![part(1); 500]), release(&whole.most, vec![part(LINE_MAX)])]).await;
    whole.end().await;
    world.end().await;
}
