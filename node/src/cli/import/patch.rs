//! The settings a row names: read from its cells, and put into the settings of a SKU as they stand.
//!
//! As with `earmark sku set`, what is not named stays as it is, and `none` takes a setting away.

use super::columns::Column;
use crate::cli::Failure;
use crate::cli::parse::{self, Moment};
use earmark_client::{Allocation, Deduct, SkuSettings, Strategy, TimeMs, UnitLimit};
use earmark_ledger::limits::{COUNTED_MAX, PLACES_MAX, WINDOW_MAX};
use std::time::Duration;

/// What is to be changed. The outer option: it was named; the inner: not taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Patch {
    deduct: Option<Deduct>,
    safety_stock: Option<u64>,
    hold_time: Option<Option<Duration>>,
    owner_units: Option<Option<UnitLimit>>,
    owner_holds: Option<Option<u32>>,
    frozen: Option<Option<String>>,
    opens: Option<Option<TimeMs>>,
    closes: Option<Option<TimeMs>>,
    cancel_window: Option<Option<Duration>>,
    return_window: Option<Option<Duration>>,
    strategy: Option<Option<Strategy>>,
    places: Option<u32>,
}

/// Where cells come from and problems go.
pub(super) struct Cells<'a> {
    /// A cell that is not empty.
    pub(super) cell: &'a dyn Fn(Column) -> Option<&'a str>,
    /// What is wrong with them.
    pub(super) problems: &'a mut Vec<String>,
}

impl<'a> Cells<'a> {
    /// A cell as its value, if there is one that makes sense.
    pub(super) fn read<T>(
        &mut self,
        column: Column,
        read: impl FnOnce(&'static str, &'a str) -> Result<T, Failure>,
    ) -> Option<T> {
        let text = (self.cell)(column)?;
        read(column.name(), text).map_err(|failure| self.problems.push(failure.message())).ok()
    }

    /// The same where `none` takes the value away.
    fn optional<T>(
        &mut self,
        column: Column,
        read: impl FnOnce(&'static str, &str) -> Result<T, Failure>,
    ) -> Option<Option<T>> {
        self.read(column, |name, text| parse::or_none(text, |text| read(name, text)))
    }
}

fn length(field: &'static str, text: &str) -> Result<Duration, Failure> {
    parse::length(field, text).map(|length| Duration::from_millis(length.0))
}

/// A date and time. What is relative to now would mean another moment each time the file is read.
fn moment(field: &'static str, text: &str) -> Result<TimeMs, Failure> {
    match parse::moment(field, text)? {
        Moment::At(time) => Ok(time),
        Moment::In(_) => Err(Failure::input(field, format!("must be like 2026-11-27T09:00:00Z, not {text:?}"))),
    }
}

fn deduct(field: &'static str, text: &str) -> Result<Deduct, Failure> {
    match text.to_lowercase().replace([' ', '-'], "_").as_str() {
        "on_commit" => Ok(Deduct::OnCommit),
        "on_ship" => Ok(Deduct::OnShip),
        _ => Err(Failure::input(field, format!("must be on_commit or on_ship, not {text:?}"))),
    }
}

fn count(field: &'static str, text: &str, most: u64) -> Result<u32, Failure> {
    let good = text.parse().ok().filter(|count: &u32| (1..=most).contains(&u64::from(*count)));
    good.ok_or_else(|| Failure::input(field, format!("must be 1 to {most}, not {text:?}")))
}

impl Patch {
    /// Reads the cells of a row.
    pub(super) fn read(cells: &mut Cells<'_>) -> Self {
        let units = cells.optional(Column::UnitsPerOwner, parse::pool_units);
        let window = cells.read(Column::UnitsWindow, length);
        let owner_units = units.map(|units| {
            let window = window.unwrap_or(Duration::from_millis(WINDOW_MAX.0));
            units.map(|units| UnitLimit { units, window })
        });
        if window.is_some() && !matches!(owner_units, Some(Some(_))) {
            cells.problems.push("units_window: needs units_per_owner in the same row".to_owned());
        }
        if window.is_some_and(|window| window.is_zero()) {
            cells.problems.push("units_window: must be more than 0".to_owned());
        }
        let patch = Self {
            deduct: cells.read(Column::Deduct, deduct),
            safety_stock: cells.read(Column::SafetyStock, parse::units_or_none),
            hold_time: cells.optional(Column::HoldTime, parse::ttl_of),
            owner_units,
            owner_holds: cells.optional(Column::HoldsPerOwner, |name, text| count(name, text, COUNTED_MAX)),
            frozen: cells.optional(Column::Frozen, parse::text::<earmark_ledger::types::Reason>),
            opens: cells.optional(Column::Opens, moment),
            closes: cells.optional(Column::Closes, moment),
            cancel_window: cells.optional(Column::CancelWindow, length),
            return_window: cells.optional(Column::ReturnWindow, length),
            // Spreadsheets separate cells by commas, so a list may be written with `|`.
            strategy: cells.optional(Column::Allocation, |_, text| parse::strategy(&text.replace('|', ","))),
            places: cells.read(Column::Places, |name, text| count(name, text, PLACES_MAX.into())),
        };
        if let (Some(Some(opens)), Some(Some(closes))) = (patch.opens, patch.closes)
            && closes <= opens
        {
            cells.problems.push("closes: must be after opens".to_owned());
        }
        patch
    }

