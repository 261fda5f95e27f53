//! What commands have in common that take a reservation, or a part of it.

use super::{Failure, parse, parse::All};
use clap::Args;
use earmark_client::{OperationId, Part, ReservationId};

/// Which units of which reservation, and under which id.
#[derive(Debug, Args)]
pub struct OfReservation {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
    /// Only these: SKU@LOCATION=UNITS. Without any, all there is. Without @LOCATION the location is `main`.
    #[arg(value_name = "SKU[@LOCATION]=UNITS")]
    parts: Vec<String>,
    /// The id to go by, a UUID of version 7: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    operation: Option<String>,
}

/// The same, read.
pub(super) struct Read {
    pub(super) id: ReservationId,
    pub(super) parts: Vec<Part>,
    pub(super) operation: Option<OperationId>,
}

impl OfReservation {
    pub(super) fn read(&self) -> Result<Read, Failure> {
        let operation = self.operation.as_deref().map(|text| parse::operation_id("operation", text)).transpose();
        let (id, parts, operation) = (parse::reservation_id(&self.id), parse::parts(&self.parts), operation).all()?;
        Ok(Read { id, parts, operation })
    }
}
