//! What a command can answer: done, or refused, as plain data. Errors of the world are not here; the ledger has none.

mod stock;

use crate::{
    cart::{
        Number,
        message::{Answer, Asked},
    },
    records::PoolName,
    types::{Location, Lot, OperationId, PoolKey, PoolKind, Position, Quantity, Reason, ReservationId, Sku, TimeMs},
};

pub use stock::*;

/// The answer to one command of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What came of it.
    pub verdict: Verdict,
    /// The same id had been answered before, and this is that answer again (or its end already reached).
    pub replayed: bool,
    /// Position of the last movement it caused, or of its entry if it caused none.
    pub position: Position,
    /// The ledger's clock when it was answered.
    pub time: TimeMs,
}

/// Done or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect (now or earlier).
    Done(Done),
    /// It had no effect.
    Refused(Refusal),
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Units are held.
    Reserved(Reserved),
    /// The reservation after whatever was done with it.
    Reservation(Box<ReservationView>),
    /// The pool after receive or adjust.
    Pool(Box<PoolView>),
    /// Nothing to tell: forget, meta.
    Noted,
    /// The pool after set, count or quarantine.
    Stock(Box<StockChange>),
    /// A transfer after one of its legs.
    Transfer(Box<Transferred>),
    /// The settings of a SKU after a change.
    Settings(Box<SettingsView>),
    /// A cart over several shards is being prepared: the end is told when it is reached.
    Pending(Pending),
    /// What a participant says to its home's message; nothing to one that is too old.
    Answered(Option<Box<Answer>>),
    /// What home says to a participant's question.
    Asked(Asked),
}

/// Names what is being prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pending {
    /// Which reservation.
    pub id: ReservationId,
    /// Under which number.
    pub number: Number,
}

/// The first answer to a reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Which reservation.
    pub id: ReservationId,
    /// Per line of the request, after lines of the same pool were summed, in the order of their first mention.
    pub lines: Vec<LineGot>,
    /// Every unit asked for was got.
    pub all: bool,
    /// When the hold ends unless extended.
    pub deadline: TimeMs,
}

/// What one line got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineGot {
    /// Which pool.
    pub pool: PoolName,
    /// Units asked for.
    pub asked: Quantity,
    /// Units held.
    pub got: Quantity,
    /// Version of the SKU's settings whose policy chose the pool; none: the request named it.
    pub policy: Option<u64>,
}

/// Why a command had no effect. The order of the variants is the order of precedence: of several reasons, the first
/// is told.
///
/// First what the id alone decides, then the request itself, then whether this shard and this moment are right for it,
/// then what it names, then the state of what it names, then the rules of the sale, and stock last. A true shortage
/// comes before [`Contended`](Self::Contended): asking again would not help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The id was used for another request.
    IdempotencyConflict,
    /// The id may have been forgotten, so it is never run again.
    IdempotencyTooOld,
    /// Bad values, all of them at once.
    InvalidArgument(Vec<BadField>),
    /// The bucket of the command is not of this shard.
    WrongShard,
    /// The entry came after the caller's `not_after`.
    Late,
    /// No such SKU, never stocked at that location, or no such reservation.
    NotFound(Missing),
    /// The hold is over.
    ReservationExpired {
        /// When it ended.
        since: TimeMs,
    },
    /// Not possible in the state the reservation is in.
    ReservationState {
        /// That state.
        state: ReservationState,
        /// When it was reached.
        since: TimeMs,
    },
    /// The total life of a hold would be longer than allowed.
    ExtensionLimit {
        /// The latest deadline possible.
        latest: TimeMs,
    },
    /// A value expected by the caller is no longer true.
    VersionStale {
        /// On hand at this moment.
        on_hand: Quantity,
    },
    /// The settings are no longer those the caller read.
    SettingsStale {
        /// Their version at this moment.
        version: u64,
    },
    /// An operator froze the SKU.
    SkuFrozen {
        /// Why.
        reason: Reason,
    },
    /// The sale has not begun.
    SaleNotOpen {
        /// When it begins.
        opens: TimeMs,
    },
    /// The sale is over.
    SaleClosed,
    /// The owner has or had too much of it.
    LimitExceeded(LimitExceeded),
    /// No allocation satisfies the policy.
    PolicyUnsatisfiable,
    /// Not enough units, overdue ones counted in.
    InsufficientStock(Vec<Shortage>),
    /// Units that are overdue, undecided or unsettled stand in the way: ask again soon.
    Contended,
}

