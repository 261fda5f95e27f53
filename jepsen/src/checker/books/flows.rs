//! What came and went by name, and whether the pool has what is left of it.

use super::{sold::Reserved, sums};
use crate::history::{Action, Balance, End, History, Operation, Told};
use std::collections::BTreeMap;

/// Changes of one account: those that were done, and those of which nobody knows.
#[derive(Default)]
struct Flow {
    sure: i64,
    maybe: Vec<i64>,
    /// One of those that nobody knows may have changed it by any number.
    unclear: bool,
}

/// Changes of a pool's accounts but for those by reservations.
#[derive(Default)]
pub(super) struct Flows {
    on_hand: Flow,
    received: Flow,
    unavailable: Flow,
    in_transit: Flow,
    /// Something was done that may have left less there than was promised.
    pub(super) may_be_short: bool,
}

/// One change of one pool; none of a number that can't be told.
struct Change<'a> {
    pool: &'a str,
    account: Account,
    by: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    OnHand,
    Received,
    Unavailable,
    InTransit,
}

/// Adds up every change that has an id, each once.
pub(super) fn by_pool(history: &History) -> BTreeMap<&str, Flows> {
    // By the id of the change: how it ended for the one who knows best.
    let mut ends: BTreeMap<&str, &Operation> = BTreeMap::new();
    let mut pools: BTreeMap<&str, Flows> = BTreeMap::new();
    let mut destinations: BTreeMap<&str, &str> = BTreeMap::new();
    for operation in &history.operations {
        if let Action::Transfer { id, to, .. } = &operation.action {
            destinations.insert(id, to);
        }
        let Some(id) = operation.action.operation() else { continue };
        if operation.action.reservation().is_some() {
            continue;
        }
        match &operation.end {
            End::Done { .. } => drop(ends.insert(id, operation)),
            End::Unknown { .. } => drop(ends.entry(id).or_insert(operation)),
            End::Refused { .. } => {}
        }
    }
    for operation in ends.into_values() {
        for pool in operation.action.pools() {
            pools.entry(pool).or_default().may_be_short |= may_leave_short(&operation.action);
        }
        for change in changes(operation, &destinations) {
            let flows = pools.entry(change.pool).or_default();
            let flow = flows.account(change.account);
            match (change.by, operation.is_done()) {
                (Some(by), true) => flow.sure += by,
                (Some(by), false) => flow.maybe.push(by),
                (None, _) => flow.unclear = true,
            }
        }
    }
    pools
}

fn may_leave_short(action: &Action) -> bool {
    match action {
        Action::Adjust { delta, .. } => *delta < 0,
        Action::Set { .. } | Action::Count { .. } | Action::Quarantine { .. } => true,
        _ => false,
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

/// What an operation changes if it is done.
fn changes<'a>(operation: &'a Operation, destinations: &BTreeMap<&str, &'a str>) -> Vec<Change<'a>> {
    use Account::{InTransit, OnHand, Received, Unavailable};
    let change = |pool: &'a str, account, by: i64| Change { pool, account, by: Some(by) };
    // By how many units on hand changed is said by the answer.
    let told = match operation.told() {
        Some(Told::Corrected { delta, .. }) => Some(*delta),
        _ => None,
    };
    match &operation.action {
        Action::Receive { line, .. } | Action::ReceiveExpected { line, .. } => {
            let units = signed(line.units);
            vec![change(&line.sku, OnHand, units), change(&line.sku, Received, units)]
        }
        Action::Adjust { sku, delta, .. } => vec![change(sku, OnHand, *delta)],
        Action::Set { sku, .. } | Action::Count { sku, .. } => {
            vec![Change { pool: sku, account: OnHand, by: told }]
        }
        Action::Quarantine { line, .. } => vec![change(&line.sku, Unavailable, signed(line.units))],
        Action::Unquarantine { line, .. } => vec![change(&line.sku, Unavailable, -signed(line.units))],
        Action::WriteOff { line, .. } => vec![
            change(&line.sku, Unavailable, -signed(line.units)),
            Change { pool: &line.sku, account: OnHand, by: told },
        ],
        Action::Transfer { line, to, immediate, .. } => {
            let units = signed(line.units);
            let there = if *immediate { OnHand } else { InTransit };
            vec![change(&line.sku, OnHand, -units), change(to, there, units)]
        }
        Action::Arrive { transfer, received, lost, .. } => {
            let Some(to) = destinations.get(transfer.as_str()) else { return Vec::new() };
            vec![change(to, OnHand, signed(*received)), change(to, InTransit, -signed(received + lost))]
        }
        _ => Vec::new(),
    }
}

impl Flow {
    /// What it may come to.
    fn fits(&self, found: u64, more: std::ops::RangeInclusive<i64>) -> bool {
        let possible = sums(self.sure, self.maybe.iter().copied());
        let rest = |sum: &i64| signed(found) - sum;
        self.unclear || possible.iter().map(rest).any(|rest| more.contains(&rest))
    }
}

impl Flows {
    fn account(&mut self, account: Account) -> &mut Flow {
        match account {
            Account::OnHand => &mut self.on_hand,
            Account::Received => &mut self.received,
            Account::Unavailable => &mut self.unavailable,
            Account::InTransit => &mut self.in_transit,
        }
    }

    /// Compares what is there with what came and went, sales and what came back of them included.
    pub(super) fn problems(&self, told: &Balance, reserved: &Reserved) -> Vec<(&'static str, String)> {
        // Sold though it was not there, and of that, back without being there again.
        let beyond = reserved.sold.saturating_sub(told.sold);
        let never_there = if self.may_be_short { signed(beyond.min(reserved.back)) } else { 0 };
        let sales = signed(reserved.back) - signed(told.sold);
        let apart = signed(reserved.apart);
        let accounts = [
            ("on hand", &self.on_hand, told.on_hand, sales - never_there..=sales),
            ("received", &self.received, told.received, 0..=0),
            ("set apart", &self.unavailable, told.unavailable, apart - never_there.min(apart)..=apart),
            ("in transit", &self.in_transit, told.in_transit, 0..=0),
        ];
        let differs = accounts.into_iter().filter(|(_, flow, found, more)| !flow.fits(*found, more.clone()));
        let what = differs.map(|(name, flow, found, more)| {
            let found = format!(
                "{found} units are {name}: {} by what was done for sure, {:?} by what may have been, {more:?} by sales",
                flow.sure, flow.maybe
            );
            ("P2", found)
        });
        what.collect()
    }
}
