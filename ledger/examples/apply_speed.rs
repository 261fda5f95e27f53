//! How long apply takes, and how many bytes open holds take. `cargo run --release -p earmark-ledger --example apply_speed`
//!
//! A look, not a measurement to publish: one thread, one shard, nothing else.

#![allow(clippy::disallowed_methods, reason = "this measures the ledger from outside")]

use earmark_ledger::{Ledger, codec, command::*, types::*};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Instant,
};

struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const BASE: TimeMs = TimeMs(1_700_000_000_000);
const PER_ENTRY: u64 = 1_000;

fn pool(number: u64) -> PoolKey {
    PoolKey {
        namespace: Namespace::default(),
        sku: Sku::new(format!("sku-{number:08}")).expect("a sku"),
        location: "berlin".parse().expect("a location"),
        kind: PoolKind::Now,
        lot: Lot::default(),
    }
}

fn operation(number: u64) -> OperationId {
    let mut bytes = (u128::from(BASE.0) << 80 | u128::from(number)).to_be_bytes();
    bytes[6] = 0x70;
    bytes[8] = 0x80;
    OperationId::from_slice(&bytes).expect("version 7")
}

fn command(body: Body) -> Command {
    let context = Context { principal: "shop".parse().expect("a principal"), ..Context::default() };
    Command { context, not_after: TimeMs::MAX, attempt: 1, heard: true, body }
}

fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn id(number: u64) -> ReservationId {
    ReservationId::timed(BASE, Bucket::new(5).expect("small"), scatter(number))
}

fn reserve(number: u64, pools: u64, ttl: u64) -> Body {
    let PoolKey { sku, location, kind, lot, namespace } = pool(scatter(number) % pools);
    let quantity = Quantity::new(1).expect("small");
    Body::Reserve(Reserve {
        id: id(number),
        namespace,
        lines: vec![Line { sku, location: Some(location), kind, lot, quantity, minimum: Quantity::ZERO }],
        owner: format!("shopper-{number}").parse().expect("an owner"),
        ttl: DurationMs(ttl),
        ttl_chosen: true,
        best_effort: false,
        zone: 0,
        shards: Vec::new(),
    })
}

/// The middle one: what other work on the machine disturbs falls away.
fn median(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

struct Run {
    ledger: Ledger,
    index: u64,
}

impl Run {
    /// Applies `count` commands in entries of 1,000 that were encoded before; the median entry's nanoseconds per command.
    fn time(&mut self, what: &str, time: TimeMs, count: u64, body: impl Fn(u64) -> Body) {
        let entries: Vec<_> = (0..count.div_ceil(PER_ENTRY))
            .map(|entry| {
                let commands = (entry * PER_ENTRY..count.min((entry + 1) * PER_ENTRY)).map(|n| command(body(n)));
                // 1,000 commands every 4 ms.
                let time = time.plus(DurationMs(entry * 4));
                let batch = Batch { rules: RULES_NEWEST, time, digest: false, commands: commands.collect() };
                codec::encode_batch(&batch)
            })
            .collect();
        let (mut decoded, mut applied, mut journal) = (Vec::new(), Vec::new(), 0);
        for bytes in entries {
            self.index += 1;
            let start = Instant::now();
            let batch = codec::decode_batch(bytes).expect("was encoded here");
            decoded.push(start.elapsed().as_nanos());
            let start = Instant::now();
            let done = self.ledger.apply(LogIndex(self.index), &batch);
            applied.push(start.elapsed().as_nanos());
            journal += done.journal.map_or(0, |block| block.len());
        }
        let each = u128::from(count.clamp(1, PER_ENTRY));
        let slowest = applied.iter().max().copied().unwrap_or(0) / 1_000;
        println!(
            "{what:36} decode {:5} ns, apply {:5} ns each, slowest entry {slowest} us, journal {} B each",
            median(decoded) / each,
            median(applied) / each,
            journal as u64 / count.max(1)
        );
    }

    fn checkpoint(&mut self) {
        let (estimate, start) = (self.ledger.dirty_bytes(), Instant::now());
        let changes = self.ledger.take_changes();
        let bytes: usize = changes.puts.iter().map(|(key, value)| key.len() + value.len()).sum();
        let each = start.elapsed().as_nanos() / changes.puts.len().max(1) as u128;
        println!("  checkpoint: {} records, {bytes} B ({estimate} estimated), {each} ns each", changes.puts.len());
        self.ledger.evict();
    }
}

fn shape(name: &str, pools: u64, count: u64) {
    println!("{name}");
    let mut run = Run { ledger: Ledger::new(ShardId(1)), index: 0 };
    let arrived = move |n| {
        let quantity = Quantity::new(10_000_000).expect("small");
        Body::Receive(Receive { operation: operation(n), pool: pool(n), quantity, document: Document::default() })
    };
    let before = BYTES.load(Relaxed);
    run.time("receive", BASE, pools, arrived);
    run.checkpoint();
    println!("  {} B per pool and its receipt", (BYTES.load(Relaxed) - before) as u64 / pools);
    run.time("evicting entry", TimeMs(BASE.0 + 70_000), 1, |_| commit(0));
    run.ledger.evict();
    println!("  {} B per pool", (BYTES.load(Relaxed) - before) as u64 / pools);
    let now = TimeMs(BASE.0 + 80_000);
    let before = BYTES.load(Relaxed);
    let fresh = move |n| match reserve(n, pools, 600_000) {
        Body::Reserve(reserve) => Body::Reserve(Reserve {
            id: ReservationId::timed(now, Bucket::new(5).expect("small"), scatter(n)),
            ..reserve
        }),
        other => other,
    };
    let known = move |n| ReservationId::timed(now, Bucket::new(5).expect("small"), scatter(n));
    run.time("reserve", now, count, fresh);
    run.checkpoint();
    println!("  {} B per open hold", (BYTES.load(Relaxed) - before) as u64 / count);
    run.time("reserve again", now, count / 4, fresh);
    run.time("commit half", now, count / 2, move |n| {
        Body::Commit(Commit { id: known(n), operation: None, parts: Vec::new(), keep_rest: false, revive: false })
    });
    run.checkpoint();
    let sold_out = move |n| match fresh(n + count) {
        Body::Reserve(mut reserve) => {
            reserve.lines[0].quantity = Quantity::new(1_000_000_000).expect("small");
            Body::Reserve(reserve)
        }
        other => other,
    };
    run.time("sold out", now, count / 4, sold_out);
    run.time("reserve while half is overdue", now.plus(DurationMs(700_000)), 2_000, move |n| fresh(n + 3 * count));
    let overdue = run.ledger.totals().live_reservations;
    println!("  {overdue} live in the books after that");
}

fn commit(n: u64) -> Body {
    Body::Commit(Commit { id: id(n), operation: None, parts: Vec::new(), keep_rest: false, revive: false })
}

fn main() {
    shape("10,000 SKUs", 10_000, 400_000);
    shape("one hot SKU", 1, 400_000);
    shape("a shard of eight with ten million SKUs", 1_250_000, 400_000);
}
