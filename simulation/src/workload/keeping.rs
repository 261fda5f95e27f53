//! What those do who keep the stock and its settings.

use super::{ASKED_AGAIN, BACK, Kind, Worker, kind, push};
use crate::{
    dice::Dice,
    recorder::{LOCATION, pool},
};
use earmark_jepsen::history::{Action, Line};

/// An announced receipt comes so much later, in milliseconds.
const COMES_IN_MS: u64 = 3_600_000;

impl Worker {
    /// A pool of which people count what is there.
    fn kept(&self, dice: &mut Dice) -> Option<String> {
        let sku = kind::any_of(Kind::Kept, &self.crowd.scenario, dice)?;
        Some(pool(&sku, if dice.percent(70) { LOCATION } else { BACK }))
    }

    /// What was on hand when somebody last looked.
    fn on_hand(&self, pool: &str) -> u64 {
        self.crowd.thoughts().books.get(pool).map_or(self.crowd.scenario.stock, |(_, on_hand)| *on_hand)
    }

    pub(super) fn receive(&mut self, dice: &mut Dice) -> Action {
        let line = Line { sku: self.sku(dice), units: dice.range(1, (self.crowd.scenario.stock / 2).max(1)) };
        self.unless_enough(line.sku.clone(), |worker| Action::Receive { id: worker.operation(), line })
    }

    /// More of a pool; where there is enough as it is, only a look whether that is still so.
    fn unless_enough(&mut self, sku: String, more: impl FnOnce(&mut Self) -> Action) -> Action {
        let scenario = &self.crowd.scenario;
        if scenario.scarce && self.on_hand(&sku) >= scenario.stock { Action::ReadStock { sku } } else { more(self) }
    }

    /// A correction by so many, or to a value.
    pub(super) fn correct(&mut self, dice: &mut Dice) -> Action {
        let pool = if dice.percent(70) { self.kept(dice) } else { None };
        let Some(sku) = pool else {
            // Only up: reality below the books is told of kept SKUs alone.
            let (sku, delta) = (self.sku(dice), i64::try_from(dice.range(1, 3)).expect("small"));
            let adjust =
                |worker: &mut Self| Action::Adjust { id: worker.operation(), sku: sku.clone(), delta, expected: None };
            return self.unless_enough(sku.clone(), adjust);
        };
        let id = self.operation();
        let on_hand = self.on_hand(&sku);
        let expected = dice.percent(30).then_some(on_hand);
        if dice.percent(40) {
            return Action::Set { id, sku, units: near(on_hand, dice), expected };
        }
        let delta = i64::try_from(dice.range(1, 3)).expect("small") * if dice.percent(60) { -1 } else { 1 };
        Action::Adjust { id, sku, delta, expected }
    }

    /// Of now, or of the moment at which somebody last looked.
    pub(super) fn count(&mut self, dice: &mut Dice) -> Option<Action> {
        let (sku, id) = (self.kept(dice)?, self.operation());
        let known = self.crowd.thoughts().books.get(&sku).copied();
        let seen = known.filter(|_| dice.percent(50));
        let was = seen.map_or_else(|| self.on_hand(&sku), |(_, on_hand)| on_hand);
        // Now and then much is missing, and more was promised.
        let units = if dice.percent(15) { dice.range(0, 1) } else { near(was, dice) };
        Some(Action::Count { id, sku, units, seen })
    }

    pub(super) fn set_apart(&mut self, dice: &mut Dice) -> Option<Action> {
        let (sku, id) = (self.kept(dice)?, self.operation());
        let line = Line { sku, units: dice.range(1, 3) };
        Some(match dice.range(0, 3) {
            0 | 1 => Action::Quarantine { id, line },
            2 => Action::Unquarantine { id, line },
            _ => Action::WriteOff { id, line },
        })
    }

    pub(super) fn transfer(&mut self, dice: &mut Dice) -> Option<Action> {
        let sku = kind::any_of(Kind::Kept, &self.crowd.scenario, dice)?;
        let (here, there) = (pool(&sku, LOCATION), pool(&sku, BACK));
        let (from, to) = if dice.percent(60) { (here, there) } else { (there, here) };
        let line = Line { sku: from, units: dice.range(1, 4) };
        Some(Action::Transfer { id: self.operation(), line, to, immediate: dice.percent(25) })
    }

    pub(super) fn arrive(&mut self, dice: &mut Dice) -> Option<Action> {
        let (transfer, sku, units) = {
            let thoughts = self.crowd.thoughts();
            let under_way = &thoughts.transfers;
            if under_way.is_empty() { return None } else { under_way.get(dice.place(under_way.len())).cloned()? }
        };
        let lost = if dice.percent(20) { 1 } else { 0 };
        let received = dice.range(1, units) - lost;
        let received = if received == 0 && lost == 0 { 1 } else { received };
        Some(Action::Arrive { id: self.operation(), transfer, sku, received, lost })
    }

    /// A receipt is announced, announced otherwise, or comes.
    pub(super) fn expect(&mut self, dice: &mut Dice) -> Option<Action> {
        let id = self.operation();
        let known = {
            let thoughts = self.crowd.thoughts();
            let announced = &thoughts.announced;
            if announced.is_empty() { None } else { announced.get(dice.place(announced.len())).cloned() }
        };
        let date_ms = self.client.server_time().0 + COMES_IN_MS;
        if let Some((line, document)) = known
            && dice.percent(60)
        {
            let units = dice.range(0, line.units);
            let line = Line { units, ..line };
            let comes = units > 0 && dice.percent(70);
            return Some(if comes {
                Action::ReceiveExpected { id, line, document }
            } else {
                Action::Expect { id, line, document, date_ms }
            });
        }
        let line = Line { sku: self.kept(dice)?, units: dice.range(1, 6) };
        let mut thoughts = self.crowd.thoughts();
        thoughts.documents += 1;
        let document = format!("note-{}", thoughts.documents);
        push(&mut thoughts.announced, (line.clone(), document.clone()), ASKED_AGAIN);
        Some(Action::Expect { id, line, document, date_ms })
    }

    pub(super) fn configure(&mut self, dice: &mut Dice) -> Option<Action> {
        let sku = kind::any_of(Kind::Ruled, &self.crowd.scenario, dice)?;
        if dice.percent(40) {
            return Some(Action::ReadSettings { sku });
        }
        let version = self.crowd.thoughts().versions.get(&sku).copied().unwrap_or(1);
        let settings = kind::next_settings(self.crowd.scenario.stock, dice);
        Some(Action::Configure { id: self.operation(), sku, version, settings })
    }
}

/// A little less, the same, or a little more.
fn near(units: u64, dice: &mut Dice) -> u64 {
    (units + dice.range(0, 3)).saturating_sub(2)
}
