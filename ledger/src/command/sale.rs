//! What becomes of a reservation beside commit, release and extend: a changed cart, a payment under way, and what
//! follows a sale.

use super::{Line, Part};
use crate::types::{DurationMs, Namespace, OperationId, Reason, ReservationId, ShardId};

/// Swaps all lines of a hold for a new set, in one step or not at all. What it holds is not counted against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// Which reservation. Its home, its deadline and its owner stay.
    pub id: ReservationId,
    /// Names this operation.
    pub operation: OperationId,
    /// Tenant of every line: that of the reservation.
    pub namespace: Namespace,
    /// The whole new set, 1 to 500; lines of the same pool are summed before anything is checked.
    pub lines: Vec<Line>,
    /// Hold what is there instead of all or nothing.
    pub best_effort: bool,
    /// Zone of whoever asks, for policies that go by it.
    pub zone: u32,
    /// The shard of each line, noted by whoever routed it; empty if all are at home. No part of the request.
    pub shards: Vec<ShardId>,
}

/// The shopper is paying: once, the deadline moves by a grace that no ceiling limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkPaying {
    /// Which reservation.
    pub id: ReservationId,
    /// Names this operation.
    pub operation: OperationId,
    /// By how much the deadline moves.
    pub grace: DurationMs,
}

/// Units leave the house: committed -> gone, for SKUs that deduct on ship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ship {
    /// Which reservation.
    pub id: ReservationId,
    /// Names this operation.
    pub operation: OperationId,
    /// Empty: all that is committed and not shipped.
    pub parts: Vec<Part>,
}

/// Takes a sale back before anything left the house.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    /// Which reservation.
    pub id: ReservationId,
    /// Names this operation.
    pub operation: OperationId,
    /// Empty: all that is committed and not shipped, or, where units leave the books on commit, all that was sold.
    pub parts: Vec<Part>,
    /// Why.
    pub reason: Reason,
}

/// Units come back from the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Which reservation.
    pub id: ReservationId,
    /// Names this operation.
    pub operation: OperationId,
    /// Empty: all that was sold or shipped and did not come back yet.
    pub parts: Vec<Part>,
    /// What they are fit for.
    pub disposition: Disposition,
    /// Why.
    pub reason: Reason,
}

/// What returned units are fit for. Tags are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Disposition {
    /// They are available again.
    Sellable = 1,
    /// They are set apart: damaged, or to be looked at.
    Unavailable = 2,
}

impl Disposition {
    /// The disposition of that tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Self::Sellable,
            2 => Self::Unavailable,
            _ => return None,
        })
    }

    /// Its permanent tag.
    pub fn tag(self) -> u8 {
        self as u8
    }
}
