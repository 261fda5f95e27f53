//! What happened, told unit by unit: the feed, the audit and the history are made of movements.

use crate::{
    command::Context,
    types::{
        Document, Epoch, LogIndex, OperationId, Owner, PoolKey, Position, Quantity, Reason, ReservationId, ShardId,
        TimeMs,
    },
};

/// Why units moved. Tags are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MovementKind {
    /// Units arrived.
    Receive = 1,
    /// Corrected by hand.
    Adjust = 2,
    /// available -> held.
    Reserve = 3,
    /// held -> sold or committed.
    Commit = 4,
    /// held -> available by the caller's wish.
    Release = 5,
    /// held -> available by time.
    Expire = 6,
    /// A later deadline; no unit moved.
    Extend = 7,
    /// available -> held, or committed -> gone, for a cart that is not decided yet.
    Prepare = 8,
    /// held -> available, or gone -> committed: the cart was decided otherwise.
    Withdraw = 9,
    /// A later deadline while the shopper pays; no unit moved.
    Paying = 10,
    /// available -> sold or committed: a hold that had expired was committed all the same.
    Revive = 11,
    /// committed -> gone. Of a cart over several shards the units left their accounts with its `Prepare`.
    Ship = 12,
    /// sold or committed -> available: taken back before it left the house.
    Cancel = 13,
    /// sold or shipped -> available or unavailable: it came back.
    Return = 14,
    /// On hand was set to a value.
    Set = 20,
    /// Units were counted.
    Count = 21,
    /// available -> unavailable.
    Quarantine = 22,
    /// unavailable -> available.
    Unquarantine = 23,
    /// Units set apart are gone.
    WriteOff = 24,
    /// Units left for another location.
    TransferOut = 25,
    /// Units are on their way to this location.
    TransferSent = 26,
    /// Units arrived from another location.
    TransferIn = 27,
    /// Units on their way were lost.
    TransferLost = 28,
    /// A receipt was announced, changed or cancelled; no unit moved.
    Expect = 29,
}

impl MovementKind {
    /// The kind of that tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Self::Receive,
            2 => Self::Adjust,
            3 => Self::Reserve,
            4 => Self::Commit,
            5 => Self::Release,
            6 => Self::Expire,
            7 => Self::Extend,
            8 => Self::Prepare,
            9 => Self::Withdraw,
            10 => Self::Paying,
            11 => Self::Revive,
            12 => Self::Ship,
            13 => Self::Cancel,
            14 => Self::Return,
            20 => Self::Set,
            21 => Self::Count,
            22 => Self::Quarantine,
            23 => Self::Unquarantine,
            24 => Self::WriteOff,
            25 => Self::TransferOut,
            26 => Self::TransferSent,
            27 => Self::TransferIn,
            28 => Self::TransferLost,
            29 => Self::Expect,
            _ => return None,
        })
    }

    /// Its permanent tag.
    pub fn tag(self) -> u8 {
        self as u8
    }
}

/// Signed change of each account of a pool, in units. Conservation: on_hand + short changes by just as much as
/// available + held + committed + unavailable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Physically there by the books.
    pub on_hand: i64,
    /// Free to hold.
    pub available: i64,
    /// Held by live reservations.
    pub held: i64,
    /// Sold but not shipped.
    pub committed: i64,
    /// Damaged, quality, quarantine.
    pub unavailable: i64,
    /// Reality below the books.
    pub short: i64,
    /// On their way here from other locations, in no other account.
    pub in_transit: i64,
}

/// One change of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Where in the ledger it stands.
    pub position: Position,
    /// The ledger's clock.
    pub time: TimeMs,
    /// Why.
    pub kind: MovementKind,
    /// Whose units.
    pub pool: PoolKey,
    /// For which reservation, if for one.
    pub reservation: Option<ReservationId>,
    /// What changed.
    pub delta: Delta,
    /// Units of a commit that were sold beyond on hand (the pool was short); of a cancel or return, units that had been
    /// sold so, and are not on hand again; of a count, units that had left the books since it was counted and were not
    /// there by then.
    pub sold_short: u64,
    /// The movement before this one of the same pool.
    pub previous_of_pool: Option<Position>,
    /// The movement before this one of the same reservation.
    pub previous_of_reservation: Option<Position>,
    /// Who asked. Expiry has the context of the reserve's own principal left out: it is nobody's request.
    pub context: Context,
    /// Delivery note of a receipt.
    pub document: Document,
    /// Reason of an adjustment.
    pub reason: Reason,
    /// When the hold ends, told by a reserve and an extend.
    pub deadline: Option<TimeMs>,
    /// For whom, told by a reserve.
    pub owner: Owner,
    /// Of which transfer, if of one.
    pub transfer: Option<OperationId>,
    /// Units announced in all by the receipt of `document`, told by an announcement; `deadline` is its date.
    pub expected: Option<Quantity>,
}

/// A position without its shard, which everything in one state has in common. The order of the fields is that of
/// positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) epoch: u32,
    pub(crate) index: u64,
    pub(crate) ordinal: u32,
}

impl From<Position> for Spot {
    fn from(position: Position) -> Self {
        Self { epoch: position.epoch.0, ordinal: position.ordinal, index: position.index.0 }
    }
}

impl Spot {
    pub(crate) fn at(self, shard: ShardId) -> Position {
        Position { shard, epoch: Epoch(self.epoch), index: LogIndex(self.index), ordinal: self.ordinal }
    }
}
