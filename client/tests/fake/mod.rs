//! A fake cluster for the tests of the SDK: nodes that speak the contract over in-memory connections and answer as a
//! script says. They keep no stock and know no Raft; what a real node does is tested with real nodes.
//!
//! Nothing here waits for real time, so tests run with tokio's paused clock and the same way each time.

// Each test file uses a part of it.
#![allow(dead_code)]

pub mod keeping;

use bytes::Bytes;
use earmark_client::wire::{
    BatchRequest, BatchResponse, Tagged,
    v1::{self, operation::Body},
};
use earmark_client::{BoxError, Builder, Client, Connector, Environment, endpoint};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Server, Uri};
use tonic::{Request, Response, Status, Streaming};
use v1::operation_result::Body as Told;

/// Server time of the fake nodes when a test begins; the client's own clock says something else.
pub const SERVER_START_MS: u64 = 1_700_000_000_000;

/// What the script of a node says to an operation.
// Made once an operation and matched at once, so its size costs nothing.
#[allow(clippy::large_enum_variant)]
pub enum Reply {
    Tell(Told),
    Refuse(v1::Error),
    /// Bytes that are no answer. Batches only.
    Garbage,
    /// The answer to the call ends here. Batches only.
    Short,
    /// No answer, now or later.
    Silence,
    /// The stream ends, with this operation and all others on it unanswered.
    Break,
}

type Script = Box<dyn FnMut(&Body) -> Reply + Send>;

/// One node.
pub struct FakeNode {
    pub endpoint: String,
    /// Frames of all sessions, in the order they came.
    pub frames: Mutex<Vec<Vec<Body>>>,
    /// Operations of all batch calls, call by call.
    pub calls: Mutex<Vec<Vec<Body>>>,
    pub sessions: AtomicU32,
    pub credit: AtomicU32,
    pub up: AtomicBool,
    /// While false, sessions read nothing.
    pub reading: watch::Sender<bool>,
    /// While false, answers are made and counted but kept back.
    pub answering: watch::Sender<bool>,
    in_flight_now: AtomicU32,
    pub in_flight_most: AtomicU32,
    script: Mutex<Script>,
    connections: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    cluster: Mutex<v1::GetRoutingResponse>,
    started: tokio::time::Instant,
}

/// Several nodes, and the network to them.
pub struct FakeCluster {
    pub nodes: Vec<Arc<FakeNode>>,
    duplex_bytes: usize,
}

impl FakeCluster {
    /// Nodes n1:1, n2:1, ... Shard 1 has the lower half of the buckets and is led by n1, shard 2 the upper by n2 (by n1
    /// if it is alone).
    pub fn start(count: u32) -> Self {
        Self::with_pipe(count, 1 << 20)
    }

    /// As `start`, with so many bytes of room in each connection.
    pub fn with_pipe(count: u32, duplex_bytes: usize) -> Self {
        let map = routing(count);
        let nodes = (1..=count).map(|node| FakeNode::start(format!("n{node}:1"), map.clone())).collect();
        Self { nodes, duplex_bytes }
    }

    pub fn builder(&self) -> Builder {
        Client::builder().endpoint("n1:1").connector(self.connector()).environment(FakeEnvironment::default())
    }

    pub async fn client(&self) -> Client {
        self.builder().connect().await.expect("n1 is up")
    }

    /// Changes what every node tells of the cluster.
    pub fn remap(&self, change: impl Fn(&mut v1::GetRoutingResponse)) {
        for node in &self.nodes {
            change(&mut node.cluster.lock().unwrap());
        }
    }

    fn connector(&self) -> impl Connector + use<> {
        let nodes: BTreeMap<String, Arc<FakeNode>> =
            self.nodes.iter().map(|node| (node.endpoint.clone(), Arc::clone(node))).collect();
        let bytes = self.duplex_bytes;
        move |address: &str| -> Result<Channel, BoxError> {
            let node = nodes.get(address).cloned();
            let dial = tower::service_fn(move |_: Uri| dial(node.clone(), bytes));
            Ok(endpoint(address, Duration::from_secs(1))?.connect_with_connector_lazy(dial))
        }
    }
}

