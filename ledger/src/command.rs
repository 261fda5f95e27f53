//! What may stand in the log: batches of commands with the time they are applied at.
//!
//! These are the values `apply` works on; `codec` turns them into bytes and back. A field or variant added later is
//! optional in the encoding, and a tag is never used again.

mod sale;
mod stock;

use crate::{
    cart::message::Message,
    types::{
        Document, DurationMs, Location, Namespace, OperationId, Owner, PoolKey, PoolKind, Principal, Quantity, Reason,
        RequestId, ReservationId, Session, ShardId, Sku, TimeMs, TraceParent,
    },
};

pub use sale::*;
pub use stock::*;

/// The newest version of the rules this build knows. Each entry names the version it is applied under.
pub const RULES_NEWEST: u32 = 1;

/// One Raft entry of the ledger: commands that arrived together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Version of the rules to apply it under, 1 to [`RULES_NEWEST`].
    pub rules: u32,
    /// The leader's stamp. The ledger's clock becomes max(clock, stamp).
    pub time: TimeMs,
    /// Every replica notes its digest at this entry.
    pub digest: bool,
    /// In the order they take effect. Empty for a tick.
    pub commands: Vec<Command>,
}

/// One request, with what the movement is to say about who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who asked, copied into every movement that follows.
    pub context: Context,
    /// Refuse ([`Refusal::Late`](crate::outcome::Refusal::Late)) if the entry's time is later.
    pub not_after: TimeMs,
    /// Which sending of the same id this is, from 1.
    pub attempt: u32,
    /// Whoever proposed it had heard, after it was asked, of all that the homes of holds in this shard had decided by then.
    /// Else units held for carts of other shards may be free already, and a refusal that needs them is
    /// [`Contended`](crate::outcome::Refusal::Contended).
    pub heard: bool,
    /// What is asked.
    pub body: Body,
}

/// Who asked, for the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Context {
    /// Who acts.
    pub principal: Principal,
    /// The shopper's session.
    pub session: Session,
    /// The caller's own request id.
    pub request_id: RequestId,
    /// W3C trace context.
    pub trace_parent: TraceParent,
}

impl Context {
    /// A copy of its own, which keeps no message alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            principal: self.principal.detached(),
            session: self.session.detached(),
            request_id: self.request_id.detached(),
            trace_parent: self.trace_parent.detached(),
        }
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// available -> held.
    Reserve(Reserve),
    /// held -> sold (or committed, for a SKU that deducts on ship).
    Commit(Commit),
    /// held -> available.
    Release(Release),
    /// A later deadline.
    Extend(Extend),
    /// Units that arrived.
    Receive(Receive),
    /// A correction by hand.
    Adjust(Adjust),
    /// Drop the records of these reservations and operations, if their time is over by the ledger's clock. Proposed by
    /// a leader that looked through the cold records.
    Forget(Forget),
    /// What only the meta shard keeps.
    Meta(Meta),
    /// What the shards of a cart say to each other.
    Cart(Message),
    /// What the keepers of the stock ask.
    Stockkeeping(Stockkeeping),
    /// Other lines for a hold.
    Replace(Replace),
    /// A grace while the shopper pays.
    MarkPaying(MarkPaying),
    /// committed -> gone.
    Ship(Ship),
    /// A sale taken back.
    Cancel(Cancel),
    /// Units that came back.
    Return(Return),
}

/// Holds units for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// Names the reservation and its home.
    pub id: ReservationId,
    /// Tenant of every line.
    pub namespace: Namespace,
    /// 1 to 500; lines of the same pool are summed before anything is checked.
    pub lines: Vec<Line>,
    /// For whom.
    pub owner: Owner,
    /// How long; none: the policy's choice, made by the proposer and noted here before it enters the log.
    pub ttl: DurationMs,
    /// The policy chose `ttl`, not the caller. A chosen time is no part of the request: the same request sent again may
    /// have been given another.
    pub ttl_chosen: bool,
    /// Hold what is there instead of all or nothing.
    pub best_effort: bool,
    /// Zone of whoever asks, for policies that go by it.
    pub zone: u32,
    /// The shard of each line, noted by whoever routed it; empty if all are at home. No part of the request.
    pub shards: Vec<ShardId>,
}

