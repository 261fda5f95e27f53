//! A state: some pools and reservations at one moment, and what becomes of holds by themselves.

use super::{ClockBound, Step, Undecidable, act::Seen, numbered::Numbered};
use crate::history::Settings;
use std::collections::BTreeMap;

/// More holds than this near their deadline at once are not told apart: the case is undecided.
const NEAR_MAX: usize = 10;

/// Some pools and reservations at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shelf {
    /// Absent if nothing was ever received or sent there.
    pub(super) pools: BTreeMap<u16, Pool>,
    pub(super) holds: Numbered<Hold>,
    /// Settings of each pool's SKU and their version; absent if nothing was ever set.
    pub(super) rules: BTreeMap<u16, (u64, Settings)>,
    /// Under way: to which pool, and how many.
    pub(super) transfers: BTreeMap<u32, (u16, u64)>,
    /// Announced, by pool and document.
    pub(super) announced: BTreeMap<(u16, u32), u64>,
    /// Operations with an id of their own that were done.
    pub(super) done: Numbered<()>,
    /// Reserves that were refused through the log: a repeat is told so again for a while, whatever is there by then.
    pub(super) refused_reserves: Numbered<()>,
    /// The same of operations.
    pub(super) refused_operations: Numbered<()>,
}

/// Of a reserve or of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Id {
    Reservation(u32),
    Operation(u32),
}