async fn dial(node: Option<Arc<FakeNode>>, bytes: usize) -> io::Result<TokioIo<DuplexStream>> {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let node = node.filter(|node| node.up.load(Ordering::Relaxed)).ok_or_else(refused)?;
    let (ours, theirs) = tokio::io::duplex(bytes);
    node.connections.send(Ok(theirs)).map_err(|_| refused())?;
    Ok(TokioIo::new(ours))
}

fn routing(count: u32) -> v1::GetRoutingResponse {
    let leader = |shard: u32, node: u32| v1::ShardLeader { shard, node: node.min(count), term: 1 };
    v1::GetRoutingResponse {
        cluster_id: "fake".to_owned(),
        map_version: 1,
        ranges: vec![
            v1::BucketRange { first: 0, last: 8_191, shard: 1 },
            v1::BucketRange { first: 8_192, last: 16_383, shard: 2 },
        ],
        leaders: vec![leader(1, 1), leader(2, 2)],
        nodes: (1..=count)
            .map(|node| v1::NodeEndpoint { node, endpoint: format!("n{node}:1"), ..Default::default() })
            .collect(),
        server_time_ms: SERVER_START_MS,
    }
}

impl FakeNode {
    fn start(endpoint: String, cluster: v1::GetRoutingResponse) -> Arc<Self> {
        let (connections, incoming) = mpsc::unbounded_channel();
        let node = Arc::new(Self {
            endpoint,
            frames: Mutex::default(),
            calls: Mutex::default(),
            sessions: AtomicU32::new(0),
            credit: AtomicU32::new(1_000),
            up: AtomicBool::new(true),
            reading: watch::channel(true).0,
            answering: watch::channel(true).0,
            in_flight_now: AtomicU32::new(0),
            in_flight_most: AtomicU32::new(0),
            script: Mutex::new(Box::new(accept)),
            connections,
            cluster: Mutex::new(cluster),
            started: tokio::time::Instant::now(),
        });
        let serving = Server::builder()
            .add_service(v1::reservation_service_server::ReservationServiceServer::new(Service(Arc::clone(&node))))
            .add_service(v1::cluster_service_server::ClusterServiceServer::new(Service(Arc::clone(&node))))
            .serve_with_incoming(UnboundedReceiverStream::new(incoming));
        tokio::spawn(serving);
        node
    }

    pub fn on_operation(&self, script: impl FnMut(&Body) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Every operation that came by a session.
    pub fn seen(&self) -> Vec<Body> {
        self.frames.lock().unwrap().iter().flatten().cloned().collect()
    }

    pub fn frame_sizes(&self) -> Vec<usize> {
        self.frames.lock().unwrap().iter().map(Vec::len).collect()
    }

    fn now_ms(&self) -> u64 {
        SERVER_START_MS + u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    fn frame(&self, results: Vec<Tagged>) -> v1::SessionResponse {
        let credit = self.credit.load(Ordering::Relaxed);
        v1::SessionResponse { results, server_time_ms: self.now_ms(), credit, session: 7 }
    }

    /// The answers to one frame. None if the stream shall end.
    fn play(&self, frame: v1::SessionRequest) -> Option<Vec<Tagged>> {
        let bodies: Vec<(u64, Body)> =
            frame.operations.iter().map(|tagged| (tagged.tag, tagged.to_operation().unwrap().body.unwrap())).collect();
        self.frames.lock().unwrap().push(bodies.iter().map(|(_, body)| body.clone()).collect());
        let count = u32::try_from(bodies.len()).unwrap();
        let now = self.in_flight_now.fetch_add(count, Ordering::Relaxed) + count;
        self.in_flight_most.fetch_max(now, Ordering::Relaxed);
        let mut results = Vec::new();
        for (tag, body) in bodies {
            let told = match (self.script.lock().unwrap())(&body) {
                Reply::Tell(told) => told,
                Reply::Refuse(error) => Told::Error(error),
                Reply::Silence | Reply::Garbage | Reply::Short => continue,
                Reply::Break => return None,
            };
            results.push(Tagged::result(tag, &v1::OperationResult { body: Some(told) }));
        }
        Some(results)
    }
}

async fn until(gate: &watch::Sender<bool>) {
    gate.subscribe().wait_for(|open| *open).await.unwrap();
}

/// The services of a node. A session outlives the call that opened it, so it needs the node shared.
struct Service(Arc<FakeNode>);

type Frames = UnboundedReceiverStream<Result<v1::SessionResponse, Status>>;

async fn session(
    node: Arc<FakeNode>,
    mut frames_in: Streaming<v1::SessionRequest>,
    frames_out: mpsc::UnboundedSender<Result<v1::SessionResponse, Status>>,
) {
    let _ = frames_out.send(Ok(node.frame(Vec::new())));
    loop {
        until(&node.reading).await;
        let Ok(Some(frame)) = frames_in.message().await else { return };
        let Some(results) = node.play(frame) else {
            let _ = frames_out.send(Err(Status::unavailable("the fake breaks")));
            return;
        };
        let (node, frames_out) = (Arc::clone(&node), frames_out.clone());
        tokio::spawn(async move {
            until(&node.answering).await;
            node.in_flight_now.fetch_sub(u32::try_from(results.len()).unwrap(), Ordering::Relaxed);
            let _ = frames_out.send(Ok(node.frame(results)));
        });
    }
}

fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the SDK does not use it"))
}

#[tonic::async_trait]
impl v1::reservation_service_server::ReservationService for Service {
    type SessionStream = Frames;

