//! What a reserve would be answered: the same as the reserve itself, and nothing is held.

use super::world::{World, books};
use earmark_client::{Code, Extent, Reserve, SkuSettings};
use std::time::Duration;

const SKUS: [&str; 5] = ["milk", "bread", "salt", "rice", "soap"];

/// Tries it, does it, and gives it back: both must say the same.
async fn same(world: &World, reserve: impl Fn() -> Reserve) -> Option<Code> {
    let before = client_books(world).await;
    let tried = reserve().dry_run().send().await.expect("told");
    assert_eq!(client_books(world).await, before, "nothing is held");
    let done = loop {
        match reserve().send().await {
            Err(error) if error.code() == Code::Contended => {}
            other => break other,
        }
    };
    match (tried.verdict, done) {
        (Ok(tried), Ok(done)) => {
            let mut lines = (tried.lines, done.lines().to_vec());
            lines.0.sort_by(|one, other| (&one.sku, &one.location).cmp(&(&other.sku, &other.location)));
            lines.1.sort_by(|one, other| (&one.sku, &one.location).cmp(&(&other.sku, &other.location)));
            assert_eq!(lines.0, lines.1);
            assert_eq!(tried.extent, done.extent());
            assert!(tried.deadline <= done.deadline(), "the hold begins later than the try");
            let released = done.release().await.expect("given back");
            while !world.client.reservation(released.reservation.id).send().await.expect("read").reservation.settled {
                tokio::task::yield_now().await;
            }
            None
        }
        (Err(tried), Err(done)) => {
            assert_eq!((tried.code(), tried.shortages()), (done.code(), done.shortages()), "{tried} and {done}");
            Some(tried.code())
        }
        (tried, done) => panic!("{tried:?} was told, and it was {done:?}"),
    }
}

async fn client_books(world: &World) -> Vec<[u64; 6]> {
    let mut all = Vec::new();
    for sku in SKUS {
        all.push(books(&world.pool(sku, "east").await));
        all.push(books(&world.pool(sku, "west").await));
    }
    all
}

pub async fn all(world: &World) {
    let client = &world.client;
    for sku in SKUS {
        world.receive(sku, "east", 4).await;
        world.receive(sku, "west", 6).await;
    }
    let cart = |units| SKUS.iter().fold(client.reserve(), |cart, sku| cart.line_anywhere(*sku, units));
    assert_eq!(same(world, || client.reserve().line("milk", "east", 4)).await, None);
    assert_eq!(same(world, || client.reserve().line("milk", "east", 5)).await, Some(Code::InsufficientStock));
    assert_eq!(same(world, || client.reserve().line("milk", "attic", 1)).await, Some(Code::NotFound));
    assert_eq!(same(world, || client.reserve().line_anywhere("milk", 10)).await, None);
    assert_eq!(same(world, || cart(9)).await, None);
    assert_eq!(same(world, || cart(12).best_effort()).await, None);
    assert_eq!(same(world, || cart(3).line("never", "east", 1)).await, Some(Code::NotFound));
    let tried = cart(11).dry_run().send().await.expect("told").verdict.expect_err("too few everywhere");
    let lines: Vec<u32> = tried.shortages().iter().map(|short| short.line).collect();
    assert_eq!((tried.code(), lines), (Code::InsufficientStock, vec![0, 1, 2, 3, 4]), "every shard's lack is told");
    let frozen = SkuSettings { frozen: Some("recall".to_owned()), ..SkuSettings::default() };
    client.configure("salt", 0, frozen).send().await.expect("set");
    assert_eq!(same(world, || cart(1)).await, Some(Code::SkuFrozen));
    let told = client.reserve().line("milk", "east", 9).best_effort().dry_run().send().await.expect("told");
    assert_eq!(told.verdict.expect("held").extent, Extent::Partial);
    let told =
        client.reserve().line("milk", "east", 1).ttl(Duration::from_secs(90)).dry_run().send().await.expect("told");
    assert_eq!(told.verdict.expect("held").deadline.0 - told.as_of.0, 90_000);
}
