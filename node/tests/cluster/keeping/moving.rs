//! Transfer, arrive and expect.

use super::world::{World, books, refused};
use earmark_client::{Code, TimeMs};

async fn a_transfer_has_two_legs(world: &World) {
    let client = &world.client;
    world.receive("tea", "depot", 20).await;
    let id = client.make_operation_id();
    let send = || client.transfer("tea", "depot", "shop", 12).document("note 7").id(id);
    let sent = send().send().await.expect("sent");
    assert_eq!((books(&sent.from)[0], books(&sent.to)[0], sent.to.in_transit), (8, 0, 12));
    assert_eq!((sent.transfer.id, sent.transfer.sent, sent.transfer.in_transit), (id, 12, 12));
    assert!(send().send().await.expect("the same again").replayed);
    let listed = client.in_transit("tea").send().await.expect("listed");
    assert_eq!(listed.items, [sent.transfer]);

    let first = client.make_operation_id();
    let arrive = || client.arrive("tea", id, 7).id(first);
    let arrived = arrive().send().await.expect("arrived");
    assert_eq!((arrived.transfer.received, arrived.transfer.in_transit, books(&arrived.to)[0]), (7, 5, 7));
    assert!(arrive().send().await.expect("the same again").replayed);
    let told = refused(client.arrive("tea", id, 6).send().await, Code::InsufficientStock);
    assert_eq!(told.message(), "6 asked, 5 under way");
    refused(client.arrive("tea", id, 0).lost(1, "").send().await, Code::InvalidArgument);
    refused(client.arrive("tea", id, 0).send().await, Code::InvalidArgument);
    refused(client.arrive("tea", client.make_operation_id(), 1).send().await, Code::NotFound);
    refused(client.arrive("never", id, 1).send().await, Code::NotFound);
    let ended = client.arrive("tea", id, 4).lost(1, "fell off the lorry").send().await.expect("arrived");
    assert_eq!((ended.transfer.lost, ended.transfer.in_transit, books(&ended.to)[0]), (1, 0, 11));
    assert_eq!(client.in_transit("tea").send().await.expect("listed").items, []);
    refused(client.arrive("tea", id, 1).send().await, Code::NotFound);

    let told = refused(client.transfer("tea", "depot", "shop", 9).send().await, Code::InsufficientStock);
    assert_eq!(told.message(), "9 asked, 8 available");
    refused(client.transfer("tea", "depot", "depot", 1).send().await, Code::InvalidArgument);
    refused(client.transfer("tea", "attic", "shop", 1).send().await, Code::NotFound);
    refused(client.in_transit("never").send().await, Code::NotFound);
    let moved = client.transfer("tea", "depot", "kiosk", 8).immediate().send().await.expect("moved");
    assert_eq!((books(&moved.from)[0], books(&moved.to)[0], moved.to.in_transit), (0, 8, 0));
}

async fn transfers_come_in_pages(world: &World) {
    let client = &world.client;
    world.receive("rice", "depot", 100).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(client.transfer("rice", "depot", "shop", 1).send().await.expect("sent").transfer.id);
    }
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let list = client.in_transit("rice").page_size(2);
        let list = match after.take() {
            Some(token) => list.after(token),
            None => list,
        };
        let page = list.send().await.expect("listed");
        told.extend(page.items.iter().map(|transfer| transfer.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    sent.sort_unstable();
    assert_eq!(told, sent);
}

async fn a_receipt_is_announced_and_arrives(world: &World) {
    let client = &world.client;
    let friday = TimeMs(client.server_time().0 + 3 * 86_400_000);
    let id = client.make_operation_id();
    let expect = || client.expect("jam", "main", 30, "order 9", friday).id(id);
    let told = expect().send().await.expect("announced");
    assert_eq!((told.pool.expected, told.pool.expected_date, told.pool.on_hand), (30, Some(friday), 0));
    assert!(expect().send().await.expect("the same again").replayed);
    let later = TimeMs(friday.0 + 86_400_000);
    client.expect("jam", "main", 5, "order 10", later).send().await.expect("announced");
    let short = refused(client.reserve().line("jam", "main", 31).send().await, Code::InsufficientStock);
    assert_eq!(short.shortages()[0].earliest_ms, later.0, "with both of them it is enough");

    client.receive("jam", "main", 10).document("order 9").send().await.expect("a part of it");
    let stock = client.stock("jam").send().await.expect("read");
    let told: Vec<_> = stock.expected.iter().map(|receipt| (&*receipt.document, receipt.quantity)).collect();
    assert_eq!(told, [("order 10", 5), ("order 9", 20)]);
    client.expect("jam", "main", 0, "order 9", friday).send().await.expect("cancelled");
    let pool = world.pool("jam", "main").await;
    assert_eq!((pool.on_hand, pool.expected, pool.expected_date), (10, 5, Some(later)));
    refused(client.expect("jam", "main", 1, "", friday).send().await, Code::InvalidArgument);

    for number in 0..31 {
        let document = format!("order 1{number:02}");
        client.expect("jam", "main", 1, document, friday).send().await.expect("as many as a pool may have");
    }
    let told = refused(client.expect("jam", "main", 1, "one more", friday).send().await, Code::InvalidArgument);
    assert_eq!(told.fields()[0].field, "document");
}

pub async fn all(world: &World) {
    a_transfer_has_two_legs(world).await;
    transfers_come_in_pages(world).await;
    a_receipt_is_announced_and_arrives(world).await;
}
