//! Commit: held -> sold, whole or in parts.
//!
//! A whole commit whose end was reached already is success. Parts repeat only under their operation's id.

use super::{
    Effect, Entry,
    settle::{Split, Why},
};
use crate::{
    command::{Command, Commit},
    idempotency::fingerprint,
    journal::By,
    outcome::{Done, Outcome, Refusal, ReservationState, Verdict},
    planted::{self, Bug},
    state::{EndedBy, RoundKind},
    types::ReservationId,
};

impl Entry<'_> {
    pub(super) fn commit(&mut self, command: &Command, commit: &Commit) -> Outcome {
        self.ledger.must_know_reservation(commit.id);
        let named = commit.named();
        let mut print = 0;
        if commit.revive && named.is_some() {
            print = fingerprint(&command.body);
            if let Some(outcome) = self.joined(commit.id, RoundKind::Revive, named, print, command) {
                return outcome;
            }
        }
        if let Some(operation) = named {
            return self.once(operation, command, |entry| entry.commit_anew(command, commit, print));
        }
        // A late commit without its operation's id is a bad request, whatever was reached.
        if named.is_none()
            && !commit.revive
            && commit.parts.is_empty()
            && let Some(outcome) = self.end_reached(commit.id, EndedBy::Commit)
        {
            return outcome;
        }
        self.whole(commit.operation, command, |entry| entry.commit_anew(command, commit, print))
    }

    fn commit_anew(&mut self, command: &Command, commit: &Commit, print: u64) -> Result<Effect, Refusal> {
        self.may_end(command, commit.id)?;
        if let Err(expired) = self.must_not_be_expired(commit.id) {
            // What is being revived may be committed yet.
            self.undisturbed(commit.id)?;
            if commit.revive {
                return self.revive(command, commit, print);
            }
            return Err(expired);
        }
        if commit.parts.is_empty() && self.end_reached(commit.id, EndedBy::Commit).is_some() {
            // Under an id of its own: the end was reached without it.
            self.reached_before = true;
            return Ok((self.told(commit.id), None));
        }
        self.must_be_live(commit.id)?;
        self.undisturbed(commit.id)?;
        let parts = self.held_parts(commit.id, &commit.parts)?;
        // Nothing can fail from here on.
        let why = Why { by: By::Request(&command.context), ended: EndedBy::Commit };
        let last = match parts {
            None => self.settle(commit.id, why, |_, line| Split { commit: line.held, ..Split::default() }),
            Some(parts) => self.settle(commit.id, why, |at, line| {
                let release =
                    if commit.keep_rest || planted::on(Bug::RestStaysHeld) { 0 } else { line.held - parts[at] };
                Split { commit: parts[at], release, expire: 0 }
            }),
        };
        Ok((self.told(commit.id), last))
    }

    /// The reservation as it stands now.
    pub(super) fn told(&self, id: ReservationId) -> Done {
        if !self.awaited && !self.kept {
            return Done::Noted;
        }
        let reservation = &self.ledger.reservations[&id];
        Done::Reservation(Box::new(reservation.view(id, &self.ledger.stock, self.clock())))
    }

    /// The answer to a whole commit or release whose end was reached before.
    pub(super) fn end_reached(&self, id: ReservationId, by: EndedBy) -> Option<Outcome> {
        let reservation = self.ledger.reservations.get(&id)?;
        let reached = match reservation.ended {
            // A release while it was prepared rejected it.
            Some(EndedBy::Rejection) => by == EndedBy::Release && self.ledger.was_released_open(id),
            ended => ended == Some(by),
        };
        if !reached {
            return None;
        }
        Some(Outcome {
            verdict: Verdict::Done(self.told(id)),
            replayed: true,
            position: reservation.last_decision().at(self.ledger.shard),
            time: reservation.since,
        })
    }

    /// The refusals that commit, release and extend have in common: is the request good, and is there such a
    /// reservation? A hold that is overdue is ended then and there.
    pub(super) fn may_end(&mut self, command: &Command, id: ReservationId) -> Result<(), Refusal> {
        let too_old = Refusal::IdempotencyTooOld;
        let absent = (!self.ledger.reservations.contains_key(&id)).then(|| self.absent(id));
        if absent.as_ref() == Some(&too_old) {
            return Err(too_old);
        }
        self.admit(command)?;
        if let Some(absent) = absent {
            return Err(absent);
        }
        let reservation = &self.ledger.reservations[&id];
        if reservation.overdue(self.clock()) {
            self.expire(id);
        } else if reservation.opening() && !planted::on(Bug::CommitWhileOpen) {
            return Err(Refusal::Contended);
        }
        Ok(())
    }

    /// Refuses what is over by time, and of which nothing was sold.
    pub(super) fn must_not_be_expired(&self, id: ReservationId) -> Result<(), Refusal> {
        match self.ledger.reservations[&id].state(self.clock()) {
            (ReservationState::Expired, since) => Err(Refusal::ReservationExpired { since }),
            _ => Ok(()),
        }
    }

    pub(super) fn must_be_live(&self, id: ReservationId) -> Result<(), Refusal> {
        let reservation = &self.ledger.reservations[&id];
        if reservation.ended.is_none() {
            return Ok(());
        }
        let (state, since) = reservation.state(self.clock());
        Err(Refusal::ReservationState { state, since })
    }
}
