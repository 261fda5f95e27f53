//! Three nodes, and clients of all of them.

use crate::support::{formed, ports};
use earmark_client::{Client, Code, Error, Pool};
use earmark_node::Running;
use std::time::Duration;

pub struct Cluster {
    nodes: Vec<Running>,
    endpoints: Vec<String>,
    _folder: tempfile::TempDir,
}

/// A client with a namespace of its own.
pub struct World {
    pub client: Client,
}

impl Cluster {
    pub async fn new(shards: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = ports(6);
        let (nodes, _) = formed(folder.path(), &ports, shards).await;
        let endpoints = [0, 2, 4].iter().map(|place| format!("127.0.0.1:{}", ports[*place])).collect();
        Self { nodes, endpoints, _folder: folder }
    }

    pub async fn world(&self, namespace: &str) -> World {
        let client = Client::builder().endpoints(self.endpoints.clone()).timeout(Duration::from_secs(20));
        World { client: client.namespace(namespace).connect().await.expect("connected") }
    }

    pub fn nodes(&self) -> &[Running] {
        &self.nodes
    }

    /// No shard stopped, on no node.
    pub fn every_replica_serves(&self) {
        for replica in self.nodes.iter().flat_map(|running| running.node().replicas()) {
            assert!(!replica.core().is_damaged(), "shard {}", replica.shard());
        }
    }

    pub async fn end(self) {
        for running in self.nodes {
            running.stop().await;
        }
    }
}

impl World {
    pub async fn receive(&self, sku: &str, location: &str, units: u64) {
        self.client.receive(sku, location, units).send().await.expect("received");
    }

    /// The one pool of a SKU at a location.
    pub async fn pool(&self, sku: &str, location: &str) -> Pool {
        let mut stock = self.client.stock(sku).location(location).send().await.expect("read");
        assert_eq!(stock.pools.len(), 1, "{stock:?}");
        stock.pools.remove(0)
    }
}

/// What was refused, for what reason; surely without effect.
pub fn refused<T: std::fmt::Debug>(result: Result<T, Error>, code: Code) -> Error {
    let error = result.expect_err("it is to be refused");
    assert_eq!(error.code(), code, "{error}");
    assert!(error.surely_no_effect(), "{error}");
    error
}

/// on hand, available, held, committed, unavailable, short.
pub fn books(pool: &Pool) -> [u64; 6] {
    [pool.on_hand, pool.available, pool.held, pool.committed, pool.unavailable, pool.short]
}
