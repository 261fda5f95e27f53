//! Records that left memory: which may be on disk only, giving them back, and letting them go.
//!
//! What is in memory never changes an outcome. So that a node can't forget to look on disk, `apply` stops if a command
//! names a record that may be cold and was neither given nor told to be absent.

use super::{Ledger, Mark, stop};
use crate::{
    cart::message::Message,
    codec::{Corrupt, record},
    command::{Batch, Body},
    limits::HOT_WINDOW,
    records::{self, ENDED, OPERATION, RecordKey},
    state::{EndedBy, Operation},
    types::{IdKind, OperationId, ReservationId, TimeMs},
};
use bytes::Bytes;
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

/// What is known of records that are not in memory. Of this process only: nothing of it is told or stored.
#[derive(Default)]
pub(crate) struct Cold {
    /// Records whose id is older than this may have left memory; none has whose id is not. 0: none has.
    pub(crate) horizon: TimeMs,
    /// Keys that were looked up on disk and not found, or whose records are about to be deleted there.
    pub(crate) absent: BTreeSet<RecordKey>,
    /// Ended reservations and operations in memory, oldest id first. May name some that are gone.
    pub(crate) ended: BinaryHeap<Reverse<ReservationId>>,
    pub(crate) operations: BinaryHeap<Reverse<OperationId>>,
}

impl Cold {
    fn may_have_left(&self, id_time: TimeMs) -> bool {
        id_time < self.horizon
    }

    fn reservation_may_have_left(&self, id: ReservationId) -> bool {
        match id.kind() {
            IdKind::Timed => self.may_have_left(id.time()),
            IdKind::Hashed => self.horizon > TimeMs(0),
        }
    }
}

/// After millions came and went, their room is not kept for the thousands there are otherwise.
fn give_back<T: Ord>(list: &mut BinaryHeap<T>) {
    if list.capacity() / 8 > list.len() + 1_024 {
        list.shrink_to(2 * list.len());
    }
}

