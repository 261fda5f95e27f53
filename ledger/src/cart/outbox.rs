//! Messages of this shard, as a home, that were not answered yet: the participants' rows of all its carts in one
//! order. A row goes only on the answer with its number (rule 3).
//!
//! The floor (rule 5) is the oldest number that was not answered, also if a newer message replaced its row since: the
//! participant may have obeyed it, and must not forget that while home does not know.

use super::Number;
use crate::{
    state::Participant,
    types::{ReservationId, ShardId},
};
use std::collections::{BTreeMap, BTreeSet};

/// Open rows by participant and number. Derived from the carts' records: not stored itself.
#[derive(Default)]
pub(crate) struct Outbox {
    rows: BTreeMap<(ShardId, Number), ReservationId>,
    /// For each row the oldest number since the cart's last answer from there.
    oldest: BTreeSet<(ShardId, Number)>,
}

impl Outbox {
    /// Notes the row of a cart for a participant, if it is open.
    pub(crate) fn open(&mut self, participant: &Participant, id: ReservationId) {
        if participant.row.is_some() {
            self.rows.insert((participant.shard, participant.number), id);
            self.oldest.insert((participant.shard, participant.oldest));
        }
    }

    /// Removes it again, as it was noted.
    pub(crate) fn close(&mut self, participant: &Participant) {
        if participant.row.is_some() {
            self.rows.remove(&(participant.shard, participant.number));
            self.oldest.remove(&(participant.shard, participant.oldest));
        }
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
    pub(crate) fn oldest(&self, participant: ShardId) -> Option<Number> {
        let from = (participant, Number::default());
        self.oldest.range(from..).next().filter(|(shard, _)| *shard == participant).map(|(_, number)| *number)
    }

    /// How many rows are open.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
