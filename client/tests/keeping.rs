//! What the keepers of the stock ask, against fake nodes: what is sent, what is checked before, and how answers are read.

mod fake;

use earmark_client::wire::v1::{self, count_request::Observed, operation::Body};
use earmark_client::{
    Allocation, Answer, Client, Code, Deduct, Epoch, Error, Level, LogIndex, Operation, Position, ReservationId,
    ShardId, SkuSettings, Strategy, Subject, TimeMs, UnitLimit,
};
use fake::{FakeCluster, Reply, SERVER_START_MS, accept, delivery, id, in_turn, refusal};
use std::time::Duration;

/// The fields that were refused before anything was sent.
fn fields<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
    let error = result.expect_err("it is refused here");
    assert_eq!((error.code(), error.tries()), (Code::InvalidArgument, 0));
    error.fields().iter().map(|bad| bad.field.clone()).collect()
}

fn sent(cluster: &FakeCluster) -> Vec<Body> {
    cluster.nodes[0].seen()
}

#[tokio::test(start_paused = true)]
async fn corrections_say_what_they_are() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let set = client.set("lamp", "main", 7, "recount").expected_on_hand(9).lot("a").send().await.unwrap();
    assert_eq!((set.pool.on_hand, set.delta, set.shortage), (7, 1, None));
    let position = Position { shard: ShardId(1), epoch: Epoch(1), index: LogIndex(5), ordinal: 3 };
    client.count("lamp", "main", 7).at_position(position).document("list").send().await.unwrap();
    client.count("lamp", "main", 7).at_time(TimeMs(5)).send().await.unwrap();
    client.quarantine("lamp", "main", 1, "wet").send().await.unwrap();
    client.unquarantine("lamp", "main", 1).send().await.unwrap();
    client.write_off("lamp", "main", 1, "wet").send().await.unwrap();
    let seen = sent(&cluster);
    let Body::Set(set) = &seen[0] else { panic!("a set") };
    assert_eq!((set.on_hand, set.expected_on_hand, set.r#override, &*set.lot), (7, Some(9), false, "a"));
    let Body::Count(count) = &seen[1] else { panic!("a count") };
    let at = v1::Position { shard: 1, epoch: 1, index: 5, ordinal: 3 };
    assert_eq!(count.observed, Some(Observed::ObservedPosition(at)));
    let Body::Count(count) = &seen[2] else { panic!("a count") };
    assert_eq!(count.observed, Some(Observed::ObservedTimeMs(5)));
    assert!(matches!(seen[3..], [Body::Quarantine(_), Body::Unquarantine(_), Body::WriteOff(_)]));
    for body in &seen {
        let delivery = delivery(body);
        assert_eq!((delivery.r#try, delivery.fresh, id(body).len()), (1, true, 16));
        assert!(delivery.not_after_ms > SERVER_START_MS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_the_id_and_an_error_carries_it() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(in_turn([Reply::Break, Reply::Refuse(refusal(Code::PositionExpired))]));
    let client = cluster.client().await;
    let operation = client.make_operation_id();
    let error = client.count("lamp", "main", 1).at_time(TimeMs(1)).id(operation).send().await.unwrap_err();
    assert_eq!(error.subject(), Some(Subject::Operation(operation)));
    assert_eq!(
        (error.code(), error.last_told()),
        (Code::OutcomeUnknown, Code::PositionExpired),
        "the first try may be done"
    );
    let seen = sent(&cluster);
    assert_eq!(id(&seen[0]), id(&seen[1]));
    assert_eq!((delivery(&seen[1]).r#try, delivery(&seen[1]).fresh), (2, false));
}

#[tokio::test(start_paused = true)]
async fn bad_values_are_told_at_once_and_never_sent() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let most = 1 << 53;
    let told = client.set("", "a b", most + 1, "").send().await;
    assert_eq!(fields(told), ["location", "sku", "on_hand", "expected_on_hand", "reason"]);
    let told = client.count("lamp", "main", most + 1).document("d".repeat(65)).reason("r".repeat(257)).send().await;
    assert_eq!(fields(told), ["counted", "document", "reason"]);
    assert_eq!(fields(client.quarantine("lamp", "main", 0, "").send().await), ["quantity", "reason"]);
    assert_eq!(fields(client.write_off("lamp", "main", 0, "").send().await), ["quantity", "reason"]);
    assert_eq!(fields(client.unquarantine("lamp", "main", 0).send().await), ["quantity"]);
    assert_eq!(fields(client.transfer("lamp", "main", "main", 0).send().await), ["to", "quantity"]);
    let transfer = client.make_operation_id();
    assert_eq!(fields(client.arrive("lamp", transfer, 0).send().await), ["received"]);
    assert_eq!(fields(client.arrive("lamp", transfer, 1).lost(1, "").send().await), ["reason"]);
    assert_eq!(fields(client.expect("lamp", "main", 1, "", TimeMs(1)).send().await), ["document"]);
    assert_eq!(fields(client.reservations_of("").send().await), ["owner"]);
    assert_eq!(fields(client.in_transit("").send().await), ["sku"]);
    let settings = SkuSettings {
        safety_stock: most + 1,
        frozen: Some("a\nb".to_owned()),
        allocation: Some(Allocation { strategy: Strategy::Priority(vec!["a b".to_owned()]), places: 1 }),
        ..SkuSettings::default()
    };
    let told = fields(client.configure("lamp", 0, settings).send().await);
    assert_eq!(told, ["settings.safety_stock", "settings.frozen", "settings.allocation.locations[0].location"]);
    assert!(sent(&cluster).is_empty());
}

#[tokio::test(start_paused = true)]
async fn units_on_their_way() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let gone = client.transfer("lamp", "depot", "shop", 9).immediate().document("note").send().await.unwrap();
    assert_eq!((gone.transfer.sent, gone.transfer.in_transit, &*gone.transfer.to), (9, 9, "shop"));
    assert_eq!(gone.transfer.id.to_bytes().to_vec(), id(&sent(&cluster)[0]));
    let here = client.arrive("lamp", gone.transfer.id, 8).lost(1, "broken").send().await.unwrap();
    assert_eq!(here.transfer.id, gone.transfer.id);
    let told = client.expect("lamp", "shop", 30, "order", TimeMs(77)).send().await.unwrap();
    assert_eq!((told.pool.expected, told.pool.expected_date), (30, Some(TimeMs(77))));
    let seen = sent(&cluster);
    let Body::Arrive(arrive) = &seen[1] else { panic!("an arrival") };
    assert_eq!((arrive.received, arrive.lost, &*arrive.reason), (8, 1, "broken"));
}

#[tokio::test(start_paused = true)]
async fn settings_come_back_as_they_were_sent() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    for strategy in [
        Strategy::Priority(vec!["a".to_owned(), "b".to_owned()]),
        Strategy::MostStock,
        Strategy::FewestSplits,
        Strategy::NearestZone(vec![("a".to_owned(), 3)]),
    ] {
        let all = SkuSettings {
            deduct: Deduct::OnShip,
            safety_stock: 1,
            hold_time: Some(Duration::from_millis(1_500)),
            owner_units: Some(UnitLimit { units: 2, window: Duration::from_secs(3) }),
            owner_holds: Some(4),
            frozen: Some("why".to_owned()),
            opens: Some(TimeMs(5)),
            closes: Some(TimeMs(6)),
            cancel_window: Some(Duration::ZERO),
            return_window: Some(Duration::from_secs(8)),
            allocation: Some(Allocation { strategy, places: 9 }),
        };
        let done = client.configure("lamp", 3, all.clone()).send().await.unwrap();
        assert_eq!((done.version, done.settings), (4, all));
    }
    let read = client.settings("lamp").level(Level::Session).send().await.unwrap();
    assert_eq!((read.version, read.settings.frozen.as_deref(), read.level), (4, Some("recall"), Level::Session));
}

async fn answers_of_every_kind(client: &Client) -> Vec<Operation> {
    vec![
        client.set("lamp", "main", 1, "why").override_any().operation().unwrap(),
        client.transfer("lamp", "main", "shop", 1).operation().unwrap(),
        client.expect("lamp", "main", 1, "order", TimeMs(1)).operation().unwrap(),
        client.configure("lamp", 0, SkuSettings::default()).operation().unwrap(),
        client.settings("lamp").operation().unwrap(),
        client.shortages().operation().unwrap(),
        client.in_transit("lamp").operation().unwrap(),
        client.reservations_of("anna").operation().unwrap(),
        client.expiring(Duration::from_secs(60)).operation().unwrap(),
        client.reserve().line_anywhere("lamp", 2).zone(7).dry_run().operation().unwrap(),
    ]
}

#[tokio::test(start_paused = true)]
async fn all_of_them_go_by_batch_too() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let answers = client.batch(answers_of_every_kind(&client).await).await;
    let answers: Vec<Answer> = answers.into_iter().map(Result::unwrap).collect();
    assert!(matches!(
        answers[..],
        [
            Answer::Corrected(_),
            Answer::Transferred(_),
            Answer::Stocked(_),
            Answer::Configured(_),
            Answer::Settings(_),
            Answer::Shortages(_),
            Answer::InTransit(_),
            Answer::Reservations(_),
            Answer::Expiring(_),
            Answer::Tried(_),
        ]
    ));
    let call = &cluster.nodes[0].calls.lock().unwrap()[0];
    let Body::DryRun(tried) = &call[9] else { panic!("a dry run") };
    let reserve = tried.reserve.as_ref().unwrap();
    assert_eq!((reserve.zone, reserve.lines[0].location.as_str(), reserve.reservation_id.len()), (7, "", 0));
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_where_a_page_ended_and_what_it_saw_is_seen() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let first = client.shortages().page_size(1).send().await.unwrap();
    let short = &first.items[0];
    assert_eq!((short.units, short.at_risk, short.newest[0].held), (3, 2, 2));
    assert_eq!(short.newest[0].reservation, ReservationId::from_slice(&[0; 16]).unwrap());
    let shards: Vec<ShardId> = client.token().positions().map(|position| position.shard).collect();
    assert_eq!(shards, [ShardId(1), ShardId(2)], "of every shard that was asked");
    let next = first.next.expect("there is more");
    let last = client.shortages().after(next.as_bytes().to_vec().into()).send().await.unwrap();
    assert_eq!(last.next, None);
    let seen = sent(&cluster);
    let Body::ListShortages(second) = &seen[1] else { panic!("a list") };
    assert_eq!(second.page_token, "more");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer_to_a_dry_run() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(|body| match body {
        Body::DryRun(_) => Reply::Tell(v1::operation_result::Body::DryRun(Box::new(v1::DryRunResponse {
            refusal: Some(refusal(Code::SkuFrozen)),
            positions: vec![fake::position()],
            ..Default::default()
        }))),
        other => accept(other),
    });
    let client = cluster.client().await;
    let told = client.reserve().line("lamp", "main", 1).dry_run().send().await.unwrap();
    assert_eq!(told.verdict.unwrap_err().code(), Code::SkuFrozen);
}
