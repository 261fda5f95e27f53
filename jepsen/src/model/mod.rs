//! What a shelf does, as a client understands it: naive, small, and written apart from the ledger.
//!
//! A state has some pools and the reservations that touch them. An operation with its answer is a step from one state to the
//! states it may lead to: none if no correct ledger could have answered so. Holds end by themselves, and when exactly
//! nobody is told; so a hold whose deadline is near may be over or not, and a step may lead to several states.

mod act;
mod builder;
mod numbered;
mod shelf;
mod take;
#[cfg(test)]
mod tests;

pub use shelf::Shelf;

use crate::history::History;
use act::{Act, Judged, Reserve};
use builder::Builder;
use foldhash::quality::FixedState;
use shelf::Hold;
use std::{collections::BTreeSet, hash::BuildHasher};

/// By how much the servers' clock may differ from the true time of a history, in milliseconds. Whoever records a
/// history knows how wrong its clocks are; with right clocks it is `limits.clock_bound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockBound(pub u64);

/// States that may be told apart at a time. Answers rule most of them out again.
const STATES_MAX: usize = 512;

/// An operation as a case sees it: numbers instead of names, and only what the case is about.
#[derive(Clone, Debug)]
pub struct Step {
    /// Place in the history.
    pub place: usize,
    /// When it was sent.
    pub invoked_ns: u64,
    /// When its end was known; none if it never was.
    pub ended_ns: Option<u64>,
    invoked_ms: u64,
    effect_ms_max: u64,
    act: Act,
    end: Judged,
    /// The answer says that every shard of this reservation has carried out what was decided.
    settled: Option<u32>,
}

/// Operations that have to be explained by one order.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its pools, by name.
    pub skus: Vec<String>,
    /// In the order in which they were sent.
    pub steps: Vec<Step>,
    bound: ClockBound,
}

/// A case can't be decided by this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecidable;

impl Case {
    /// The part of a history that touches these pools. All pools of a SKU have to be among them, or none.
    pub fn new(history: &History, skus: &BTreeSet<String>, bound: ClockBound) -> Self {
        Builder::new(history, skus, bound).build()
    }

    /// The state before anything happened.
    pub fn first(&self) -> Vec<Shelf> {
        vec![Shelf::default()]
    }

    /// Where a step may lead from any of these states; empty if it can't have happened there. `left` says how many states
    /// may still be looked at.
    ///
    /// # Errors
    /// [`Undecidable`] if too many holds are near their deadline, if that would be too much work, or if what an operation
    /// did can't be told.
    pub fn step(&self, states: &[Shelf], step: &Step, left: &mut usize) -> Result<Vec<Shelf>, Undecidable> {
        let mut next = Vec::new();
        for state in states {
            for mut aged in state.aged(step, self.bound)? {
                *left = left.checked_sub(1).ok_or(Undecidable)?;
                if aged.take(step, self.bound)? {
                    aged.settle(step.settled);
                    next.push(aged);
                }
            }
        }
        if next.len() > 1 {
            // In an order that depends on the states alone, and each once.
            next.sort_by_cached_key(|state| FixedState::default().hash_one(state));
            next.dedup();
        }
        if next.len() > STATES_MAX { Err(Undecidable) } else { Ok(next) }
    }
}

impl Step {
    /// Whether it makes a difference to the step that this hold is over. Where it makes none, that is left open.
    fn minds(&self, id: u32, hold: &Hold) -> bool {
        let on = |sku: u16| hold.lines.iter().any(|line| line.sku == sku);
        let on_any = |parts: &act::Parts| parts.iter().any(|(sku, _)| on(*sku));
        let shown = match &self.end {
            Judged::Balances(seen) => seen.iter().any(|(sku, _)| on(*sku)),
            Judged::Corrected { seen, .. } => seen.iter().any(|(sku, _)| on(*sku)),
            _ => false,
        };
        match &self.act {
            Act::Reserve(Reserve { id: other, asked, .. }) => *other != id && on_any(asked),
            Act::Replace { id: other, lines, .. } => *other == id || on_any(lines),
            Act::Commit { id: other, revive, .. } => *other == id || revive.iter().flatten().any(|sku| on(*sku)),
            Act::DryRun { lines, .. } => on_any(lines),
            Act::Transfer { from, .. } => on(*from) || shown,
            Act::Release { id: other, .. }
            | Act::Extend { id: other, .. }
            | Act::MarkPaying { id: other, .. }
            | Act::After { id: other, .. }
            | Act::ReadReservation { id: other } => *other == id,
            _ => shown,
        }
    }
}
