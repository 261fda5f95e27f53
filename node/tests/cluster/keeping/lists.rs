//! Reservations of an owner, and holds that end soon: over all shards, in pages.

use super::world::{World, refused};
use earmark_client::{Client, Code, Level, ReservationId};
use std::time::Duration;

const SKUS: [&str; 6] = ["milk", "bread", "salt", "rice", "soap", "eggs"];

async fn of_owner(client: &Client, owner: &str, size: u32, level: Level) -> Vec<ReservationId> {
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let list = client.reservations_of(owner).page_size(size).level(level);
        let list = match after.take() {
            Some(token) => list.after(token),
            None => list,
        };
        let page = list.send().await.expect("listed");
        assert!(page.items.len() <= usize::try_from(size).expect("small"));
        told.extend(page.items.iter().map(|reservation| reservation.id));
        let Some(next) = page.next else { return told };
        after = Some(next);
    }
}

pub async fn all(world: &World) {
    let client = &world.client;
    for sku in SKUS {
        world.receive(sku, "main", 100).await;
    }
    let (mut annas, mut ends) = (Vec::new(), Vec::new());
    for (number, sku) in SKUS.into_iter().enumerate() {
        let minutes = 60 - u64::try_from(number).expect("small") * 10;
        let ttl = Duration::from_secs(minutes * 60);
        let held = client.reserve().line(sku, "main", 1).owner("anna").ttl(ttl).send().await.expect("held");
        annas.push(held.id());
        ends.push((held.deadline(), held.id()));
    }
    let cart = SKUS.iter().fold(client.reserve().owner("anna"), |cart, sku| cart.line(*sku, "main", 1));
    let cart = cart.ttl(Duration::from_secs(5 * 60)).send().await.expect("held");
    annas.push(cart.id());
    ends.push((cart.deadline(), cart.id()));
    let other = client.reserve().line("milk", "main", 1).owner("berta").send().await.expect("held");
    ends.push((other.deadline(), other.id()));
    annas.sort_unstable();
    ends.sort_unstable();

    for level in [Level::Linearizable, Level::Session] {
        assert_eq!(of_owner(client, "anna", 2, level).await, annas, "{level:?}");
    }
    assert_eq!(of_owner(client, "berta", 100, Level::Linearizable).await, [other.id()]);
    assert_eq!(of_owner(client, "nobody", 100, Level::Linearizable).await, []);
    refused(client.reservations_of("").send().await, Code::InvalidArgument);

    let soon = client.expiring(Duration::from_secs(31 * 60)).send().await.expect("listed");
    let told: Vec<_> = soon.items.iter().map(|hold| (hold.deadline, hold.id)).collect();
    assert_eq!(told, ends[..5], "5, 10, 15, 20 and 30 minutes");
    assert_eq!((&*soon.items[0].owner, &*soon.items[2].owner), ("anna", "berta"));
    assert_eq!(soon.next, None);
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let list = client.expiring(Duration::from_secs(2 * 3_600)).page_size(3);
        let list = match after.take() {
            Some(token) => list.after(token),
            None => list,
        };
        let page = list.send().await.expect("listed");
        told.extend(page.items.iter().map(|hold| (hold.deadline, hold.id)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(told, ends);

    cart.release().await.expect("given back");
    other.commit().await.expect("sold");
    assert_eq!(of_owner(client, "anna", 100, Level::Linearizable).await.len(), 6);
    assert_eq!(of_owner(client, "berta", 100, Level::Linearizable).await, []);
}
