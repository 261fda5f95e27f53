//! A request whose every field is bad: all are named at once.

use super::{
    roads::{Case, refused},
    shapes::{DAY_MS, now_ms, operation_id, reservation_id},
    world::World,
};
use earmark_client::wire::v1::{self, Code, operation::Body as Asked};
use prost::bytes::Bytes;

fn context() -> Option<v1::Context> {
    let long = "x".repeat(1_000);
    Some(v1::Context { principal: long.clone(), session: long.clone(), request_id: long.clone(), traceparent: long })
}

const CONTEXT: [&str; 4] = ["context.principal", "context.session", "context.request_id", "context.traceparent"];

fn all(asked: Asked, fields: &[&str]) -> Case {
    let fields = CONTEXT.iter().chain(fields).map(|field| (*field).to_owned()).collect();
    Case { asked, code: Code::InvalidArgument, fields }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_field_is_named_at_once() {
    let world = World::new().await;
    let bad = || "a\n".to_owned();
    let next_year = || operation_id(now_ms() + 365 * DAY_MS, 1);
    let line = v1::Line { sku: bad(), location: bad(), kind: 9, lot: bad(), quantity: 0, minimum: -1 };
    let part = v1::Part { sku: bad(), location: bad(), kind: 9, lot: bad(), quantity: 2_000_000_000 };
    let parts = ["parts[0].sku", "parts[0].location", "parts[0].kind", "parts[0].lot", "parts[0].quantity"];
    let settled: Vec<&str> = ["reservation_id", "operation_id"].into_iter().chain(parts).collect();
    let place = ["namespace", "sku", "location", "kind", "lot", "operation_id"];
    let cases = [
        all(
            Asked::Reserve(v1::ReserveRequest {
                reservation_id: reservation_id(now_ms() + 365 * DAY_MS, 1),
                namespace: bad(),
                lines: vec![line],
                owner: bad(),
                ttl_ms: 1,
                context: context(),
                ..Default::default()
            }),
            &[
                "reservation_id",
                "namespace",
                "lines[0].sku",
                "lines[0].location",
                "lines[0].kind",
                "lines[0].lot",
                "lines[0].quantity",
                "lines[0].minimum",
                "owner",
                "ttl_ms",
            ],
        ),
        all(
            Asked::Commit(v1::CommitRequest {
                reservation_id: Bytes::from_static(b"short"),
                operation_id: next_year(),
                parts: vec![part.clone()],
                context: context(),
                ..Default::default()
            }),
            &settled,
        ),
        all(
            Asked::Release(v1::ReleaseRequest {
                reservation_id: Bytes::from_static(b"short"),
                operation_id: next_year(),
                parts: vec![part],
                context: context(),
                ..Default::default()
            }),
            &settled,
        ),
        all(
            Asked::Extend(v1::ExtendRequest {
                reservation_id: Bytes::from_static(b"short"),
                operation_id: next_year(),
                ttl_ms: 1,
                context: context(),
                ..Default::default()
            }),
            &["reservation_id", "operation_id", "ttl_ms"],
        ),
        all(
            Asked::Receive(v1::ReceiveRequest {
                operation_id: next_year(),
                namespace: bad(),
                sku: bad(),
                location: bad(),
                kind: 9,
                lot: bad(),
                quantity: 0,
                document: bad(),
                context: context(),
                ..Default::default()
            }),
            &[&place[..], &["quantity", "document"]].concat(),
        ),
        all(
            Asked::Adjust(v1::AdjustRequest {
                operation_id: next_year(),
                namespace: bad(),
                sku: bad(),
                location: bad(),
                kind: 9,
                lot: bad(),
                delta: 0,
                reason: bad(),
                expected_on_hand: Some(-1),
                context: context(),
                ..Default::default()
            }),
            &[&place[..], &["delta", "reason", "expected_on_hand"]].concat(),
        ),
        Case {
            asked: Asked::GetStock(v1::GetStockRequest {
                namespace: bad(),
                sku: bad(),
                location: bad(),
                level: 9,
                ..Default::default()
            }),
            code: Code::InvalidArgument,
            fields: ["namespace", "sku", "location", "level"].map(str::to_owned).to_vec(),
        },
        Case {
            asked: Asked::GetReservation(v1::GetReservationRequest { level: 9, ..Default::default() }),
            code: Code::InvalidArgument,
            fields: ["reservation_id", "level"].map(str::to_owned).to_vec(),
        },
    ];
    refused(&world, &cases).await;
    world.end().await;
}
