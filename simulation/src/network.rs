//! Connections over turmoil's TCP, for nodes and for clients. What is written is told to the trace frame by frame.

use crate::{dice::Dice, frames::Frames, stale::Breaks, trace::Trace};
use earmark_client::BoxError;
use earmark_node::environment::{Connection, Network, Pending};
use futures::stream::BoxStream;
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tonic::transport::{Channel, Endpoint};
use turmoil::net::{TcpListener, TcpStream};

/// The network of one host.
#[derive(Clone)]
pub struct Simulated {
    trace: Trace,
    breaks: Breaks,
}

impl Simulated {
    /// Whose messages are told to that trace, and whose connections break as that says.
    pub fn new(trace: Trace, breaks: Breaks) -> Self {
        Self { trace, breaks }
    }

    /// A channel to `endpoint` that dials when it is first used.
    pub fn lazy(&self, endpoint: Endpoint) -> Channel {
        let network = self.clone();
        endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: http::Uri| {
            let network = network.clone();
            async move {
                let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
                let stream = TcpStream::connect(authority).await?;
                Ok::<_, io::Error>(TokioIo::new(Told::new(stream, network, true)?))
            }
        }))
    }

    /// As the SDK asks for it.
    ///
    /// # Errors
    /// If the address makes no sense.
    pub fn connect(&self, address: &str, timeout: Duration) -> Result<Channel, BoxError> {
        Ok(self.lazy(earmark_client::endpoint(address, timeout)?))
    }
}

impl Network for Simulated {
    fn listen<'a>(
        &'a self,
        address: &'a str,
    ) -> Pending<'a, io::Result<(SocketAddr, BoxStream<'static, io::Result<Connection>>)>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            let state = (listener, self.clone());
            let incoming = futures::stream::unfold(state, |(listener, network)| async move {
                let accepted = listener.accept().await.and_then(|(stream, remote)| {
                    Ok(Connection::new(Told::new(stream, network.clone(), false)?, Some(remote)))
                });
                Some((accepted, (listener, network)))
            });
            Ok((bound, Box::pin(incoming) as BoxStream<'static, _>))
        })
    }

    fn channel(&self, endpoint: Endpoint) -> Channel {
        self.lazy(endpoint)
    }
}

/// A connection whose written frames are told.
struct Told {
    stream: TcpStream,
    frames: Frames,
    trace: Trace,
    breaks: Breaks,
    ends: [u64; 2],
    /// Whether this end dialled.
    dialled: bool,
    opened_ns: u64,
    /// Nothing is read until then.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What is read was sent before the connection broke.
    late: bool,
}

impl Told {
    fn new(stream: TcpStream, network: Simulated, dialled: bool) -> io::Result<Self> {
        let ends = [host(stream.local_addr()?), host(stream.peer_addr()?)];
        let Simulated { trace, breaks } = network;
        let opened_ns = trace.now_ns();
        Ok(Self {
            stream,
            frames: Frames::new(dialled),
            trace,
            breaks,
            ends,
            dialled,
            opened_ns,
            stalled: None,
            late: false,
        })
    }

    fn is_broken(&self) -> bool {
        self.dialled && self.breaks.is_broken(self.ends[0], self.opened_ns, self.trace.now_ns())
    }

    /// Waits while what comes on a broken connection is on its way.
    fn poll_arrival(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(stalled) = &mut self.stalled {
                ready!(stalled.as_mut().poll(context));
                self.stalled = None;
                self.late = true;
            }
            let now_ns = self.trace.now_ns();
            match self.breaks.stalled_until(self.ends[1], self.opened_ns, now_ns) {
                Some(until_ns) if !self.dialled => {
                    self.stalled = Some(Box::pin(sleep(Duration::from_nanos(until_ns - now_ns))));
                }
                _ => return Poll::Ready(()),
            }
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection broke")
}

/// Turmoil numbers hosts by the end of their address.
fn host(address: SocketAddr) -> u64 {
    match address.ip() {
        IpAddr::V4(address) => u64::from(address.octets()[3]),
        IpAddr::V6(address) => u64::from(address.octets()[15]),
    }
}

impl AsyncRead for Told {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        ready!(self.poll_arrival(context));
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if self.late && into.filled().len() > before {
            self.breaks.note_late();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Told {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_broken() {
            return Poll::Ready(Err(broken()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        let Self { frames, trace, ends, .. } = &mut *self;
        frames.read(&bytes[..written], |frame| {
            trace.numbers("message", &[ends[0], ends[1], frame.kind.into(), frame.stream.into(), frame.content]);
        });
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Randomness for a host, from the seed.
pub struct Drawn(Mutex<Dice>);

impl Drawn {
    /// A stream of its own.
    pub fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self(Mutex::new(dice)))
    }

    /// 64 random bits.
    pub fn draw(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).draw()
    }
}

impl earmark_node::environment::Random for Drawn {
    fn next_u64(&self) -> u64 {
        self.draw()
    }
}
