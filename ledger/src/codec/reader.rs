//! Reads the fields of a protobuf message one after the other, without a message to put them into: for what is read
//! thousands of times a second. Whatever is not written as expected is none, and left to messages, which also tell what is
//! wrong with it.

use bytes::Bytes;

/// How a value is written: <https://protobuf.dev/programming-guides/encoding/#structure>
pub const VARINT: u8 = 0;
/// Eight bytes.
pub const FIXED_64: u8 = 1;
/// A length, and so many bytes.
pub const DELIMITED: u8 = 2;

/// The first byte of a field whose tag is below 16.
pub const fn key(tag: u8, wire: u8) -> u8 {
    tag << 3 | wire
}

/// Where it is in a message.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// What the message came in.
    whole: &'a Bytes,
    /// What of it is not read yet.
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the beginning of a message.
    pub fn new(bytes: &'a Bytes) -> Self {
        Self { whole: bytes, rest: bytes }
    }

    /// Whether all is read.
    pub fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is not read yet, shared with the message.
    pub fn shared(self) -> Bytes {
        self.whole.slice_ref(self.rest)
    }

    /// The key of the next field, as one byte; none at the end. A key of several bytes is none that is known.
    #[inline]
    pub fn key(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// A number of up to 64 bits.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        match self.key()? {
            byte @ ..0x80 => Some(byte.into()),
            byte => self.longer(byte),
        }
    }

    /// A number of several bytes, after the first.
    fn longer(&mut self, first: u8) -> Option<u64> {
        let mut number = u64::from(first & 0x7f);
        for shift in (7..70).step_by(7) {
            let byte = self.key()?;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Yes or no.
    pub fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// A number of eight bytes.
    pub fn fixed(&mut self) -> Option<u64> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*bytes))
    }

    /// The bytes of the next field.
    #[inline]
    fn delimited(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    /// The bytes of the next field, shared with the message.
    pub fn text(&mut self) -> Option<Bytes> {
        self.inner().map(Self::shared)
    }

    /// The message within the next field.
    #[inline]
    pub fn inner(&mut self) -> Option<Self> {
        self.delimited().map(|rest| Self { whole: self.whole, rest })
    }

    /// How many fields have that key, from here to the end.
    pub fn count(mut self, counted: u8) -> Option<usize> {
        let mut count = 0;
        while let Some(field) = self.key() {
            match field & 7 {
                VARINT => self.number().map(drop)?,
                DELIMITED => self.delimited().map(drop)?,
                _ => return None,
            }
            count += usize::from(field == counted);
        }
        Some(count)
    }
}
