//! Settings of SKUs: versions, what they refuse, and what they choose.

use super::world::{World, refused};
use earmark_client::{Allocation, Code, Line, SkuSettings, Strategy, TimeMs, UnitLimit};
use std::time::Duration;

fn settings() -> SkuSettings {
    SkuSettings::default()
}

async fn all_settings_are_kept_and_told(world: &World) {
    let client = &world.client;
    refused(client.settings("lamp").send().await, Code::NotFound);
    let all = SkuSettings {
        safety_stock: 2,
        hold_time: Some(Duration::from_secs(300)),
        owner_units: Some(UnitLimit { units: 4, window: Duration::from_secs(86_400) }),
        owner_holds: Some(3),
        frozen: Some("recall 12".to_owned()),
        opens: Some(TimeMs(1_000)),
        closes: Some(TimeMs(5_000_000_000_000)),
        cancel_window: Some(Duration::ZERO),
        return_window: Some(Duration::from_secs(30 * 86_400)),
        allocation: Some(Allocation {
            strategy: Strategy::NearestZone(vec![("north".to_owned(), 1), ("south".to_owned(), 9)]),
            places: 2,
        }),
        ..settings()
    };
    let id = client.make_operation_id();
    let set = || client.configure("lamp", 0, all.clone()).id(id);
    let done = set().send().await.expect("set");
    assert_eq!((done.version, &done.settings), (1, &all));
    assert!(set().send().await.expect("the same again").replayed);
    let read = client.settings("lamp").send().await.expect("read");
    assert_eq!((read.version, &read.settings), (1, &all));
    let told = refused(client.configure("lamp", 0, settings()).send().await, Code::VersionStale);
    assert!(told.message().contains("version 1"), "{told}");
    let done = client.configure("lamp", 1, settings()).send().await.expect("set");
    assert_eq!((done.version, done.settings), (2, settings()));
}

async fn what_is_not_on_sale_is_refused(world: &World) {
    let client = &world.client;
    world.receive("ring", "main", 10).await;
    let hold = || client.reserve().line("ring", "main", 1).owner("anna");
    let held = hold().send().await.expect("held");
    let now = client.server_time().0;
    let mut version = 0;
    for (settings, code, word) in [
        (SkuSettings { frozen: Some("recall".to_owned()), ..settings() }, Code::SkuFrozen, "recall"),
        (SkuSettings { opens: Some(TimeMs(now + 600_000)), ..settings() }, Code::SaleNotOpen, "opens"),
        (SkuSettings { closes: Some(TimeMs(now - 1)), ..settings() }, Code::SaleClosed, "over"),
        (SkuSettings { owner_holds: Some(1), ..settings() }, Code::LimitExceeded, "holds"),
    ] {
        client.configure("ring", version, settings).send().await.expect("set");
        version += 1;
        if code == Code::LimitExceeded {
            // What was reserved before there was a limit is not counted.
            hold().send().await.expect("the first that counts").release().await.expect("given back");
            let _held = hold().send().await.expect("the second");
        }
        let told = refused(hold().send().await, code);
        assert!(told.message().contains(word), "{told}");
    }
    let told = refused(client.reserve().line("ring", "main", 1).send().await, Code::InvalidArgument);
    assert_eq!(told.fields()[0].field, "owner", "a limit asks for whom");
    let limit = UnitLimit { units: 3, window: Duration::from_secs(3_600) };
    client
        .configure("ring", version, SkuSettings { owner_units: Some(limit), ..settings() })
        .send()
        .await
        .expect("set");
    let told = refused(client.reserve().line("ring", "main", 3).owner("anna").send().await, Code::LimitExceeded);
    assert!(told.message().contains("units"), "{told}");
    let _held = client.reserve().line("ring", "main", 3).owner("berta").send().await.expect("another owner");
    held.commit().await.expect("what is held may be committed, whatever was set since");
    let changed = client.settings("ring").send().await.expect("read");
    let on_ship = SkuSettings { deduct: earmark_client::Deduct::OnShip, ..settings() };
    let told = refused(client.configure("ring", changed.version, on_ship).send().await, Code::InvalidArgument);
    assert_eq!(told.fields()[0].field, "settings.deduct");
}

