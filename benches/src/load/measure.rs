//! One load from its first stock to its report.

use super::{
    drive::{Callers, drive},
    shape::{Plan, Shape},
    worker::Crew,
};
use crate::{
    Failed,
    report::{Counted, Report},
    servers::usage,
};
use earmark_client::Client;
use std::{sync::Arc, time::Duration};

/// What is measured, and for how long.
#[derive(Clone, Debug)]
pub struct How {
    /// What is asked.
    pub plan: Plan,
    /// How long is measured.
    pub length: Duration,
    /// How long the same is done before, unmeasured.
    pub warm_up: Duration,
    /// Random numbers begin here.
    pub seed: u64,
}

/// Drives an Earmark cluster. `pids` are its processes on this machine, `stocked` says that its stock is to be taken as it
/// is.
///
/// # Errors
/// No node answers, or a caller broke down.
pub async fn measure(
    shape: Shape,
    how: &How,
    endpoints: &[String],
    pids: &[u32],
    stocked: bool,
) -> Result<Report, Failed> {
    let crew = Arc::new(Crew::connect(how.plan.clone(), endpoints).await?);
    if !stocked {
        crew.stock_up().await?;
    }
    let watcher = Client::connect(endpoints.iter().cloned()).await?;
    measure_callers(&shape.name(), how, &crew, async || counted(&watcher, pids).await).await
}

/// Has callers of any system take their turns. `counted` says what its servers have used so far.
///
/// # Errors
/// Nothing could be counted, or a caller broke down.
pub async fn measure_callers<C: Callers>(
    shape: &str,
    how: &How,
    crew: &Arc<C>,
    counted: impl AsyncFn() -> Result<Counted, Failed>,
) -> Result<Report, Failed> {
    if !how.warm_up.is_zero() {
        drive(crew, how.warm_up, how.seed).await?;
    }
    let before = counted().await?;
    let (measured, took) = drive(crew, how.length, how.seed.wrapping_add(1)).await?;
    let after = counted().await?;
    Ok(Report::new(shape, &measured, how.plan.rate.is_none(), took.as_secs_f64(), after.since(before)))
}

async fn counted(watcher: &Client, pids: &[u32]) -> Result<Counted, Failed> {
    let status = watcher.cluster().status(false).await?;
    let fsyncs = status.nodes.iter().filter_map(|node| node.store.as_ref()).map(|store| store.syncs).sum();
    Counted::now(usage(pids)?, fsyncs)
}
