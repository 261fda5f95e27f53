//! `earmark reserve`: hold units for a while.

use super::parse::All;
use super::views::{ReservedView, WouldHoldView};
use super::{Failure, Global, connect, parse};
use clap::Args;
use earmark_client::DryRun;
use earmark_ledger::types::Owner;
use std::process::ExitCode;

/// Arguments of `earmark reserve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  earmark reserve lamp-01@berlin=2 --owner cart-77
  earmark reserve lamp-01=2 tea=1 --anywhere --zone 3
  earmark reserve lamp-01@berlin:preorder/lot-7=1..2 --best-effort
  earmark reserve lamp-01@berlin=2 --dry-run")]
pub struct Arguments {
    /// What to hold: SKU@LOCATION=UNITS. The last @ separates; without one the location is `main`. A kind of stock that is not
    /// on the shelf and a lot come after the location: SKU@LOCATION:preorder/LOT=UNITS. With --best-effort =MINIMUM..UNITS
    /// refuses the whole unless the minimum is there.
    #[arg(value_name = "SKU[@LOCATION]=UNITS", required = true)]
    lines: Vec<String>,
    /// How long, for instance 15m or 90s, from 1s to 31days; as the SKU says if it is not given, else 15 minutes.
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
    /// Lines without a location go where the policy of their SKU chooses, instead of to `main`.
    #[arg(long)]
    anywhere: bool,
    /// Zone of whoever asks, for policies that choose the nearest.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    zone: u32,
    /// Only tell what would be answered now: nothing is held. The exit code is that of the reserve.
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let read = (
        parse::Lines { anywhere: arguments.anywhere, best_effort: arguments.best_effort }.read(&arguments.lines),
        arguments.ttl.map(|text| parse::ttl(&text)).transpose(),
        arguments.id.map(|text| parse::reservation_id(&text)).transpose(),
        parse::text::<Owner>("owner", &arguments.owner),
    );
    let (cart, ttl, id, owner) = read.all()?;
    let client = connect(global).await?;
    let mut reserve = client.reserve().owner(owner).zone(arguments.zone);
    for line in cart.lines {
        reserve = reserve.push(line);
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
    if arguments.dry_run {
        let DryRun { verdict, level, positions, as_of, age } = reserve.dry_run().send().await?;
        let would = verdict.map_err(|error| Failure::of_lines(error, cart.places))?;
        return global.output.print(&WouldHoldView::new(would, (level, positions, as_of, age)));
    }
    let reserved = reserve.send().await.map_err(|error| Failure::of_lines(error, cart.places))?;
    global.output.print(&ReservedView::from(&reserved))
}
