//! What those who keep the stock do: corrections, what is set apart, transfers, announcements, settings.

use super::Fits;
use crate::model::{
    Undecidable,
    act::{Act, Judged, Rule, Way},
    shelf::{Id, Shelf},
};

impl Shelf {
    /// Everything that goes by an operation's id and touches no reservation.
    pub(super) fn keep(&mut self, act: &Act, end: &Judged) -> Fits {
        let Some(id) = act.keeper() else { return Ok(true) };
        match end {
            Judged::NotHeld => return Ok(true),
            Judged::Short { logged, .. } => {
                return Ok(self.refuses(Id::Operation(id), *logged, |state| state.lacks(act)));
            }
            Judged::Ruled { by: Rule::Stale, logged } => {
                return Ok(self.refuses(Id::Operation(id), *logged, |state| !state.is_as_expected(act)));
            }
            _ => {}
        }
        if !self.done.insert(id, ()) {
            return Ok(true);
        }
        if self.lacks(act) || !self.is_as_expected(act) {
            return Ok(false);
        }
        self.kept(act, end)?;
        let told = match (act, end) {
            (Act::Configure { version, settings, .. }, Judged::Settings(told, now)) => {
                *told == version + 1 && now == settings
            }
            _ => true,
        };
        Ok(told && self.shows(end))
    }

    /// Whether there are fewer units than it takes.
    fn lacks(&self, act: &Act) -> bool {
        match act {
            Act::Stock { sku, delta, .. } => *delta < 0 && delta.unsigned_abs() > self.pool(*sku).on_hand,
            Act::Aside { sku, units, way, .. } => {
                let pool = self.pool(*sku);
                let most = match way {
                    Way::Apart => pool.on_hand.saturating_sub(pool.unavailable),
                    Way::Back | Way::Off => pool.unavailable,
                };
                *units > most
            }
            Act::Transfer { from, units, .. } => *units > self.available(*from),
            Act::Arrive { transfer, received, lost, .. } => {
                self.transfers.get(transfer).is_none_or(|(_, left)| received + lost > *left)
            }
            _ => false,
        }
    }

    fn is_as_expected(&self, act: &Act) -> bool {
        match act {
            Act::Stock { sku, expected: Some(expected), .. } | Act::Set { sku, expected: Some(expected), .. } => {
                self.pool(*sku).on_hand == *expected
            }
            Act::Configure { pools, version, .. } => {
                pools.iter().all(|sku| self.rules.get(sku).map_or(0, |(version, _)| *version) == *version)
            }
            _ => true,
        }
    }

    fn kept(&mut self, act: &Act, end: &Judged) -> Result<(), Undecidable> {
        match act {
            Act::Stock { sku, delta, document, .. } => {
                let pool = self.pools.entry(*sku).or_default();
                pool.on_hand = pool.on_hand.saturating_add_signed(*delta);
                if let Some(units) = document.and_then(|document| self.announced.get_mut(&(*sku, document))) {
                    *units = units.saturating_sub(delta.unsigned_abs());
                }
                self.announced.retain(|_, units| *units > 0);
            }
            Act::Set { sku, units, .. } => self.pools.entry(*sku).or_default().on_hand = *units,
            Act::Count { sku, units, now: true, .. } => self.pools.entry(*sku).or_default().on_hand = *units,
            Act::Count { sku, .. } => {
                // By how much it changed what is there depends on what moved since, of which the answer tells.
                let Judged::Corrected { delta, .. } = end else { return Err(Undecidable) };
                let pool = self.pools.entry(*sku).or_default();
                pool.on_hand = pool.on_hand.checked_add_signed(*delta).ok_or(Undecidable)?;
            }
            Act::Aside { sku, units, way, .. } => {
                let pool = self.pools.entry(*sku).or_default();
                match way {
                    Way::Apart => pool.unavailable += units,
                    Way::Back => pool.unavailable -= units,
                    Way::Off => {
                        pool.unavailable -= units;
                        pool.on_hand = pool.on_hand.saturating_sub(*units);
                    }
                }
            }
            Act::Transfer { id, from, to, units, immediate } => {
                self.pools.entry(*from).or_default().on_hand -= units;
                let there = self.pools.entry(*to).or_default();
                if *immediate {
                    there.on_hand += units;
                } else {
                    self.transfers.insert(*id, (*to, *units));
                }
            }
            Act::Arrive { transfer, received, lost, .. } => {
                if let Some((to, left)) = self.transfers.get_mut(transfer) {
                    *left -= received + lost;
                    self.pools.entry(*to).or_default().on_hand += received;
                }
                self.transfers.retain(|_, (_, left)| *left > 0);
            }
            Act::Expect { sku, units, document, .. } => {
                self.pools.entry(*sku).or_default();
                self.announced.insert((*sku, *document), *units);
                self.announced.retain(|_, units| *units > 0);
            }
            Act::Configure { pools, version, settings, .. } => {
                for sku in pools {
                    self.rules.insert(*sku, (version + 1, settings.clone()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Act {
    /// The id of what the keepers of the stock do.
    fn keeper(&self) -> Option<u32> {
        match self {
            Self::Stock { id, .. }
            | Self::Set { id, .. }
            | Self::Count { id, .. }
            | Self::Aside { id, .. }
            | Self::Transfer { id, .. }
            | Self::Arrive { id, .. }
            | Self::Expect { id, .. }
            | Self::Configure { id, .. } => Some(*id),
            _ => None,
        }
    }
}
