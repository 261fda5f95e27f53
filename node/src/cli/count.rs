//! `earmark count`: what was counted, and when.

use super::parse::All;
use super::views::CorrectionView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::types::{Document, Reason};
use std::process::ExitCode;

/// Arguments of `earmark count`.
#[derive(Debug, Args)]
#[command(after_help = "\
What moved since it was counted is applied on top. A count below what is held and committed is taken as well: it opens a \
shortage, and `earmark shortages` tells of it.

Examples:
  earmark count tea@main 37
  earmark count tea@main 37 --ago 20m --document list-12
  earmark count tea@main 37 --at 2026-11-27T08:30:00Z
  earmark count tea@main 37 --position 3/1/4711")]
pub struct Arguments {
    /// What and where: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// How many units were there.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    counted: String,
    /// When it was counted, by its date and time; just now if nothing is said.
    #[arg(long, value_name = "TIME", group = "moment")]
    at: Option<String>,
    /// How long ago it was counted, for instance 20m.
    #[arg(long, value_name = "LENGTH", group = "moment")]
    ago: Option<String>,
    /// It was counted right after that entry: SHARD/EPOCH/INDEX, as `--output json` tells positions.
    #[arg(long, value_name = "POSITION", group = "moment")]
    position: Option<String>,
    /// Number of the counting list.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    document: String,
    /// Why, for the books.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// The id to go by: a UUID, version 7. The same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::place(&arguments.place),
        parse::units_or_none("counted", &arguments.counted),
        arguments.at.map(|text| parse::moment("at", &text)).transpose(),
        arguments.ago.map(|text| parse::length("ago", &text)).transpose(),
        arguments.position.map(|text| parse::position(&text)).transpose(),
        parse::text::<Document>("document", &arguments.document),
        parse::text::<Reason>("reason", &arguments.reason),
        arguments.id.map(|text| parse::operation_id("id", &text)).transpose(),
    );
    let (parse::Place { sku, location, kind, lot }, counted, at, ago, position, document, reason, id) = read.all()?;
    let client = connect(global).await?;
    let mut count = client.count(sku, location, counted).kind(kind).lot(lot).document(document).reason(reason);
    if let Some(id) = id {
        count = count.id(id);
    }
    if let Some(position) = position {
        count = count.at_position(position);
    }
    if let Some(at) = at {
        count = count.at_time(at.by(client.server_time()));
    }
    if let Some(ago) = ago {
        count = count.at_time(client.server_time().minus(ago));
    }
    global.output.print(&CorrectionView::from(count.send().await?))
}
