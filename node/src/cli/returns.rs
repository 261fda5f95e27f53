//! `earmark return`: units come back from the customer.

use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_client::Disposition;
use earmark_ledger::types::Reason;
use std::process::ExitCode;

/// Arguments of `earmark return`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
    /// Only these: SKU@LOCATION=UNITS. Without any, all that did not come back yet.
    #[arg(value_name = "SKU[@LOCATION]=UNITS")]
    parts: Vec<String>,
    /// They can't be sold as they are: set them apart.
    #[arg(long)]
    unavailable: bool,
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
    let disposition = if arguments.unavailable { Disposition::Unavailable } else { Disposition::Sellable };
    let mut request = connect(global).await?.return_units(id, disposition).parts(parts).reason(reason);
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
