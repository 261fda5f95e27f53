//! Live reservations by owner, for reading. It is made of what is in memory anyway, and is never told, stored or
//! decided by. Whoever names no owner is not in it.

use super::Map;
use crate::{hashing, types::ReservationId};
use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Ids by the hash of their owner. Two owners of one hash share a list: whoever reads looks at the owner.
pub(crate) struct Owners {
    seed: u64,
    ids: Map<u64, Ids>,
}

/// Most owners have one hold, which needs no list. Others may have a million, and a page of them must not cost more for
/// it. Ids begin with their time, so a list grows at one end and shrinks at the other.
enum Ids {
    One(ReservationId),
    Many(BTreeSet<ReservationId>),
}

impl Default for Owners {
    fn default() -> Self {
        Self { seed: hashing::seed(), ids: Map::default() }
    }
}

impl Owners {
    fn hash(&self, owner: &[u8]) -> u64 {
        xxh3_64_with_seed(owner, self.seed)
    }

    pub(crate) fn add(&mut self, owner: &[u8], id: ReservationId) {
        if owner.is_empty() {
            return;
        }
        let hash = self.hash(owner);
        self.ids
            .entry(hash)
            .and_modify(|ids| match ids {
                Ids::One(first) => *ids = Ids::Many([*first, id].into_iter().collect()),
                Ids::Many(many) => drop(many.insert(id)),
            })
            .or_insert(Ids::One(id));
    }

    /// Something made of where that owner stands, or will.
    pub(crate) fn look(&self, owner: &[u8]) -> u64 {
        if owner.is_empty() { 0 } else { u64::from(self.ids.contains_key(&self.hash(owner))) }
    }

    pub(crate) fn remove(&mut self, owner: &[u8], id: ReservationId) {
        if owner.is_empty() {
            return;
        }
        let hash = self.hash(owner);
        let empty = match self.ids.get_mut(&hash) {
            Some(Ids::One(_)) => true,
            Some(Ids::Many(many)) => {
                many.remove(&id);
                many.is_empty()
            }
            None => false,
        };
        if empty {
            self.ids.remove(&hash);
        }
    }

    /// The ids after `after` of reservations that may be this owner's, in their order.
    pub(crate) fn of(&self, owner: &[u8], after: Option<ReservationId>) -> impl Iterator<Item = ReservationId> {
        let (one, many) = match self.ids.get(&self.hash(owner)) {
            Some(Ids::One(id)) => (Some(*id).filter(|id| after.is_none_or(|after| *id > after)), None),
            Some(Ids::Many(many)) => (None, Some(many.range((after.map_or(Unbounded, Excluded), Unbounded)))),
            None => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }

    /// How many there are, for checking.
    pub(crate) fn len(&self) -> usize {
        self.ids.values().map(|ids| if let Ids::Many(many) = ids { many.len() } else { 1 }).sum()
    }
}
