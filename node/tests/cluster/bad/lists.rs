//! Lists, reads of settings and dry runs.

use super::{
    roads::{Case, alone, refused},
    shapes::{DAY_MS, now_ms, operation_id, reservation_id},
    world::World,
};
use crate::support::line;
use earmark_client::wire::v1::{self, Code, operation::Body as Asked, operation_result::Body as Answered};
use prost::bytes::Bytes;

fn shortages() -> v1::ListShortagesRequest {
    v1::ListShortagesRequest::default()
}

fn transfers() -> v1::ListInTransitRequest {
    v1::ListInTransitRequest { sku: "tea".to_owned(), ..Default::default() }
}

fn owned() -> v1::ListReservationsRequest {
    v1::ListReservationsRequest { owner: "anna".to_owned(), ..Default::default() }
}

fn expiring() -> v1::ListExpiringRequest {
    v1::ListExpiringRequest { within_ms: 1, ..Default::default() }
}

fn settings() -> v1::GetSkuSettingsRequest {
    v1::GetSkuSettingsRequest { sku: "tea".to_owned(), ..Default::default() }
}

fn trying(request: v1::DryRunRequest) -> Asked {
    Asked::DryRun(Box::new(request))
}

fn tried(reserve: v1::ReserveRequest) -> Asked {
    trying(v1::DryRunRequest { reserve: Some(reserve), ..Default::default() })
}

/// What every list can have wrong: namespace, level, size and token.
fn bad_pages() -> Vec<Case> {
    let mut cases = Vec::new();
    let all = |namespace: &str, level: i32, page_size: u32, page_token: Bytes| {
        let namespace = namespace.to_owned();
        let (token, sizes) = (page_token, page_size);
        [
            Asked::ListShortages(v1::ListShortagesRequest {
                namespace: namespace.clone(),
                level,
                page_size: sizes,
                page_token: token.clone(),
                ..shortages()
            }),
            Asked::ListInTransit(v1::ListInTransitRequest {
                namespace: namespace.clone(),
                level,
                page_size: sizes,
                page_token: token.clone(),
                ..transfers()
            }),
            Asked::ListReservations(v1::ListReservationsRequest {
                namespace: namespace.clone(),
                level,
                page_size: sizes,
                page_token: token.clone(),
                ..owned()
            }),
            Asked::ListExpiring(v1::ListExpiringRequest {
                namespace,
                level,
                page_size: sizes,
                page_token: token,
                ..expiring()
            }),
        ]
    };
    for namespace in ["a b", &"x".repeat(33)] {
        cases.extend(all(namespace, 0, 1, Bytes::new()).map(|asked| Case::field(asked, "namespace")));
    }
    for level in [4, -1] {
        cases.extend(all("", level, 1, Bytes::new()).map(|asked| Case::field(asked, "level")));
    }
    for size in [1_001, u32::MAX] {
        cases.extend(all("", 0, size, Bytes::new()).map(|asked| Case::field(asked, "page_size")));
    }
    for token in [vec![1], vec![255; 15], vec![255; 17], vec![255; 24], vec![7; 100_000]] {
        cases.extend(all("", 0, 1, token.into()).map(|asked| Case::field(asked, "page_token")));
    }
    cases
}

