//! Bytes of everything that is kept or sent: a version byte, then a protobuf message.
//!
//! Every field added later is optional, and no tag is used twice. What holds the bytes (log, wire) has its own
//! checksum. Decoding never panics, whatever the bytes are.

mod cart;
mod command;
mod direct;
mod outcome;
mod part;
pub(crate) mod pool;
pub mod reader;
pub(crate) mod record;
mod sale;
mod settings;
mod stockkeeping;
mod told;
pub mod writer;

use bytes::Bytes;
use prost::Message;
use std::fmt;

pub use command::{decode_batch, decode_command, encode_batch, encode_command};
pub use outcome::{decode_outcome, encode_outcome};
pub(crate) use stockkeeping::put_stockkeeping;

/// Version of every frame this build writes.
pub(crate) const FRAME_VERSION: u8 = 1;

/// Bytes that can't be what they should be: damaged, or written by a newer build. Stop using them and say where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What was being read.
    pub what: &'static str,
    /// What is wrong with it, for people.
    pub problem: String,
}

impl Corrupt {
    pub(crate) fn new(what: &'static str, problem: impl fmt::Display) -> Self {
        Self { what, problem: problem.to_string() }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} can't be read: {}", self.what, self.problem)
    }
}

impl std::error::Error for Corrupt {}

pub(crate) fn put_frame(out: &mut Vec<u8>, message: &impl Message) {
    out.push(FRAME_VERSION);
    message.encode(out).expect("a vector grows as needed");
}

pub(crate) fn frame(message: &impl Message) -> Bytes {
    let mut out = Vec::with_capacity(1 + message.encoded_len());
    put_frame(&mut out, message);
    Bytes::from(out)
}

pub(crate) fn unframe<M: Message + Default>(what: &'static str, mut bytes: Bytes) -> Result<M, Corrupt> {
    match bytes.first() {
        None => return Err(Corrupt::new(what, "is empty")),
        Some(&FRAME_VERSION) => {}
        Some(other) => return Err(Corrupt::new(what, format_args!("has version {other}, not known to this build"))),
    }
    bytes::Buf::advance(&mut bytes, 1);
    M::decode(bytes).map_err(|bad| Corrupt::new(what, bad))
}
