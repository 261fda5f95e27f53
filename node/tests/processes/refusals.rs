//! What a node refuses to start with: each is told in one readable line that names the key, with exit code 2.

use crate::{
    admitted,
    cluster::{Cluster, NODES, refused},
};
use earmark_client::wire::v1::NodeHealth;
use earmark_node::storage::{
    Batch, Disk, Family, Folder,
    keys::{MetaKey, NodeTag},
};
use std::{fs, net::TcpListener};

/// Bad input: exit code 2, the words are said, and nothing panicked.
fn assert_refused(what: &str, told: (Option<i32>, String), words: &[&str]) {
    let (code, said) = told;
    eprintln!("{what}: {}", said.trim());
    assert_eq!(code, Some(2), "{what}: {said}");
    for word in words {
        assert!(said.contains(word), "{what}: `{said}` does not say `{word}`");
    }
    assert!(!said.contains("panicked"), "{what}: {said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("bad input: ")).count(), 1, "{what}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_told_with_its_key() {
    let _admitted = admitted().await;
    let cluster = Cluster::prepare("");
    let taken = TcpListener::bind(cluster.endpoint(1)).expect("free");
    assert_refused("client port", refused(&cluster.config_file(1)), &["client.listen", &cluster.endpoint(1), "in use"]);
    drop(taken);
    let address = format!("127.0.0.1:{}", cluster.peer_port(1));
    let _taken = TcpListener::bind(&address).expect("free");
    assert_refused("peer port", refused(&cluster.config_file(1)), &["peer.listen", &address, "in use"]);
    assert!(!cluster.data(1).join("store").exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_makes_no_sense_is_told_with_its_key() {
    let _admitted = admitted().await;
    for (extra, words) in [
        ("[limits]\nlog_keep = 3\n", &["log_keep"][..]),
        ("[limits]\nqueue = 0\n", &["limits.queue", "out of range"]),
        ("[raft]\nelection_min = \"soon\"\n", &["election_min"]),
    ] {
        let cluster = Cluster::prepare(extra);
        assert_refused(extra.trim(), refused(&cluster.config_file(1)), words);
    }
    let cluster = Cluster::prepare("");
    assert_refused("no file", refused(&cluster.scratch("missing.toml")), &["missing.toml"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_not_this_nodes_is_refused() {
    let _admitted = admitted().await;
    let mut cluster = Cluster::formed(2, "").await;
    let file = cluster.scratch("other.toml");

    // In use by another process: with ports of its own, so that the folder is what is in the way.
    let other = Cluster::prepare("");
    fs::write(&file, other.config(1, &cluster.data(1))).expect("written");
    assert_refused("in use", refused(&file), &["data", "in use"]);

    cluster.stop(2);
    fs::write(&file, cluster.config(2, &cluster.data(3))).expect("written");
    cluster.stop(3);
    let words = ["data", "node 3", "node = 2"];
    assert_refused("another node's", refused(&file), &words);

    // What was refused changed nothing.
    for node in [2, 3] {
        cluster.start(node);
    }
    for node in NODES {
        cluster.health(node, NodeHealth::Serving).await;
    }

    // A newer program wrote here.
    cluster.stop(2);
    {
        let engine = Folder::new(cluster.data(2)).open().expect("opened");
        let key = MetaKey::Node(NodeTag::Format).to_bytes();
        let mut batch = Batch::default();
        let record = earmark_node::storage::records::NumberRecord { value: 2 };
        batch.put_with(Family::Meta, &key, |out| earmark_node::storage::format::encode_record(&record, out));
        engine.write(&batch, true).await.expect("written");
    }
    assert_refused("a newer format", refused(&cluster.config_file(2)), &["data", "format 2", "knows 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_another_cluster_is_doubted() {
    let _admitted = admitted().await;
    let mut strangers = Cluster::formed(1, "").await;
    strangers.stop(2);
    let mut cluster = Cluster::formed(1, "").await;
    cluster.stop(2);
    fs::rename(cluster.data(2), cluster.scratch("kept")).expect("moved");
    fs::rename(strangers.data(2), cluster.data(2)).expect("moved");
    cluster.start(2);
    let status = cluster.health(2, NodeHealth::Doubted).await;
    eprintln!("{}", status.detail);
    for word in ["belongs to cluster", "another one", "`data`"] {
        assert!(status.detail.contains(word), "`{}` does not say `{word}`", status.detail);
    }
    assert!(status.replicas.iter().all(|replica| replica.role == "none"), "{:?}", status.replicas);
    let seen = cluster.status(1, false).await.expect("it serves");
    let seen = seen.into_iter().find(|status| status.node == 2).expect("it is named");
    assert_eq!((seen.health(), seen.detail), (NodeHealth::Doubted, status.detail));

    // The mistake is mended by putting the right folder back.
    cluster.stop(2);
    fs::rename(cluster.data(2), strangers.data(2)).expect("moved");
    fs::rename(cluster.scratch("kept"), cluster.data(2)).expect("moved");
    cluster.start(2);
    strangers.start(2);
    cluster.health(2, NodeHealth::Serving).await;
    strangers.health(2, NodeHealth::Serving).await;
}
