//! `earmark cancel`: a sale is taken back before anything left the house.

use super::of_reservation::{OfReservation, Read};
use super::parse::All;
use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::types::Reason;
use std::process::ExitCode;

/// Arguments of `earmark cancel`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which units of which reservation, and under which id.
    #[command(flatten)]
    of: OfReservation,
    /// Why, for the audit.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (arguments.of.read(), parse::text::<Reason>("reason", &arguments.reason));
    let (Read { id, parts, operation }, reason) = read.all()?;
    let mut request = connect(global).await?.cancel(id).parts(parts).reason(reason);
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