impl Ledger {
    /// Keys of records that the batch names and that may be on disk only. The node reads them and gives each to
    /// [`warm`](Self::warm), found or not, before it applies the batch, and does not [`evict`](Self::evict) between.
    pub fn cold_keys(&self, batch: &Batch) -> Vec<RecordKey> {
        let mut keys = Vec::new();
        for command in &batch.commands {
            match &command.body {
                Body::Reserve(reserve) => self.note_reservation(&mut keys, reserve.id),
                Body::Commit(commit) => {
                    self.note_reservation(&mut keys, commit.id);
                    if let Some(id) = commit.named() {
                        self.note_operation(&mut keys, id);
                    }
                }
                Body::Release(release) => {
                    self.note_reservation(&mut keys, release.id);
                    if let (Some(id), false) = (release.operation, release.parts.is_empty()) {
                        self.note_operation(&mut keys, id);
                    }
                }
                Body::Extend(extend) => {
                    self.note_reservation(&mut keys, extend.id);
                    self.note_operation(&mut keys, extend.operation);
                }
                Body::Receive(receive) => self.note_operation(&mut keys, receive.operation),
                Body::Adjust(adjust) => self.note_operation(&mut keys, adjust.operation),
                Body::Forget(forget) => {
                    forget.reservations.iter().for_each(|id| self.note_reservation(&mut keys, *id));
                    forget.operations.iter().for_each(|id| self.note_operation(&mut keys, *id));
                }
                Body::Cart(Message::Ask(ask)) => self.note_reservation(&mut keys, ask.id),
                // All other messages are about what is open, and that is in memory.
                Body::Meta(_) | Body::Cart(_) => {}
                Body::Stockkeeping(asked) => self.note_operation(&mut keys, asked.operation()),
                Body::Replace(replace) => {
                    self.note_reservation(&mut keys, replace.id);
                    self.note_operation(&mut keys, replace.operation);
                }
                Body::MarkPaying(paying) => {
                    self.note_reservation(&mut keys, paying.id);
                    self.note_operation(&mut keys, paying.operation);
                }
                Body::Ship(ship) => {
                    self.note_reservation(&mut keys, ship.id);
                    self.note_operation(&mut keys, ship.operation);
                }
                Body::Cancel(cancel) => {
                    self.note_reservation(&mut keys, cancel.id);
                    self.note_operation(&mut keys, cancel.operation);
                }
                Body::Return(back) => {
                    self.note_reservation(&mut keys, back.id);
                    self.note_operation(&mut keys, back.operation);
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn note_reservation(&self, keys: &mut Vec<RecordKey>, id: ReservationId) {
        if let Some(key) = self.cold_reservation_key(id) {
            keys.push(key);
        }
    }

    fn note_operation(&self, keys: &mut Vec<RecordKey>, id: OperationId) {
        if let Some(key) = self.cold_operation_key(id) {
            keys.push(key);
        }
    }

    /// The key under which that reservation may be on disk, if it may.
    pub(crate) fn cold_reservation_key(&self, id: ReservationId) -> Option<RecordKey> {
        if !self.cold.reservation_may_have_left(id) || self.reservations.contains_key(&id) {
            return None;
        }
        Some(RecordKey::ended(id)).filter(|key| !self.known_absent(key))
    }

    pub(crate) fn cold_operation_key(&self, id: OperationId) -> Option<RecordKey> {
        if !self.cold.may_have_left(id.time()) || self.operations.contains_key(&id) {
            return None;
        }
        Some(RecordKey::operation(id)).filter(|key| !self.known_absent(key))
    }

    /// Whether there is no such record, whatever is still found on disk.
    fn known_absent(&self, key: &RecordKey) -> bool {
        self.cold.absent.contains(key) || self.dirty.awaits_delete(key)
    }

    /// Gives back a record that was read from the store; none if it is not there. What is in memory is newer and stays
    /// as it is.
    ///
    /// # Errors
    /// [`Corrupt`] if the record can't be read, or is of a kind that is never cold.
    pub fn warm(&mut self, key: &RecordKey, value: Option<&[u8]>) -> Result<(), Corrupt> {
        let Some(value) = value else {
            self.cold.absent.insert(RecordKey(Bytes::copy_from_slice(key.as_bytes())));
            return Ok(());
        };
        if self.known_absent(key) {
            return Ok(());
        }
        match key.as_bytes().first() {
            Some(&ENDED) => {
                let id = records::reservation_id(key.as_bytes())?;
                if self.reservations.contains_key(&id) {
                    return Ok(());
                }
                let message = record::decode_reservation(Bytes::copy_from_slice(value))?;
                if EndedBy::from_tag(message.ended_by).is_none() {
                    return Err(Corrupt::new("reservation record", "is live, but stands among the ended"));
                }
                self.insert_reservation(id, message, Mark::stored(key.as_bytes(), value), None)
            }
            Some(&OPERATION) => {
                let id = records::operation_id(key.as_bytes())?;
                if self.operations.contains_key(&id) {
                    return Ok(());
                }
                let (fingerprint, outcome) = record::decode_operation(value)?;
                let mark = Mark::stored(key.as_bytes(), value);
                self.insert_operation(id, Operation { fingerprint, outcome, mark });
                Ok(())
            }
            _ => Err(Corrupt::new("record key", "is of a kind that is never cold")),
        }
    }

    /// Lets go of ended reservations and remembered operations that are old and not dirty. To be called once all
    /// changes taken so far are on disk and can be read from there.
    pub fn evict(&mut self) {
        self.cold.absent.clear();
        self.cold.horizon = self.cold.horizon.max(self.header.clock.minus(HOT_WINDOW));
        let mut kept = Vec::new();
        while let Some(Reverse(id)) = self.cold.ended.peek().copied() {
            if !self.cold.reservation_may_have_left(id) {
                break;
            }
            self.cold.ended.pop();
            match self.reservations.get(&id) {
                // A hashed id can be reserved anew once it was forgotten: then it is listed again when it ends.
                Some(found) if found.ended.is_none() || found.passing() => {}
                Some(found) if found.mark.dirty => kept.push(Reverse(id)),
                Some(_) => drop(self.reservations.remove(&id)),
                None => {}
            }
        }
        self.cold.ended.extend(kept);
        let mut kept = Vec::new();
        while let Some(Reverse(id)) = self.cold.operations.peek().copied() {
            if !self.cold.may_have_left(id.time()) {
                break;
            }
            self.cold.operations.pop();
            match self.operations.get(&id) {
                Some(found) if found.mark.dirty => kept.push(Reverse(id)),
                Some(_) => drop(self.operations.remove(&id)),
                None => {}
            }
        }
        self.cold.operations.extend(kept);
        give_back(&mut self.cold.ended);
        give_back(&mut self.cold.operations);
    }

    /// Stops the shard if that reservation may be on disk and nobody looked.
    pub(crate) fn must_know_reservation(&self, id: ReservationId) {
        if self.cold_reservation_key(id).is_some() {
            stop(format_args!("reservation {id} may be cold and was not looked up"));
        }
    }

    /// Stops the shard if that operation may be on disk and nobody looked.
    pub(crate) fn must_know_operation(&self, id: OperationId) {
        if self.cold_operation_key(id).is_some() {
            stop(format_args!("operation {id} may be cold and was not looked up"));
        }
    }
}
