//! The client itself: what all its clones share, how it is opened, and the background refresh of the map.

use crate::call;
use crate::cluster;
use crate::config::{Builder, Config};
use crate::environment::Environment;
use crate::error::{Code, Error};
use crate::link::LinkSettings;
use crate::queue::Patience;
use crate::routing::Routing;
use crate::time::ServerTime;
use crate::token::Token;
use earmark_ledger::types::{Bucket, Namespace, OperationId, ReservationId, Sku, TimeMs};
use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU32, Ordering},
};
use std::{fmt, time::Duration};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::retry::budget::{Budget, TpsBudget};

/// The map is looked at so often even if nothing asks for it.
const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// However many operations ask for a new map, it is not fetched more often.
const REFRESH_SPACING: Duration = Duration::from_millis(100);

/// For each five operations of the last ten seconds one retry is allowed, and 200 each second beside.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
const BUDGET_PER_SECOND: u32 = 200;
const OPERATIONS_PER_RETRY: u32 = 5;

/// A client of a cluster. Clones are cheap and share everything; one for a whole program is right.
///
/// Its operations are methods that return a builder; `send` on it does the work. Each is tried again with the same id
/// until its deadline (where more is asked than servers answer, only as far as a retry budget allows), so an error is the
/// last word on it: see [`Error`] for what it says. A future that is dropped before
/// its end leaves the operation as it is: done, or not, or done a moment later.
///
/// Its connections live in the runtime it was opened in, which must be running as long as it is used; it may be used from others.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What all clones share.
pub(crate) struct Shared {
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) time: Arc<ServerTime>,
    pub(crate) routing: Routing,
    pub(crate) budget: TpsBudget,
    /// Of those that are told OVERLOADED: they are many at once, and shall not take what others need.
    pub(crate) crowd_budget: TpsBudget,
    /// All there were, modulo 2^32: every fifth is a deposit into the budgets.
    operations: AtomicU32,
    pub(crate) token: Mutex<Token>,
    /// Asks for a fresh map.
    pub(crate) refresh: Arc<Notify>,
    pub(crate) namespace: Namespace,
    pub(crate) principal: String,
    pub(crate) session: String,
    pub(crate) timeout: Duration,
    pub(crate) try_timeout: Duration,
    refresher: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Opens a client with the usual settings. Any nodes of the cluster will do: it learns the others from them.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn connect<I>(endpoints: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self::builder().endpoints(endpoints).connect().await
    }

    /// Settings to open a client with.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) async fn open(config: Config) -> Result<Self, Error> {
        let time = Arc::new(ServerTime::new(&*config.environment));
        let settings = Arc::new(LinkSettings {
            connector: config.connector,
            environment: Arc::clone(&config.environment),
            time: Arc::clone(&time),
            open_timeout: config.connect_timeout,
            runtime: Handle::current(),
            patience: Patience { try_timeout: config.try_timeout },
            queue: config.queue,
        });
        let shared = Arc::new(Shared {
            environment: config.environment,
            time,
            routing: Routing::new(config.endpoints, settings),
            budget: TpsBudget::new(BUDGET_WINDOW, BUDGET_PER_SECOND, 1.0),
            crowd_budget: TpsBudget::new(BUDGET_WINDOW, BUDGET_PER_SECOND, 1.0),
            operations: AtomicU32::new(0),
            token: Mutex::default(),
            refresh: Arc::default(),
            namespace: config.namespace,
            principal: config.principal,
            session: config.session,
            timeout: config.timeout,
            try_timeout: config.try_timeout,
            refresher: Mutex::default(),
        });
        first_map(&shared, config.open_timeout).await?;
        let refresher = tokio::spawn(keep_fresh(Arc::downgrade(&shared), Arc::clone(&shared.refresh)));
        *shared.refresher.lock().unwrap_or_else(PoisonError::into_inner) = Some(refresher);
        Ok(Self { shared })
    }

    /// The tenant or brand everything is under.
    pub fn namespace(&self) -> &str {
        self.shared.namespace.as_str()
    }

    /// The servers' clock, as well as this client knows it.
    pub fn server_time(&self) -> TimeMs {
        self.shared.time.now()
    }

    /// Makes a reservation id whose home is beside that SKU. It may be sent from any process, once or more often.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`] if that is no SKU.
    pub fn make_id(&self, sku: &str) -> Result<ReservationId, Error> {
        let sku: Sku = sku.parse().map_err(|why| Error::local(Code::InvalidArgument, format!("sku {why}")))?;
        Ok(self.shared.reservation_id(self.shared.time.now(), Bucket::of(&self.shared.namespace, &sku)))
    }

    /// Makes an id for another mutation (receive, adjust, a partial commit): a UUID, version 7.
    pub fn make_operation_id(&self) -> OperationId {
        self.shared.operation_id()
    }
}

impl Shared {
    pub(crate) fn reservation_id(&self, now: TimeMs, home: Bucket) -> ReservationId {
        ReservationId::timed(now, home, self.environment.random_u64())
    }

    pub(crate) fn operation_id(&self) -> OperationId {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.environment.random_u64().to_be_bytes());
        random[8..].copy_from_slice(&self.environment.random_u64().to_be_bytes()[..2]);
        let uuid = uuid::Builder::from_unix_timestamp_millis(self.time.now().0, &random).into_uuid();
        OperationId::from_slice(uuid.as_bytes()).expect("a UUID of version 7")
    }

    /// One more operation, and what it allows of retries. The budgets lock and look at the clock, so they are told of whole
    /// retries only.
    pub(crate) fn deposit(&self) {
        if self.operations.fetch_add(1, Ordering::Relaxed).is_multiple_of(OPERATIONS_PER_RETRY) {
            self.budget.deposit();
            self.crowd_budget.deposit();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(refresher) = self.refresher.lock().unwrap_or_else(PoisonError::into_inner).take() {
            refresher.abort();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("namespace", &self.shared.namespace).finish_non_exhaustive()
    }
}

/// Asks one node after the other, again and again, until one answers or time is up.
async fn first_map(shared: &Shared, open_timeout: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + open_timeout;
    let mut ceiling_ms = 50;
    loop {
        let Err(error) = cluster::fetch_map(shared, deadline).await else { return Ok(()) };
        let random_ms = shared.environment.random_u64() % ceiling_ms;
        ceiling_ms = (ceiling_ms * 2).min(1_000);
        if call::pause(Duration::from_millis(random_ms), deadline).await.is_none() {
            return Err(error);
        }
    }
}

/// Fetches the map when someone asks, and now and then. Holds the client only while it fetches, so that the last clone
/// that is dropped ends it.
async fn keep_fresh(shared: Weak<Shared>, wanted: Arc<Notify>) {
    loop {
        // Asked for or not, in the end the map is fetched.
        let _ = timeout(REFRESH_EVERY, wanted.notified()).await;
        let Some(shared) = shared.upgrade() else { return };
        let deadline = Instant::now() + shared.try_timeout;
        // If no node answers, whoever needs a map asks again.
        let _ = cluster::fetch_map(&shared, deadline).await;
        drop(shared);
        sleep(REFRESH_SPACING).await;
    }
}
