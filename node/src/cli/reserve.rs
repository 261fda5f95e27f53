//! `earmark reserve`: hold units for a while.

use super::views::ReservedView;
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_ledger::{limits::LINES_MAX, types::Owner};
use std::process::ExitCode;

/// Arguments of `earmark reserve`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to hold: SKU@LOCATION=UNITS. The last @ separates; without one the location is `main`.
    #[arg(value_name = "SKU[@LOCATION]=UNITS", required = true)]
    lines: Vec<String>,
    /// How long, for instance 15m or 90s, from 1s to 31days; 15 minutes if it is not given.
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// For whom: opaque, not personal data.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    owner: String,
    /// The id to go by, from `earmark id`. The same id and lines again ask for the first outcome.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Hold what is there instead of all or nothing.
    #[arg(long)]
    best_effort: bool,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let lines = arguments.lines.iter().map(|text| parse::line(text)).collect::<Result<Vec<_>, _>>()?;
    let ttl = arguments.ttl.map(|text| parse::ttl(&text)).transpose()?;
    let id = arguments.id.map(|text| parse::reservation_id(&text)).transpose()?;
    let owner = parse::text::<Owner>("owner", &arguments.owner)?;
    if lines.len() > LINES_MAX {
        return Err(Failure::input("lines", format!("must be 1 to {LINES_MAX}, not {}", lines.len())));
    }
    let client = connect(global).await?;
    let mut reserve = client.reserve().owner(owner);
    for (sku, location, quantity) in lines {
        reserve = reserve.line(sku, location, quantity);
    }
    if let Some(ttl) = ttl {
        reserve = reserve.ttl(ttl);
    }
    if let Some(id) = id {
        reserve = reserve.id(id);
    }
    if arguments.best_effort {
        reserve = reserve.best_effort();
    }
    global.output.print(&ReservedView::from(&reserve.send().await?))
}
