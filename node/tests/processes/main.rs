//! Real processes and real faults: kill -9, damaged disks, syncs that fail, folders that are not what they should be.
//!
//! Each test has three nodes of its own; one test runs at a time, because what they need most is the machine.

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

use tokio::sync::{Mutex, MutexGuard};

/// Held by the test that runs.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}
