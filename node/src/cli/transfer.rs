//! `earmark transfer`, `arrive` and `transits`: units on their way between locations.

use super::parse::All;
use super::views::{TransferredView, TransitsView};
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::types::{Document, Location, Reason};
use std::process::ExitCode;

/// Arguments of `earmark transfer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark transfer tea@depot shop 12 --document note-7
  earmark transfer tea@depot shop 12 --immediate")]
pub struct Transfer {
    /// What, and where it is: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// Where it goes.
    #[arg(value_name = "LOCATION")]
    to: String,
    /// How many units.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    quantity: String,
    /// They are there at once: nothing is in transit.
    #[arg(long)]
    immediate: bool,
    /// Delivery note.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    document: String,
    /// Why, for the books.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// The id to go by: a UUID, version 7. It names the transfer too.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

/// Arguments of `earmark arrive`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark arrive tea 0192f3c1-6d2e-7c4b-9d0a-3f5b8e7a1c22 11
  earmark arrive tea 0192f3c1-6d2e-7c4b-9d0a-3f5b8e7a1c22 10 --lost 1 --reason 'broken on the way'")]
pub struct Arrive {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
    /// Which transfer; `earmark transits SKU` lists them.
    #[arg(value_name = "TRANSFER")]
    transfer: String,
    /// How many units arrived.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    received: String,
    /// How many will not arrive. Needs a reason.
    #[arg(long, default_value = "0", hide_default_value = true, value_name = "UNITS", requires = "reason")]
    lost: String,
    /// Delivery note.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    document: String,
    /// Why units are lost, for the books.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The id to go by: a UUID, version 7. The same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

/// Arguments of `earmark transits`.
#[derive(Debug, Args)]
pub struct Transits {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
    /// How many to list at most.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

pub(super) async fn transfer(global: &Global, arguments: Transfer) -> Result<ExitCode, Failure> {
    let place = parse::place(&arguments.place);
    let to = match &place {
        Ok(place) if place.location == arguments.to => {
            Err(Failure::input("to", format!("is where the units are: {:?}", arguments.to)))
        }
        _ => parse::name::<Location>("to", &arguments.to),
    };
    let read = (
        place,
        to,
        parse::pool_units("quantity", &arguments.quantity),
        parse::text::<Document>("document", &arguments.document),
        parse::text::<Reason>("reason", &arguments.reason),
        arguments.id.map(|text| parse::operation_id("id", &text)).transpose(),
    );
    let (parse::Place { sku, location: from, kind, lot }, to, quantity, document, reason, id) = read.all()?;
    let client = connect(global).await?;
    let mut transfer = client.transfer(sku, from, to, quantity).kind(kind).lot(lot).document(document).reason(reason);
    if let Some(id) = id {
        transfer = transfer.id(id);
    }
    if arguments.immediate {
        transfer = transfer.immediate();
    }
    global.output.print(&TransferredView::from(transfer.send().await?))
}

pub(super) async fn arrive(global: &Global, arguments: Arrive) -> Result<ExitCode, Failure> {
    let lost = parse::units_or_none("lost", &arguments.lost);
    let received = match parse::units_or_none("received", &arguments.received) {
        Ok(0) if matches!(lost, Ok(0)) => Err(Failure::input("received", "must be at least 1 where none is lost")),
        received => received,
    };
    let read = (
        parse::sku(&arguments.sku),
        parse::operation_id("transfer", &arguments.transfer),
        received,
        lost,
        parse::text::<Document>("document", &arguments.document),
        arguments.reason.map(|text| parse::reason(&text)).transpose(),
        arguments.id.map(|text| parse::operation_id("id", &text)).transpose(),
    );
    let (sku, transfer, received, lost, document, reason, id) = read.all()?;
    let reason = reason.unwrap_or_default();
    let client = connect(global).await?;
    let mut arrive = client.arrive(sku, transfer, received).lost(lost, reason).document(document);
    if let Some(id) = id {
        arrive = arrive.id(id);
    }
    global.output.print(&TransferredView::from(arrive.send().await?))
}

pub(super) async fn transits(global: &Global, arguments: Transits) -> Result<ExitCode, Failure> {
    let sku = parse::sku(&arguments.sku)?;
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let client = connect(global).await?;
    let list = super::pages(limit, |size, after| {
        let list = client.in_transit(&*sku).page_size(size);
        match after {
            Some(token) => list.after(token),
            None => list,
        }
        .send()
    })
    .await?;
    global.output.print(&TransitsView::from(list))
}
