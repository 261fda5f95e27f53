//! Records of packs: many holds in one, and which of them have left it.

use crate::{
    codec::{
        Corrupt, FRAME_VERSION,
        pool::{halves, whole},
        put_frame,
        reader::{DELIMITED, key},
        unframe,
    },
    records::{ID_KEY_BYTES, POOL_KEY_BYTES_MAX},
    state::{Left, PACKED_LINES_MAX},
    types::Owner,
};
use bytes::Bytes;

/// Each hold is the key of its record, [`ID_KEY_BYTES`], and behind it the record, as both would be stored by themselves.
#[derive(Clone, PartialEq, prost::Message)]
struct PackMsg {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    holds: Vec<Bytes>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct PackLeftMsg {
    #[prost(fixed64, tag = "1")]
    high: u64,
    #[prost(fixed64, tag = "2")]
    low: u64,
}

/// Bytes of a length in a pack. It is known only once the hold is written, so it always takes as many as the longest needs: protobuf
/// allows a number to be written longer than it has to be.
const LENGTH_BYTES: usize = 2;

/// More than a packed hold can have: its lines, and what it has beside them.
const HOLD_BYTES_MAX: usize = PACKED_LINES_MAX * (POOL_KEY_BYTES_MAX + 128) + Owner::BYTES_MAX + 512;
const _: () = assert!(HOLD_BYTES_MAX < 1 << (7 * LENGTH_BYTES));

/// Begins a pack's record.
pub(crate) fn begin_pack(out: &mut Vec<u8>) {
    out.push(FRAME_VERSION);
}

/// Writes one more hold, key and record in one piece by `write`, and tells where it begins.
pub(crate) fn put_packed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    out.push(key(1, DELIMITED));
    let length = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let start = out.len();
    write(out);
    let mut rest = out.len() - start;
    for (at, byte) in out[length..start].iter_mut().enumerate() {
        let more = if at + 1 < LENGTH_BYTES { 0x80 } else { 0 };
        *byte = (rest & 0x7f) as u8 | more;
        rest >>= 7;
    }
    start
}

/// The holds of a pack's record, each its key and its record in one piece.
pub(crate) fn decode_pack(value: &[u8]) -> Result<Vec<Bytes>, Corrupt> {
    let message: PackMsg = unframe("pack record", Bytes::copy_from_slice(value))?;
    if message.holds.iter().any(|hold| hold.len() <= ID_KEY_BYTES) {
        return Err(Corrupt::new("pack record", "has a hold without a record"));
    }
    Ok(message.holds)
}

pub(crate) fn put_pack_left(out: &mut Vec<u8>, left: Left) {
    let (high, low) = halves(left.0.to_be_bytes());
    put_frame(out, &PackLeftMsg { high, low });
}

pub(crate) fn decode_pack_left(value: &[u8]) -> Result<Left, Corrupt> {
    let PackLeftMsg { high, low } = unframe("record of a pack", Bytes::copy_from_slice(value))?;
    Ok(Left(u128::from_be_bytes(whole(high, low))))
}
