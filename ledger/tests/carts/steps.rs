//! Steps of the random runs in `faults.rs`, as small numbers: the run makes them into commands and packets.

use crate::support::*;
use earmark_ledger::types::*;
use proptest::prelude::*;

pub const SHARDS: u32 = 4;
pub const SLOTS: usize = 6;
pub const SECOND: u64 = 1_000;
pub const DAY: u64 = 24 * 60 * 60 * SECOND;

#[derive(Clone, Debug)]
pub enum Step {
    Wait(u64),
    Tick(u32),
    /// What clients ask at the same time: an entry for each home.
    Clients(Vec<Ask>),
    /// A home sends everything that is not answered.
    Send(u32),
    /// One packet arrives; `keep`: it will once more.
    Deliver {
        at: usize,
        keep: bool,
    },
    /// Everything on the way to a shard arrives in one entry.
    DeliverAll {
        to: u32,
        reverse: bool,
    },
    Lose(usize),
    Beat {
        home: u32,
        to: u32,
    },
    AskHomes(u32),
    Checkpoint {
        shard: u32,
        evict: bool,
    },
    Restart(u32),
    /// Everything is carried to its end.
    Pump,
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub what: What,
    pub slot: usize,
    /// Make a new id for that slot, at that home.
    pub renew: Option<u32>,
    pub hashed: bool,
    /// How many milliseconds ago the id was made.
    pub age: u64,
    pub attempt: u32,
    pub not_after: u64,
    /// Another sending of something asked before, counted back; with its very words, or another attempt and time.
    pub again: Option<(usize, bool)>,
}

#[derive(Clone, Debug)]
pub enum What {
    Reserve { lines: Vec<(usize, u64, u64)>, ttl: u64, best: bool },
    Commit { parts: Vec<(usize, u64)>, keep_rest: bool, operation: usize },
    Release { parts: Vec<(usize, u64)>, operation: usize },
    Extend { ttl: u64, operation: usize },
    Receive { pool: usize, units: u64 },
    Adjust { pool: usize, delta: i64 },
    Forget,
}

pub fn pools() -> Vec<PoolKey> {
    (1..=SHARDS).flat_map(|shard| [pool(&format!("a{shard}"), "berlin"), pool(&format!("b{shard}"), "paris")]).collect()
}

pub fn what() -> impl Strategy<Value = What> {
    let pools = 0..usize::try_from(2 * SHARDS).expect("small");
    let ttl = prop_oneof![4 => 1_000..20_000_u64, 1 => 60_000..7_200_000_u64];
    let parts = prop::collection::vec((pools.clone(), 1..3_u64), 0..3);
    let line = (pools.clone(), prop_oneof![6 => 1..4_u64, 1 => 4..9_u64], 0..3_u64);
    prop_oneof![
        12 => (prop::collection::vec(line, 1..7), ttl.clone(), prop::bool::weighted(0.3))
            .prop_map(|(lines, ttl, best)| What::Reserve { lines, ttl, best }),
        8 => (parts.clone(), any::<bool>(), 0..SLOTS)
            .prop_map(|(parts, keep_rest, operation)| What::Commit { parts, keep_rest, operation }),
        4 => (parts, 0..SLOTS).prop_map(|(parts, operation)| What::Release { parts, operation }),
        2 => (ttl, 0..SLOTS).prop_map(|(ttl, operation)| What::Extend { ttl, operation }),
        4 => (pools.clone(), 1..8_u64).prop_map(|(pool, units)| What::Receive { pool, units }),
        1 => (pools, -3..3_i64).prop_map(|(pool, delta)| What::Adjust { pool, delta }),
        1 => Just(What::Forget),
    ]
}

pub fn ask() -> impl Strategy<Value = Ask> {
    let again = prop::option::weighted(0.25, (1..10_usize, any::<bool>()));
    let not_after = prop_oneof![6 => Just(10 * SECOND), 1 => 0..3 * SECOND, 1 => Just(30 * SECOND)];
    let age = prop_oneof![8 => Just(0), 1 => 0..200 * SECOND, 1 => Just(6 * DAY)];
    let renew = prop::option::weighted(0.5, 1..=SHARDS);
    (what(), 0..SLOTS, renew, prop::bool::weighted(0.15), age, 1..4_u32, not_after, again).prop_map(
        |(what, slot, renew, hashed, age, attempt, not_after, again)| Ask {
            what,
            slot,
            renew,
            hashed,
            age,
            attempt,
            not_after,
            again,
        },
    )
}

pub fn step() -> impl Strategy<Value = Step> {
    let shard = 1..=SHARDS;
    let at = any::<prop::sample::Index>().prop_map(|at| at.index(1_000));
    let wait = prop_oneof![
        8 => 0..900_u64,
        4 => SECOND..10 * SECOND,
        2 => 10 * SECOND..90 * SECOND,
        1 => Just(8 * DAY),
        1 => Just(402 * DAY),
    ];
    prop_oneof![
        16 => prop::collection::vec(ask(), 1..4).prop_map(Step::Clients),
        12 => shard.clone().prop_map(Step::Send),
        30 => (at.clone(), prop::bool::weighted(0.3)).prop_map(|(at, keep)| Step::Deliver { at, keep }),
        8 => (shard.clone(), any::<bool>()).prop_map(|(to, reverse)| Step::DeliverAll { to, reverse }),
        4 => at.prop_map(Step::Lose),
        4 => wait.prop_map(Step::Wait),
        2 => shard.clone().prop_map(Step::Tick),
        2 => (shard.clone(), shard.clone()).prop_map(|(home, to)| Step::Beat { home, to }),
        1 => shard.clone().prop_map(Step::AskHomes),
        2 => (shard.clone(), any::<bool>()).prop_map(|(shard, evict)| Step::Checkpoint { shard, evict }),
        1 => shard.prop_map(Step::Restart),
        4 => Just(Step::Pump),
    ]
}
