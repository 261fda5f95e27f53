//! Ids of reservations and of other operations.
//!
//! A reservation id is 16 bytes, big-endian: 48 bits of Unix milliseconds, 14 bits of home bucket, 2 bits of kind, 64
//! random or hashed bits. In text it is 26 characters of Crockford base32 (the number, high digits first) and a check
//! character: the number modulo 37 in Crockford's check alphabet.

use super::{Bucket, TimeMs};
use std::{fmt, str::FromStr};

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHECKS: &[u8; 37] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";
const TEXT_DIGITS: usize = 26;

/// How the low bits of a reservation id were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// Carries the time it was made; the rest is random.
    Timed,
    /// Hash of a caller's idempotency key; carries no time.
    Hashed,
}

/// Names a reservation, the shard that keeps it, and when it was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReservationId(Halves);

/// 128 bits. One number of that size is aligned to 16 bytes, and leaves room unused wherever one stands among others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Halves {
    high: u64,
    low: u64,
}

impl Halves {
    fn of(number: u128) -> Self {
        Self { high: (number >> 64) as u64, low: number as u64 }
    }

    fn number(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

/// Why an id was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadId {
    /// Not 16 bytes, or not 26 characters and a check character.
    Length,
    /// A character outside Crockford's alphabet, or a number beyond 128 bits.
    Character,
    /// The check character does not fit: mistyped.
    Check,
    /// The two kind bits hold a value that is not in use.
    Kind,
}

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "must be 16 bytes, in text 26 characters and a check character",
            Self::Character => "has a character that no id has",
            Self::Check => "has a check character that does not fit: mistyped",
            Self::Kind => "has kind bits that are not in use",
        })
    }
}

impl std::error::Error for BadId {}

impl ReservationId {
    /// None sorts before it.
    pub(crate) const LEAST: Self = Self(Halves { high: 0, low: 0 });

    /// None sorts after it.
    pub(crate) const GREATEST: Self = Self(Halves { high: u64::MAX, low: u64::MAX });

    /// An id made at `time` that lives in `home`; `random` must be fresh randomness.
    pub fn timed(time: TimeMs, home: Bucket, random: u64) -> Self {
        Self::assemble(time.0, home, 0, random)
    }

    /// Which of the buckets of a cart's lines is to be its home: the first in an order that is the same for all carts made in
    /// the same ten minutes, and another one in the next. Carts that want the same units then meet at one home, where the
    /// first has them, instead of each holding what the other lacks; and over a day all buckets are homes alike.
    pub fn home_among(time: TimeMs, buckets: impl IntoIterator<Item = Bucket>) -> Option<Bucket> {
        const ORDER_KEPT_MS: u64 = 600_000;
        // The multiplier of splitmix64: every bit of the window moves the upper ones.
        let order = (time.0 / ORDER_KEPT_MS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50;
        buckets.into_iter().min_by_key(|bucket| u64::from(bucket.number()) ^ order)
    }

    /// An id derived from a caller's idempotency key.
    pub fn hashed(home: Bucket, hash: u64) -> Self {
        Self::assemble(0, home, 1, hash)
    }

    fn assemble(ms: u64, home: Bucket, kind: u8, low: u64) -> Self {
        let ms = u128::from(ms & ((1 << 48) - 1));
        Self(Halves::of(ms << 80 | u128::from(home.number()) << 66 | u128::from(kind) << 64 | u128::from(low)))
    }

    /// Reads 16 bytes, big-endian.
    ///
    /// # Errors
    /// [`BadId::Length`] or [`BadId::Kind`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadId> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| BadId::Length)?;
        Self::from_number(u128::from_be_bytes(bytes))
    }

    fn from_number(number: u128) -> Result<Self, BadId> {
        if number >> 64 & 0b11 > 1 {
            return Err(BadId::Kind);
        }
        Ok(Self(Halves::of(number)))
    }

    /// Its 16 bytes, big-endian: ids sort by the time they were made.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.number().to_be_bytes()
    }

    /// Both halves of its bytes as numbers: they sort as ids do, and are compared in two steps.
    pub(crate) fn halves(self) -> (u64, u64) {
        (self.0.high, self.0.low)
    }

    /// Puts the halves of an id together again.
    ///
    /// # Errors
    /// [`BadId::Kind`] if they are of none.
    pub(crate) fn from_halves((high, low): (u64, u64)) -> Result<Self, BadId> {
        Self::from_number(u128::from(high) << 64 | u128::from(low))
    }

    /// When it was made, by a server's clock; 0 for a hashed id.
    pub fn time(self) -> TimeMs {
        TimeMs(u64::try_from(self.0.number() >> 80).expect("48 bits"))
    }

    /// The bucket its reservation lives in.
    pub fn home(self) -> Bucket {
        let number = u16::try_from(self.0.number() >> 66 & 0x3fff).expect("14 bits");
        Bucket::new(number).expect("14 bits are below 16,384")
    }

    /// How it was made.
    pub fn kind(self) -> IdKind {
        if self.0.number() >> 64 & 0b11 == 0 { IdKind::Timed } else { IdKind::Hashed }
    }
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.number();
        for place in (0..TEXT_DIGITS).rev() {
            let digit = usize::try_from(number >> (5 * place) & 31).expect("5 bits");
            write!(f, "{}", char::from(DIGITS[digit]))?;
        }
        let check = usize::try_from(number % 37).expect("below 37");
        write!(f, "{}", char::from(CHECKS[check]))
    }
}

impl fmt::Debug for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ReservationId {
    type Err = BadId;

    /// Reads the text form. Lower case is accepted, and I, L, O are read as 1, 1, 0 as Crockford asks.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let text: Vec<u8> = text.bytes().map(|b| b.to_ascii_uppercase()).collect();
        if text.len() != TEXT_DIGITS + 1 {
            return Err(BadId::Length);
        }
        let (digits, check) = text.split_at(TEXT_DIGITS);
        let mut number: u128 = 0;
        for byte in digits {
            let byte = match byte {
                b'I' | b'L' => b'1',
                b'O' => b'0',
                other => *other,
            };
            let digit = DIGITS.iter().position(|d| *d == byte).ok_or(BadId::Character)?;
            // 26 digits hold 130 bits, an id 128: the first digit is 7 at most.
            if number >> 123 != 0 {
                return Err(BadId::Character);
            }
            number = number << 5 | u128::try_from(digit).expect("below 32");
        }
        let expected = CHECKS[usize::try_from(number % 37).expect("below 37")];
        if check[0] != expected {
            return Err(BadId::Check);
        }
        Self::from_number(number)
    }
}

/// Names any other mutation: a UUID, version 7, made by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(Halves);

impl OperationId {
    /// Reads 16 bytes, big-endian.
    ///
    /// # Errors
    /// [`BadId::Length`], or [`BadId::Kind`] if it is not a UUID of version 7.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadId> {
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| BadId::Length)?;
        if bytes[6] >> 4 != 7 || bytes[8] >> 6 != 0b10 {
            return Err(BadId::Kind);
        }
        Ok(Self(Halves::of(u128::from_be_bytes(bytes))))
    }

    /// Its 16 bytes, big-endian: ids sort by the time they were made.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.number().to_be_bytes()
    }

    /// When it was made: the first 48 bits (RFC 9562, section 5.7).
    pub fn time(self) -> TimeMs {
        TimeMs(u64::try_from(self.0.number() >> 80).expect("48 bits"))
    }

    /// Both halves of its bytes as numbers.
    pub(crate) fn halves(self) -> (u64, u64) {
        (self.0.high, self.0.low)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0.number());
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
