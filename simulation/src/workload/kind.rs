//! Kinds of SKUs. What a checker can know of a pool depends on what may happen to it: where carts of several shards
//! come, a balance is not that of one moment; where people count, what is there can't be added up. So most SKUs are plain,
//! and the rest is done to some of them.

use super::sku;
use crate::{dice::Dice, scenario::Scenario};
use earmark_jepsen::history::{Settings, article};

/// What may happen to a SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sold on commit, in carts too.
    Plain,
    /// Sold when shipped, in carts too.
    Shipped,
    /// Counted, set, set apart, and moved to another location; never in a cart with others.
    Kept,
    /// Its settings change all the time; never in a cart with others.
    Ruled,
}

/// Where units of a kept SKU are moved to and from.
pub const BACK: &str = "back";

impl Kind {
    /// Of a SKU by its number.
    pub fn of(number: u64) -> Self {
        match number % 6 {
            1 | 5 => Self::Shipped,
            2 => Self::Kept,
            4 => Self::Ruled,
            _ => Self::Plain,
        }
    }

    /// Of a pool by its name.
    pub fn of_pool(pool: &str) -> Self {
        article(pool).trim_start_matches("sku-").parse().map_or(Self::Plain, Self::of)
    }

    /// Whether a cart may have lines of others beside it.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Plain | Self::Shipped)
    }
}

/// What is set for a SKU before anyone comes; none: nothing.
pub fn first_settings(number: u64, stock: u64) -> Option<Settings> {
    match Kind::of(number) {
        Kind::Plain if number.is_multiple_of(2) => Some(Settings { cancel: true, ..Settings::default() }),
        Kind::Plain | Kind::Kept => None,
        Kind::Shipped => Some(Settings { on_ship: true, ..Settings::default() }),
        Kind::Ruled => Some(Settings { owner_units: Some((stock / 2).max(1)), ..Settings::default() }),
    }
}

/// What may be set for a ruled SKU while it is sold. It always has a limit: what is held without one is never counted.
pub fn next_settings(stock: u64, dice: &mut Dice) -> Settings {
    Settings {
        safety_stock: if dice.percent(50) { 0 } else { dice.range(1, 3) },
        owner_units: Some(dice.range(1, stock)),
        frozen: dice.percent(25),
        ..Settings::default()
    }
}

/// One of the SKUs of that kind, if there is one.
pub fn any_of(kind: Kind, scenario: &Scenario, dice: &mut Dice) -> Option<String> {
    let numbers: Vec<u64> = (0..u64::from(scenario.skus)).filter(|number| Kind::of(*number) == kind).collect();
    if numbers.is_empty() { None } else { Some(sku(*dice.pick(&numbers))) }
}
