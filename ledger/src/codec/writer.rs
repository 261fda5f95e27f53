//! Writes the fields of a protobuf message one after the other: the other half of [`reader`](super::reader). What is zero,
//! empty or false is not written, and takes no bytes.

use super::reader::{DELIMITED, FIXED_64, VARINT, key};
pub use prost::encoding::encoded_len_varint as varint_len;

/// How many bytes a field of bytes takes. Here and below: of a tag below 16.
pub fn bytes_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { delimited_len(bytes.len()) }
}

/// How many bytes a message within of that length takes, with its key and its length.
pub fn delimited_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// How many bytes a number takes.
pub fn number_len(number: u64) -> usize {
    if number == 0 { 0 } else { 1 + varint_len(number) }
}

/// How many bytes a flag takes.
pub fn flag_len(flag: bool) -> usize {
    if flag { 2 } else { 0 }
}

/// Writes the key of a field.
#[inline]
fn put_key(out: &mut Vec<u8>, tag: u8, wire: u8) {
    if tag < 16 {
        out.push(key(tag, wire));
    } else {
        out.extend_from_slice(&[key(tag & 15, wire) | 0x80, tag >> 4]);
    }
}

/// Writes a number without its key.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, number: u64) {
    if number < 0x80 { out.push(number as u8) } else { put_longer(out, number) }
}

/// Writes a number that takes several bytes.
fn put_longer(out: &mut Vec<u8>, mut number: u64) {
    if number >> 56 != 0 {
        while number >= 0x80 {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        return out.push(number as u8);
    }
    let len = varint_len(number);
    // Groups of seven bits become bytes: first the two halves of four groups move apart, then those of two, then of one.
    number = (number & 0x00ff_ffff_f000_0000) << 4 | number & 0x0fff_ffff;
    number = (number & 0x0fff_c000_0fff_c000) << 2 | number & 0x0000_3fff_0000_3fff;
    number = (number & 0x3f80_3f80_3f80_3f80) << 1 | number & 0x007f_007f_007f_007f;
    // All but the last byte say that more follow.
    let more = 0x8080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
    let bytes = (number | more).to_le_bytes();
    if out.capacity() - out.len() < bytes.len() {
        // What has exactly the room it needs does not grow for bytes that go again.
        return out.extend_from_slice(&bytes[..len]);
    }
    let end = out.len() + len;
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

/// Writes a key and a number.
#[inline]
fn put_keyed(out: &mut Vec<u8>, tag: u8, wire: u8, number: u64) {
    if tag < 16 && number < 0x80 {
        // As most are.
        return out.extend_from_slice(&[key(tag, wire), number as u8]);
    }
    put_key(out, tag, wire);
    put_varint(out, number);
}

/// Writes the key of a message within, and its length.
#[inline]
pub fn put_length(out: &mut Vec<u8>, tag: u8, length: usize) {
    put_keyed(out, tag, DELIMITED, length as u64);
}

/// Writes a field of bytes.
pub fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_length(out, tag, bytes.len());
        out.extend_from_slice(bytes);
    }
}

/// Writes a number.
pub fn put_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number > 0 {
        put_some_number(out, tag, Some(number));
    }
}

/// Writes a number that may be absent; zero is not.
pub fn put_some_number(out: &mut Vec<u8>, tag: u8, number: Option<u64>) {
    if let Some(number) = number {
        put_keyed(out, tag, VARINT, number);
    }
}

/// Writes a number that may be negative (`sint64`).
pub fn put_signed(out: &mut Vec<u8>, tag: u8, number: i64) {
    put_number(out, tag, (number << 1 ^ number >> 63) as u64);
}

/// Writes a flag.
pub fn put_flag(out: &mut Vec<u8>, tag: u8, flag: bool) {
    put_number(out, tag, flag.into());
}

/// Writes a number of eight bytes.
pub fn put_fixed(out: &mut Vec<u8>, tag: u8, number: u64) {
    if number > 0 {
        put_some_fixed(out, tag, Some(number));
    }
}

/// Writes a number of eight bytes that may be absent; zero is not.
pub fn put_some_fixed(out: &mut Vec<u8>, tag: u8, number: Option<u64>) {
    if let Some(number) = number {
        put_key(out, tag, FIXED_64);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::reader::Reader;
    use bytes::Bytes;

    #[test]
    fn numbers_are_written_as_protobuf_has_them() {
        let around = |bits: u32| [1 << bits, (1 << bits) - 1, (1_u64 << bits) + 1, u64::MAX >> bits];
        for number in (0..u64::BITS).flat_map(around).chain([0, 0x0123_4567_89ab_cdef, 0x00fe_dcba_9876_5432]) {
            let (mut ours, mut theirs) = (vec![7], vec![7]);
            put_varint(&mut ours, number);
            prost::encoding::encode_varint(number, &mut theirs);
            assert_eq!(ours, theirs, "{number:#x}");
            assert_eq!(varint_len(number), ours.len() - 1);
            let mut exact = Vec::with_capacity(varint_len(number));
            let room = exact.capacity();
            put_varint(&mut exact, number);
            assert!(exact == ours[1..] && exact.capacity() == room, "what has the room it needs is not moved");
            let bytes = Bytes::from(ours).slice(1..);
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.number(), reader.is_over()), (Some(number), true), "{number:#x}");
            let bytes = bytes.slice(..bytes.len() - 1);
            assert_eq!(Reader::new(&bytes).number(), None, "its last byte is missing");
        }
    }
}
