//! Threads that are waited for. RocksDB must be let go of before the process runs its exit handlers, which take apart
//! what RocksDB still uses; so whoever owns such a thread does not end before it.

use super::error::StoreError;
use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

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

/// Where what was asked is answered. Whoever asked may have gone.
pub type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A thread that is asked one thing at a time, for what borrows from what it works on and so can't be moved about. It ends when
/// this is dropped.
pub struct Asked<Q> {
    questions: mpsc::SyncSender<Q>,
    /// Below `questions`, without which it ends.
    _thread: Thread,
}

impl<Q: Send + 'static> Asked<Q> {
    /// Starts one that takes questions until there are no more.
    ///
    /// # Errors
    /// [`StoreError::Io`] if there is no thread to be had.
    pub fn spawn(name: &str, run: impl FnOnce(mpsc::Receiver<Q>) + Send + 'static) -> Result<Self, StoreError> {
        let (questions, asked) = mpsc::sync_channel(1);
        let thread = Thread::spawn(name, move || run(asked)).map_err(StoreError::io)?;
        Ok(Self { questions, _thread: thread })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// As the answer says; [`StoreError::Io`] if the thread ended.
    pub async fn ask<T>(&mut self, question: impl FnOnce(Answer<T>) -> Q) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::io("the thread that was asked ended");
        self.questions.send(question(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
