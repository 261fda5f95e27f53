//! From the wire to the settings of a SKU.

use super::{Arrival, Decoded, make_operation};
use crate::api::check::{Check, UNITS_OR_NONE};
use earmark_client::wire::v1;
use earmark_ledger::{
    command::{Body, Configure, Stockkeeping},
    limits::POLICY_LOCATIONS_MAX,
    settings::{Allocation, Deduct, Settings, Strategy, UnitLimit},
    types::{Bucket, DurationMs, Location, Namespace, Reason, Sku, TimeMs},
    validate_settings,
};

/// Configure.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn configure(request: v1::ConfigureSkuRequest, arrival: &Arrival<'_>) -> Result<Decoded, v1::Error> {
    let mut check = Check::default();
    let context = check.context(request.context);
    let operation = check.operation(&request.operation_id, arrival).unwrap_or_else(|| make_operation(arrival));
    let namespace = check.namespace(request.namespace);
    let sku = check.text("sku", request.sku, Sku::new);
    let settings = match request.settings {
        Some(settings) => check.settings(settings),
        None => {
            check.fail("settings", "are required");
            None
        }
    };
    let expected_version = request.expected_version;
    let bucket = namespace.as_ref().zip(sku.as_ref()).map(|(namespace, sku)| Bucket::of(namespace, sku));
    let body = (|| {
        let (namespace, sku, settings) = (namespace?, sku?, Box::new(settings?));
        let configure = Configure { operation, namespace, sku, expected_version, settings };
        Some(Body::Stockkeeping(Stockkeeping::Configure(configure)))
    })();
    check.finish(bucket, context, request.delivery, arrival, body)
}

/// What a read of settings names, and how fresh it must be.
///
/// # Errors
/// INVALID_ARGUMENT with every bad field.
pub fn settings_of(request: &v1::GetSkuSettingsRequest) -> Result<(Namespace, Sku, v1::ReadLevel), v1::Error> {
    let mut check = Check::default();
    let namespace = check.namespace(request.namespace.clone());
    let sku = check.text("sku", request.sku.clone(), Sku::new);
    let level = check.level(request.level);
    match (namespace, sku, level) {
        (Some(namespace), Some(sku), Some(level)) => Ok((namespace, sku, level)),
        _ => Err(check.refuse()),
    }
}

impl Check {
    /// All of it is judged, by the ledger too, whatever else is wrong with the request.
    fn settings(&mut self, told: v1::SkuSettings) -> Option<Settings> {
        let deduct = match v1::Deduct::try_from(told.deduct) {
            Ok(v1::Deduct::Unspecified | v1::Deduct::OnCommit) => Deduct::OnCommit,
            Ok(v1::Deduct::OnShip) => Deduct::OnShip,
            Err(_) => {
                self.fail("settings.deduct", format!("{} is no way to deduct", told.deduct));
                Deduct::OnCommit
            }
        };
        let safety_stock = self.quantity("settings.safety_stock", told.safety_stock, UNITS_OR_NONE);
        let owner_units = told.owner_units.map(|limit| {
            let units = self.quantity("settings.owner_units.units", limit.units, UNITS_OR_NONE);
            units.map(|units| UnitLimit { units, window: DurationMs(limit.window_ms) })
        });
        let frozen = told.frozen.map(|reason| self.text("settings.frozen", reason, Reason::new));
        let allocation = told.allocation.map(|allocation| self.allocation(allocation));
        // What could not be read is named already, and stands in no other's way.
        let settings = Settings {
            deduct,
            safety_stock: safety_stock.unwrap_or_default(),
            hold_time: told.hold_time_ms.map(DurationMs),
            owner_units: owner_units.flatten(),
            owner_holds: told.owner_holds,
            frozen: frozen.flatten(),
            opens: told.opens_ms.map(TimeMs),
            closes: told.closes_ms.map(TimeMs),
            cancel_window: told.cancel_window_ms.map(DurationMs),
            return_window: told.return_window_ms.map(DurationMs),
            allocation: allocation.flatten(),
        };
        for bad in validate_settings(&settings) {
            self.fail(bad.field, bad.problem);
        }
        self.is_good().then_some(settings)
    }

    fn allocation(&mut self, told: v1::Allocation) -> Option<Allocation> {
        const LOCATIONS: &str = "settings.allocation.locations";
        let count = told.locations.len();
        // Of a list beyond the limit nothing else is told.
        if count > POLICY_LOCATIONS_MAX {
            self.fail(LOCATIONS, format!("has {count} entries, must be 1 to {POLICY_LOCATIONS_MAX}"));
            return None;
        }
        let named = told.locations.into_iter().enumerate().map(|(at, place)| {
            let location = self.text(format_args!("{LOCATIONS}[{at}].location"), place.location, Location::new);
            location.map(|location| (location, place.zone))
        });
        let named: Vec<Option<(Location, u32)>> = named.collect();
        let named: Option<Vec<_>> = named.into_iter().collect();
        let strategy = match v1::AllocationStrategy::try_from(told.strategy) {
            Ok(v1::AllocationStrategy::Priority) => {
                Strategy::Priority(named?.into_iter().map(|(location, _)| location).collect())
            }
            Ok(v1::AllocationStrategy::NearestZone) => Strategy::NearestZone(named?),
            Ok(chosen @ (v1::AllocationStrategy::MostStock | v1::AllocationStrategy::FewestSplits)) => {
                if count > 0 {
                    self.fail(LOCATIONS, "can't be named with this strategy: it chooses among all");
                    return None;
                }
                if chosen == v1::AllocationStrategy::MostStock { Strategy::MostStock } else { Strategy::FewestSplits }
            }
            Ok(v1::AllocationStrategy::Unspecified) | Err(_) => {
                self.fail("settings.allocation.strategy", format!("{} is no strategy", told.strategy));
                return None;
            }
        };
        Some(Allocation { strategy, places: told.places })
    }
}
