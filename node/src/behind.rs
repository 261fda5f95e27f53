//! Long work that nobody is answered by: on threads that come after all that answer somebody.
//!
//! Reading millions of records back takes a processor for seconds. Whoever shares the machine, other nodes among them, waits for
//! the scheduler's next slice then, some milliseconds each time, unless the long work is what waits.

use std::{io, thread};
use tokio::sync::oneshot;

/// The nice value of such a thread: it gets a tenth of what one that answers gets, and all that nobody wants.
const NICE: i32 = 10;

/// Does it on a thread of its own; what is dropped without an answer has ended by a panic.
///
/// # Errors
/// There is no thread to be had.
pub fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (answer, done) = oneshot::channel();
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        step_back();
        // Whoever waited may have gone.
        answer.send(work()).ok();
    })?;
    Ok(done)
}

/// Not to be undone without privileges, so never on a thread that is used again.
fn step_back() {
    // On Linux each thread has a nice value of its own; elsewhere this would be the process's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread for long work can't be put behind others");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_thread_of_the_work_steps_back() {
        let nice = || rustix::process::getpriority_process(None).expect("of this thread");
        let before = nice();
        let during = spawn("test", nice).expect("a thread").await.expect("an answer");
        assert_eq!((during, nice()), (before.max(NICE), before));
    }
}
