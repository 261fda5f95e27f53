//! `earmark id`: a reservation id, for those who want to choose it before they reserve.

use super::output::View;
use super::{Failure, Global, connect, parse};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// Arguments of `earmark id`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The SKU beside which the reservation is to live: one of its lines.
    #[arg(value_name = "SKU")]
    sku: String,
}

#[derive(Debug, Serialize)]
struct Made {
    reservation_id: String,
    home_bucket: u16,
    server_time_ms: u64,
}

impl View for Made {
    fn table(&self) -> String {
        self.reservation_id.clone()
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let sku = parse::sku(&arguments.sku)?;
    // Ids are dated by the servers' clock, which connecting learns.
    let id = connect(global).await?.make_id(&sku)?;
    let made = Made { reservation_id: id.to_string(), home_bucket: id.home().number(), server_time_ms: id.time().0 };
    global.output.print(&made)
}
