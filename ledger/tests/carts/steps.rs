//! Steps of the random runs in `faults.rs`, as small numbers: the run makes them into commands and packets.

use crate::support::*;
use earmark_ledger::{outcome::ReservationState, types::*};
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
    /// Rather a slot whose reservation is in a state in which that can be done.
    pub aim: bool,
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
    Reserve { lines: Vec<Asked>, ttl: u64, best: bool, bob: bool },
    Commit { parts: Vec<(usize, u64)>, keep_rest: bool, revive: bool, operation: usize },
    Release { parts: Vec<(usize, u64)>, operation: usize },
    Extend { ttl: u64, operation: usize },
    Receive { pool: usize, units: u64 },
    Adjust { pool: usize, delta: i64 },
    Forget,
    Count { pool: usize, counted: u64 },
    Replace { lines: Vec<Asked>, best: bool, operation: usize },
    Paying { grace: u64, operation: usize },
    Ship { parts: Vec<(usize, u64)>, operation: usize },
    Cancel { parts: Vec<(usize, u64)>, operation: Option<usize> },
    Return { parts: Vec<(usize, u64)>, fit: bool, operation: usize },
}

/// A line: place of its pool, units, minimum, and whether the policy chooses the location.
pub type Asked = (usize, u64, u64, bool);

/// Two SKUs in each shard, and one of them at two locations.
pub fn pools() -> Vec<PoolKey> {
    let first = (1..=SHARDS).flat_map(|n| [pool(&format!("a{n}"), "berlin"), pool(&format!("b{n}"), "paris")]);
    first.chain((1..=SHARDS).map(|n| pool(&format!("a{n}"), "rome"))).collect()
}

pub fn what() -> impl Strategy<Value = What> {
    let pools = 0..usize::try_from(3 * SHARDS).expect("small");
    let ttl = prop_oneof![4 => 1_000..20_000_u64, 1 => 60_000..7_200_000_u64];
    let parts = prop::collection::vec((pools.clone(), 1..3_u64), 0..3);
    let units = prop_oneof![6 => 1..4_u64, 1 => 4..9_u64];
    let line = (pools.clone(), units, 0..3_u64, prop::bool::weighted(0.15));
    let best = prop::bool::weighted(0.3);
    let reserve = (prop::collection::vec(line.clone(), 1..7), ttl.clone(), best, prop::bool::weighted(0.2));
    // Whole ones end most.
    let some = prop_oneof![1 => Just(Vec::new()), 1 => parts.clone()];
    prop_oneof![
        12 => reserve.prop_map(|(lines, ttl, best, bob)| What::Reserve { lines, ttl, best, bob }),
        8 => (parts.clone(), any::<bool>(), prop::bool::weighted(0.4), 0..SLOTS).prop_map(
            |(parts, keep_rest, revive, operation)| What::Commit { parts, keep_rest, revive, operation }
        ),
        3 => (parts, 0..SLOTS).prop_map(|(parts, operation)| What::Release { parts, operation }),
        2 => (ttl, 0..SLOTS).prop_map(|(ttl, operation)| What::Extend { ttl, operation }),
        4 => (pools.clone(), 1..8_u64).prop_map(|(pool, units)| What::Receive { pool, units }),
        1 => (pools.clone(), -3..3_i64).prop_map(|(pool, delta)| What::Adjust { pool, delta }),
        1 => Just(What::Forget),
        4 => (pools, 0..6_u64).prop_map(|(pool, counted)| What::Count { pool, counted }),
        8 => (prop::collection::vec(line, 1..5), best, 0..SLOTS)
            .prop_map(|(lines, best, operation)| What::Replace { lines, best, operation }),
        2 => (1_000..120_000_u64, 0..SLOTS).prop_map(|(grace, operation)| What::Paying { grace, operation }),
        6 => (some.clone(), 0..SLOTS).prop_map(|(parts, operation)| What::Ship { parts, operation }),
        4 => (some.clone(), prop::option::weighted(0.7, 0..SLOTS))
            .prop_map(|(parts, operation)| What::Cancel { parts, operation }),
        4 => (some, any::<bool>(), 0..SLOTS)
            .prop_map(|(parts, fit, operation)| What::Return { parts, fit, operation }),
    ]
}

impl What {
    /// Whether something comes of it in that state.
    pub fn fits(&self, state: ReservationState) -> bool {
        use ReservationState::*;
        match self {
            Self::Commit { revive: true, .. } => state == Expired,
            Self::Commit { .. } | Self::Release { .. } | Self::Extend { .. } => matches!(state, Held | PartlyCommitted),
            Self::Replace { .. } | Self::Paying { .. } => state == Held,
            Self::Ship { .. } | Self::Cancel { .. } | Self::Return { .. } => state == Committed,
            _ => true,
        }
    }
}

pub fn ask() -> impl Strategy<Value = Ask> {
    let again = prop::option::weighted(0.25, (1..10_usize, any::<bool>()));
    let not_after = prop_oneof![6 => Just(10 * SECOND), 1 => 0..3 * SECOND, 1 => Just(30 * SECOND)];
    let age = prop_oneof![8 => Just(0), 1 => 0..200 * SECOND, 1 => Just(6 * DAY)];
    let renew = prop::option::weighted(0.5, 1..=SHARDS);
    (what(), (0..SLOTS, prop::bool::weighted(0.7)), renew, prop::bool::weighted(0.15), age, 1..4_u32, not_after, again)
        .prop_map(|(what, (slot, aim), renew, hashed, age, attempt, not_after, again)| Ask {
            what,
            slot,
            aim,
            renew,
            hashed,
            age,
            attempt,
            not_after,
            again,
        })
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
