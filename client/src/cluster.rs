//! Calls about the cluster itself: the map, its state, and the few acts of an operator.
//!
//! They are rare, so they go by unary calls to whatever node answers, and return the messages of the contract as they are.

use crate::client::{Client, Shared};
use crate::error::{Code, Error};
use crate::link::{ANSWER_BYTES_MAX, Link};
use crate::outcomes::{Effect, RetryClass, code_of, row};
use crate::status;
use crate::wire::v1::{
    self, CompareRequest, CompareResponse, GetRoutingRequest, GetRoutingResponse, GetStatusRequest, GetStatusResponse,
    InitRequest, InitResponse, ReseedProgress, ReseedRequest, cluster_service_client::ClusterServiceClient,
};
use std::{fmt, future::Future, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// One node is given so long to tell the map before the next is asked.
const MAP_TIMEOUT: Duration = Duration::from_secs(2);

/// A status asks every node of the cluster, and some of them may be gone.
const STATUS_TIMEOUT: Duration = Duration::from_secs(15);

/// Every shard has to elect its first leader.
const INIT_TIMEOUT: Duration = Duration::from_secs(60);

/// Every replica of every shard has to pass the mark.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(60);

/// A large replica catches up for a while between two signs of life.
const RESEED_SILENCE_MAX: Duration = Duration::from_secs(300);

type Stub = ClusterServiceClient<Channel>;

/// Calls about the cluster; see [`Client::cluster`].
#[derive(Clone, Debug)]
pub struct Cluster {
    client: Client,
}

impl Client {
    /// Calls about the cluster itself.
    pub fn cluster(&self) -> Cluster {
        Cluster { client: self.clone() }
    }
}

impl Cluster {
    /// Which shard owns which buckets, who leads it, and where the nodes are. Also renews the client's own map.
    ///
    /// # Errors
    /// [`Code::NoQuorum`] if no node can be reached.
    pub async fn routing(&self) -> Result<GetRoutingResponse, Error> {
        fetch_map(&self.client.shared, Instant::now() + STATUS_TIMEOUT).await
    }

    /// Nodes, shards, leaders, positions and damage. `local`: only what the asked node knows of itself.
    ///
    /// # Errors
    /// [`Code::NoQuorum`] if no node can be reached.
    pub async fn status(&self, local: bool) -> Result<GetStatusResponse, Error> {
        let request = GetStatusRequest { local };
        ask_any(&self.client.shared, Ask::Read, STATUS_TIMEOUT, |mut stub| async move {
            stub.get_status(with_timeout(request, STATUS_TIMEOUT)).await
        })
        .await
    }

    /// Forms the cluster out of its first nodes, with that many stock shards, once.
    ///
    /// # Errors
    /// As the node says; [`Code::OutcomeUnknown`] if it did not answer: then [`Cluster::routing`] tells.
    pub async fn init(&self, shards: u32) -> Result<InitResponse, Error> {
        let request = InitRequest { shards };
        let done = ask_any(&self.client.shared, Ask::Act, INIT_TIMEOUT, |mut stub| async move {
            stub.init(with_timeout(request, INIT_TIMEOUT)).await
        })
        .await;
        self.client.shared.refresh.notify_one();
        done
    }

    /// Has every replica of every stock shard tell its digest at one and the same position.
    ///
    /// # Errors
    /// As the node says.
    pub async fn compare(&self) -> Result<CompareResponse, Error> {
        ask_any(&self.client.shared, Ask::Read, COMPARE_TIMEOUT, |mut stub| async move {
            stub.compare(with_timeout(CompareRequest {}, COMPARE_TIMEOUT)).await
        })
        .await
    }

    /// Brings a node with a lost or damaged disk back. The node asked does the work, and tells of it as it goes.
    ///
    /// # Errors
    /// As the node says; [`Code::OutcomeUnknown`] if it did not answer.
    pub async fn reseed(&self, node: u32) -> Result<Reseed, Error> {
        let request = ReseedRequest { node };
        let frames = ask_any(&self.client.shared, Ask::Act, RESEED_SILENCE_MAX, |mut stub| async move {
            stub.reseed(Request::new(request)).await
        })
        .await?;
        Ok(Reseed { frames })
    }
}

/// The progress of a reseed.
pub struct Reseed {
    frames: Streaming<ReseedProgress>,
}

impl Reseed {
    /// The next step; none when all is done.
    ///
    /// # Errors
    /// As the node says; [`Code::OutcomeUnknown`] if it falls silent. Asking for the reseed again continues it.
    pub async fn next(&mut self) -> Result<Option<ReseedProgress>, Error> {
        match timeout(RESEED_SILENCE_MAX, self.frames.message()).await {
            Ok(Ok(step)) => Ok(step),
            Ok(Err(status)) => Err(Error::concluded(status::judge(&status), false, 1, None)),
            Err(_) => Err(Error::local(Code::OutcomeUnknown, "the node fell silent")),
        }
    }
}

impl fmt::Debug for Reseed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reseed")
    }
}