    async fn session(&self, request: Request<Streaming<v1::SessionRequest>>) -> Result<Response<Frames>, Status> {
        self.0.sessions.fetch_add(1, Ordering::Relaxed);
        let (frames_out, answers) = mpsc::unbounded_channel();
        tokio::spawn(session(Arc::clone(&self.0), request.into_inner(), frames_out));
        Ok(Response::new(UnboundedReceiverStream::new(answers)))
    }

    async fn batch(&self, request: Request<BatchRequest>) -> Result<Response<BatchResponse>, Status> {
        let body = |bytes: Bytes| v1::Operation::decode(bytes).unwrap().body.unwrap();
        let bodies: Vec<Body> = request.into_inner().operations.into_iter().map(body).collect();
        self.0.calls.lock().unwrap().push(bodies.clone());
        let mut results = Vec::new();
        for body in &bodies {
            let reply = (self.0.script.lock().unwrap())(body);
            let told = match reply {
                Reply::Tell(told) => told,
                Reply::Refuse(error) => Told::Error(error),
                Reply::Garbage => {
                    results.push(Bytes::from_static(b"\xff\xff"));
                    continue;
                }
                Reply::Short => break,
                Reply::Silence => std::future::pending().await,
                Reply::Break => return Err(Status::unavailable("the fake breaks")),
            };
            results.push(v1::OperationResult { body: Some(told) }.encode_to_vec().into());
        }
        Ok(Response::new(BatchResponse { results }))
    }

    async fn reserve(&self, _: Request<v1::ReserveRequest>) -> Result<Response<v1::ReserveResponse>, Status> {
        unused()
    }
    async fn commit(&self, _: Request<v1::CommitRequest>) -> Result<Response<v1::CommitResponse>, Status> {
        unused()
    }
    async fn release(&self, _: Request<v1::ReleaseRequest>) -> Result<Response<v1::ReleaseResponse>, Status> {
        unused()
    }
    async fn extend(&self, _: Request<v1::ExtendRequest>) -> Result<Response<v1::ExtendResponse>, Status> {
        unused()
    }
    async fn replace(&self, _: Request<v1::ReplaceRequest>) -> Result<Response<v1::ReplaceResponse>, Status> {
        unused()
    }
    async fn mark_paying(&self, _: Request<v1::MarkPayingRequest>) -> Result<Response<v1::MarkPayingResponse>, Status> {
        unused()
    }
    async fn ship(&self, _: Request<v1::ShipRequest>) -> Result<Response<v1::ShipResponse>, Status> {
        unused()
    }
    async fn cancel(&self, _: Request<v1::CancelRequest>) -> Result<Response<v1::CancelResponse>, Status> {
        unused()
    }
    async fn return_units(
        &self,
        _: Request<v1::ReturnUnitsRequest>,
    ) -> Result<Response<v1::ReturnUnitsResponse>, Status> {
        unused()
    }
    async fn get_reservation(
        &self,
        _: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::GetReservationResponse>, Status> {
        unused()
    }
    async fn dry_run(&self, _: Request<v1::DryRunRequest>) -> Result<Response<v1::DryRunResponse>, Status> {
        unused()
    }
    async fn list_reservations(
        &self,
        _: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        unused()
    }
    async fn list_expiring(
        &self,
        _: Request<v1::ListExpiringRequest>,
    ) -> Result<Response<v1::ListExpiringResponse>, Status> {
        unused()
    }
    async fn make_reservation_id(
        &self,
        _: Request<v1::MakeReservationIdRequest>,
    ) -> Result<Response<v1::MakeReservationIdResponse>, Status> {
        unused()
    }
}

#[tonic::async_trait]
impl v1::cluster_service_server::ClusterService for Service {
    type ReseedStream = UnboundedReceiverStream<Result<v1::ReseedProgress, Status>>;

