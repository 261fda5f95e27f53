//! A count below what is held and committed: it opens a shortage that names the reservations at risk, newest first;
//! nothing is clamped, no shard stops, and later receipts pay it off.

use super::world::{World, books};
use earmark_client::{Deduct, SkuSettings};

/// Pools that are short, on any page, by SKU.
async fn short_skus(world: &World) -> Vec<String> {
    let mut after = None;
    let mut found = Vec::new();
    loop {
        let list = world.client.shortages().page_size(2);
        let list = match after.take() {
            Some(token) => list.after(token),
            None => list,
        };
        let page = list.send().await.expect("listed");
        assert!(page.items.len() <= 2);
        found.extend(page.items.into_iter().map(|short| short.sku));
        let Some(next) = page.next else { return found };
        after = Some(next);
    }
}

async fn a_count_below_what_is_promised(world: &World) {
    let client = &world.client;
    let shipped = SkuSettings { deduct: Deduct::OnShip, ..SkuSettings::default() };
    client.configure("lamp", 0, shipped).send().await.expect("configured");
    world.receive("lamp", "main", 20).await;
    let mut holds = Vec::new();
    for units in [4, 5, 6] {
        holds.push(client.reserve().line("lamp", "main", units).owner("shopper").send().await.expect("held"));
    }
    let (oldest, middle, newest) = (holds.remove(0), holds.remove(0), holds.remove(0));
    let (middle_id, newest_id) = (middle.id(), newest.id());
    oldest.commit().await.expect("committed");
    assert_eq!(books(&world.pool("lamp", "main").await), [20, 5, 11, 4, 0, 0]);

    // 15 are promised, and 7 are there.
    let id = client.make_operation_id();
    let count = || client.count("lamp", "main", 7).reason("the shelf is half empty").id(id);
    let counted = count().send().await.expect("reality is never refused");
    assert_eq!(books(&counted.pool), [7, 0, 11, 4, 0, 8], "nothing is clamped");
    assert_eq!(counted.delta, -13);
    let told = counted.shortage.clone().expect("a shortage");
    assert_eq!((told.units, told.at_risk), (8, 8));
    let named: Vec<_> = told.newest.iter().map(|hold| (hold.reservation, hold.held)).collect();
    assert_eq!(named, [(newest_id, 6), (middle_id, 5)], "newest first, as many as make up the units short");
    let again = count().send().await.expect("the same again");
    assert_eq!((again.replayed, &again.shortage), (true, &counted.shortage));

    // It is told by every read, by whichever node.
    let stock = client.stock("lamp").send().await.expect("read");
    assert_eq!(stock.shortages, std::slice::from_ref(&told));
    let page = client.shortages().send().await.expect("listed");
    assert_eq!(page.items, [told]);
    assert_eq!(page.next, None);

    // No shard stopped: the held units can still be sold, the oldest receipts pay first.
    let sold = middle.commit().await.expect("still sold");
    assert_eq!(sold.reservation.lines[0].committed, 5);
    world.receive("lamp", "main", 3).await;
    assert_eq!(books(&world.pool("lamp", "main").await), [10, 0, 6, 9, 0, 5]);
    let left = client.stock("lamp").send().await.expect("read").shortages.remove(0);
    assert_eq!((left.units, left.newest.len()), (5, 1));
    world.receive("lamp", "main", 6).await;
    assert_eq!(books(&world.pool("lamp", "main").await), [16, 1, 6, 9, 0, 0], "paid off, and one to sell");
    assert_eq!(client.stock("lamp").send().await.expect("read").shortages, []);
    assert_eq!(client.shortages().send().await.expect("listed").items, []);
}

async fn shortages_of_all_shards_are_listed_by_name(world: &World) {
    let client = &world.client;
    let skus = ["beans", "corn", "dates", "figs", "grapes"];
    for sku in skus {
        world.receive(sku, "main", 5).await;
        let _held = client.reserve().line(sku, "main", 5).send().await.expect("held");
        client.count(sku, "main", 3).send().await.expect("counted");
    }
    let mut found = short_skus(world).await;
    found.sort_unstable();
    assert_eq!(found, skus);
}

pub async fn all(world: &World) {
    a_count_below_what_is_promised(world).await;
    shortages_of_all_shards_are_listed_by_name(world).await;
}
