//! `earmark mark-paying`: a grace while the shopper pays.

use super::parse::All;
use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark mark-paying`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
    /// By how much the deadline moves, from 1s to 30min.
    #[arg(long, value_name = "TIME", default_value = "2m")]
    grace: String,
    /// The id to go by, a UUID of version 7: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    operation: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::reservation_id(&arguments.id),
        parse::grace(&arguments.grace),
        arguments.operation.map(|text| parse::operation_id("operation", &text)).transpose(),
    );
    let (id, grace, operation) = read.all()?;
    let mut request = connect(global).await?.mark_paying(id).grace(grace);
    if let Some(operation) = operation {
        request = request.operation_id(operation);
    }
    let change = request.send().await?;
    global.output.print(&ReservationView::from(change))
}
