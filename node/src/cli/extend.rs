//! `earmark extend`: a later deadline for a reservation.

use super::parse::All;
use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark extend`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
    /// How long from now, for instance 15m. A deadline that is later already stays.
    #[arg(long, value_name = "TIME")]
    ttl: String,
    /// The id to go by, a UUID of version 7 from `earmark id`: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    operation: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::reservation_id(&arguments.id),
        parse::ttl(&arguments.ttl),
        arguments.operation.map(|text| parse::operation_id("operation", &text)).transpose(),
    );
    let (id, ttl, operation) = read.all()?;
    let mut request = connect(global).await?.extend(id, ttl);
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
