//! What was released, and what a shard is told late of it.

use crate::{
    acts::{Case, Operation},
    admitted,
    carts::{LOCATION, RECEIVED, Stage},
    cluster::eventually,
};
use earmark_client::Error;
use earmark_node::failpoint::Step;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_of_a_release_that_is_still_on_its_way_can_be_had() {
    let _admitted = admitted().await;
    let mut stage = Stage::set(3).await;
    let cast = stage.cast(0).await;
    let case = Case::make(&mut stage, &cast, Operation::Release, None).await;
    case.begin(&stage).await;
    stage.arm(cast.home, "hold", Step::HomeDecideSending);
    case.send(&stage, cast.gateway).await.expect("no panic").expect("released");
    let held = stage.held(cast.home).await;
    // One of the two participants is told at once, the other is not, and its own books know nothing of it.
    let late = eventually("one to be told", async || {
        let mut late = Vec::new();
        for sku in &case.skus[1..] {
            let read = stage.client.stock(sku).location(LOCATION).send().await.map_err(|error| error.to_string())?;
            late.extend((read.pools[0].held > 0).then_some(sku));
        }
        if late.len() == 1 { Ok(late[0]) } else { Err(format!("{late:?} are not told")) }
    })
    .await;
    let rival = stage.client.reserve().line(late, LOCATION, RECEIVED).send().await;
    let by_then = held.exists();
    std::fs::remove_file(&held).ok();
    assert!(by_then, "whoever was held was let go too early: the machine is too slow for this test");
    rival.map(|rival| rival.id()).map_err(|error: Error| error.to_string()).expect("all units are free");
    eventually("all at rest", async || stage.at_rest()).await;
    let pools = stage.client.stock(late).location(LOCATION).send().await.expect("stock").pools;
    assert_eq!((pools[0].held, pools[0].available), (RECEIVED, 0));
}
