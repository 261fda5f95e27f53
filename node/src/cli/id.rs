//! `earmark id`: a reservation id or an operation's id, for those who want to choose it before they ask.

use super::output::View;
use super::{Failure, Global, connect, parse};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// Arguments of `earmark id`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Of a reservation: the SKU beside which it is to live, one of its lines. Without one the id is that of an
    /// operation, for `--id` or `--operation` of everything but a reserve.
    #[arg(value_name = "SKU")]
    sku: Option<String>,
}

#[derive(Debug, Serialize)]
struct Made {
    reservation_id: String,
    home_bucket: u16,
    server_time_ms: u64,
}

#[derive(Debug, Serialize)]
struct MadeOperation {
    operation_id: String,
    server_time_ms: u64,
}

impl View for MadeOperation {
    fn table(&self) -> String {
        self.operation_id.clone()
    }
}

impl View for Made {
    fn table(&self) -> String {
        self.reservation_id.clone()
    }
}

pub(super) async fn run(global: &Global, arguments: Arguments) -> Result<ExitCode, Failure> {
    let sku = arguments.sku.as_deref().map(parse::sku).transpose()?;
    // Ids are dated by the servers' clock, which connecting learns.
    let client = connect(global).await?;
    let Some(sku) = sku else {
        let id = client.make_operation_id();
        return global.output.print(&MadeOperation { operation_id: id.to_string(), server_time_ms: id.time().0 });
    };
    let id = client.make_id(&sku)?;
    let made = Made { reservation_id: id.to_string(), home_bucket: id.home().number(), server_time_ms: id.time().0 };
    global.output.print(&made)
}
