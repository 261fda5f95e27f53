//! SIGKILL of the gateway node, the home leader and a participant leader, at each step of what can be done to a cart.

use crate::{
    acts::{Case, OPERATIONS, Operation, comes_by, end, revision},
    admitted,
    carts::{Cast, Stage},
    checks::digests_equal,
    cluster::eventually,
};
use earmark_ledger::types::ReservationId;
use earmark_node::failpoint::Step;
use std::{
    collections::BTreeSet,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

/// Once a majority is healthy, no cart may be half done for longer.
const HEALED_WITHIN: Duration = Duration::from_secs(10);

/// An expiring cart must be held everywhere, and its killer armed, before its time is over.
const TTL: Duration = Duration::from_secs(3);

/// All carts so far.
#[derive(Default)]
struct Past {
    ids: Vec<ReservationId>,
    skus: BTreeSet<String>,
    healed_max: Duration,
}

async fn kill_at(stage: &mut Stage, past: &mut Past, operation: Operation, step: Step, cast: &Cast) {
    let ttl = (operation == Operation::Expire).then_some(TTL);
    let case = Case::make(stage, cast, operation, ttl).await;
    past.ids.push(case.id);
    past.skus.extend(case.skus.iter().cloned());
    case.begin(stage).await;

    let node = cast.node(step);
    stage.arm(node, "kill", step);
    let told = case.send(stage, cast.gateway);
    let status = stage.cluster.ends(node).await;
    assert_eq!((status.signal(), stage.is_armed(node)), (Some(9), false), "{status}");
    stage.start(node);
    let replayed = case.learn(stage).await;
    let told = told.await.expect("no panic").map(drop);
    assert!(told.is_err() || replayed || operation == Operation::Expire, "{told:?}, and it was not done");
    stage.serving().await;

    let healthy = Instant::now();
    loop {
        let lacking = async {
            stage.at_rest()?;
            let found = stage.show(case.id).await?;
            if (found.state, found.revision) != (end(operation), revision(operation)) {
                return Err(format!("{found:?}"));
            }
            stage.books_agree(&case.skus, &[case.id]).await
        };
        match lacking.await {
            Ok(()) => break,
            Err(lacking) if healthy.elapsed() > HEALED_WITHIN => panic!("not within {HEALED_WITHIN:?}: {lacking}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    past.healed_max = past.healed_max.max(healthy.elapsed());
    digests_equal(&stage.cluster, cast.gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_killed_at_whatever_step_no_cart_is_half_done() {
    let _admitted = admitted().await;
    let begun = Instant::now();
    let mut stage = Stage::set(6).await;
    let mut past = Past::default();
    // To look at one failure again: a part of what is printed of it, like `Commit home.decide`.
    let only = std::env::var("EARMARK_TEST_KILLS").unwrap_or_default();
    let mut count = 0;
    for step in Step::ALL {
        assert!(OPERATIONS.iter().any(|operation| comes_by(*operation, step)), "no operation comes by {step:?}");
        for operation in OPERATIONS.into_iter().filter(|operation| comes_by(*operation, step)) {
            let name = format!("{operation:?} {}", step.name());
            if name.contains(&only) {
                let cast = stage.cast(count).await;
                eprintln!("{:>6.1?} {name}, {cast:?}", begun.elapsed());
                kill_at(&mut stage, &mut past, operation, step, &cast).await;
                count += 1;
            }
        }
    }
    eventually("the books of all carts", async || stage.books_agree(&past.skus, &past.ids).await).await;
    assert!(count > 0, "nothing is called {only}");
    eprintln!(
        "{count} kills: {} steps, {} operations; whole again after {:?} at most; {:.0?} in all",
        Step::ALL.len(),
        OPERATIONS.len(),
        past.healed_max,
        begun.elapsed()
    );
}
