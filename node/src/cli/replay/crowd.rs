//! Does many small pieces of work in order of their number, so many at once, and stops at the first failure.

use crate::cli::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

/// Does `work` for 0 to `count`, `width` at once. A piece begins when all before it have begun.
pub(super) async fn each<W, F>(count: usize, width: usize, work: W) -> Result<(), Failure>
where
    W: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), Failure>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers: JoinSet<Result<(), Failure>> = JoinSet::new();
    for _ in 0..width.min(count) {
        let (next, work) = (Arc::clone(&next), work.clone());
        workers.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(());
                }
                work(index).await?;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        // Dropping the set stops the others.
        ended.map_err(|error| Failure::local(format!("a worker died: {error}")))??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn every_piece_is_done_once_and_one_at_a_time_in_order() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let note = Arc::clone(&done);
        each(100, 1, move |index| {
            let note = Arc::clone(&note);
            async move {
                tokio::task::yield_now().await;
                note.lock().unwrap().push(index);
                Ok(())
            }
        })
        .await
        .expect("done");
        assert_eq!(*done.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_failure_stops_all() {
        let failed =
            each(100, 8, |index| async move { if index == 10 { Err(Failure::local("enough")) } else { Ok(()) } });
        assert!(matches!(failed.await, Err(Failure::Local(why)) if why == "enough"));
    }
}
