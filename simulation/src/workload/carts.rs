//! What shoppers do with units before they are sold.

use super::{Cart, Kind, Worker, kind::any_of, sku};
use crate::dice::Dice;
use earmark_jepsen::history::{Action, Line};

/// Of a hundred reserves, so many are forgotten by whoever made them.
const ABANDONED: u64 = 10;

impl Worker {
    pub(super) fn sku(&self, dice: &mut Dice) -> String {
        let others = u64::from(self.crowd.scenario.skus);
        sku(if dice.percent(50) { 0 } else { dice.range(0, others - 1) })
    }

    fn lines(&self, dice: &mut Dice) -> Vec<Line> {
        let most = (self.crowd.scenario.stock / 3).max(1);
        let kinds = if dice.percent(self.crowd.scenario.carts_percent) { dice.range(2, 5) } else { 1 };
        let mut lines: Vec<Line> = Vec::new();
        let wanted = self.crowd.disputed_cart(20, dice).map(|cart| cart.lines).unwrap_or_default();
        for place in 0..kinds {
            let disputed = usize::try_from(place).ok().and_then(|place| wanted.get(place));
            let sku = disputed.map_or_else(|| self.sku(dice), |line| line.sku.clone());
            let fits = lines.is_empty() || kind(&lines[0]).is_shared() && Kind::of_pool(&sku).is_shared();
            if fits && !lines.iter().any(|line| line.sku == sku) {
                lines.push(Line { sku, units: dice.range(1, most) });
            }
        }
        lines
    }

    /// Owners of SKUs with limits are few, so that they meet them.
    fn shopper(&self, lines: &[Line], dice: &mut Dice) -> String {
        if kind(&lines[0]) == Kind::Ruled {
            return format!("owner-{}", dice.range(1, 3));
        }
        if dice.percent(50) { format!("owner-{}", dice.range(1, 9)) } else { String::new() }
    }

    pub(super) fn ttl_ms(&self, dice: &mut Dice) -> u64 {
        let [least, most] = self.crowd.scenario.ttl_ms;
        dice.range(least, most)
    }

    pub(super) fn reserve(&mut self, dice: &mut Dice) -> Action {
        let lines = self.lines(dice);
        let ttl_ms = self.ttl_ms(dice);
        // With an id of the client's own it may ask again; without one the SDK marks the first sending as fresh.
        let own = if dice.percent(40) { self.client.make_id(&lines[0].sku).ok() } else { None };
        let id = own.map(|id| id.to_string()).unwrap_or_default();
        let owner = self.shopper(&lines, dice);
        let least = dice.percent(15).then(|| {
            let some = lines.iter().filter(|_| dice.percent(50)).cloned().collect::<Vec<_>>();
            some.into_iter().map(|line| Line { units: dice.range(1, line.units), ..line }).collect()
        });
        let reserve = Action::Reserve { id: id.clone(), lines: lines.clone(), ttl_ms, owner, least };
        if !id.is_empty() && !dice.percent(ABANDONED) {
            self.crowd.think_of(Cart { id, reserve: reserve.clone(), lines });
        }
        reserve
    }

    pub(super) fn commit(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.any_cart(dice)?;
        let parts = parts(&cart, dice, 25);
        let operation = (!parts.is_empty()).then(|| self.operation());
        let keep_rest = operation.is_some() && dice.percent(50);
        Some(Action::Commit { id: cart.id, operation, parts, keep_rest, revive: false })
    }

    /// The money came, maybe too late.
    pub(super) fn revive(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.old_cart(dice)?;
        let parts = parts(&cart, dice, 20);
        let operation = Some(self.operation());
        Some(Action::Commit { id: cart.id, operation, parts, keep_rest: false, revive: true })
    }

    pub(super) fn release(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.any_cart(dice)?;
        let parts = parts(&cart, dice, 25);
        let operation = (!parts.is_empty()).then(|| self.operation());
        Some(Action::Release { id: cart.id, operation, parts })
    }

    pub(super) fn extend(&mut self, dice: &mut Dice) -> Option<Action> {
        let (cart, ttl_ms) = (self.crowd.any_cart(dice)?, self.ttl_ms(dice));
        Some(Action::Extend { id: cart.id, operation: Some(self.operation()), ttl_ms })
    }

    pub(super) fn mark_paying(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.any_cart(dice)?;
        Some(Action::MarkPaying { id: cart.id, operation: self.operation(), grace_ms: dice.range(1_000, 8_000) })
    }

    /// Other lines, or other numbers of the same.
    pub(super) fn replace(&mut self, dice: &mut Dice) -> Option<Action> {
        let cart = self.crowd.any_cart(dice)?;
        // What best effort got is only known from its answer, which a replace would cover.
        if matches!(cart.reserve, Action::Reserve { least: Some(_), .. }) {
            return None;
        }
        let most = (self.crowd.scenario.stock / 3).max(1);
        let shared = cart.lines.first().is_some_and(|line| kind(line).is_shared());
        let mut lines = cart.lines.clone();
        lines.iter_mut().for_each(|line| line.units = dice.range(1, most));
        if shared && dice.percent(60) {
            let other = self.lines(dice).into_iter().filter(|line| kind(line).is_shared());
            lines = other.chain(lines.into_iter().take(1)).collect();
            lines.sort();
            lines.dedup_by(|one, other| one.sku == other.sku);
        }
        Some(Action::Replace { id: cart.id, operation: self.operation(), lines })
    }

    /// The same operation once more, whoever began it, maybe while it is on its way.
    pub(super) fn again(&mut self, dice: &mut Dice) -> Option<Action> {
        let thoughts = self.crowd.thoughts();
        let asked = &thoughts.asked;
        if asked.is_empty() { None } else { asked.get(dice.place(asked.len())).cloned() }
    }

    pub(super) fn dry_run(&mut self, dice: &mut Dice) -> Action {
        // Where the rules change there is most to be told.
        let ruled = if dice.percent(40) { any_of(Kind::Ruled, &self.crowd.scenario, dice) } else { None };
        let most = (self.crowd.scenario.stock / 3).max(1);
        let one = ruled.map(|sku| vec![Line { sku, units: dice.range(1, most) }]);
        let lines = one.unwrap_or_else(|| self.lines(dice));
        let owner = self.shopper(&lines, dice);
        Action::DryRun { lines, owner }
    }
}

fn kind(line: &Line) -> Kind {
    Kind::of_pool(&line.sku)
}

/// Some units of some lines of a cart, so many times of a hundred; else none, which means all.
pub(super) fn parts(cart: &Cart, dice: &mut Dice, percent: u64) -> Vec<Line> {
    if !dice.percent(percent) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    for line in &cart.lines {
        if parts.is_empty() || dice.percent(50) {
            parts.push(Line { sku: line.sku.clone(), units: dice.range(1, line.units) });
        }
    }
    parts
}
