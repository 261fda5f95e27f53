//! Set, count, and what is set apart: corrections of one pool.

use super::stock::{PoolName, pool_quantity, pooled, prepared, sends};
use super::{Checks, Options};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::Error;
use crate::model::{StockCorrection, kind_to_wire};
use crate::wire::v1::{self, count_request::Observed, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{Document, OperationId, Position, Reason, TimeMs};

/// Sets on hand to a value. Made by [`Client::set`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Set {
    client: Client,
    id: Option<OperationId>,
    pool: PoolName,
    on_hand: u64,
    expected_on_hand: Option<u64>,
    overriding: bool,
    reason: String,
    options: Options,
}

/// Tells what was counted. Made by [`Client::count`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Count {
    client: Client,
    id: Option<OperationId>,
    pool: PoolName,
    counted: u64,
    observed: Option<Observed>,
    document: String,
    reason: String,
    options: Options,
}

/// Sets units apart, gives them back, or writes them off. Made by [`Client::quarantine`], [`Client::unquarantine`] and
/// [`Client::write_off`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Quarantine {
    client: Client,
    id: Option<OperationId>,
    pool: PoolName,
    step: Step,
    quantity: u64,
    reason: String,
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    SetApart,
    Back,
    WriteOff,
}

impl Client {
    /// Begins to set on hand to a value. It needs a reason, and [`Set::expected_on_hand`] or [`Set::override_any`].
    pub fn set(
        &self,
        sku: impl Into<String>,
        location: impl Into<String>,
        on_hand: u64,
        reason: impl Into<String>,
    ) -> Set {
        Set {
            client: self.clone(),
            id: None,
            pool: PoolName::new(sku, location),
            on_hand,
            expected_on_hand: None,
            overriding: false,
            reason: reason.into(),
            options: Options::default(),
        }
    }

    /// Begins a count: so many units were there, just now unless a moment is named. A count below what is held and
    /// committed is taken, and opens a shortage.
    pub fn count(&self, sku: impl Into<String>, location: impl Into<String>, counted: u64) -> Count {
        Count {
            client: self.clone(),
            id: None,
            pool: PoolName::new(sku, location),
            counted,
            observed: None,
            document: String::new(),
            reason: String::new(),
            options: Options::default(),
        }
    }

    /// Begins to set units apart: damaged, for a check, or whatever the reason says.
    pub fn quarantine(
        &self,
        sku: impl Into<String>,
        location: impl Into<String>,
        quantity: u64,
        reason: impl Into<String>,
    ) -> Quarantine {
        Quarantine::new(self, Step::SetApart, PoolName::new(sku, location), quantity, reason.into())
    }

    /// Begins to make units available again that were set apart.
    pub fn unquarantine(&self, sku: impl Into<String>, location: impl Into<String>, quantity: u64) -> Quarantine {
        Quarantine::new(self, Step::Back, PoolName::new(sku, location), quantity, String::new())
    }

    /// Begins to take units off the books that were set apart.
    pub fn write_off(
        &self,
        sku: impl Into<String>,
        location: impl Into<String>,
        quantity: u64,
        reason: impl Into<String>,
    ) -> Quarantine {
        Quarantine::new(self, Step::WriteOff, PoolName::new(sku, location), quantity, reason.into())
    }
}

sends!(Set, Corrected(told) => *told, StockCorrection);
sends!(Count, Corrected(told) => *told, StockCorrection);
sends!(Quarantine, Corrected(told) => *told, StockCorrection);
pooled!(Set);
pooled!(Count);
pooled!(Quarantine);

impl Set {
    /// Refuse with [`Code::VersionStale`](crate::Code::VersionStale) unless on hand has this value now.
    pub fn expected_on_hand(mut self, units: u64) -> Self {
        self.expected_on_hand = Some(units);
        self
    }

    /// Set it whatever it was.
    pub fn override_any(mut self) -> Self {
        self.overriding = true;
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku = self.pool.check(&mut checks);
        let on_hand = pool_quantity(&mut checks, "on_hand", 0, self.on_hand);
        let expected_on_hand =
            self.expected_on_hand.map(|units| pool_quantity(&mut checks, "expected_on_hand", 0, units));
        if expected_on_hand.is_none() && !self.overriding {
            checks.refuse("expected_on_hand", "is required unless override is set");
        }
        checks.reason(&self.reason, true);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::SetRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.pool.sku,
            location: self.pool.location,
            kind: kind_to_wire(self.pool.kind),
            lot: self.pool.lot,
            on_hand,
            expected_on_hand,
            r#override: self.overriding,
            reason: self.reason,
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::Set(request)))
    }
}

impl Count {
    /// It was counted right after that entry: a position that a read or a change of this SKU answered.
    pub fn at_position(mut self, position: Position) -> Self {
        self.observed = Some(Observed::ObservedPosition(v1::Position {
            shard: position.shard.0,
            epoch: position.epoch.0,
            index: position.index.0,
            ordinal: position.ordinal,
        }));
        self
    }

    /// It was counted at that moment of the servers' clock.
    pub fn at_time(mut self, time: TimeMs) -> Self {
        self.observed = Some(Observed::ObservedTimeMs(time.0));
        self
    }

    /// Number of the counting list, up to 64 bytes.
    pub fn document(mut self, document: impl Into<String>) -> Self {
        self.document = document.into();
        self
    }

    /// Why, up to 256 bytes.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku = self.pool.check(&mut checks);
        let counted = pool_quantity(&mut checks, "counted", 0, self.counted);
        checks.fits::<Document>(|| "document".to_owned(), &self.document);
        checks.reason(&self.reason, false);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::CountRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.pool.sku,
            location: self.pool.location,
            kind: kind_to_wire(self.pool.kind),
            lot: self.pool.lot,
            counted,
            observed: self.observed,
            document: self.document,
            reason: self.reason,
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::Count(request)))
    }
}

impl Quarantine {
    fn new(client: &Client, step: Step, pool: PoolName, quantity: u64, reason: String) -> Self {
        Self { client: client.clone(), id: None, pool, step, quantity, reason, options: Options::default() }
    }

    /// Why, up to 256 bytes.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku = self.pool.check(&mut checks);
        let quantity = pool_quantity(&mut checks, "quantity", 1, self.quantity);
        checks.reason(&self.reason, self.step != Step::Back);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::QuarantineRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.pool.sku,
            location: self.pool.location,
            kind: kind_to_wire(self.pool.kind),
            lot: self.pool.lot,
            quantity,
            reason: self.reason,
            context: self.options.context(shared),
            delivery: None,
        };
        let body = match self.step {
            Step::SetApart => Body::Quarantine(request),
            Step::Back => Body::Unquarantine(request),
            Step::WriteOff => Body::WriteOff(request),
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), body))
    }
}

impl Checks {
    pub(super) fn reason(&mut self, reason: &str, needed: bool) {
        if needed && reason.is_empty() {
            self.refuse("reason", "must not be empty");
        }
        self.fits::<Reason>(|| "reason".to_owned(), reason);
    }
}
