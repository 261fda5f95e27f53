//! What clients try.

use super::{Line, Place};
use serde::{Deserialize, Serialize};

/// The SKU of a pool.
pub fn article(pool: &str) -> &str {
    pool.split_once('@').map_or(pool, |(article, _)| article)
}

/// How fresh a read must be that any replica may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weak {
    /// It sees whatever its client has seen.
    Session,
    /// It says how old it may be.
    Bounded,
}

/// What is set for a SKU. Windows are so long that no run sees their end.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// Units leave the books when they are shipped.
    pub on_ship: bool,
    /// Units of each pool that are not sold.
    pub safety_stock: u64,
    /// Units one owner may hold and buy.
    pub owner_units: Option<u64>,
    /// Nothing of it can be reserved.
    pub frozen: bool,
    /// Sales can be taken back, where units leave the books on commit.
    pub cancel: bool,
}

/// What a client tried. Ids are opaque texts; the same text is the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "kebab-case")]
pub enum Action {
    /// Units come in.
    Receive {
        /// Of the operation.
        id: String,
        /// What comes in.
        line: Line,
    },
    /// Announced units come in.
    ReceiveExpected {
        /// Of the operation.
        id: String,
        /// What comes in.
        line: Line,
        /// Names the delivery.
        document: String,
    },
    /// A receipt is announced, or changed; 0 units cancel it.
    Expect {
        /// Of the operation.
        id: String,
        /// What will come.
        line: Line,
        /// Names the delivery.
        document: String,
        /// When, in Unix milliseconds.
        date_ms: u64,
    },
    /// On hand is corrected.
    Adjust {
        /// Of the operation.
        id: String,
        /// Pool.
        sku: String,
        /// By how many.
        delta: i64,
        /// On hand must be this, else nothing is done.
        expected: Option<u64>,
    },
    /// On hand becomes a value.
    Set {
        /// Of the operation.
        id: String,
        /// Pool.
        sku: String,
        /// Which.
        units: u64,
        /// On hand must be this, else nothing is done; none: whatever it was.
        expected: Option<u64>,
    },
    /// Somebody counted.
    Count {
        /// Of the operation.
        id: String,
        /// Pool.
        sku: String,
        /// So many.
        units: u64,
        /// Where an answer stood that was there when it was counted, and what it said was on hand; none: just now.
        seen: Option<(Place, u64)>,
    },
    /// Units are set apart.
    Quarantine {
        /// Of the operation.
        id: String,
        /// Which.
        line: Line,
    },
    /// Units that were set apart are available again.
    Unquarantine {
        /// Of the operation.
        id: String,
        /// Which.
        line: Line,
    },
    /// Units that were set apart leave the books.
    WriteOff {
        /// Of the operation.
        id: String,
        /// Which.
        line: Line,
    },
    /// Units go to another location.
    Transfer {
        /// Of the operation.
        id: String,
        /// From where, and how many.
        line: Line,
        /// To which pool.
        to: String,
        /// They are there at once.
        immediate: bool,
    },
    /// Units of a transfer arrive, or are lost.
    Arrive {
        /// Of the operation.
        id: String,
        /// Of which transfer.
        transfer: String,
        /// SKU.
        sku: String,
        /// So many arrived.
        received: u64,
        /// So many never will.
        lost: u64,
    },
    /// The settings of a SKU are replaced.
    Configure {
        /// Of the operation.
        id: String,
        /// SKU.
        sku: String,
        /// They must have this version, else nothing is done.
        version: u64,
        /// What they become.
        settings: Settings,
    },
    /// Units are held, all lines or none.
    Reserve {
        /// Of the reservation.
        id: String,
        /// One per pool.
        lines: Vec<Line>,
        /// For how long.
        ttl_ms: u64,
        /// For whom; empty: nobody.
        owner: String,
        /// What is there is enough, but no less than this; none: all or nothing.
        least: Option<Vec<Line>>,
    },
    /// Other lines are held, at once.
    Replace {
        /// Of the reservation.
        id: String,
        /// Of the operation.
        operation: String,
        /// The whole new set, one per pool.
        lines: Vec<Line>,
    },
    /// Held units are sold.
    Commit {
        /// Of the reservation.
        id: String,
        /// Of the operation; a whole commit needs none.
        operation: Option<String>,
        /// Which units; all that are held if empty.
        parts: Vec<Line>,
        /// What is not sold stays held.
        keep_rest: bool,
        /// If the hold has expired, the units are sold all the same if they are there.
        revive: bool,
    },
    /// Held units are given back.
    Release {
        /// Of the reservation.
        id: String,
        /// Of the operation; a whole release has none.
        operation: Option<String>,
        /// Which units; all that are held if empty.
        parts: Vec<Line>,
    },
    /// The deadline is moved.
    Extend {
        /// Of the reservation.
        id: String,
        /// Of the operation.
        operation: Option<String>,
        /// Until so long from now.
        ttl_ms: u64,
    },
    /// The shopper is paying: the deadline is moved, once.
    MarkPaying {
        /// Of the reservation.
        id: String,
        /// Of the operation.
        operation: String,
        /// By so much.
        grace_ms: u64,
    },
    /// Sold units leave the house.
    Ship {
        /// Of the reservation.
        id: String,
        /// Of the operation.
        operation: String,
        /// Which units; all that can if empty.
        parts: Vec<Line>,
    },
    /// A sale is taken back.
    Cancel {
        /// Of the reservation.
        id: String,
        /// Of the operation.
        operation: String,
        /// Which units; all that can be if empty.
        parts: Vec<Line>,
    },
    /// Sold units come back.
    Return {
        /// Of the reservation.
        id: String,
        /// Of the operation.
        operation: String,
        /// Which units; all that can if empty.
        parts: Vec<Line>,
        /// They can be sold again.
        fit: bool,
    },
    /// The balance of a pool is read, linearizable.
    ReadStock {
        /// Pool.
        sku: String,
    },
    /// A reservation is read, linearizable.
    ReadReservation {
        /// Which one.
        id: String,
    },
    /// The settings of a SKU are read, linearizable.
    ReadSettings {
        /// SKU.
        sku: String,
    },
    /// The balance of a pool is read from any replica.
    SeeStock {
        /// Pool.
        sku: String,
        /// How fresh.
        level: Weak,
        /// What its client has seen of each shard.
        seen: Vec<Place>,
    },
    /// A reservation is read from any replica.
    SeeReservation {
        /// Which one.
        id: String,
        /// How fresh.
        level: Weak,
        /// What its client has seen of each shard.
        seen: Vec<Place>,
    },
    /// Asks what a reserve would be answered.
    DryRun {
        /// One per pool.
        lines: Vec<Line>,
        /// For whom; empty: nobody.
        owner: String,
    },
    /// An owner's reservations that hold units are listed.
    ListOwned {
        /// Whose.
        owner: String,
    },
    /// Transfers of a SKU that are under way are listed.
    ListInTransit {
        /// SKU.
        sku: String,
    },
    /// Pools that are short are listed.
    ListShortages,
    /// Holds that end soon are listed.
    ListExpiring {
        /// Within so long.
        within_ms: u64,
    },
}