    async fn get_routing(&self, _: Request<v1::GetRoutingRequest>) -> Result<Response<v1::GetRoutingResponse>, Status> {
        let mut map = self.0.cluster.lock().unwrap().clone();
        map.server_time_ms = self.0.now_ms();
        Ok(Response::new(map))
    }

    async fn init(&self, request: Request<v1::InitRequest>) -> Result<Response<v1::InitResponse>, Status> {
        let shards = request.into_inner().shards;
        if shards == 0 {
            let fields = vec![v1::FieldViolation { field: "shards".to_owned(), description: "1 to 1024".to_owned() }];
            let error = v1::Error { fields, ..refusal(v1::Code::InvalidArgument) };
            return Err(earmark_client::status::to_status(&error));
        }
        Ok(Response::new(v1::InitResponse { cluster_id: "fake".to_owned(), shards, nodes: 1 }))
    }

    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(v1::GetStatusResponse { cluster_id: "fake".to_owned(), ..Default::default() }))
    }

    async fn compare(&self, _: Request<v1::CompareRequest>) -> Result<Response<v1::CompareResponse>, Status> {
        Ok(Response::new(v1::CompareResponse { all_equal: true, ..Default::default() }))
    }

    async fn reseed(&self, request: Request<v1::ReseedRequest>) -> Result<Response<Self::ReseedStream>, Status> {
        let (steps, progress) = mpsc::unbounded_channel();
        let node = request.into_inner().node;
        for step in ["removing", "adding", "done"] {
            let _ = steps.send(Ok(v1::ReseedProgress { shard: node, step: step.to_owned(), ..Default::default() }));
        }
        Ok(Response::new(UnboundedReceiverStream::new(progress)))
    }
}

/// A clock that stands still and randomness that is the same in each run.
#[derive(Default)]
pub struct FakeEnvironment {
    draws: AtomicU64,
}

impl Environment for FakeEnvironment {
    fn wall_ms(&self) -> u64 {
        5_000
    }

