//! `earmark commit`: sell what a reservation holds.

use super::of_reservation::{OfReservation, Read};
use super::views::ReservationView;
use super::{Failure, Global, connect};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark commit`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which units of which reservation, and under which id.
    #[command(flatten)]
    of: OfReservation,
    /// What is not named stays held instead of going back.
    #[arg(long)]
    keep_rest: bool,
    /// If the hold has expired, sell the units all the same if they are there now.
    #[arg(long)]
    revive: bool,
    /// The shopper has paid: if the hold has expired and the units can't be had, say that the money is to be paid back.
    #[arg(long, requires = "revive")]
    refund_hint: bool,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let Read { id, parts, operation } = arguments.of.read()?;
    let mut request = connect(global).await?.commit(id).parts(parts);
    if arguments.keep_rest {
        request = request.keep_rest();
    }
    if arguments.revive {
        request = request.revive();
    }
    if arguments.refund_hint {
        request = request.refund_hint();
    }
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
