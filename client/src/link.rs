//! The connection to one node: a handle for callers, and an actor that keeps the session stream.
//!
//! The actor opens the stream when there is work, sends what gathers, hands answers to their callers, and fails what was
//! in flight when the stream breaks. A node that fails twice in a row is *down*: callers are turned away at once, so
//! they go elsewhere, while the actor tries again with growing pauses. Operations are sent only after the server's
//! greeting, so whatever fails before it surely had no effect.

use crate::environment::Environment;
use crate::retry::TryEnd;
use crate::session::{Answer, OPERATION_BYTES_MAX, Session, Stage, Ticket};
use crate::status;
use crate::time::ServerTime;
use crate::transport::Connector;
use crate::wire::v1::{self, SessionRequest, SessionResponse, reservation_service_client::ReservationServiceClient};
use bytes::Bytes;
use std::pin::pin;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, Ordering},
};
use std::time::Duration;
use tokio::sync::{
    Notify,
    mpsc::{self, error::TrySendError},
    oneshot,
};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// A node is down after so many failures in a row: one may be a restart that is already over.
const FAILURES_TO_DOWN: u32 = 2;

/// A stream on which so many tries in a row timed out, with no answer to anything meanwhile, is given up though it looks
/// alive. (A node that answers others is busy, not gone: to break with it would make all that is in flight unknown.)
const TIMEOUTS_TO_BREAK: u32 = 3;

/// A node that answered others so lately is busy.
const QUIET: Duration = Duration::from_secs(1);

/// Pauses between probes of a node that is down: doubled from the first to the second, each with half of it random.
const PROBE_FIRST: Duration = Duration::from_millis(100);
const PROBE_CEILING: Duration = Duration::from_secs(5);

/// A try may wait in the queue for one part in so many of the time its operation has left. Under more load than a node
/// answers all that are sent have waited for about as long; the rest is for the answer.
const QUEUE_SHARE: u32 = 4;

/// Frames between the actor and the HTTP/2 writer. One: while it is there, the next frame gathers.
const FRAMES_AHEAD: usize = 1;

/// The server answers each operation by its `not_after`, 30 s ahead at most. What waits longer was lost by the server, and
/// would use up credit for ever.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
const ANSWER_CHECK_EVERY: Duration = Duration::from_secs(10);

/// Answers to a full batch of carts are larger than the 4 MiB of a request.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What links share.
pub(crate) struct LinkSettings {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) time: Arc<ServerTime>,
    /// Connecting and greeting together.
    pub(crate) open_timeout: Duration,
    /// Tickets in front of a session; a full queue makes callers wait.
    pub(crate) queue: usize,
}

/// The handle.
pub(crate) struct Link {
    endpoint: String,
    queue: mpsc::Sender<Ticket>,
    shared: Arc<Shared>,
}

struct Shared {
    channel: Mutex<Option<Channel>>,
    connector: Arc<dyn Connector>,
    down: AtomicBool,
    timeouts: AtomicU32,
    give_up: Notify,
    /// Since when there is a session.
    opened: Mutex<Option<Instant>>,
    /// When anything was answered last.
    heard: Mutex<Option<Instant>>,
}

