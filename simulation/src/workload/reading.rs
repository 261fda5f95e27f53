//! What people look at.

use super::{BACK, Kind, Worker, kind};
use crate::{dice::Dice, recorder::pool};
use earmark_jepsen::history::{Action, Weak};

/// Holds that end within so long, in milliseconds.
const SOON_MS: u64 = 5_000;

impl Worker {
    fn pool(&self, dice: &mut Dice) -> String {
        if dice.percent(25)
            && let Some(sku) = kind::any_of(Kind::Kept, &self.crowd.scenario, dice)
        {
            return if dice.percent(40) { pool(&sku, BACK) } else { sku };
        }
        self.sku(dice)
    }

    pub(super) fn read_stock(&mut self, dice: &mut Dice) -> Action {
        Action::ReadStock { sku: self.pool(dice) }
    }

    pub(super) fn read_reservation(&mut self, dice: &mut Dice) -> Option<Action> {
        self.crowd.any_cart(dice).map(|cart| Action::ReadReservation { id: cart.id })
    }

    pub(super) fn see_stock(&mut self, dice: &mut Dice) -> Action {
        Action::SeeStock { sku: self.pool(dice), level: weak(dice), seen: self.seen() }
    }

    pub(super) fn see_reservation(&mut self, dice: &mut Dice) -> Option<Action> {
        let id = self.crowd.any_cart(dice)?.id;
        Some(Action::SeeReservation { id, level: weak(dice), seen: self.seen() })
    }

    pub(super) fn read_settings(&mut self, dice: &mut Dice) -> Action {
        let ruled = kind::any_of(Kind::Ruled, &self.crowd.scenario, dice);
        Action::ReadSettings { sku: ruled.unwrap_or_else(|| self.sku(dice)) }
    }

    pub(super) fn list(&mut self, dice: &mut Dice) -> Action {
        match dice.range(0, 3) {
            0 => Action::ListOwned { owner: format!("owner-{}", dice.range(1, 4)) },
            1 => match kind::any_of(Kind::Kept, &self.crowd.scenario, dice) {
                Some(sku) => Action::ListInTransit { sku },
                None => Action::ListShortages,
            },
            2 => Action::ListShortages,
            _ => Action::ListExpiring { within_ms: SOON_MS },
        }
    }
}

fn weak(dice: &mut Dice) -> Weak {
    if dice.percent(50) { Weak::Session } else { Weak::Bounded }
}
