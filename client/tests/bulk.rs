//! The batch call and the calls about the cluster, against fake nodes.

mod fake;

use earmark_client::{Answer, Client, Code, Operation};
use fake::{FakeCluster, Reply, accept, delivery, id, redirect, refusal};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

fn receipts(client: &Client, count: usize) -> Vec<Operation> {
    (0..count).map(|n| client.receive(format!("sku-{n}"), "main", 5).operation().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn operations_go_to_their_leaders_and_answers_keep_their_place() {
    let cluster = FakeCluster::start(2);
    let client = cluster.client().await;
    let answers = client.batch(receipts(&client, 1_000)).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let Ok(Answer::Stocked(change)) = answer else { panic!("received") };
        assert_eq!(change.pool.sku, format!("sku-{n}"));
    }
    let calls: Vec<usize> = cluster.nodes.iter().map(|node| node.calls.lock().unwrap().len()).collect();
    assert_eq!(calls, [1, 1]);
    let first = cluster.nodes[0].calls.lock().unwrap()[0].len();
    assert!((300..700).contains(&first), "about half of the buckets: {first}");
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_is_cut_into_calls() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    assert!(client.batch(receipts(&client, 9_000)).await.iter().all(Result::is_ok));
    let calls: Vec<usize> = cluster.nodes[0].calls.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(calls.iter().sum::<usize>(), 9_000);
    assert!(calls.iter().all(|size| *size <= 4_000), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_is_sent_again_with_its_id() {
    let cluster = FakeCluster::start(2);
    let client = cluster.client().await;
    let mut overloaded = BTreeSet::new();
    cluster.nodes[0].on_operation(move |body| {
        let first_time = overloaded.insert(id(body));
        if first_time && overloaded.len() <= 3 { Reply::Refuse(refusal(Code::Overloaded)) } else { accept(body) }
    });
    cluster.nodes[1].on_operation(|_| Reply::Refuse(redirect("n1:1")));
    assert!(client.batch(receipts(&client, 100)).await.iter().all(Result::is_ok));
    let calls = cluster.nodes[0].calls.lock().unwrap();
    let sent_to_second = cluster.nodes[1].calls.lock().unwrap()[0].len();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].len(), 3 + sent_to_second);
    assert!(calls[1].iter().all(|body| delivery(body).r#try == 2 && !delivery(body).fresh));
}

#[tokio::test(start_paused = true)]
async fn each_operation_has_its_own_end() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    cluster.nodes[0].on_operation(|body| match body {
        earmark_client::wire::v1::operation::Body::Receive(request) if request.sku == "sku-1" => {
            Reply::Refuse(refusal(Code::SkuFrozen))
        }
        other => accept(other),
    });
    let answers = client.batch(receipts(&client, 3)).await;
    let codes: Vec<Option<Code>> =
        answers.iter().map(|answer| answer.as_ref().err().map(|error| error.code())).collect();
    assert_eq!(codes, [None, Some(Code::SkuFrozen), None]);
}

#[tokio::test(start_paused = true)]
async fn what_a_faulty_answer_does_not_tell_may_have_been_done() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    cluster.nodes[0].on_operation(|body| match body {
        earmark_client::wire::v1::operation::Body::Receive(request) if request.sku == "sku-1" => Reply::Garbage,
        earmark_client::wire::v1::operation::Body::Receive(request) if request.sku == "sku-3" => Reply::Short,
        other => accept(other),
    });
    let answers = client.batch(receipts(&client, 5)).await;
    let unknown =
        |answer: &Result<Answer, earmark_client::Error>| answer.as_ref().is_err_and(|error| error.is_unknown());
    assert_eq!(answers.iter().map(unknown).collect::<Vec<_>>(), [false, true, false, true, true]);
    let calls = cluster.nodes[0].calls.lock().unwrap();
    assert!(calls.len() > 1 && calls[1].iter().all(|body| delivery(body).r#try == 2 && !delivery(body).fresh));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_unknown_for_all_in_it() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].on_operation(|_| Reply::Silence);
    let client = cluster.client().await;
    let start = Instant::now();
    let answers = client.batch(receipts(&client, 2)).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().is_unknown()));
    assert!(start.elapsed() <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_connected_surely_did_nothing() {
    let cluster = FakeCluster::start(2);
    let client = cluster.client().await;
    // A map in which all is led by a node that was never there.
    cluster.remap(|map| {
        map.map_version = 2;
        map.nodes.truncate(1);
        map.nodes[0].endpoint = "gone:1".to_owned();
        map.leaders.iter_mut().for_each(|leader| (leader.node, leader.term) = (1, 2));
    });
    client.cluster().routing().await.unwrap();
    let answers = client.batch(receipts(&client, 2)).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!((error.code(), error.tries()), (Code::NoQuorum, 0));
        assert!(error.surely_no_effect());
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_asks_nobody() {
    let cluster = FakeCluster::start(1);
    let client = cluster.client().await;
    assert!(client.batch([]).await.is_empty());
    assert!(cluster.nodes[0].calls.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn connecting_without_a_node_says_so_in_time() {
    let cluster = FakeCluster::start(1);
    cluster.nodes[0].up.store(false, Ordering::Relaxed);
    let start = Instant::now();
    let error = cluster.builder().open_timeout(Duration::from_secs(3)).connect().await.unwrap_err();
    assert_eq!(error.code(), Code::NoQuorum);
    assert!(error.surely_no_effect());
    assert!(start.elapsed() <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn cluster_calls_answer_and_refuse() {
    let cluster = FakeCluster::start(2);
    let client = cluster.client().await;
    let calls = client.cluster();
    assert_eq!(calls.routing().await.unwrap().ranges.len(), 2);
    assert_eq!(calls.status(false).await.unwrap().cluster_id, "fake");
    assert!(calls.compare().await.unwrap().all_equal);
    assert_eq!(calls.init(4).await.unwrap().shards, 4);
    let error = calls.init(0).await.unwrap_err();
    assert_eq!((error.code(), error.fields()[0].field.as_str()), (Code::InvalidArgument, "shards"));
    let mut reseed = calls.reseed(2).await.unwrap();
    let mut steps = Vec::new();
    while let Some(progress) = reseed.next().await.unwrap() {
        steps.push(progress.step);
    }
    assert_eq!(steps, ["removing", "adding", "done"]);
}
