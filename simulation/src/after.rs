//! The end of a run: all faults are over, and the cluster has to show that it is well. It converges, serves, leaves
//! nothing in doubt, has equal digests, and then every SKU and every reservation is read once more for the checkers.

use crate::{
    operator::needs_reseed,
    recorder::{self, LOCATION, Recorder},
    scenario::Scenario,
    watch::Watch,
    workload::{pools, sku},
};
use earmark_client::{
    Client, ReservationId,
    wire::v1::{self, NodeHealth},
};
use earmark_jepsen::history::{Action, After, End, Line, Told};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// From the end of the last fault until no node has to be re-seeded: a disk is replaced after three starts at most, an
/// operator takes some seconds, and a re-seed copies every shard.
pub const REPAIR_MAX: Duration = Duration::from_secs(120);

/// From then, or from the end of the last fault, until nothing is open any more: several elections, a snapshot for each replica, and
/// two rounds of questions about carts in doubt.
pub const CONVERGE_MAX: Duration = Duration::from_secs(60);

/// An operation of a healthy cluster takes no longer with all its tries.
pub const SERVE_MAX: Duration = Duration::from_secs(10);

/// Looks every so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Between the deadline of a hold and the tick that ends it.
const SWEEP_MAX: Duration = Duration::from_secs(5);

/// Waits and reads; tells the watch what is not as it should be.
pub async fn look(client: &Client, scenario: &Scenario, recorder: &Recorder, watch: &Watch) {
    if let Err(what) = repaired(client).await {
        watch.broke("liveness", "repaired", what);
        return;
    }
    if let Err(what) = converges(client, scenario).await {
        watch.broke("liveness", "converges", what);
        return;
    }
    let process = recorder.process();
    for number in 0..u64::from(scenario.skus) {
        if let Err(what) = serves(client, recorder, process, &sku(number)).await {
            watch.broke("liveness", "serves", what);
            return;
        }
    }
    if recorder.lost() > 0 {
        // Nobody knows the id of some holds, so nobody can read them: they have to end by themselves.
        sleep(Duration::from_millis(scenario.ttl_ms[1]) + SWEEP_MAX).await;
    }
    if let Err(what) = read_all(client, scenario, recorder, process).await {
        watch.broke("liveness", "serves", what);
        return;
    }
    if let Err((promise, what)) = equal(client, scenario).await {
        watch.broke(promise, "digest-equal", what);
    }
}

/// All replicas of each shard have the same digest. Damage that nobody had read yet may be found only now, by a journal that is
/// trimmed; then its node is silent, and is asked again when it has been re-seeded.
async fn equal(client: &Client, scenario: &Scenario) -> Result<(), (&'static str, String)> {
    let deadline = Instant::now() + REPAIR_MAX;
    loop {
        let compared = client.cluster().compare().await;
        let compared = compared.map_err(|error| ("liveness", format!("no comparison: {error}")))?;
        if compared.all_equal {
            return Ok(());
        }
        let same = |shard: &v1::ShardComparison| {
            let first = shard.replicas.first().map(|replica| &replica.digest);
            shard.replicas.iter().all(|replica| Some(&replica.digest) == first && replica.violations == 0)
        };
        let status = client.cluster().status(false).await;
        let ill = status.is_ok_and(|status| status.nodes.iter().any(|node| node.health() != NodeHealth::Serving));
        if !ill || !compared.shards.iter().all(same) || Instant::now() > deadline {
            return Err(("P9", format!("{compared:?}")));
        }
        repaired(client).await.map_err(|what| ("liveness", what))?;
        converges(client, scenario).await.map_err(|what| ("liveness", what))?;
    }
}

