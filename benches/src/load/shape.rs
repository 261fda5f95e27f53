//! Shapes of load, as they are compared with other systems (docs/performance.md has the table).

use super::keys::Spread;
use earmark_client::Level;
use std::time::Duration;

/// What one turn of a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Reserves one unit.
    Reserve,
    /// Reserves one unit, then commits it; both count.
    Pair,
    /// Reserves one unit of each of so many SKUs, all or nothing.
    Cart(usize),
    /// Reads the balance of a SKU.
    Read(Level),
    /// Reserves one unit in so many reservations by one batch.
    Batch(usize),
    /// So many reserves by one batch, then their commits by another; both count.
    BatchPair(usize),
    /// Reserves one unit by a unary gRPC call to any node, without the SDK.
    Unary,
}

/// A load by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Batches of 8,000 reserves over 10,000 SKUs.
    Batches,
    /// The same, all of one SKU.
    BatchesHot,
    /// Batches of 8,000 reserves, each followed by its commits.
    BatchPairs,
    /// 1,024 single reserves outstanding.
    #[value(name = "singles-1024")]
    Singles1024,
    /// 64 single reserves outstanding.
    #[value(name = "singles-64")]
    Singles64,
    /// One reserve at a time.
    #[value(name = "singles-1")]
    Singles1,
    /// 32 clients with connections of their own, one reserve each, all of one SKU.
    #[value(name = "hot-32")]
    Hot32,
    /// Reserve and commit, 1,024 pairs outstanding.
    Pairs,
    /// Reserves of a SKU that is sold out, 1,024 outstanding.
    SoldOut,
    /// Carts of nine lines, 64 outstanding.
    Carts,
    /// Linearizable reads, 1,024 outstanding.
    ReadsLinearizable,
    /// Reads no older than the session's last answer, 1,024 outstanding.
    ReadsSession,
    /// Reads of any replica, 1,024 outstanding.
    ReadsBounded,
    /// 256 unary gRPC calls outstanding, without the SDK.
    #[value(name = "unary-256")]
    Unary256,
}

/// A load in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What a turn does.
    pub work: Work,
    /// Turns under way at once; in an open loop, at most.
    pub outstanding: usize,
    /// SDK clients, each with connections of its own.
    pub clients: usize,
    /// SKUs.
    pub skus: u64,
    /// How demand spreads over them.
    pub spread: Spread,
    /// Units of each SKU at the beginning.
    pub stock: u64,
    /// For how long units are held.
    pub ttl: Duration,
    /// Turns a second that are due, whether earlier ones have ended or not; none for a closed loop.
    pub rate: Option<f64>,
    /// An operation waits so long for its end, with all tries.
    pub timeout: Duration,
}

/// Far more than any run takes, far less than a pool may have.
const PLENTY: u64 = 1_000_000_000_000;

impl Shape {
    /// Every one, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::Batches,
        Self::BatchesHot,
        Self::BatchPairs,
        Self::Singles1024,
        Self::Singles64,
        Self::Singles1,
        Self::Hot32,
        Self::Pairs,
        Self::SoldOut,
        Self::Carts,
        Self::ReadsLinearizable,
        Self::ReadsSession,
        Self::ReadsBounded,
        Self::Unary256,
    ];

    /// In numbers.
    pub fn plan(self) -> Plan {
        let plan = Plan {
            work: Work::Reserve,
            outstanding: 1_024,
            clients: 1,
            skus: 10_000,
            spread: Spread::Uniform,
            stock: PLENTY,
            ttl: Duration::from_secs(900),
            rate: None,
            timeout: Duration::from_secs(30),
        };
        match self {
            Self::Batches => Plan { work: Work::Batch(8_000), outstanding: 2, ..plan },
            Self::BatchesHot => Plan { work: Work::Batch(8_000), outstanding: 2, spread: Spread::One, ..plan },
            Self::BatchPairs => Plan { work: Work::BatchPair(8_000), outstanding: 2, ..plan },
            Self::Singles1024 => plan,
            Self::Singles64 => Plan { outstanding: 64, ..plan },
            Self::Singles1 => Plan { outstanding: 1, ..plan },
            Self::Hot32 => Plan { outstanding: 32, clients: 32, spread: Spread::One, ..plan },
            Self::Pairs => Plan { work: Work::Pair, ..plan },
            Self::SoldOut => Plan { stock: 0, spread: Spread::One, ..plan },
            Self::Carts => Plan { work: Work::Cart(9), outstanding: 64, ..plan },
            Self::ReadsLinearizable => Plan { work: Work::Read(Level::Linearizable), ..plan },
            Self::ReadsSession => Plan { work: Work::Read(Level::Session), ..plan },
            Self::ReadsBounded => Plan { work: Work::Read(Level::Bounded), ..plan },
            Self::Unary256 => Plan { work: Work::Unary, outstanding: 256, ..plan },
        }
    }

    /// As the command line names it.
    pub fn name(self) -> String {
        use clap::ValueEnum;
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}
