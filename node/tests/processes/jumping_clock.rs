//! A leader whose wall clock really jumps by an hour while those of the others stay true.

use crate::{
    admitted,
    checks::digests_equal,
    cluster::{Cluster, NODES, Start, compile, eventually},
    load::LOCATION,
};
use earmark_client::{Client, ReservationId, ReservationState, wire::v1::NodeHealth};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Long enough that the clock jumps, and the shard sells on, well before its end.
const TTL: Duration = Duration::from_secs(20);

/// In seconds.
const HOUR: i64 = 3_600;

/// A hold that is still live then never ends. A machine under load may take long.
const NEVER: Duration = Duration::from_secs(300);

/// Clocks of a majority may be this far from their median, so a hold may end this much early: `limits.clock_bound`.
const CLOCK_BOUND: Duration = Duration::from_millis(500);

/// The clock of a node's program: a file it has mapped. Seconds that it is wrong by, and what it showed last.
struct Hand(PathBuf);

impl Hand {
    fn new(file: PathBuf) -> Self {
        fs::write(&file, [0; 16]).expect("written");
        Self(file)
    }

    fn start(&self, library: &Path) -> Start {
        let variable = |name: &str, path: &Path| (name.to_owned(), path.to_str().expect("text").to_owned());
        Start { variables: vec![variable("LD_PRELOAD", library), variable("JUMPING_CLOCK", &self.0)] }
    }

    fn set_wrong_by(&self, seconds: i64) {
        let mut file = File::options().write(true).open(&self.0).expect("opened");
        file.write_all(&seconds.to_ne_bytes()).expect("written");
    }

    /// Waits until the program looked, and was told a time that is about that wrong.
    async fn shows(&self, seconds: i64) {
        eventually(&format!("the program's clock is wrong by {seconds} s"), async || {
            let file = fs::read(&self.0).expect("read");
            let told = i64::from_ne_bytes(file[8..].try_into().expect("16 bytes"));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            let wrong = told - i64::try_from(now.as_secs()).expect("small");
            if wrong.abs_diff(seconds) < 60 { Ok(()) } else { Err(format!("it is wrong by {wrong} s")) }
        })
        .await;
    }
}

async fn hold(client: &Client, ttl: Duration) -> ReservationId {
    client.reserve().line("tea", LOCATION, 1).ttl(ttl).send().await.expect("nothing is frozen").id()
}

async fn state(client: &Client, id: ReservationId) -> ReservationState {
    eventually("a reservation is read", async || {
        let read = client.reservation(id).send().await.map_err(|error| error.to_string())?;
        Ok(read.reservation.state)
    })
    .await
}

/// The clock of the leader jumps while a hold lives: it ends in its time, and the shard goes on.
async fn jump(cluster: &Cluster, client: &Client, hands: &[Hand], seconds: i64) {
    let before = Instant::now();
    let first = hold(client, TTL).await;
    let leader = cluster.leaders().await[&1];
    let hand = &hands[usize::try_from(leader - 1).expect("small")];
    hand.set_wrong_by(seconds);
    hand.shows(seconds).await;
    eprintln!("the clock of node {leader}, which leads, jumped by {seconds} s");
    let mut made = 0;
    let ended = loop {
        hold(client, TTL).await;
        made += 1;
        match state(client, first).await {
            ReservationState::Held => assert!(before.elapsed() < NEVER, "the hold never ends"),
            other => break other,
        }
    };
    let lived = before.elapsed();
    eprintln!("the hold of {TTL:?} lived {lived:.3?}; {made} others were made meanwhile");
    assert_eq!(ended, ReservationState::Expired);
    assert!(lived + CLOCK_BOUND >= TTL, "ended early, after {lived:?}");
    // It is set right again, which is a jump as well.
    hand.set_wrong_by(0);
    hand.shows(0).await;
    hold(client, TTL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_jumps_ends_nothing_early_and_freezes_nothing() {
    let _admitted = admitted().await;
    let mut cluster = Cluster::prepare("");
    let library = cluster.scratch("jumping_clock.so");
    compile("jumping_clock.c", &library);
    let hands = NODES.map(|node| Hand::new(cluster.scratch(&format!("clock-{node}"))));
    for (node, hand) in NODES.into_iter().zip(&hands) {
        cluster.start_with(node, &hand.start(&library));
    }
    cluster.form(1).await;
    let client = cluster.client().await;
    client.receive("tea", LOCATION, 1_000_000_000).send().await.expect("received");
    jump(&cluster, &client, &hands, HOUR).await;
    jump(&cluster, &client, &hands, -HOUR).await;
    for node in NODES {
        cluster.health(node, NodeHealth::Serving).await;
    }
    digests_equal(&cluster, 1).await;
}