impl Link {
    /// The handle of a node, whose actor runs until the last handle is dropped.
    pub(crate) fn start(endpoint: &str, settings: &Arc<LinkSettings>) -> Self {
        let (queue, tickets) = mpsc::channel(settings.queue);
        let shared = Arc::new(Shared {
            channel: Mutex::new(None),
            connector: Arc::clone(&settings.connector),
            down: AtomicBool::new(false),
            timeouts: AtomicU32::new(0),
            give_up: Notify::new(),
            opened: Mutex::new(None),
            heard: Mutex::new(None),
        });
        let actor = Actor {
            endpoint: endpoint.to_owned(),
            settings: Arc::clone(settings),
            shared: Arc::clone(&shared),
            tickets,
            failures: 0,
        };
        tokio::spawn(actor.run());
        Self { endpoint: endpoint.to_owned(), queue, shared }
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether it failed so often that it is left out until a probe succeeds.
    pub(crate) fn is_down(&self) -> bool {
        self.shared.down.load(Ordering::Relaxed)
    }

    /// The channel for unary calls, the same one that carries the session.
    pub(crate) fn channel(&self) -> Result<Channel, String> {
        self.shared.channel(&self.endpoint)
    }

    /// One try of an encoded operation by the session stream, begun at `since`, which is now. It waits in the queue for a part of the
    /// time until `deadline` and for its answer for `try_timeout`, and comes back by the deadline at the latest.
    pub(crate) async fn send(
        &self,
        operation: Bytes,
        since: Instant,
        try_timeout: Duration,
        deadline: Instant,
    ) -> Answer {
        if self.is_down() {
            return Err(TryEnd::Unsent(format!("{} can't be reached", self.endpoint)));
        }
        if operation.len() > OPERATION_BYTES_MAX {
            return Err(TryEnd::Answered(Box::new(too_large(operation.len()))));
        }
        let stage = Arc::new(Stage::default());
        let (reply, answer) = oneshot::channel();
        let patience = deadline.saturating_duration_since(since) / QUEUE_SHARE;
        let ticket = Ticket { operation, stage: Arc::clone(&stage), reply };
        let wait = async {
            let queued = match self.queue.try_send(ticket) {
                Ok(()) => true,
                // Apart: it is rare, and what waits for it is large.
                Err(TrySendError::Full(ticket)) => Box::pin(self.queue.send(ticket)).await.is_ok(),
                Err(TrySendError::Closed(_)) => false,
            };
            if !queued {
                return Err(TryEnd::Unsent(format!("the session with {} has ended", self.endpoint)));
            }
            answer.await.unwrap_or_else(|_| Err(self.without_word(&stage)))
        };
        let mut wait = pin!(wait);
        let leaves_queue = deadline.min(since + try_timeout.max(patience));
        // What is sent from now on is waited for as long, so nobody sleeps through the end of its try.
        let look_again = patience.min(try_timeout);
        let mut until = leaves_queue.min(since + look_again);
        loop {
            if let Ok(answer) = timeout_at(until, &mut wait).await {
                return answer;
            }
            let now = Instant::now();
            let sent_at = match stage.sent_at() {
                Some(sent_at) => sent_at,
                None => {
                    // Waiting for the session itself is not waiting behind others.
                    let opened = self.shared.opened();
                    let waited = opened.is_some_and(|opened| now >= opened.max(since) + patience);
                    let crowded = waited || (now >= leaves_queue && opened.is_some());
                    if !crowded && now < leaves_queue {
                        until = leaves_queue.min(now + look_again);
                        continue;
                    }
                    match stage.abandon() {
                        Ok(()) if crowded => return Err(crowd_out(&self.endpoint, now - since)),
                        Ok(()) => {
                            let why = format!("the queue to {} did not move in time", self.endpoint);
                            return Err(TryEnd::Unsent(why));
                        }
                        Err(sent_at) => sent_at,
                    }
                }
            };
            until = deadline.min(sent_at + try_timeout);
            if until <= now {
                self.note_timeout(sent_at);
                return Err(TryEnd::Lost(format!("{} gave no answer in time", self.endpoint)));
            }
        }
    }

    /// What was sent to the node then was not answered in time.
    pub(crate) fn note_timeout(&self, sent_at: Instant) {
        if self.shared.heard().is_some_and(|heard| heard > sent_at && heard.elapsed() < QUIET) {
            return;
        }
        if self.shared.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_TO_BREAK {
            self.shared.give_up.notify_one();
        }
    }

    /// The actor is gone, as when the runtime shuts down.
    fn without_word(&self, stage: &Stage) -> TryEnd {
        let why = format!("the session with {} has ended", self.endpoint);
        if stage.abandon().is_ok() { TryEnd::Unsent(why) } else { TryEnd::Lost(why) }
    }
}

impl Shared {
    fn channel(&self, endpoint: &str) -> Result<Channel, String> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = &*channel {
            return Ok(channel.clone());
        }
        let made = self.connector.channel(endpoint).map_err(|error| format!("{endpoint}: {error}"))?;
        *channel = Some(made.clone());
        Ok(made)
    }

    fn opened(&self) -> Option<Instant> {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_opened(&self, opened: Option<Instant>) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = opened;
    }