    /// Nothing is named.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Puts it into settings.
    pub(super) fn put(&self, settings: &mut SkuSettings) {
        fn set<T: Clone>(target: &mut T, wanted: &Option<T>) {
            if let Some(wanted) = wanted {
                target.clone_from(wanted);
            }
        }
        set(&mut settings.deduct, &self.deduct);
        set(&mut settings.safety_stock, &self.safety_stock);
        set(&mut settings.hold_time, &self.hold_time);
        set(&mut settings.owner_units, &self.owner_units);
        set(&mut settings.owner_holds, &self.owner_holds);
        set(&mut settings.frozen, &self.frozen);
        set(&mut settings.opens, &self.opens);
        set(&mut settings.closes, &self.closes);
        set(&mut settings.cancel_window, &self.cancel_window);
        set(&mut settings.return_window, &self.return_window);
        let before = settings.allocation.take();
        let places = self.places.or(before.as_ref().map(|allocation| allocation.places));
        let strategy = match &self.strategy {
            Some(strategy) => strategy.clone(),
            None => before.map(|allocation| allocation.strategy),
        };
        settings.allocation = match (strategy, self.places) {
            (Some(strategy), _) => Some(Allocation { strategy, places: places.unwrap_or(PLACES_MAX) }),
            (None, Some(places)) => Some(Allocation { strategy: Strategy::MostStock, places }),
            (None, None) => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cells: &[(Column, &str)]) -> (Patch, Vec<String>) {
        let mut problems = Vec::new();
        let cell = |column: Column| cells.iter().find(|(named, _)| *named == column).map(|(_, text)| *text);
        let patch = Patch::read(&mut Cells { cell: &cell, problems: &mut problems });
        (patch, problems)
    }

    fn put(cells: &[(Column, &str)], mut settings: SkuSettings) -> SkuSettings {
        let (patch, problems) = read(cells);
        assert_eq!(problems, [] as [String; 0]);
        patch.put(&mut settings);
        settings
    }

    #[test]
    fn what_is_named_is_set_and_the_rest_stays() {
        let full = put(
            &[
                (Column::Deduct, "On Ship"),
                (Column::SafetyStock, "5"),
                (Column::HoldTime, "10m"),
                (Column::UnitsPerOwner, "2"),
                (Column::UnitsWindow, "30days"),
                (Column::HoldsPerOwner, "3"),
                (Column::Frozen, "recall 12"),
                (Column::Opens, "2026-11-27T09:00:00Z"),
                (Column::Closes, "2026-11-28 09:00:00"),
                (Column::CancelWindow, "1h"),
                (Column::ReturnWindow, "30days"),
                (Column::Allocation, "priority:berlin|hamburg"),
                (Column::Places, "2"),
            ],
            SkuSettings::default(),
        );
        let list = vec!["berlin".to_owned(), "hamburg".to_owned()];
        assert_eq!((full.deduct, full.safety_stock, full.owner_holds), (Deduct::OnShip, 5, Some(3)));
        assert_eq!(full.allocation, Some(Allocation { strategy: Strategy::Priority(list), places: 2 }));
        assert_eq!(put(&[], full.clone()), full);
        let changed = put(&[(Column::SafetyStock, "6")], full.clone());
        assert_eq!(changed, SkuSettings { safety_stock: 6, ..full.clone() });
        let lifted = put(
            &[(Column::Frozen, "none"), (Column::Allocation, "none"), (Column::UnitsPerOwner, "none")],
            full.clone(),
        );
        assert_eq!(lifted, SkuSettings { frozen: None, allocation: None, owner_units: None, ..full });
    }

    #[test]
    fn a_limit_without_a_window_counts_as_long_as_is_remembered() {
        let settings = put(&[(Column::UnitsPerOwner, "2"), (Column::Places, "1")], SkuSettings::default());
        assert_eq!(settings.owner_units.map(|limit| limit.window), Some(Duration::from_secs(400 * 86_400)));
        assert_eq!(settings.allocation, Some(Allocation { strategy: Strategy::MostStock, places: 1 }));
    }

    #[test]
    fn every_bad_cell_is_told() {
        let (_, problems) = read(&[
            (Column::Deduct, "later"),
            (Column::SafetyStock, "-1"),
            (Column::HoldTime, "0s"),
            (Column::UnitsWindow, "30days"),
            (Column::HoldsPerOwner, "1001"),
            (Column::Opens, "+2h"),
            (Column::Closes, "tomorrow"),
            (Column::CancelWindow, "401days"),
            (Column::Allocation, "cheapest"),
            (Column::Places, "17"),
        ]);
        let fields: Vec<&str> = problems.iter().filter_map(|told| told.split(':').next()).collect();
        let mut expected = "units_window deduct safety_stock hold_time holds_per_owner opens closes cancel_window \
             allocation places"
            .split_whitespace()
            .collect::<Vec<_>>();
        let mut fields = fields;
        fields.sort_unstable();
        expected.sort_unstable();
        assert_eq!(fields, expected, "{problems:?}");
        let (_, problems) = read(&[(Column::Opens, "2026-11-27"), (Column::Closes, "2026-11-26T00:00:00Z")]);
        assert!(!problems.is_empty());
    }
}
