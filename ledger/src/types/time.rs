//! Time as the ledger knows it: Unix milliseconds that came in with an entry. The ledger never asks a clock.

use std::fmt;

/// A moment, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeMs(pub u64);

/// A length of time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationMs(pub u64);

impl TimeMs {
    /// The latest moment there is: "never".
    pub const MAX: Self = Self(u64::MAX);

    /// This moment plus `length`, at most [`TimeMs::MAX`].
    pub fn plus(self, length: DurationMs) -> Self {
        Self(self.0.saturating_add(length.0))
    }

    /// This moment less `length`, at least 0.
    pub fn minus(self, length: DurationMs) -> Self {
        Self(self.0.saturating_sub(length.0))
    }

    /// How long after `earlier` this moment is; 0 if it is not.
    pub fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }
}

impl DurationMs {
    /// A length of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// A length of whole minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// A length of whole days.
    pub const fn days(days: u64) -> Self {
        Self::minutes(days * 24 * 60)
    }
}

impl fmt::Display for TimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
