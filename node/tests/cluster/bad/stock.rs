//! Receive and adjust.

use super::{
    roads::{Case, alone, done, refused},
    shapes::{
        DAY_MS, MINUTE_MS, Place, bad_contexts, bad_operation_ids, bad_places, longest_context, now_ms, operation_id,
        tea, with_context, with_operation_id,
    },
    world::{LINE_MAX, POOL_MAX, World},
};
use earmark_client::wire::v1::{self, Code, operation::Body as Asked, operation_result::Body as Answered};

fn receive(place: Place, quantity: i64) -> v1::ReceiveRequest {
    let Place { sku, location, kind, lot } = place;
    v1::ReceiveRequest { sku, location, kind, lot, quantity, ..Default::default() }
}

fn adjust(place: Place, delta: i64) -> v1::AdjustRequest {
    let Place { sku, location, kind, lot } = place;
    v1::AdjustRequest { sku, location, kind, lot, delta, reason: "counted".to_owned(), ..Default::default() }
}

/// What all that changes one pool can have wrong.
pub fn bad_changes(ask: fn(Place) -> Asked, named: fn(String) -> Asked) -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, field) in bad_places() {
        cases.push(Case::field(ask(place), field));
    }
    for namespace in ["a b", "é", "a\n", &"x".repeat(33)] {
        cases.push(Case::field(named(namespace.to_owned()), "namespace"));
    }
    for id in bad_operation_ids() {
        cases.push(Case::field(with_operation_id(&ask(tea()), &id), "operation_id"));
    }
    for (context, field) in bad_contexts() {
        cases.push(Case::field(with_context(&ask(tea()), &context), field));
    }
    let forgotten = operation_id(now_ms() - 30 * DAY_MS, 11);
    cases.push(Case::code(with_operation_id(&ask(tea()), &forgotten), Code::IdempotencyTooOld));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_receipts_are_refused() {
    let world = World::new().await;
    let mut cases = bad_changes(
        |place| Asked::Receive(receive(place, 1)),
        |namespace| Asked::Receive(v1::ReceiveRequest { namespace, ..receive(tea(), 1) }),
    );
    // The pool has ten times the most of a line already, and no pool may have had more than 2^53 in its life.
    for quantity in [0, -1, i64::MIN, POOL_MAX + 1, i64::MAX, POOL_MAX - 10 * LINE_MAX + 1] {
        cases.push(Case::field(Asked::Receive(receive(tea(), quantity)), "quantity"));
    }
    for document in ["x".repeat(65), "a\u{7f}".to_owned()] {
        cases.push(Case::field(Asked::Receive(v1::ReceiveRequest { document, ..receive(tea(), 1) }), "document"));
    }
    refused(&world, &cases).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_adjustments_are_refused() {
    let world = World::new().await;
    let mut cases = bad_changes(
        |place| Asked::Adjust(adjust(place, 1)),
        |namespace| Asked::Adjust(v1::AdjustRequest { namespace, ..adjust(tea(), 1) }),
    );
    for delta in [0, POOL_MAX + 1, -POOL_MAX - 1, i64::MAX, i64::MIN, POOL_MAX - 10 * LINE_MAX + 1] {
        cases.push(Case::field(Asked::Adjust(adjust(tea(), delta)), "delta"));
    }
    for reason in [String::new(), "x".repeat(257), "é".repeat(129), "why\nnot".to_owned()] {
        cases.push(Case::field(Asked::Adjust(v1::AdjustRequest { reason, ..adjust(tea(), 1) }), "reason"));
    }
    let expecting = |units| Asked::Adjust(v1::AdjustRequest { expected_on_hand: Some(units), ..adjust(tea(), 1) });
    for units in [-1, i64::MIN, POOL_MAX + 1] {
        cases.push(Case::field(expecting(units), "expected_on_hand"));
    }
    cases.push(Case::code(expecting(POOL_MAX), Code::VersionStale));
    cases.push(Case::code(Asked::Adjust(adjust(tea(), -10 * LINE_MAX - 1)), Code::InsufficientStock));
    cases.push(Case::code(Asked::Adjust(adjust(tea(), -POOL_MAX)), Code::InsufficientStock));
    for place in [
        Place { sku: "never".to_owned(), ..tea() },
        Place { location: "elsewhere".to_owned(), ..tea() },
        Place { kind: v1::PoolKind::Incoming.into(), ..tea() },
        Place { lot: "x".repeat(32), ..tea() },
    ] {
        cases.push(Case::code(Asked::Adjust(adjust(place, 1)), Code::NotFound));
    }
    refused(&world, &cases).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_at_its_limit_is_done() {
    let world = World::new().await;
    let longest = Place {
        sku: "é".repeat(32),
        location: "l".repeat(32),
        kind: v1::PoolKind::Preorder.into(),
        lot: "t".repeat(32),
    };
    let namespace = "n".repeat(32);
    let ahead = operation_id(now_ms() + 4 * MINUTE_MS, 21);
    let receipt = v1::ReceiveRequest {
        operation_id: ahead,
        namespace: namespace.clone(),
        document: "d".repeat(64),
        context: Some(longest_context()),
        ..receive(longest.clone(), POOL_MAX)
    };
    done(&world, [Asked::Receive(receipt.clone())]).await;
    let Ok(Answered::Receive(again)) = alone(&world.channel, Asked::Receive(receipt)).await else { panic!("again") };
    assert!(again.replayed);
    assert_eq!(again.pool.expect("a pool").on_hand, POOL_MAX);

    let out = v1::AdjustRequest {
        namespace: namespace.clone(),
        reason: "é".repeat(128),
        expected_on_hand: Some(POOL_MAX),
        context: Some(longest_context()),
        ..adjust(longest.clone(), -POOL_MAX)
    };
    done(&world, [Asked::Adjust(out.clone())]).await;
    let more = Asked::Adjust(v1::AdjustRequest { expected_on_hand: Some(0), ..out });
    let told = alone(&world.channel, more).await.expect_err("nothing is left");
    assert_eq!(told.code(), Code::InsufficientStock);
    // What ever came in counts, not what is there.
    let one_more = v1::ReceiveRequest { namespace, ..receive(longest, 1) };
    refused(&world, &[Case::field(Asked::Receive(one_more), "quantity")]).await;
    world.end().await;
}
