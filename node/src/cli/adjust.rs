//! `earmark adjust`: a correction of on hand by hand.

use super::parse::All;
use super::views::StockChangeView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `earmark adjust`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What and where: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// How many units to add or take off: +N or -N.
    #[arg(value_name = "+N|-N", allow_hyphen_values = true)]
    delta: String,
    /// Why, for the books.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Refuse unless on hand has this value now.
    #[arg(long, value_name = "UNITS", allow_hyphen_values = true)]
    expect: Option<String>,
    /// The id to go by, a UUID of version 7 from `earmark id`: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::place(&arguments.place),
        parse::delta("delta", &arguments.delta),
        parse::reason(&arguments.reason),
        arguments.expect.map(|text| parse::units_or_none("expect", &text)).transpose(),
        arguments.id.map(|text| parse::operation_id("id", &text)).transpose(),
    );
    let (parse::Place { sku, location, kind, lot }, delta, reason, expect, id) = read.all()?;
    let client = connect(global).await?;
    let mut adjust = client.adjust(sku, location, delta, reason).kind(kind).lot(lot);
    if let Some(id) = id {
        adjust = adjust.id(id);
    }
    if let Some(units) = expect {
        adjust = adjust.expected_on_hand(units);
    }
    global.output.print(&StockChangeView::from(adjust.send().await?))
}