    fn heard(&self) -> Option<Instant> {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next use dials anew. A connection in doubt is not waited for.
    fn drop_channel(&self) {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

struct Actor {
    endpoint: String,
    settings: Arc<LinkSettings>,
    shared: Arc<Shared>,
    tickets: mpsc::Receiver<Ticket>,
    /// In a row.
    failures: u32,
}

/// An open session stream.
struct Stream {
    frames_out: mpsc::Sender<SessionRequest>,
    frames_in: Streaming<SessionResponse>,
    session: Session,
}

/// Why a session or a wait is over.
enum Over {
    /// No handle is left.
    Unused,
    Broken(String),
}

impl Actor {
    async fn run(mut self) {
        let mut first = None;
        loop {
            // A node that is down is probed without being asked for; any other is dialled when there is work.
            if !self.shared.down.load(Ordering::Relaxed) && first.is_none() {
                first = self.tickets.recv().await;
                if first.is_none() {
                    return;
                }
            }
            let broken = match self.open().await {
                Ok(mut stream) => {
                    self.shared.timeouts.store(0, Ordering::Relaxed);
                    self.shared.down.store(false, Ordering::Relaxed);
                    self.shared.set_opened(Some(Instant::now()));
                    stream.session.push(first.take());
                    let over = self.serve(&mut stream).await;
                    self.shared.set_opened(None);
                    match over {
                        Over::Unused => return,
                        Over::Broken(why) => {
                            stream.session.broke(&why);
                            why
                        }
                    }
                }
                Err(why) => why,
            };
            if let Some(ticket) = first.take() {
                turn_away(ticket, &broken);
            }
            if !self.failed(&broken).await {
                return;
            }
        }
    }

    /// Dials, opens the stream and waits for the greeting.
    async fn open(&self) -> Result<Stream, String> {
        match timeout(self.settings.open_timeout, self.greet()).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("{} did not greet in time", self.endpoint)),
        }
    }

    async fn greet(&self) -> Result<Stream, String> {
        let channel = self.shared.channel(&self.endpoint)?;
        let (frames_out, requests) = mpsc::channel(FRAMES_AHEAD);
        let told = |status: tonic::Status| format!("{}: {}", self.endpoint, status::root_cause(&status));
        let mut service = ReservationServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let opened = service.session(ReceiverStream::new(requests));
        let mut frames_in = opened.await.map_err(told)?.into_inner();
        let greeting = frames_in.message().await.map_err(told)?;
        let greeting = greeting.ok_or_else(|| format!("{} closed the session at once", self.endpoint))?;
        let mut session = Session::new(Instant::now());
        self.settings.time.observe(&self.endpoint, greeting.server_time_ms);
        session.receive(greeting, Instant::now());
        Ok(Stream { frames_out, frames_in, session })
    }

    /// Sends and receives until the stream breaks.
    async fn serve(&mut self, stream: &mut Stream) -> Over {
        let Stream { frames_out, frames_in, session } = stream;
        let mut arrived = Vec::new();
        let check = sleep(ANSWER_CHECK_EVERY);
        tokio::pin!(check);
        loop {
            let room = session.room();
            if room == 0 && !self.tickets.is_empty() {
                session.is_short(Instant::now());
            }
            // In this order, so that two runs of one seed go alike: answers first, they make room.
            tokio::select! {
                biased;
                frame = frames_in.message() => match frame {
                    Ok(Some(frame)) => self.receive(session, frame),
                    Ok(None) => return Over::Broken(format!("{} closed the session", self.endpoint)),
                    Err(status) => {
                        return Over::Broken(format!("{}: {}", self.endpoint, status::root_cause(&status)));
                    }
                },
                writer = frames_out.reserve(), if session.has_pending() => match writer {
                    Ok(writer) => {
                        if let Some(frame) = session.frame(Instant::now()) {
                            writer.send(frame);
                        }
                    }
                    Err(_) => return Over::Broken(format!("{} stopped reading", self.endpoint)),
                },
                count = self.tickets.recv_many(&mut arrived, room), if room > 0 => {
                    if count == 0 {
                        return Over::Unused;
                    }
                    session.push(arrived.drain(..));
                }
                () = self.shared.give_up.notified() => {
                    // The wish may be older than this session.
                    if self.shared.timeouts.load(Ordering::Relaxed) >= TIMEOUTS_TO_BREAK {
                        return Over::Broken(format!("{} answers nothing", self.endpoint));
                    }
                }
                () = &mut check => {
                    check.as_mut().reset(Instant::now() + ANSWER_CHECK_EVERY);
                    if session.oldest().is_some_and(|since| since.elapsed() > ANSWER_WAIT_MAX) {
                        return Over::Broken(format!("{} left an operation without answer", self.endpoint));
                    }
                }
            }
        }
    }

    fn receive(&mut self, session: &mut Session, frame: SessionResponse) {
        self.settings.time.observe(&self.endpoint, frame.server_time_ms);
        // A greeting alone proves little: a node may greet and break for ever.
        let now = Instant::now();
        if session.receive(frame, now) > 0 {
            *self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            self.failures = 0;
            self.shared.timeouts.store(0, Ordering::Relaxed);
        }
    }

    /// The session could not be opened, or broke. While the node is down, waits for the next probe and turns callers
    /// away. False if no handle is left.
    async fn failed(&mut self, why: &str) -> bool {
        self.shared.drop_channel();
        self.failures += 1;
        if self.failures < FAILURES_TO_DOWN {
            return true;
        }
        self.shared.down.store(true, Ordering::Relaxed);
        let probe_at = Instant::now() + self.probe_pause();
        loop {
            tokio::select! {
                biased;
                ticket = self.tickets.recv() => match ticket {
                    Some(ticket) => turn_away(ticket, why),
                    None => return false,
                },
                () = sleep_until(probe_at) => return true,
            }
        }
    }

    fn probe_pause(&self) -> Duration {
        let doublings = (self.failures - FAILURES_TO_DOWN).min(16);
        let ceiling = PROBE_FIRST.saturating_mul(1 << doublings).min(PROBE_CEILING);
        let half_us = u64::try_from(ceiling.as_micros() / 2).expect("seconds");
        Duration::from_micros(half_us + self.settings.environment.random_u64() % (half_us + 1))
    }
}

/// What a caller is told whose try waited too long to be sent.
fn crowd_out(endpoint: &str, waited: Duration) -> TryEnd {
    let ms = waited.as_millis();
    TryEnd::Crowded(format!("{ms} ms in the queue to {endpoint}: more is asked of it than it answers"))
}

fn turn_away(ticket: Ticket, why: &str) {
    let _ = ticket.reply.send(Err(TryEnd::Unsent(why.to_owned())));
}

fn too_large(bytes: usize) -> v1::Error {
    let message = format!("the request has {bytes} bytes, at most {OPERATION_BYTES_MAX} can be sent");
    v1::Error { code: v1::Code::InvalidArgument.into(), message, ..Default::default() }
}
