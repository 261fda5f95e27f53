//! One id, one effect: what an id was used for, looked up before anything else is judged.
//!
//! A reserve is remembered by its reservation, any other operation by a record of its own, a refusal that went through
//! the log by a record that lasts until no sending of it can take effect any more. A whole commit or release that is done
//! needs no memory of its own: the reservation tells whether its end was reached.

use crate::{
    codec::{decode_outcome, encode_outcome},
    command::{Body, Command, Count, Line, Meta, Observed, Part, Stockkeeping},
    limits::CLOCK_BOUND,
    outcome::{Done, Outcome, Pending, Refusal, ReservationState, Verdict},
    planted::{self, Bug},
    records::RecordKey,
    records::put_pool_key,
    state::{EndedBy, Intent, Ledger, Mark, Operation, Refused, Reservation, RoundKind, stop},
    types::{Location, OperationId, Quantity, ReservationId, TimeMs},
};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// Hash of what is asked, without who asks, which sending it is, and until when. A time to live that the policy chose
/// is not part of it either.
pub(crate) fn fingerprint(body: &Body) -> u64 {
    fingerprint_in(&mut Vec::with_capacity(128), body)
}

/// The same, put together in `out`, whose content is lost.
pub(crate) fn fingerprint_in(out: &mut Vec<u8>, body: &Body) -> u64 {
    out.clear();
    match body {
        Body::Reserve(reserve) => {
            out.push(1);
            out.extend_from_slice(&reserve.id.to_bytes());
            put_text(out, reserve.namespace.as_bytes());
            put_text(out, reserve.owner.as_bytes());
            let ttl = if reserve.ttl_chosen { 0 } else { reserve.ttl.0 };
            out.extend_from_slice(&ttl.to_le_bytes());
            out.push(u8::from(reserve.best_effort) | u8::from(reserve.ttl_chosen) << 1);
            for line in &reserve.lines {
                put_line(out, line);
            }
            if reserve.zone != 0 {
                out.extend_from_slice(&reserve.zone.to_le_bytes());
            }
        }
        Body::Commit(commit) => {
            out.push(2);
            out.extend_from_slice(&commit.id.to_bytes());
            out.push(u8::from(commit.keep_rest));
            commit.parts.iter().for_each(|part| put_part(out, part));
            if commit.revive {
                out.push(1);
            }
        }
        Body::Release(release) => {
            out.push(3);
            out.extend_from_slice(&release.id.to_bytes());
            release.parts.iter().for_each(|part| put_part(out, part));
        }
        Body::Extend(extend) => {
            out.push(4);
            out.extend_from_slice(&extend.id.to_bytes());
            out.extend_from_slice(&extend.ttl.0.to_le_bytes());
        }
        Body::Receive(receive) => {
            out.push(5);
            put_pool_key(out, &receive.pool);
            out.extend_from_slice(&receive.quantity.units().to_le_bytes());
            put_text(out, receive.document.as_bytes());
        }
        Body::Adjust(adjust) => {
            out.push(6);
            put_pool_key(out, &adjust.pool);
            out.extend_from_slice(&adjust.delta.to_le_bytes());
            put_text(out, adjust.reason.as_bytes());
            let expected = adjust.expected_on_hand.map_or(u64::MAX, |units| units.units());
            out.extend_from_slice(&expected.to_le_bytes());
        }
        Body::Stockkeeping(asked) => put_stockkeeping(out, asked),
        Body::Replace(replace) => {
            out.push(7);
            out.extend_from_slice(&replace.id.to_bytes());
            put_text(out, replace.namespace.as_bytes());
            out.push(u8::from(replace.best_effort));
            out.extend_from_slice(&replace.zone.to_le_bytes());
            replace.lines.iter().for_each(|line| put_line(out, line));
        }
        Body::MarkPaying(paying) => {
            out.push(8);
            out.extend_from_slice(&paying.id.to_bytes());
            out.extend_from_slice(&paying.grace.0.to_le_bytes());
        }
        Body::Ship(ship) => {
            out.push(9);
            out.extend_from_slice(&ship.id.to_bytes());
            ship.parts.iter().for_each(|part| put_part(out, part));
        }
        Body::Cancel(cancel) => {
            out.push(10);
            out.extend_from_slice(&cancel.id.to_bytes());
            put_text(out, cancel.reason.as_bytes());
            cancel.parts.iter().for_each(|part| put_part(out, part));
        }
        Body::Return(back) => {
            out.push(11);
            out.extend_from_slice(&back.id.to_bytes());
            out.push(back.disposition.tag());
            put_text(out, back.reason.as_bytes());
            back.parts.iter().for_each(|part| put_part(out, part));
        }
        // Neither has an id of its own.
        Body::Forget(_) | Body::Meta(Meta::Form(_)) | Body::Cart(_) => {}
    }
    xxh3_64(out)
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&u16::try_from(text.len()).expect("texts have at most 256 bytes").to_le_bytes());
    out.extend_from_slice(text);
}

