//! Bytes of a SKU's settings: in commands, records and outcomes alike.

use super::{Corrupt, pool::quantity};
use crate::{
    settings::{Allocation, Deduct, Settings, Strategy, UnitLimit},
    types::{DurationMs, Location, Reason, TimeMs},
};
use bytes::Bytes;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SettingsMsg {
    #[prost(uint32, tag = "1")]
    deduct: u32,
    #[prost(uint64, tag = "2")]
    safety_stock: u64,
    #[prost(uint64, optional, tag = "3")]
    hold_time: Option<u64>,
    #[prost(message, optional, tag = "4")]
    owner_units: Option<UnitLimitMsg>,
    #[prost(uint32, optional, tag = "5")]
    owner_holds: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    frozen: Option<Bytes>,
    #[prost(uint64, optional, tag = "7")]
    opens: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    closes: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    cancel_window: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    return_window: Option<u64>,
    #[prost(message, optional, tag = "11")]
    allocation: Option<AllocationMsg>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct UnitLimitMsg {
    #[prost(uint64, tag = "1")]
    units: u64,
    #[prost(uint64, tag = "2")]
    window: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AllocationMsg {
    /// 1 priority, 2 most stock, 3 fewest splits, 4 nearest zone.
    #[prost(uint32, tag = "1")]
    strategy: u32,
    #[prost(uint32, tag = "2")]
    places: u32,
    #[prost(message, repeated, tag = "3")]
    locations: Vec<ZoneMsg>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ZoneMsg {
    #[prost(bytes = "bytes", tag = "1")]
    location: Bytes,
    #[prost(uint32, tag = "2")]
    zone: u32,
}

impl From<&Settings> for SettingsMsg {
    fn from(settings: &Settings) -> Self {
        Self {
            deduct: u32::from(settings.deduct.tag()),
            safety_stock: settings.safety_stock.units(),
            hold_time: settings.hold_time.map(|time| time.0),
            owner_units: settings
                .owner_units
                .map(|limit| UnitLimitMsg { units: limit.units.units(), window: limit.window.0 }),
            owner_holds: settings.owner_holds,
            frozen: settings.frozen.as_ref().map(Reason::to_shared),
            opens: settings.opens.map(|time| time.0),
            closes: settings.closes.map(|time| time.0),
            cancel_window: settings.cancel_window.map(|time| time.0),
            return_window: settings.return_window.map(|time| time.0),
            allocation: settings.allocation.as_ref().map(AllocationMsg::from),
        }
    }
}

impl TryFrom<SettingsMsg> for Settings {
    type Error = Corrupt;

    fn try_from(message: SettingsMsg) -> Result<Self, Corrupt> {
        let limit =
            |limit: UnitLimitMsg| Ok(UnitLimit { units: quantity(limit.units)?, window: DurationMs(limit.window) });
        let reason = |reason| Reason::new(reason).map_err(|bad| Corrupt::new("reason", bad));
        Ok(Self {
            deduct: deduct(message.deduct)?,
            safety_stock: quantity(message.safety_stock)?,
            hold_time: message.hold_time.map(DurationMs),
            owner_units: message.owner_units.map(limit).transpose()?,
            owner_holds: message.owner_holds,
            frozen: message.frozen.map(reason).transpose()?,
            opens: message.opens.map(TimeMs),
            closes: message.closes.map(TimeMs),
            cancel_window: message.cancel_window.map(DurationMs),
            return_window: message.return_window.map(DurationMs),
            allocation: message.allocation.map(Allocation::try_from).transpose()?,
        })
    }
}

pub(super) fn deduct(tag: u32) -> Result<Deduct, Corrupt> {
    u8::try_from(tag)
        .ok()
        .and_then(Deduct::from_tag)
        .ok_or_else(|| Corrupt::new("settings", format_args!("deduct in way {tag}, not known to this build")))
}

impl From<&Allocation> for AllocationMsg {
    fn from(allocation: &Allocation) -> Self {
        let unzoned = |location: &Location| ZoneMsg { location: location.to_shared(), zone: 0 };
        let zoned = |(location, zone): &(Location, u32)| ZoneMsg { location: location.to_shared(), zone: *zone };
        let (strategy, locations) = match &allocation.strategy {
            Strategy::Priority(locations) => (1, locations.iter().map(unzoned).collect()),
            Strategy::MostStock => (2, Vec::new()),
            Strategy::FewestSplits => (3, Vec::new()),
            Strategy::NearestZone(zones) => (4, zones.iter().map(zoned).collect()),
        };
        Self { strategy, places: allocation.places, locations }
    }
}

impl TryFrom<AllocationMsg> for Allocation {
    type Error = Corrupt;

    fn try_from(message: AllocationMsg) -> Result<Self, Corrupt> {
        let zoned = |zone: ZoneMsg| {
            let location = Location::new(zone.location).map_err(|bad| Corrupt::new("location", bad))?;
            Ok((location, zone.zone))
        };
        let zones = message.locations.into_iter().map(zoned).collect::<Result<Vec<_>, Corrupt>>()?;
        let strategy = match message.strategy {
            1 => Strategy::Priority(zones.into_iter().map(|(location, _)| location).collect()),
            2 => Strategy::MostStock,
            3 => Strategy::FewestSplits,
            4 => Strategy::NearestZone(zones),
            other => {
                return Err(Corrupt::new("settings", format_args!("have strategy {other}, not known to this build")));
            }
        };
        Ok(Self { strategy, places: message.places })
    }
}
