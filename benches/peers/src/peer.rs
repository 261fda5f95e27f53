//! What every measured system has in common.

use earmark_benches::{
    Failed,
    load::{
        drive::Callers,
        measure::{How, measure_callers},
        shape::{Plan, Shape, Work},
    },
    report::{Counted, Report},
    usage::Usage,
};
use std::{path::PathBuf, sync::Arc};

/// Where a system may lie.
#[derive(Clone, Debug)]
pub struct Place {
    /// For data and logs; empty.
    pub folder: PathBuf,
    /// First of ten ports.
    pub port: u16,
}

/// A system that runs and is stocked.
pub trait Peer: Callers + Sized {
    /// Whether it has anything like that.
    fn does(work: Work) -> bool;

    /// Starts three copies with the plan's stock.
    async fn start(place: &Place, plan: &Plan) -> Result<Self, Failed>;

    /// The first process of each copy.
    fn pids(&self) -> Vec<u32>;
}

/// Measures a system; none if it has nothing like that shape.
///
/// # Errors
/// It can't be started, or does not answer.
pub async fn measure_peer<P: Peer>(shape: Shape, place: &Place, how: &How) -> Result<Option<Report>, Failed> {
    if !P::does(how.plan.work) {
        return Ok(None);
    }
    let peer = Arc::new(P::start(place, &how.plan).await?);
    let counted = async || {
        let used = peer
            .pids()
            .into_iter()
            .try_fold(Usage::default(), |all, pid| Ok::<_, Failed>(all.and(Usage::of_tree(pid)?)))?;
        Counted::now(used, 0)
    };
    measure_callers(&shape.name(), how, &peer, counted).await.map(Some)
}
