//! `earmark replace`: other lines for a reservation.

use super::parse::All;
use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark replace`.
#[derive(Debug, Args)]
#[command(after_help = "Example: earmark replace 'ID' lamp-01@berlin=2 sock@paris=1")]
pub struct Arguments {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
    /// The whole new set: SKU@LOCATION=UNITS. What is not named goes back. Without @LOCATION the location is `main`.
    /// Kinds, lots and minimums as for `earmark reserve`.
    #[arg(value_name = "SKU[@LOCATION]=UNITS", required = true)]
    lines: Vec<String>,
    /// Lines without a location go where the policy of their SKU chooses, instead of to `main`.
    #[arg(long)]
    anywhere: bool,
    /// Zone of whoever asks, for policies that choose the nearest.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    zone: u32,
    /// Hold what is there instead of all or nothing.
    #[arg(long)]
    best_effort: bool,
    /// The id to go by, a UUID of version 7: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    operation: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::reservation_id(&arguments.id),
        parse::Lines { anywhere: arguments.anywhere, best_effort: arguments.best_effort }.read(&arguments.lines),
        arguments.operation.map(|text| parse::operation_id("operation", &text)).transpose(),
    );
    let (id, cart, operation) = read.all()?;
    let mut request = connect(global).await?.replace(id).zone(arguments.zone);
    for line in cart.lines {
        request = request.push(line);
    }
    if arguments.best_effort {
        request = request.best_effort();
    }
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await.map_err(|error| Failure::of_lines(error, cart.places))?;
    global.output.print(&ReservationView::from(change))
}
