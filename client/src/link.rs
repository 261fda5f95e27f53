//! The connection to one node: a handle for callers, and an actor that keeps the session stream.
//!
//! The actor opens the stream when there is work, sends what gathers, hands answers to their callers, tells those whose time is
//! over, and fails what was in flight when the stream breaks. A node that fails twice in a row is *down*: callers are turned away at once, so
//! they go elsewhere, while the actor tries again with growing pauses. Operations are sent only after the server's
//! greeting, so whatever fails before it surely had no effect.

use crate::environment::Environment;
use crate::queue::{Answer, Patience, Queue, Reply, Ticket, too_long};
use crate::retry::TryEnd;
use crate::session::{OPERATION_BYTES_MAX, Session};
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
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
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

/// Frames between the actor and the HTTP/2 writer. One: while it is there, the next frame gathers.
const FRAMES_AHEAD: usize = 1;

/// The server answers each operation by its `not_after`, 30 s ahead at most. What waits longer was lost by the server, and
/// would use up credit for ever.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
const ANSWER_CHECK_EVERY: Duration = Duration::from_secs(10);

/// Who waits for a place while the session opens looks so often whether it has opened.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// So often an actor does something else before it looks who has waited too long.
const PASSED_OVER_MAX: u32 = 32;

/// Callers in another runtime than the client's wait for so long beyond their time: by then nobody will tell them.
const LATE: Duration = Duration::from_millis(100);

/// So many tickets are taken over at once.
const TICKETS_AT_ONCE: usize = 1_024;

/// Answers to a full batch of carts are larger than the 4 MiB of a request.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What links share.
pub(crate) struct LinkSettings {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) time: Arc<ServerTime>,
    /// Connecting and greeting together.
    pub(crate) open_timeout: Duration,
    /// The client was opened in it, and its actors run there.
    pub(crate) runtime: Handle,
    /// How long one try waits.
    pub(crate) patience: Patience,
    /// Tickets in front of a session; a full queue makes callers wait.
    pub(crate) queue: usize,
}

/// The handle.
pub(crate) struct Link {
    endpoint: String,
    patience: Patience,
    /// Whoever has a place in the queue may send.
    tickets: mpsc::UnboundedSender<Ticket>,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
}

