//! `earmark expect`: a receipt is announced, changed or cancelled.

use super::parse::All;
use super::views::StockChangeView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::types::Document;
use std::process::ExitCode;

/// Arguments of `earmark expect`.
#[derive(Debug, Args)]
#[command(after_help = "\
The receipt that names the same document is its arrival: `earmark receive tea@main 30 --document order-9`.

Examples:
  earmark expect tea@main 30 --document order-9 --at 2026-12-01T06:00:00Z
  earmark expect tea@main 24 --document order-9 --at +3days
  earmark expect tea@main 0 --document order-9")]
pub struct Arguments {
    /// What and where: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// How many units; 0 cancels it.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    quantity: String,
    /// Names the delivery.
    #[arg(long, value_name = "TEXT")]
    document: String,
    /// When: a date and time, or +LENGTH from now. Needed unless it is cancelled.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The id to go by: a UUID, version 7. The same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let quantity = parse::units_or_none("quantity", &arguments.quantity);
    let document = match arguments.document.as_str() {
        "" => Err(Failure::input("document", "must not be empty: it names the delivery")),
        document => parse::text::<Document>("document", document),
    };
    let at = match arguments.at {
        Some(text) => parse::moment("at", &text).map(Some),
        None if quantity.as_ref().is_ok_and(|quantity| *quantity > 0) => {
            Err(Failure::input("at", "is needed: say when the delivery is expected"))
        }
        None => Ok(None),
    };
    let id = arguments.id.map(|text| parse::operation_id("id", &text)).transpose();
    let read = (parse::place(&arguments.place), quantity, document, at, id);
    let (parse::Place { sku, location, kind, lot }, quantity, document, at, id) = read.all()?;
    let client = connect(global).await?;
    let date = at.map_or(client.server_time(), |at| at.by(client.server_time()));
    let mut expect = client.expect(sku, location, quantity, document, date).kind(kind).lot(lot);
    if let Some(id) = id {
        expect = expect.id(id);
    }
    global.output.print(&StockChangeView::from(expect.send().await?))
}
