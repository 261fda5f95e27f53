//! Names and other short texts, each with its own type, alphabet and length.
//!
//! They are views of shared bytes: a clone costs a reference count. What is kept for long must be detached from the
//! message it was decoded from (`detached`), or a few bytes would keep the whole message alive.

use bytes::Bytes;
use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadText {
    /// It is empty where something is required.
    Empty,
    /// It has more bytes than allowed.
    TooLong {
        /// Bytes allowed.
        max: usize,
        /// Bytes given.
        got: usize,
    },
    /// It has a character outside its alphabet.
    Character,
    /// It is not UTF-8.
    NotUtf8,
}

impl fmt::Display for BadText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { max, got } => write!(f, "has {got} bytes, at most {max} are allowed"),
            Self::Character => f.write_str("has a character that is not allowed"),
            Self::NotUtf8 => f.write_str("is not UTF-8"),
        }
    }
}

impl std::error::Error for BadText {}

#[derive(Clone, Copy)]
enum Alphabet {
    /// Letters, digits, `.`, `_`, `-`.
    Name,
    /// UTF-8 without control characters.
    Printable,
}

fn check(bytes: &[u8], alphabet: Alphabet, min: usize, max: usize) -> Result<(), BadText> {
    if bytes.len() < min {
        return Err(BadText::Empty);
    }
    if bytes.len() > max {
        return Err(BadText::TooLong { max, got: bytes.len() });
    }
    // Nearly all texts are of these bytes alone, and each is checked wherever a message is read.
    let simple = match alphabet {
        Alphabet::Name => bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')),
        Alphabet::Printable => bytes.iter().all(|byte| (b' '..=b'~').contains(byte)),
    };
    if simple { Ok(()) } else { check_thoroughly(bytes, alphabet) }
}

#[cold]
fn check_thoroughly(bytes: &[u8], alphabet: Alphabet) -> Result<(), BadText> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadText::NotUtf8)?;
    match alphabet {
        Alphabet::Printable if !text.chars().any(char::is_control) => Ok(()),
        Alphabet::Printable | Alphabet::Name => Err(BadText::Character),
    }
}

/// Whether they are equal. Most texts that may be empty are, and of empty slices the C library is not asked: they point
/// nowhere, and on processors with AVX-512 `memcmp` reads from there under an empty mask, which takes 40 to 80 ns.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

/// Which comes first; the same holds.
fn order(one: &[u8], other: &[u8]) -> Ordering {
    if one.is_empty() || other.is_empty() { one.len().cmp(&other.len()) } else { one.cmp(other) }
}

/// A name or another short text, with its own alphabet and length.
pub trait Text {
    /// Whether it could be made of that.
    ///
    /// # Errors
    /// [`BadText`] says what is wrong.
    fn fits(text: &str) -> Result<(), BadText>;
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $alphabet:ident, $min:literal ..= $max:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Bytes);

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                same(&self.0, &other.0)
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                order(&self.0, &other.0)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl $name {
            /// The most bytes it may have.
            pub const BYTES_MAX: usize = $max;

            /// Checks length and alphabet.
            ///
            /// # Errors
            /// [`BadText`] says what is wrong.
            pub fn new(text: impl Into<Bytes>) -> Result<Self, BadText> {
                let bytes = text.into();
                check(&bytes, Alphabet::$alphabet, $min, $max)?;
                Ok(Self(bytes))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).expect("checked when it was made")
            }

            /// The text's bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The text's bytes, shared.
            pub fn to_shared(&self) -> Bytes {
                self.0.clone()
            }

            /// A copy of its own, which keeps no message alive.
            #[must_use]
            pub fn detached(&self) -> Self {
                Self(Bytes::copy_from_slice(&self.0))
            }

            /// Whether it has no character.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl Text for $name {
            fn fits(text: &str) -> Result<(), BadText> {
                check(text.as_bytes(), Alphabet::$alphabet, $min, $max)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadText;
            fn from_str(text: &str) -> Result<Self, BadText> {
                Self::new(Bytes::copy_from_slice(text.as_bytes()))
            }
        }
    };
}

macro_rules! optional_text {
    ($($name:ident),*) => {$(
        impl Default for $name {
            fn default() -> Self {
                Self(Bytes::new())
            }
        }
    )*};
}

text!(/// A tenant or brand; everything lies under one.
    Namespace, Name, 1..=32);
text!(/// What is sold: the shop's own article number.
    Sku, Printable, 1..=64);
text!(/// Where it lies: a shop or warehouse.
    Location, Name, 1..=32);
text!(/// A lot or batch of goods; empty where lots are not used.
    Lot, Name, 0..=32);
text!(/// For whom units are held. Opaque; not personal data.
    Owner, Printable, 0..=64);
text!(/// Who acts.
    Principal, Printable, 0..=64);
text!(/// The shopper's session.
    Session, Printable, 0..=64);
text!(/// The caller's own request id.
    RequestId, Printable, 0..=64);
text!(/// A delivery note or the like.
    Document, Printable, 0..=64);
text!(/// Why stock was changed by hand.
    Reason, Printable, 0..=256);
text!(/// W3C trace context: the value of the header `traceparent`.
    TraceParent, Printable, 0..=55);

optional_text!(Lot, Owner, Principal, Session, RequestId, Document, Reason, TraceParent);

impl Default for Namespace {
    /// The namespace meant when none is named.
    fn default() -> Self {
        Self(Bytes::from_static(b"default"))
    }
}
