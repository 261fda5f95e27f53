//! What follows a sale.

use super::{Kind, Worker, carts::parts};
use crate::dice::Dice;
use earmark_jepsen::history::{Action, End, Line, LineState, Told};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::sleep;

/// How often, and after how long each time, somebody asks whether a cancelled cart is settled.
const ASKS_MAX: usize = 12;
const ASKS_EVERY: Duration = Duration::from_millis(700);

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

    /// Units of a cart that came back can be had at once: those that were held in any case, those that were sold if every shard
    /// has carried it out. Somebody was waiting for them.
    pub(super) fn wants_what_came_back(&self, action: &Action, end: &End, dice: &mut Dice) -> Option<Action> {
        let End::Done { told: Told::Reservation(held), replayed: false, .. } = end else { return None };
        let released = matches!(action, Action::Release { .. });
        let back = |line: &LineState| if released { line.released } else { line.cancelled + line.returned };
        let lines: Vec<&LineState> = held.lines.iter().filter(|line| back(line) > 0).collect();
        if !(released || held.settled) || held.lines.len() < 2 || lines.is_empty() || !dice.percent(60) {
            return None;
        }
        let line = lines[dice.place(lines.len())];
        let lines = vec![Line { sku: line.sku.clone(), units: back(line) }];
        Some(Action::Reserve { id: String::new(), lines, ttl_ms: self.ttl_ms(dice), owner: String::new(), least: None })
    }

    /// Whoever cancelled a cart, and was not told that all of its shards have carried it out, asks now and then whether they have.
    pub(super) async fn waits_until_settled(&mut self, action: &Action, end: &End) {
        let (Action::Cancel { id, .. }, End::Done { told: Told::Reservation(held), .. }) = (action, end) else {
            return;
        };
        let mut settled = held.settled;
        for _ in 0..ASKS_MAX {
            if settled || self.crowd.over.load(Ordering::Relaxed) {
                return;
            }
            sleep(ASKS_EVERY).await;
            let end = self.tries(Action::ReadReservation { id: id.clone() }).await;
            settled = matches!(&end, End::Done { told: Told::Reservation(held), .. } if held.settled);
        }
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
