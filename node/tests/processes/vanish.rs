//! Clients that vanish in the middle of something, and what others are told meanwhile.

use crate::{
    acts::{Case, OPERATIONS, Operation, comes_by},
    admitted,
    carts::{Cast, LOCATION, RECEIVED, Stage, UNITS},
    checks::digests_equal,
    cluster::eventually,
};
use earmark_client::{Client, Code, ReservationState, wire::v1};
use earmark_ledger::types::TimeMs;
use earmark_node::failpoint::{Role, Step};
use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use v1::reservation_service_client::ReservationServiceClient;

/// Long enough for a cart to be held everywhere, and for a client to vanish, before it is over.
const TTL: Duration = Duration::from_secs(4);

/// As docs/operations.md states: so long after its deadline no shard holds anything of a cart.
const BOUND: Duration = Duration::from_secs(5);

/// A cart that is not held by then is given up.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(2);

/// Who vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vanishing {
    /// A call is dropped, with its connection.
    Call,
    /// A process that uses the SDK is killed.
    Process,
}

/// Sends it and vanishes when the step is reached. False if nobody can do that.
async fn vanish(stage: &Stage, cast: &Cast, case: &Case, step: Step, vanishing: Vanishing) -> bool {
    match vanishing {
        Vanishing::Call => {
            let node = cast.node(step);
            stage.arm(node, "hold", step);
            let call = case.send(stage, cast.gateway);
            let held = stage.held(node).await;
            call.abort();
            // Some steps come after the answer.
            if let Ok(told) = call.await {
                told.expect("done");
            }
            let_go(&held);
        }
        Vanishing::Process => {
            let Some(mut command) = command(stage, cast, case) else { return false };
            // The SDK sends to the leader of the home shard at once.
            let node = if step.role() == Role::Gateway { cast.home } else { cast.node(step) };
            stage.arm(node, "hold", step);
            let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("started");
            let held = stage.held(node).await;
            process.kill().expect("killed");
            process.wait().expect("ended");
            let_go(&held);
        }
    }
    true
}

fn let_go(held: &Path) {
    std::fs::remove_file(held).expect("someone is held");
}

/// `earmark` with what is asked, if it can ask that.
fn command(stage: &Stage, cast: &Cast, case: &Case) -> Option<Command> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_earmark"));
    command.args(["--endpoints", &stage.cluster.endpoint(cast.gateway)]);
    let id = case.id.to_string();
    match case.operation {
        Operation::Reserve => {
            command.args(["reserve", "--id", &id, "--ttl", "4s"]);
            command.args(case.skus.iter().map(|sku| format!("{sku}@{LOCATION}={UNITS}")));
        }
        Operation::Commit => drop(command.args(["commit", &id])),
        Operation::Release => drop(command.args(["release", &id])),
        Operation::Replace => {
            command.args(["replace", &id]);
            command.args(case.skus.iter().map(|sku| format!("{sku}@{LOCATION}={}", UNITS + 1)));
        }
        Operation::CommitPart | Operation::Expire => return None,
    }
    Some(command)
}

