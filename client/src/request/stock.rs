//! Receive and adjust: stock that comes and is corrected.

use super::{Checks, Options};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::{Error, Subject};
use crate::model::{StockChange, kind_to_wire};
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{Bucket, Document, Location, Lot, OperationId, POOL_QUANTITY_MAX, PoolKind, Reason, Sku};

/// Adds units that arrived. Made by [`Client::receive`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Receive {
    client: Client,
    id: Option<OperationId>,
    pool: PoolName,
    quantity: u64,
    document: String,
    options: Options,
}

/// Changes on hand by a signed number of units. Made by [`Client::adjust`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Adjust {
    client: Client,
    id: Option<OperationId>,
    pool: PoolName,
    delta: i64,
    reason: String,
    expected_on_hand: Option<u64>,
    options: Options,
}

/// Names a pool within the client's namespace.
#[derive(Clone, Debug)]
pub(super) struct PoolName {
    pub(super) sku: String,
    pub(super) location: String,
    pub(super) kind: PoolKind,
    pub(super) lot: String,
}

impl PoolName {
    pub(super) fn new(sku: impl Into<String>, location: impl Into<String>) -> Self {
        Self { sku: sku.into(), location: location.into(), kind: PoolKind::Now, lot: String::new() }
    }

    pub(super) fn check(&self, checks: &mut Checks) -> Option<Sku> {
        checks.fits::<Location>(|| "location".to_owned(), &self.location);
        checks.fits::<Lot>(|| "lot".to_owned(), &self.lot);
        checks.text(|| "sku".to_owned(), &self.sku)
    }
}

impl Client {
    /// Begins a receipt. Makes the SKU and its pool if they are new.
    pub fn receive(&self, sku: impl Into<String>, location: impl Into<String>, quantity: u64) -> Receive {
        Receive {
            client: self.clone(),
            id: None,
            pool: PoolName::new(sku, location),
            quantity,
            document: String::new(),
            options: Options::default(),
        }
    }

    /// Begins a correction of on hand by `delta` units, which is not 0. It needs a reason.
    pub fn adjust(
        &self,
        sku: impl Into<String>,
        location: impl Into<String>,
        delta: i64,
        reason: impl Into<String>,
    ) -> Adjust {
        Adjust {
            client: self.clone(),
            id: None,
            pool: PoolName::new(sku, location),
            delta,
            reason: reason.into(),
            expected_on_hand: None,
            options: Options::default(),
        }
    }
}

/// What all that is done to stock under an id of its own has in common.
macro_rules! sends {
    ($name:ident, $variant:ident($told:ident) => $value:expr, $answer:ident) => {
        impl $name {
            /// The id to go by, from [`Client::make_operation_id`]. The same id again, from anywhere, asks for the first
            /// outcome. Without it the SDK makes one, which an error then carries.
            pub fn id(mut self, id: OperationId) -> Self {
                self.id = Some(id);
                self
            }

            $crate::request::options!();

            /// Sends it and waits for the end.
            ///
            /// # Errors
            /// [`Error`] says why, and whether it surely had no effect.
            pub fn send(self) -> impl Future<Output = Result<$answer, $crate::Error>> {
                let client = self.client.clone();
                let timeout = self.options.timeout(&client.shared);
                let take = |answer| match answer {
                    $crate::request::Answer::$variant($told) => Some($value),
                    _ => None,
                };
                client.perform(self.prepare(), timeout, take)
            }

            /// The same as an operation of a batch.
            ///
            /// # Errors
            /// [`Code::InvalidArgument`](crate::Code::InvalidArgument) with every bad field.
            pub fn operation(self) -> Result<$crate::request::Operation, $crate::Error> {
                Ok($crate::request::Operation::new(self.prepare()?))
            }
        }
    };
}
pub(super) use sends;

/// The rest of a pool's name, for what is about one pool.
macro_rules! pooled {
    ($name:ident) => {
        impl $name {
            /// Another kind of stock than what is on the shelf.
            pub fn kind(mut self, kind: earmark_ledger::types::PoolKind) -> Self {
                self.pool.kind = kind;
                self
            }

            /// That lot.
            pub fn lot(mut self, lot: impl Into<String>) -> Self {
                self.pool.lot = lot.into();
                self
            }
        }
    };
}
pub(super) use pooled;

sends!(Receive, Stocked(told) => told, StockChange);
sends!(Adjust, Stocked(told) => told, StockChange);
pooled!(Receive);
pooled!(Adjust);

impl Receive {
    /// Delivery note or the like, up to 64 bytes.
    pub fn document(mut self, document: impl Into<String>) -> Self {
        self.document = document.into();
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku = self.pool.check(&mut checks);
        let quantity = pool_quantity(&mut checks, "quantity", 1, self.quantity);
        checks.fits::<Document>(|| "document".to_owned(), &self.document);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::ReceiveRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.pool.sku,
            location: self.pool.location,
            kind: kind_to_wire(self.pool.kind),
            lot: self.pool.lot,
            quantity,
            document: self.document,
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::Receive(request)))
    }
}

impl Adjust {
    /// Refuse with [`Code::VersionStale`](crate::Code::VersionStale) unless on hand has this value now.
    pub fn expected_on_hand(mut self, units: u64) -> Self {
        self.expected_on_hand = Some(units);
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku = self.pool.check(&mut checks);
        if self.delta == 0 {
            checks.refuse("delta", "must not be 0");
        }
        if self.delta.unsigned_abs() > POOL_QUANTITY_MAX {
            checks.refuse("delta", format_args!("must be at most {POOL_QUANTITY_MAX} either way, not {}", self.delta));
        }
        if self.reason.is_empty() {
            checks.refuse("reason", "must not be empty");
        }
        checks.fits::<Reason>(|| "reason".to_owned(), &self.reason);
        let expected_on_hand =
            self.expected_on_hand.map(|units| pool_quantity(&mut checks, "expected_on_hand", 0, units));
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::AdjustRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.pool.sku,
            location: self.pool.location,
            kind: kind_to_wire(self.pool.kind),
            lot: self.pool.lot,
            delta: self.delta,
            reason: self.reason,
            expected_on_hand,
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::Adjust(request)))
    }
}

pub(super) fn pool_quantity(checks: &mut Checks, field: &str, least: u64, units: u64) -> i64 {
    if units < least || units > POOL_QUANTITY_MAX {
        checks.refuse(field, format_args!("must be {least} to {POOL_QUANTITY_MAX}, not {units}"));
    }
    i64::try_from(units).unwrap_or(i64::MAX)
}

pub(super) fn prepared(client: &Client, sku: Option<Sku>, id: OperationId, made_here: bool, body: Body) -> Prepared {
    let sku = sku.expect("a bad SKU was refused before");
    Prepared {
        body,
        bucket: Bucket::of(&client.shared.namespace, &sku),
        subject: Some(Subject::Operation(id)),
        made_here,
        any_replica: false,
    }
}
