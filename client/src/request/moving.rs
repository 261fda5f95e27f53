//! Transfer, arrive and expect: units on their way.

use super::stock::{PoolName, pool_quantity, pooled, prepared, sends};
use super::{Checks, Options};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::Error;
use crate::model::{StockChange, Transferred, kind_to_wire};
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{Document, Location, OperationId, Sku, TimeMs};

/// Sends units to another location. Made by [`Client::transfer`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Transfer {
    client: Client,
    id: Option<OperationId>,
    pool: PoolName,
    to: String,
    quantity: u64,
    immediate: bool,
    document: String,
    reason: String,
    options: Options,
}

/// Tells of units of a transfer that they arrived, or were lost. Made by [`Client::arrive`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Arrive {
    client: Client,
    id: Option<OperationId>,
    sku: String,
    transfer: OperationId,
    received: u64,
    lost: u64,
    document: String,
    reason: String,
    options: Options,
}

/// Announces a receipt. Made by [`Client::expect`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Expect {
    client: Client,
    id: Option<OperationId>,
    pool: PoolName,
    document: String,
    date: TimeMs,
    quantity: u64,
    options: Options,
}

impl Client {
    /// Begins to send units from one location of a SKU to another. They leave at once, and are in transit until they
    /// [arrive](Client::arrive).
    pub fn transfer(
        &self,
        sku: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
        quantity: u64,
    ) -> Transfer {
        Transfer {
            client: self.clone(),
            id: None,
            pool: PoolName::new(sku, from),
            to: to.into(),
            quantity,
            immediate: false,
            document: String::new(),
            reason: String::new(),
            options: Options::default(),
        }
    }

    /// Begins to tell that so many units of a transfer arrived.
    pub fn arrive(&self, sku: impl Into<String>, transfer: OperationId, received: u64) -> Arrive {
        Arrive {
            client: self.clone(),
            id: None,
            sku: sku.into(),
            transfer,
            received,
            lost: 0,
            document: String::new(),
            reason: String::new(),
            options: Options::default(),
        }
    }

    /// Begins to announce a receipt by its document. Announced again it is changed; with 0 units it is cancelled. The
    /// [receipt](Client::receive) into the same pool with the same document is its arrival.
    pub fn expect(
        &self,
        sku: impl Into<String>,
        location: impl Into<String>,
        quantity: u64,
        document: impl Into<String>,
        date: TimeMs,
    ) -> Expect {
        Expect {
            client: self.clone(),
            id: None,
            pool: PoolName::new(sku, location),
            document: document.into(),
            date,
            quantity,
            options: Options::default(),
        }
    }
}

sends!(Transfer, Transferred(told) => *told, Transferred);
sends!(Arrive, Transferred(told) => *told, Transferred);
sends!(Expect, Stocked(told) => told, StockChange);
pooled!(Transfer);
pooled!(Expect);

impl Transfer {
    /// They are there at once: nothing is in transit.
    pub fn immediate(mut self) -> Self {
        self.immediate = true;
        self
    }

    /// Delivery note, up to 64 bytes.
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
        checks.fits::<Location>(|| "to".to_owned(), &self.to);
        if self.to == self.pool.location {
            checks.refuse("to", "is where the units are");
        }
        let quantity = pool_quantity(&mut checks, "quantity", 1, self.quantity);
        checks.fits::<Document>(|| "document".to_owned(), &self.document);
        checks.reason(&self.reason, false);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::TransferRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.pool.sku,
            location: self.pool.location,
            kind: kind_to_wire(self.pool.kind),
            lot: self.pool.lot,
            to: self.to,
            quantity,
            immediate: self.immediate,
            document: self.document,
            reason: self.reason,
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::Transfer(request)))
    }
}

impl Arrive {
    /// So many will not arrive. It needs a reason.
    pub fn lost(mut self, units: u64, reason: impl Into<String>) -> Self {
        self.lost = units;
        self.reason = reason.into();
        self
    }

    /// Delivery note, up to 64 bytes.
    pub fn document(mut self, document: impl Into<String>) -> Self {
        self.document = document.into();
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku: Option<Sku> = checks.text(|| "sku".to_owned(), &self.sku);
        let received = pool_quantity(&mut checks, "received", 0, self.received);
        let lost = pool_quantity(&mut checks, "lost", 0, self.lost);
        if self.received == 0 && self.lost == 0 {
            checks.refuse("received", "must be at least 1 where none is lost");
        }
        checks.fits::<Document>(|| "document".to_owned(), &self.document);
        checks.reason(&self.reason, self.lost > 0);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::ArriveRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.sku,
            transfer_id: Bytes::copy_from_slice(&self.transfer.to_bytes()),
            received,
            lost,
            document: self.document,
            reason: self.reason,
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::Arrive(request)))
    }
}

impl Expect {
    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let sku = self.pool.check(&mut checks);
        let quantity = pool_quantity(&mut checks, "quantity", 0, self.quantity);
        if self.document.is_empty() {
            checks.refuse("document", "must not be empty");
        }
        checks.fits::<Document>(|| "document".to_owned(), &self.document);
        checks.finish()?;
        let shared = &self.client.shared;
        let id = self.id.unwrap_or_else(|| shared.operation_id());
        let request = v1::ExpectRequest {
            operation_id: Bytes::copy_from_slice(&id.to_bytes()),
            namespace: shared.namespace.as_str().to_owned(),
            sku: self.pool.sku,
            location: self.pool.location,
            kind: kind_to_wire(self.pool.kind),
            lot: self.pool.lot,
            document: self.document,
            date_ms: self.date.0,
            quantity,
            context: self.options.context(shared),
            delivery: None,
        };
        Ok(prepared(&self.client, sku, id, self.id.is_none(), Body::Expect(request)))
    }
}