/// Waits until the operator has re-seeded whatever was damaged.
async fn repaired(client: &Client) -> Result<(), String> {
    let deadline = Instant::now() + REPAIR_MAX;
    loop {
        let ill: Vec<String> = match timeout_at(deadline, client.cluster().status(false)).await {
            Ok(Ok(status)) => {
                let ill =
                    status.nodes.iter().filter(|node| needs_reseed(node) || node.health() == NodeHealth::Poisoned);
                ill.map(|node| format!("node {} is {:?}: {}", node.node, node.health(), node.detail)).collect()
            }
            Ok(Err(error)) => vec![error.to_string()],
            Err(_) => vec!["no status".to_owned()],
        };
        if ill.is_empty() {
            return Ok(());
        }
        if Instant::now() + LOOK_EVERY > deadline {
            return Err(format!("{REPAIR_MAX:?} after the last fault: {}", ill.join("; ")));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn converges(client: &Client, scenario: &Scenario) -> Result<(), String> {
    let deadline = Instant::now() + CONVERGE_MAX;
    loop {
        let open = match timeout_at(deadline, client.cluster().status(false)).await {
            Ok(Ok(status)) => unsettled(&status, scenario),
            Ok(Err(error)) => vec![error.to_string()],
            Err(_) => vec!["no status".to_owned()],
        };
        if open.is_empty() {
            return Ok(());
        }
        if Instant::now() + LOOK_EVERY > deadline {
            return Err(format!("{CONVERGE_MAX:?} after the last fault: {}", open.join("; ")));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Whether every shard has a leader, every replica is open and has applied all, and no cart is in doubt.
fn unsettled(status: &v1::GetStatusResponse, scenario: &Scenario) -> Vec<String> {
    let mut open = Vec::new();
    let mut led = BTreeSet::new();
    for node in &status.nodes {
        if node.health() != NodeHealth::Serving {
            open.push(format!("node {} is {:?}: {}", node.node, node.health(), node.detail));
        }
        for replica in &node.replicas {
            let name = format!("shard {} on node {}", replica.shard, node.node);
            if !replica.damage.is_empty() {
                open.push(format!("{name} is damaged: {}", replica.damage));
            }
            if replica.applied_index < replica.last_index {
                open.push(format!("{name} applied {} of {}", replica.applied_index, replica.last_index));
            }
            if replica.role == "leader" {
                led.insert(replica.shard);
                if replica.unanswered > 0 || replica.in_doubt > 0 {
                    open.push(format!("{name}: {} unanswered, {} in doubt", replica.unanswered, replica.in_doubt));
                }
            }
        }
        let expected = usize::try_from(scenario.shards + 1).expect("small");
        if node.replicas.len() != expected {
            open.push(format!("node {} has {} replicas", node.node, node.replicas.len()));
        }
    }
    if status.nodes.len() != usize::try_from(scenario.nodes).expect("small") {
        open.push(format!("{} nodes answer", status.nodes.len()));
    }
    for shard in (0..=scenario.shards).filter(|shard| !led.contains(shard)) {
        open.push(format!("nobody leads shard {shard}"));
    }
    open
}

async fn serves(client: &Client, recorder: &Recorder, process: u64, sku: &str) -> Result<(), String> {
    let id = client.make_operation_id();
    let line = Line { sku: sku.to_owned(), units: 1 };
    let receive = client.receive(sku, LOCATION, 1).id(id).timeout(SERVE_MAX);
    let sent = recorder.send(process, Action::Receive { id: id.to_string(), line });
    let answer = receive.send().await;
    let problem = answer.as_ref().err().map(|error| format!("{sku} is not received within {SERVE_MAX:?}: {error}"));
    sent.end(recorder::stocked(answer), None);
    problem.map_or(Ok(()), Err)
}

async fn read_all(client: &Client, scenario: &Scenario, recorder: &Recorder, process: u64) -> Result<(), String> {
    let from_ns = recorder.now_ns();
    let mut after = After::default();
    let history = recorder.history();
    let ids: BTreeSet<&str> =
        history.operations.iter().filter_map(|operation| operation.action.reservation()).collect();
    for id in ids {
        let Ok(parsed) = id.parse::<ReservationId>() else { continue };
        let sent = recorder.send(process, Action::ReadReservation { id: id.to_owned() });
        let end = recorder::read(client.reservation(parsed).timeout(SERVE_MAX).send().await);
        let found = match &end {
            End::Done { told: Told::Reservation(held), .. } => Some(held.clone()),
            End::Refused { code, .. } if code == "NOT_FOUND" => None,
            other => return Err(format!("reservation {id} can't be read: {other:?}")),
        };
        sent.end(end, None);
        after.reservations.insert(id.to_owned(), found);
    }
    for (sku, location) in pools(scenario) {
        let pool = recorder::pool(&sku, location);
        let sent = recorder.send(process, Action::ReadStock { sku: pool.clone() });
        let end = recorder::stock(client.stock(&sku).location(location).timeout(SERVE_MAX).send().await);
        match &end {
            End::Done { told: Told::Balance(balance), .. } => {
                after.balances.insert(pool, balance.clone());
            }
            // Nothing was ever sent there.
            End::Refused { code, .. } if code == "NOT_FOUND" && location != LOCATION => {}
            other => return Err(format!("{pool} can't be read: {other:?}")),
        }
        sent.end(end, None);
    }
    after.read_ns = [from_ns, recorder.now_ns()];
    recorder.set_after(after);
    Ok(())
}
