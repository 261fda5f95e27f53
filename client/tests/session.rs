//! The session stream against fake nodes: gathering, credit, retries, redirects, breaks, deadlines.

mod fake;

use earmark_client::{Client, Code, Error, Level, Reservation, Subject};
use fake::{FakeCluster, Reply, SERVER_START_MS, accept, delivery, id, in_turn, redirect, refusal};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

async fn reserve(client: &Client) -> Result<Reservation, Error> {
    client.reserve().line("lamp-01", "main", 1).owner("cart-1").send().await
}

/// A SKU whose bucket is led by that node: shard 1 (n1) has the lower half of the buckets, shard 2 (n2) the upper.
fn sku_of(client: &Client, node: u32) -> String {
    (0..)
        .map(|n| format!("sku-{n}"))
        .find(|sku| (client.make_id(sku).unwrap().home().number() < 8_192) == (node == 1))
        .expect("half of all")
}

/// Lets everything run that can run without time passing.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reserve_says_how_it_wants_to_be_delivered() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    tokio::time::advance(Duration::from_millis(250)).await;
    let reservation = reserve(&client).await.unwrap();
    let seen = cluster.nodes[0].seen();
    assert_eq!(id(&seen[0]), reservation.id().to_bytes());
    assert_eq!(reservation.id().time().0, SERVER_START_MS + 250, "ids are dated by the server's clock");
    let delivery = delivery(&seen[0]);
    assert_eq!((delivery.r#try, delivery.fresh, delivery.direct, delivery.map_version), (1, true, true, 1));
    assert_eq!(delivery.not_after_ms, SERVER_START_MS + 10_250, "ten seconds ahead in server time");
}

#[tokio::test(start_paused = true)]
async fn what_gathers_while_the_writer_is_busy_goes_in_one_frame() {
    // A pipe too small for one frame: while the node reads nothing, the writer is busy with the first.
    let cluster = FakeCluster::with_pipe(1, 256);
    let client = cluster.client().await;
    let _ = reserve(&client).await.unwrap();
    let node = &cluster.nodes[0];
    node.reading.send_replace(false);
    let mut tasks = JoinSet::new();
    let first = client.clone();
    // Larger than what HTTP/2 lets ahead of a reader, so the writer stays busy with it.
    tasks.spawn(async move {
        let lines = (0..4_000).map(|n| earmark_client::Line::new(format!("{n:0>64}"), "m".repeat(32), 1));
        lines.fold(first.reserve(), |reserve, line| reserve.push(line)).send().await
    });
    settle().await;
    for _ in 0..100 {
        let client = client.clone();
        tasks.spawn(async move { reserve(&client).await });
    }
    settle().await;
    node.reading.send_replace(true);
    for result in tasks.join_all().await {
        let _ = result.unwrap();
    }
    let sizes = node.frame_sizes();
    assert_eq!(sizes.iter().sum::<usize>(), 102);
    // The first reserve, the large one, one frame that was already behind it, and the rest together.
    assert!(sizes.len() <= 5, "{sizes:?}");
    assert!(sizes.iter().any(|size| *size >= 50), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_nothing_waits_for_company() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let start = Instant::now();
    for _ in 0..10 {
        let _ = reserve(&client).await.unwrap();
    }
    assert_eq!(cluster.nodes[0].frame_sizes(), [1; 10]);
    assert_eq!(start.elapsed(), Duration::ZERO, "no timer was waited for");
    assert_eq!(cluster.nodes[0].sessions.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn the_credit_of_the_server_is_respected() {
    let cluster = FakeCluster::start(1);
    let node = &cluster.nodes[0];
    node.credit.store(4, Ordering::Relaxed);
    let client = cluster.client().await;
    node.answering.send_replace(false);
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        tasks.spawn(async move { reserve(&client).await });
    }
    settle().await;
    assert_eq!(node.seen().len(), 4, "the rest waits");
    node.answering.send_replace(true);
    for result in tasks.join_all().await {
        let _ = result.unwrap();
    }
    assert_eq!((node.seen().len(), node.in_flight_most.load(Ordering::Relaxed)), (50, 4));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_callers_wait_and_loses_nothing() {
    let cluster = FakeCluster::start(1);
    let node = &cluster.nodes[0];
    node.credit.store(1, Ordering::Relaxed);
    let client = cluster.builder().queue(2).connect().await.unwrap();
    node.answering.send_replace(false);
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let client = client.clone();
        tasks.spawn(async move { reserve(&client).await });
    }
    settle().await;
    assert_eq!(tasks.try_join_next().map(|_| ()), None, "nobody was turned away");
    node.answering.send_replace(true);
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    assert_eq!(node.seen().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_the_id_and_is_no_longer_fresh() {
    let cluster = FakeCluster::start(1);
    let overloaded = || Reply::Refuse(refusal(Code::Overloaded));
    cluster.nodes[0].on_operation(in_turn([overloaded(), overloaded()]));
    let client = cluster.client().await;
    let reservation = reserve(&client).await.unwrap();
    let seen = cluster.nodes[0].seen();
    assert!(seen.iter().all(|body| id(body) == reservation.id().to_bytes()));
    let told: Vec<_> = seen.iter().map(|body| (delivery(body).r#try, delivery(body).fresh)).collect();
    assert_eq!(told, [(1, true), (2, false), (3, false)]);
    assert_eq!(delivery(&seen[2]).not_after_ms, delivery(&seen[0]).not_after_ms, "the deadline stays");
}

#[tokio::test(start_paused = true)]
async fn an_id_of_the_caller_is_never_fresh() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let own = client.make_id("lamp-01").unwrap();
    let _ = client.reserve().line("lamp-01", "main", 1).id(own).send().await.unwrap();
    let seen = cluster.nodes[0].seen();
    assert_eq!((id(&seen[0]), delivery(&seen[0]).fresh), (own.to_bytes().to_vec(), false));
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_honoured() {
    let cluster = FakeCluster::start(1);
    let later = v1_error_after(Code::RateLimited, 2_000);
    cluster.nodes[0].on_operation(in_turn([Reply::Refuse(later)]));
    let client = cluster.client().await;
    let start = Instant::now();
    let _ = reserve(&client).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
}

fn v1_error_after(code: Code, ms: u32) -> earmark_client::wire::v1::Error {
    earmark_client::wire::v1::Error { retry_after_ms: ms, ..refusal(code) }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_followed_at_once_and_remembered() {
    let cluster = FakeCluster::start(2);
    let client = cluster.client().await;
    let sku = sku_of(&client, 1);
    cluster.nodes[0].on_operation(|_| Reply::Refuse(redirect("n2:1")));
    let start = Instant::now();
    let _ = client.reserve().line(&sku, "main", 1).send().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO, "no pause before a redirect");
    let _ = client.reserve().line(&sku, "main", 1).send().await.unwrap();
    assert_eq!(cluster.nodes[0].seen().len(), 1, "the second went straight to the new leader");
    let there = cluster.nodes[1].seen();
    assert_eq!((delivery(&there[0]).r#try, delivery(&there[0]).direct), (2, true));
    assert_eq!(delivery(&there[1]).r#try, 1);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_without_a_name_waits_for_a_newer_map() {
    let cluster = FakeCluster::start(2);
    let client = cluster.client().await;
    let sku = sku_of(&client, 1);
    cluster.nodes[0].on_operation(|_| Reply::Refuse(refusal(Code::NotLeader)));
    cluster.remap(|map| map.leaders.iter_mut().for_each(|leader| (leader.node, leader.term) = (2, 2)));
    let _ = client.reserve().line(&sku, "main", 1).send().await.unwrap();
    assert_eq!(cluster.nodes[1].seen().len(), 1, "the map told of the new leader");
}

#[tokio::test(start_paused = true)]
async fn a_broken_stream_is_a_retry_with_the_same_id() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(in_turn([Reply::Break]));
    let client = cluster.client().await;
    let reservation = reserve(&client).await.unwrap();
    let seen = cluster.nodes[0].seen();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|body| id(body) == reservation.id().to_bytes()));
    assert_eq!((delivery(&seen[1]).r#try, delivery(&seen[1]).fresh), (2, false));
    assert!(reservation.replayed(), "the second sending found the first one done");
    assert_eq!(cluster.nodes[0].sessions.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_break_a_refusal_counts_only_if_it_came_through_the_log() {
    for (logged, expected) in [(false, Code::OutcomeUnknown), (true, Code::InsufficientStock)] {
        let cluster = FakeCluster::start(1);
        let refused = earmark_client::wire::v1::Error { logged, ..refusal(Code::InsufficientStock) };
        cluster.nodes[0].on_operation(in_turn([Reply::Break, Reply::Refuse(refused)]));
        let client = cluster.client().await;
        let error = reserve(&client).await.unwrap_err();
        assert_eq!((error.code(), error.last_told()), (expected, Code::InsufficientStock));
        assert_eq!(error.surely_no_effect(), logged);
        assert!(matches!(error.subject(), Some(Subject::Reservation(_))), "the id to ask again with");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_it_at_once_and_keeps_its_facts() {
    let cluster = FakeCluster::start(1);
    let short = earmark_client::wire::v1::Error {
        shortages: vec![earmark_client::Shortage { line: 0, asked: 2, sellable: 1, earliest_ms: 0 }],
        ..refusal(Code::InsufficientStock)
    };
    cluster.nodes[0].on_operation(in_turn([Reply::Refuse(short)]));
    let client = cluster.client().await;
    let error = reserve(&client).await.unwrap_err();
    assert_eq!((error.code(), error.shortages()[0].sellable, error.tries()), (Code::InsufficientStock, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn silence_is_unknown_at_the_deadline() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(|_| Reply::Silence);
    let client = cluster.client().await;
    let start = Instant::now();
    let error = reserve(&client).await.unwrap_err();
    assert_eq!(error.code(), Code::OutcomeUnknown);
    assert!(error.is_unknown() && !error.surely_no_effect());
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(cluster.nodes[0].seen().len(), 5, "tried again after two seconds each");
    assert_eq!(cluster.nodes[0].sessions.load(Ordering::Relaxed), 2, "a stream that answers nothing is given up");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_caller_counts_for_client_and_server() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(|_| Reply::Silence);
    let client = cluster.client().await;
    let start = Instant::now();
    let slow = client.reserve().line("lamp-01", "main", 1).timeout(Duration::from_millis(1_500));
    assert!(slow.send().await.unwrap_err().is_unknown());
    assert_eq!(start.elapsed(), Duration::from_millis(1_500));
    assert_eq!(delivery(&cluster.nodes[0].seen()[0]).not_after_ms, SERVER_START_MS + 1_500);
}

#[tokio::test(start_paused = true)]
async fn what_never_left_the_queue_surely_has_no_effect() {
    let cluster = FakeCluster::start(1);
    let node = &cluster.nodes[0];
    node.credit.store(1, Ordering::Relaxed);
    node.on_operation(|_| Reply::Silence);
    let client = cluster.client().await;
    let other = client.clone();
    let first = tokio::spawn(async move { reserve(&other).await });
    settle().await;
    let second = client.reserve().line("lamp-01", "main", 1).timeout(Duration::from_secs(1)).send().await;
    let error = second.unwrap_err();
    assert!(error.surely_no_effect(), "{error}");
    assert_eq!(error.tries(), 0);
    assert!(first.await.unwrap().unwrap_err().is_unknown());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_connections_surely_did_nothing() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let _ = reserve(&client).await.unwrap();
    let node = &cluster.nodes[0];
    // The next operation breaks the stream, unanswered; after that nobody is there.
    node.up.store(false, Ordering::Relaxed);
    node.on_operation(|_| Reply::Break);
    assert!(reserve(&client).await.unwrap_err().is_unknown(), "that one was sent");
    let start = Instant::now();
    let error = reserve(&client).await.unwrap_err();
    assert!(error.surely_no_effect(), "{error}");
    assert_eq!((error.code(), error.tries()), (Code::NoQuorum, 0));
    assert!(start.elapsed() <= Duration::from_secs(10));
    node.up.store(true, Ordering::Relaxed);
    node.on_operation(accept);
    let _ = reserve(&client).await.expect("probing finds it back");
}

#[tokio::test(start_paused = true)]
async fn with_the_leader_out_of_reach_another_node_forwards() {
    let cluster = FakeCluster::start(2);
    let client = cluster.client().await;
    let sku = sku_of(&client, 2);
    cluster.nodes[1].up.store(false, Ordering::Relaxed);
    let _ = client.reserve().line(&sku, "main", 1).send().await.unwrap();
    let seen = cluster.nodes[0].seen();
    assert_eq!((delivery(&seen[0]).direct, delivery(&seen[0]).r#try, delivery(&seen[0]).fresh), (false, 1, true));
}

#[tokio::test(start_paused = true)]
async fn with_no_leader_known_another_node_forwards_and_a_newer_map_is_fetched() {
    let cluster = FakeCluster::start(2);
    cluster.remap(|map| map.leaders.clear());
    let client = cluster.client().await;
    let sku = sku_of(&client, 2);
    cluster.remap(|map| map.leaders.push(earmark_client::wire::v1::ShardLeader { shard: 2, node: 2, term: 1 }));
    let _ = client.reserve().line(&sku, "main", 1).send().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = client.reserve().line(&sku, "main", 1).send().await.unwrap();
    let first = cluster.nodes.iter().flat_map(|node| node.seen()).filter(|seen| !delivery(seen).direct).count();
    assert_eq!(first, 1, "only the first had to be sent on");
    assert!(cluster.nodes[1].seen().last().is_some_and(|seen| delivery(seen).direct));
}

#[tokio::test(start_paused = true)]
async fn what_more_is_asked_than_a_node_answers_is_told_overloaded_and_not_sent() {
    let cluster = FakeCluster::start(1);
    let node = &cluster.nodes[0];
    node.credit.store(1, Ordering::Relaxed);
    let client = cluster.builder().timeout(Duration::from_secs(2)).connect().await.unwrap();
    let _ = reserve(&client).await.unwrap();
    node.answering.send_replace(false);
    let all: Vec<_> = (0..4_000)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { reserve(&client).await }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.answering.send_replace(true);
    let (mut done, mut overloaded) = (0, 0);
    for one in all {
        match one.await.unwrap() {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!((error.code(), error.tries()), (Code::Overloaded, 0));
                assert!(error.surely_no_effect());
                overloaded += 1;
            }
        }
    }
    // One was on its way, and the retry budget allows 2,000 in ten seconds.
    assert!(done >= 1 && overloaded > 0 && done + overloaded == 4_000, "{done} done, {overloaded} overloaded");
    assert_eq!(node.seen().len(), done + 1, "what was turned away was never sent");
}

#[tokio::test(start_paused = true)]
async fn a_try_waits_for_its_answer_from_when_it_was_sent() {
    let cluster = FakeCluster::start(1);
    let node = &cluster.nodes[0];
    node.credit.store(1, Ordering::Relaxed);
    node.answering.send_replace(false);
    let (gate, mut came) = (node.answering.clone(), 0);
    node.on_operation(move |body| {
        came += 1;
        if came == 2 {
            gate.send_replace(false);
        }
        accept(body)
    });
    let client = cluster.builder().timeout(Duration::from_secs(10)).connect().await.unwrap();
    let call = || {
        tokio::spawn({
            let client = client.clone();
            async move { reserve(&client).await }
        })
    };
    let first = call();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = call();
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    assert_eq!(node.seen().len(), 1, "there is room for one");
    node.answering.send_replace(true);
    let _ = first.await.unwrap().expect("after 1.8 s");
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.answering.send_replace(true);
    let _ = second.await.unwrap().expect("a second after it was sent, 2.7 after it was asked");
    let tries: Vec<u32> = node.seen().iter().map(|seen| delivery(seen).r#try).collect();
    assert_eq!(tries, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_try_is_noticed_after_its_own_time_however_much_the_operation_has() {
    let cluster = FakeCluster::start(1);
    let node = &cluster.nodes[0];
    node.on_operation(in_turn([Reply::Silence]));
    let client = cluster.builder().timeout(Duration::from_secs(30)).connect().await.unwrap();
    let start = Instant::now();
    let _ = reserve(&client).await.expect("the second is answered");
    assert!(start.elapsed() < Duration::from_millis(2_100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_others_is_not_given_up() {
    let cluster = FakeCluster::start(1);
    let node = &cluster.nodes[0];
    let mut came = 0;
    node.on_operation(move |body| {
        came += 1;
        // The first twenty are never answered.
        if came <= 20 { Reply::Silence } else { accept(body) }
    });
    let client = cluster.builder().timeout(Duration::from_secs(2)).connect().await.unwrap();
    let call = || {
        tokio::spawn({
            let client = client.clone();
            async move { reserve(&client).await }
        })
    };
    let silent: Vec<_> = (0..20).map(|_| call()).collect();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let _ = call().await.unwrap().expect("answered");
    let waiting = call();
    for one in silent {
        assert!(one.await.unwrap().unwrap_err().is_unknown());
    }
    let _ = waiting.await.unwrap().expect("answered");
    let _ = reserve(&client).await.expect("answered");
    assert_eq!(node.sessions.load(Ordering::Relaxed), 1, "its session goes on");
}

#[tokio::test(start_paused = true)]
async fn contention_is_tried_twenty_times() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(|_| Reply::Refuse(refusal(Code::Contended)));
    let client = cluster.builder().timeout(Duration::from_secs(30)).connect().await.unwrap();
    let error = reserve(&client).await.unwrap_err();
    assert_eq!((error.code(), error.tries()), (Code::Contended, 20));
    assert!(error.surely_no_effect());
}

#[tokio::test(start_paused = true)]
async fn late_is_not_tried_again() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(in_turn([Reply::Refuse(refusal(Code::Late))]));
    let client = cluster.client().await;
    let error = reserve(&client).await.unwrap_err();
    assert_eq!((error.code(), error.retry(), error.tries()), (Code::Late, earmark_client::Retry::NewIntent, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_another_reservation_is_not_taken() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(|body| {
        let mut body = body.clone();
        if let earmark_client::wire::v1::operation::Body::Reserve(request) = &mut body {
            request.reservation_id = vec![0; 16].into();
        }
        accept(&body)
    });
    let client = cluster.client().await;
    assert!(reserve(&client).await.unwrap_err().is_unknown());
}

#[tokio::test(start_paused = true)]
async fn a_session_read_carries_what_the_client_has_seen() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let _ = reserve(&client).await.unwrap();
    client.stock("lamp-01").level(Level::Session).send().await.unwrap();
    let seen = cluster.nodes[0].seen();
    let earmark_client::wire::v1::operation::Body::GetStock(read) = &seen[1] else { panic!("a read") };
    assert_eq!(read.token.as_ref().unwrap().positions[0].index, 42);
    assert!(!read.direct, "any replica may answer, and a node without one forwards");
}

#[tokio::test(start_paused = true)]
async fn a_guard_commits_releases_and_extends() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let mut reservation = reserve(&client).await.unwrap();
    assert_eq!(reservation.remaining(), Duration::from_secs(900));
    reservation.extend(Duration::from_secs(1_800)).await.unwrap();
    assert_eq!(reservation.deadline().0, SERVER_START_MS + 1_800_000);
    reservation.commit_parts([earmark_client::Part::new("lamp-01", "main", 1)]).await.unwrap();
    reservation.commit().await.unwrap();
    reservation.release().await.unwrap();
    let seen = cluster.nodes[0].seen();
    let earmark_client::wire::v1::operation::Body::Commit(partial) = &seen[2] else { panic!("a commit") };
    assert_eq!(partial.operation_id.len(), 16, "parts need an id of their own");
    assert!(!delivery(&seen[2]).fresh);
}

#[tokio::test(start_paused = true)]
async fn every_bad_field_is_told_before_anything_is_sent() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    let bad = client.reserve().line("", "main", 0).line("ok", "no good", 1 << 63).owner("x".repeat(65));
    let error = bad.send().await.unwrap_err();
    let fields: Vec<&str> = error.fields().iter().map(|bad| bad.field.as_str()).collect();
    assert_eq!(fields, ["owner", "lines[0].sku", "lines[0].quantity", "lines[1].location", "lines[1].quantity"]);
    assert!(error.surely_no_effect() && cluster.nodes[0].seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_runs_send_the_same_bytes() {
    async fn run() -> Vec<earmark_client::wire::v1::operation::Body> {
        let cluster = FakeCluster::start(2);
        cluster.nodes[0].on_operation(in_turn([Reply::Break, Reply::Refuse(refusal(Code::Overloaded)), Reply::Break]));
        let client = cluster.client().await;
        let mut tasks = JoinSet::new();
        for _ in 0..20 {
            let client = client.clone();
            tasks.spawn(async move { reserve(&client).await });
        }
        tasks.join_all().await;
        cluster.nodes.iter().flat_map(|node| node.seen()).collect()
    }
    assert_eq!(run().await, run().await);
}

/// A client's connections live in the runtime it was opened in.
#[test]
fn callers_in_another_runtime_come_back_whatever_becomes_of_the_clients() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (home, other) = (runtime(), runtime());
    let (cluster, client) = home.block_on(async {
        let cluster = FakeCluster::start(1);
        let client = cluster.client().await;
        let _ = reserve(&client).await.unwrap();
        (cluster, client)
    });
    let stands_still = other.block_on(reserve(&client)).expect_err("nobody drives what would send it");
    assert!(stands_still.is_unknown(), "{stands_still}");
    drop(home);
    let gone = other.block_on(reserve(&client)).expect_err("there is nobody to send it");
    assert!(gone.surely_no_effect(), "{gone}");
    assert_eq!(cluster.nodes[0].seen().len(), 1);
}
