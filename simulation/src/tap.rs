//! A tap on the link of a machine of clients: messages arrive twice, or are lost, or their answers are.
//!
//! It stands between the SDK and the network, where a proxy would: what the SDK sends ends here as HTTP/2, is taken apart
//! into messages, and goes on to the node by a connection of its own. A message that is to arrive twice is sent once more
//! later by another call, byte for byte, as from a caller that knows the same id; nobody waits for what that is answered.
//! A message that is lost takes the stream it was on with it, as TCP does; where only the answer is lost the node knows
//! nothing of that.
//!
//! Only machines that a fault of these kinds meets in the run have one: it costs every message a second connection.

use crate::{dice::Dice, trace::Trace};
use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::{Request, Response, Uri, header::HeaderMap};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{io::DuplexStream, sync::watch, time::sleep};
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Service, ServiceExt};

/// Between the SDK and the tap.
const BUFFER_BYTES: usize = 1 << 20;

/// As the SDK's own (`client/src/transport.rs`).
const WINDOW_BYTES: u32 = 4 << 20;

/// A second sending comes at most so much later: beyond the time a client waits for its operation.
const LATER_MS_MAX: u64 = 8_000;

/// A call whose caller is gone, or never was, is given up after this.
const UNHEARD_FOR: Duration = Duration::from_secs(10);

/// Version and length in front of a message of gRPC.
const HEAD: usize = 5;

/// What a fault does to the link of a machine, in percent of its messages.
#[derive(Default)]
pub struct Wire {
    /// Arrive twice.
    pub doubled: AtomicU64,
    /// Are lost, or their answers are.
    pub lost: AtomicU64,
    /// How many did arrive twice.
    pub doubled_count: AtomicU64,
    /// How many were lost, or their answers.
    pub lost_count: AtomicU64,
}

/// The tap of a machine. Clones are the same.
#[derive(Clone)]
pub struct Tap {
    wire: Arc<Wire>,
    dice: Arc<Mutex<Dice>>,
    trace: Trace,
}

/// A call on its way through.
#[derive(Clone)]
struct Call {
    tap: Tap,
    uri: Uri,
    headers: HeaderMap,
    upstream: Channel,
    /// Whether its stream was lost.
    lost: watch::Sender<bool>,
}

/// What becomes of a message.
enum Fate {
    Passed,
    Twice,
    Lost,
    Unanswered,
}

impl Tap {
    /// A tap that does what `wire` says, by chance from `dice`.
    pub fn new(wire: Arc<Wire>, dice: Dice, trace: Trace) -> Self {
        Self { wire, dice: Arc::new(Mutex::new(dice)), trace }
    }

    /// A channel for the SDK whose calls go on by `upstream`.
    pub fn channel(&self, endpoint: &Endpoint, upstream: &Channel) -> Channel {
        let (tap, upstream) = (self.clone(), upstream.clone());
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (near, far) = tokio::io::duplex(BUFFER_BYTES);
            tokio::spawn(tap.clone().serve(far, upstream.clone()));
            std::future::ready(Ok::<_, io::Error>(TokioIo::new(near)))
        }))
    }

    async fn serve(self, far: DuplexStream, upstream: Channel) {
        let service = hyper::service::service_fn(move |request| {
            let (tap, upstream) = (self.clone(), upstream.clone());
            async move { tap.pass(request, upstream).await }
        });
        let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http2.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        // The SDK hung up, or was hung up on: it dials anew.
        let _ = http2.serve_connection(TokioIo::new(far), service).await;
    }

    async fn pass(self, request: Request<Incoming>, upstream: Channel) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let call = Call {
            tap: self,
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            upstream,
            lost: watch::Sender::new(false),
        };
        let onward = Request::from_parts(parts, call.clone().requests(body));
        let mut answer = tokio::spawn(send(call.upstream.clone(), onward));
        tokio::select! {
            biased;
            // Whoever answers goes on without being heard.
            () = call.is_lost() => Err(gone()),
            answered = &mut answer => match answered {
                Ok(Ok(response)) => Ok(call.answers(response)),
                Ok(Err(status)) => Ok(status.into_http()),
                Err(error) => Err(Status::internal(error.to_string())),
            },
        }
    }

    fn fate(&self) -> Fate {
        let (lost, doubled) = (self.wire.lost.load(Ordering::Relaxed), self.wire.doubled.load(Ordering::Relaxed));
        if lost > 0 && self.percent(lost) {
            return if self.percent(50) { Fate::Lost } else { Fate::Unanswered };
        }
        if doubled > 0 && self.percent(doubled) { Fate::Twice } else { Fate::Passed }
    }

    fn percent(&self, percent: u64) -> bool {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).percent(percent)
    }

    /// Mostly soon, when the first is on its way yet; else when its caller may have given up.
    fn later(&self) -> Duration {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let most = if dice.percent(50) { 50 } else { LATER_MS_MAX };
        Duration::from_millis(dice.range(0, most))
    }
}

