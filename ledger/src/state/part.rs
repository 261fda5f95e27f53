//! What a participant keeps of a cart whose home is another shard.

use super::{Due, Ledger, Mark, PoolRef};
use crate::{
    cart::{
        Number,
        message::{Chosen, Truth},
    },
    movement::Spot,
    outcome::Refusal,
    settings::Terms,
    types::{ReservationId, ShardId, TimeMs},
};
use std::collections::BTreeMap;

/// One reservation at a participant.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) home: ShardId,
    /// Of the last message obeyed.
    pub(crate) number: Number,
    pub(crate) owner: Box<[u8]>,
    pub(crate) lines: Vec<PartLine>,
    /// As home told; nothing ends by it here.
    pub(crate) deadline: TimeMs,
    /// Since when something is prepared and not decided.
    pub(crate) undecided: Option<TimeMs>,
    /// Why the prepare of `number` was refused: final for that number.
    pub(crate) refused: Option<Box<Refusal>>,
    /// Last movement here.
    pub(crate) last: Option<Spot>,
    pub(crate) mark: Mark,
}

/// One line there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartLine {
    pub(crate) pool: PoolRef,
    /// As home last told.
    pub(crate) truth: Truth,
    /// Units held on top of `truth.held`, undecided.
    pub(crate) extra: u32,
    /// Units shipped on top of `truth.after.shipped`, undecided.
    pub(crate) shipping: u32,
    /// What the prepare of this number was answered for the line.
    pub(crate) granted: Option<PartGranted>,
}

/// As [`Granted`](crate::cart::message::Granted), of a line that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartGranted {
    pub(crate) at: u32,
    pub(crate) units: u32,
    pub(crate) contended: bool,
    pub(crate) chosen: Option<Chosen>,
    pub(crate) terms: Terms,
}

impl PartLine {
    /// A line of which nothing is undecided.
    pub(crate) fn new(pool: PoolRef, truth: Truth) -> Self {
        Self { pool, truth, extra: 0, shipping: 0, granted: None }
    }

    /// Units it holds, undecided or not.
    pub(crate) fn held_in_all(&self) -> u64 {
        u64::from(self.truth.held) + u64::from(self.extra)
    }
}

impl Part {
    /// Whether nothing is held or undecided here: then it is needed only to know old messages by.
    pub(crate) fn idle(&self) -> bool {
        self.undecided.is_none() && self.lines.iter().all(|line| line.truth.held == 0)
    }
}

/// How many carts of each home hold units here, decided or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding(BTreeMap<ShardId, u64>);

impl Holding {
    pub(crate) fn add(&mut self, home: ShardId) {
        *self.0.entry(home).or_default() += 1;
    }

    pub(crate) fn take(&mut self, home: ShardId) {
        if let Some(carts) = self.0.get_mut(&home) {
            *carts -= 1;
            if *carts == 0 {
                self.0.remove(&home);
            }
        }
    }

    pub(crate) fn homes(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.0.keys().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Ledger {
    /// Prepares that are undecided since before `then`, oldest first: whoever leads this shard asks their homes.
    pub fn undecided_before(&self, then: TimeMs) -> impl Iterator<Item = (ReservationId, ShardId, Number)> + '_ {
        let old = self.undecided.iter().take_while(move |due| due.deadline() < then);
        old.filter_map(|due| {
            let part = self.parts.get(&due.id())?;
            Some((due.id(), part.home, part.number))
        })
    }

    /// How many prepares are undecided here, and since when the oldest is.
    pub fn in_doubt(&self) -> (usize, Option<TimeMs>) {
        (self.undecided.len(), self.undecided.first().map(|due| due.deadline()))
    }

    /// The floor that home last told.
    pub(crate) fn floor_of(&self, home: ShardId) -> Number {
        self.floors.get(&home).map_or(Number::default(), |(floor, _)| *floor)
    }

    /// Enters a part where it is to be found: its holds, and by its age.
    pub(crate) fn index_part(&mut self, id: ReservationId, part: &Part) {
        let due = Due::new(part.deadline, id);
        for line in &part.lines {
            let pool = self.stock.pool_mut(line.pool);
            pool.undecided += u64::from(line.extra);
            if line.truth.held > 0 {
                pool.add_told(due, u64::from(line.truth.held));
            }
        }
        if !part.idle() {
            self.holding.add(part.home);
        }
        if let Some(since) = part.undecided {
            self.undecided.insert(Due::new(since, id));
        }
        if part.idle() {
            self.idle_parts.insert((part.home, part.number, id.to_bytes()));
        }
    }
}
