//! What follows a sale.

use super::{Kind, Worker, carts::parts};
use crate::dice::Dice;
use earmark_jepsen::history::{Action, Line};

impl Worker {
    pub(super) fn ship(&mut self, dice: &mut Dice) -> Option<Action> {
        let shipped = |line: &Line| Kind::of_pool(&line.sku) == Kind::Shipped;
        let cart = self.crowd.sold_cart(dice, |cart| cart.lines.iter().any(shipped))?;
        Some(Action::Ship { parts: parts(&cart, dice, 40), id: cart.id, operation: self.operation() })
    }

    pub(super) fn cancel(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.sold_cart(dice, |_| true)?;
        Some(Action::Cancel { parts: parts(&cart, dice, 50), id: cart.id, operation: self.operation() })
    }

    pub(super) fn take_back(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.sold_cart(dice, |_| true)?;
        let parts = parts(&cart, dice, 60);
        // Nothing sets units of other SKUs free again.
        let kept = cart.lines.iter().all(|line| Kind::of_pool(&line.sku) == Kind::Kept);
        let fit = !kept || dice.percent(60);
        Some(Action::Return { id: cart.id, operation: self.operation(), parts, fit })
    }
}
