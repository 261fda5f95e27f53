//! What most pools never have: a shortage that is open, receipts that are announced, and when it was counted.

use super::{PoolRef, Stock};
use crate::{
    movement::Spot,
    types::{Document, Quantity, TimeMs},
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aside {
    /// There as long as the pool is short.
    pub(crate) shortage: Option<Opened>,
    /// By document.
    pub(crate) expected: Vec<Announced>,
    /// There once the pool was counted.
    pub(crate) counted: Option<Counted>,
}

/// The newest count of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The moment it tells of.
    pub(crate) at: TimeMs,
    /// How many counts corrected the pool, this one included.
    pub(crate) number: u64,
}

/// How a shortage began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) since: TimeMs,
    pub(crate) by: Spot,
}

/// A receipt that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) document: Document,
    pub(crate) date: TimeMs,
    /// Not none.
    pub(crate) quantity: Quantity,
}

impl Aside {
    pub(crate) fn is_empty(&self) -> bool {
        self.shortage.is_none() && self.expected.is_empty() && self.counted.is_none()
    }

    /// When `units` more will have come, as far as receipts are announced.
    fn earliest(&self, units: u64) -> Option<TimeMs> {
        let mut dates: Vec<_> = self.expected.iter().map(|to_come| (to_come.date, to_come.quantity.units())).collect();
        dates.sort_unstable();
        let mut sum = 0_u64;
        dates.into_iter().find_map(|(date, units_then)| {
            sum = sum.saturating_add(units_then);
            (sum >= units).then_some(date)
        })
    }
}

impl Stock {
    /// Changes what stands aside of a pool, and drops it with its last part.
    pub(crate) fn change_aside(&mut self, at: PoolRef, change: impl FnOnce(&mut Aside)) {
        let pool = self.pool_mut(at);
        let mut aside = pool.aside.take().unwrap_or_default();
        change(&mut aside);
        pool.aside = Some(aside).filter(|aside| !aside.is_empty());
        let (short, key) = (pool.books.short > 0, pool.shared_key());
        if short {
            self.shorts.insert(key);
        } else {
            self.shorts.remove(&key);
        }
        self.touch_pool(at);
    }

    /// A shortage began or ended with the movement at `by`.
    #[cold]
    pub(crate) fn shortage_turns(&mut self, at: PoolRef, since: TimeMs, by: Spot) {
        let short = self.pool(at).books.short > 0;
        self.change_aside(at, |aside| aside.shortage = short.then_some(Opened { since, by }));
    }

    /// The receipts announced for a pool.
    pub(crate) fn expected(&self, at: PoolRef) -> &[Announced] {
        self.pool(at).aside.as_ref().map_or(&[], |aside| &aside.expected)
    }

    /// The newest count of a pool.
    pub(crate) fn counted(&self, at: PoolRef) -> Counted {
        self.pool(at).aside.as_ref().and_then(|aside| aside.counted).unwrap_or_default()
    }

    /// When a pool will be able to give `units`, of which it can give `sellable` now.
    pub(crate) fn earliest(&self, at: PoolRef, units: u64, sellable: u64, now: TimeMs) -> Option<TimeMs> {
        let pool = self.pool(at);
        let aside = pool.aside.as_ref()?;
        // Before a unit more can be sold, what the pool is short of is paid off and its safety stock is filled up.
        let available = pool.available_at(now);
        let short = pool.books.short - pool.books.short.min(pool.overdue(now));
        let reserved = self.settings(pool).safety_stock.saturating_sub(available);
        aside.earliest(units.saturating_sub(sellable).saturating_add(reserved).saturating_add(short))
    }

    /// How many units are announced for a pool, and the first date.
    pub(crate) fn announced(&self, at: PoolRef) -> (Quantity, Option<TimeMs>) {
        let expected = self.expected(at);
        let sum = expected.iter().fold(0_u64, |sum, to_come| sum.saturating_add(to_come.quantity.units()));
        (Quantity::most(sum), expected.iter().map(|to_come| to_come.date).min())
    }
}
