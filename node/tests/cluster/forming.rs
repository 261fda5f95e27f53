//! A cluster is formed of nodes that know that they belong to none.

use crate::support::{config, ports, served, start, start_with};
use earmark_node::{
    config::{Config, Peer},
    environment::SystemClock,
    formation,
    node::Health,
};
use std::{net::TcpListener, path::Path, sync::Arc};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_conducts_waits_until_the_others_are_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let begin = |node| start(node, folder.path(), &ports, Arc::new(SystemClock));
    let mut nodes = vec![begin(1).await, begin(2).await];
    let conductor = Arc::clone(nodes[0].node());
    let (formed, third) = tokio::join!(formation::form(&conductor, 1), begin(3));
    formed.expect("formed");
    nodes.push(third);
    served(&nodes).await;
    for running in nodes {
        running.stop().await;
    }
}

/// It would hear of a cluster that knows it as a member while it is still asking, and take itself for one that lost its folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_still_asks_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(8);
    // Takes connections and says nothing: whoever asks there waits for seconds.
    let silent = TcpListener::bind(("127.0.0.1", ports[7])).expect("bound");
    let begin = |node| start(node, folder.path(), &ports, Arc::new(SystemClock));
    let (first, third) = (begin(1).await, begin(3).await);
    let second = start_with(asks_the_silent(folder.path(), &ports), Arc::new(SystemClock)).await;
    for running in [&first, &third] {
        let mut health = running.node().watch_health();
        health.wait_for(|health| *health == Health::Unformed).await.expect("unformed");
    }
    assert_eq!(second.node().health(), Health::Starting);
    formation::form(first.node(), 1).await.expect("formed");
    let nodes = [first, second, third];
    served(&nodes).await;
    for running in nodes {
        running.stop().await;
    }
    drop(silent);
}

/// The second node, which knows of a fourth.
fn asks_the_silent(folder: &Path, ports: &[u16]) -> Config {
    let mut config = config(2, folder, ports);
    let address = |place: usize| format!("127.0.0.1:{}", ports[place]);
    let silent = Peer { client: address(6), peer: address(7), region: String::new(), zone: String::new() };
    config.nodes.insert(4, silent);
    config
}
