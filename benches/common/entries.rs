//! Entries that measurements apply, by the clock (`benches/ledger.rs`) and by instructions (`instructions/`).

use earmark_ledger::{
    Ledger,
    command::{Batch, Body, Command, Commit, Context, Line, RULES_NEWEST, Receive, Reserve},
    types::{
        Bucket, Document, DurationMs, LogIndex, Lot, Namespace, OperationId, PoolKey, PoolKind, Quantity,
        ReservationId, ShardId, TimeMs,
    },
};
use std::hint::black_box;

/// Commands of one entry.
pub const COMMANDS: u64 = 4_096;

/// SKUs of a shard.
pub const SKUS: u64 = 10_000;

/// Reservations of a state that is read back.
pub const HELD: u64 = 100_000;

/// Which shard it is.
pub const SHARD: ShardId = ShardId(3);
const BEGUN: TimeMs = TimeMs(1_700_000_000_000);

fn pool(number: u64) -> PoolKey {
    PoolKey {
        namespace: Namespace::default(),
        sku: format!("sku-{number}").parse().expect("a SKU"),
        location: "shop".parse().expect("a location"),
        kind: PoolKind::Now,
        lot: Lot::default(),
    }
}

fn units(units: u64) -> Quantity {
    Quantity::new(units).expect("at most 2^53")
}

fn id(number: u64) -> ReservationId {
    ReservationId::timed(BEGUN, Bucket::new(77).expect("below 16,384"), number)
}

fn command(body: Body) -> Command {
    Command { context: Context::default(), not_after: TimeMs::MAX, attempt: 1, heard: false, body }
}

fn entry(commands: Vec<Command>) -> Batch {
    Batch { rules: RULES_NEWEST, time: BEGUN, digest: false, commands }
}

fn receive(number: u64, quantity: u64) -> Command {
    let mut bytes = (u128::from(BEGUN.0) << 80 | u128::from(number)).to_be_bytes();
    // Version 7, variant 1 (RFC 9562).
    (bytes[6], bytes[8]) = (0x70, 0x80);
    let operation = OperationId::from_slice(&bytes).expect("version 7");
    let (pool, quantity) = (pool(number), units(quantity));
    command(Body::Receive(Receive { operation, pool, quantity, document: Document::default() }))
}

fn reserve(number: u64, sku: u64) -> Command {
    let pool = pool(sku);
    let line = Line {
        sku: pool.sku,
        location: Some(pool.location),
        kind: pool.kind,
        lot: pool.lot,
        quantity: units(1),
        minimum: Quantity::ZERO,
    };
    command(Body::Reserve(Reserve {
        id: id(number),
        namespace: Namespace::default(),
        lines: vec![line],
        owner: "ann".parse().expect("an owner"),
        ttl: DurationMs::minutes(15),
        ttl_chosen: false,
        best_effort: false,
        zone: 0,
        shards: Vec::new(),
    }))
}

fn commit(number: u64) -> Command {
    command(Body::Commit(Commit {
        id: id(number),
        operation: None,
        parts: Vec::new(),
        keep_rest: false,
        revive: false,
    }))
}

/// Reserves over all SKUs, or of one.
pub fn reserves(first: u64, skus: u64) -> Batch {
    // 7,919 is prime to the number of SKUs: neighbours in an entry are strangers in the table.
    entry((first..first + COMMANDS).map(|number| reserve(number, number * 7_919 % skus)).collect())
}

/// Commits of what an entry of reserves held.
pub fn commits(first: u64) -> Batch {
    entry((first..first + COMMANDS).map(commit).collect())
}

/// A shard that has so many units of each SKU.
pub fn stocked(quantity: u64) -> Ledger {
    let mut ledger = Ledger::new(SHARD);
    apply(&mut ledger, 1, &entry((0..SKUS).map(|number| receive(number, quantity)).collect()));
    ledger
}

/// Applies an entry.
pub fn apply(ledger: &mut Ledger, index: u64, batch: &Batch) {
    black_box(ledger.apply(LogIndex(index), batch));
}

/// A state with many holds.
pub fn held() -> Ledger {
    let mut ledger = stocked(1_000_000);
    for (index, first) in (1..HELD).step_by(COMMANDS as usize).enumerate() {
        apply(&mut ledger, index as u64 + 2, &reserves(first, SKUS));
    }
    ledger
}
