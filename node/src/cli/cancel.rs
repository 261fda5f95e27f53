//! `earmark cancel`: a sale is taken back before anything left the house.

use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::types::Reason;
use std::process::ExitCode;

/// Arguments of `earmark cancel`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
    /// Only these: SKU@LOCATION=UNITS. Without any, all that did not leave yet.
    #[arg(value_name = "SKU[@LOCATION]=UNITS")]
    parts: Vec<String>,
    /// Why, for the audit.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// The id to go by, a UUID of version 7: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    operation: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let id = parse::reservation_id(&arguments.id)?;
    let parts = parse::parts(&arguments.parts)?;
    let reason = parse::text::<Reason>("reason", &arguments.reason)?;
    let operation = arguments.operation.map(|text| parse::operation_id("operation", &text)).transpose()?;
    let mut request = connect(global).await?.cancel(id).parts(parts).reason(reason);
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
