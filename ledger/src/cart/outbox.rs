//! Messages of this shard, as a home, that were not answered yet: the participants' rows of all its carts in one
//! order. A row goes only on the answer with its number (rule 3), so the first one is the floor (rule 5).

use super::Number;
use crate::types::{ReservationId, ShardId};
use std::collections::BTreeMap;

/// Open rows by participant and number. Derived from the carts' records: not stored itself.
#[derive(Default)]
pub(crate) struct Outbox {
    rows: BTreeMap<(ShardId, Number), ReservationId>,
}

impl Outbox {
    /// Notes a row. It replaces the cart's older one for that participant, which the caller removes.
    pub(crate) fn open(&mut self, participant: ShardId, number: Number, id: ReservationId) {
        self.rows.insert((participant, number), id);
    }

    /// Removes a row.
    pub(crate) fn close(&mut self, participant: ShardId, number: Number) {
        self.rows.remove(&(participant, number));
    }

    /// Open rows of one participant above `after`, in the order of their numbers.
    pub(crate) fn rows(
        &self,
        participant: ShardId,
        after: Number,
    ) -> impl Iterator<Item = (Number, ReservationId)> + '_ {
        let end = (participant, Number { epoch: u32::MAX, counter: u64::MAX });
        let above = (std::ops::Bound::Excluded((participant, after)), std::ops::Bound::Included(end));
        self.rows.range(above).map(|((_, number), id)| (*number, *id))
    }

    /// Participants that have an open row.
    pub(crate) fn participants(&self) -> Vec<ShardId> {
        let mut found = Vec::new();
        let mut after = None;
        while let Some(((shard, _), _)) = match after {
            None => self.rows.iter().next(),
            Some(shard) => self.rows.range((ShardId(shard + 1), Number::default())..).next(),
        } {
            found.push(*shard);
            let Some(_) = shard.0.checked_add(1) else { break };
            after = Some(shard.0);
        }
        found
    }

    /// The smallest number that participant has not answered; none if it answered all.
    pub(crate) fn first(&self, participant: ShardId) -> Option<Number> {
        self.rows(participant, Number::default()).next().map(|(number, _)| number)
    }

    /// How many rows are open.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
