//! `earmark shortages`, `reservations` and `expiring`: lists over all shards.

use super::views::{ExpiringView, ReservationsView, ShortagesView};
use super::{Failure, Global, connect, pages, parse};
use clap::Args;
use earmark_ledger::types::Owner;
use std::process::ExitCode;

/// Arguments of `earmark shortages`.
#[derive(Debug, Args)]
pub struct Shortages {
    /// How many to list at most.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// Arguments of `earmark reservations`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  earmark reservations --owner cart-77")]
pub struct Reservations {
    /// Whose. Those that ended are found by their ids, with `earmark show`.
    #[arg(long, value_name = "TEXT")]
    owner: String,
    /// How many to list at most.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// Arguments of `earmark expiring`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  earmark expiring --within 2m")]
pub struct Expiring {
    /// Holds that end within this time from now.
    #[arg(long, default_value = "1m", value_name = "LENGTH")]
    within: String,
    /// How many to list at most.
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

pub(super) async fn shortages(global: &Global, arguments: Shortages) -> Result<ExitCode, Failure> {
    let client = connect(global).await?;
    let list = pages(count(arguments.limit), |size, after| {
        let list = client.shortages().page_size(size);
        match after {
            Some(token) => list.after(token),
            None => list,
        }
        .send()
    })
    .await?;
    global.output.print(&ShortagesView::from(list))
}

pub(super) async fn reservations(global: &Global, arguments: Reservations) -> Result<ExitCode, Failure> {
    let owner = parse::text::<Owner>("owner", &arguments.owner)?;
    if owner.is_empty() {
        return Err(Failure::input("owner", "must not be empty"));
    }
    let client = connect(global).await?;
    let list = pages(count(arguments.limit), |size, after| {
        let list = client.reservations_of(&*owner).page_size(size);
        match after {
            Some(token) => list.after(token),
            None => list,
        }
        .send()
    })
    .await?;
    global.output.print(&ReservationsView::new(list, client.server_time()))
}

pub(super) async fn expiring(global: &Global, arguments: Expiring) -> Result<ExitCode, Failure> {
    let within = parse::ttl_of("within", &arguments.within)?;
    let client = connect(global).await?;
    let list = pages(count(arguments.limit), |size, after| {
        let list = client.expiring(within).page_size(size);
        match after {
            Some(token) => list.after(token),
            None => list,
        }
        .send()
    })
    .await?;
    global.output.print(&ExpiringView::new(list, client.server_time()))
}
