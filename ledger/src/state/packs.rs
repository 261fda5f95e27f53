//! Holds that are stored together.
//!
//! What a store does for a record it does whether the record is long or short, and most records are new holds: stored one by one they cost
//! more than applying them. So new holds go into *packs*, many in one record, as soon as they are made. A hold that changes leaves its
//! pack, and has a record of its own; which ones have left stands in a second record. Once all have, both records are deleted.
//!
//! A pack of which one hold is left stays as long as that one, an hour at most: what is held for longer has a record of its own.
//! Packs are of one replica. Another has taken its checkpoints at other moments, and has others with the same holds.

use super::{Map, Records, load::twice};
use crate::{
    codec::{Corrupt, record},
    records::{ID_KEY_BYTES, PACK, PACK_LEFT, pack_key, reservation_id},
    types::ReservationId,
};
use std::num::NonZeroU32;

/// So many holds at most are in a pack: as many as there are bits to say which have left.
pub(crate) const PACK_MAX: usize = u128::BITS as usize;

/// Where a hold is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed {
    /// Counted from 1.
    pack: NonZeroU32,
    place: u8,
}

/// A pack in this process.
#[derive(Clone, Copy)]
pub(crate) struct PackRef(NonZeroU32);

impl PackRef {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The place of one of its holds.
    pub(crate) fn place(self, at: usize) -> Packed {
        Packed { pack: self.0, place: u8::try_from(at).expect("fewer than 256 are in a pack") }
    }
}

/// The holds of a pack that have left it, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left(pub(crate) u128);

impl Left {
    /// Whether the hold of that place has left.
    pub(crate) fn has(self, place: usize) -> bool {
        place < PACK_MAX && self.0 >> place & 1 == 1
    }
}

struct Pack {
    number: u64,
    holds: u8,
    left: Left,
    /// Some left since the last checkpoint.
    changed: bool,
    /// There is a record of those that left.
    told: bool,
    /// It is not in the store yet.
    new: bool,
}

impl Pack {
    fn is_over(&self) -> bool {
        self.left.0.count_ones() == u32::from(self.holds)
    }
}

/// All packs of a state.
#[derive(Default)]
pub(crate) struct Packs {
    packs: Vec<Pack>,
    free: Vec<PackRef>,
    /// All numbers in the store are below.
    next: u64,
    changed: Vec<PackRef>,
    /// Those made since the last checkpoint. The last is written to until it is full.
    made: Vec<PackRef>,
    /// Their records.
    records: Records,
}

/// From here on numbers are nobody's: a million packs a second need three hundred thousand years.
const NUMBER_END: u64 = 1 << 63;

/// What a checkpoint does with a pack.
pub(crate) enum PackChange {
    /// Of the pack of that number these have left.
    Left(u64, Left),
    /// All have, and the record with that key is no more.
    Delete([u8; 9]),
}

/// What a record of those that left takes in a checkpoint, about.
const LEFT_BYTES: usize = 36;

impl Packs {
    /// Stores one more hold, whose key and record are written by `write`: where it is, and what was written.
    pub(crate) fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> (Packed, &[u8]) {
        let open = self.made.last().filter(|at| usize::from(self.packs[at.index()].holds) < PACK_MAX);
        let at = open.copied().unwrap_or_else(|| self.begin());
        let holds = &mut self.packs[at.index()].holds;
        *holds += 1;
        (at.place(usize::from(*holds) - 1), self.records.extend(|bytes| record::put_packed(bytes, write)))
    }

    fn begin(&mut self) -> PackRef {
        let number = self.next;
        self.next += 1;
        let pack = Pack { number, holds: 0, left: Left::default(), changed: false, told: false, new: true };
        let at = self.insert(pack);
        self.records.put(|bytes| {
            bytes.extend_from_slice(&pack_key(PACK, number));
            let value = bytes.len();
            record::begin_pack(bytes);
            value
        });
        self.made.push(at);
        at
    }

    fn insert(&mut self, pack: Pack) -> PackRef {
        match self.free.pop() {
            Some(at) => {
                self.packs[at.index()] = pack;
                at
            }
            None => {
                self.packs.push(pack);
                let at = u32::try_from(self.packs.len()).ok().and_then(NonZeroU32::new);
                PackRef(at.expect("fewer than 2^32 packs fit in memory"))
            }
        }
    }