/// Whether a second node may be asked after the first one did not answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// As often as one likes.
    Read,
    /// Only if the first surely did nothing.
    Act,
}

/// Fetches the map from any node, takes it over and returns it.
pub(crate) async fn fetch_map(shared: &Shared, deadline: Instant) -> Result<GetRoutingResponse, Error> {
    let mut last = None;
    for link in shared.routing.all(shared.environment.random_u64()) {
        let until = deadline.min(Instant::now() + MAP_TIMEOUT);
        let asked = ask(&link, Ask::Read, until, &|mut stub: Stub| async move {
            stub.get_routing(with_timeout(GetRoutingRequest {}, MAP_TIMEOUT)).await
        });
        match asked.await {
            Ok(map) => {
                shared.time.observe(link.endpoint(), map.server_time_ms);
                shared.routing.learn(&map);
                return Ok(map);
            }
            Err(failure) => last = Some(failure),
        }
    }
    Err(no_node(last))
}

/// How one node failed to answer.
enum Failure {
    /// It was never asked.
    Unsent(String),
    /// It was asked, and the call ended so.
    Ended(v1::Error),
}

async fn ask_any<T, F, R>(shared: &Arc<Shared>, kind: Ask, limit: Duration, call: F) -> Result<T, Error>
where
    F: Fn(Stub) -> R,
    R: Future<Output = Result<Response<T>, Status>>,
{
    let deadline = Instant::now() + limit;
    let mut last = None;
    for link in shared.routing.all(shared.environment.random_u64()) {
        match ask(&link, kind, deadline, &call).await {
            Ok(answer) => return Ok(answer),
            Err(Failure::Ended(error)) if !kind.may_ask_another(&error) => {
                return Err(Error::concluded(error, false, 1, None));
            }
            Err(failure) => last = Some(failure),
        }
    }
    Err(no_node(last))
}

impl Ask {
    /// Only if another node might say otherwise, and if asking twice does no harm.
    fn may_ask_another(self, error: &v1::Error) -> bool {
        let row = row(code_of(error.code));
        row.retry == RetryClass::SameId && (self == Self::Read || row.effect == Effect::SurelyNone)
    }
}

async fn ask<T, F, R>(link: &Link, kind: Ask, until: Instant, call: &F) -> Result<T, Failure>
where
    F: Fn(Stub) -> R,
    R: Future<Output = Result<Response<T>, Status>>,
{
    let channel = link.channel().map_err(Failure::Unsent)?;
    let stub = Stub::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    match timeout_at(until, call(stub)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) if status::never_sent(&status) => {
            Err(Failure::Unsent(format!("{}: {}", link.endpoint(), status::root_cause(&status))))
        }
        Ok(Err(status)) => Err(Failure::Ended(status::judge(&status))),
        Err(_) => {
            let message = format!("{} gave no answer in time", link.endpoint());
            // A read does nothing, so nothing of it is unknown.
            let code = if kind == Ask::Read { Code::Late } else { Code::OutcomeUnknown };
            Err(Failure::Ended(v1::Error { code: code.into(), message, ..Default::default() }))
        }
    }
}

fn no_node(last: Option<Failure>) -> Error {
    match last {
        Some(Failure::Ended(error)) => Error::concluded(error, false, 1, None),
        Some(Failure::Unsent(why)) => Error::local(Code::NoQuorum, format!("no node can be reached; the last: {why}")),
        None => Error::local(Code::NoQuorum, "no node is known"),
    }
}

/// The server is told the limit too, so that it does not work for nobody.
fn with_timeout<T>(message: T, limit: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}