struct Shared {
    channel: Mutex<Option<Channel>>,
    connector: Arc<dyn Connector>,
    runtime: Handle,
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
        let (handle, tickets) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(settings.queue.min(Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared {
            channel: Mutex::new(None),
            connector: Arc::clone(&settings.connector),
            runtime: settings.runtime.clone(),
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
            arrived: Vec::new(),
            queue: Queue::new(endpoint, Arc::clone(&places), settings.patience),
            failures: 0,
        };
        // Not where it happens to be asked for first: that runtime may be gone before the client is.
        settings.runtime.spawn(actor.run());
        Self { endpoint: endpoint.to_owned(), patience: settings.patience, tickets: handle, places, shared }
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
    /// time until `deadline` and for its answer for as long as a try does, and comes back by the deadline, or some milliseconds later
    /// where thousands wait: the actor sees to it.
    pub(crate) async fn send(&self, operation: Bytes, since: Instant, deadline: Instant) -> Answer {
        if self.is_down() {
            return Err(TryEnd::Unsent(format!("{} can't be reached", self.endpoint)));
        }
        if operation.len() > OPERATION_BYTES_MAX {
            return Err(TryEnd::Answered(Box::new(too_large(operation.len()))));
        }
        match self.places.try_acquire() {
            Ok(place) => place.forget(),
            // Apart: it is rare, and what waits for it is large.
            Err(_) => Box::pin(self.take_place(since, deadline)).await?,
        }
        let (reply, answer) = Reply::new();
        // Without an actor the ticket is dropped, and tells it.
        let _ = self.tickets.send(Ticket { operation, since, deadline, reply });
        let answer = if Handle::try_current().is_ok_and(|here| here.id() == self.shared.runtime.id()) {
            answer.await
        } else {
            // The actor's runtime may no longer be driven while this one is.
            match Box::pin(timeout_at(deadline + LATE, answer)).await {
                Ok(answer) => answer,
                Err(_) => return Err(TryEnd::Lost("the runtime of the client is not running".to_owned())),
            }
        };
        answer.unwrap_or_else(|_| Err(TryEnd::Lost("nobody told of its end".to_owned())))
    }

    /// Waits for a place in the queue, which is part of waiting in it.
    async fn take_place(&self, since: Instant, deadline: Instant) -> Result<(), TryEnd> {
        let mut place = pin!(self.places.acquire());
        loop {
            let now = Instant::now();
            let (until, opened) = match self.shared.opened() {
                Some(opened) => (self.patience.behind_others(since, deadline, opened), true),
                None => (self.patience.to_send(since, deadline), false),
            };
            if now >= until {
                return Err(too_long(&self.endpoint, now - since, opened));
            }
            // A session may open meanwhile.
            let look_again = if opened { until } else { until.min(now + LOOK_AGAIN) };
            match timeout_at(look_again, &mut place).await {
                Ok(Ok(place)) => {
                    place.forget();
                    return Ok(());
                }
                Ok(Err(_)) => return Err(TryEnd::Unsent(format!("the session with {} has ended", self.endpoint))),
                Err(_) => {}
            }
        }
    }

    /// What was sent to the node then was not answered in time.
    pub(crate) fn note_timeout(&self, sent_at: Instant) {
        self.shared.note_timeout(sent_at);
    }
}

impl Shared {
    fn channel(&self, endpoint: &str) -> Result<Channel, String> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = &*channel {
            return Ok(channel.clone());
        }
        // Its worker lives where the client does, not where it happens to be asked for first.
        let _runtime = self.runtime.enter();
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

    fn note_timeout(&self, sent_at: Instant) {
        if self.heard().is_some_and(|heard| heard > sent_at && heard.elapsed() < QUIET) {
            return;
        }
        if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_TO_BREAK {
            self.give_up.notify_one();
        }
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
    tickets: mpsc::UnboundedReceiver<Ticket>,
    /// On their way into the queue.
    arrived: Vec<Ticket>,
    queue: Queue,
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
        loop {
            // A node that is down is probed without being asked for; any other is dialled when there is work.
            if !self.shared.down.load(Ordering::Relaxed)
                && self.queue.is_empty()
                && self.receive_tickets().await.is_err()
            {
                return;
            }
            let broken = match self.open().await {
                Ok(mut stream) => {
                    self.shared.timeouts.store(0, Ordering::Relaxed);
                    self.shared.down.store(false, Ordering::Relaxed);
                    self.set_opened(Some(Instant::now()));
                    let over = self.serve(&mut stream).await;
                    self.set_opened(None);
                    match over {
                        Over::Unused => return,
                        Over::Broken(why) => {
                            stream.session.broke(&why);
                            why
                        }
                    }
                }
                Err(Over::Unused) => return,
                Err(Over::Broken(why)) => {
                    // Another try of it goes elsewhere.
                    self.queue.turn_away(1, &why);
                    why
                }
            };
            if !self.failed(&broken).await {
                return;
            }
        }
    }

    fn set_opened(&mut self, opened: Option<Instant>) {
        self.shared.set_opened(opened);
        self.queue.set_opened(opened);
    }

    /// Takes over what was asked for meanwhile, or waits for it.
    async fn receive_tickets(&mut self) -> Result<(), Over> {
        if self.tickets.recv_many(&mut self.arrived, TICKETS_AT_ONCE).await == 0 {
            return Err(Over::Unused);
        }
        self.arrived.drain(..).for_each(|ticket| self.queue.push(ticket));
        Ok(())
    }

    /// Dials, opens the stream and waits for the greeting.
    async fn open(&mut self) -> Result<Stream, Over> {
        let greeted = greet(self.endpoint.clone(), Arc::clone(&self.settings), Arc::clone(&self.shared));
        let mut greeted = Box::pin(timeout(self.settings.open_timeout, greeted));
        loop {
            let due = self.queue.due();
            tokio::select! {
                biased;
                opened = &mut greeted => {
                    let late = || format!("{} did not greet in time", self.endpoint);
                    return opened.unwrap_or_else(|_| Err(late())).map_err(Over::Broken);
                }
                received = self.receive_tickets() => received?,
                () = reached(due) => self.queue.expire(Instant::now()),
            }
        }
    }

    /// Sends and receives until the stream breaks.
    async fn serve(&mut self, stream: &mut Stream) -> Over {
        let Stream { frames_out, frames_in, session } = stream;
        let shared = Arc::clone(&self.shared);
        let mut checked = Instant::now();
        let alarm = sleep_until(checked + ANSWER_CHECK_EVERY);
        tokio::pin!(alarm);
        // It rang, or this often something else was to be done since it should have.
        let (mut rang, mut passed_over) = (false, 0);
        loop {
            let room = session.room();
            if room == 0 && !self.queue.is_empty() {
                session.is_short(Instant::now());
            }
            // Answers that are there come first, but not for ever.
            passed_over += u32::from(alarm.is_elapsed());
            if rang || passed_over > PASSED_OVER_MAX {
                (rang, passed_over) = (false, 0);
                let now = Instant::now();
                session.expire(now, &self.endpoint, |sent_at| shared.note_timeout(sent_at));
                self.queue.expire(now);
                if now >= checked + ANSWER_CHECK_EVERY {
                    checked = now;
                    if session.oldest().is_some_and(|since| since.elapsed() > ANSWER_WAIT_MAX) {
                        return Over::Broken(format!("{} left an operation without answer", self.endpoint));
                    }
                }
                alarm.as_mut().reset(checked + ANSWER_CHECK_EVERY);
            }
            if let Some(due) = session.due().into_iter().chain(self.queue.due()).min()
                && due < alarm.deadline()
            {
                alarm.as_mut().reset(due);
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
                writer = frames_out.reserve(), if room > 0 && !self.queue.is_empty() => match writer {
                    Ok(writer) => {
                        let now = Instant::now();
                        // What is over by now surely need not be sent.
                        self.queue.expire(now);
                        if let Some(frame) = session.frame(&mut self.queue, now) {
                            writer.send(frame);
                        }
                    }
                    Err(_) => return Over::Broken(format!("{} stopped reading", self.endpoint)),
                },
                received = self.receive_tickets() => if let Err(over) = received {
                    return over;
                },
                () = shared.give_up.notified() => {
                    // The wish may be older than this session.
                    if shared.timeouts.load(Ordering::Relaxed) >= TIMEOUTS_TO_BREAK {
                        return Over::Broken(format!("{} answers nothing", self.endpoint));
                    }
                }
                () = &mut alarm => rang = true,
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
            self.queue.turn_away(self.queue.len(), why);
            tokio::select! {
                biased;
                received = self.receive_tickets() => if received.is_err() {
                    return false;
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

impl Drop for Actor {
    fn drop(&mut self) {
        self.shared.set_opened(None);
    }
}

/// Returns at that moment; never if there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Dials, opens the stream and waits for the greeting.
async fn greet(endpoint: String, settings: Arc<LinkSettings>, shared: Arc<Shared>) -> Result<Stream, String> {
    let channel = shared.channel(&endpoint)?;
    let (frames_out, requests) = mpsc::channel(FRAMES_AHEAD);
    let told = |status: tonic::Status| format!("{endpoint}: {}", status::root_cause(&status));
    let mut service = ReservationServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let opened = service.session(ReceiverStream::new(requests));
    let mut frames_in = opened.await.map_err(told)?.into_inner();
    let greeting = frames_in.message().await.map_err(told)?;
    let greeting = greeting.ok_or_else(|| format!("{endpoint} closed the session at once"))?;
    let mut session = Session::new(Instant::now(), settings.patience);
    settings.time.observe(&endpoint, greeting.server_time_ms);
    session.receive(greeting, Instant::now());
    Ok(Stream { frames_out, frames_in, session })
}

fn too_large(bytes: usize) -> v1::Error {
    let message = format!("the request has {bytes} bytes, at most {OPERATION_BYTES_MAX} can be sent");
    v1::Error { code: v1::Code::InvalidArgument.into(), message, ..Default::default() }
}