    /// A hold is no longer what its pack says.
    pub(crate) fn leave(&mut self, packed: Packed) {
        let at = PackRef(packed.pack);
        let pack = &mut self.packs[at.index()];
        pack.left.0 |= 1 << packed.place;
        if !pack.changed {
            pack.changed = true;
            self.changed.push(at);
        }
    }

    /// How many bytes the next [`take_changes`](Self::take_changes) will have, about.
    pub(crate) fn dirty_bytes(&self) -> usize {
        self.records.bytes() + self.changed.len() * LEFT_BYTES
    }

    /// Whose packs were made since the last checkpoint and are nearly empty already: those had better have records of their own.
    pub(crate) fn lonely(&self) -> Result<Vec<ReservationId>, Corrupt> {
        let mut ids = Vec::new();
        for (at, (_, value)) in self.made.iter().zip(self.records.iter()) {
            let pack = &self.packs[at.index()];
            let (left, holds) = (pack.left.0.count_ones(), u32::from(pack.holds));
            if left < holds && left * 4 >= holds * 3 {
                let holds = record::decode_pack(value)?;
                for (_, hold) in holds.iter().enumerate().filter(|(at, _)| !pack.left.has(*at)) {
                    ids.push(reservation_id(&hold[..ID_KEY_BYTES])?);
                }
            }
        }
        Ok(ids)
    }

    /// The packs made since the last call of which holds are left. To be followed by [`take_changes`](Self::take_changes).
    pub(crate) fn take_records(&mut self) -> Records {
        let (mut records, mut made) = (std::mem::take(&mut self.records), self.made.drain(..));
        records.retain(|| {
            let pack = made.next().map(|at| &mut self.packs[at.index()]).filter(|pack| !pack.is_over());
            pack.map(|pack| pack.new = false).is_some()
        });
        records
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&mut self, mut take: impl FnMut(PackChange)) {
        for at in std::mem::take(&mut self.changed) {
            let pack = &mut self.packs[at.index()];
            if !pack.is_over() {
                take(PackChange::Left(pack.number, pack.left));
                (pack.changed, pack.told) = (false, true);
                continue;
            }
            if pack.told {
                take(PackChange::Delete(pack_key(PACK_LEFT, pack.number)));
            }
            if !pack.new {
                take(PackChange::Delete(pack_key(PACK, pack.number)));
            }
            self.free.push(at);
        }
    }
}

/// What is known of packs while a state is loaded.
#[derive(Default)]
pub(crate) struct LoadingPacks {
    /// By number, of packs that did not come yet.
    left: Map<u64, Left>,
}

impl LoadingPacks {
    /// The record of those that left a pack: it comes before that of the pack, as their keys do.
    pub(crate) fn left(&mut self, number: u64, left: Left) -> Result<(), Corrupt> {
        match self.left.insert(number, left) {
            Some(_) => Err(twice()),
            None => Ok(()),
        }
    }

    /// A pack of so many holds: where it is from now on, and which of them have left it.
    pub(crate) fn pack(&mut self, packs: &mut Packs, number: u64, holds: usize) -> Result<(PackRef, Left), Corrupt> {
        let all = match holds {
            1..PACK_MAX => (1 << holds) - 1,
            PACK_MAX => u128::MAX,
            _ => return Err(Corrupt::new("pack record", format_args!("has {holds} holds"))),
        };
        let left = self.left.remove(&number);
        if left.is_some_and(|Left(left)| left == 0 || left & !all != 0 || left == all) {
            return Err(Corrupt::new("pack record", "does not hold those that are said to have left it"));
        }
        if number >= NUMBER_END {
            return Err(Corrupt::new("pack record", "has a number that is never reached"));
        }
        packs.next = packs.next.max(number + 1);
        let (told, left) = (left.is_some(), left.unwrap_or_default());
        let holds = u8::try_from(holds).expect("at most as many as may be");
        let pack = Pack { number, holds, left, changed: false, told, new: false };
        Ok((packs.insert(pack), left))
    }

    /// Whether all packs came of which some have left.
    pub(crate) fn complete(&self) -> bool {
        self.left.is_empty()
    }
}
