//! A steady load of reservations, each with an id of its own, that keeps account of what it was told.

use earmark_client::{Client, Error, ReservationId};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Where all stock lies.
pub const LOCATION: &str = "main";

/// What is received of each SKU: more than any load sells.
pub const RECEIVED: u64 = 1_000_000_000;

/// An id whose end nobody tells within this is a failure.
const UNKNOWN_MAX: Duration = Duration::from_secs(120);

/// What was acknowledged so far, over all loads of a test.
#[derive(Debug, Default)]
pub struct Account {
    /// Units committed, per SKU.
    pub sold: BTreeMap<String, u64>,
    /// Reservations committed.
    pub committed: Vec<ReservationId>,
    /// Reservations released.
    pub released: u64,
    /// Operations whose end was unknown for a moment and was told to a retry with the same id.
    pub unknown: u64,
}

impl Account {
    /// Takes another's entries over.
    pub fn add(&mut self, other: Self) {
        for (sku, units) in other.sold {
            *self.sold.entry(sku).or_default() += units;
        }
        self.committed.extend(other.committed);
        self.released += other.released;
        self.unknown += other.unknown;
    }

    /// Asks again for a reserve of one unit whose end nobody told, and gives it back.
    pub async fn settle(&mut self, client: &Client, id: ReservationId, sku: &str) {
        let deadline = Instant::now() + UNKNOWN_MAX;
        let reserve = || client.reserve().id(id).line(sku, LOCATION, 1).send();
        let _held = told(deadline, &mut self.unknown, reserve).await.expect("held");
        told(deadline, &mut self.unknown, || client.release(id).send()).await.expect("released");
        self.released += 1;
    }
}

/// Random numbers from a seed that the test prints.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// From `EARMARK_TEST_SEED`, or from the clock.
    pub fn from_environment() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let fresh = u64::try_from(now.as_millis()).expect("small");
        let seed = std::env::var("EARMARK_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(fresh);
        eprintln!("seed: EARMARK_TEST_SEED={seed}");
        Self(seed)
    }

    /// The step of splitmix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The SKUs a test uses.
pub fn skus(count: u64) -> Vec<String> {
    (0..count).map(|number| format!("sku-{number:03}")).collect()
}

/// Receives stock of each SKU.
pub async fn receive(client: &Client, skus: &[String]) {
    for sku in skus {
        let id = client.make_operation_id();
        let deadline = Instant::now() + UNKNOWN_MAX;
        told(deadline, &mut 0, || client.receive(sku, LOCATION, RECEIVED).id(id).send()).await.expect("received");
    }
}

/// Sends with the same id until its end is told.
async fn told<T, F>(deadline: Instant, unknown: &mut u64, mut send: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut first = true;
    loop {
        match send().await {
            Err(error) if error.is_retryable() && Instant::now() < deadline => {
                if first && error.is_unknown() {
                    *unknown += 1;
                    first = false;
                }
            }
            end => return end,
        }
    }
}

/// A load that runs until it is told to stop, or for a number of reservations.
pub struct Load {
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Account>>,
}

impl Load {
    /// Starts `workers` that go on until [`Load::end`].
    pub fn start(client: &Client, skus: &[String], workers: u64, random: &mut Seeded) -> Self {
        Self::run(client, skus, workers, u64::MAX, random)
    }

    /// Starts `workers` that make `reservations` together.
    pub fn run(client: &Client, skus: &[String], workers: u64, reservations: u64, random: &mut Seeded) -> Self {
        let (stop, begun, ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let workers = (0..workers).map(|_| {
            let worker = Worker {
                client: client.clone(),
                skus: skus.to_vec(),
                random: Seeded(random.next()),
                stop: Arc::clone(&stop),
                begun: Arc::clone(&begun),
                ended: Arc::clone(&ended),
                account: Account::default(),
            };
            tokio::spawn(worker.work(reservations))
        });
        let workers = workers.collect();
        Self { stop, begun, ended, workers }
    }

    /// Reservations that have come to their end so far.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until so many more reservations have come to their end: the cluster serves.
    pub async fn goes_on(&self, more: u64) {
        let goal = self.ended() + more;
        super::cluster::eventually("the load goes on", async || {
            let ended = self.ended();
            if ended >= goal { Ok(()) } else { Err(format!("{ended} reservations ended, {goal} wanted")) }
        })
        .await;
    }

    /// Stops the load, waits for what it began, and gives its account.
    pub async fn end(self) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits for all reservations asked for, and gives the account.
    pub async fn finish(self) -> Account {
        let mut account = Account::default();
        for worker in self.workers {
            account.add(worker.await.expect("a worker"));
        }
        eprintln!(
            "load: {} begun, {} committed, {} released, {} unknown for a moment",
            self.begun.load(Ordering::Relaxed),
            account.committed.len(),
            account.released,
            account.unknown
        );
        account
    }
}

struct Worker {
    client: Client,
    skus: Vec<String>,
    random: Seeded,
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    account: Account,
}

impl Worker {
    async fn work(mut self, reservations: u64) -> Account {
        while !self.stop.load(Ordering::Relaxed) && self.begun.fetch_add(1, Ordering::Relaxed) < reservations {
            self.one().await;
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        self.account
    }

    /// One reservation: held, then sold or given back.
    async fn one(&mut self) {
        let place = usize::try_from(self.random.below(self.skus.len() as u64)).expect("small");
        let (sku, units) = (self.skus[place].clone(), 1 + self.random.below(3));
        let client = self.client.clone();
        let id = client.make_id(&sku).expect("a SKU");
        let deadline = Instant::now() + UNKNOWN_MAX;
        let unknown = &mut self.account.unknown;
        let reserve = || client.reserve().id(id).line(&sku, LOCATION, units).send();
        let held = told(deadline, unknown, reserve).await;
        let _held = held.unwrap_or_else(|error| panic!("reserve {id}: {error:?}"));
        if self.random.below(8) == 0 {
            let released = told(deadline, unknown, || client.release(id).send()).await;
            released.unwrap_or_else(|error| panic!("release {id}: {error:?}"));
            self.account.released += 1;
        } else {
            let sold = told(deadline, unknown, || client.commit(id).send()).await;
            sold.unwrap_or_else(|error| panic!("commit {id}: {error:?}"));
            *self.account.sold.entry(sku).or_default() += units;
            self.account.committed.push(id);
        }
    }
}