/// One bad field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    /// Path in the request, for instance `lines[3].quantity`.
    pub field: String,
    /// What is wrong, for people.
    pub problem: String,
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nobody ever received that SKU.
    Sku(Sku),
    /// The SKU was never stocked there. (Boxed, as the line below: every outcome has room for it.)
    Pool(Box<PoolKey>),
    /// No reservation of that id.
    Reservation(ReservationId),
    /// The reservation has no line on that pool.
    Line(Box<PoolKey>),
    /// No transfer of that id is under way.
    Transfer(OperationId),
}

/// What one line lacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Index of the line in the request (the first of those that were summed).
    pub line: u32,
    /// Units asked for.
    pub asked: Quantity,
    /// Units that could be held; of a partial commit or release, units that are held; of an adjust, units on hand.
    pub sellable: Quantity,
    /// When enough will be there, as far as receipts are announced.
    pub earliest: Option<TimeMs>,
}

/// State of a reservation, derived from its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReservationState {
    /// A cart over several shards is being prepared.
    Open = 1,
    /// The reserve was refused or given up.
    Rejected = 2,
    /// Units held, nothing committed.
    Held = 3,
    /// Some committed, the rest still held.
    PartlyCommitted = 4,
    /// Nothing held, something committed.
    Committed = 5,
    /// Nothing held, nothing committed, by the caller's wish.
    Released = 6,
    /// Nothing held, nothing committed, by time.
    Expired = 7,
}

impl ReservationState {
    /// The state of that tag; tags are permanent.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Self::Open,
            2 => Self::Rejected,
            3 => Self::Held,
            4 => Self::PartlyCommitted,
            5 => Self::Committed,
            6 => Self::Released,
            7 => Self::Expired,
            _ => return None,
        })
    }

    /// Its permanent tag.
    pub fn tag(self) -> u8 {
        self as u8
    }
}

/// A reservation as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationView {
    /// Which one.
    pub id: ReservationId,
    /// Tenant.
    pub namespace: crate::types::Namespace,
    /// For whom.
    pub owner: crate::types::Owner,
    /// Derived state at the ledger's clock.
    pub state: ReservationState,
    /// Its lines.
    pub lines: Vec<LineView>,
    /// When it was made.
    pub created: TimeMs,
    /// When the hold ends.
    pub deadline: TimeMs,
    /// When the state was reached.
    pub since: TimeMs,
    /// Counts changes of the set of lines, from 1.
    pub revision: u32,
    /// Every shard of the cart has carried out what was last decided.
    pub settled: bool,
    /// Its deadline was moved by a grace because the shopper is paying.
    pub paying: bool,
}

/// One line of a reservation as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineView {
    /// Which pool.
    pub pool: PoolKey,
    /// Units asked for.
    pub asked: Quantity,
    /// Units held now.
    pub held: Quantity,
    /// Units committed.
    pub committed: Quantity,
    /// Units given back by the caller.
    pub released: Quantity,
    /// Units given back by time.
    pub expired: Quantity,
    /// Of those committed, units that left the house.
    pub shipped: Quantity,
    /// Of those committed, units taken back before they left it.
    pub cancelled: Quantity,
    /// Units that came back and are fit for sale.
    pub returned: Quantity,
    /// Units that came back and were set apart.
    pub returned_unavailable: Quantity,
}

/// A pool as it is told: on_hand + short = available + held + committed + unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// Which pool.
    pub key: PoolKey,
    /// Physically there by the books.
    pub on_hand: Quantity,
    /// Free to hold. Units of holds that are over by the ledger's clock count as free.
    pub available: Quantity,
    /// Held by live reservations.
    pub held: Quantity,
    /// Sold but not shipped, for SKUs that deduct on ship.
    pub committed: Quantity,
    /// Damaged, quality, quarantine.
    pub unavailable: Quantity,
    /// Reality below the books.
    pub short: Quantity,
    /// available less safety stock, at least 0.
    pub sellable: Quantity,
    /// Units ever received, adjustments not counted.
    pub received_total: Quantity,
    /// Units ever sold off on hand.
    pub sold_total: Quantity,
    /// Units ever back on hand by a cancel or a return.
    pub returned_total: Quantity,
    /// On their way here from other locations, in no other account.
    pub in_transit: Quantity,
    /// Announced by receipts to come.
    pub expected: Quantity,
    /// Date of the first of them.
    pub expected_date: Option<TimeMs>,
}

/// A pool named by its parts, for lines that come without a namespace of their own.
pub fn pool_of(
    namespace: &crate::types::Namespace,
    sku: &Sku,
    location: &Location,
    kind: PoolKind,
    lot: &Lot,
) -> PoolKey {
    PoolKey { namespace: namespace.clone(), sku: sku.clone(), location: location.clone(), kind, lot: lot.clone() }
}
