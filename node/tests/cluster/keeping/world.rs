//! Three nodes and a client of all of them.

use crate::support::{formed, ports};
use earmark_client::{Client, Code, Error, Pool};
use earmark_node::Running;
use std::time::Duration;

pub struct World {
    pub client: Client,
    pub nodes: Vec<Running>,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn new(shards: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ports = ports(6);
        let (nodes, _) = formed(folder.path(), &ports, shards).await;
        let endpoints = [0, 2, 4].map(|place| format!("127.0.0.1:{}", ports[place]));
        let client = Client::builder().endpoints(endpoints).timeout(Duration::from_secs(20));
        let client = client.connect().await.expect("connected");
        Self { client, nodes, _folder: folder }
    }

    pub async fn receive(&self, sku: &str, location: &str, units: u64) {
        self.client.receive(sku, location, units).send().await.expect("received");
    }

    /// The one pool of a SKU at a location.
    pub async fn pool(&self, sku: &str, location: &str) -> Pool {
        let mut stock = self.client.stock(sku).location(location).send().await.expect("read");
        assert_eq!(stock.pools.len(), 1, "{stock:?}");
        stock.pools.remove(0)
    }

    pub async fn end(self) {
        drop(self.client);
        for running in self.nodes {
            running.stop().await;
        }
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
