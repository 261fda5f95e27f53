//! Carts that want the same scarce units in opposite order, thousands at once: nobody waits for a lock, so nobody waits
//! for ever; and what is told as sold out is sold out.

use crate::support::{channel, formed, line, ports, receive};
use earmark_client::{
    Client, Code,
    wire::v1::{self, reservation_service_client::ReservationServiceClient, stock_service_client::StockServiceClient},
};
use earmark_node::{Running, router::Router};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tonic::transport::Channel;

/// A cart should be decided within this; how many were not is shown, as it depends on the machine.
const PROMPT: Duration = Duration::from_secs(5);

struct Fixture {
    nodes: Vec<Running>,
    channel: Channel,
    client: Client,
    _folder: tempfile::TempDir,
}

async fn fixture(shards: u32) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = ports(6);
    let (nodes, _) = formed(folder.path(), &ports, shards).await;
    let channel = channel(&ports).await;
    let endpoints = ports.iter().step_by(2).map(|port| format!("127.0.0.1:{port}"));
    let client = Client::builder().endpoints(endpoints).timeout(Duration::from_secs(30));
    let client = client.connect().await.expect("connected");
    Fixture { nodes, channel, client, _folder: folder }
}

impl Fixture {
    /// So many pairs of SKUs, each of two shards, with `units` of each.
    async fn pairs(&self, count: usize, units: u64) -> Vec<[String; 2]> {
        let router = Router::new(Arc::clone(self.nodes[0].node()));
        while router.placement().version == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut by_shard: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let mut pairs = Vec::new();
        for number in 0.. {
            if pairs.len() == count {
                break;
            }
            let sku = format!("sku-{number:05}");
            let bucket = self.client.make_id(&sku).expect("a SKU").home();
            let shard = router.shard(bucket).expect("a map").0;
            let other = by_shard.iter_mut().find(|(other, waiting)| **other != shard && !waiting.is_empty());
            match other.and_then(|(_, waiting)| waiting.pop()) {
                Some(other) => pairs.push([other, sku]),
                None => by_shard.entry(shard).or_default().push(sku),
            }
        }
        for sku in pairs.iter().flatten() {
            receive(&self.channel, sku, units.cast_signed()).await;
        }
        pairs
    }

    async fn pool(&self, sku: &str) -> v1::Pool {
        let request = v1::GetStockRequest { sku: sku.to_owned(), ..Default::default() };
        let response = StockServiceClient::new(self.channel.clone()).get_stock(request).await.expect("stock");
        response.into_inner().pools.remove(0)
    }

    async fn stop(self) {
        // A stopping node waits for open streams.
        drop((self.client, self.channel));
        for running in self.nodes {
            running.stop().await;
        }
    }
}

/// How a cart ended: held, or sold out; after how many tries where it was refused; and when.
struct End {
    pair: usize,
    held: bool,
    contended: bool,
    tries: u32,
    after: Duration,
}

/// Where carts live.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Homes {
    /// Where the SDK has them live.
    Chosen,
    /// Beside the first line, so that each side holds what the other lacks.
    Opposite,
}

/// `carts` for each pair, half of them in either order, all at once. Each wants one unit of both.
async fn rush(client: &Client, pairs: &[[String; 2]], carts: usize, homes: Homes) -> Vec<End> {
    let mut rushing = Vec::new();
    for number in 0..carts {
        for (pair, skus) in pairs.iter().enumerate() {
            let [mut first, mut second] = skus.clone();
            if number % 2 == 1 {
                std::mem::swap(&mut first, &mut second);
            }
            let client = client.clone();
            rushing.push(tokio::spawn(async move {
                let begun = Instant::now();
                let mut reserve = client.reserve().line(&first, "main", 1).line(&second, "main", 1);
                if homes == Homes::Opposite {
                    reserve = reserve.id(client.make_id(&first).expect("a SKU"));
                }
                let end = reserve.send().await;
                let (held, after) = (end.is_ok(), begun.elapsed());
                let (code, tries) = end.map_or_else(|error| (Some(error.code()), error.tries()), |_| (None, 0));
                // OUTCOME_UNKNOWN, OVERLOADED and the like are no decision.
                assert!(matches!(code, None | Some(Code::InsufficientStock | Code::Contended)), "{code:?} {after:?}");
                End { pair, held, contended: code == Some(Code::Contended), tries, after }
            }));
        }
    }
    let mut ends = Vec::new();
    for cart in rushing {
        ends.push(cart.await.expect("decided"));
    }
    ends
}

