//! Release: held -> available by the caller's wish, whole or in parts.

use super::{
    Effect, Entry,
    settle::{Split, Why},
};
use crate::{
    command::{Command, Release},
    journal::By,
    outcome::{Outcome, Refusal, ReservationState},
    state::EndedBy,
};

impl Entry<'_> {
    pub(super) fn release(&mut self, command: &Command, release: &Release) -> Outcome {
        self.ledger.must_know_reservation(release.id);
        if let (Some(operation), false) = (release.operation, release.parts.is_empty()) {
            return self.once(operation, command, |entry| entry.release_anew(command, release));
        }
        if release.parts.is_empty()
            && let Some(outcome) = self.end_reached(release.id, EndedBy::Release)
        {
            self.ledger.keep_released_open(release.id, command.not_after);
            return outcome;
        }
        self.whole(release.operation, command, |entry| entry.release_anew(command, release))
    }

    fn release_anew(&mut self, command: &Command, release: &Release) -> Result<Effect, Refusal> {
        if release.parts.is_empty() && self.ledger.reservations.get(&release.id).is_some_and(|found| found.opening()) {
            self.admit(command)?;
            let effect = self.release_open(release.id)?;
            self.ledger.keep_released_open(release.id, command.not_after);
            return Ok(effect);
        }
        self.may_end(command, release.id)?;
        self.must_be_live(release.id)?;
        if !release.parts.is_empty() {
            self.undisturbed(release.id)?;
        }
        let parts = self.held_parts(release.id, &release.parts)?;
        // Nothing can fail from here on.
        let since = self.clock();
        self.end_round(release.id, Refusal::ReservationState { state: ReservationState::Released, since });
        let why = Why { by: By::Request(&command.context), ended: EndedBy::Release };
        let last = self.settle(release.id, why, |at, line| {
            let units = parts.as_ref().map_or(line.held, |parts| parts[at]);
            Split { release: units, ..Split::default() }
        });
        Ok((self.told(release.id), last))
    }
}
