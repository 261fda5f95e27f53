//! Ship, cancel and return: what follows a sale.

use super::{
    Checks, Options, Part,
    change::{change, operation_id, parts, prepared},
    options,
};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::Error;
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{OperationId, Reason, ReservationId};

pub use earmark_ledger::command::Disposition;

/// Units leave the house. Made by [`Client::ship`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Ship {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    parts: Vec<Part>,
    options: Options,
}

/// Takes a sale back. Made by [`Client::cancel`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Cancel {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    parts: Vec<Part>,
    reason: String,
    options: Options,
}

/// Units come back. Made by [`Client::return_units`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Return {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    parts: Vec<Part>,
    disposition: Disposition,
    reason: String,
    options: Options,
}

impl Client {
    /// Begins a shipping of a committed reservation, of SKUs that deduct on ship: all that did not leave the house yet,
    /// unless parts are named.
    pub fn ship(&self, id: ReservationId) -> Ship {
        Ship { client: self.clone(), id, operation_id: None, parts: Vec::new(), options: Options::default() }
    }

    /// Begins a cancel of a committed reservation: all that did not leave the house, unless parts are named. Of SKUs that
    /// leave the books on commit it is possible within their cancel window.
    pub fn cancel(&self, id: ReservationId) -> Cancel {
        Cancel {
            client: self.clone(),
            id,
            operation_id: None,
            parts: Vec::new(),
            reason: String::new(),
            options: Options::default(),
        }
    }

    /// Begins a return: all that was sold and did not come back yet, unless parts are named.
    pub fn return_units(&self, id: ReservationId, disposition: Disposition) -> Return {
        Return {
            client: self.clone(),
            id,
            operation_id: None,
            parts: Vec::new(),
            disposition,
            reason: String::new(),
            options: Options::default(),
        }
    }
}

change!(Ship);
change!(Cancel);
change!(Return);

parts!(Ship);
parts!(Cancel);
parts!(Return);

impl Ship {
    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let parts = checks.parts(self.parts);
        checks.finish()?;
        let request = v1::ShipRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id: operation_id(&self.client, self.operation_id),
            parts,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::Ship(request)))
    }
}

impl Cancel {
    /// Why, for the audit; up to 256 bytes.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let parts = checks.parts(self.parts);
        checks.fits::<Reason>(|| "reason".to_owned(), &self.reason);
        checks.finish()?;
        let request = v1::CancelRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id: operation_id(&self.client, self.operation_id),
            parts,
            reason: self.reason,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::Cancel(request)))
    }
}

impl Return {
    /// Why, for the audit; up to 256 bytes.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        let parts = checks.parts(self.parts);
        checks.fits::<Reason>(|| "reason".to_owned(), &self.reason);
        checks.finish()?;
        let disposition = match self.disposition {
            Disposition::Sellable => v1::Disposition::Sellable,
            Disposition::Unavailable => v1::Disposition::Unavailable,
        };
        let request = v1::ReturnUnitsRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id: operation_id(&self.client, self.operation_id),
            parts,
            disposition: disposition.into(),
            reason: self.reason,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::ReturnUnits(request)))
    }
}