fn put_line(out: &mut Vec<u8>, line: &Line) {
    put_text(out, line.sku.as_bytes());
    put_text(out, line.location.as_ref().map_or(&[], Location::as_bytes));
    put_text(out, line.lot.as_bytes());
    out.push(line.kind.tag());
    out.extend_from_slice(&line.quantity.units().to_le_bytes());
    out.extend_from_slice(&line.minimum.units().to_le_bytes());
}

fn put_part(out: &mut Vec<u8>, part: &Part) {
    put_text(out, part.sku.as_bytes());
    put_text(out, part.location.as_bytes());
    put_text(out, part.lot.as_bytes());
    out.push(part.kind.tag());
    out.extend_from_slice(&part.quantity.units().to_le_bytes());
}

fn put_stockkeeping(out: &mut Vec<u8>, asked: &Stockkeeping) {
    match asked {
        // What the books said at the moment of a count is looked up by the proposer: it is no part of the request.
        Stockkeeping::Count(Count { observed: Some(observed), .. }) => {
            let mut count = asked.clone();
            if let Stockkeeping::Count(count) = &mut count {
                count.observed = Some(Observed { on_hand: Quantity::ZERO, seen: None, ..*observed });
            }
            put_whole(out, &count);
        }
        other => put_whole(out, other),
    }
}

/// The bytes a command is sent as are the same for the same request, its operation's id included.
fn put_whole(out: &mut Vec<u8>, asked: &Stockkeeping) {
    out.push(40);
    crate::codec::put_stockkeeping(out, asked);
}

/// Which sending of a request it is, and until when it can take effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) not_after: TimeMs,
    pub(crate) attempt: u32,
}

impl From<&Command> for Sent {
    fn from(command: &Command) -> Self {
        Self { not_after: command.not_after, attempt: command.attempt }
    }
}

/// What is known of an id.
pub(crate) enum Known {
    /// Nothing: judge it.
    New,
    /// It was a cart over several shards that was rejected, and may be tried again: judge it. The record is still there.
    Rejected,
    /// This is the answer.
    Outcome(Outcome),
    /// Another request was made under it.
    Conflict,
}

impl Ledger {
    /// The first answer to a reserve of that id.
    pub(crate) fn known_reserve(&mut self, id: ReservationId, print: u64, command: &Command) -> Known {
        self.must_know_reservation(id);
        let Some(reservation) = self.reservations.get_mut(&id) else {
            return self.known_refusal(Intent::Reserve(id), print, command);
        };
        if reservation.fingerprint != print {
            return Known::Conflict;
        }
        if reservation.ended == Some(EndedBy::Rejection) {
            return match self.known_refusal(Intent::Reserve(id), print, command) {
                Known::New => Known::Rejected,
                known => known,
            };
        }
        let position = reservation.reserved_at.at(self.shard);
        let time = reservation.created;
        if let Some((number, later)) = reservation.join(command, RoundKind::Open) {
            if later {
                self.dirty.reservation(id, reservation);
            }
            let verdict = Verdict::Done(Done::Pending(Pending { id, number }));
            return Known::Outcome(Outcome { verdict, replayed: true, position, time });
        }
        if let Some(first) = reservation.first() {
            return match decode_outcome(first.clone()) {
                Ok(outcome) => Known::Outcome(Outcome { replayed: true, ..outcome }),
                Err(bad) => stop(format_args!("the first answer of reservation {id} was encoded here, but {bad}")),
            };
        }
        Known::Outcome(Outcome {
            verdict: Verdict::Done(Done::Reserved(reservation.reserved(id, &self.stock))),
            replayed: true,
            position,
            time,
        })
    }

