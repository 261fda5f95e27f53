//! The settings of a SKU as plain values, to and from the wire.

use super::{Level, Unreadable, position, units};
use crate::wire::v1;
use earmark_ledger::settings::Deduct;
use earmark_ledger::types::{Position, TimeMs};
use std::time::Duration;

/// Everything an operator sets for one SKU. The default sets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkuSettings {
    /// When units leave the books. It can't change once a unit was held, committed or sold.
    pub deduct: Deduct,
    /// Units of each pool that are not sold.
    pub safety_stock: u64,
    /// How long a hold lasts whose request does not say: 1 s to 31 days.
    pub hold_time: Option<Duration>,
    /// How many units one owner may hold and buy.
    pub owner_units: Option<UnitLimit>,
    /// How many live holds one owner may have, 1 to 1,000.
    pub owner_holds: Option<u32>,
    /// Nothing of it can be reserved, and why.
    pub frozen: Option<String>,
    /// Nothing of it can be reserved before.
    pub opens: Option<TimeMs>,
    /// Nothing of it can be reserved from then on.
    pub closes: Option<TimeMs>,
    /// How long after a commit it can be cancelled, where units leave the books on commit; up to 400 days.
    pub cancel_window: Option<Duration>,
    /// How long after a sale units can be returned, up to 400 days; none: as long as the reservation is remembered.
    pub return_window: Option<Duration>,
    /// How lines that name no location are dealt to locations; none: most stock, over at most 16 places.
    pub allocation: Option<Allocation>,
}

/// So many units an owner may hold and buy within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitLimit {
    /// Units, held and sold together; at least 1.
    pub units: u64,
    /// How long a sale counts, from its commit: up to 400 days.
    pub window: Duration,
}

/// How lines that name no location are dealt to locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Which locations come first.
    pub strategy: Strategy,
    /// Over how many locations one line may be split, 1 to 16.
    pub places: u32,
}

/// Which locations come first. Ties go by the location's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// These, in this order, and no other; up to 128.
    Priority(Vec<String>),
    /// The one with the most units.
    MostStock,
    /// As few as can be; of those that have all that is still wanted, the one with the fewest units.
    FewestSplits,
    /// The one whose zone is nearest to the request's, and of those the first by name; up to 128, no other.
    NearestZone(Vec<(String, u32)>),
}

/// The settings of a SKU, and how fresh the answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsRead {
    /// Counts changes, from 1; 0: nothing was ever set.
    pub version: u64,
    /// What holds.
    pub settings: SkuSettings,
    /// The level the answer really has.
    pub level: Level,
    /// Everything up to here is in it.
    pub position: Position,
    /// The ledger's clock at that position.
    pub as_of: TimeMs,
    /// An upper bound of its age, with [`Level::Bounded`]; else 0.
    pub age: Duration,
}

/// The answer to a change of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsChange {
    /// Counts changes, from 1.
    pub version: u64,
    /// What holds.
    pub settings: SkuSettings,
    /// Where in the ledger it stands.
    pub position: Position,
    /// The server's clock.
    pub server_time: TimeMs,
    /// The same operation had been done before; this is its answer again.
    pub replayed: bool,
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

impl SkuSettings {
    pub(crate) fn to_wire(&self) -> v1::SkuSettings {
        let deduct = match self.deduct {
            Deduct::OnCommit => v1::Deduct::OnCommit,
            Deduct::OnShip => v1::Deduct::OnShip,
        };
        let limit = |limit: UnitLimit| v1::UnitLimit {
            units: i64::try_from(limit.units).unwrap_or(i64::MAX),
            window_ms: millis(limit.window),
        };
        v1::SkuSettings {
            deduct: deduct.into(),
            safety_stock: i64::try_from(self.safety_stock).unwrap_or(i64::MAX),
            hold_time_ms: self.hold_time.map(millis),
            owner_units: self.owner_units.map(limit),
            owner_holds: self.owner_holds,
            frozen: self.frozen.clone(),
            opens_ms: self.opens.map(|time| time.0),
            closes_ms: self.closes.map(|time| time.0),
            cancel_window_ms: self.cancel_window.map(millis),
            return_window_ms: self.return_window.map(millis),
            allocation: self.allocation.as_ref().map(Allocation::to_wire),
        }
    }
}

