//! Replace: other lines for a hold.

use super::{
    Checks, Line, Options,
    change::{change, operation_id, prepared},
    options,
    reserve::wire_line,
};
use crate::call::Prepared;
use crate::client::Client;
use crate::error::Error;
use crate::wire::v1::{self, operation::Body};
use bytes::Bytes;
use earmark_ledger::types::{OperationId, ReservationId};

/// Swaps all lines of a hold for a new set, in one step or not at all. Made by [`Client::replace`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct Replace {
    client: Client,
    id: ReservationId,
    operation_id: Option<OperationId>,
    lines: Vec<Line>,
    best_effort: bool,
    zone: u32,
    options: Options,
}

impl Client {
    /// Begins a replace: the shopper's cart has changed. Name the whole new set of lines; what the hold has already is
    /// not counted against it. Id, home and deadline stay.
    pub fn replace(&self, id: ReservationId) -> Replace {
        Replace {
            client: self.clone(),
            id,
            operation_id: None,
            lines: Vec::new(),
            best_effort: false,
            zone: 0,
            options: Options::default(),
        }
    }
}

change!(Replace);

impl Replace {
    /// So many units of that SKU at that location.
    pub fn line(self, sku: impl Into<String>, location: impl Into<String>, quantity: u64) -> Self {
        self.push(Line::new(sku, location, quantity))
    }

    /// So many units of that SKU, from wherever its policy chooses.
    pub fn line_anywhere(self, sku: impl Into<String>, quantity: u64) -> Self {
        self.push(Line::anywhere(sku, quantity))
    }

    /// A line with more to say.
    pub fn push(mut self, line: Line) -> Self {
        self.lines.push(line);
        self
    }

    /// Hold what is there instead of all or nothing.
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// Zone of whoever asks, for policies that choose the nearest location.
    pub fn zone(mut self, zone: u32) -> Self {
        self.zone = zone;
        self
    }

    fn prepare(self) -> Result<Prepared, Error> {
        let mut checks = Checks::default();
        if self.lines.is_empty() {
            checks.refuse("lines", "must have at least one line; to hold nothing any more, release");
        }
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.into_iter().enumerate() {
            lines.push(wire_line(&mut checks, index, line));
        }
        checks.finish()?;
        let request = v1::ReplaceRequest {
            reservation_id: Bytes::copy_from_slice(&self.id.to_bytes()),
            operation_id: operation_id(&self.client, self.operation_id),
            namespace: self.client.shared.namespace.as_str().to_owned(),
            lines,
            best_effort: self.best_effort,
            zone: self.zone,
            context: self.options.context(&self.client.shared),
            delivery: None,
        };
        Ok(prepared(self.id, Body::Replace(request)))
    }
}
