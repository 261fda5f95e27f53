//! `earmark quarantine`, `unquarantine` and `write-off`: units that can't be sold.

use super::parse::All;
use super::views::CorrectionView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::types::Reason;
use std::process::ExitCode;

/// Arguments of `earmark quarantine` and `earmark write-off`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark quarantine tea@main 3 --reason 'wet cartons'
  earmark write-off tea@main 2 --reason 'wet cartons'
  earmark unquarantine tea@main 1")]
pub struct Arguments {
    /// What and where: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// How many units.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    quantity: String,
    /// Why, for the books: damaged, quality, or what else.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The id to go by: a UUID, version 7. The same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

/// Arguments of `earmark unquarantine`.
#[derive(Debug, Args)]
pub struct Back {
    /// What and where: SKU@LOCATION. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU@LOCATION")]
    place: String,
    /// How many units.
    #[arg(value_name = "UNITS", allow_hyphen_values = true)]
    quantity: String,
    /// Why, for the books.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// The id to go by: a UUID, version 7. The same again asks for the first outcome.
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

pub(super) async fn set_apart(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let asked = Asked::read(&arguments.place, &arguments.quantity, arguments.id.as_deref());
    let (asked, reason) = (asked, parse::reason(&arguments.reason)).all()?;
    let client = connect(global).await?;
    asked.send(global, client.quarantine(&*asked.place.sku, &*asked.place.location, asked.quantity, reason)).await
}

pub(super) async fn write_off(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let asked = Asked::read(&arguments.place, &arguments.quantity, arguments.id.as_deref());
    let (asked, reason) = (asked, parse::reason(&arguments.reason)).all()?;
    let client = connect(global).await?;
    asked.send(global, client.write_off(&*asked.place.sku, &*asked.place.location, asked.quantity, reason)).await
}

pub(super) async fn back(global: &Global, arguments: Back) -> Result<ExitCode, Failure> {
    let asked = Asked::read(&arguments.place, &arguments.quantity, arguments.id.as_deref());
    let (asked, reason) = (asked, parse::text::<Reason>("reason", &arguments.reason)).all()?;
    let client = connect(global).await?;
    asked
        .send(global, client.unquarantine(&*asked.place.sku, &*asked.place.location, asked.quantity).reason(reason))
        .await
}

/// What the three have in common.
struct Asked {
    place: parse::Place,
    quantity: u64,
    id: Option<earmark_client::OperationId>,
}

impl Asked {
    fn read(place: &str, quantity: &str, id: Option<&str>) -> Result<Self, Failure> {
        let id = id.map(|text| parse::operation_id("id", text)).transpose();
        let (place, quantity, id) = (parse::place(place), parse::pool_units("quantity", quantity), id).all()?;
        Ok(Self { place, quantity, id })
    }

    async fn send(&self, global: &Global, asked: earmark_client::Quarantine) -> Result<ExitCode, Failure> {
        let mut asked = asked.kind(self.place.kind).lot(&*self.place.lot);
        if let Some(id) = self.id {
            asked = asked.id(id);
        }
        global.output.print(&CorrectionView::from(asked.send().await?))
    }
}
