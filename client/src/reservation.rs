//! The handle of a reservation that was just made.

use crate::client::Client;
use crate::error::Error;
use crate::model::{Change, Extent, LineGot, Reserved};
use crate::request::Part;
use earmark_ledger::types::{Position, ReservationId, TimeMs};
use std::time::Duration;

/// Units held for a while, with what can be done to them.
///
/// Nothing happens when it is dropped: a drop can't wait for the network, and a program that falls over could not do it
/// anyway. What is neither committed nor released simply expires at its [`deadline`](Self::deadline). To act on the
/// reservation later or elsewhere, keep its [`id`](Self::id): [`Client::commit`], [`Client::release`] and
/// [`Client::extend`] take it.
#[derive(Clone, Debug)]
#[must_use = "what is neither committed nor released stays held until it expires"]
pub struct Reservation {
    client: Client,
    told: Reserved,
}

impl Reservation {
    pub(crate) fn new(client: Client, told: Reserved) -> Self {
        Self { client, told }
    }

    /// Names the reservation, for ever.
    pub fn id(&self) -> ReservationId {
        self.told.id
    }

    /// Whether everything was got. Less is possible only with best effort.
    pub fn extent(&self) -> Extent {
        self.told.extent
    }

    /// What each line got; lines of the same pool are summed.
    pub fn lines(&self) -> &[LineGot] {
        &self.told.lines
    }

    /// When the hold ends unless extended, by the servers' clock.
    pub fn deadline(&self) -> TimeMs {
        self.told.deadline
    }

    /// The servers' clock at the last answer: with the deadline it makes a countdown that needs no clock set right.
    pub fn server_time(&self) -> TimeMs {
        self.told.server_time
    }

    /// How much of the hold is left now, as well as this client knows the servers' clock.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.told.deadline.since(self.client.server_time()).0)
    }

    /// Where in the ledger the reserve stands.
    pub fn position(&self) -> Position {
        self.told.position
    }

    /// The same id had been reserved before, and this is that answer again.
    pub fn replayed(&self) -> bool {
        self.told.replayed
    }

    /// Sells all that is held. Twice is once.
    ///
    /// # Errors
    /// [`Code::ReservationExpired`](crate::Code::ReservationExpired) if it came too late.
    pub async fn commit(&self) -> Result<Change, Error> {
        self.client.commit(self.id()).send().await
    }

    /// Sells some of what is held; the rest goes back. [`Client::commit`] has more to choose from.
    ///
    /// # Errors
    /// As [`Reservation::commit`].
    pub async fn commit_parts(&self, parts: impl IntoIterator<Item = Part>) -> Result<Change, Error> {
        self.client.commit(self.id()).parts(parts).send().await
    }

    /// Gives back all that is held. Twice is once.
    ///
    /// # Errors
    /// [`Code::ReservationState`](crate::Code::ReservationState) if it was committed.
    pub async fn release(&self) -> Result<Change, Error> {
        self.client.release(self.id()).send().await
    }

    /// Moves the deadline to `ttl` from now, unless it is later already.
    ///
    /// # Errors
    /// [`Code::ExtensionLimit`](crate::Code::ExtensionLimit) beyond the longest life of a hold,
    /// [`Code::ReservationExpired`](crate::Code::ReservationExpired) if it came too late.
    pub async fn extend(&mut self, ttl: Duration) -> Result<Change, Error> {
        let change = self.client.extend(self.id(), ttl).send().await?;
        self.told.deadline = change.reservation.deadline;
        self.told.server_time = change.server_time;
        Ok(change)
    }

    /// The shopper goes to the payment provider: once, the deadline moves by a grace of two minutes.
    ///
    /// # Errors
    /// [`Code::ReservationState`](crate::Code::ReservationState) the second time,
    /// [`Code::ReservationExpired`](crate::Code::ReservationExpired) if it came too late.
    pub async fn mark_paying(&mut self) -> Result<Change, Error> {
        let change = self.client.mark_paying(self.id()).send().await?;
        self.told.deadline = change.reservation.deadline;
        self.told.server_time = change.server_time;
        Ok(change)
    }
}
