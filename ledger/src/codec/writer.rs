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
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes the key of a message within, and its length.
pub fn put_length(out: &mut Vec<u8>, tag: u8, length: usize) {
    put_key(out, tag, DELIMITED);
    put_varint(out, length as u64);
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
        put_key(out, tag, VARINT);
        put_varint(out, number);
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