async fn a_policy_chooses_the_location(world: &World) {
    let client = &world.client;
    for (location, units) in [("east", 5), ("north", 9), ("west", 3)] {
        world.receive("tea", location, units).await;
    }
    let held = client.reserve().line_anywhere("tea", 6).send().await.expect("held");
    let told: Vec<_> = held.lines().iter().map(|line| (&*line.location, line.got, line.policy)).collect();
    assert_eq!(told, [("north", 6, Some(0))], "nothing was ever set: most stock");
    let list = Strategy::Priority(vec!["west".to_owned(), "east".to_owned()]);
    let settings = SkuSettings { allocation: Some(Allocation { strategy: list, places: 2 }), ..settings() };
    client.configure("tea", 0, settings).send().await.expect("set");
    let held = client.reserve().push(Line::anywhere("tea", 5)).send().await.expect("held");
    let told: Vec<_> = held.lines().iter().map(|line| (&*line.location, line.got, line.policy)).collect();
    assert_eq!(told, [("west", 3, Some(1)), ("east", 2, Some(1))]);
    let told = refused(client.reserve().line_anywhere("tea", 4).send().await, Code::PolicyUnsatisfiable);
    assert!(told.message().contains("policy"), "{told}");
    let named = client.reserve().line("tea", "north", 3).send().await.expect("held");
    assert_eq!(named.lines()[0].policy, None, "the request named it");
}

/// SKUs of three shards, none of whose lines names a location.
async fn a_cart_over_several_shards_is_dealt_in_each(world: &World) {
    let client = &world.client;
    let skus = ["milk", "bread", "salt", "rice", "soap", "eggs"];
    for sku in skus {
        world.receive(sku, "east", 4).await;
        world.receive(sku, "west", 6).await;
    }
    let cart = |units| skus.iter().fold(client.reserve(), |cart, sku| cart.line_anywhere(*sku, units));
    let id = client.make_id("milk").expect("a SKU");
    let held = cart(8).id(id).send().await.expect("held");
    for sku in skus {
        let of_sku: Vec<_> = held.lines().iter().filter(|line| line.sku == sku).collect();
        let told: Vec<_> = of_sku.iter().map(|line| (&*line.location, line.got)).collect();
        assert_eq!(told, [("west", 6), ("east", 2)], "{sku}");
    }
    let again = cart(8).id(id).send().await.expect("the same again");
    assert!(again.replayed());
    assert_eq!(again.lines(), held.lines());
    let told = refused(cart(3).send().await, Code::InsufficientStock);
    assert!(!told.shortages().is_empty(), "{told}");
    held.commit().await.expect("sold");
    for sku in skus {
        assert_eq!((world.pool(sku, "east").await.on_hand, world.pool(sku, "west").await.on_hand), (2, 0), "{sku}");
    }
}

/// How long a hold is, by its deadline and the clock of the answer.
fn length(reservation: &earmark_client::Reservation) -> u64 {
    reservation.deadline().0 - reservation.server_time().0
}

async fn the_hold_time_is_that_of_the_sku(world: &World) {
    let client = &world.client;
    for (sku, minutes) in [("short", 2), ("long", 40)] {
        let time = Some(Duration::from_secs(minutes * 60));
        client.configure(sku, 0, SkuSettings { hold_time: time, ..settings() }).send().await.expect("set");
        world.receive(sku, "main", 100).await;
    }
    for sku in ["one", "two", "three", "four"] {
        world.receive(sku, "main", 100).await;
    }
    let one = client.reserve().line("long", "main", 1).send().await.expect("held");
    assert_eq!(length(&one), 40 * 60_000);
    let one = client.reserve().line("one", "main", 1).send().await.expect("held");
    assert_eq!(length(&one), 15 * 60_000);
    let cart =
        ["one", "two", "three", "four", "long"].iter().fold(client.reserve(), |cart, sku| cart.line(*sku, "main", 1));
    assert_eq!(length(&cart.send().await.expect("held")), 15 * 60_000, "the shortest, 15 minutes where nothing is set");
    let id = client.make_id("one").expect("a SKU");
    let cart = || {
        let all = ["one", "two", "three", "four", "short", "long"];
        all.iter().fold(client.reserve(), |cart, sku| cart.line(*sku, "main", 1)).id(id)
    };
    let held = cart().send().await.expect("held");
    assert_eq!(length(&held), 2 * 60_000);
    let shorter = SkuSettings { hold_time: Some(Duration::from_secs(60)), ..settings() };
    client.configure("short", 1, shorter).send().await.expect("set");
    let again = cart().send().await.expect("the same again");
    assert_eq!(
        (again.replayed(), again.deadline()),
        (true, held.deadline()),
        "what was chosen is no part of the request"
    );
    let asked = client.reserve().line("short", "main", 1).ttl(Duration::from_secs(600)).send().await.expect("held");
    assert_eq!(length(&asked), 600_000, "the caller's own time counts");
}

pub async fn all(world: &World) {
    all_settings_are_kept_and_told(world).await;
    what_is_not_on_sale_is_refused(world).await;
    a_policy_chooses_the_location(world).await;
    a_cart_over_several_shards_is_dealt_in_each(world).await;
    the_hold_time_is_that_of_the_sku(world).await;
}