/// As a message, for whoever keeps settings somewhere else. `SkuSettings::try_from` reads it back.
impl From<&SkuSettings> for v1::SkuSettings {
    fn from(settings: &SkuSettings) -> Self {
        settings.to_wire()
    }
}

impl Allocation {
    fn to_wire(&self) -> v1::Allocation {
        let place = |location: &String, zone| v1::AllocationLocation { location: location.clone(), zone };
        let (strategy, locations) = match &self.strategy {
            Strategy::Priority(list) => {
                (v1::AllocationStrategy::Priority, list.iter().map(|location| place(location, 0)).collect())
            }
            Strategy::MostStock => (v1::AllocationStrategy::MostStock, Vec::new()),
            Strategy::FewestSplits => (v1::AllocationStrategy::FewestSplits, Vec::new()),
            Strategy::NearestZone(list) => (
                v1::AllocationStrategy::NearestZone,
                list.iter().map(|(location, zone)| place(location, *zone)).collect(),
            ),
        };
        v1::Allocation { strategy: strategy.into(), places: self.places, locations }
    }
}

impl TryFrom<v1::Allocation> for Allocation {
    type Error = Unreadable;

    fn try_from(told: v1::Allocation) -> Result<Self, Unreadable> {
        let locations = told.locations.into_iter().map(|place| (place.location, place.zone));
        let strategy = match v1::AllocationStrategy::try_from(told.strategy) {
            Ok(v1::AllocationStrategy::Priority) => {
                Strategy::Priority(locations.map(|(location, _)| location).collect())
            }
            Ok(v1::AllocationStrategy::MostStock) => Strategy::MostStock,
            Ok(v1::AllocationStrategy::FewestSplits) => Strategy::FewestSplits,
            Ok(v1::AllocationStrategy::NearestZone) => Strategy::NearestZone(locations.collect()),
            Ok(v1::AllocationStrategy::Unspecified) | Err(_) => return Err("a strategy this build does not know"),
        };
        Ok(Self { strategy, places: told.places })
    }
}

impl TryFrom<v1::SkuSettings> for SkuSettings {
    type Error = Unreadable;

    fn try_from(told: v1::SkuSettings) -> Result<Self, Unreadable> {
        let deduct = match v1::Deduct::try_from(told.deduct) {
            Ok(v1::Deduct::Unspecified | v1::Deduct::OnCommit) => Deduct::OnCommit,
            Ok(v1::Deduct::OnShip) => Deduct::OnShip,
            Err(_) => return Err("a way to deduct this build does not know"),
        };
        let limit = |limit: v1::UnitLimit| {
            Ok::<_, Unreadable>(UnitLimit {
                units: units(limit.units)?,
                window: Duration::from_millis(limit.window_ms),
            })
        };
        Ok(Self {
            deduct,
            safety_stock: units(told.safety_stock)?,
            hold_time: told.hold_time_ms.map(Duration::from_millis),
            owner_units: told.owner_units.map(limit).transpose()?,
            owner_holds: told.owner_holds,
            frozen: told.frozen,
            opens: told.opens_ms.map(TimeMs),
            closes: told.closes_ms.map(TimeMs),
            cancel_window: told.cancel_window_ms.map(Duration::from_millis),
            return_window: told.return_window_ms.map(Duration::from_millis),
            allocation: told.allocation.map(Allocation::try_from).transpose()?,
        })
    }
}

impl TryFrom<v1::GetSkuSettingsResponse> for SettingsRead {
    type Error = Unreadable;

    fn try_from(answer: v1::GetSkuSettingsResponse) -> Result<Self, Unreadable> {
        Ok(Self {
            version: answer.version,
            settings: answer.settings.ok_or("no settings")?.try_into()?,
            level: Level::of(answer.level),
            position: position(answer.position)?,
            as_of: TimeMs(answer.as_of_ms),
            age: Duration::from_millis(answer.age_ms),
        })
    }
}

impl TryFrom<v1::ConfigureSkuResponse> for SettingsChange {
    type Error = Unreadable;

    fn try_from(answer: v1::ConfigureSkuResponse) -> Result<Self, Unreadable> {
        Ok(Self {
            version: answer.version,
            settings: answer.settings.ok_or("no settings")?.try_into()?,
            position: position(answer.position)?,
            server_time: TimeMs(answer.server_time_ms),
            replayed: answer.replayed,
        })
    }
}
