//! How a SKU is sold: what an operator sets, as plain data.
//!
//! Nothing set is the default everywhere, and costs nothing where units are held. A whole set of settings is replaced
//! at once, by whoever names the version it was read at.

use crate::types::{DurationMs, Location, Quantity, Reason, TimeMs};

/// When units leave the books. Tags are permanent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Deduct {
    /// A commit takes them off on hand, and the sale is over.
    #[default]
    OnCommit = 0,
    /// A commit sets them apart as committed, until they are shipped.
    OnShip = 1,
}

impl Deduct {
    /// The way of that tag.
    pub fn from_tag(tag: u8) -> Option<Self> {
        Some(match tag {
            0 => Self::OnCommit,
            1 => Self::OnShip,
            _ => return None,
        })
    }

    /// Its permanent tag.
    pub fn tag(self) -> u8 {
        self as u8
    }
}

/// Everything an operator sets for one SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// When units leave the books.
    pub deduct: Deduct,
    /// Units of each pool that are not sold.
    pub safety_stock: Quantity,
    /// How long a hold lasts whose request does not say.
    pub hold_time: Option<DurationMs>,
    /// How many units one owner may hold and buy.
    pub owner_units: Option<UnitLimit>,
    /// How many live holds one owner may have.
    pub owner_holds: Option<u32>,
    /// Nothing of it can be reserved, and why.
    pub frozen: Option<Reason>,
    /// Nothing of it can be reserved before.
    pub opens: Option<TimeMs>,
    /// Nothing of it can be reserved from then on.
    pub closes: Option<TimeMs>,
    /// How long after a commit it can be cancelled, where units leave the books on commit.
    pub cancel_window: Option<DurationMs>,
    /// How long after a sale units can be returned; none: as long as the ledger remembers the reservation.
    pub return_window: Option<DurationMs>,
    /// How lines that name no location are dealt to locations.
    pub allocation: Option<Allocation>,
}

impl Settings {
    /// Whether a reserve has to ask: anything here can refuse it.
    pub fn gates(&self) -> bool {
        self.frozen.is_some() || self.opens.is_some() || self.closes.is_some() || self.limits_owners()
    }

    /// Whether what an owner holds and buys is counted.
    pub fn limits_owners(&self) -> bool {
        self.owner_units.is_some() || self.owner_holds.is_some()
    }
}

/// What a line of a reservation was promised when its units were granted: later settings change nothing of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Units leave the books when they are shipped.
    pub on_ship: bool,
    /// How long after the commit it can be cancelled, where units leave the books on commit; 0: not at all.
    pub cancel: DurationMs,
    /// How long after the commit units can be returned; none: as long as the ledger remembers the reservation.
    pub returns: Option<DurationMs>,
}

/// So many units an owner may hold and buy within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitLimit {
    /// Units, held and sold together.
    pub units: Quantity,
    /// How long a sale counts, from its commit.
    pub window: DurationMs,
}

/// How lines that name no location are dealt to locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Which locations come first.
    pub strategy: Strategy,
    /// Over how many locations one line may be split, 1 or more.
    pub places: u32,
}

/// Which locations come first. Ties go by the location's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// These, in this order, and no other.
    Priority(Vec<Location>),
    /// The one with the most units.
    MostStock,
    /// As few as can be; of those that have all that is still wanted, the one with the fewest units.
    FewestSplits,
    /// The one whose zone is nearest to the request's, and of those the first by name. A location that is
    /// not listed is not used. Zones are numbered so that near ones have near numbers.
    NearestZone(Vec<(Location, u32)>),
}
