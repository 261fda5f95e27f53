//! The key of a pool in one piece.

use super::{pool_key_bytes, read_pool_key};
use crate::{
    codec::Corrupt,
    types::{PoolKey, PoolKind},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::fmt;

/// The key of a pool's record, without its kind. Most have no more bytes than lie in it, so that whoever looks at a pool has its
/// key at hand, and a copy is no more than that.
pub(crate) type PoolKeyBytes = SmallVec<[u8; 48]>;

/// Names a pool as [`PoolKey`] does, by the bytes of its record's key, in one piece.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolName(PoolKeyBytes);

/// The texts of a [`PoolName`], each of the alphabet and length that its type has in [`PoolKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolTexts<'a> {
    /// Tenant or brand.
    pub namespace: &'a [u8],
    /// Article.
    pub sku: &'a [u8],
    /// Shop or warehouse.
    pub location: &'a [u8],
    /// Kind of stock.
    pub kind: PoolKind,
    /// Lot; empty where lots are not used.
    pub lot: &'a [u8],
}

impl<'a> PoolTexts<'a> {
    /// Of the key of a pool, which was read before.
    pub(crate) fn of(key: &'a [u8]) -> Self {
        let text = |from: usize| (&key[from + 1..][..usize::from(key[from])], from + 1 + usize::from(key[from]));
        let (namespace, at) = text(0);
        let (sku, at) = text(at);
        let (location, at) = text(at);
        let kind = PoolKind::from_tag(key[at]).expect("was read before");
        let (lot, _) = text(at + 1);
        Self { namespace, sku, location, kind, lot }
    }
}

impl PoolName {
    /// Of bytes that are the key of a pool.
    pub(crate) fn checked(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Reads the key of a pool, without its kind of record.
    ///
    /// # Errors
    /// [`Corrupt`] if it is none.
    pub fn read(bytes: Bytes) -> Result<Self, Corrupt> {
        read_pool_key(bytes.clone()).map(|_| Self::checked(&bytes))
    }

    /// The key, each of its texts by itself.
    pub fn key(&self) -> PoolKey {
        read_pool_key(self.to_shared()).expect("was checked before it was made")
    }

    /// What it is made of.
    pub fn texts(&self) -> PoolTexts<'_> {
        PoolTexts::of(&self.0)
    }

    /// The key of the pool's record, without its kind.
    pub(crate) fn to_shared(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl From<&PoolKey> for PoolName {
    fn from(key: &PoolKey) -> Self {
        Self::checked(&pool_key_bytes(key))
    }
}

impl From<PoolKey> for PoolName {
    fn from(key: PoolKey) -> Self {
        Self::from(&key)
    }
}

impl fmt::Debug for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.key(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_key_it_was_made_of() {
        let key = PoolKey {
            namespace: "brand".parse().expect("one"),
            sku: "shoe".parse().expect("one"),
            location: "berlin".parse().expect("one"),
            kind: PoolKind::Incoming,
            lot: "l7".parse().expect("one"),
        };
        let name = PoolName::from(&key);
        assert_eq!(name.key(), key);
        let texts =
            PoolTexts { namespace: b"brand", sku: b"shoe", location: b"berlin", kind: PoolKind::Incoming, lot: b"l7" };
        assert_eq!(name.texts(), texts);
        assert_eq!(PoolName::read(name.to_shared()).expect("is one"), name);
        assert!(PoolName::read(name.to_shared().slice(1..)).is_err());
        let no_lot = PoolName::from(PoolKey { lot: "".parse().expect("one"), ..key });
        assert!(no_lot.texts().lot.is_empty());
    }
}
