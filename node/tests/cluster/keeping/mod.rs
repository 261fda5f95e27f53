//! What the keepers of the stock ask, on three nodes through the SDK: its effect, its refusals, its repetition. Each subject
//! has a namespace of its own, so that all of them share one cluster.

mod corrections;
mod dry_run;
mod lists;
mod look_back;
mod moving;
mod settings;
mod shortage;
pub mod world;

use world::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_keeps_the_stock_is_served() {
    let cluster = Cluster::new(3).await;
    corrections::all(&cluster.world("corrections").await).await;
    shortage::all(&cluster.world("shortage").await).await;
    cluster.every_replica_serves();
    moving::all(&cluster.world("moving").await).await;
    settings::all(&cluster.world("settings").await).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_all_shards_is_answered_as_one() {
    let cluster = Cluster::new(3).await;
    lists::all(&cluster.world("lists").await).await;
    dry_run::all(&cluster.world("dry-run").await).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_looks_back_as_far_as_the_journal_reaches() {
    let cluster = Cluster::new(1).await;
    look_back::all(&cluster, &cluster.world("default").await).await;
    cluster.end().await;
}
