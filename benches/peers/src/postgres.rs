//! PostgreSQL: one that leads and two standbys, one of which has to have flushed before a transaction is answered. A reserve
//! is one statement, prepared; a batch is two in a transaction, over sets, its rows locked in order.

use crate::{
    peer::{Peer, Place},
    processes::{Running, run, until},
};
use earmark_benches::{
    Failed,
    load::{
        drive::Callers,
        keys::Keys,
        measured::Counts,
        shape::{Plan, Work},
    },
};
use rand::rngs::SmallRng;
use std::{path::Path, sync::Arc};
use tokio::sync::Mutex;
use tokio_postgres::{Client, Config, Error, NoTls, Statement, types::ToSql};
use uuid::Uuid;

/// Where Debian puts version 15.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// Whom the servers run as: they refuse to be run by root.
const USER: &str = "postgres";

/// The same for `setpriv`.
const USER_OPTIONS: [&str; 5] = ["--reuid", USER, "--regid", USER, "--init-groups"];

/// Connections of one caller that has much outstanding; each works at one transaction at a time.
const CONNECTIONS: usize = 64;

const SCHEMA: &str = "
CREATE TABLE pools (sku text PRIMARY KEY, available bigint NOT NULL, held bigint NOT NULL, sold bigint NOT NULL)
    WITH (fillfactor = 50);
CREATE TABLE holds (id uuid PRIMARY KEY, sku text NOT NULL, units bigint NOT NULL, deadline timestamptz NOT NULL,
    state smallint NOT NULL);
CREATE INDEX due ON holds (deadline) WHERE state = 0;";

const RESERVE: &str = "
WITH taken AS (UPDATE pools SET available = available - 1, held = held + 1
    WHERE sku = $1 AND available >= 1 AND NOT EXISTS (SELECT 1 FROM holds WHERE id = $2) RETURNING sku)
INSERT INTO holds SELECT $2, sku, 1, now() + $3 * interval '1 second', 0 FROM taken";

const COMMIT: &str = "
WITH sold AS (UPDATE holds SET state = 1 WHERE id = $1 AND state = 0 RETURNING sku, units)
UPDATE pools SET held = held - units, sold = pools.sold + units FROM sold WHERE pools.sku = sold.sku";

const LOCK: &str = "SELECT 1 FROM pools WHERE sku = ANY($1) ORDER BY sku FOR UPDATE";

const RESERVE_ALL: &str = "
WITH asked AS (SELECT * FROM unnest($1::text[], $2::uuid[]) AS asked (sku, id)),
    sums AS (SELECT sku, count(*) AS units FROM asked GROUP BY sku),
    taken AS (UPDATE pools SET available = available - units, held = held + units FROM sums
        WHERE pools.sku = sums.sku AND available >= units RETURNING pools.sku)
INSERT INTO holds SELECT id, sku, 1, now() + $3 * interval '1 second', 0 FROM asked JOIN taken USING (sku)";

const COMMIT_ALL: &str = "
WITH sold AS (UPDATE holds SET state = 1 WHERE id = ANY($1) AND state = 0 RETURNING sku, units),
    sums AS (SELECT sku, sum(units)::bigint AS units FROM sold GROUP BY sku),
    booked AS (UPDATE pools SET held = held - units, sold = pools.sold + units FROM sums WHERE pools.sku = sums.sku)
SELECT count(*) FROM sold";

/// A connection with its statements.
struct Session {
    client: Mutex<Client>,
    reserve: Statement,
    commit: Statement,
    lock: Statement,
    reserve_all: Statement,
    commit_all: Statement,
}

/// One that leads and two standbys.
pub struct Postgres {
    plan: Plan,
    keys: Keys,
    running: Vec<Running>,
    sessions: Vec<Arc<Session>>,
}

impl Peer for Postgres {
    fn does(work: Work) -> bool {
        matches!(work, Work::Reserve | Work::Pair | Work::Batch(_) | Work::BatchPair(_))
    }

    async fn start(place: &Place, plan: &Plan) -> Result<Self, Failed> {
        run("chown", [USER, &place.folder.to_string_lossy()])?;
        let leads = place.folder.join("postgres-0");
        as_user("initdb", &["-A", "trust", "-U", USER, "-D", &leads.to_string_lossy()])?;
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nport = {}\nmax_connections = 200\n\
             shared_buffers = '512MB'\nmax_wal_size = '8GB'\nsynchronous_commit = on\n\
             synchronous_standby_names = 'ANY 1 (standby_1, standby_2)'\n",
            place.port
        );
        append(&leads.join("postgresql.conf"), &settings)?;
        let mut running = vec![serve(&leads, &place.folder)?];
        // Until the standbys are there nothing that writes is answered.
        let mut config = Config::new();
        config.host("127.0.0.1").port(place.port).user(USER).dbname("postgres").options("-c synchronous_commit=local");
        let first = until(async || Ok(connect(&config).await?)).await?;
        for standby in 1..=2_u16 {
            let folder = place.folder.join(format!("postgres-{standby}"));
            let from = format!("host=127.0.0.1 port={} user={USER} application_name=standby_{standby}", place.port);
            let data = folder.to_string_lossy();
            as_user("pg_basebackup", &["-R", "-X", "stream", "-c", "fast", "-d", &from, "-D", &data])?;
            append(&folder.join("postgresql.conf"), &format!("port = {}\n", place.port + standby))?;
            running.push(serve(&folder, &place.folder)?);
        }
        first.batch_execute(SCHEMA).await?;
        let keys = Keys::new(plan.skus, plan.spread);
        let skus: Vec<String> = keys.all().collect();
        let units = i64::try_from(plan.stock)?;
        first.execute("INSERT INTO pools SELECT unnest($1::text[]), $2, 0, 0", &[&skus, &units]).await?;
        first.batch_execute("ANALYZE").await?;
        config.options("");
        let mut sessions = Vec::new();
        for _ in 0..if plan.clients > 1 { plan.clients } else { CONNECTIONS.min(plan.outstanding) } {
            sessions.push(Arc::new(Session::open(&config).await?));
        }
        until(async || {
            let follow = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
            let standbys: i64 = first.query_one(follow, &[]).await?.get(0);
            if standbys == 2 { Ok(()) } else { Err(format!("{standbys} standbys follow").into()) }
        })
        .await?;
        Ok(Self { plan: plan.clone(), keys, running, sessions })
    }

    fn pids(&self) -> Vec<u32> {
        self.running.iter().map(Running::pid).collect()
    }
}