    /// SplitMix64.
    fn random_u64(&self) -> u64 {
        let draw = self.draws.fetch_add(1, Ordering::Relaxed) + 1;
        let mut z = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub fn refusal(code: v1::Code) -> v1::Error {
    v1::Error { code: code.into(), message: format!("the fake says {}", code.as_str_name()), ..Default::default() }
}

pub fn redirect(endpoint: &str) -> v1::Error {
    v1::Error { leader_endpoint: endpoint.to_owned(), ..refusal(v1::Code::NotLeader) }
}

pub fn position() -> v1::Position {
    v1::Position { shard: 1, epoch: 1, index: 42, ordinal: 0 }
}

/// Says yes to everything.
pub fn accept(body: &Body) -> Reply {
    Reply::Tell(match body {
        Body::Reserve(request) => Told::Reserve(v1::ReserveResponse {
            reservation_id: request.reservation_id.clone(),
            extent: v1::Extent::All.into(),
            lines: request.lines.iter().map(got).collect(),
            deadline_ms: SERVER_START_MS + 900_000,
            server_time_ms: SERVER_START_MS,
            position: Some(position()),
            replayed: delivery(body).r#try > 1,
        }),
        Body::Commit(request) => Told::Commit(v1::CommitResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Committed)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::Release(request) => Told::Release(v1::ReleaseResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Released)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::Extend(request) => Told::Extend(v1::ExtendResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Held)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::Replace(request) => Told::Replace(v1::ReplaceResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Held)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::MarkPaying(request) => Told::MarkPaying(v1::MarkPayingResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Held)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::Ship(request) => Told::Ship(v1::ShipResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Committed)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::Cancel(request) => Told::Cancel(v1::CancelResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Committed)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::ReturnUnits(request) => Told::ReturnUnits(v1::ReturnUnitsResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Committed)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::Receive(request) => Told::Receive(v1::ReceiveResponse {
            pool: Some(pool(&request.sku, &request.location, request.quantity)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::Adjust(request) => Told::Adjust(v1::AdjustResponse {
            pool: Some(pool(&request.sku, &request.location, request.delta)),
            position: Some(position()),
            ..Default::default()
        }),
        Body::GetStock(request) => Told::GetStock(v1::GetStockResponse {
            pools: vec![pool(&request.sku, "main", 7)],
            level: request.level,
            position: Some(position()),
            ..Default::default()
        }),
        Body::GetReservation(request) => Told::GetReservation(v1::GetReservationResponse {
            reservation: Some(reservation(&request.reservation_id, v1::ReservationState::Held)),
            level: request.level,
            position: Some(position()),
            ..Default::default()
        }),
        other => return keeping::accept(other),
    })
}

/// A script that follows a list, one reply for each operation, and says yes to everything after it.
pub fn in_turn(replies: impl IntoIterator<Item = Reply>) -> impl FnMut(&Body) -> Reply + Send {
    let mut replies: std::collections::VecDeque<Reply> = replies.into_iter().collect();
    move |body| replies.pop_front().unwrap_or_else(|| accept(body))
}

fn got(line: &v1::Line) -> v1::LineResult {
    v1::LineResult {
        sku: line.sku.clone(),
        location: line.location.clone(),
        kind: line.kind,
        lot: line.lot.clone(),
        asked: line.quantity,
        got: line.quantity,
        reason: 0,
        policy_version: None,
    }
}

pub fn reservation(id: &[u8], state: v1::ReservationState) -> v1::Reservation {
    v1::Reservation {
        reservation_id: id.to_vec().into(),
        namespace: "default".to_owned(),
        state: state.into(),
        deadline_ms: SERVER_START_MS + 1_800_000,
        revision: 1,
        ..Default::default()
    }
}

pub fn pool(sku: &str, location: &str, on_hand: i64) -> v1::Pool {
    let (sku, location) = (sku.to_owned(), location.to_owned());
    v1::Pool { sku, location, on_hand, available: on_hand, sellable: on_hand, ..Default::default() }
}

/// How an operation wanted to be delivered.
pub fn delivery(body: &Body) -> v1::Delivery {
    match body {
        Body::Reserve(request) => request.delivery,
        Body::Commit(request) => request.delivery,
        Body::Release(request) => request.delivery,
        Body::Extend(request) => request.delivery,
        Body::Receive(request) => request.delivery,
        Body::Adjust(request) => request.delivery,
        Body::Replace(request) => request.delivery,
        Body::MarkPaying(request) => request.delivery,
        Body::Ship(request) => request.delivery,
        Body::Cancel(request) => request.delivery,
        Body::ReturnUnits(request) => request.delivery,
        other => keeping::delivery(other),
    }
    .unwrap_or_default()
}

/// The reservation or operation id an operation goes by.
pub fn id(body: &Body) -> Vec<u8> {
    match body {
        Body::Reserve(request) => request.reservation_id.to_vec(),
        Body::Commit(request) => request.reservation_id.to_vec(),
        Body::Release(request) => request.reservation_id.to_vec(),
        Body::Extend(request) => request.operation_id.to_vec(),
        Body::Receive(request) => request.operation_id.to_vec(),
        Body::Adjust(request) => request.operation_id.to_vec(),
        Body::Replace(request) => request.operation_id.to_vec(),
        Body::MarkPaying(request) => request.operation_id.to_vec(),
        Body::Ship(request) => request.operation_id.to_vec(),
        Body::Cancel(request) => request.operation_id.to_vec(),
        Body::ReturnUnits(request) => request.operation_id.to_vec(),
        other => keeping::id(other),
    }
}