/// Every cart is decided, and exactly as many are held as there are units: none was told that it is sold out because of
/// units that were undecided or on their way back. With homes at odds a cart may be told CONTENDED 20 times.
async fn all_are_decided(pairs: usize, units: u64, carts: usize, homes: Homes) {
    let fixture = fixture(4).await;
    let pairs = fixture.pairs(pairs, units).await;
    let begun = Instant::now();
    let ends = rush(&fixture.client, &pairs, carts, homes).await;
    let all = begun.elapsed();
    let of = |pair: usize, wanted: fn(&End) -> bool| ends.iter().filter(|end| end.pair == pair && wanted(end)).count();
    for (pair, skus) in pairs.iter().enumerate() {
        let held = of(pair, |end| end.held) as u64;
        let (sold_out, contended) = (of(pair, |end| !end.held && !end.contended), of(pair, |end| end.contended));
        assert!(homes == Homes::Opposite || contended == 0, "{contended} carts of {skus:?} were not decided");
        assert!(held == units || (held < units && sold_out == 0 && contended > 0), "{held} held of {skus:?}");
        for sku in skus {
            // Withdrawals of refused carts may still be on their way.
            loop {
                let pool = fixture.pool(sku).await;
                assert_eq!(pool.held + pool.available, units.cast_signed(), "{pool:?}");
                if pool.held == held.cast_signed() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    let mut after: Vec<Duration> = ends.iter().map(|end| end.after).collect();
    after.sort();
    eprintln!(
        "{} carts over {} pairs of {units}: {} held, {} contended, the others sold out; {} tries at most; all in \
         {all:.1?}, median {:.1?}, longest {:.1?}, {} took more than {PROMPT:?}",
        ends.len(),
        pairs.len(),
        ends.iter().filter(|end| end.held).count(),
        ends.iter().filter(|end| end.contended).count(),
        ends.iter().map(|end| end.tries).max().unwrap_or(0),
        after[after.len() / 2],
        after[after.len() - 1],
        after.iter().filter(|after| **after > PROMPT).count(),
    );
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_that_want_the_same_two_skus_in_opposite_order_are_all_decided() {
    all_are_decided(1, 1_000, 4_000, Homes::Chosen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_that_want_the_same_last_units_in_opposite_order_are_all_decided() {
    all_are_decided(200, 1, 10, Homes::Chosen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn homes_at_odds_tell_contended_and_leave_nothing_behind() {
    all_are_decided(100, 1, 10, Homes::Opposite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_released_and_told_as_settled_can_be_had_at_once() {
    const ROUNDS: usize = 10;
    let fixture = fixture(4).await;
    let mut skus = fixture.pairs(8, 5).await;
    let mut callers = Vec::new();
    for pair in skus.drain(..) {
        let channel = fixture.channel.clone();
        callers.push(tokio::spawn(async move {
            let mut service = ReservationServiceClient::new(channel);
            let (mut settled, mut known_settled) = (0, true);
            for round in 0..ROUNDS {
                // Home is at the one or the other.
                let mut lines = vec![line(&pair[0], 5), line(&pair[1], 5)];
                lines.rotate_left(round % 2);
                let cart = v1::ReserveRequest { lines, ..Default::default() };
                let held = loop {
                    match service.reserve(cart.clone()).await {
                        Ok(held) => break held.into_inner(),
                        Err(status) if status.code() == tonic::Code::Aborted && !known_settled => {}
                        Err(status) => panic!("{pair:?}, settled {known_settled}: {status}"),
                    }
                };
                let request = v1::ReleaseRequest { reservation_id: held.reservation_id, ..Default::default() };
                let released = service.release(request).await.expect("released").into_inner();
                known_settled = released.reservation.expect("a view").settled;
                settled += usize::from(known_settled);
            }
            settled
        }));
    }
    let count = callers.len();
    let mut all = 0;
    for caller in callers {
        all += caller.await.expect("a caller");
    }
    eprintln!("{all} of {} releases were told as settled", count * ROUNDS);
    assert!(all > 0, "none was ever told as settled, so nothing was shown");
    fixture.stop().await;
}
