//! The state of one shard: what is in memory, and how it is found.
//!
//! Only `apply` changes it. The order of hash maps is never seen (`hashing`): whatever is told, written or decided goes by keys or
//! by ordered sets.

mod aside;
mod books;
mod by_id;
mod by_key;
mod cart;
mod changes;
mod cold;
mod dues;
mod load;
mod memory;
mod meta;
mod owners;
mod packs;
mod part;
mod pieces;
mod records;
mod reservation;
mod runs;
mod sku;
mod stock;
mod sums;
mod transit;
mod uses;

use crate::{
    cart::{Number, outbox::Outbox},
    command::{Batch, RULES_NEWEST},
    digest::Digest,
    hashing::Hashing,
    journal::BlockHash,
    types::{Epoch, OperationId, ReservationId, ShardId, TimeMs},
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub(crate) use aside::{Announced, Aside, Counted, Opened};
pub(crate) use books::{Books, RareTotals, Totaled};
pub(crate) use by_id::ById;
pub(crate) use by_key::KeyHash;
pub(crate) use cart::{Cart, Participant, RemoteLine, Round, RoundKind, RoundLine, RoundOwn, Row, units};
pub use changes::Changes;
pub(crate) use changes::{Dirty, Mark};
pub(crate) use cold::Cold;
pub(crate) use dues::{Due, Dues};
pub use load::Loader;
pub(crate) use memory::{Intent, Operation, Refused};
pub(crate) use meta::equal_ranges;
pub use meta::{BucketRange, MetaState};
pub(crate) use owners::Owners;
pub(crate) use packs::{Left, LoadingPacks, PackChange, Packed, Packs};
pub(crate) use part::{Holding, Part, PartGranted, PartLine};
pub(crate) use pieces::Pieces;
pub use records::{KEY_ROOM, Place, Records};
pub(crate) use reservation::{
    EndedBy, Line, Lines, PACKED_LINES_MAX, Rare, Reservation, ReservationLook, Seldom, line_view,
};
pub(crate) use runs::{Deadlines, Runs};
pub(crate) use sku::{SkuEntry, SkuRef, SkuSettings};
pub(crate) use stock::{Pool, PoolRef, Stock, write_pool_key};
pub(crate) use sums::Sums;
pub(crate) use transit::Transit;
pub(crate) use uses::{OwnerUses, Use, Used};

/// A hash map whose order is never seen.
pub(crate) type Map<K, V> = HashMap<K, V, Hashing>;

/// A hash set whose order is never seen.
pub(crate) type Set<T> = HashSet<T, Hashing>;

/// So many commands or reservations are looked at together, before each is dealt with: as many as a processor follows at once,
/// about. What they need fits into its nearest cache.
pub(crate) const AHEAD: usize = 8;

/// What there is one of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) epoch: Epoch,
    pub(crate) rules: u32,
    pub(crate) clock: TimeMs,
    /// For the numbers of cart decisions, which are never reused.
    pub(crate) counter: u64,
    pub(crate) journal: BlockHash,
}

/// The whole hot state of one shard. See the crate's documentation for an example.
pub struct Ledger {
    pub(crate) shard: ShardId,
    pub(crate) header: Header,
    pub(crate) stock: Stock,
    pub(crate) reservations: ById<ReservationId, Box<Reservation>>,
    /// Live reservations by deadline.
    pub(crate) deadlines: Deadlines,
    /// Live reservations by owner.
    pub(crate) owners: Owners,
    pub(crate) operations: ById<OperationId, Box<Operation>>,
    pub(crate) refusals: Map<Intent, Refused>,
    /// Remembered refusals by the end of their time.
    pub(crate) refusal_ends: BTreeSet<(TimeMs, Intent)>,
    pub(crate) meta: Option<(MetaState, Mark)>,
    /// Open messages of carts whose home is here.
    pub(crate) outbox: Outbox,
    /// Carts that are being prepared, by the moment at which they are given up.
    pub(crate) rounds: BTreeSet<Due>,
    /// Operations that wait for the consent of other shards: their end is remembered once it is reached.
    pub(crate) preparing: Set<OperationId>,
    /// Carts whose home is elsewhere.
    pub(crate) parts: Map<ReservationId, Box<Part>>,
    /// Those with something undecided, by its age.
    pub(crate) undecided: BTreeSet<Due>,
    /// Those that can be forgotten once home's floor is above their number.
    pub(crate) idle_parts: BTreeSet<(ShardId, Number, [u8; 16])>,
    /// Homes of those that are not idle.
    pub(crate) holding: Holding,
    /// What each home said is its floor.
    pub(crate) floors: BTreeMap<ShardId, (Number, Mark)>,
    pub(crate) dirty: Dirty,
    pub(crate) cold: Cold,
    /// Counts uses of the scratch marks in pools. Of this process only.
    pub(crate) serial: u64,
    pub(crate) scratch: Scratch,
}

