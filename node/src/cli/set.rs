//! `earmark set`: on hand becomes a value.

use super::parse::All;
use super::views::CorrectionView;
use super::{Failure, Global, connect, parse};
use clap::{ArgGroup, Args};
use std::process::ExitCode;

/// Arguments of `earmark set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("before").args(["expect", "overriding"]).required(true))]
#[command(after_help = "\
Examples:
  earmark set tea@main 40 --expect 42 --reason 'stocktaking'
  earmark set tea@main 40 --override --reason 'first load from the old system'")]
pub struct Arguments {
    /// What and where: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// How many units are there from now on.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    on_hand: String,
    /// Refuse unless on hand has this value now.
    #[arg(long, value_name = "UNITS", allow_hyphen_values = true)]
    expect: Option<String>,
    /// Set it whatever it was.
    #[arg(long = "override")]
    overriding: bool,
    /// Why, for the books.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The id to go by: a UUID, version 7. The same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::place(&arguments.place),
        parse::units_or_none("on_hand", &arguments.on_hand),
        parse::reason(&arguments.reason),
        arguments.expect.map(|text| parse::units_or_none("expect", &text)).transpose(),
        arguments.id.map(|text| parse::operation_id("id", &text)).transpose(),
    );
    let (parse::Place { sku, location, kind, lot }, on_hand, reason, expect, id) = read.all()?;
    let client = connect(global).await?;
    let mut set = client.set(sku, location, on_hand, reason).kind(kind).lot(lot);
    if let Some(id) = id {
        set = set.id(id);
    }
    set = match expect {
        Some(units) => set.expected_on_hand(units),
        None => set.override_any(),
    };
    global.output.print(&CorrectionView::from(set.send().await?))
}
