//! Commit, release, extend and mark paying: what becomes of a hold.

use super::{Checks, Options, Part, options};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::{Error, Subject};
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{OperationId, ReservationId};
use std::time::Duration;

/// Sells what is held. Made by [`Client::commit`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Commit {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    parts: Vec<Part>,
    keep_rest: bool,
    revive: bool,
    refund_hint: bool,
    options: Options,
}

/// Gives back what is held. Made by [`Client::release`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Release {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    parts: Vec<Part>,
    options: Options,
}

/// Moves the deadline. Made by [`Client::extend`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Extend {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    ttl: Duration,
    options: Options,
}

/// Moves the deadline by a grace, once. Made by [`Client::mark_paying`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct MarkPaying {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    grace: Option<Duration>,
    options: Options,
}

impl Client {
    /// Begins a commit of that reservation: all that is held, unless parts are named.
    pub fn commit(&self, id: ReservationId) -> Commit {
        Commit {
            client: self.clone(),
            id,
            operation_id: None,
            parts: Vec::new(),
            keep_rest: false,
            revive: false,
            refund_hint: false,
            options: Options::default(),
        }
    }

    /// Begins a release of that reservation: all that is held, unless parts are named.
    pub fn release(&self, id: ReservationId) -> Release {
        Release { client: self.clone(), id, operation_id: None, parts: Vec::new(), options: Options::default() }
    }

    /// Begins an extension: the deadline becomes `ttl` from now, unless it is later already.
    pub fn extend(&self, id: ReservationId, ttl: Duration) -> Extend {
        Extend { client: self.clone(), id, operation_id: None, ttl, options: Options::default() }
    }

    /// The shopper goes to the payment provider: once, the deadline moves by a grace (120 s unless said otherwise), which
    /// counts for no ceiling.
    pub fn mark_paying(&self, id: ReservationId) -> MarkPaying {
        MarkPaying { client: self.clone(), id, operation_id: None, grace: None, options: Options::default() }
    }
}

/// What all changes of a reservation have in common.
macro_rules! change {
    ($name:ident) => {
        impl $name {
            /// The id to go by, from [`make_operation_id`](crate::Client::make_operation_id). Without it the SDK makes one.
            pub fn operation_id(mut self, id: OperationId) -> Self {
                self.operation_id = Some(id);
                self
            }

            options!();

            /// Sends it and waits for the end.
            ///
            /// # Errors
            /// [`Error`] says why, and whether it surely had no effect.
            pub fn send(self) -> impl Future<Output = Result<crate::model::Change, crate::error::Error>> {
                let client = self.client.clone();
                let timeout = self.options.timeout(&client.shared);
                let take = |answer| match answer {
                    crate::request::Answer::Changed(change) => Some(change),
                    _ => None,
                };
                client.perform(self.prepare(), timeout, take)
            }

            /// The same as an operation of a batch.
            ///
            /// # Errors
            /// [`Code::InvalidArgument`](crate::Code::InvalidArgument) with every bad field.
            pub fn operation(self) -> Result<crate::request::Operation, crate::error::Error> {
                Ok(crate::request::Operation::new(self.prepare()?))
            }
        }
    };
}
pub(super) use change;

/// How those that take a part of a reservation name it.
macro_rules! parts {
    ($name:ident) => {
        impl $name {
            /// Only so many units of that line; may be called for each line.
            pub fn part(self, sku: impl Into<String>, location: impl Into<String>, quantity: u64) -> Self {
                self.parts([crate::request::Part::new(sku, location, quantity)])
            }

            /// Only these.
            pub fn parts(mut self, parts: impl IntoIterator<Item = crate::request::Part>) -> Self {
                self.parts.extend(parts);
                self
            }
        }
    };
}
pub(super) use parts;

parts!(Commit);
parts!(Release);

change!(Commit);
change!(Release);
change!(Extend);
change!(MarkPaying);

impl Commit {
    /// If the hold has expired, sell the units all the same if they are there now.
    pub fn revive(mut self) -> Self {
        self.revive = true;
        self
    }

    /// The shopper has paid: if the units can't be had any more, the error says that the money is to be paid back
    /// ([`Error::is_refund`]).
    pub fn refund_hint(mut self) -> Self {
        self.refund_hint = true;
        self
    }

    /// What is not named stays held instead of going back.
    pub fn keep_rest(mut self) -> Self {
        self.keep_rest = true;
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let parts = checks.parts(self.parts);
        checks.finish()?;
        let operation_id = operation_id(&self.client, self.operation_id);
        let request = v1::CommitRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id,
            parts,
            keep_rest: self.keep_rest,
            revive: self.revive,
            refund_hint: self.refund_hint,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::Commit(request)))
    }
}

impl Release {
    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let parts = checks.parts(self.parts);
        checks.finish()?;
        let operation_id = operation_id(&self.client, self.operation_id);
        let request = v1::ReleaseRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id,
            parts,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::Release(request)))
    }
}

impl Extend {
    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let ttl_ms = checks.ttl(self.ttl);
        checks.finish()?;
        let request = v1::ExtendRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id: operation_id(&self.client, self.operation_id),
            ttl_ms,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::Extend(request)))
    }
}

impl MarkPaying {
    /// By how much the deadline moves, up to 30 minutes.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let grace_ms = self.grace.map_or(0, |grace| checks.duration("grace", grace));
        checks.finish()?;
        let request = v1::MarkPayingRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id: operation_id(&self.client, self.operation_id),
            grace_ms,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::MarkPaying(request)))
    }
}

/// Everything would be done twice by a retry without one. A whole commit or release would not, for its end would be reached;
/// but it could be told that there is no such reservation, and take effect when the network delivers it once more.
pub(super) fn operation_id(client: &Client, given: Option<OperationId>) -> Bytes {
    Bytes::copy_from_slice(&given.unwrap_or_else(|| client.make_operation_id()).to_bytes())
}

/// A refusal of these is always looked up and noted in the log, so none of them counts as fresh.
pub(super) fn prepared(id: ReservationId, body: Body) -> Prepared {
    Prepared { body, bucket: id.home(), subject: Some(Subject::Reservation(id)), made_here: false, any_replica: false }
}