/// One line of a reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Article.
    pub sku: Sku,
    /// Shop or warehouse; none: the SKU's policy chooses.
    pub location: Option<Location>,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: crate::types::Lot,
    /// 1 to [`LINE_QUANTITY_MAX`](crate::types::LINE_QUANTITY_MAX).
    pub quantity: Quantity,
    /// With best effort: refuse the whole unless this many can be held.
    pub minimum: Quantity,
}

impl Line {
    /// A copy of its own, which keeps no message alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        let location = self.location.as_ref().map(Location::detached);
        Self { sku: self.sku.detached(), location, lot: self.lot.detached(), ..*self }
    }
}

/// Some of a reservation's units, for partial commit and release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Article.
    pub sku: Sku,
    /// Shop or warehouse.
    pub location: Location,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: crate::types::Lot,
    /// At least 1.
    pub quantity: Quantity,
}

/// Sells what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Which reservation.
    pub id: ReservationId,
    /// Names this operation; required when parts are named, and for a late commit. Else only a refusal is remembered
    /// under it.
    pub operation: Option<OperationId>,
    /// Empty: all that is held.
    pub parts: Vec<Part>,
    /// What is not in `parts` stays held instead of going back.
    pub keep_rest: bool,
    /// If the hold has expired, sell the units all the same if they are there now.
    pub revive: bool,
}

impl Commit {
    /// The id under which it is remembered that it was done. A whole commit of what is held needs none: that its end is
    /// reached says so.
    pub fn named(&self) -> Option<OperationId> {
        self.operation.filter(|_| self.revive || !self.parts.is_empty())
    }
}

/// Gives back what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Which reservation.
    pub id: ReservationId,
    /// Names this operation; required when parts are named. Else only a refusal is remembered under it.
    pub operation: Option<OperationId>,
    /// Empty: all that is held.
    pub parts: Vec<Part>,
}

/// Moves the deadline to max(deadline, now + ttl).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extend {
    /// Which reservation.
    pub id: ReservationId,
    /// Names this operation.
    pub operation: OperationId,
    /// From now.
    pub ttl: DurationMs,
}

/// Units that arrived. Makes SKU and pool if they are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Names this operation.
    pub operation: OperationId,
    /// Where they are put.
    pub pool: PoolKey,
    /// At least 1.
    pub quantity: Quantity,
    /// Delivery note.
    pub document: Document,
}

/// A correction of on hand by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjust {
    /// Names this operation.
    pub operation: OperationId,
    /// Which pool.
    pub pool: PoolKey,
    /// Units to add or take off; not 0.
    pub delta: i64,
    /// Why.
    pub reason: Reason,
    /// Refuse unless on hand has this value.
    pub expected_on_hand: Option<Quantity>,
}

/// Records whose time is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forget {
    /// Ended reservations.
    pub reservations: Vec<ReservationId>,
    /// Remembered operations.
    pub operations: Vec<OperationId>,
}

/// What only the meta shard keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meta {
    /// The first map and nodes of a new cluster. Refused once there is a map.
    Form(Form),
}

/// How a cluster begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Names the cluster for ever, 16 random bytes.
    pub cluster: [u8; 16],
    /// Stock shards: buckets are dealt to shards 1..=shards in equal ranges.
    pub shards: u32,
    /// The first nodes.
    pub nodes: Vec<MetaNode>,
}

/// A node as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaNode {
    /// Its number, from 1.
    pub node: u32,
    /// `host:port` for clients.
    pub client_endpoint: String,
    /// `host:port` for peers.
    pub peer_endpoint: String,
    /// Label.
    pub region: String,
    /// Label.
    pub zone: String,
}
