//! Things by small numbers, cheap to copy and to tell apart: a search keeps a state for each operation it has put in order,
//! and a step changes one thing of hundreds. Pieces that were not changed are shared, and each is hashed once.

use foldhash::quality::FixedState;
use std::{
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, OnceLock},
};

/// Numbers of one piece.
const PIECE: usize = 32;

/// Things by number. Nothing is ever taken out.
#[derive(Clone, Debug)]
pub struct Numbered<T>(Vec<Arc<Piece<T>>>);

#[derive(Clone, Debug)]
struct Piece<T> {
    slots: Vec<Option<T>>,
    /// Of the slots, once somebody asked.
    hash: OnceLock<u64>,
}

impl<T> Default for Piece<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), hash: OnceLock::new() }
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

fn place(number: u32) -> (usize, usize) {
    let number = usize::try_from(number).expect("32 bits");
    (number / PIECE, number % PIECE)
}

impl<T> Numbered<T> {
    pub fn get(&self, number: u32) -> Option<&T> {
        let (piece, slot) = place(number);
        self.0.get(piece)?.slots.get(slot)?.as_ref()
    }

    pub fn contains(&self, number: u32) -> bool {
        self.get(number).is_some()
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0_u32..).zip(&self.0).flat_map(|(piece, found)| {
            let first = piece * u32::try_from(PIECE).expect("small");
            (first..).zip(&found.slots).filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
        })
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(|piece| piece.slots.iter().flatten())
    }
}

impl<T: Clone> Numbered<T> {
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (piece, slot) = place(number);
        let found = self.0.get_mut(piece)?;
        found.slots.get(slot)?.as_ref()?;
        let piece = Arc::make_mut(found);
        piece.hash.take();
        piece.slots[slot].as_mut()
    }

    /// False if there was one of that number, whose place the new one takes.
    pub fn insert(&mut self, number: u32, thing: T) -> bool {
        let (piece, slot) = place(number);
        if self.0.len() <= piece {
            self.0.resize_with(piece + 1, Arc::default);
        }
        let piece = Arc::make_mut(&mut self.0[piece]);
        piece.hash.take();
        if piece.slots.len() <= slot {
            piece.slots.resize_with(slot + 1, || None);
        }
        piece.slots[slot].replace(thing).is_none()
    }
}

impl<T: Eq> PartialEq for Numbered<T> {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other): (&Arc<Piece<T>>, &Arc<Piece<T>>)| Arc::ptr_eq(one, other) || one.slots == other.slots;
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

impl<T: Eq> Eq for Numbered<T> {}

impl<T: Hash> Hash for Numbered<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for piece in &self.0 {
            piece.hash.get_or_init(|| FixedState::default().hash_one(&piece.slots)).hash(state);
        }
        self.0.len().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(numbered: &Numbered<u8>) -> u64 {
        FixedState::default().hash_one(numbered)
    }

    #[test]
    fn a_copy_is_changed_alone_and_equal_again_once_it_holds_the_same() {
        let mut one = Numbered::default();
        assert!([3, 40, 41, 200].into_iter().all(|number| one.insert(number, 1)));
        let mut other = one.clone();
        assert_eq!((hash(&one), &one), (hash(&other), &other));
        *other.get_mut(41).expect("is there") = 2;
        assert!(one != other && hash(&one) != hash(&other));
        assert_eq!((one.get(41), other.get(41)), (Some(&1), Some(&2)));
        assert!(!one.insert(41, 2));
        assert_eq!((hash(&one), &one), (hash(&other), &other));
        assert!(one.insert(39, 9) && !other.contains(39) && other.get_mut(39).is_none());
        let all: Vec<_> = one.iter().map(|(number, thing)| (number, *thing)).collect();
        assert_eq!(all, [(3, 1), (39, 9), (40, 1), (41, 2), (200, 1)]);
        assert_eq!(one.values().count(), 5);
    }
}
