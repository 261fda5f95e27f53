//! Every limit of a request at its value and one beyond: a typed error that names the field, and nothing changed.

use crate::support::{channel, formed, line, ports, receive};
use earmark_client::{
    status::from_status,
    wire::{
        BatchRequest,
        v1::{self, reservation_service_client::ReservationServiceClient, stock_service_client::StockServiceClient},
    },
};
use earmark_ledger::types::{Bucket, Namespace, ReservationId, Sku, TimeMs};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::{Code, Status, transport::Channel};

const DAY_MS: u64 = 86_400_000;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("64 bits")
}

fn id_of(ms: u64, random: u64) -> Vec<u8> {
    let sku: Sku = "tea".parse().expect("a SKU");
    ReservationId::timed(TimeMs(ms), Bucket::of(&Namespace::default(), &sku), random).to_bytes().to_vec()
}

fn reserve() -> v1::ReserveRequest {
    v1::ReserveRequest { lines: vec![line("tea", 1)], ..Default::default() }
}

/// Lines of the same pool are summed, so five hundred of them need five hundred units.
fn with_lines(count: usize) -> v1::ReserveRequest {
    v1::ReserveRequest { lines: vec![line("tea", 1); count], ..Default::default() }
}

fn error(status: &Status) -> v1::Error {
    from_status(status).unwrap_or_else(|| panic!("no detail of ours: {status}"))
}

/// What each request beyond a limit must be refused with: the code, and a field where one is named.
fn beyond() -> Vec<(v1::ReserveRequest, v1::Code, &'static str)> {
    use v1::Code::{IdempotencyTooOld, InvalidArgument};
    let owner = |bytes: usize| v1::ReserveRequest { owner: "o".repeat(bytes), ..reserve() };
    let ttl = |ttl_ms: u64| v1::ReserveRequest { ttl_ms, ..reserve() };
    let id = |id: Vec<u8>| v1::ReserveRequest { reservation_id: id.into(), ..reserve() };
    let of = |line: v1::Line| v1::ReserveRequest { lines: vec![line], ..Default::default() };
    let session = |session: String| v1::ReserveRequest {
        context: Some(v1::Context { session, ..Default::default() }),
        ..reserve()
    };
    vec![
        (with_lines(0), InvalidArgument, "lines"),
        (with_lines(501), InvalidArgument, "lines"),
        (of(line("tea", 0)), InvalidArgument, "lines[0].quantity"),
        (of(line("tea", -1)), InvalidArgument, "lines[0].quantity"),
        (of(line("tea", i64::MIN)), InvalidArgument, "lines[0].quantity"),
        (of(line("tea", 1_000_000_001)), InvalidArgument, "lines[0].quantity"),
        (of(line("", 1)), InvalidArgument, "lines[0].sku"),
        (of(line("te\u{7}a", 1)), InvalidArgument, "lines[0].sku"),
        (of(line(&"x".repeat(65), 1)), InvalidArgument, "lines[0].sku"),
        (of(v1::Line { location: "a b".to_owned(), ..line("tea", 1) }), InvalidArgument, "lines[0].location"),
        (of(v1::Line { location: "x".repeat(33), ..line("tea", 1) }), InvalidArgument, "lines[0].location"),
        (of(v1::Line { kind: 77, ..line("tea", 1) }), InvalidArgument, "lines[0].kind"),
        (v1::ReserveRequest { namespace: "x".repeat(33), ..reserve() }, InvalidArgument, "namespace"),
        (owner(65), InvalidArgument, "owner"),
        (session("s".repeat(65)), InvalidArgument, "context.session"),
        (ttl(999), InvalidArgument, "ttl_ms"),
        (ttl(31 * DAY_MS + 1), InvalidArgument, "ttl_ms"),
        (ttl(3_650 * DAY_MS), InvalidArgument, "ttl_ms"),
        (id(vec![1; 15]), InvalidArgument, "reservation_id"),
        (id(id_of(now_ms() + 365 * DAY_MS, 1)), InvalidArgument, ""),
        (id(id_of(now_ms() - 30 * DAY_MS, 2)), IdempotencyTooOld, ""),
    ]
}

async fn on_hand(channel: &Channel) -> (i64, i64) {
    let request = v1::GetStockRequest { sku: "tea".to_owned(), ..Default::default() };
    let stock = StockServiceClient::new(channel.clone()).get_stock(request).await.expect("read").into_inner();
    (stock.pools[0].on_hand, stock.pools[0].held)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_holds_at_its_value_and_not_one_beyond() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, _) = formed(folder.path(), &ports, 1).await;
    let channel = channel(&ports).await;
    receive(&channel, "tea", 1_000).await;
    let mut client = ReservationServiceClient::new(channel.clone());

    for (request, code, field) in beyond() {
        let shown = format!("{request:?}").chars().take(300).collect::<String>();
        let status = client.reserve(request).await.expect_err(&shown);
        assert_eq!(status.code(), Code::InvalidArgument, "{shown}");
        let told = error(&status);
        assert_eq!(told.code(), code, "{shown}: {told:?}");
        let named = told.fields.iter().any(|bad| bad.field.contains(field));
        assert!(field.is_empty() || named, "{shown}: {told:?}");
    }
    assert_eq!(on_hand(&channel).await, (1_000, 0), "nothing changed");

    let most = v1::ReserveRequest {
        owner: "o".repeat(64),
        ttl_ms: 31 * DAY_MS,
        reservation_id: id_of(now_ms(), 3).into(),
        context: Some(v1::Context { session: "s".repeat(64), ..Default::default() }),
        ..with_lines(500)
    };
    client.reserve(most.clone()).await.expect("all limits at their value");
    assert!(client.reserve(most.clone()).await.expect("the same again").into_inner().replayed);
    let other = v1::ReserveRequest { ttl_ms: DAY_MS, ..most };
    let told = error(&client.reserve(other).await.expect_err("the same id with another body"));
    assert_eq!(told.code(), v1::Code::IdempotencyConflict);
    assert_eq!(on_hand(&channel).await, (1_000, 500));

    let operation = v1::Operation { body: Some(v1::operation::Body::Reserve(reserve())) };
    let batch: BatchRequest = std::iter::repeat_n(&operation, 10_001).collect();
    let told = error(&client.batch(batch).await.expect_err("too many"));
    assert_eq!(told.fields[0].field, "operations");
    for running in nodes {
        running.stop().await;
    }
}