fn bad_reads() -> Vec<Case> {
    let mut cases = bad_pages();
    for sku in ["", "te\u{7}a", &"x".repeat(65)] {
        let sku = sku.to_owned();
        let request = v1::ListInTransitRequest { sku: sku.clone(), ..transfers() };
        cases.push(Case::field(Asked::ListInTransit(request), "sku"));
        cases.push(Case::field(Asked::GetSkuSettings(v1::GetSkuSettingsRequest { sku, ..settings() }), "sku"));
    }
    for owner in ["", &"o".repeat(65), "a\n"] {
        let request = v1::ListReservationsRequest { owner: owner.to_owned(), ..owned() };
        cases.push(Case::field(Asked::ListReservations(request), "owner"));
    }
    for within_ms in [0, 31 * DAY_MS + 1, u64::MAX] {
        let request = v1::ListExpiringRequest { within_ms, ..expiring() };
        cases.push(Case::field(Asked::ListExpiring(request), "within_ms"));
    }
    let never = v1::GetSkuSettingsRequest { sku: "never".to_owned(), ..settings() };
    cases.push(Case::code(Asked::GetSkuSettings(never), Code::NotFound));
    let never = v1::ListInTransitRequest { sku: "never".to_owned(), ..transfers() };
    cases.push(Case::code(Asked::ListInTransit(never), Code::NotFound));
    let other = v1::GetSkuSettingsRequest { namespace: "a b".to_owned(), level: 9, ..settings() };
    let fields = ["namespace", "level"].map(str::to_owned).to_vec();
    cases.push(Case { asked: Asked::GetSkuSettings(other), code: Code::InvalidArgument, fields });

    let of = |lines| v1::ReserveRequest { lines, ..Default::default() };
    cases.push(Case::field(trying(v1::DryRunRequest::default()), "reserve.lines"));
    cases.push(Case::field(tried(of(vec![line("tea", 1); 501])), "reserve.lines"));
    cases.push(Case::field(tried(of(vec![line("tea", 0)])), "reserve.lines[0].quantity"));
    cases.push(Case::field(tried(of(vec![line("te\u{7}a", 1)])), "reserve.lines[0].sku"));
    cases.push(Case::field(tried(v1::ReserveRequest { ttl_ms: 1, ..of(vec![line("tea", 1)]) }), "reserve.ttl_ms"));
    let both = v1::DryRunRequest { reserve: Some(of(vec![line("tea", -1)])), level: 9, ..Default::default() };
    let fields = ["level", "reserve.lines[0].quantity"].map(str::to_owned).to_vec();
    cases.push(Case { asked: trying(both), code: Code::InvalidArgument, fields });
    cases
}

/// What is at its limit is answered, and tokens that nobody gave but that could be one.
async fn the_rest_is_answered(world: &World) {
    let most = |page_token: Bytes| {
        [
            Asked::ListInTransit(v1::ListInTransitRequest {
                page_size: 1_000,
                page_token: page_token.clone(),
                ..transfers()
            }),
            Asked::ListReservations(v1::ListReservationsRequest { page_size: 1_000, owner: "o".repeat(64), ..owned() }),
            Asked::ListExpiring(v1::ListExpiringRequest {
                within_ms: 31 * DAY_MS,
                page_size: 1_000,
                page_token: [&u64::MAX.to_be_bytes()[..], &reservation_id(now_ms(), 5)].concat().into(),
                ..expiring()
            }),
            Asked::ListReservations(v1::ListReservationsRequest { page_token: reservation_id(1, 5), ..owned() }),
        ]
    };
    for asked in most(operation_id(now_ms(), 9)) {
        alone(&world.channel, asked.clone()).await.unwrap_or_else(|told| panic!("{asked:?}: {told:?}"));
    }
    let levels = [v1::ReadLevel::Session, v1::ReadLevel::Bounded];
    for level in levels.map(i32::from) {
        let asked = Asked::ListShortages(v1::ListShortagesRequest { level, page_size: 1_000, ..shortages() });
        alone(&world.channel, asked).await.expect("answered");
        let reserve =
            v1::ReserveRequest { lines: vec![line("tea", 1)], reservation_id: vec![1; 3].into(), ..Default::default() };
        let asked = trying(v1::DryRunRequest { reserve: Some(reserve), level, token: None });
        let Ok(Answered::DryRun(told)) = alone(&world.channel, asked).await else {
            panic!("its id counts for nothing")
        };
        assert_eq!((told.refusal, told.lines.len()), (None, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lists_are_refused() {
    let world = World::new().await;
    refused(&world, &bad_reads()).await;
    the_rest_is_answered(&world).await;
    world.end().await;
}
