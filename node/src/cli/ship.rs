//! `earmark ship`: committed units leave the house.

use super::of_reservation::{OfReservation, Read};
use super::views::ReservationView;
use super::{Failure, Global, connect};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark ship`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which units of which reservation, and under which id.
    #[command(flatten)]
    of: OfReservation,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let Read { id, parts, operation } = arguments.of.read()?;
    let mut request = connect(global).await?.ship(id).parts(parts);
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
