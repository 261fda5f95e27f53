//! `earmark ship`: committed units leave the house.

use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark ship`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
    /// Only these: SKU@LOCATION=UNITS. Without any, all that did not leave yet.
    #[arg(value_name = "SKU[@LOCATION]=UNITS")]
    parts: Vec<String>,
    /// The id to go by, a UUID of version 7: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    operation: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let id = parse::reservation_id(&arguments.id)?;
    let parts = parse::parts(&arguments.parts)?;
    let operation = arguments.operation.map(|text| parse::operation_id("operation", &text)).transpose()?;
    let mut request = connect(global).await?.ship(id).parts(parts);
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