fn as_user(program: &str, arguments: &[&str]) -> Result<(), Failed> {
    let program = format!("{PROGRAMS}/{program}");
    run("setpriv", USER_OPTIONS.iter().copied().chain([program.as_str()]).chain(arguments.iter().copied()))
}

/// A server on a folder; it ends at once on QUIT.
fn serve(data: &Path, logs: &Path) -> Result<Running, Failed> {
    let program = format!("{PROGRAMS}/postgres");
    let log = logs.join(format!("{}.log", data.file_name().unwrap_or_default().to_string_lossy()));
    let options = USER_OPTIONS.map(str::to_owned).into_iter();
    let arguments = options.chain([program, "-D".to_owned(), data.to_string_lossy().into_owned()]);
    Running::start("setpriv", arguments, &log, "QUIT")
}

fn append(file: &Path, text: &str) -> Result<(), Failed> {
    use std::io::Write;
    Ok(std::fs::File::options().append(true).open(file)?.write_all(text.as_bytes())?)
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // What goes wrong with it is told to whoever asks by it.
    tokio::spawn(connection);
    Ok(client)
}

impl Session {
    async fn open(config: &Config) -> Result<Self, Error> {
        let client = connect(config).await?;
        Ok(Self {
            reserve: client.prepare(RESERVE).await?,
            commit: client.prepare(COMMIT).await?,
            lock: client.prepare(LOCK).await?,
            reserve_all: client.prepare(RESERVE_ALL).await?,
            commit_all: client.prepare(COMMIT_ALL).await?,
            client: Mutex::new(client),
        })
    }

    async fn reserve(&self, sku: &str, id: Uuid, ttl: f64) -> Result<u64, Error> {
        self.client.lock().await.execute(&self.reserve, &[&sku, &id, &ttl]).await
    }

    async fn commit(&self, id: Uuid) -> Result<u64, Error> {
        self.client.lock().await.execute(&self.commit, &[&id]).await
    }

    async fn reserve_all(&self, skus: &[String], ids: &[Uuid], ttl: f64) -> Result<u64, Error> {
        let mut client = self.client.lock().await;
        let transaction = client.transaction().await?;
        transaction.execute(&self.lock, &[&skus]).await?;
        let parameters: [&(dyn ToSql + Sync); 3] = [&skus, &ids, &ttl];
        let held = transaction.execute(&self.reserve_all, &parameters).await?;
        transaction.commit().await?;
        Ok(held)
    }

    async fn commit_all(&self, skus: &[String], ids: &[Uuid]) -> Result<u64, Error> {
        let mut client = self.client.lock().await;
        let transaction = client.transaction().await?;
        transaction.execute(&self.lock, &[&skus]).await?;
        let sold: i64 = transaction.query_one(&self.commit_all, &[&ids]).await?.get(0);
        transaction.commit().await?;
        Ok(u64::try_from(sold).unwrap_or(0))
    }
}

/// Of so many that were asked, so many were done.
fn counted(asked: u64, end: &Result<u64, Error>) -> Counts {
    match end {
        Ok(done) => Counts { done: *done, refused: asked - done, ..Counts::default() },
        Err(_) => Counts { unknown: asked, ..Counts::default() },
    }
}

impl Callers for Postgres {
    fn outstanding(&self) -> usize {
        self.plan.outstanding
    }

    async fn turn(&self, caller: usize, random: &mut SmallRng) -> Counts {
        let session = &self.sessions[caller % self.sessions.len()];
        let ttl = self.plan.ttl.as_secs_f64();
        match self.plan.work {
            Work::Batch(count) | Work::BatchPair(count) => {
                let skus: Vec<String> = (0..count).map(|_| self.keys.draw(random)).collect();
                let ids: Vec<Uuid> = skus.iter().map(|_| Uuid::now_v7()).collect();
                let held = session.reserve_all(&skus, &ids, ttl).await;
                let mut counts = counted(count as u64, &held);
                if let (Work::BatchPair(_), Ok(held)) = (self.plan.work, held) {
                    counts.add(counted(held, &session.commit_all(&skus, &ids).await));
                }
                counts
            }
            work => {
                let id = Uuid::now_v7();
                let held = session.reserve(&self.keys.draw(random), id, ttl).await;
                let mut counts = counted(1, &held);
                if work == Work::Pair && matches!(held, Ok(1)) {
                    counts.add(counted(1, &session.commit(id).await));
                }
                counts
            }
        }
    }
}