/// What follows from no reservation. What a pool is short of follows from all the rest: whatever is promised or set apart
/// beyond what is on hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pool {
    pub(super) on_hand: u64,
    pub(super) unavailable: u64,
    /// Sold though it was not there, and never back: what comes back of sales is these units first.
    pub(super) sold_short: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Hold {
    /// The deadline lies between these; they are equal once it was told.
    pub(super) deadline_ms: [u64; 2],
    pub(super) lines: Vec<Units>,
    /// A cart of several SKUs, whose shards may carry out a decision one after the other.
    pub(super) cart: bool,
    pub(super) owner: u32,
    /// How much of its deadline is grace, once it was moved by one.
    pub(super) grace_ms: Option<u64>,
    /// Sold units of a cart that came back, of which nobody was told that its shards have carried that out. Until they have,
    /// who asks for them may be refused.
    pub(super) late: BTreeMap<u16, u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Units {
    pub(super) sku: u16,
    pub(super) held: u64,
    pub(super) committed: u64,
    pub(super) released: u64,
    pub(super) expired: u64,
    pub(super) shipped: u64,
    pub(super) cancelled: u64,
    pub(super) returned: u64,
    pub(super) apart: u64,
    /// They leave the books when they are shipped.
    pub(super) on_ship: bool,
    /// The sale can be taken back, where units leave the books on commit.
    pub(super) cancel: bool,
}

impl Units {
    /// Sold, and still to be shipped.
    pub(super) fn unshipped(&self) -> u64 {
        if self.on_ship { self.committed - self.shipped - self.cancelled } else { 0 }
    }

    /// What can be taken back.
    pub(super) fn cancellable(&self) -> u64 {
        if self.on_ship { self.unshipped() } else { self.committed - self.cancelled - self.returned - self.apart }
    }

    /// What can come back.
    pub(super) fn returnable(&self) -> u64 {
        let out = if self.on_ship { self.shipped } else { self.committed - self.cancelled };
        out - self.returned - self.apart
    }

    /// What counts for its owner's limit.
    fn counted(&self) -> u64 {
        self.held + self.committed - self.cancelled - self.returned - self.apart
    }
}

impl Shelf {
    /// This state with the holds over that must be over by then, and with and without those that may be.
    pub(super) fn aged(&self, step: &Step, bound: ClockBound) -> Result<Vec<Self>, Undecidable> {
        let mut state = self.clone();
        let (mut near, mut over) = (Vec::new(), Vec::new());
        for (id, hold) in self.holds.iter().filter(|(_, hold)| hold.lines.iter().any(|line| line.held > 0)) {
            if step.invoked_ms >= hold.deadline_ms[1].saturating_add(bound.0) {
                over.push(id);
            } else if step.effect_ms_max.saturating_add(bound.0) >= hold.deadline_ms[0] && step.minds(id, hold) {
                near.push(id);
            }
        }
        for id in over {
            state.hold_mut(id).into_iter().for_each(Hold::expire);
        }
        if near.len() > NEAR_MAX {
            return Err(Undecidable);
        }
        let mut states = vec![state];
        for id in near {
            let over: Vec<Self> = states
                .iter()
                .cloned()
                .map(|mut state| {
                    state.hold_mut(id).into_iter().for_each(Hold::expire);
                    state
                })
                .collect();
            states.extend(over);
        }
        Ok(states)
    }

    pub(super) fn hold_mut(&mut self, id: u32) -> Option<&mut Hold> {
        self.holds.get_mut(id)
    }

    pub(super) fn settle(&mut self, id: Option<u32>) {
        let late = |id: &u32| self.holds.get(*id).is_some_and(|hold| !hold.late.is_empty());
        if let Some(hold) = id.filter(late).and_then(|id| self.hold_mut(id)) {
            hold.late.clear();
        }
    }

    fn sum(&self, sku: u16, of: impl Fn(&Units) -> u64) -> u64 {
        let lines = self.holds.values().flat_map(|hold| &hold.lines);
        lines.filter(|line| line.sku == sku).map(of).sum()
    }

    pub(super) fn held(&self, sku: u16) -> u64 {
        self.sum(sku, |line| line.held)
    }

    pub(super) fn late(&self, sku: u16) -> u64 {
        self.holds.values().filter_map(|hold| hold.late.get(&sku)).sum()
    }

    pub(super) fn pool(&self, sku: u16) -> Pool {
        self.pools.get(&sku).copied().unwrap_or_default()
    }

    pub(super) fn available(&self, sku: u16) -> u64 {
        let pool = self.pool(sku);
        pool.on_hand.saturating_sub(self.held(sku) + self.sum(sku, Units::unshipped) + pool.unavailable)
    }

    /// What shoppers can have.
    pub(super) fn sellable(&self, sku: u16) -> u64 {
        self.available(sku).saturating_sub(self.settings(sku).safety_stock)
    }

    pub(super) fn settings(&self, sku: u16) -> Settings {
        self.rules.get(&sku).map(|(_, settings)| settings.clone()).unwrap_or_default()
    }

    /// What an owner holds and bought of a pool, but for one reservation.
    pub(super) fn used(&self, sku: u16, owner: u32, but: u32) -> u64 {
        let others = self.holds.iter().filter(|(id, hold)| *id != but && hold.owner == owner);
        others.flat_map(|(_, hold)| &hold.lines).filter(|line| line.sku == sku).map(Units::counted).sum()
    }

    /// What a balance of a pool shows; none if it was never stocked.
    pub(super) fn seen(&self, sku: u16) -> Option<Seen> {
        let pool = self.pools.get(&sku)?;
        Some(Seen {
            on_hand: pool.on_hand,
            held: self.held(sku),
            committed: self.sum(sku, Units::unshipped),
            unavailable: pool.unavailable,
            in_transit: self.transfers.values().filter(|(to, _)| *to == sku).map(|(_, left)| left).sum(),
            expected: self.announced.iter().filter(|((at, _), _)| *at == sku).map(|(_, units)| units).sum(),
        })
    }
}

impl Hold {
    fn expire(&mut self) {
        for line in &mut self.lines {
            line.expired += line.held;
            line.held = 0;
        }
    }

    /// What was sold is free at home, and elsewhere once its shard has heard of it: before a refusal homes are asked about
    /// what is held, not about what is sold.
    pub(super) fn takes_back(&mut self, sku: u16, units: u64) {
        if self.cart && units > 0 {
            *self.late.entry(sku).or_default() += units;
        }
    }
}
