//! What the keepers of the stock are answered: corrections, shortages, transfers, expected receipts, settings.

use super::{Level, LineGot, Pool, Stock, Unreadable, id_of, kind_of, position, positions, units};
use crate::error::Error;
use crate::model::{Extent, ReservationInfo};
use crate::wire::v1;
use bytes::Bytes;
use earmark_ledger::types::{OperationId, PoolKind, Position, ReservationId, TimeMs};
use std::time::Duration;

/// The answer to set, count, quarantine, unquarantine and write-off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockCorrection {
    /// The pool after the change.
    pub pool: Pool,
    /// By how many units on hand changed.
    pub delta: i64,
    /// Of a count: units that left the books since the moment of counting, though they were not there by then. They are
    /// no part of `delta`.
    pub beyond: u64,
    /// What the pool is short of, if it is.
    pub shortage: Option<PoolShortage>,
    /// Where in the ledger it stands.
    pub position: Position,
    /// The server's clock.
    pub server_time: TimeMs,
    /// The same operation had been done before; this is its answer again.
    pub replayed: bool,
}

/// A pool whose books promise more than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolShortage {
    /// Tenant or brand.
    pub namespace: String,
    /// Article.
    pub sku: String,
    /// Shop or warehouse.
    pub location: String,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: String,
    /// Units short.
    pub units: u64,
    /// Since when the pool is short without a break.
    pub since: TimeMs,
    /// The movement that began it.
    pub by: Position,
    /// Held and committed units that can't all be served.
    pub at_risk: u64,
    /// The newest holds that make up the units short, newest first; 20 at most.
    pub newest: Vec<HoldAtRisk>,
}

/// A hold that may not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldAtRisk {
    /// Which reservation.
    pub reservation: ReservationId,
    /// Units it holds of the pool.
    pub held: u64,
}

/// Units that left one location for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferInfo {
    /// The operation that sent them; arrivals name it.
    pub id: OperationId,
    /// Tenant or brand.
    pub namespace: String,
    /// Article.
    pub sku: String,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: String,
    /// Where they were.
    pub from: String,
    /// Where they go.
    pub to: String,
    /// Units that left.
    pub sent: u64,
    /// Units that arrived.
    pub received: u64,
    /// Units lost on the way.
    pub lost: u64,
    /// Units still on their way.
    pub in_transit: u64,
    /// When they left.
    pub since: TimeMs,
    /// Delivery note they left with.
    pub document: String,
}

/// The answer to transfer and arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// How far it is.
    pub transfer: TransferInfo,
    /// The pool they left.
    pub from: Pool,
    /// The pool they go to.
    pub to: Pool,
    /// Where in the ledger it stands.
    pub position: Position,
    /// The server's clock.
    pub server_time: TimeMs,
    /// The same operation had been done before; this is its answer again.
    pub replayed: bool,
}

/// A receipt that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedReceipt {
    /// Tenant or brand.
    pub namespace: String,
    /// Article.
    pub sku: String,
    /// Shop or warehouse.
    pub location: String,
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: String,
    /// Names the delivery.
    pub document: String,
    /// When.
    pub date: TimeMs,
    /// Units still to come.
    pub quantity: u64,
}

/// Some of a longer list, and how fresh it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// In the order of the list. May be fewer than asked for, or none, though there is more.
    pub items: Vec<T>,
    /// Where the next page begins; none: this is the last one.
    pub next: Option<PageToken>,
    /// The level the answer really has.
    pub level: Level,
    /// Of each shard that was asked: everything up to here is in its part.
    pub positions: Vec<Position>,
    /// The earliest clock among these shards.
    pub as_of: TimeMs,
    /// An upper bound of its age, with [`Level::Bounded`]; else 0.
    pub age: Duration,
}

/// Where a page begins. Only good for the list it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(pub(crate) Bytes);

