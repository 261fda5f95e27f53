//! An opened simulated disk.

use super::{
    super::{
        engine::{Batch, Engine, Family, Records, Table, View, Visit},
        error::StoreError,
        keys::KeyRange,
    },
    Call, Failure, Families, SimulatedDisk, State,
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt, ready};
use std::{
    ops::{Bound, ControlFlow},
    sync::{Arc, MutexGuard},
    time::Duration,
};

/// One opening of a simulated disk.
pub struct SimulatedEngine {
    disk: SimulatedDisk,
    session: u64,
}

impl SimulatedEngine {
    pub(super) fn new(disk: SimulatedDisk, session: u64) -> Self {
        Self { disk, session }
    }

    /// The state, if the machine is still up and the call does not fail.
    fn state(&self, call: Call) -> Result<MutexGuard<'_, State>, StoreError> {
        let (state, failure) = self.begun(call)?;
        told(failure)?;
        Ok(state)
    }

    /// The state, if the machine is still up and the call does not fail before it has done anything; and how it fails then.
    fn begun(&self, call: Call) -> Result<(MutexGuard<'_, State>, Option<Failure>), StoreError> {
        let failure = self.disk.effect(call).failure;
        if failure == Some(Failure::Undone) {
            return Err(planted());
        }
        let state = self.disk.state();
        state.check(self.session)?;
        Ok((state, failure))
    }

    /// Shows records until told to stop.
    fn show<'a>(
        &self,
        family: Family,
        records: impl Iterator<Item = (&'a Vec<u8>, &'a Bytes)>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        for (key, value) in records {
            self.disk.state().content.current.check(family, key)?;
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    /// Syncs whatever was written.
    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.disk.state();
        state.check(self.session)?;
        let State { content, unsynced, .. } = &mut *state;
        unsynced.drain(..).for_each(|batch| content.synced.apply(&batch));
        Ok(())
    }
}

/// Writes a batch, un-synced.
fn put(disk: &SimulatedDisk, session: u64, batch: Batch) -> Result<(), StoreError> {
    let mut state = disk.state();
    state.check(session)?;
    state.content.current.apply(&batch);
    state.unsynced.push(batch);
    Ok(())
}

/// Writes a batch, un-synced, of which only the first half can be seen until it has landed.
fn put_aside(disk: &SimulatedDisk, session: u64, batch: Batch) -> Result<(), StoreError> {
    let mut state = disk.state();
    state.check(session)?;
    let half = batch.changes().count() / 2;
    state.content.current.apply_each(batch.changes().take(half));
    state.unsynced.push(batch.clone());
    state.landing = Some(batch);
    Ok(())
}

async fn sleep(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// What is told of a call that was done.
fn told(failure: Option<Failure>) -> Result<(), StoreError> {
    if failure.is_some() { Err(planted()) } else { Ok(()) }
}

fn planted() -> StoreError {
    StoreError::io("a planted fault")
}

impl Drop for SimulatedEngine {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.session == self.session {
            state.open = false;
        }
    }
}

