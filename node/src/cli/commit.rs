//! `earmark commit`: sell what a reservation holds.

use super::views::ReservationView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark commit`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which reservation. Put it in quotes: an id may end in `*`, `~`, `$` or `=`.
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let id = parse::reservation_id(&arguments.id)?;
    let change = connect(global).await?.commit(id).send().await?;
    global.output.print(&ReservationView::from(change))
}
