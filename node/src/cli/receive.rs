//! `earmark receive`: units that arrived.

use super::parse::All;
use super::views::StockChangeView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::types::Document;
use std::process::ExitCode;

/// Arguments of `earmark receive`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What and where: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// How many units.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    quantity: String,
    /// Delivery note or the like.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    document: String,
    /// The id to go by, a UUID of version 7 from `earmark id`: the same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::place(&arguments.place),
        parse::pool_units("quantity", &arguments.quantity),
        parse::text::<Document>("document", &arguments.document),
        arguments.id.map(|text| parse::operation_id("id", &text)).transpose(),
    );
    let (parse::Place { sku, location, kind, lot }, quantity, document, id) = read.all()?;
    let client = connect(global).await?;
    let mut receive = client.receive(sku, location, quantity).kind(kind).lot(lot).document(document);
    if let Some(id) = id {
        receive = receive.id(id);
    }
    let change = receive.send().await?;
    global.output.print(&StockChangeView::from(change))
}
