//! The only doors to the outside: clock, randomness, network, disk.
//!
//! The server passes the real ones, the simulation simulated ones; nothing else in the code differs. Timers are
//! tokio's, which a simulation steps by itself; what is here is what tokio does not own.

use crate::{shard::raft::ReplicaId, storage::Disk};
use earmark_ledger::{Ledger, types::ShardId};
use futures::stream::BoxStream;
use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{
    Channel, Endpoint,
    server::{Connected, TcpConnectInfo},
};

/// A wall clock. It may be wrong and may jump; nothing is decided by one alone.
pub trait Clock: Send + Sync + 'static {
    /// Unix milliseconds.
    fn wall_ms(&self) -> u64;
}

/// A source of randomness.
pub trait Random: Send + Sync + 'static {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// A future that may be sent to another thread.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Connections in and out.
pub trait Network: Send + Sync + 'static {
    /// Listens on an address (`host:port`); gives the address really bound and the connections that come.
    fn listen<'a>(
        &'a self,
        address: &'a str,
    ) -> Pending<'a, io::Result<(SocketAddr, BoxStream<'static, io::Result<Connection>>)>>;

    /// A channel that connects when it is first used.
    fn channel(&self, endpoint: Endpoint) -> Channel;
}

/// Looks on as replicas change. It decides nothing, so a node with a witness does what it does without one. The
/// simulation's checkers are one; a server has none.
pub trait Witness: Send + Sync + 'static {
    /// A replica applied a decided entry.
    fn applied(&self, seen: Seen<'_>);

    /// A replica installed a snapshot that covers the log up to an entry.
    fn installed(&self, shard: ShardId, replica: ReplicaId, term: u64, index: u64, ledger: &mut Ledger);
}

/// A decided entry, just applied.
pub struct Seen<'a> {
    /// Of which shard.
    pub shard: ShardId,
    /// By which replica.
    pub replica: ReplicaId,
    /// The entry's term.
    pub term: u64,
    /// The entry's index.
    pub index: u64,
    /// The encoded batch; none if the entry is one of Raft's own.
    pub batch: Option<&'a [u8]>,
    /// The state after it.
    pub ledger: &'a mut Ledger,
}

/// A byte stream of a connection.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// An accepted connection.
pub struct Connection {
    stream: Box<dyn ByteStream>,
    remote: Option<SocketAddr>,
}

impl Connection {
    /// Wraps an accepted stream.
    pub fn new(stream: impl ByteStream, remote: Option<SocketAddr>) -> Self {
        Self { stream: Box::new(stream), remote }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: None, remote_addr: self.remote }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Everything a node may use of the world.
#[derive(Clone)]
pub struct Environment {
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Connections.
    pub network: Arc<dyn Network>,
    /// The node's data folder.
    pub disk: Arc<dyn Disk>,
    /// Who looks on, if anyone.
    pub witness: Option<Arc<dyn Witness>>,
}

impl Environment {
    /// The real world, with data on the given disk.
    pub fn real(disk: Arc<dyn Disk>) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            network: Arc::new(TcpNetwork),
            disk,
            witness: None,
        }
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        // A clock before 1970 reads as 0: the anchor then finds no majority near it and the node waits.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The machine's randomness.
#[derive(Debug)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

/// TCP.
#[derive(Debug)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn listen<'a>(
        &'a self,
        address: &'a str,
    ) -> Pending<'a, io::Result<(SocketAddr, BoxStream<'static, io::Result<Connection>>)>> {
        Box::pin(async move {
            let listener = tokio::net::TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            let incoming = futures::stream::unfold(listener, |listener| async move {
                let accepted = listener.accept().await.and_then(|(stream, remote)| {
                    stream.set_nodelay(true)?;
                    Ok(Connection::new(stream, Some(remote)))
                });
                Some((accepted, listener))
            });
            Ok((bound, Box::pin(incoming) as BoxStream<'static, _>))
        })
    }

    fn channel(&self, endpoint: Endpoint) -> Channel {
        endpoint.connect_lazy()
    }
}