impl PageToken {
    /// As bytes, to be kept or handed on.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for PageToken {
    /// What was kept. What is no token is refused by the servers.
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

/// A hold that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringHold {
    /// Which reservation.
    pub id: ReservationId,
    /// For whom.
    pub owner: String,
    /// When it ends.
    pub deadline: TimeMs,
}

/// What a reserve would be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct DryRun {
    /// What it would hold, or why it would be refused.
    pub verdict: Result<WouldHold, Error>,
    /// The level the answer really has.
    pub level: Level,
    /// Of each shard that was asked: the answer holds at this position.
    pub positions: Vec<Position>,
    /// The earliest clock among these shards.
    pub as_of: TimeMs,
    /// An upper bound of its age, with [`Level::Bounded`]; else 0.
    pub age: Duration,
}

/// What a reserve would hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WouldHold {
    /// How much of it.
    pub extent: Extent,
    /// Per line, lines of the same pool summed, and with the locations that a policy would choose.
    pub lines: Vec<LineGot>,
    /// When the hold would end, were it made now.
    pub deadline: TimeMs,
}

fn operation_of(bytes: &[u8]) -> Result<OperationId, Unreadable> {
    OperationId::from_slice(bytes).map_err(|_| "an operation id that is none")
}

fn next(token: Bytes) -> Option<PageToken> {
    (!token.is_empty()).then_some(PageToken(token))
}

impl TryFrom<v1::PoolShortage> for PoolShortage {
    type Error = Unreadable;

    fn try_from(told: v1::PoolShortage) -> Result<Self, Unreadable> {
        let hold = |hold: v1::HoldAtRisk| {
            Ok(HoldAtRisk { reservation: id_of(&hold.reservation_id)?, held: units(hold.held)? })
        };
        Ok(Self {
            kind: kind_of(told.kind)?,
            units: units(told.units)?,
            since: TimeMs(told.since_ms),
            by: position(told.since_position)?,
            at_risk: units(told.at_risk)?,
            newest: told.newest.into_iter().map(hold).collect::<Result<_, Unreadable>>()?,
            namespace: told.namespace,
            sku: told.sku,
            location: told.location,
            lot: told.lot,
        })
    }
}

impl TryFrom<v1::StockChangeResponse> for StockCorrection {
    type Error = Unreadable;

    fn try_from(answer: v1::StockChangeResponse) -> Result<Self, Unreadable> {
        let change = answer.change.ok_or("no change")?;
        Ok(Self {
            pool: Pool::try_from(change.pool.ok_or("no pool")?)?,
            delta: change.delta,
            beyond: units(change.beyond)?,
            shortage: change.shortage.map(PoolShortage::try_from).transpose()?,
            position: position(answer.position)?,
            server_time: TimeMs(answer.server_time_ms),
            replayed: answer.replayed,
        })
    }
}

impl TryFrom<v1::StockTransfer> for TransferInfo {
    type Error = Unreadable;

    fn try_from(told: v1::StockTransfer) -> Result<Self, Unreadable> {
        Ok(Self {
            id: operation_of(&told.transfer_id)?,
            kind: kind_of(told.kind)?,
            sent: units(told.sent)?,
            received: units(told.received)?,
            lost: units(told.lost)?,
            in_transit: units(told.in_transit)?,
            since: TimeMs(told.since_ms),
            namespace: told.namespace,
            sku: told.sku,
            lot: told.lot,
            from: told.from,
            to: told.to,
            document: told.document,
        })
    }
}

impl TryFrom<v1::TransferResponse> for Transferred {
    type Error = Unreadable;

    fn try_from(answer: v1::TransferResponse) -> Result<Self, Unreadable> {
        Ok(Self {
            transfer: TransferInfo::try_from(answer.transfer.ok_or("no transfer")?)?,
            from: Pool::try_from(answer.from.ok_or("no pool")?)?,
            to: Pool::try_from(answer.to.ok_or("no pool")?)?,
            position: position(answer.position)?,
            server_time: TimeMs(answer.server_time_ms),
            replayed: answer.replayed,
        })
    }
}

