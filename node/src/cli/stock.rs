//! `earmark stock`: every pool of a SKU.

use super::parse::All;
use super::views::StockView;
use super::{Failure, Global, connect, parse};
use clap::{Args, ValueEnum};
use earmark_client::Level;
use std::process::ExitCode;

/// Arguments of `earmark stock`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which article.
    #[arg(value_name = "SKU")]
    sku: String,
    /// Only at this location.
    #[arg(long, value_name = "LOCATION")]
    location: Option<String>,
    /// How fresh the answer must be.
    #[arg(long, value_enum, default_value_t = Freshness::Linearizable)]
    level: Freshness,
}

/// Levels that make sense for a single read.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Freshness {
    /// Sees every change acknowledged before.
    Linearizable,
    /// From any replica, with its age.
    Bounded,
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let level = match arguments.level {
        Freshness::Linearizable => Level::Linearizable,
        Freshness::Bounded => Level::Bounded,
    };
    let location = arguments.location.map(|text| parse::location(&text)).transpose();
    let (sku, location) = (parse::sku(&arguments.sku), location).all()?;
    let mut read = connect(global).await?.stock(sku).level(level);
    if let Some(location) = location {
        read = read.location(location);
    }
    global.output.print(&StockView::from(read.send().await?))
}