    /// The first answer to an operation of that id.
    pub(crate) fn known_operation(&mut self, id: OperationId, print: u64, command: &Command) -> Known {
        self.must_know_operation(id);
        if self.preparing.contains(&id) {
            // The same request would have joined it.
            return Known::Conflict;
        }
        let Some(operation) = self.operations.get(&id) else {
            return self.known_refusal(Intent::Operation(id), print, command);
        };
        if operation.fingerprint != print {
            return Known::Conflict;
        }
        match decode_outcome(Bytes::copy_from_slice(&operation.outcome)) {
            Ok(outcome) => Known::Outcome(Outcome { replayed: true, ..outcome }),
            Err(bad) => stop(format_args!("the outcome of operation {id} was encoded here, but {bad}")),
        }
    }

    /// The first answer to a commit or release of all that is held, if it was a refusal.
    pub(crate) fn known_whole(&mut self, id: OperationId, command: &Command) -> Known {
        let intent = Intent::Whole(id);
        // Nearly none was refused before: that is not worth a hash each.
        if !self.refusals.contains_key(&intent) {
            return Known::New;
        }
        self.known_refusal(intent, fingerprint(&command.body), command)
    }

    fn known_refusal(&mut self, intent: Intent, print: u64, command: &Command) -> Known {
        let clock = self.header.clock;
        let Some(refused) = self.refusals.get(&intent).filter(|refused| refused.until >= clock) else {
            return Known::New;
        };
        if refused.fingerprint != print {
            return Known::Conflict;
        }
        if refused.contended() && command.attempt > refused.attempt {
            return Known::New;
        }
        let answer = Outcome { replayed: true, ..(*refused.outcome).clone() };
        // This sending was told the refusal too, so a duplicate of it must find it as well.
        self.keep_refusal(intent, command.not_after);
        Known::Outcome(answer)
    }

    /// Whatever answers by that refusal can be sent until then, so it must be found until then.
    pub(crate) fn keep_refusal(&mut self, intent: Intent, not_after: TimeMs) {
        let until = not_after.plus(CLOCK_BOUND);
        if let Some(refused) = self.refusals.get_mut(&intent).filter(|refused| refused.until < until) {
            self.refusal_ends.remove(&(refused.until, intent));
            refused.until = until;
            self.refusal_ends.insert((until, intent));
            self.dirty.refusal(intent, &mut refused.mark);
        }
    }

    /// Remembers an outcome that had an effect.
    pub(crate) fn remember_operation(&mut self, id: OperationId, print: u64, outcome: &Outcome) {
        if planted::on(Bug::OperationNotRemembered) {
            return;
        }
        let outcome = encode_outcome(outcome).as_ref().into();
        let mut operation = Operation { fingerprint: print, outcome, mark: Mark::default() };
        self.dirty.operation(id, &mut operation.mark, operation.outcome.len());
        self.insert_operation(id, operation);
    }

    /// Remembers a refusal, unless it is told again for ever anyway or answers for another request.
    pub(crate) fn remember_refusal(&mut self, intent: Intent, print: u64, sent: Sent, outcome: &Outcome) {
        match &outcome.verdict {
            Verdict::Refused(Refusal::IdempotencyConflict | Refusal::IdempotencyTooOld) => return,
            // Whoever sends it again to the right shard, or is later still, is judged there and then.
            Verdict::Refused(Refusal::WrongShard | Refusal::Late) => return,
            Verdict::Refused(_) if planted::on(Bug::RefusalNotRemembered) => return,
            _ if planted::on(Bug::WholeRefusalForgotten) && matches!(intent, Intent::Whole(_)) => return,
            Verdict::Refused(_) | Verdict::Done(_) => {}
        }
        let mut until = sent.not_after.plus(CLOCK_BOUND);
        let mut mark = Mark::default();
        if let Some(before) = self.refusals.get(&intent) {
            // Earlier sendings were told the refusal before this one, and may be on their way for longer.
            until = until.max(before.until);
            mark = before.mark;
            self.refusal_ends.remove(&(before.until, intent));
        }
        let outcome = Box::new(outcome.clone());
        let mut refused = Refused { fingerprint: print, outcome, attempt: sent.attempt, until, mark };
        self.dirty.refusal(intent, &mut refused.mark);
        self.refusal_ends.insert((until, intent));
        self.refusals.insert(intent, refused);
    }

    /// Drops a remembered refusal: its time is over, or the same id has had an effect now.
    pub(crate) fn drop_refusal(&mut self, intent: Intent) {
        if let Some(refused) = self.refusals.remove(&intent) {
            self.refusal_ends.remove(&(refused.until, intent));
            self.dirty.dropped(&refused.mark, intent.record().1);
        }
    }

