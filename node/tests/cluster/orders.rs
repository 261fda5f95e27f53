//! What becomes of a reservation beside commit, release and extend, through the SDK: replace, mark paying, late commit,
//! ship, cancel, return; of carts over several shards as of small ones.

use crate::keeping::world::{Cluster, World, books, refused};
use earmark_client::{Change, Client, Code, Deduct, Disposition, LineInfo, Reservation, ReservationState, SkuSettings};
use std::time::Duration;

/// They live in several shards.
const SKUS: [&str; 6] = ["tea", "milk", "bread", "salt", "rice", "soap"];

async fn stocked(cluster: &Cluster, namespace: &str, units: u64) -> World {
    let world = cluster.world(namespace).await;
    for sku in SKUS {
        world.receive(sku, "main", units).await;
    }
    world
}

async fn held(client: &Client, units: u64, ttl: Duration) -> Reservation {
    let reserve = SKUS.iter().fold(client.reserve().ttl(ttl), |reserve, sku| reserve.line(*sku, "main", units));
    reserve.send().await.expect("held")
}

/// What is told of each line.
fn each(change: &Change, of: impl Fn(&LineInfo) -> u64) -> Vec<u64> {
    change.reservation.lines.iter().map(of).collect()
}

/// The books of all SKUs, once every shard has carried out what was decided.
async fn all(world: &World, wanted: [u64; 6]) {
    for sku in SKUS {
        let mut told = books(&world.pool(sku, "main").await);
        for _ in 0..1_000 {
            if told == wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            told = books(&world.pool(sku, "main").await);
        }
        assert_eq!(told, wanted, "{sku}");
    }
}

async fn replaces(cluster: &Cluster) {
    let world = stocked(cluster, "replaces", 10).await;
    let client = &world.client;
    let reservation = held(client, 6, Duration::from_secs(300)).await;
    let id = reservation.id();
    all(&world, [10, 4, 6, 0, 0, 0]).await;

    // All ten are to be had: six are its own.
    let operation = client.make_operation_id();
    let more = || SKUS.iter().fold(client.replace(id).operation_id(operation), |all, sku| all.line(*sku, "main", 10));
    let change = more().send().await.expect("replaced");
    assert_eq!((change.reservation.revision, change.reservation.state), (2, ReservationState::Held));
    assert_eq!(change.reservation.deadline, reservation.deadline());
    assert_eq!(each(&change, |line| line.held), [10; 6]);
    all(&world, [10, 0, 10, 0, 0, 0]).await;
    assert!(more().send().await.expect("the same again").replayed);
    let other = client.replace(id).operation_id(operation).line("tea", "main", 1);
    refused(other.send().await, Code::IdempotencyConflict);

    // One line too many, and the old lines stay in force everywhere.
    let greedy =
        SKUS[1..].iter().fold(client.replace(id).line("tea", "main", 11), |all, sku| all.line(*sku, "main", 1));
    let error = refused(greedy.send().await, Code::InsufficientStock);
    assert_eq!((error.shortages()[0].line, error.shortages()[0].sellable), (0, 10));
    all(&world, [10, 0, 10, 0, 0, 0]).await;
    refused(client.replace(id).line("coffee", "main", 1).send().await, Code::NotFound);
    refused(client.replace(id).send().await, Code::InvalidArgument);

    // A cart becomes one line, and a cart again.
    let one = client.replace(id).line("milk", "main", 3).send().await.expect("replaced");
    assert_eq!(each(&one, |line| line.held), [3]);
    assert_eq!(books(&world.pool("milk", "main").await), [10, 7, 3, 0, 0, 0]);
    let cart = SKUS.iter().fold(client.replace(id), |all, sku| all.line(*sku, "main", 2));
    cart.send().await.expect("replaced");
    all(&world, [10, 8, 2, 0, 0, 0]).await;

    // Whoever repeats the reserve is told what it was told first.
    let again =
        SKUS.iter().fold(client.reserve().id(id).ttl(Duration::from_secs(300)), |all, sku| all.line(*sku, "main", 6));
    let again = again.send().await.expect("the same again");
    assert!(again.replayed() && again.lines().iter().all(|line| line.got == 6), "{again:?}");
    let sold = reservation.commit().await.expect("sold");
    assert_eq!(each(&sold, |line| line.committed), [2; 6]);
    all(&world, [8, 8, 0, 0, 0, 0]).await;
    refused(client.replace(id).line("tea", "main", 1).send().await, Code::ReservationState);
    // It belongs to its namespace.
    let stranger = cluster.world("stranger").await;
    refused(stranger.client.replace(id).line("tea", "main", 1).send().await, Code::NotFound);
}

async fn pays(cluster: &Cluster) {
    let world = stocked(cluster, "pays", 5).await;
    let mut reservation = held(&world.client, 1, Duration::from_secs(300)).await;
    let before = reservation.deadline();
    let change = reservation.mark_paying().await.expect("marked");
    assert!(change.reservation.paying);
    assert_eq!(change.reservation.deadline.since(before).0, 120_000);
    assert_eq!(reservation.deadline(), change.reservation.deadline);
    refused(reservation.mark_paying().await, Code::ReservationState);
    let longer = world.client.mark_paying(reservation.id()).grace(Duration::from_secs(31 * 60));
    refused(longer.send().await, Code::InvalidArgument);
    reservation.release().await.expect("released");
    refused(reservation.mark_paying().await, Code::ReservationState);
}

