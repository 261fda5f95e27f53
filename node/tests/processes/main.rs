//! Real processes and real faults: kill -9, damaged disks, syncs that fail, folders that are not what they should be.
//!
//! Each test has three nodes of its own. Two tests run at a time: they wait more than they compute, and more of them would
//! need the whole machine.

mod acts;
mod carts;
mod checks;
mod cluster;
mod crash;
mod damage;
mod failing_sync;
mod half_year;
mod import;
mod jumping_clock;
mod kills;
mod lagging;
mod load;
mod proxy;
mod refusals;
mod unsettled;
mod vanish;
mod wal;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Tests that run at a time.
const TOGETHER: usize = 2;

/// Held by a test that runs.
pub async fn admitted() -> SemaphorePermit<'static> {
    static PLACES: Semaphore = Semaphore::const_new(TOGETHER);
    PLACES.acquire().await.expect("it is never closed")
}
