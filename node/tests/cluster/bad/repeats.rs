//! Ids used twice, tries that are not counted, and ends of patience in the past and the future.

use super::{
    roads::{Case, alone, done, refused},
    shapes::{DAY_MS, delivered, now_ms, operation_id, reservation_id, with_operation_id},
    world::World,
};
use crate::support::line;
use earmark_client::wire::v1::{self, Code, operation::Body as Asked, operation_result::Body as Answered};
use prost::bytes::Bytes;

fn mutations(world: &World, id: u8) -> Vec<Asked> {
    let operation = |add: u8| operation_id(now_ms(), id.wrapping_mul(16) + add);
    let part = v1::Part { sku: "tea".to_owned(), location: "main".to_owned(), quantity: 1, ..Default::default() };
    let most = world.most.clone();
    vec![
        Asked::Reserve(v1::ReserveRequest {
            reservation_id: reservation_id(now_ms(), id.into()),
            lines: vec![line("tea", 1)],
            ..Default::default()
        }),
        Asked::Commit(v1::CommitRequest {
            reservation_id: most.clone(),
            operation_id: operation(1),
            parts: vec![part.clone()],
            keep_rest: true,
            ..Default::default()
        }),
        Asked::Release(v1::ReleaseRequest {
            reservation_id: most.clone(),
            operation_id: operation(2),
            parts: vec![part],
            ..Default::default()
        }),
        Asked::Extend(v1::ExtendRequest {
            reservation_id: most,
            operation_id: operation(3),
            ttl_ms: 60_000,
            ..Default::default()
        }),
        Asked::Receive(v1::ReceiveRequest {
            operation_id: operation(4),
            sku: "tea".to_owned(),
            location: "main".to_owned(),
            quantity: 1,
            ..Default::default()
        }),
        Asked::Adjust(v1::AdjustRequest {
            operation_id: operation(5),
            sku: "tea".to_owned(),
            location: "main".to_owned(),
            delta: 1,
            reason: "counted".to_owned(),
            ..Default::default()
        }),
    ]
}

fn replayed(answered: &Answered) -> bool {
    match answered {
        Answered::Reserve(answer) => answer.replayed,
        Answered::Commit(answer) => answer.replayed,
        Answered::Release(answer) => answer.replayed,
        Answered::Extend(answer) => answer.replayed,
        Answered::Receive(answer) => answer.replayed,
        Answered::Adjust(answer) => answer.replayed,
        other => panic!("no mutation: {other:?}"),
    }
}

/// The same id with another body.
fn other_body(asked: Asked) -> Asked {
    match asked {
        Asked::Reserve(request) => Asked::Reserve(v1::ReserveRequest { lines: vec![line("tea", 2)], ..request }),
        Asked::Commit(request) => Asked::Commit(v1::CommitRequest { keep_rest: false, ..request }),
        Asked::Release(mut request) => {
            request.parts[0].quantity = 2;
            Asked::Release(request)
        }
        Asked::Extend(request) => Asked::Extend(v1::ExtendRequest { ttl_ms: 61_000, ..request }),
        Asked::Receive(request) => Asked::Receive(v1::ReceiveRequest { quantity: 2, ..request }),
        Asked::Adjust(request) => Asked::Adjust(v1::AdjustRequest { delta: -1, ..request }),
        read => read,
    }
}

async fn one_id_has_one_body_and_one_effect(world: &World) {
    let asked = mutations(world, 1);
    done(world, asked.clone()).await;
    let before = world.seen().await;
    for again in &asked {
        let answered = alone(&world.channel, again.clone()).await.expect("the first answer again");
        assert!(replayed(&answered), "{again:?}");
    }
    world.unchanged_since(&before).await;
    let mut conflicts: Vec<Case> =
        asked.iter().map(|asked| Case::code(other_body(asked.clone()), Code::IdempotencyConflict)).collect();
    // The id of one operation under another of another kind.
    let received = operation_id(now_ms(), 9);
    done(world, [with_operation_id(&asked[4], &received)]).await;
    for other in [1, 2, 3, 5] {
        conflicts.push(Case::code(with_operation_id(&asked[other], &received), Code::IdempotencyConflict));
    }
    refused(world, &conflicts).await;
}

async fn what_may_be_forgotten_is_never_run_again(world: &World) {
    let old = operation_id(now_ms() - 30 * DAY_MS, 3);
    let mut cases: Vec<Case> = mutations(world, 2)
        .iter()
        .skip(1)
        .map(|asked| Case::code(with_operation_id(asked, &old), Code::IdempotencyTooOld))
        .collect();
    for ms in [0, 1, now_ms() - 30 * DAY_MS] {
        let Asked::Reserve(request) = mutations(world, 2).remove(0) else { panic!("the first is a reserve") };
        let request = v1::ReserveRequest { reservation_id: reservation_id(ms, 3), ..request };
        cases.push(Case::code(Asked::Reserve(request), Code::IdempotencyTooOld));
    }
    refused(world, &cases).await;
}

async fn patience_that_is_over_is_late_and_endless_patience_is_cut(world: &World) {
    let late = |not_after_ms| v1::Delivery { not_after_ms, ..Default::default() };
    let mut cases = Vec::new();
    for not_after_ms in [1, now_ms() - 365 * DAY_MS, now_ms() - 1_000] {
        for asked in mutations(world, 3) {
            cases.push(Case::code(delivered(&asked, late(not_after_ms)), Code::Late));
        }
    }
    refused(world, &cases).await;
    for (id, not_after_ms) in [(4, u64::MAX), (5, now_ms() + 365 * DAY_MS)] {
        for asked in mutations(world, id) {
            done(world, [delivered(&asked, late(not_after_ms))]).await;
        }
    }
}

async fn a_try_that_is_not_counted_is_the_first(world: &World) {
    for (id, number) in [(6, 0), (7, u32::MAX)] {
        for asked in mutations(world, id) {
            let delivery = v1::Delivery { r#try: number, fresh: true, ..Default::default() };
            let asked = delivered(&asked, delivery);
            done(world, [asked.clone()]).await;
            let again = alone(&world.channel, asked).await.expect("the first answer again");
            assert!(replayed(&again));
        }
    }
}

async fn without_ids_the_server_makes_them(world: &World) {
    for asked in mutations(world, 8) {
        let asked = match asked {
            Asked::Reserve(request) => Asked::Reserve(v1::ReserveRequest { reservation_id: Bytes::new(), ..request }),
            // Parts need an id of the caller's own.
            Asked::Commit(_) | Asked::Release(_) => continue,
            other => with_operation_id(&other, &Bytes::new()),
        };
        for _ in 0..2 {
            let answered = alone(&world.channel, asked.clone()).await.expect("done");
            assert!(!replayed(&answered), "without an id there is no repeat");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_tries_are_counted_once() {
    let world = World::new().await;
    one_id_has_one_body_and_one_effect(&world).await;
    what_may_be_forgotten_is_never_run_again(&world).await;
    patience_that_is_over_is_late_and_endless_patience_is_cut(&world).await;
    a_try_that_is_not_counted_is_the_first(&world).await;
    without_ids_the_server_makes_them(&world).await;
    world.end().await;
}
