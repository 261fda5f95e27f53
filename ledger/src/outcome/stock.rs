//! What the keepers of the stock are told.

use super::PoolView;
use crate::{
    settings::Settings,
    types::{Document, DurationMs, OperationId, PoolKey, Position, Quantity, ReservationId, TimeMs},
};

/// A pool after set, count or quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockChange {
    /// As it stands.
    pub pool: PoolView,
    /// By how many units on hand changed.
    pub delta: i64,
    /// Of a count: units that left the books since it was counted, though they were not there by then. They are no
    /// part of `delta`: on hand is never below nothing.
    pub beyond: Quantity,
    /// What the pool is short of, if it is.
    pub shortage: Option<ShortageView>,
}

/// A pool whose books promise more than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortageView {
    /// Which pool.
    pub pool: PoolKey,
    /// Units short.
    pub units: Quantity,
    /// Since when the pool is short without a break.
    pub since: TimeMs,
    /// The movement that began it.
    pub by: Position,
    /// Held and committed units that can't all be served.
    pub at_risk: Quantity,
    /// The newest holds that make up the units short, newest first; some, not all of them.
    pub newest: Vec<AtRisk>,
}

/// A hold that may not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtRisk {
    /// Which reservation.
    pub reservation: ReservationId,
    /// Units it holds of the pool.
    pub held: Quantity,
}

/// Units on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// The operation that sent them.
    pub id: OperationId,
    /// Where they came from.
    pub from: PoolKey,
    /// Where they go.
    pub to: PoolKey,
    /// Units that left.
    pub sent: Quantity,
    /// Units that arrived.
    pub received: Quantity,
    /// Units written off on the way.
    pub lost: Quantity,
    /// When they left.
    pub since: TimeMs,
    /// Delivery note they left with.
    pub document: Document,
}

impl TransferView {
    /// Units still on their way.
    pub fn in_transit(&self) -> Quantity {
        self.sent.saturating_sub(self.received).saturating_sub(self.lost)
    }
}

/// A transfer after one of its legs, with both pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// How far it is.
    pub transfer: TransferView,
    /// The pool they left.
    pub from: PoolView,
    /// The pool they go to.
    pub to: PoolView,
}

/// A receipt that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedView {
    /// Where they will be put.
    pub pool: PoolKey,
    /// Names the delivery.
    pub document: Document,
    /// When.
    pub date: TimeMs,
    /// Units still to come.
    pub quantity: Quantity,
}

/// The settings of a SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsView {
    /// Counts changes, from 1; 0: nothing was ever set.
    pub version: u64,
    /// What holds.
    pub settings: Settings,
}

/// Which limit stood in the way. Tags are permanent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LimitKind {
    /// Units held and bought.
    #[default]
    Units = 0,
    /// Live holds.
    Holds = 1,
    /// Reservations that are counted at a time, whatever the SKU's settings.
    Counted = 2,
}

impl LimitKind {
    /// The kind of that tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0 => Self::Units,
            1 => Self::Holds,
            2 => Self::Counted,
            _ => return None,
        })
    }

    /// Its permanent tag.
    pub fn tag(self) -> u8 {
        self as u8
    }
}

/// The limit of an owner that stood in the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitExceeded {
    /// Index of the first line of that SKU in the request.
    pub line: u32,
    /// Which limit.
    pub kind: LimitKind,
    /// Its value.
    pub limit: Quantity,
    /// How long a sale counts; 0 for other kinds.
    pub window: DurationMs,
    /// What of it is used, this request not counted.
    pub used: Quantity,
}
