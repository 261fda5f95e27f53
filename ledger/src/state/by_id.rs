//! A hash map by reservation id that grows a little at a time.
//!
//! Whatever one table holds is moved when it grows: with a million reservations for milliseconds, in which nobody is answered, and
//! into memory that nobody touched before. Here each of many small tables grows for itself.

use super::Map;
use crate::types::ReservationId;
use std::ops::Index;

/// So many tables.
const TABLES: usize = 64;

/// As a [`Map`]; its order is never seen either.
pub(crate) struct ById<V> {
    tables: [Map<ReservationId, V>; TABLES],
    len: usize,
}

impl<V> Default for ById<V> {
    fn default() -> Self {
        Self { tables: std::array::from_fn(|_| Map::default()), len: 0 }
    }
}

/// The lowest bits of an id are random. One who makes all ids with the same ones has them in one table, as large as all are.
fn table_of(id: &ReservationId) -> usize {
    usize::try_from(id.halves().1 % TABLES as u64).expect("below a length")
}

impl<V> ById<V> {
    fn table(&self, id: &ReservationId) -> &Map<ReservationId, V> {
        &self.tables[table_of(id)]
    }

    fn table_mut(&mut self, id: &ReservationId) -> &mut Map<ReservationId, V> {
        &mut self.tables[table_of(id)]
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn contains_key(&self, id: &ReservationId) -> bool {
        self.table(id).contains_key(id)
    }

    pub(crate) fn get(&self, id: &ReservationId) -> Option<&V> {
        self.table(id).get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &ReservationId) -> Option<&mut V> {
        self.table_mut(id).get_mut(id)
    }

    /// What was there before.
    pub(crate) fn insert(&mut self, id: ReservationId, value: V) -> Option<V> {
        let before = self.table_mut(&id).insert(id, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, id: &ReservationId) -> Option<V> {
        let removed = self.table_mut(id).remove(id);
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ReservationId, &V)> + Clone {
        self.tables.iter().flatten()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.tables.iter().flat_map(Map::values)
    }
}

impl<V> Index<&ReservationId> for ById<V> {
    type Output = V;

    fn index(&self, id: &ReservationId) -> &V {
        &self.table(id)[id]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Bucket;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map() {
        let home = Bucket::new(1).expect("below 16,384");
        let (mut ours, mut plain) = (ById::default(), BTreeMap::new());
        for n in 0..2_000_u64 {
            let id = ReservationId::hashed(home, n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54);
            assert_eq!(
                (ours.get(&id).copied(), ours.contains_key(&id)),
                (plain.get(&id).copied(), plain.contains_key(&id))
            );
            if n % 3 == 0 {
                assert_eq!(ours.remove(&id), plain.remove(&id));
            } else {
                assert_eq!(ours.insert(id, n), plain.insert(id, n));
                *ours.get_mut(&id).expect("is there") += 1;
                *plain.get_mut(&id).expect("is there") += 1;
                assert_eq!(ours[&id], n + 1);
            }
            assert_eq!(ours.len(), plain.len());
        }
        let mut all: Vec<_> = ours.iter().map(|(id, value)| (*id, *value)).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(plain.clone()));
        assert_eq!(ours.values().sum::<u64>(), plain.values().sum());
    }
}
