//! A state: some SKUs and reservations at one moment, and what becomes of holds by themselves.

use super::{ClockBound, Step, Undecidable};
use std::collections::{BTreeMap, BTreeSet};

/// More holds than this near their deadline at once are not told apart: the case is undecided.
const NEAR_MAX: usize = 10;
/// Some SKUs and reservations at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelf {
    /// On hand, by SKU; absent if it was never received.
    pub(super) on_hand: BTreeMap<u16, u64>,
    pub(super) holds: BTreeMap<u32, Hold>,
    /// Operations with an id of their own that were done.
    pub(super) done: BTreeSet<u32>,
    /// Reserves that were refused through the log: a repeat is told so again for a while, whatever is there by then.
    pub(super) refused: BTreeSet<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Hold {
    /// The deadline lies between these; they are equal once it was told.
    pub(super) deadline_ms: [u64; 2],
    pub(super) lines: Vec<Units>,
    /// A cart of several SKUs, whose shards may carry out a decision one after the other.
    pub(super) cart: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Units {
    pub(super) sku: u16,
    pub(super) held: u64,
    pub(super) committed: u64,
    pub(super) released: u64,
    pub(super) expired: u64,
    /// Of the released ones of a cart: nobody was told that its shards have carried that out. Until they have, the
    /// units can't be had, and who asks for them may be refused.
    pub(super) late: u64,
}
impl Shelf {
    /// This state with the holds over that must be over by then, and with and without those that may be.
    pub(super) fn aged(&self, step: &Step, bound: ClockBound) -> Result<Vec<Self>, Undecidable> {
        let mut state = self.clone();
        let mut near = Vec::new();
        for (id, hold) in &mut state.holds {
            if hold.lines.iter().all(|line| line.held == 0) {
                continue;
            }
            if step.invoked_ms >= hold.deadline_ms[1].saturating_add(bound.0) {
                hold.expire();
            } else if step.effect_ms_max.saturating_add(bound.0) >= hold.deadline_ms[0] && step.minds(*id, hold) {
                near.push(*id);
            }
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
                    state.holds.get_mut(&id).into_iter().for_each(Hold::expire);
                    state
                })
                .collect();
            states.extend(over);
        }
        Ok(states)
    }

    pub(super) fn held(&self, sku: u16) -> u64 {
        let lines = self.holds.values().flat_map(|hold| &hold.lines);
        lines.filter(|line| line.sku == sku).map(|line| line.held).sum()
    }

    pub(super) fn settle(&mut self, id: Option<u32>) {
        let hold = id.and_then(|id| self.holds.get_mut(&id));
        hold.into_iter().flat_map(|hold| &mut hold.lines).for_each(|line| line.late = 0);
    }

    pub(super) fn late(&self, sku: u16) -> u64 {
        let lines = self.holds.values().flat_map(|hold| &hold.lines);
        lines.filter(|line| line.sku == sku).map(|line| line.late).sum()
    }

    pub(super) fn available(&self, sku: u16) -> u64 {
        self.on_hand.get(&sku).copied().unwrap_or(0).saturating_sub(self.held(sku))
    }
}

impl Hold {
    pub(super) fn expire(&mut self) {
        for line in &mut self.lines {
            line.expired += line.held;
            line.held = 0;
        }
    }
}