impl Action {
    /// By name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Receive { .. } => "receive",
            Self::ReceiveExpected { .. } => "receive-expected",
            Self::Expect { .. } => "expect",
            Self::Adjust { .. } => "adjust",
            Self::Set { .. } => "set",
            Self::Count { .. } => "count",
            Self::Quarantine { .. } => "quarantine",
            Self::Unquarantine { .. } => "unquarantine",
            Self::WriteOff { .. } => "write-off",
            Self::Transfer { .. } => "transfer",
            Self::Arrive { .. } => "arrive",
            Self::Configure { .. } => "configure",
            Self::Reserve { least: Some(_), .. } => "reserve-some",
            Self::Reserve { .. } => "reserve",
            Self::Replace { .. } => "replace",
            Self::Commit { revive: true, .. } => "revive",
            Self::Commit { .. } => "commit",
            Self::Release { .. } => "release",
            Self::Extend { .. } => "extend",
            Self::MarkPaying { .. } => "mark-paying",
            Self::Ship { .. } => "ship",
            Self::Cancel { .. } => "cancel",
            Self::Return { .. } => "return",
            Self::ReadStock { .. } => "read-stock",
            Self::ReadReservation { .. } => "read-reservation",
            Self::ReadSettings { .. } => "read-settings",
            Self::SeeStock { level: Weak::Session, .. } => "session-stock",
            Self::SeeStock { level: Weak::Bounded, .. } => "bounded-stock",
            Self::SeeReservation { level: Weak::Session, .. } => "session-reservation",
            Self::SeeReservation { level: Weak::Bounded, .. } => "bounded-reservation",
            Self::DryRun { .. } => "dry-run",
            Self::ListOwned { .. } => "list-reservations",
            Self::ListInTransit { .. } => "list-in-transit",
            Self::ListShortages => "list-shortages",
            Self::ListExpiring { .. } => "list-expiring",
        }
    }

    /// Whether it changes the books if it is done.
    pub fn is_effectful(&self) -> bool {
        !matches!(
            self,
            Self::ReadStock { .. }
                | Self::ReadReservation { .. }
                | Self::ReadSettings { .. }
                | Self::SeeStock { .. }
                | Self::SeeReservation { .. }
                | Self::DryRun { .. }
                | Self::ListOwned { .. }
                | Self::ListInTransit { .. }
                | Self::ListShortages
                | Self::ListExpiring { .. }
        )
    }

    /// The reservation it is about.
    pub fn reservation(&self) -> Option<&str> {
        match self {
            Self::Reserve { id, .. }
            | Self::Replace { id, .. }
            | Self::Commit { id, .. }
            | Self::Release { id, .. }
            | Self::Extend { id, .. }
            | Self::MarkPaying { id, .. }
            | Self::Ship { id, .. }
            | Self::Cancel { id, .. }
            | Self::Return { id, .. }
            | Self::ReadReservation { id }
            | Self::SeeReservation { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Names what it does once, if it has such a name: the same name again is the same request, or a mistake. A whole
    /// commit or release has none.
    pub fn operation(&self) -> Option<&str> {
        match self {
            Self::Receive { id, .. }
            | Self::ReceiveExpected { id, .. }
            | Self::Expect { id, .. }
            | Self::Adjust { id, .. }
            | Self::Set { id, .. }
            | Self::Count { id, .. }
            | Self::Quarantine { id, .. }
            | Self::Unquarantine { id, .. }
            | Self::WriteOff { id, .. }
            | Self::Transfer { id, .. }
            | Self::Arrive { id, .. }
            | Self::Configure { id, .. }
            | Self::Reserve { id, .. } => Some(id),
            Self::Replace { operation, .. }
            | Self::MarkPaying { operation, .. }
            | Self::Ship { operation, .. }
            | Self::Cancel { operation, .. }
            | Self::Return { operation, .. } => Some(operation),
            Self::Commit { operation, .. } | Self::Release { operation, .. } | Self::Extend { operation, .. } => {
                operation.as_deref()
            }
            _ => None,
        }
    }

    /// The pools it names.
    pub fn pools(&self) -> Vec<&str> {
        match self {
            Self::Receive { line, .. }
            | Self::ReceiveExpected { line, .. }
            | Self::Expect { line, .. }
            | Self::Quarantine { line, .. }
            | Self::Unquarantine { line, .. }
            | Self::WriteOff { line, .. } => vec![&line.sku],
            Self::Adjust { sku, .. }
            | Self::Set { sku, .. }
            | Self::Count { sku, .. }
            | Self::ReadStock { sku }
            | Self::SeeStock { sku, .. } => vec![sku],
            Self::Transfer { line, to, .. } => vec![&line.sku, to],
            Self::Reserve { lines, .. } | Self::Replace { lines, .. } | Self::DryRun { lines, .. } => {
                lines.iter().map(|line| line.sku.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }
}