impl Engine for SimulatedEngine {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let state = self.state(Call::Read(family))?;
        state.content.current.check(family, key)?;
        Ok(state.content.current.of(family).get(key).cloned())
    }

    fn scan(&self, family: Family, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let records = Arc::clone(self.state(Call::Read(family))?.content.current.of(family));
        self.show(family, records.range::<[u8], _>(bounds(range)), visit)
    }

    fn scan_back(&self, family: Family, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let records = Arc::clone(self.state(Call::Read(family))?.content.current.of(family));
        self.show(family, records.range::<[u8], _>(bounds(range)).rev(), visit)
    }

    fn view(&self) -> BoxFuture<'static, Result<Box<dyn View>, StoreError>> {
        let view = self.state(Call::Read(Family::State)).map(|state| {
            let families = state.content.current.clone();
            Box::new(SimulatedView { disk: self.disk.clone(), session: self.session, families }) as Box<dyn View>
        });
        ready(view).boxed()
    }

    fn write_aside(&self, batch: Batch) -> BoxFuture<'static, Result<(), StoreError>> {
        let (disk, session) = (self.disk.clone(), self.session);
        // It goes on while others are written, whether anyone asks for it or not.
        let written = tokio::spawn(async move {
            let effect = disk.effect(Call::Aside { bytes: batch.bytes() });
            sleep(effect.delay / 2).await;
            if effect.failure != Some(Failure::Undone) {
                put_aside(&disk, session, batch)?;
            }
            sleep(effect.delay / 2).await;
            let mut state = disk.state();
            state.check(session)?;
            state.land();
            if effect.failure.is_some() { Err(planted()) } else { Ok(()) }
        });
        async move { written.await.map_err(StoreError::io)? }.boxed()
    }

    fn write<'a>(&'a self, batch: &'a Batch, sync: bool) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let effect = self.disk.effect(Call::Write { bytes: batch.bytes(), sync });
            // Written first: what takes its time is the sync, and the power may go meanwhile.
            if effect.failure != Some(Failure::Undone) {
                put(&self.disk, self.session, batch.clone())?;
            }
            sleep(effect.delay).await;
            match effect.failure {
                Some(_) => Err(planted()),
                None if sync => self.sync(),
                None => self.health(),
            }
        }
        .boxed()
    }

    fn table(&self, _: Family) -> Result<Box<dyn Table>, StoreError> {
        self.health()?;
        Ok(Box::new(SimulatedTable { disk: self.disk.clone(), session: self.session, puts: Batch::default() }))
    }

    fn table_bytes(&self) -> usize {
        // Small enough that a simulated state takes several.
        4 << 10
    }

    fn health(&self) -> Result<(), StoreError> {
        self.disk.state().check(self.session)
    }

    fn read_marks(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state(Call::Read(Family::Meta))?.content.marks.clone())
    }

    fn write_marks(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let (mut state, failure) = self.begun(Call::WriteMarks)?;
        let marks = state.content.marks.get_or_insert_default();
        let start = usize::try_from(offset).map_err(StoreError::io)?;
        if marks.len() < start + bytes.len() {
            marks.resize(start + bytes.len(), 0);
        }
        marks[start..][..bytes.len()].copy_from_slice(bytes);
        state.marks_written = Some(start..start + bytes.len());
        told(failure)
    }

    fn sync_marks(&self) -> Result<(), StoreError> {
        let (mut state, failure) = self.begun(Call::SyncMarks)?;
        state.content.marks_synced = state.content.marks.clone();
        state.marks_written = None;
        told(failure)
    }

    fn blocks(&self) -> bool {
        false
    }
}

/// A table that is being filled. It is on stable storage once it is finished, and before what was written earlier.
struct SimulatedTable {
    disk: SimulatedDisk,
    session: u64,
    puts: Batch,
}

impl Table for SimulatedTable {
    fn put(&mut self, puts: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.puts.append(&puts);
        ready(self.disk.state().check(self.session)).boxed()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), StoreError>> {
        // It goes on if nobody waits for it any more.
        let written = tokio::spawn(async move {
            let effect = self.disk.effect(Call::Write { bytes: self.puts.bytes(), sync: false });
            sleep(effect.delay).await;
            if effect.failure != Some(Failure::Undone) {
                let mut state = self.disk.state();
                state.check(self.session)?;
                state.content.synced.apply(&self.puts);
                state.content.current.apply(&self.puts);
                // And after that, once it is synced as well.
                state.unsynced.push(self.puts);
            }
            told(effect.failure)
        });
        async move { written.await.map_err(StoreError::io)? }.boxed()
    }
}

/// A simulated disk's families at one moment.
struct SimulatedView {
    disk: SimulatedDisk,
    session: u64,
    families: Families,
}

impl SimulatedView {
    fn read_chunk(&self, family: Family, range: &KeyRange, bytes: usize) -> Result<Records, StoreError> {
        let state = self.disk.state();
        state.check(self.session)?;
        let (mut records, mut taken) = (Records::new(), 0);
        for (key, value) in self.families.of(family).range::<[u8], _>(bounds(range)) {
            self.families.check(family, key)?;
            taken += key.len() + value.len();
            records.push((Bytes::copy_from_slice(key), value.clone()));
            if taken >= bytes {
                break;
            }
        }
        Ok(records)
    }
}

impl View for SimulatedView {
    fn get(&mut self, family: Family, key: Vec<u8>) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        let checked = self.disk.state().check(self.session).and_then(|()| self.families.check(family, &key));
        ready(checked.map(|()| self.families.of(family).get(&key).cloned())).boxed()
    }

    fn chunk(&mut self, family: Family, range: KeyRange, bytes: usize) -> BoxFuture<'_, Result<Records, StoreError>> {
        async move {
            let effect = self.disk.effect(Call::Stream(family));
            sleep(effect.delay).await;
            if effect.failure.is_some() {
                return Err(planted());
            }
            self.read_chunk(family, &range, bytes)
        }
        .boxed()
    }
}

fn bounds(range: &KeyRange) -> (Bound<&[u8]>, Bound<&[u8]>) {
    // An empty range whose ends are the wrong way round would panic.
    let end = range.end.as_slice().max(range.start.as_slice());
    (Bound::Included(&range.start), Bound::Excluded(end))
}
