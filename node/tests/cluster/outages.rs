//! What a caller is told when a majority is away: what was never proposed is surely not done, what was is unknown, and
//! the same id tells its end once the others are back. Never is it told a refusal.

use crate::support::{config, formed, leader, ports, receive, served, start_with};
use earmark_client::{
    Code,
    status::from_status,
    wire::v1::{self, stock_service_client::StockServiceClient},
};
use earmark_ledger::types::ShardId;
use earmark_node::Running;
use std::collections::BTreeMap;
use tonic::transport::Channel;

const SHARD: ShardId = ShardId(1);

/// A receipt that may take effect for a second.
fn receipt(number: u8, not_after_ms: u64, attempt: u32, direct: bool) -> v1::ReceiveRequest {
    let mut id = *uuid::Uuid::now_v7().as_bytes();
    id[15] = number;
    v1::ReceiveRequest {
        operation_id: id.to_vec().into(),
        sku: "tea".to_owned(),
        location: "main".to_owned(),
        quantity: 1,
        delivery: Some(v1::Delivery { not_after_ms, r#try: attempt, direct, ..Default::default() }),
        ..Default::default()
    }
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    u64::try_from(since.as_millis()).expect("for long")
}

async fn send(channel: &Channel, request: v1::ReceiveRequest) -> Result<v1::ReceiveResponse, Code> {
    let answer = StockServiceClient::new(channel.clone()).receive(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| {
        let error = from_status(&status).unwrap_or_else(|| panic!("it says nothing of ours: {status}"));
        error.code()
    })
}

/// Starts the others again.
async fn back(places: &[usize], folder: &std::path::Path, ports: &[u16]) -> Vec<Running> {
    let mut started = Vec::new();
    for place in places {
        let node = u32::try_from(place + 1).expect("small");
        let clock = std::sync::Arc::new(earmark_node::environment::SystemClock);
        started.push(start_with(config(node, folder, ports), clock).await);
    }
    started
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, _) = formed(folder.path(), &ports, 1).await;
    let leading = leader(&nodes, SHARD).await;
    let place = (0..3).find(|place| nodes[*place].node().replica(SHARD).is_some_and(|one| one.is_leader()));
    let place = place.expect("one leads");
    drop(leading);
    let endpoint = format!("http://127.0.0.1:{}", ports[place * 2]);
    let channel = Channel::from_shared(endpoint).expect("an endpoint").connect().await.expect("connected");
    receive(&channel, "tea", 10).await;

    let (mut kept, mut others) = (Vec::new(), Vec::new());
    for (at, running) in nodes.into_iter().enumerate() {
        if at == place {
            kept.push(running);
        } else {
            running.stop().await;
            others.push(at);
        }
    }
    // At first it still leads: what it proposes is in its log, and nobody knows what will become of it. Then it knows that
    // it does not lead, and proposes nothing.
    let mut told = BTreeMap::<&str, Vec<v1::ReceiveRequest>>::new();
    for number in 0.. {
        assert!(number < 200, "it never noticed: {:?}", told.keys());
        let request = receipt(number, now_ms() + 1_000, 1, number % 2 == 0);
        let code = send(&channel, request.clone()).await.expect_err("there is no majority");
        let kind = match code {
            Code::OutcomeUnknown => "unknown",
            Code::NoQuorum | Code::NotLeader => "surely not",
            Code::Late => "late",
            other => panic!("{other:?} is no answer of a cluster without a majority"),
        };
        told.entry(kind).or_default().push(request);
        if told.get("surely not").is_some_and(|list| list.len() >= 2) {
            break;
        }
    }

    let started = back(&others, folder.path(), &ports).await;
    served(&started).await;
    let mut done = 0;
    for (kind, requests) in &told {
        for request in requests {
            // The same id with the next try, as long as it takes until somebody leads.
            let again = loop {
                let delivery = v1::Delivery { not_after_ms: now_ms() + 10_000, r#try: 2, ..Default::default() };
                let request = v1::ReceiveRequest { delivery: Some(delivery), ..request.clone() };
                match send(&channel, request).await {
                    Ok(told) => break told,
                    Err(Code::NoQuorum | Code::NotLeader | Code::OutcomeUnknown | Code::Late) => {
                        tokio::task::yield_now().await;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            };
            // What was surely not done was not; what was unknown may have been, once.
            assert!(*kind == "unknown" || !again.replayed, "{kind}: {again:?}");
            done += 1;
        }
    }
    let request = v1::GetStockRequest { sku: "tea".to_owned(), ..Default::default() };
    let stock = StockServiceClient::new(channel).get_stock(request).await.expect("read").into_inner();
    assert_eq!(stock.pools[0].on_hand, 10 + done);
    for running in kept.into_iter().chain(started) {
        running.stop().await;
    }
}
