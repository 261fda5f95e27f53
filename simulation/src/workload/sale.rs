//! What follows a sale.

use super::{Worker, carts::parts};
use crate::dice::Dice;
use earmark_jepsen::history::Action;

impl Worker {
    pub(super) fn ship(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.any_cart(dice)?;
        Some(Action::Ship { parts: parts(&cart, dice, 40), id: cart.id, operation: self.operation() })
    }

    pub(super) fn cancel(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.any_cart(dice)?;
        Some(Action::Cancel { parts: parts(&cart, dice, 50), id: cart.id, operation: self.operation() })
    }

    pub(super) fn take_back(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.any_cart(dice)?;
        let parts = parts(&cart, dice, 60);
        // Nothing sets units of other SKUs free again.
        let kept = cart.lines.iter().all(|line| super::Kind::of_pool(&line.sku) == super::Kind::Kept);
        let fit = !kept || dice.percent(60);
        Some(Action::Return { id: cart.id, operation: self.operation(), parts, fit })
    }
}
