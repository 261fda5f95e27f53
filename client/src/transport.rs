//! How a node is reached: one HTTP/2 channel for each address, made by a connector that can be replaced.

use std::{fmt, time::Duration};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

/// Reads and writes of one stream, and of all of a connection, may run ahead by this much: a session under load moves
/// several MiB in a round trip.
const WINDOW_BYTES: u32 = 4 << 20;

/// A connection that answers no ping for [`PING_EVERY`] + [`PING_TIMEOUT`] is given up. TCP alone would wait minutes.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// Why no channel could be made for an address.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Makes the channel to a node. The channel may connect when it is first used.
///
/// A closure `Fn(&str) -> Result<Channel, BoxError>` is a connector. One that dials in another way, for instance through
/// a simulated network, starts from [`endpoint`] so that keep-alive and windows are as usual.
pub trait Connector: Send + Sync + 'static {
    /// The channel to `endpoint`, which is `host:port`.
    ///
    /// # Errors
    /// If the address makes no sense. A node that can't be reached is told by the channel when it is used.
    fn channel(&self, endpoint: &str) -> Result<Channel, BoxError>;
}

impl<F> Connector for F
where
    F: Fn(&str) -> Result<Channel, BoxError> + Send + Sync + 'static,
{
    fn channel(&self, endpoint: &str) -> Result<Channel, BoxError> {
        self(endpoint)
    }
}

/// An address with the SDK's usual settings. `host:port`, or with a scheme before it.
///
/// # Errors
/// If it is no address.
pub fn endpoint(address: &str, connect_timeout: Duration) -> Result<Endpoint, BoxError> {
    let address = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    Ok(Endpoint::from_shared(address)?
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES))
}

/// Plain TCP, or TLS over it.
pub(crate) struct Tcp {
    pub(crate) connect_timeout: Duration,
    pub(crate) tls: Option<ClientTlsConfig>,
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Connector for Tcp {
    fn channel(&self, address: &str) -> Result<Channel, BoxError> {
        let Some(tls) = &self.tls else {
            return Ok(endpoint(address, self.connect_timeout)?.connect_lazy());
        };
        let address = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        Ok(endpoint(&address, self.connect_timeout)?.tls_config(tls.clone())?.connect_lazy())
    }
}
