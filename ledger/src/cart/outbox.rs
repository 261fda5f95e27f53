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
    /// How many rows a participant has.
    counts: BTreeMap<ShardId, usize>,
}

impl Outbox {
    /// Notes the row of a cart for a participant, if it is open. False if another cart has one of that number.
    #[must_use]
    pub(crate) fn open(&mut self, participant: &Participant, id: ReservationId) -> bool {
        if participant.row.is_none() {
            return true;
        }
        let new = self.rows.insert((participant.shard, participant.number), id).is_none();
        if new {
            *self.counts.entry(participant.shard).or_default() += 1;
        }
        self.oldest.insert((participant.shard, participant.oldest)) && new
    }

    /// Removes it again, as it was noted.
    pub(crate) fn close(&mut self, participant: &Participant) {
        if participant.row.is_none() {
            return;
        }
        self.oldest.remove(&(participant.shard, participant.oldest));
        if self.rows.remove(&(participant.shard, participant.number)).is_some()
            && let Some(count) = self.counts.get_mut(&participant.shard)
        {
            *count -= 1;
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

    /// Whether that row is open, and of that cart.
    pub(crate) fn is_open(&self, participant: ShardId, number: Number, id: ReservationId) -> bool {
        self.rows.get(&(participant, number)) == Some(&id)
    }

    /// How many rows are open to that participant.
    pub(crate) fn count(&self, participant: ShardId) -> usize {
        self.counts.get(&participant).copied().unwrap_or(0)
    }

    /// How many rows are open.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
