//! etcd: three members. A reserve is a transaction that writes the pool and the hold if the pool still has the revision
//! that the caller knows; else it is told the newest one and tries again. A transaction takes at most 128 operations, none of
//! them on the same key, so there are no batches.

use crate::{
    peer::{Peer, Place},
    processes::{Running, until},
};
use earmark_benches::{
    Failed,
    load::{
        drive::Callers,
        keys::Keys,
        measured::Counts,
        shape::{Plan, Work},
    },
};
use kv_client::KvClient;
use rand::rngs::SmallRng;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

#[allow(missing_docs, clippy::all)]
mod wire {
    tonic::include_proto!("etcdserverpb");
}
use wire::{
    Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse, compare, kv_client, request_op, response_op,
};

/// Members.
const NODES: u16 = 3;

/// A reserve that lost so often against others is given up.
const TRIES: u32 = 1_000;

/// Receipts that go out together while it is stocked.
const TOGETHER: usize = 100;

/// What is known of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    revision: i64,
    available: u64,
    held: u64,
}

impl Known {
    fn read(revision: i64, value: &[u8]) -> Option<Self> {
        let (available, held) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        Some(Self { revision, available: available.parse().ok()?, held: held.parse().ok()? })
    }

    fn value(self) -> Vec<u8> {
        format!("{} {}", self.available, self.held).into_bytes()
    }
}

/// Three members.
pub struct Etcd {
    plan: Plan,
    keys: Keys,
    running: Vec<Running>,
    channels: Vec<Channel>,
    /// What callers know of pools: none has to read before it writes.
    known: Mutex<HashMap<String, Known>>,
}

impl Peer for Etcd {
    fn does(work: Work) -> bool {
        matches!(work, Work::Reserve)
    }

    async fn start(place: &Place, plan: &Plan) -> Result<Self, Failed> {
        let clients = |node: u16| format!("http://127.0.0.1:{}", place.port + 2 * node);
        let peers = |node: u16| format!("http://127.0.0.1:{}", place.port + 2 * node + 1);
        let all: Vec<String> = (0..NODES).map(|node| format!("m{node}={}", peers(node))).collect();
        let mut running = Vec::new();
        for node in 0..NODES {
            let (name, data) = (format!("m{node}"), place.folder.join(format!("etcd-{node}")));
            let options = [
                ("name", name),
                ("data-dir", data.to_string_lossy().into_owned()),
                ("listen-client-urls", clients(node)),
                ("advertise-client-urls", clients(node)),
                ("listen-peer-urls", peers(node)),
                ("initial-advertise-peer-urls", peers(node)),
                ("initial-cluster", all.join(",")),
                ("quota-backend-bytes", (8_u64 << 30).to_string()),
                ("log-level", "error".to_owned()),
            ];
            let arguments = options.map(|(name, value)| format!("--{name}={value}"));
            running.push(Running::start("etcd", arguments, &place.folder.join(format!("etcd-{node}.log")), "TERM")?);
        }
        let channels: Vec<Channel> = (0..plan.clients.max(1))
            .map(|client| {
                let node = u16::try_from(client).unwrap_or(0) % NODES;
                Ok(Endpoint::from_shared(clients(node))?.connect_lazy())
            })
            .collect::<Result<_, Failed>>()?;
        let etcd = Self {
            plan: plan.clone(),
            keys: Keys::new(plan.skus, plan.spread),
            running,
            channels,
            known: Mutex::default(),
        };
        for skus in etcd.keys.all().collect::<Vec<_>>().chunks(TOGETHER) {
            let first = Known { available: plan.stock, ..Known::default() };
            let puts = skus.iter().map(|sku| put(sku.clone().into_bytes(), first.value())).collect::<Vec<_>>();
            let receive = TxnRequest { success: puts, ..TxnRequest::default() };
            let told = until(async || Ok(KvClient::new(etcd.channels[0].clone()).txn(receive.clone()).await?)).await?;
            let revision = told.into_inner().header.unwrap_or_default().revision;
            let mut known = etcd.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.extend(skus.iter().map(|sku| (sku.clone(), Known { revision, ..first })));
        }
        Ok(etcd)
    }

    fn pids(&self) -> Vec<u32> {
        self.running.iter().map(Running::pid).collect()
    }
}

fn put(key: Vec<u8>, value: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(request_op::Request::RequestPut(PutRequest { key, value })) }
}

fn get(key: Vec<u8>) -> RequestOp {
    RequestOp { request: Some(request_op::Request::RequestRange(RangeRequest { key })) }
}

fn equal(key: Vec<u8>, target: compare::Target, revision: i64) -> Compare {
    let union = match target {
        compare::Target::Create => compare::TargetUnion::CreateRevision(revision),
        _ => compare::TargetUnion::ModRevision(revision),
    };
    Compare { result: compare::Result::Equal.into(), target: target.into(), key, target_union: Some(union) }
}

impl Etcd {
    /// Whether a unit could be held; none if others always came first.
    async fn reserve(&self, channel: &Channel, sku: &str) -> Result<Option<bool>, Status> {
        let id = Uuid::now_v7();
        let deadline = id.get_timestamp().map_or(0, |at| at.to_unix().0) + self.plan.ttl.as_secs();
        let hold = format!("hold/{id}").into_bytes();
        let mut kv = KvClient::new(channel.clone());
        for _ in 0..TRIES {
            let known = self.known(sku);
            let pool = sku.as_bytes().to_vec();
            let next = Known { available: known.available.saturating_sub(1), held: known.held + 1, ..known };
            // What a caller knows may be old, so a refusal needs a look at the pool as well.
            let success = match known.available {
                0 => vec![get(pool.clone())],
                _ => vec![
                    put(pool.clone(), next.value()),
                    put(hold.clone(), format!("{sku} 1 {deadline} held").into_bytes()),
                ],
            };
            let compare = vec![
                equal(pool.clone(), compare::Target::Mod, known.revision),
                equal(hold.clone(), compare::Target::Create, 0),
            ];
            let told = kv.txn(TxnRequest { compare, success, failure: vec![get(pool)] }).await?.into_inner();
            if told.succeeded {
                if known.available > 0 {
                    self.learn(sku, Known { revision: told.header.unwrap_or_default().revision, ..next });
                }
                return Ok(Some(known.available > 0));
            }
            if let Some(newest) = read(&told) {
                self.learn(sku, newest);
            }
        }
        Ok(None)
    }

    fn known(&self, sku: &str) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(sku).copied().unwrap_or_default()
    }

    fn learn(&self, sku: &str, newer: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(sku).filter(|known| known.revision < newer.revision) {
            *known = newer;
        }
    }
}

/// The pool that a transaction which lost was told.
fn read(told: &TxnResponse) -> Option<Known> {
    let Some(response_op::Response::ResponseRange(range)) = &told.responses.first()?.response else { return None };
    let pool = range.kvs.first()?;
    Known::read(pool.mod_revision, &pool.value)
}

impl Callers for Etcd {
    fn outstanding(&self) -> usize {
        self.plan.outstanding
    }

    async fn turn(&self, caller: usize, random: &mut SmallRng) -> Counts {
        let channel = &self.channels[caller % self.channels.len()];
        match self.reserve(channel, &self.keys.draw(random)).await {
            Ok(Some(true)) => Counts { done: 1, ..Counts::default() },
            Ok(Some(false)) => Counts { refused: 1, ..Counts::default() },
            Ok(None) => Counts { contended: 1, ..Counts::default() },
            Err(_) => Counts { unknown: 1, ..Counts::default() },
        }
    }
}
