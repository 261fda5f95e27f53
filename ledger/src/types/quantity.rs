//! Numbers of units. Whole, never negative, and every sum is checked.

use std::fmt;

/// The most units one line of a request may ask for.
pub const LINE_QUANTITY_MAX: u64 = 1_000_000_000;

/// The most units any account of a pool may hold: 2^53, so that every language can carry it exactly.
pub const POOL_QUANTITY_MAX: u64 = 1 << 53;

// Sums of two accounts, and of 500 lines, must not wrap before they are compared with the limit.
const _: () = assert!(POOL_QUANTITY_MAX < u64::MAX / 4);
const _: () = assert!(LINE_QUANTITY_MAX * 500 < POOL_QUANTITY_MAX);

/// A number of units in the SKU's base unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u64);

impl Quantity {
    /// No units.
    pub const ZERO: Self = Self(0);

    /// A quantity, unless it is beyond [`POOL_QUANTITY_MAX`].
    pub fn new(units: u64) -> Option<Self> {
        (units <= POOL_QUANTITY_MAX).then_some(Self(units))
    }

    /// That many, or as many as there can be. For sums that are only told, never for the books.
    pub fn most(units: u64) -> Self {
        Self(units.min(POOL_QUANTITY_MAX))
    }

    /// The number of units.
    pub fn units(self) -> u64 {
        self.0
    }

    /// Whether this is no unit at all.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, unless it is beyond [`POOL_QUANTITY_MAX`].
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// The difference, unless it is negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The difference, at least zero. For what is shown, never for the books.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