async fn comes_late(cluster: &Cluster) {
    let world = stocked(cluster, "late", 2).await;
    let client = &world.client;
    let first = held(client, 2, Duration::from_secs(1)).await;
    tokio::time::sleep(first.remaining() + Duration::from_millis(50)).await;
    let error = refused(first.commit().await, Code::ReservationExpired);
    assert!(!error.is_refund());
    all(&world, [2, 2, 0, 0, 0, 0]).await;

    let operation = client.make_operation_id();
    let late = || client.commit(first.id()).revive().refund_hint().operation_id(operation);
    let sold = late().send().await.expect("sold all the same");
    assert_eq!(sold.reservation.state, ReservationState::Committed);
    assert_eq!((each(&sold, |line| line.committed), each(&sold, |line| line.expired)), (vec![2; 6], vec![0; 6]));
    assert!(late().send().await.expect("the same again").replayed);
    assert!(first.commit().await.expect("the end is reached").replayed);
    all(&world, [0, 0, 0, 0, 0, 0]).await;

    // One of six shards lacks the units: nothing is sold anywhere, and the money goes back.
    for sku in SKUS {
        world.receive(sku, "main", 2).await;
    }
    let second = held(client, 2, Duration::from_secs(1)).await;
    tokio::time::sleep(second.remaining() + Duration::from_millis(50)).await;
    let other = client.reserve().line("salt", "main", 1).ttl(Duration::from_secs(300)).send().await.expect("held");
    let error = refused(client.commit(second.id()).revive().refund_hint().send().await, Code::ReservationExpired);
    assert!(error.is_refund(), "{error}");
    other.release().await.expect("released");
    all(&world, [2, 2, 0, 0, 0, 0]).await;
    client.commit(second.id()).revive().send().await.expect("now they are there");
    all(&world, [0, 0, 0, 0, 0, 0]).await;
}

async fn ships_and_comes_back(cluster: &Cluster) {
    let world = stocked(cluster, "ships", 10).await;
    let client = &world.client;
    for sku in SKUS {
        let settings = SkuSettings { deduct: Deduct::OnShip, ..SkuSettings::default() };
        client.configure(sku, 0, settings).send().await.expect("configured");
    }
    let reservation = held(client, 4, Duration::from_secs(300)).await;
    let id = reservation.id();
    refused(client.ship(id).send().await, Code::ReservationState);
    reservation.commit().await.expect("sold");
    all(&world, [10, 6, 0, 4, 0, 0]).await;

    // One parcel, then one that one shard has too little for: reality is below its books.
    let parcel = SKUS.iter().fold(client.ship(id), |all, sku| all.part(*sku, "main", 1));
    let change = parcel.send().await.expect("shipped");
    assert_eq!(each(&change, |line| line.shipped), [1; 6]);
    all(&world, [9, 6, 0, 3, 0, 0]).await;
    client.count("rice", "main", 2).send().await.expect("counted");
    let error = refused(client.ship(id).send().await, Code::InsufficientStock);
    assert_eq!((error.shortages()[0].asked, error.shortages()[0].sellable), (3, 2));
    assert_eq!(books(&world.pool("rice", "main").await), [2, 0, 0, 3, 0, 1]);
    world.receive("rice", "main", 7).await;
    all(&world, [9, 6, 0, 3, 0, 0]).await;

    let operation = client.make_operation_id();
    let rest = || SKUS.iter().fold(client.ship(id).operation_id(operation), |all, sku| all.part(*sku, "main", 2));
    assert_eq!(each(&rest().send().await.expect("shipped"), |line| line.shipped), [3; 6]);
    assert!(rest().send().await.expect("the same again").replayed);
    let change = client.cancel(id).reason("changed his mind").send().await.expect("cancelled");
    assert_eq!(each(&change, |line| line.cancelled), [1; 6]);
    all(&world, [7, 7, 0, 0, 0, 0]).await;
    // All that could be cancelled is.
    assert!(client.cancel(id).send().await.expect("the end is reached").replayed);

    let torn =
        SKUS.iter().fold(client.return_units(id, Disposition::Unavailable), |all, sku| all.part(*sku, "main", 1));
    let change = torn.reason("torn").send().await.expect("returned");
    assert_eq!(each(&change, |line| line.returned_unavailable), [1; 6]);
    all(&world, [8, 7, 0, 0, 1, 0]).await;
    let change = client.return_units(id, Disposition::Sellable).send().await.expect("returned");
    assert_eq!(each(&change, |line| line.returned), [2; 6]);
    all(&world, [10, 9, 0, 0, 1, 0]).await;
    refused(client.return_units(id, Disposition::Sellable).send().await, Code::ReservationState);
    assert_eq!(world.pool("tea", "main").await.sold_total, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_changed_paid_late_shipped_and_returned_over_all_its_shards() {
    let cluster = Cluster::new(8).await;
    replaces(&cluster).await;
    pays(&cluster).await;
    comes_late(&cluster).await;
    ships_and_comes_back(&cluster).await;
    cluster.every_replica_serves();
    cluster.end().await;
}
