//! Set, count, quarantine and write-off.

use super::world::{World, books, refused};
use earmark_client::{Code, Epoch, LogIndex, Position, ShardId, TimeMs};
use std::time::Duration;

async fn set_needs_to_know(world: &World) {
    let client = &world.client;
    world.receive("tea", "main", 10).await;
    let id = client.make_operation_id();
    let set = || client.set("tea", "main", 7, "stocktaking").expected_on_hand(10).id(id);
    let done = set().send().await.expect("set");
    assert_eq!((done.delta, done.replayed, &done.shortage), (-3, false, &None));
    assert_eq!(books(&done.pool), [7, 7, 0, 0, 0, 0]);
    world.receive("tea", "main", 1).await;
    let again = set().send().await.expect("the same again");
    assert!(again.replayed);
    assert_eq!(again.pool, done.pool, "the first answer");

    let stale = refused(client.set("tea", "main", 9, "why").expected_on_hand(7).send().await, Code::VersionStale);
    assert!(stale.message().contains('8'), "{stale}");
    let other = client.set("tea", "main", 9, "other").expected_on_hand(10).id(id).send().await;
    refused(other, Code::IdempotencyConflict);
    refused(client.set("never", "main", 9, "why").override_any().send().await, Code::NotFound);
    refused(client.set("tea", "elsewhere", 9, "why").override_any().send().await, Code::NotFound);
    let told = refused(client.set("tea", "main", 9, "").send().await, Code::InvalidArgument);
    assert_eq!(told.fields().len(), 2, "reason and expected value: {told}");
    let done = client.set("tea", "main", 20, "found").override_any().send().await.expect("set");
    assert_eq!(books(&done.pool), [20, 20, 0, 0, 0, 0]);
}

async fn what_moved_since_a_count_is_applied_on_top(world: &World) {
    let client = &world.client;
    world.receive("rice", "main", 100).await;
    let seen = client.stock("rice").send().await.expect("read");
    // What comes within the same millisecond can't be told apart by its time.
    tokio::time::sleep(Duration::from_millis(2)).await;
    // After the count was taken, 5 arrive and 10 are sold.
    world.receive("rice", "main", 5).await;
    let held = client.reserve().line("rice", "main", 10).send().await.expect("held");
    held.commit().await.expect("sold");
    assert_eq!(books(&world.pool("rice", "main").await)[0], 95);

    let id = client.make_operation_id();
    let count = || client.count("rice", "main", 97).at_position(seen.position).document("list 1").id(id);
    let done = count().send().await.expect("counted");
    assert_eq!((done.delta, done.beyond), (-3, 0), "100 by the books then, 97 there");
    assert_eq!(books(&done.pool)[0], 92);
    let again = count().send().await.expect("the same again");
    assert!(again.replayed);
    assert_eq!(again.position, done.position);

    // The same moment by its time, and another opinion: what the count above corrected is not corrected twice.
    let done = client.count("rice", "main", 100).at_time(seen.as_of).send().await.expect("counted");
    assert_eq!((done.delta, books(&done.pool)[0]), (3, 95), "100 were there, 5 came, 10 went");
    // Before anything was there.
    let before = TimeMs(seen.as_of.0 - 3_600_000);
    let told = refused(client.count("rice", "main", 1).at_time(before).send().await, Code::InvalidArgument);
    assert_eq!(told.fields()[0].field, "observed_time_ms", "nobody can have counted it there: {told}");
    // Just now, by the ledger's clock and without a moment.
    let done = client.count("rice", "main", 90).at_time(done.server_time).send().await.expect("counted");
    assert_eq!(books(&done.pool)[0], 90);
    let done = client.count("rice", "main", 91).send().await.expect("counted");
    assert_eq!((done.delta, books(&done.pool)[0]), (1, 91));
    // More was sold since than was there by the count: nothing is clamped in silence.
    let seen = client.stock("rice").send().await.expect("read");
    let held = client.reserve().line("rice", "main", 80).send().await.expect("held");
    held.commit().await.expect("sold");
    let done = client.count("rice", "main", 60).at_position(seen.position).send().await.expect("counted");
    assert_eq!((done.delta, done.beyond), (-11, 20));
    assert_eq!(books(&done.pool)[0], 0);
}

async fn a_count_names_a_moment_that_can_be_looked_back_to(world: &World) {
    let client = &world.client;
    world.receive("salt", "main", 10).await;
    let now = client.server_time();
    let far = Position { index: LogIndex(1 << 40), ..client.stock("salt").send().await.expect("read").position };
    for count in [
        client.count("salt", "main", 9).at_time(TimeMs(now.0 + 60_000)),
        client.count("salt", "main", 9).at_time(TimeMs(now.0 + 3_600_000)),
        client.count("salt", "main", 9).at_position(far),
        client.count("salt", "main", 9).at_position(Position { shard: ShardId(77), ..far }),
    ] {
        let told = refused(count.send().await, Code::InvalidArgument);
        assert!(told.fields()[0].field.starts_with("observed"), "{told}");
    }
    let restored = Position { epoch: Epoch(9), index: LogIndex(1), ..far };
    refused(client.count("salt", "main", 9).at_position(restored).send().await, Code::PositionExpired);
    refused(client.count("never", "main", 9).at_time(TimeMs(now.0 - 1)).send().await, Code::NotFound);
    assert_eq!(books(&world.pool("salt", "main").await)[0], 10, "nothing changed");
}

async fn units_are_set_apart_and_come_back_or_are_gone(world: &World) {
    let client = &world.client;
    world.receive("jam", "main", 10).await;
    let id = client.make_operation_id();
    let apart = || client.quarantine("jam", "main", 4, "broken glass").id(id);
    let done = apart().send().await.expect("set apart");
    assert_eq!(books(&done.pool), [10, 6, 0, 0, 4, 0]);
    assert!(apart().send().await.expect("the same again").replayed);
    let done = client.unquarantine("jam", "main", 1).send().await.expect("back");
    assert_eq!(books(&done.pool), [10, 7, 0, 0, 3, 0]);
    let done = client.write_off("jam", "main", 2, "broken").send().await.expect("written off");
    assert_eq!((done.delta, books(&done.pool)), (-2, [8, 7, 0, 0, 1, 0]));

    let told = refused(client.quarantine("jam", "main", 8, "all").send().await, Code::InsufficientStock);
    assert_eq!(told.message(), "8 asked, 7 on hand and not set apart");
    let told = refused(client.unquarantine("jam", "main", 2).send().await, Code::InsufficientStock);
    assert_eq!(told.message(), "2 asked, 1 set apart");
    refused(client.write_off("jam", "main", 2, "all").send().await, Code::InsufficientStock);
    refused(client.quarantine("jam", "main", 1, "").send().await, Code::InvalidArgument);
    refused(client.write_off("jam", "main", 1, "").send().await, Code::InvalidArgument);
    refused(client.write_off("jam", "attic", 1, "gone").send().await, Code::NotFound);
}

pub async fn all(world: &World) {
    set_needs_to_know(world).await;
    what_moved_since_a_count_is_applied_on_top(world).await;
    a_count_names_a_moment_that_can_be_looked_back_to(world).await;
    units_are_set_apart_and_come_back_or_are_gone(world).await;
}
