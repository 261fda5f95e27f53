//! Small questions to a peer that come all the time, heartbeats of every shard and beacons: one lasting stream for all of
//! them, so that none needs a call of its own. An idle cluster does nothing else.

use super::{
    links::Link,
    wire::{self, pulse_reply, pulse_request::Question},
};
use futures::FutureExt;
use std::{collections::BTreeMap, fmt, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Questions that wait for the stream; more are not taken.
const QUEUE: usize = 1_024;

/// How long the stream may take to open.
const OPEN_PATIENCE: Duration = Duration::from_millis(500);

/// A stream on which nothing was heard for this long though something was asked is given up: a partition swallows answers
/// for ever.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The peer can't be reached, or the stream broke.
    Broken,
    /// More wait for this peer than is bearable.
    Full,
    /// It answered something else.
    Strange,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "the peer does not answer",
            Self::Full => "too many questions wait for the peer",
            Self::Strange => "the peer answered something that was not asked",
        })
    }
}

impl std::error::Error for Silence {}

struct Asked {
    question: Question,
    answer: oneshot::Sender<pulse_reply::Answer>,
}

/// Where questions to one peer are asked. The stream opens with the first of them.
#[derive(Clone)]
pub struct Pulse {
    queue: mpsc::Sender<Asked>,
}

impl Pulse {
    /// To the peer behind that link.
    pub fn new(link: Link) -> Self {
        let (queue, asked) = mpsc::channel(QUEUE);
        tokio::spawn(run(link, asked));
        Self { queue }
    }

    /// Asks for the answer to an append without entries.
    ///
    /// # Errors
    /// [`Silence`].
    pub async fn heartbeat(&self, request: wire::AppendRequest) -> Result<wire::AppendReply, Silence> {
        match self.ask(Question::Heartbeat(request)).await? {
            pulse_reply::Answer::Heartbeat(reply) => Ok(reply),
            pulse_reply::Answer::Beacon(_) => Err(Silence::Strange),
        }
    }

    /// Asks how the peer is.
    ///
    /// # Errors
    /// [`Silence`].
    pub async fn beacon(&self, request: wire::BeaconRequest) -> Result<wire::BeaconReply, Silence> {
        match self.ask(Question::Beacon(request)).await? {
            pulse_reply::Answer::Beacon(reply) => Ok(reply),
            pulse_reply::Answer::Heartbeat(_) => Err(Silence::Strange),
        }
    }

    async fn ask(&self, question: Question) -> Result<pulse_reply::Answer, Silence> {
        let (answer, heard) = oneshot::channel();
        self.queue.try_send(Asked { question, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Silence::Full,
            mpsc::error::TrySendError::Closed(_) => Silence::Broken,
        })?;
        heard.await.map_err(|_| Silence::Broken)
    }
}

/// Opens a stream whenever there is something to ask, until nobody can ask any more.
async fn run(mut link: Link, mut queue: mpsc::Receiver<Asked>) {
    while let Some(first) = queue.recv().await {
        let (frames, outgoing) = mpsc::channel(QUEUE);
        let mut talk = Talk { frames, waiting: BTreeMap::new(), last: 0, heard: Instant::now() };
        talk.say(first);
        let opening = link.pulse(tokio_stream::wrappers::ReceiverStream::new(outgoing));
        match tokio::time::timeout(OPEN_PATIENCE, opening).await {
            Ok(Ok(replies)) => talk.go_on(replies.into_inner(), &mut queue).await,
            Ok(Err(status)) => tracing::debug!(%status, "no pulse"),
            Err(_) => tracing::debug!("no pulse: the peer does not answer"),
        }
        // Who asked meanwhile is told at once. It asks again in its own time, so a peer that is away is not called in a
        // hot loop.
        drop(talk);
        while queue.try_recv().is_ok() {}
    }
}

/// One stream, and what was asked on it.
struct Talk {
    frames: mpsc::Sender<wire::PulseRequest>,
    waiting: BTreeMap<u64, (Instant, oneshot::Sender<pulse_reply::Answer>)>,
    last: u64,
    heard: Instant,
}

impl Talk {
    /// Puts a question on the stream. False if it takes no more: nothing was sent for a long time.
    fn say(&mut self, asked: Asked) -> bool {
        self.last += 1;
        let request = wire::PulseRequest { number: self.last, question: Some(asked.question) };
        self.waiting.insert(self.last, (Instant::now(), asked.answer));
        self.frames.try_send(request).is_ok()
    }

    fn hear(&mut self, reply: wire::PulseReply) {
        self.heard = Instant::now();
        if let (Some((_, waiting)), Some(answer)) = (self.waiting.remove(&reply.number), reply.answer) {
            // Who asked may have given up.
            let _ = waiting.send(answer);
        }
    }

    /// Until when something must be heard, if something was asked.
    fn deadline(&self) -> Option<Instant> {
        let (oldest, _) = self.waiting.values().next()?;
        Some(self.heard.max(*oldest) + ANSWER_PATIENCE)
    }

    async fn go_on(&mut self, mut replies: tonic::Streaming<wire::PulseReply>, queue: &mut mpsc::Receiver<Asked>) {
        // Looked at when it ends and not moved with each answer: timers are dear.
        let mut alarm = std::pin::pin!(tokio::time::sleep(ANSWER_PATIENCE));
        loop {
            tokio::select! {
                asked = queue.recv() => {
                    let Some(asked) = asked else { return };
                    if !self.say(asked) {
                        return;
                    }
                }
                reply = replies.message() => match reply {
                    Ok(Some(reply)) => {
                        self.hear(reply);
                        while let Some(Ok(Some(reply))) = replies.message().now_or_never() {
                            self.hear(reply);
                        }
                    }
                    Ok(None) | Err(_) => return,
                },
                () = &mut alarm => {
                    let now = Instant::now();
                    if self.deadline().is_some_and(|deadline| deadline <= now) {
                        return;
                    }
                    if now < self.heard + ANSWER_PATIENCE {
                        // The stream lives; what one shard does not answer nobody waits for any more.
                        self.waiting.retain(|_, (_, answer)| !answer.is_closed());
                    }
                    alarm.as_mut().reset(self.deadline().unwrap_or(now + ANSWER_PATIENCE));
                }
            }
        }
    }
}