impl TryFrom<v1::ExpectedReceipt> for ExpectedReceipt {
    type Error = Unreadable;

    fn try_from(told: v1::ExpectedReceipt) -> Result<Self, Unreadable> {
        Ok(Self {
            kind: kind_of(told.kind)?,
            date: TimeMs(told.date_ms),
            quantity: units(told.quantity)?,
            namespace: told.namespace,
            sku: told.sku,
            location: told.location,
            lot: told.lot,
            document: told.document,
        })
    }
}

impl TryFrom<v1::ExpiringHold> for ExpiringHold {
    type Error = Unreadable;

    fn try_from(told: v1::ExpiringHold) -> Result<Self, Unreadable> {
        Ok(Self { id: id_of(&told.reservation_id)?, owner: told.owner, deadline: TimeMs(told.deadline_ms) })
    }
}

impl TryFrom<v1::GetStockResponse> for Stock {
    type Error = Unreadable;

    fn try_from(answer: v1::GetStockResponse) -> Result<Self, Unreadable> {
        Ok(Self {
            pools: answer.pools.into_iter().map(Pool::try_from).collect::<Result<_, _>>()?,
            expected: answer.expected.into_iter().map(ExpectedReceipt::try_from).collect::<Result<_, _>>()?,
            shortages: answer.shortages.into_iter().map(PoolShortage::try_from).collect::<Result<_, _>>()?,
            level: Level::of(answer.level),
            position: position(answer.position)?,
            as_of: TimeMs(answer.as_of_ms),
            age: Duration::from_millis(answer.age_ms),
        })
    }
}

impl TryFrom<v1::ListInTransitResponse> for Page<TransferInfo> {
    type Error = Unreadable;

    fn try_from(answer: v1::ListInTransitResponse) -> Result<Self, Unreadable> {
        Ok(Self {
            items: answer.transfers.into_iter().map(TransferInfo::try_from).collect::<Result<_, _>>()?,
            next: next(answer.next_page_token),
            level: Level::of(answer.level),
            positions: vec![position(answer.position)?],
            as_of: TimeMs(answer.as_of_ms),
            age: Duration::from_millis(answer.age_ms),
        })
    }
}

/// Pages that several shards filled.
macro_rules! page {
    ($message:ident, $field:ident: $item:ident) => {
        impl TryFrom<v1::$message> for Page<$item> {
            type Error = Unreadable;

            fn try_from(answer: v1::$message) -> Result<Self, Unreadable> {
                Ok(Self {
                    items: answer.$field.into_iter().map($item::try_from).collect::<Result<_, _>>()?,
                    next: next(answer.next_page_token),
                    level: Level::of(answer.level),
                    positions: positions(answer.positions)?,
                    as_of: TimeMs(answer.as_of_ms),
                    age: Duration::from_millis(answer.age_ms),
                })
            }
        }
    };
}

page!(ListShortagesResponse, shortages: PoolShortage);
page!(ListReservationsResponse, reservations: ReservationInfo);
page!(ListExpiringResponse, holds: ExpiringHold);

impl TryFrom<v1::DryRunResponse> for DryRun {
    type Error = Unreadable;

    fn try_from(answer: v1::DryRunResponse) -> Result<Self, Unreadable> {
        let verdict = match answer.refusal {
            Some(refusal) => Err(Error::from(refusal)),
            None => Ok(WouldHold {
                extent: Extent::of(answer.extent)?,
                lines: answer.lines.into_iter().map(LineGot::try_from).collect::<Result<_, _>>()?,
                deadline: TimeMs(answer.deadline_ms),
            }),
        };
        Ok(Self {
            verdict,
            level: Level::of(answer.level),
            positions: positions(answer.positions)?,
            as_of: TimeMs(answer.as_of_ms),
            age: Duration::from_millis(answer.age_ms),
        })
    }
}