    /// Whether that cart was rejected because its caller released it while it was being prepared.
    pub(crate) fn was_released_open(&self, id: ReservationId) -> bool {
        let refused = self.refusals.get(&Intent::Reserve(id));
        let rejected = ReservationState::Rejected;
        refused.is_some_and(|refused| match &refused.outcome.verdict {
            Verdict::Refused(Refusal::ReservationState { state, .. }) => *state == rejected,
            _ => false,
        })
    }

    /// That a cart was released while it was being prepared, only the refusal of its reserve tells: so it is kept for
    /// whoever was told that it is released, too.
    pub(crate) fn keep_released_open(&mut self, id: ReservationId, not_after: TimeMs) {
        if self.was_released_open(id) {
            self.keep_refusal(Intent::Reserve(id), not_after);
        }
    }

    /// Drops what is left of a rejected cart, if all its participants have heard of that. Its refusal is remembered for
    /// itself: both go when the second of the two is over (rule 7).
    pub(crate) fn drop_rejected(&mut self, id: ReservationId) {
        let over = |found: &Reservation| found.ended == Some(EndedBy::Rejection) && !found.unsettled();
        if self.reservations.get(&id).is_some_and(|found| over(found))
            && let Some(found) = self.reservations.remove(&id)
        {
            self.dirty.dropped(&found.mark, id.to_bytes());
            self.cold.absent.insert(RecordKey::ended(id));
        }
    }

    /// Drops remembered refusals whose time is over, some per entry. Whether they are dropped yet changes no answer.
    pub(crate) fn drop_refusals(&mut self, at_most: u32) {
        for _ in 0..at_most {
            match self.refusal_ends.first() {
                Some((until, intent)) if *until < self.header.clock => {
                    let intent = *intent;
                    self.drop_refusal(intent);
                    if let Intent::Reserve(id) = intent {
                        self.drop_rejected(id);
                    }
                }
                _ => break,
            }
        }
    }
}

/// The end of a remembered refusal's time is a moment, so it must outlive every sending it answers.
const _: () = assert!(CLOCK_BOUND.0 > 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{command::Reserve, types::*};

    fn reserve() -> Reserve {
        Reserve {
            id: ReservationId::timed(TimeMs(5), Bucket::new(3).expect("small"), 9),
            namespace: Namespace::default(),
            lines: vec![Line {
                sku: "s".parse().expect("a sku"),
                location: Some("l".parse().expect("a location")),
                kind: PoolKind::Now,
                lot: Lot::default(),
                quantity: Quantity::new(2).expect("small"),
                minimum: Quantity::ZERO,
            }],
            owner: Owner::default(),
            ttl: DurationMs(1_000),
            ttl_chosen: false,
            best_effort: false,
            zone: 0,
            shards: Vec::new(),
        }
    }

    #[test]
    fn a_chosen_time_to_live_is_no_part_of_the_request() {
        let chosen = |ttl| Body::Reserve(Reserve { ttl: DurationMs(ttl), ttl_chosen: true, ..reserve() });
        assert_eq!(fingerprint(&chosen(1_000)), fingerprint(&chosen(2_000)));
        let given = |ttl| Body::Reserve(Reserve { ttl: DurationMs(ttl), ..reserve() });
        assert_ne!(fingerprint(&given(1_000)), fingerprint(&given(2_000)));
        assert_ne!(fingerprint(&given(1_000)), fingerprint(&chosen(1_000)));
    }

    #[test]
    fn every_other_field_is() {
        let base = fingerprint(&Body::Reserve(reserve()));
        let mut others = vec![
            Reserve { namespace: "other".parse().expect("a name"), ..reserve() },
            Reserve { owner: "o".parse().expect("an owner"), ..reserve() },
            Reserve { best_effort: true, ..reserve() },
            Reserve { zone: 1, ..reserve() },
            Reserve { lines: vec![reserve().lines[0].clone(), reserve().lines[0].clone()], ..reserve() },
        ];
        for change in 0..6 {
            let mut other = reserve();
            let line = &mut other.lines[0];
            match change {
                0 => line.sku = "t".parse().expect("a sku"),
                1 => line.location = None,
                2 => line.kind = PoolKind::Incoming,
                3 => line.lot = "x".parse().expect("a lot"),
                4 => line.quantity = Quantity::new(3).expect("small"),
                _ => line.minimum = Quantity::new(1).expect("small"),
            }
            others.push(other);
        }
        let mut prints: Vec<u64> = others.into_iter().map(|other| fingerprint(&Body::Reserve(other))).collect();
        prints.push(base);
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), 12);
    }
}
