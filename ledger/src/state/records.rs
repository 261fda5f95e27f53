//! Records as they go to whoever stores them: thousands, one behind the other in one piece of memory.

use bytes::Bytes;
use std::fmt;

/// So many bytes in front of each key are free. A store that keeps several states puts there whose record it is.
pub const KEY_ROOM: usize = 8;

/// Keys and values of records, in the order they were added.
#[derive(Clone, Default)]
pub struct Records {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where its key begins, the room in front of it not counted.
    pub key: usize,
    /// Where its key ends and its value begins.
    pub value: usize,
    /// Where its value ends.
    pub end: usize,
}

impl Records {
    /// Makes room for so many records more, and for so many bytes of them.
    pub(crate) fn reserve(&mut self, records: usize, bytes: usize) {
        self.bytes.reserve(bytes + records * KEY_ROOM);
        self.places.reserve(records);
    }

    /// One more, whose key and value are written by `write`, which tells where the value begins.
    pub(crate) fn put(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) -> Place {
        self.bytes.extend_from_slice(&[0; KEY_ROOM]);
        let key = self.bytes.len();
        let value = write(&mut self.bytes);
        let place = Place { key, value, end: self.bytes.len() };
        self.places.push(place);
        place
    }

    /// Writes more of the last one's value. What lies from where `write` tells on.
    pub(crate) fn extend(&mut self, write: impl FnOnce(&mut Vec<u8>) -> usize) -> &[u8] {
        let start = write(&mut self.bytes);
        if let Some(last) = self.places.last_mut() {
            last.end = self.bytes.len();
        }
        &self.bytes[start..]
    }

    /// Keeps those for which `keep` says so, asked in order. The bytes of the others stay, and are nobody's.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut() -> bool) {
        self.places.retain(|_| keep());
    }

    /// Takes back the last one.
    pub(crate) fn take_back(&mut self) {
        if let Some(place) = self.places.pop() {
            self.bytes.truncate(place.key - KEY_ROOM);
        }
    }

    /// The record there, key and value in one piece, without its last few bytes.
    pub(crate) fn whole(&self, place: Place, left_out: usize) -> &[u8] {
        &self.bytes[place.key..place.end - left_out]
    }

    /// Key and value of the record there.
    pub fn at(&self, place: Place) -> (&[u8], &[u8]) {
        (&self.bytes[place.key..place.value], &self.bytes[place.value..place.end])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of all of them, with the room in front of their keys and what came and went between them.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|place| self.at(*place))
    }

    /// A copy of each, for whoever keeps them one by one.
    pub fn copies(&self) -> Vec<(Bytes, Bytes)> {
        self.iter().map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))).collect()
    }

    /// The memory they lie in, and where each is.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Place>) {
        (self.bytes, self.places)
    }
}

impl<K: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(K, V)> for Records {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(records: T) -> Self {
        let mut all = Self::default();
        for (key, value) in records {
            all.put(|bytes| {
                bytes.extend_from_slice(key.as_ref());
                let start = bytes.len();
                bytes.extend_from_slice(value.as_ref());
                start
            });
        }
        all
    }
}

impl PartialEq for Records {
    /// What is in the room in front of keys says nothing.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Records {}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
