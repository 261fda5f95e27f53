//! A RocksDB snapshot that can be kept and moved about. RocksDB's own borrows the database, so a thread holds both and
//! answers questions; it ends when the view is dropped. Views are few: one for each replica that is being sent a
//! snapshot.

use super::{
    engine::{Family, Records, View},
    error::StoreError,
    keys::KeyRange,
    rocks::{Held, handle, range_options, store_error},
    thread::{Answer, Asked},
    way::Way,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use rocksdb::{DB, Snapshot};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

/// A view of RocksDB.
pub struct RocksView(Asked<Question>);

enum Question {
    Get { family: Family, key: Vec<u8>, answer: Answer<Option<Bytes>> },
    Chunk { family: Family, range: KeyRange, bytes: usize, answer: Answer<Records> },
}

impl RocksView {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// [`StoreError::Io`] if there is no thread to be had.
    pub async fn open(held: Arc<Held>) -> Result<Self, StoreError> {
        let (ready, taken) = oneshot::channel();
        let hold = move |asked: mpsc::Receiver<Question>| {
            let snapshot = held.db.snapshot();
            // Whoever wanted it may have gone; then no question comes.
            ready.send(()).ok();
            while let Ok(question) = asked.recv() {
                answer(&held.db, &snapshot, question);
            }
        };
        // Made before the wait: whoever gives up here lets go of the questions first, and then waits for the thread.
        let view = Self(Asked::spawn("store-view", hold)?);
        taken.await.map_err(|_| StoreError::io("the view's thread ended"))?;
        Ok(view)
    }
}

impl View for RocksView {
    fn get(&mut self, family: Family, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        self.0.ask(move |answer| Question::Get { family, key, answer }).boxed()
    }

    fn chunk(&mut self, family: Family, range: KeyRange, bytes: usize) -> BoxFuture<'_, Result<Records, StoreError>> {
        self.0.ask(move |answer| Question::Chunk { family, range, bytes, answer }).boxed()
    }
}

/// Answers one question. Who asked may have gone.
fn answer(db: &DB, snapshot: &Snapshot<'_>, question: Question) {
    match question {
        Question::Get { family, key, answer } => {
            let value = handle(db, family).and_then(|handle| snapshot.get_cf(handle, key).map_err(store_error));
            answer.send(value.map(|value| value.map(Bytes::from))).ok();
        }
        Question::Chunk { family, range, bytes, answer } => {
            answer.send(chunk(db, snapshot, family, &range, bytes)).ok();
        }
    }
}

fn chunk(
    db: &DB,
    snapshot: &Snapshot<'_>,
    family: Family,
    range: &KeyRange,
    bytes: usize,
) -> Result<Records, StoreError> {
    let mut cursor = snapshot.raw_iterator_cf_opt(handle(db, family)?, range_options(range));
    cursor.seek(&range.start);
    let (mut records, mut taken, mut way) = (Records::new(), 0, Way::new(true));
    while let Some((key, value)) = cursor.item() {
        taken += key.len() + value.len();
        records.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        way.record();
        if taken >= bytes {
            return Ok(records);
        }
        cursor.next();
    }
    cursor.status().map_err(store_error)?;
    Ok(records)
}
