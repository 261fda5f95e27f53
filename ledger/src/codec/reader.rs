//! Reads the fields of a protobuf message one after the other, without a message to put them into: for what is read
//! thousands of times a second. Whatever is not written as expected is none, and left to messages, which also tell what is
//! wrong with it.

use bytes::Bytes;
use std::ops::Range;

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
    bytes: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a message.
    pub fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0, end: bytes.len() }
    }

    /// At the beginning of a part of it. A part that is not there is empty.
    pub fn within(bytes: &'a Bytes, part: Range<usize>) -> Self {
        let end = part.end.min(bytes.len());
        Self { bytes, at: part.start.min(end), end }
    }

    /// Whether all is read.
    pub fn is_over(&self) -> bool {
        self.at >= self.end
    }

    /// The key of the next field, as one byte; none at the end. A key of several bytes is none that is known.
    pub fn key(&mut self) -> Option<u8> {
        (self.at < self.end).then(|| {
            self.at += 1;
            self.bytes[self.at - 1]
        })
    }

    /// A number of up to 64 bits.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
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
        let end = self.at.checked_add(8).filter(|end| *end <= self.end)?;
        let half = u64::from_le_bytes(self.bytes[self.at..end].try_into().ok()?);
        self.at = end;
        Some(half)
    }

    /// Where the bytes of the next field are.
    pub fn range(&mut self) -> Option<Range<usize>> {
        let length = usize::try_from(self.number()?).ok()?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.end)?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    /// The bytes of the next field, shared with the message.
    pub fn text(&mut self) -> Option<Bytes> {
        Some(self.bytes.slice(self.range()?))
    }

    /// The message within the next field.
    pub fn inner(&mut self) -> Option<Self> {
        let range = self.range()?;
        Some(Self { bytes: self.bytes, at: range.start, end: range.end })
    }

    /// How many fields have that key, from here to the end.
    pub fn count(mut self, counted: u8) -> Option<usize> {
        let mut count = 0;
        while let Some(field) = self.key() {
            match field & 7 {
                VARINT => self.number().map(drop)?,
                DELIMITED => self.range().map(drop)?,
                _ => return None,
            }
            count += usize::from(field == counted);
        }
        Some(count)
    }
}
