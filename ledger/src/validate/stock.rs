//! Bad fields of what the keepers of the stock ask.

use super::Fields;
use crate::{
    command::{Arrive, Expect, ObservedAt, Quarantine, QuarantineStep, SetOnHand, Stockkeeping, Transfer},
    limits::{COUNTED_MAX, ID_AHEAD_MAX, PLACES_MAX, POLICY_LOCATIONS_MAX, TTL_MAX, TTL_MIN, WINDOW_MAX},
    outcome::BadField,
    settings::{Allocation, Settings, Strategy},
    types::{DurationMs, Location, Quantity, Reason, TimeMs},
};
use std::collections::BTreeSet;

/// Every bad field of settings alone, for whoever could not read all of a request.
pub fn validate_settings(settings: &Settings) -> Vec<BadField> {
    let mut fields = Fields(Vec::new());
    fields.settings(settings);
    fields.0
}

impl Fields {
    pub(super) fn stockkeeping(&mut self, asked: &Stockkeeping, now: TimeMs) {
        self.operation(asked.operation(), now);
        match asked {
            Stockkeeping::Set(set) => self.set(set),
            Stockkeeping::Count(count) => {
                if let Some(ObservedAt::Time(time)) = count.observed.map(|observed| observed.at)
                    && time > now.plus(ID_AHEAD_MAX)
                {
                    self.bad("observed_time_ms", format_args!("is {} ahead of the server", time.since(now)));
                }
            }
            Stockkeeping::Quarantine(quarantine) => self.quarantine(quarantine),
            Stockkeeping::Transfer(transfer) => self.transfer(transfer),
            Stockkeeping::Arrive(arrive) => self.arrive(arrive),
            Stockkeeping::Expect(expect) => self.expect(expect),
            Stockkeeping::Configure(configure) => self.settings(&configure.settings),
        }
    }

    fn at_least_one(&mut self, quantity: Quantity) {
        if quantity.is_zero() {
            self.bad("quantity", "must be at least 1");
        }
    }

    fn reason(&mut self, needed: bool, reason: &Reason, what: &str) {
        if needed && reason.is_empty() {
            self.bad("reason", what);
        }
    }

    fn set(&mut self, set: &SetOnHand) {
        match (set.expected_on_hand, set.overriding) {
            (None, false) => self.bad("expected_on_hand", "is required unless override is set"),
            (Some(_), true) => self.bad("expected_on_hand", "can't be asked for where override is set"),
            _ => {}
        }
    }

    fn quarantine(&mut self, quarantine: &Quarantine) {
        self.at_least_one(quarantine.quantity);
        let needed = quarantine.step != QuarantineStep::Back;
        self.reason(needed, &quarantine.reason, "is required: damaged, quality, quarantine or what else");
    }

    fn transfer(&mut self, transfer: &Transfer) {
        self.at_least_one(transfer.quantity);
        if transfer.to == transfer.from.location {
            self.bad("to", "is where the units are");
        }
    }

    fn arrive(&mut self, arrive: &Arrive) {
        if arrive.received.is_zero() && arrive.lost.is_zero() {
            self.bad("received", "must be at least 1 where none is lost");
        }
        self.reason(!arrive.lost.is_zero(), &arrive.reason, "is required where units are lost");
    }

    fn expect(&mut self, expect: &Expect) {
        if expect.document.is_empty() {
            self.bad("document", "must not be empty");
        }
    }

    fn settings(&mut self, settings: &Settings) {
        if settings.hold_time.is_some_and(|time| time < TTL_MIN || time > TTL_MAX) {
            self.bad("settings.hold_time_ms", format_args!("must be {} to {}", TTL_MIN.0, TTL_MAX.0));
        }
        if let Some(limit) = settings.owner_units {
            if limit.units.is_zero() {
                self.bad("settings.owner_units.units", "must be at least 1");
            }
            self.window("settings.owner_units.window_ms", Some(limit.window), 1);
        }
        if settings.owner_holds.is_some_and(|holds| holds == 0 || u64::from(holds) > COUNTED_MAX) {
            self.bad("settings.owner_holds", format_args!("must be 1 to {COUNTED_MAX}"));
        }
        if settings.frozen.as_ref().is_some_and(Reason::is_empty) {
            self.bad("settings.frozen", "must say why");
        }
        if let (Some(opens), Some(closes)) = (settings.opens, settings.closes)
            && closes <= opens
        {
            self.bad("settings.closes_ms", "must be after opens_ms");
        }
        self.window("settings.cancel_window_ms", settings.cancel_window, 0);
        self.window("settings.return_window_ms", settings.return_window, 0);
        if let Some(allocation) = &settings.allocation {
            self.allocation(allocation);
        }
    }

    fn window(&mut self, field: &str, window: Option<DurationMs>, min: u64) {
        if window.is_some_and(|window| window.0 < min || window > WINDOW_MAX) {
            self.bad(field, format_args!("must be {min} to {}", WINDOW_MAX.0));
        }
    }

    fn allocation(&mut self, allocation: &Allocation) {
        if allocation.places == 0 || allocation.places > PLACES_MAX {
            self.bad("settings.allocation.places", format_args!("must be 1 to {PLACES_MAX}"));
        }
        let named: Vec<&Location> = match &allocation.strategy {
            Strategy::Priority(list) => list.iter().collect(),
            Strategy::NearestZone(list) => list.iter().map(|(location, _)| location).collect(),
            Strategy::MostStock | Strategy::FewestSplits => return,
        };
        if named.is_empty() || named.len() > POLICY_LOCATIONS_MAX {
            self.bad("settings.allocation.locations", format_args!("must be 1 to {POLICY_LOCATIONS_MAX}"));
        }
        let mut seen = BTreeSet::new();
        for (at, location) in named.into_iter().enumerate() {
            if !seen.insert(location) {
                self.bad(format_args!("settings.allocation.locations[{at}]"), "is named twice");
            }
        }
    }
}
