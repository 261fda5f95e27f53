//! How a client is opened: settings as written ([`Builder`]) and as checked (`Config`).

use crate::client::Client;
use crate::environment::{Environment, System};
use crate::error::{Error, FieldViolation};
use crate::transport::{Connector, Tcp};
use earmark_ledger::types::Namespace;
use std::{fmt, sync::Arc, time::Duration};
use tonic::transport::ClientTlsConfig;

/// No request may be planned further ahead than this; servers cut what is longer.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(30);

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Longer than a loaded server takes, shorter than people wait: a leader that fell silent costs this once.
const TRY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const OPEN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const QUEUE_DEFAULT: usize = 8_192;

/// Settings of a client. Made by [`Client::builder`], ended by [`Builder::connect`].
#[derive(Clone)]
pub struct Builder {
    endpoints: Vec<String>,
    namespace: String,
    principal: String,
    session: String,
    timeout: Duration,
    try_timeout: Duration,
    connect_timeout: Duration,
    open_timeout: Duration,
    queue: usize,
    tls: Option<ClientTlsConfig>,
    connector: Option<Arc<dyn Connector>>,
    environment: Option<Arc<dyn Environment>>,
}

/// What was checked.
pub(crate) struct Config {
    pub(crate) endpoints: Vec<String>,
    pub(crate) namespace: Namespace,
    pub(crate) principal: String,
    pub(crate) session: String,
    pub(crate) timeout: Duration,
    pub(crate) try_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) open_timeout: Duration,
    pub(crate) queue: usize,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) environment: Arc<dyn Environment>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            namespace: Namespace::default().as_str().to_owned(),
            principal: String::new(),
            session: String::new(),
            timeout: TIMEOUT_DEFAULT,
            try_timeout: TRY_TIMEOUT_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            open_timeout: OPEN_TIMEOUT_DEFAULT,
            queue: QUEUE_DEFAULT,
            tls: None,
            connector: None,
            environment: None,
        }
    }
}

impl Builder {
    /// One more node to begin with, `host:port`. Any node of the cluster will do, and more than one is safer.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// More nodes to begin with.
    #[must_use]
    pub fn endpoints<I>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// The tenant or brand everything is under; `default` if it is not set.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Who acts, for the audit: a user or a service, up to 64 bytes. Not personal data.
    #[must_use]
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = principal.into();
        self
    }

    /// The session to name in the audit, up to 64 bytes.
    #[must_use]
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = session.into();
        self
    }

    /// How long an operation may take with all its tries; 10 s if it is not set, 30 s at most. It waits in a node's queue for a
    /// quarter of it at most, then it is OVERLOADED: more is asked of that node than it answers.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long one try, from when it was sent, waits for its answer before the same id is sent again; 2 s if it is not
    /// set. A batch call waits for half of the whole timeout if that is longer.
    #[must_use]
    pub fn try_timeout(mut self, timeout: Duration) -> Self {
        self.try_timeout = timeout;
        self
    }

    /// How long dialling a node may take; 2 s if it is not set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long [`Builder::connect`] looks for a node that answers; 10 s if it is not set.
    #[must_use]
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// How many operations may wait in front of one node's session; 8,192 if it is not set. Beyond that callers wait for a place
    /// there, and that counts as waiting in the queue.
    #[must_use]
    pub fn queue(mut self, operations: usize) -> Self {
        self.queue = operations;
        self
    }

    /// TLS to the nodes.
    #[must_use]
    pub fn tls(mut self, tls: ClientTlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Dials in another way than TCP.
    #[must_use]
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Some(Arc::new(connector));
        self
    }

    /// Another clock and randomness.
    #[must_use]
    pub fn environment(mut self, environment: impl Environment) -> Self {
        self.environment = Some(Arc::new(environment));
        self
    }

    /// Opens the client: finds a node that answers and learns the map of the cluster.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::Code::InvalidArgument) if a setting makes no sense,
    /// [`Code::NoQuorum`](crate::Code::NoQuorum) if no node answered in time.
    pub async fn connect(self) -> Result<Client, Error> {
        Client::open(self.check()?).await
    }

    fn check(self) -> Result<Config, Error> {
        let mut bad = Vec::new();
        let mut refuse = |field: &str, description: String| {
            bad.push(FieldViolation { field: field.to_owned(), description });
        };
        if self.endpoints.is_empty() {
            refuse("endpoints", "must name at least one node".to_owned());
        }
        let namespace = self.namespace.parse().unwrap_or_else(|why| {
            refuse("namespace", format!("{why}"));
            Namespace::default()
        });
        for (field, text) in [("principal", &self.principal), ("session", &self.session)] {
            if let Err(why) = text.parse::<earmark_ledger::types::Principal>() {
                refuse(field, why.to_string());
            }
        }
        for (field, duration) in [
            ("timeout", self.timeout),
            ("try_timeout", self.try_timeout),
            ("connect_timeout", self.connect_timeout),
            ("open_timeout", self.open_timeout),
        ] {
            if duration < Duration::from_millis(1) {
                refuse(field, "must be at least a millisecond".to_owned());
            }
        }
        if self.queue == 0 {
            refuse("queue", "must be at least 1".to_owned());
        }
        if !bad.is_empty() {
            return Err(Error::invalid(bad));
        }
        let tcp = Tcp { connect_timeout: self.connect_timeout, tls: self.tls };
        Ok(Config {
            endpoints: self.endpoints,
            namespace,
            principal: self.principal,
            session: self.session,
            timeout: self.timeout.min(TIMEOUT_MAX),
            try_timeout: self.try_timeout,
            connect_timeout: self.connect_timeout,
            open_timeout: self.open_timeout,
            queue: self.queue,
            connector: self.connector.unwrap_or_else(|| Arc::new(tcp)),
            environment: self.environment.unwrap_or_else(|| Arc::new(System)),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("endpoints", &self.endpoints)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_setting_is_told_at_once() {
        let error =
            Builder::default().namespace("a b").queue(0).timeout(Duration::ZERO).check().err().expect("refused");
        let fields: Vec<&str> = error.fields().iter().map(|bad| bad.field.as_str()).collect();
        assert_eq!(fields, ["endpoints", "namespace", "timeout", "queue"]);
    }

    #[test]
    fn no_operation_is_planned_beyond_thirty_seconds() {
        let config = Builder::default().endpoint("a:1").timeout(Duration::from_secs(90)).check().expect("fine");
        assert_eq!(config.timeout, TIMEOUT_MAX);
    }
}
