//! What the keepers of the stock ask: counting, moving, setting apart, announcing, and settings of SKUs.

use crate::{
    settings::Settings,
    types::{Bucket, Document, Location, LogIndex, Namespace, OperationId, PoolKey, Quantity, Reason, Sku, TimeMs},
};

/// What the keepers of the stock ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stockkeeping {
    /// On hand becomes a value.
    Set(SetOnHand),
    /// What was counted.
    Count(Count),
    /// Set apart, back, or written off.
    Quarantine(Quarantine),
    /// Units leave for another location.
    Transfer(Transfer),
    /// Units of a transfer arrived, or were lost on the way.
    Arrive(Arrive),
    /// A receipt is announced.
    Expect(Expect),
    /// The settings of a SKU.
    Configure(Configure),
}

impl Stockkeeping {
    /// Names the operation.
    pub fn operation(&self) -> OperationId {
        match self {
            Self::Set(set) => set.operation,
            Self::Count(count) => count.operation,
            Self::Quarantine(quarantine) => quarantine.operation,
            Self::Transfer(transfer) => transfer.operation,
            Self::Arrive(arrive) => arrive.operation,
            Self::Expect(expect) => expect.operation,
            Self::Configure(configure) => configure.operation,
        }
    }

    /// Whose stock it is about: the whole operation lies in the bucket of this SKU.
    pub fn sku(&self) -> (&Namespace, &Sku) {
        match self {
            Self::Set(SetOnHand { pool, .. })
            | Self::Count(Count { pool, .. })
            | Self::Quarantine(Quarantine { pool, .. })
            | Self::Transfer(Transfer { from: pool, .. })
            | Self::Expect(Expect { pool, .. }) => (&pool.namespace, &pool.sku),
            Self::Arrive(arrive) => (&arrive.namespace, &arrive.sku),
            Self::Configure(configure) => (&configure.namespace, &configure.sku),
        }
    }

    /// The bucket it is for.
    pub fn bucket(&self) -> Bucket {
        let (namespace, sku) = self.sku();
        Bucket::of(namespace, sku)
    }
}

/// On hand becomes a value, whatever it was: only for whoever knows what it was, or says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetOnHand {
    /// Names this operation.
    pub operation: OperationId,
    /// Which pool.
    pub pool: PoolKey,
    /// Units there from now on.
    pub on_hand: Quantity,
    /// Refuse unless on hand has this value. Required unless `overriding`.
    pub expected_on_hand: Option<Quantity>,
    /// Set it whatever it was.
    pub overriding: bool,
    /// Why.
    pub reason: Reason,
}

/// What was counted. What moved since it was counted is applied on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Names this operation.
    pub operation: OperationId,
    /// Which pool.
    pub pool: PoolKey,
    /// Units that were there.
    pub counted: Quantity,
    /// When they were counted, and what the books said then; none: now.
    pub observed: Option<Observed>,
    /// Number of the counting list.
    pub document: Document,
    /// Why.
    pub reason: Reason,
}

/// The moment of a count, and the books at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The moment.
    pub at: ObservedAt,
    /// On hand of the pool at that moment, as the journal says. Put in by the proposer; not part of the request.
    pub on_hand: Quantity,
    /// What the proposer looked at. Not part of the request; none in entries of builds that did not note it.
    pub seen: Option<Seen>,
}

/// What a proposer saw as it looked back to the moment of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The moment by the ledger's clock: of a position, the time of the pool's last movement up to it.
    pub moment: TimeMs,
    /// How many counts had corrected the pool by then. If others came in between, it has to look again.
    pub counts: u64,
}

/// A moment in the life of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObservedAt {
    /// After everything that happened up to then.
    Time(TimeMs),
    /// After that entry.
    Position(LogIndex),
}

/// What becomes of units that can't be sold. Tags are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QuarantineStep {
    /// available -> unavailable.
    SetApart = 1,
    /// unavailable -> available.
    Back = 2,
    /// unavailable -> gone.
    WriteOff = 3,
}

impl QuarantineStep {
    /// The step of that tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Self::SetApart,
            2 => Self::Back,
            3 => Self::WriteOff,
            _ => return None,
        })
    }

    /// Its permanent tag.
    pub fn tag(self) -> u8 {
        self as u8
    }
}

/// Units that can't be sold, or can be again, or are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Names this operation.
    pub operation: OperationId,
    /// Which pool.
    pub pool: PoolKey,
    /// What becomes of them.
    pub step: QuarantineStep,
    /// At least 1.
    pub quantity: Quantity,
    /// Damaged, quality, quarantine, or what else; required unless they come back.
    pub reason: Reason,
}

/// Units leave a location for another one. The destination is the pool of the same SKU, kind and lot there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Names this operation, and the transfer.
    pub operation: OperationId,
    /// Which pool they leave.
    pub from: PoolKey,
    /// Where they go.
    pub to: Location,
    /// At least 1.
    pub quantity: Quantity,
    /// They are there at once: nothing is in transit.
    pub immediate: bool,
    /// Delivery note.
    pub document: Document,
    /// Why.
    pub reason: Reason,
}

/// Units of a transfer arrived, or were lost on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrive {
    /// Names this operation.
    pub operation: OperationId,
    /// Tenant.
    pub namespace: Namespace,
    /// Article.
    pub sku: Sku,
    /// The operation that sent them.
    pub transfer: OperationId,
    /// Units that arrived.
    pub received: Quantity,
    /// Units that will not.
    pub lost: Quantity,
    /// Delivery note.
    pub document: Document,
    /// Why; required where units are lost.
    pub reason: Reason,
}

/// A receipt that is announced. A later announcement of the same document in the same pool takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Names this operation.
    pub operation: OperationId,
    /// Where they will be put.
    pub pool: PoolKey,
    /// Names the delivery; the receipt that names it too is its arrival. Not empty.
    pub document: Document,
    /// When.
    pub date: TimeMs,
    /// Units; none: it will not come.
    pub quantity: Quantity,
}

/// The settings of a SKU, all at once. Makes the SKU if it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configure {
    /// Names this operation.
    pub operation: OperationId,
    /// Tenant.
    pub namespace: Namespace,
    /// Article.
    pub sku: Sku,
    /// Refuse unless the settings have this version; 0: nothing was ever set.
    pub expected_version: u64,
    /// What holds from now on.
    pub settings: Box<Settings>,
}
