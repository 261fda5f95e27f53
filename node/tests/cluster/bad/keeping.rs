//! What the keepers of the stock ask: each limit at its value and one beyond, and repeats.

use super::{
    roads::{Case, alone, done, refused},
    shapes::{
        DAY_MS, MINUTE_MS, Place, bad_contexts, bad_operation_ids, delivered, longest_context, now_ms, operation_id,
        tea, with_context, with_operation_id,
    },
    stock::bad_changes,
    world::{LINE_MAX, POOL_MAX, World},
};
use earmark_client::wire::v1::{
    self, Code, count_request::Observed, operation::Body as Asked, operation_result::Body as Answered,
};
use prost::bytes::Bytes;

fn set(place: Place, on_hand: i64) -> v1::SetRequest {
    let Place { sku, location, kind, lot } = place;
    let reason = "stocktaking".to_owned();
    v1::SetRequest { sku, location, kind, lot, on_hand, r#override: true, reason, ..Default::default() }
}

fn count(place: Place, counted: i64) -> v1::CountRequest {
    let Place { sku, location, kind, lot } = place;
    v1::CountRequest { sku, location, kind, lot, counted, ..Default::default() }
}

fn quarantine(place: Place, quantity: i64) -> v1::QuarantineRequest {
    let Place { sku, location, kind, lot } = place;
    v1::QuarantineRequest { sku, location, kind, lot, quantity, reason: "wet".to_owned(), ..Default::default() }
}

fn transfer(place: Place, quantity: i64) -> v1::TransferRequest {
    let Place { sku, location, kind, lot } = place;
    v1::TransferRequest { sku, location, kind, lot, to: "shop".to_owned(), quantity, ..Default::default() }
}

fn arrive(received: i64) -> v1::ArriveRequest {
    let transfer_id = operation_id(now_ms(), 77);
    v1::ArriveRequest { sku: "tea".to_owned(), transfer_id, received, ..Default::default() }
}

fn expect(place: Place, quantity: i64) -> v1::ExpectRequest {
    let Place { sku, location, kind, lot } = place;
    let document = "order".to_owned();
    v1::ExpectRequest { sku, location, kind, lot, quantity, document, date_ms: 1, ..Default::default() }
}

fn configuring(request: v1::ConfigureSkuRequest) -> Asked {
    Asked::ConfigureSku(Box::new(request))
}

fn configure(settings: v1::SkuSettings) -> v1::ConfigureSkuRequest {
    v1::ConfigureSkuRequest { sku: "set-up".to_owned(), settings: Some(settings), ..Default::default() }
}

fn bad_reasons() -> Vec<String> {
    vec!["x".repeat(257), "é".repeat(129), "why\nnot".to_owned()]
}

fn bad_sets() -> Vec<Case> {
    let mut cases = bad_changes(
        |place| Asked::Set(set(place, 1)),
        |namespace| Asked::Set(v1::SetRequest { namespace, ..set(tea(), 1) }),
    );
    for on_hand in [-1, i64::MIN, POOL_MAX + 1, i64::MAX] {
        cases.push(Case::field(Asked::Set(set(tea(), on_hand)), "on_hand"));
    }
    let neither = v1::SetRequest { r#override: false, ..set(tea(), 1) };
    cases.push(Case::field(Asked::Set(neither.clone()), "expected_on_hand"));
    let both = v1::SetRequest { expected_on_hand: Some(1), ..set(tea(), 1) };
    cases.push(Case::field(Asked::Set(both), "expected_on_hand"));
    for units in [-1, POOL_MAX + 1] {
        let bad = v1::SetRequest { expected_on_hand: Some(units), ..neither.clone() };
        cases.push(Case::field(Asked::Set(bad), "expected_on_hand"));
    }
    let stale = v1::SetRequest { expected_on_hand: Some(POOL_MAX), ..neither };
    cases.push(Case::code(Asked::Set(stale), Code::VersionStale));
    for reason in bad_reasons().into_iter().chain([String::new()]) {
        cases.push(Case::field(Asked::Set(v1::SetRequest { reason, ..set(tea(), 1) }), "reason"));
    }
    cases
}

fn bad_counts() -> Vec<Case> {
    let mut cases = bad_changes(
        |place| Asked::Count(count(place, 1)),
        |namespace| Asked::Count(v1::CountRequest { namespace, ..count(tea(), 1) }),
    );
    for counted in [-1, i64::MIN, POOL_MAX + 1, i64::MAX] {
        cases.push(Case::field(Asked::Count(count(tea(), counted)), "counted"));
    }
    let seen = |observed| Asked::Count(v1::CountRequest { observed: Some(observed), ..count(tea(), 1) });
    for time in [now_ms() + MINUTE_MS, now_ms() + 6 * MINUTE_MS, u64::MAX] {
        cases.push(Case::field(seen(Observed::ObservedTimeMs(time)), "observed_time_ms"));
    }
    let position = |shard, epoch, index| v1::Position { shard, epoch, index, ordinal: u32::MAX };
    for bad in [position(0, 0, 0), position(2, 1, 1), position(u32::MAX, 1, 1), position(1, 1, u64::MAX)] {
        cases.push(Case::field(seen(Observed::ObservedPosition(bad)), "observed_position"));
    }
    for other in [position(1, 0, 1), position(1, u32::MAX, 1)] {
        cases.push(Case::code(seen(Observed::ObservedPosition(other)), Code::PositionExpired));
    }
    for document in ["x".repeat(65), "a\u{7f}".to_owned()] {
        cases.push(Case::field(Asked::Count(v1::CountRequest { document, ..count(tea(), 1) }), "document"));
    }
    for reason in bad_reasons() {
        cases.push(Case::field(Asked::Count(v1::CountRequest { reason, ..count(tea(), 1) }), "reason"));
    }
    cases
}

fn bad_quarantines() -> Vec<Case> {
    let mut cases = bad_changes(
        |place| Asked::Quarantine(quarantine(place, 1)),
        |namespace| Asked::WriteOff(v1::QuarantineRequest { namespace, ..quarantine(tea(), 1) }),
    );
    cases.extend(bad_changes(
        |place| Asked::Unquarantine(quarantine(place, 1)),
        |namespace| Asked::Unquarantine(v1::QuarantineRequest { namespace, ..quarantine(tea(), 1) }),
    ));
    for step in [Asked::Quarantine, Asked::Unquarantine, Asked::WriteOff] {
        for quantity in [0, -1, i64::MIN, POOL_MAX + 1] {
            cases.push(Case::field(step(quarantine(tea(), quantity)), "quantity"));
        }
        for reason in bad_reasons() {
            cases.push(Case::field(step(v1::QuarantineRequest { reason, ..quarantine(tea(), 1) }), "reason"));
        }
        cases.push(Case::code(step(quarantine(tea(), POOL_MAX)), Code::InsufficientStock));
        let never = Place { sku: "never".to_owned(), ..tea() };
        cases.push(Case::code(step(quarantine(never, 1)), Code::NotFound));
    }
    for step in [Asked::Quarantine, Asked::WriteOff] {
        let silent = v1::QuarantineRequest { reason: String::new(), ..quarantine(tea(), 1) };
        cases.push(Case::field(step(silent), "reason"));
    }
    cases
}

fn bad_transfers() -> Vec<Case> {
    let mut cases = bad_changes(
        |place| Asked::Transfer(transfer(place, 1)),
        |namespace| Asked::Transfer(v1::TransferRequest { namespace, ..transfer(tea(), 1) }),
    );
    for quantity in [0, -1, i64::MIN, POOL_MAX + 1] {
        cases.push(Case::field(Asked::Transfer(transfer(tea(), quantity)), "quantity"));
    }
    for to in ["", "a b", "main", &"x".repeat(33)] {
        let bad = v1::TransferRequest { to: to.to_owned(), ..transfer(tea(), 1) };
        cases.push(Case::field(Asked::Transfer(bad), "to"));
    }
    for reason in bad_reasons() {
        cases.push(Case::field(Asked::Transfer(v1::TransferRequest { reason, ..transfer(tea(), 1) }), "reason"));
    }
    let document = "x".repeat(65);
    cases.push(Case::field(Asked::Transfer(v1::TransferRequest { document, ..transfer(tea(), 1) }), "document"));
    cases.push(Case::code(Asked::Transfer(transfer(tea(), POOL_MAX)), Code::InsufficientStock));
    for (received, lost, field) in [
        (0, 0, "received"),
        (-1, 1, "received"),
        (POOL_MAX + 1, 0, "received"),
        (1, -1, "lost"),
        (1, POOL_MAX + 1, "lost"),
    ] {
        let bad = v1::ArriveRequest { lost, reason: "gone".to_owned(), ..arrive(received) };
        cases.push(Case::field(Asked::Arrive(bad), field));
    }
    let silent = v1::ArriveRequest { lost: 1, ..arrive(1) };
    cases.push(Case::field(Asked::Arrive(silent), "reason"));
    for transfer_id in [Bytes::new(), vec![7; 15].into(), vec![0; 16].into(), vec![7; 100_000].into()] {
        cases.push(Case::field(Asked::Arrive(v1::ArriveRequest { transfer_id, ..arrive(1) }), "transfer_id"));
    }
    for sku in ["", "te\u{7}a", &"x".repeat(65)] {
        cases.push(Case::field(Asked::Arrive(v1::ArriveRequest { sku: sku.to_owned(), ..arrive(1) }), "sku"));
    }
    cases.push(Case::code(Asked::Arrive(arrive(1)), Code::NotFound));
    cases.push(Case::code(Asked::Arrive(v1::ArriveRequest { sku: "never".to_owned(), ..arrive(1) }), Code::NotFound));
    for id in bad_operation_ids() {
        cases.push(Case::field(with_operation_id(&Asked::Arrive(arrive(1)), &id), "operation_id"));
    }
    cases
}

fn bad_announcements() -> Vec<Case> {
    let mut cases = bad_changes(
        |place| Asked::Expect(expect(place, 1)),
        |namespace| Asked::Expect(v1::ExpectRequest { namespace, ..expect(tea(), 1) }),
    );
    for quantity in [-1, i64::MIN, POOL_MAX + 1] {
        cases.push(Case::field(Asked::Expect(expect(tea(), quantity)), "quantity"));
    }
    for document in ["", &"x".repeat(65), "a\u{7f}"] {
        let bad = v1::ExpectRequest { document: document.to_owned(), ..expect(tea(), 1) };
        cases.push(Case::field(Asked::Expect(bad), "document"));
    }
    cases
}

fn bad_settings() -> Vec<Case> {
    let settings = v1::SkuSettings::default;
    let of = |settings: v1::SkuSettings| configuring(configure(settings));
    let mut cases = Vec::new();
    let mut bad =
        |settings: v1::SkuSettings, field: &str| cases.push(Case::field(of(settings), format!("settings.{field}")));
    for deduct in [3, -1, i32::MAX] {
        bad(v1::SkuSettings { deduct, ..settings() }, "deduct");
    }
    for safety_stock in [-1, POOL_MAX + 1] {
        bad(v1::SkuSettings { safety_stock, ..settings() }, "safety_stock");
    }
    for ms in [0, 999, 31 * DAY_MS + 1, u64::MAX] {
        bad(v1::SkuSettings { hold_time_ms: Some(ms), ..settings() }, "hold_time_ms");
    }
    for units in [0, -1, POOL_MAX + 1] {
        let limit = v1::UnitLimit { units, window_ms: 1 };
        bad(v1::SkuSettings { owner_units: Some(limit), ..settings() }, "owner_units.units");
    }
    for window_ms in [0, 400 * DAY_MS + 1, u64::MAX] {
        let limit = v1::UnitLimit { units: 1, window_ms };
        bad(v1::SkuSettings { owner_units: Some(limit), ..settings() }, "owner_units.window_ms");
    }
    for holds in [0, 1_001, u32::MAX] {
        bad(v1::SkuSettings { owner_holds: Some(holds), ..settings() }, "owner_holds");
    }
    for reason in bad_reasons().into_iter().chain([String::new()]) {
        bad(v1::SkuSettings { frozen: Some(reason), ..settings() }, "frozen");
    }
    for (opens, closes) in [(5, 5), (5, 4), (u64::MAX, 0)] {
        bad(v1::SkuSettings { opens_ms: Some(opens), closes_ms: Some(closes), ..settings() }, "closes_ms");
    }
    for ms in [400 * DAY_MS + 1, u64::MAX] {
        bad(v1::SkuSettings { cancel_window_ms: Some(ms), ..settings() }, "cancel_window_ms");
        bad(v1::SkuSettings { return_window_ms: Some(ms), ..settings() }, "return_window_ms");
    }
    let named = |names: &[&str]| {
        names.iter().map(|name| v1::AllocationLocation { location: (*name).to_owned(), zone: 0 }).collect::<Vec<_>>()
    };
    let priority = i32::from(v1::AllocationStrategy::Priority);
    let most_stock = i32::from(v1::AllocationStrategy::MostStock);
    for (strategy, places, locations, field) in [
        (0, 1, named(&["a"]), "strategy"),
        (9, 1, named(&["a"]), "strategy"),
        (priority, 0, named(&["a"]), "places"),
        (priority, 17, named(&["a"]), "places"),
        (priority, 1, named(&[]), "locations"),
        (priority, 1, named(&["a"; 129]), "locations"),
        (priority, 1, named(&["a", "b", "a"]), "locations[2]"),
        (priority, 1, named(&["a", "b c"]), "locations[1].location"),
        (most_stock, 1, named(&["a"]), "locations"),
    ] {
        let allocation = v1::Allocation { strategy, places, locations };
        bad(v1::SkuSettings { allocation: Some(allocation), ..settings() }, &format!("allocation.{field}"));
    }
    let none = v1::ConfigureSkuRequest { settings: None, ..configure(settings()) };
    cases.push(Case::field(configuring(none), "settings"));
    let stale = v1::ConfigureSkuRequest { expected_version: 1, ..configure(settings()) };
    cases.push(Case::code(configuring(stale), Code::VersionStale));
    let on_ship = v1::SkuSettings { deduct: v1::Deduct::OnShip.into(), ..settings() };
    let promised = v1::ConfigureSkuRequest { sku: "tea".to_owned(), ..configure(on_ship) };
    cases.push(Case::field(configuring(promised), "settings.deduct"));
    for id in bad_operation_ids() {
        cases.push(Case::field(with_operation_id(&of(settings()), &id), "operation_id"));
    }
    for (context, field) in bad_contexts() {
        cases.push(Case::field(with_context(&of(settings()), &context), field));
    }
    let everything = v1::ConfigureSkuRequest {
        namespace: "a b".to_owned(),
        sku: String::new(),
        ..configure(v1::SkuSettings { hold_time_ms: Some(1), safety_stock: -1, ..settings() })
    };
    let fields = ["namespace", "sku", "settings.hold_time_ms", "settings.safety_stock"].map(str::to_owned).to_vec();
    cases.push(Case { asked: configuring(everything), code: Code::InvalidArgument, fields });
    cases
}

/// One of each, under ids of their own, and the same id with another body.
fn one_of_each() -> Vec<(Asked, Asked)> {
    let id = |number| operation_id(now_ms(), number);
    let pairs = [
        (Asked::Set(set(tea(), 5 * LINE_MAX)), Asked::Set(set(tea(), 1))),
        (Asked::Count(count(tea(), 4 * LINE_MAX)), Asked::Count(count(tea(), 1))),
        (Asked::Quarantine(quarantine(tea(), 2)), Asked::Quarantine(quarantine(tea(), 1))),
        (Asked::Unquarantine(quarantine(tea(), 1)), Asked::WriteOff(quarantine(tea(), 1))),
        (Asked::WriteOff(quarantine(tea(), 1)), Asked::Unquarantine(quarantine(tea(), 1))),
        (Asked::Transfer(transfer(tea(), 1)), Asked::Transfer(transfer(tea(), 2))),
        (Asked::Expect(expect(tea(), 1)), Asked::Expect(expect(tea(), 2))),
        (
            configuring(configure(v1::SkuSettings::default())),
            configuring(configure(v1::SkuSettings { safety_stock: 1, ..Default::default() })),
        ),
    ];
    let numbered = (100..).zip(pairs);
    numbered
        .map(|(number, (one, other))| (with_operation_id(&one, &id(number)), with_operation_id(&other, &id(number))))
        .collect()
}

fn replayed(answered: &Answered) -> bool {
    match answered {
        Answered::Set(told)
        | Answered::Count(told)
        | Answered::Quarantine(told)
        | Answered::Unquarantine(told)
        | Answered::WriteOff(told) => told.replayed,
        Answered::Transfer(told) | Answered::Arrive(told) => told.replayed,
        Answered::Expect(told) => told.replayed,
        Answered::ConfigureSku(told) => told.replayed,
        other => panic!("no mutation of these: {other:?}"),
    }
}

async fn one_id_has_one_effect(world: &World) {
    let pairs = one_of_each();
    let late = |asked: &Asked| delivered(asked, v1::Delivery { not_after_ms: 1, ..Default::default() });
    refused(world, &pairs.iter().map(|(asked, _)| Case::code(late(asked), Code::Late)).collect::<Vec<_>>()).await;
    done(world, pairs.iter().map(|(asked, _)| asked.clone())).await;
    for (asked, _) in &pairs {
        let again = alone(&world.channel, asked.clone()).await.expect("the first answer again");
        assert!(replayed(&again), "{asked:?}");
    }
    let conflicts: Vec<Case> =
        pairs.into_iter().map(|(_, other)| Case::code(other, Code::IdempotencyConflict)).collect();
    refused(world, &conflicts).await;
}

async fn what_is_at_its_limit_is_done(world: &World) {
    let longest = || Place {
        sku: "é".repeat(32),
        location: "l".repeat(32),
        kind: v1::PoolKind::Preorder.into(),
        lot: "t".repeat(32),
    };
    let names: Vec<_> =
        (0..128).map(|at| v1::AllocationLocation { location: format!("at-{at}"), zone: u32::MAX }).collect();
    let most = v1::SkuSettings {
        deduct: v1::Deduct::OnShip.into(),
        safety_stock: POOL_MAX,
        hold_time_ms: Some(31 * DAY_MS),
        owner_units: Some(v1::UnitLimit { units: POOL_MAX, window_ms: 400 * DAY_MS }),
        owner_holds: Some(1_000),
        frozen: Some("é".repeat(128)),
        opens_ms: Some(u64::MAX - 1),
        closes_ms: Some(u64::MAX),
        cancel_window_ms: Some(400 * DAY_MS),
        return_window_ms: Some(0),
        allocation: Some(v1::Allocation {
            strategy: v1::AllocationStrategy::NearestZone.into(),
            places: 16,
            locations: names,
        }),
    };
    let sku = || longest().sku;
    let context = || Some(longest_context());
    let reason = || "é".repeat(128);
    let document = || "d".repeat(64);
    let sent = operation_id(now_ms(), 50);
    done(
        world,
        [
            Asked::Expect(v1::ExpectRequest {
                document: document(),
                date_ms: u64::MAX,
                context: context(),
                ..expect(longest(), POOL_MAX)
            }),
            configuring(v1::ConfigureSkuRequest { sku: sku(), context: context(), ..configure(most) }),
            Asked::Set(v1::SetRequest { reason: reason(), context: context(), ..set(longest(), POOL_MAX - 2) }),
            Asked::Count(v1::CountRequest {
                reason: reason(),
                document: document(),
                context: context(),
                ..count(longest(), POOL_MAX - 1)
            }),
            Asked::Quarantine(v1::QuarantineRequest {
                reason: reason(),
                context: context(),
                ..quarantine(longest(), POOL_MAX - 1)
            }),
            Asked::Unquarantine(v1::QuarantineRequest { reason: String::new(), ..quarantine(longest(), POOL_MAX - 2) }),
            Asked::WriteOff(quarantine(longest(), 1)),
            Asked::Transfer(v1::TransferRequest {
                operation_id: sent.clone(),
                to: "m".repeat(32),
                document: document(),
                reason: reason(),
                context: context(),
                ..transfer(longest(), POOL_MAX - 2)
            }),
            Asked::Arrive(v1::ArriveRequest {
                sku: sku(),
                transfer_id: sent,
                lost: POOL_MAX - 3,
                reason: reason(),
                document: document(),
                ..arrive(1)
            }),
        ],
    )
    .await;
    // What ever came in counts, not what is there.
    refused(world, &[Case::field(Asked::Set(set(longest(), 2)), "on_hand")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_stockkeeping_is_refused() {
    let world = World::new().await;
    for cases in [bad_sets(), bad_counts(), bad_quarantines(), bad_transfers(), bad_announcements(), bad_settings()] {
        refused(&world, &cases).await;
    }
    what_is_at_its_limit_is_done(&world).await;
    one_id_has_one_effect(&world).await;
    world.end().await;
}