/// Waits until nothing of the cart is held any more, and tells how long after its deadline that was. Home is not asked
/// meanwhile: what is over must go back by itself.
async fn freed(client: Client, case: Case) -> Result<Duration, String> {
    let begun = Instant::now();
    let deadline = loop {
        match client.reservation(case.id).send().await {
            Ok(read) if read.reservation.state == ReservationState::Rejected => break client.server_time(),
            Ok(read) if read.reservation.state != ReservationState::Open => break read.reservation.deadline,
            Err(error) if error.code() != Code::NotFound => return Err(format!("{error:?}")),
            Ok(_) | Err(_) if begun.elapsed() > PREPARE_TIMEOUT => break client.server_time(),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let ms = |time: TimeMs| Duration::from_millis(time.0);
    loop {
        let now = client.server_time();
        let mut held = 0;
        for sku in &case.skus[1..] {
            let stock = client.stock(sku).location(LOCATION).send().await.map_err(|error| format!("{error:?}"))?;
            held += stock.pools[0].held;
        }
        let late = ms(now).saturating_sub(ms(deadline));
        if held == 0 {
            return Ok(late);
        }
        if late > BOUND {
            return Err(format!("{held} units of {} are held {late:?} after its deadline", case.id));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_leaves_nothing_held() {
    let _admitted = admitted().await;
    let begun = Instant::now();
    let mut stage = Stage::set(3).await;
    let (mut watched, mut made) = (Vec::new(), Vec::new());
    for step in Step::ALL {
        for operation in OPERATIONS.into_iter().filter(|operation| comes_by(*operation, step)) {
            for vanishing in [Vanishing::Call, Vanishing::Process] {
                if operation == Operation::Expire {
                    // Nobody asks for that.
                    continue;
                }
                let cast = stage.cast(watched.len()).await;
                let case = Case::make(&mut stage, &cast, operation, Some(TTL)).await;
                case.begin(&stage).await;
                if vanish(&stage, &cast, &case, step, vanishing).await {
                    let what = format!("{operation:?} {} {vanishing:?}", step.name());
                    made.push(case.clone());
                    watched.push((what, tokio::spawn(freed(stage.client.clone(), case))));
                }
            }
        }
    }
    let count = watched.len();
    let mut latest = Duration::ZERO;
    for (what, watch) in watched {
        let late = watch.await.expect("no panic").unwrap_or_else(|why| panic!("{what}: {why}"));
        latest = latest.max(late);
    }
    let mut ends = BTreeSet::new();
    for case in &made {
        eventually("the books of a cart", async || {
            let read = stage.client.reservation(case.id).send().await;
            let ids = match read {
                Ok(read) => vec![read.reservation.id],
                Err(error) if error.code() == Code::NotFound => Vec::new(),
                Err(error) => return Err(format!("{error:?}")),
            };
            stage.books_agree(&case.skus, &ids).await
        })
        .await;
        if let Ok(found) = stage.show(case.id).await {
            assert!(found.lines.iter().all(|line| line.held == 0), "{found:?}");
            ends.insert(format!("{:?}", found.state));
        }
    }
    eventually("all at rest", async || stage.at_rest()).await;
    digests_equal(&stage.cluster, 1).await;
    eprintln!(
        "{count} clients vanished; their carts ended as {ends:?}, the last units were free {latest:?} after their \
         deadline; {:.0?} in all",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undecided_units_are_contended_and_a_second_sending_is_told_the_same_end_again() {
    let _admitted = admitted().await;
    let mut stage = Stage::set(3).await;
    let cast = stage.cast(0).await;
    let case = Case::make(&mut stage, &cast, Operation::Reserve, None).await;
    let begun = Instant::now();
    stage.arm(cast.home, "hold", Step::HomePrepareAnswered);
    let first = case.send(&stage, cast.gateway);
    let held = stage.held(cast.home).await;
    // The participant holds its units, and home can't know it yet.
    let all = v1::Line {
        sku: case.skus[1].clone(),
        location: LOCATION.to_owned(),
        quantity: RECEIVED.cast_signed(),
        ..Default::default()
    };
    let rival = v1::ReserveRequest { lines: vec![all], ..Default::default() };
    let mut service = ReservationServiceClient::new(stage.cluster.channel(cast.participant));
    let told = service.reserve(rival).await.map(drop).map_err(|status| status.code());
    let in_time = begun.elapsed() < PREPARE_TIMEOUT;
    assert!(told == Err(tonic::Code::Aborted) || !in_time && told.is_ok(), "{told:?} after {:?}", begun.elapsed());
    let second = case.send(&stage, cast.gateway);
    let_go(&held);
    let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
    match (first, second) {
        (Ok(first), Ok(second)) => assert_eq!([first, second].into_iter().filter(|replayed| *replayed).count(), 1),
        (first, second) => assert!(!in_time, "{first:?} {second:?}"),
    }
    case.learn(&stage).await;
    eventually("the books", async || stage.books_agree(&case.skus, &[case.id]).await).await;
}