/// Buffers that a command uses and leaves to the next one.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wants: Vec<crate::apply::reserve::Want>,
    pub(crate) journal: crate::journal::Parts,
}

impl Ledger {
    /// An empty state.
    pub fn new(shard: ShardId) -> Self {
        Self {
            shard,
            // Epochs count from 1, so that a position of zeros is none.
            header: Header { epoch: Epoch(1), rules: 0, clock: TimeMs(0), counter: 0, journal: BlockHash::default() },
            stock: Stock::default(),
            reservations: ById::default(),
            deadlines: Deadlines::default(),
            owners: Owners::default(),
            operations: ById::default(),
            refusals: Map::default(),
            refusal_ends: BTreeSet::new(),
            meta: None,
            outbox: Outbox::default(),
            rounds: BTreeSet::new(),
            preparing: Set::default(),
            parts: Map::default(),
            undecided: BTreeSet::new(),
            idle_parts: BTreeSet::new(),
            holding: Holding::default(),
            floors: BTreeMap::new(),
            dirty: Dirty::default(),
            cold: Cold::default(),
            serial: 0,
            scratch: Scratch::default(),
        }
    }

    /// Which shard this is the state of.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Raised by a restore from backup; part of every position.
    pub fn epoch(&self) -> Epoch {
        self.header.epoch
    }

    /// The ledger's time: the latest stamp of any entry applied.
    pub fn clock(&self) -> TimeMs {
        self.header.clock
    }

    /// The highest version of the rules an entry was applied under; 0 before the first.
    pub fn rules(&self) -> u32 {
        self.header.rules
    }

    /// Whether this build can apply entries under that version of the rules. A node asks before every apply, and stops
    /// if not.
    pub fn supports(rules: u32) -> bool {
        (1..=RULES_NEWEST).contains(&rules)
    }

    /// Hash of the last journal block.
    pub fn journal_hash(&self) -> BlockHash {
        self.header.journal
    }

    /// The earliest deadline of a live hold or of a cart that is being prepared. Once it has passed and nothing else
    /// goes on, a tick is due: an empty [`Batch`].
    pub fn next_deadline(&self) -> Option<TimeMs> {
        let hold = self.deadlines.first().map(|due| due.deadline().plus(crate::planted::sweep_lag()));
        let round = self.rounds.first().map(|due| due.deadline());
        [hold, round].into_iter().flatten().min()
    }

    /// Map and nodes, on the meta shard of a formed cluster.
    pub fn meta(&self) -> Option<&MetaState> {
        self.meta.as_ref().map(|(meta, _)| meta)
    }

    /// Hash of the whole state, records on disk included.
    pub fn digest(&mut self) -> Digest {
        self.settle_digest()
    }

    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

// A node applies on one thread and reads from others.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Ledger>();
};

/// Stops the shard: an equation of our own reasoning does not hold, and to go on would be to diverge. Nothing that a
/// client can put into an entry leads here, and no message that a correct shard sends.
#[cold]
#[track_caller]
pub(crate) fn stop(why: std::fmt::Arguments<'_>) -> ! {
    panic!("the shard stops: {why}")
}

/// Stops the shard unless this build knows the rules of `batch`. The node was to ask [`Ledger::supports`] first.
pub(crate) fn stop_unless_supported(batch: &Batch) {
    if !Ledger::supports(batch.rules) {
        stop(format_args!("an entry has rules {}, this build knows 1 to {RULES_NEWEST}", batch.rules));
    }
}
