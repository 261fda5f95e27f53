//! Redis: one script an operation, atomic on the one that leads; it and two replicas write a log that is synced at each
//! write, and WAIT says when one of them has received it. That it has synced it, Redis 7.0 can't say.
//!
//! Whatever is asked while a connection waits goes out together behind one WAIT, as a service with many requests would do.

use crate::{
    peer::{Peer, Place},
    processes::{Running, until},
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
use redis::{AsyncConnectionConfig, Client, Cmd, aio::MultiplexedConnection, cmd, pipe};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// Copies.
const NODES: u16 = 3;

/// Connections of one caller that has much outstanding.
const CONNECTIONS: usize = 4;

/// Operations that go out together.
const TOGETHER: usize = 1_000;

/// An answer that takes longer counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes units from what is available, once for an id.
const RESERVE: &str = r"
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
local available = tonumber(redis.call('HGET', KEYS[1], 'available') or '0')
local units = tonumber(ARGV[1])
if available < units then return 0 end
redis.call('HINCRBY', KEYS[1], 'available', -units)
redis.call('HINCRBY', KEYS[1], 'held', units)
redis.call('HSET', KEYS[2], 'pool', KEYS[1], 'units', units, 'deadline', ARGV[2], 'state', 'held')
redis.call('ZADD', KEYS[3], ARGV[2], KEYS[2])
return 1";

/// Sells what is held, once.
const COMMIT: &str = r"
local state, pool, units = unpack(redis.call('HMGET', KEYS[1], 'state', 'pool', 'units'))
if state == 'committed' then return 1 end
if state ~= 'held' then return 0 end
redis.call('HINCRBY', pool, 'held', -units)
redis.call('HINCRBY', pool, 'sold', units)
redis.call('HSET', KEYS[1], 'state', 'committed')
redis.call('ZREM', KEYS[2], KEYS[1])
return 1";

/// By deadline, what is held.
const DUE: &str = "due";

/// Operations, and where their answers go: 1 done, 0 refused; none if nobody knows.
struct Asked {
    commands: Vec<Cmd>,
    answer: oneshot::Sender<Option<Vec<i64>>>,
}

/// One that leads and two replicas.
pub struct Redis {
    plan: Plan,
    keys: Keys,
    running: Vec<Running>,
    queues: Vec<mpsc::Sender<Asked>>,
    scripts: [String; 2],
}

impl Peer for Redis {
    fn does(work: Work) -> bool {
        matches!(work, Work::Reserve | Work::Pair | Work::Batch(_) | Work::BatchPair(_))
    }

    async fn start(place: &Place, plan: &Plan) -> Result<Self, Failed> {
        let mut running = Vec::new();
        for node in 0..NODES {
            let folder = place.folder.join(format!("redis-{node}"));
            std::fs::create_dir_all(&folder)?;
            let port = (place.port + node).to_string();
            let mut arguments = vec!["--port", &port, "--bind", "127.0.0.1", "--dir", folder.to_str().unwrap_or(".")];
            arguments.extend(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
            let leader = format!("127.0.0.1 {}", place.port);
            if node > 0 {
                arguments.extend(["--replicaof", &leader]);
            }
            running.push(Running::start("redis-server", arguments, &folder.join("log"), "TERM")?);
        }
        let client = Client::open(format!("redis://127.0.0.1:{}/", place.port))?;
        let settings = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connect = async || Ok(client.get_multiplexed_async_connection_with_config(&settings).await?);
        let mut first: MultiplexedConnection = until(connect).await?;
        let mut scripts = [String::new(), String::new()];
        for (script, text) in scripts.iter_mut().zip([RESERVE, COMMIT]) {
            *script = cmd("SCRIPT").arg("LOAD").arg(text).query_async(&mut first).await?;
        }
        let keys = Keys::new(plan.skus, plan.spread);
        for skus in keys.all().collect::<Vec<_>>().chunks(TOGETHER) {
            let mut stock = pipe();
            for sku in skus {
                stock.cmd("HSET").arg(sku).arg("available").arg(plan.stock).arg("held").arg(0).ignore();
            }
            let () = stock.query_async(&mut first).await?;
        }
        until(async || {
            let copies: i64 = cmd("WAIT").arg(NODES - 1).arg(1_000).query_async(&mut first.clone()).await?;
            if copies + 1 == i64::from(NODES) { Ok(()) } else { Err(format!("{copies} replicas follow").into()) }
        })
        .await?;
        let mut queues = Vec::new();
        for _ in 0..if plan.clients > 1 { plan.clients } else { CONNECTIONS.min(plan.outstanding) } {
            let (queue, asked) = mpsc::channel(plan.outstanding.max(1));
            tokio::spawn(serve(connect().await?, asked));
            queues.push(queue);
        }
        Ok(Self { plan: plan.clone(), keys, running, queues, scripts })
    }

    fn pids(&self) -> Vec<u32> {
        self.running.iter().map(Running::pid).collect()
    }
}

/// Sends together what was asked meanwhile, and waits for a replica.
async fn serve(mut connection: MultiplexedConnection, mut queue: mpsc::Receiver<Asked>) {
    let mut asked: Vec<Asked> = Vec::new();
    while queue.recv_many(&mut asked, TOGETHER).await > 0 {
        let mut together = pipe();
        for command in asked.iter().flat_map(|asked| &asked.commands) {
            together.add_command(command.clone());
        }
        together.cmd("WAIT").arg(1).arg(PATIENCE.as_millis().to_string());
        let answers: Option<Vec<i64>> = together.query_async(&mut connection).await.ok();
        let safe = answers.as_ref().and_then(|answers| answers.last()).is_some_and(|copies| *copies > 0);
        let mut answers = answers.unwrap_or_default().into_iter();
        for Asked { commands, answer } in asked.drain(..) {
            let own: Vec<i64> = answers.by_ref().take(commands.len()).collect();
            // Whoever asked may have given up.
            let _ = answer.send(Some(own).filter(|_| safe));
        }
    }
}

impl Redis {
    fn reserve(&self, random: &mut SmallRng) -> (Cmd, String) {
        let id = Uuid::now_v7();
        let deadline = id.get_timestamp().map_or(0, |at| at.to_unix().0) + self.plan.ttl.as_secs();
        let hold = format!("hold:{id}");
        let mut reserve = cmd("EVALSHA");
        reserve.arg(&self.scripts[0]).arg(3).arg(self.keys.draw(random)).arg(&hold).arg(DUE).arg(1).arg(deadline);
        (reserve, hold)
    }

    fn commit(&self, hold: &str) -> Cmd {
        let mut commit = cmd("EVALSHA");
        commit.arg(&self.scripts[1]).arg(2).arg(hold).arg(DUE);
        commit
    }

    async fn ask(&self, caller: usize, commands: Vec<Cmd>) -> (Counts, Vec<i64>) {
        let unknown = Counts { unknown: commands.len() as u64, ..Counts::default() };
        let (answer, told) = oneshot::channel();
        let queue = &self.queues[caller % self.queues.len()];
        if queue.send(Asked { commands, answer }).await.is_err() {
            return (unknown, Vec::new());
        }
        let Ok(Some(answers)) = told.await else { return (unknown, Vec::new()) };
        let done = answers.iter().filter(|answer| **answer == 1).count() as u64;
        (Counts { done, refused: answers.len() as u64 - done, ..Counts::default() }, answers)
    }

    /// So many reserves together, then the commits of those that hold something.
    async fn several(&self, caller: usize, count: usize, commits: bool, random: &mut SmallRng) -> Counts {
        let (reserves, holds): (Vec<Cmd>, Vec<String>) = (0..count).map(|_| self.reserve(random)).unzip();
        let (mut counts, answers) = self.ask(caller, reserves).await;
        if commits {
            let held = holds.iter().zip(answers).filter(|(_, answer)| *answer == 1);
            let (sold, _) = self.ask(caller, held.map(|(hold, _)| self.commit(hold)).collect()).await;
            counts.add(sold);
        }
        counts
    }
}

impl Callers for Redis {
    fn outstanding(&self) -> usize {
        self.plan.outstanding
    }

    async fn turn(&self, caller: usize, random: &mut SmallRng) -> Counts {
        let (count, commits) = match self.plan.work {
            Work::Pair => (1, true),
            Work::Batch(count) => (count, false),
            Work::BatchPair(count) => (count, true),
            _ => (1, false),
        };
        self.several(caller, count, commits, random).await
    }
}
