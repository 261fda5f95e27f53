//! Frames: how a log entry and a record stand on disk, and how an entry travels between peers. A frame begins with its
//! version and ends with a CRC-32C over everything before it.

use super::{error::StoreError, records::MembershipRecord};
use crate::shard::raft::{Entry, LogId, Payload};
use bytes::Bytes;
use openraft::EntryPayload;
use prost::Message;
use std::fmt;

/// Version of the whole folder: raised when an older program could not read it.
pub const FORMAT: u32 = 1;
/// Version of an entry frame.
const ENTRY: u8 = 1;
/// Version of a record frame.
const RECORD: u8 = 1;

const KIND_BLANK: u8 = 0;
const KIND_NORMAL: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// Version, kind, term, index.
const ENTRY_HEAD: usize = 1 + 1 + 8 + 8;
const CHECKSUM: usize = 4;

/// Bytes of an entry's frame beside its payload.
pub const ENTRY_OVERHEAD: usize = ENTRY_HEAD + CHECKSUM;

/// Appends the frame of an entry: version, kind, term, index, payload, checksum.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let start = out.len();
    let kind = match &entry.payload {
        EntryPayload::Blank => KIND_BLANK,
        EntryPayload::Normal(_) => KIND_NORMAL,
        EntryPayload::Membership(_) => KIND_MEMBERSHIP,
    };
    out.reserve(ENTRY_OVERHEAD + payload_bytes(entry));
    out.extend_from_slice(&[ENTRY, kind]);
    out.extend_from_slice(&entry.log_id.leader_id.term.to_be_bytes());
    out.extend_from_slice(&entry.log_id.index.to_be_bytes());
    match &entry.payload {
        EntryPayload::Blank => {}
        EntryPayload::Normal(payload) => out.extend_from_slice(&payload.0),
        EntryPayload::Membership(membership) => {
            MembershipRecord::from(membership).encode(out).expect("a Vec grows");
        }
    }
    close(start, out);
}

/// Reads the frame of an entry. The payload is a slice of `frame`, not a copy. `place` says where it was found.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn decode_entry(frame: &Bytes, place: impl fmt::Display) -> Result<Entry, StoreError> {
    let body = check(frame, ENTRY, &place)?;
    if body < ENTRY_HEAD {
        return Err(StoreError::corrupt(place, "too short for an entry"));
    }
    let term = number_64(&frame[2..10]);
    let index = number_64(&frame[10..18]);
    let payload = match frame[1] {
        KIND_BLANK => EntryPayload::Blank,
        KIND_NORMAL => EntryPayload::Normal(Payload(frame.slice(ENTRY_HEAD..body))),
        KIND_MEMBERSHIP => {
            let record = MembershipRecord::decode(&frame[ENTRY_HEAD..body]);
            let record = record.map_err(|error| StoreError::corrupt(&place, error))?;
            EntryPayload::Membership(record.try_into().map_err(|error| StoreError::corrupt(&place, error))?)
        }
        kind => return Err(StoreError::corrupt(place, format_args!("an entry of unknown kind {kind}"))),
    };
    Ok(Entry { log_id: LogId::new_term_index(term, index), payload })
}

/// About how much memory and disk an entry's payload takes.
pub fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(payload) => payload.0.len(),
        EntryPayload::Membership(membership) => MembershipRecord::from(membership).encoded_len(),
    }
}

/// Appends the frame of a record: version, message, checksum.
pub fn encode_record(message: &impl Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(RECORD);
    message.encode(out).expect("a Vec grows");
    close(start, out);
}

/// Reads the frame of a record. `place` says where it was found.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub fn decode_record<M: Message + Default>(frame: &[u8], place: impl fmt::Display) -> Result<M, StoreError> {
    let body = check(frame, RECORD, &place)?;
    M::decode(&frame[1..body]).map_err(|error| StoreError::corrupt(place, error))
}

fn close(start: usize, out: &mut Vec<u8>) {
    let checksum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// Checks checksum and version; answers where the checksum begins.
fn check(frame: &[u8], version: u8, place: impl fmt::Display) -> Result<usize, StoreError> {
    let Some(body) = frame.len().checked_sub(CHECKSUM).filter(|body| *body > 0) else {
        return Err(StoreError::corrupt(place, format_args!("{} bytes are no frame", frame.len())));
    };
    let (inner, checksum) = frame.split_at(body);
    if crc32c::crc32c(inner).to_be_bytes() != checksum {
        return Err(StoreError::corrupt(place, "its checksum does not fit"));
    }
    if inner[0] != version {
        return Err(StoreError::corrupt(place, format_args!("frame version {} is unknown", inner[0])));
    }
    Ok(body)
}

fn number_64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
