//! Reads of stock and reservations, and ids made for others.

use super::{
    roads::{Case, alone, ours, refused},
    shapes::{DAY_MS, bad_reservation_ids, now_ms, reservation_id},
    world::World,
};
use earmark_client::wire::v1::{self, Code, operation::Body as Asked};

fn stock() -> v1::GetStockRequest {
    v1::GetStockRequest { sku: "tea".to_owned(), ..Default::default() }
}

async fn bad_reads_are_refused(world: &World) {
    let mut cases = Vec::new();
    for sku in ["", "te\u{7}a", &"x".repeat(65), &"x".repeat(100_000)] {
        cases.push(Case::field(Asked::GetStock(v1::GetStockRequest { sku: sku.to_owned(), ..stock() }), "sku"));
    }
    for location in ["a b", &"x".repeat(33)] {
        let request = v1::GetStockRequest { location: location.to_owned(), ..stock() };
        cases.push(Case::field(Asked::GetStock(request), "location"));
    }
    for namespace in ["a b", &"x".repeat(33)] {
        let request = v1::GetStockRequest { namespace: namespace.to_owned(), ..stock() };
        cases.push(Case::field(Asked::GetStock(request), "namespace"));
    }
    let reservation = |reservation_id| v1::GetReservationRequest { reservation_id, ..Default::default() };
    for level in [4, 77, -1] {
        cases.push(Case::field(Asked::GetStock(v1::GetStockRequest { level, ..stock() }), "level"));
        let request = v1::GetReservationRequest { level, ..reservation(world.most.clone()) };
        cases.push(Case::field(Asked::GetReservation(request), "level"));
    }
    for id in bad_reservation_ids() {
        cases.push(Case::field(Asked::GetReservation(reservation(id)), "reservation_id"));
    }
    for ms in [now_ms(), now_ms() + 365 * DAY_MS, now_ms() - 365 * DAY_MS] {
        cases.push(Case::code(Asked::GetReservation(reservation(reservation_id(ms, 77))), Code::NotFound));
    }
    for request in [
        v1::GetStockRequest { sku: "x".repeat(64), ..stock() },
        v1::GetStockRequest { location: "x".repeat(32), ..stock() },
        v1::GetStockRequest { namespace: "x".repeat(32), ..stock() },
    ] {
        cases.push(Case::code(Asked::GetStock(request), Code::NotFound));
    }
    refused(world, &cases).await;
}

async fn a_token_that_nobody_gave_is_answered_by_the_leader(world: &World) {
    let position = |shard, epoch, index| v1::Position { shard, epoch, index, ordinal: u32::MAX };
    for positions in [
        vec![position(1, 1, u64::MAX)],
        vec![position(1, u32::MAX, 1)],
        vec![position(u32::MAX, 1, 1); 10_000],
        vec![position(1, 0, 0), position(1, 1, 1)],
    ] {
        let request = v1::GetStockRequest {
            level: v1::ReadLevel::Session.into(),
            token: Some(v1::Token { positions }),
            ..stock()
        };
        alone(&world.channel, Asked::GetStock(request)).await.expect("answered");
    }
}

async fn an_id_is_made_of_names_that_make_sense(world: &World) {
    for (namespace, sku, fields) in [
        ("", "", &["sku"][..]),
        ("", "te\u{7}a", &["sku"]),
        ("", &"x".repeat(65), &["sku"]),
        ("a b", "tea", &["namespace"]),
        (&"x".repeat(33), "", &["namespace", "sku"]),
    ] {
        let request = v1::MakeReservationIdRequest { namespace: namespace.to_owned(), sku: sku.to_owned() };
        let told = ours(&world.reservations().make_reservation_id(request).await.expect_err("refused"));
        assert_eq!(told.code(), Code::InvalidArgument);
        let named: Vec<&str> = told.fields.iter().map(|bad| bad.field.as_str()).collect();
        assert_eq!(named, fields);
    }
    let longest = v1::MakeReservationIdRequest { namespace: "n".repeat(32), sku: "x".repeat(64) };
    let made = world.reservations().make_reservation_id(longest).await.expect("made").into_inner();
    assert_eq!((made.reservation_id.len(), made.text.len()), (16, 27));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_ids_are_judged_first() {
    let world = World::new().await;
    bad_reads_are_refused(&world).await;
    a_token_that_nobody_gave_is_answered_by_the_leader(&world).await;
    an_id_is_made_of_names_that_make_sense(&world).await;
    world.end().await;
}
