//! The acts of an operator: forming a cluster, re-seeding, status, comparison.

use super::{roads::ours, world::World};
use earmark_client::{Client, Code, wire::v1};

async fn a_cluster_is_formed_once_and_of_one_to_a_thousand_and_twenty_four_shards(world: &World) {
    let before = world.seen().await;
    for shards in [0, 1_025, u32::MAX] {
        let told = ours(&world.cluster().init(v1::InitRequest { shards }).await.expect_err("refused"));
        assert_eq!((told.code(), told.fields[0].field.as_str()), (Code::InvalidArgument, "shards"));
    }
    let told = ours(&world.cluster().init(v1::InitRequest { shards: 1 }).await.expect_err("it is formed"));
    assert_eq!(told.code(), Code::InvalidArgument);
    assert!(told.message.contains("belongs to cluster"), "{told:?}");
    let client = Client::connect([format!("127.0.0.1:{}", world.ports[0])]).await.expect("it answers");
    let error = client.cluster().init(8).await.expect_err("it is formed");
    assert!(error.surely_no_effect() && !error.is_retryable(), "{error:?}");
    world.unchanged_since(&before).await;
}

async fn only_another_node_of_the_cluster_is_reseeded(world: &World) {
    let before = world.seen().await;
    for node in [0, 4, u32::MAX] {
        let told = ours(&world.cluster().reseed(v1::ReseedRequest { node }).await.expect_err("refused"));
        assert_eq!((told.code(), told.fields[0].field.as_str()), (Code::InvalidArgument, "node"));
    }
    let told = ours(&world.cluster().reseed(v1::ReseedRequest { node: 1 }).await.expect_err("it is asked itself"));
    assert_eq!(told.code(), Code::NotLeader);
    world.unchanged_since(&before).await;
    let compared = world.cluster().compare(v1::CompareRequest {}).await.expect("compared").into_inner();
    assert!(compared.all_equal, "{compared:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_of_an_operator_are_judged_first() {
    let world = World::new().await;
    a_cluster_is_formed_once_and_of_one_to_a_thousand_and_twenty_four_shards(&world).await;
    only_another_node_of_the_cluster_is_reseeded(&world).await;
    world.end().await;
}
