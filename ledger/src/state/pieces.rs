//! A list that grows without moving what is in it.
//!
//! A vector that is full is copied to a place twice as large: with a million pools all callers would wait a third of a second for
//! that, and up to half of the place would be of no use.

use std::{
    ops::{Index, IndexMut},
    slice,
};

/// Elements of a piece. Some hundred kilobytes of pools.
const PIECE: usize = 1 << 11;

/// A place in such a list, as a type of its own. Of this process only: never told or stored, for another replica may have another.
/// Counted from 1, so that none of them takes no room.
macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) struct $name(std::num::NonZeroU32);

        impl $name {
            pub(crate) fn index(self) -> usize {
                self.0.get() as usize - 1
            }

            pub(crate) fn at(index: usize) -> Self {
                let number = u32::try_from(index + 1).ok().and_then(std::num::NonZeroU32::new);
                Self(number.expect("fewer than 2^32 of them fit in memory"))
            }
        }
    };
}
pub(crate) use place;

pub(crate) struct Pieces<T> {
    /// All but the last are full. The first grows as a vector does: most shops have no more.
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T> Pieces<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, value: T) {
        if self.len.is_multiple_of(PIECE) {
            self.pieces.push(Vec::with_capacity(if self.len == 0 { 0 } else { PIECE }));
        }
        self.pieces.last_mut().expect("there is one with room").push(value);
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.into_iter()
    }
}

impl<T> Index<usize> for Pieces<T> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.pieces[at / PIECE][at % PIECE]
    }
}

impl<T> IndexMut<usize> for Pieces<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pieces[at / PIECE][at % PIECE]
    }
}

impl<'a, T> IntoIterator for &'a Pieces<T> {
    type Item = &'a T;
    type IntoIter = std::iter::Flatten<slice::Iter<'a, Vec<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_where_it_was_put_and_stays_there() {
        let mut pieces = Pieces::default();
        assert_eq!((pieces.len(), pieces.iter().next()), (0, None));
        let mut places = Vec::new();
        for number in 0..3 * PIECE + 1 {
            pieces.push(number);
            assert_eq!((pieces.len(), pieces[number]), (number + 1, number));
            if number >= PIECE {
                places.push(&raw const pieces[number]);
            }
        }
        assert!(places.iter().zip(PIECE..).all(|(place, at)| *place == &raw const pieces[at]));
        pieces[PIECE] += 7;
        assert!(pieces.iter().eq(&pieces) && pieces.iter().sum::<usize>() == 7 + (0..3 * PIECE + 1).sum::<usize>());
    }
}