impl Call {
    async fn is_lost(&self) {
        // The sender is our own: it does not go away.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    /// What of the caller's messages reaches the node.
    fn requests(self, body: Incoming) -> Body {
        let messages =
            cut(body.into_data_stream().map(|bytes| bytes.map_err(|error| Status::internal(error.to_string()))));
        let onward = messages.filter_map(move |message| {
            let passed = message.map(|message| self.request(message)).transpose();
            std::future::ready(passed)
        });
        Body::new(StreamBody::new(onward.map(|message| message.map(Frame::data))))
    }

    fn request(&self, message: Bytes) -> Option<Bytes> {
        if *self.lost.borrow() {
            return None;
        }
        let fate = self.tap.fate();
        match fate {
            Fate::Passed => return Some(message),
            Fate::Twice => {
                let again = self.clone();
                tokio::spawn(again.send_again(message.clone()));
                return Some(message);
            }
            Fate::Lost | Fate::Unanswered => {}
        }
        let unanswered = matches!(fate, Fate::Unanswered);
        self.tap.wire.lost_count.fetch_add(1, Ordering::Relaxed);
        self.tap.trace.words("tap", &format!("{} is lost, its answer only: {unanswered}", self.uri.path()));
        self.lost.send_replace(true);
        unanswered.then_some(message)
    }

    /// What of the node's messages reaches the caller.
    fn answers(self, response: Response<Body>) -> Response<Body> {
        let (parts, body) = response.into_parts();
        let mut frames = body;
        let (forward, passed) = tokio::sync::mpsc::channel(64);
        let session = self.uri.path().ends_with("/Session");
        tokio::spawn(async move {
            loop {
                let frame = tokio::select! {
                    biased;
                    () = self.is_lost() => {
                        let _ = forward.send(Err(gone())).await;
                        // The node does not notice.
                        let _ = tokio::time::timeout(UNHEARD_FOR, drain(frames)).await;
                        return;
                    }
                    () = forward.closed() => return,
                    frame = frames.frame() => frame,
                };
                let Some(frame) = frame else { return };
                let twice = session && self.answer_twice(&frame);
                if let (true, Ok(frame)) = (twice, &frame)
                    && let Some(data) = frame.data_ref()
                    && forward.send(Ok(Frame::data(data.clone()))).await.is_err()
                {
                    return;
                }
                if forward.send(frame).await.is_err() {
                    return;
                }
            }
        });
        let passed = stream::unfold(passed, |mut passed| async move { Some((passed.recv().await?, passed)) });
        Response::from_parts(parts, Body::new(StreamBody::new(passed)))
    }

    /// Only a frame that is whole messages can be said twice.
    fn answer_twice(&self, frame: &Result<Frame<Bytes>, Status>) -> bool {
        let data = frame.as_ref().ok().and_then(Frame::data_ref);
        let doubled = self.tap.wire.doubled.load(Ordering::Relaxed);
        data.is_some_and(is_whole) && doubled > 0 && self.tap.percent(doubled)
    }

    /// The same message once more, from a caller that is not there.
    async fn send_again(self, message: Bytes) {
        sleep(self.tap.later()).await;
        self.tap.wire.doubled_count.fetch_add(1, Ordering::Relaxed);
        self.tap.trace.words("tap", &format!("{} arrives again, {} bytes", self.uri.path(), message.len()));
        let stays = self.uri.path().ends_with("/Session");
        let body = stream::once(async move { Ok::<_, Status>(Frame::data(message)) });
        // A session that is ended at once would not wait for its answers.
        let open =
            stream::once(sleep(if stays { UNHEARD_FOR } else { Duration::ZERO })).filter_map(|()| async { None });
        let mut request = Request::new(Body::new(StreamBody::new(Box::pin(body.chain(open)))));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        let _ = tokio::time::timeout(UNHEARD_FOR, async move {
            if let Ok(response) = send(self.upstream, request).await {
                drain(response.into_body()).await;
            }
        })
        .await;
    }
}

fn gone() -> Status {
    Status::unavailable("the stream is lost")
}

async fn send(mut upstream: Channel, request: Request<Body>) -> Result<Response<Body>, Status> {
    let ready = upstream.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
    ready.call(request).await.map_err(|error| Status::from_error(Box::new(error)))
}

async fn drain(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The length of the message that begins these bytes, with its head.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(1..HEAD)?;
    Some(HEAD + usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?)
}

fn is_whole(bytes: &Bytes) -> bool {
    let mut left = bytes.as_ref();
    while let Some(length) = message_length(left).filter(|length| *length <= left.len()) {
        left = &left[length..];
    }
    left.is_empty() && !bytes.is_empty()
}

/// Messages of a body, each whole with its head, however the bytes come.
fn cut<S>(bytes: S) -> impl Stream<Item = Result<Bytes, Status>> + Send
where
    S: Stream<Item = Result<Bytes, Status>> + Send + Unpin,
{
    stream::unfold((bytes, BytesMut::new()), |(mut bytes, mut have)| async move {
        loop {
            if let Some(length) = message_length(&have).filter(|length| *length <= have.len()) {
                let message = have.split_to(length).freeze();
                return Some((Ok(message), (bytes, have)));
            }
            match bytes.next().await {
                Some(Ok(mut part)) => {
                    have.extend_from_slice(&part);
                    part.advance(part.len());
                }
                Some(Err(status)) => return Some((Err(status), (bytes, have))),
                None => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &[u8]) -> Vec<u8> {
        let mut message = vec![0];
        message.extend(u32::try_from(content.len()).expect("short").to_be_bytes());
        message.extend(content);
        message
    }

    #[tokio::test]
    async fn messages_are_found_however_they_are_cut() {
        let whole: Vec<u8> = [message(b"first"), message(b""), message(b"third one")].concat();
        for size in 1..=whole.len() {
            let parts: Vec<_> = whole.chunks(size).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
            let messages: Vec<_> = cut(stream::iter(parts)).map(|message| message.expect("whole")).collect().await;
            assert_eq!(messages, [message(b"first"), message(b""), message(b"third one")]);
        }
        assert!(is_whole(&Bytes::from(whole.clone())) && !is_whole(&Bytes::from(whole[..7].to_vec())));
        assert!(!is_whole(&Bytes::new()));
    }
}
