//! Threads that are waited for. RocksDB must be let go of before the process runs its exit handlers, which take apart
//! what RocksDB still uses; so whoever owns such a thread does not end before it.

use std::{
    io,
    thread::{self, JoinHandle},
};

/// A thread that has ended when this is dropped. What makes it end must be dropped before.
pub struct Thread(Option<JoinHandle<()>>);

impl Thread {
    /// Starts a thread.
    ///
    /// # Errors
    /// If the system has none to give.
    pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        thread::Builder::new().name(name.into()).spawn(run).map(|handle| Self(Some(handle)))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // The thread itself may be the last to hold what owns it; it can't wait for itself.
        if let Some(handle) = self.0.take().filter(|handle| handle.thread().id() != thread::current().id()) {
            // A panic was told by its own means: the writer poisons the store, a view's answers stop.
            handle.join().ok();
        }
    }
}
