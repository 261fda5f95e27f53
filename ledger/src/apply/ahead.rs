//! Looks at what the next commands will look at, so that it is near when they are applied.
//!
//! Each command finds its pool by four or five steps from one place in memory to the next. With many SKUs none of these is
//! in the processor's cache, and a command that waits for one can't begin to wait for the next. Those of several commands
//! can be waited for together.

use crate::{
    command::{Body, Command},
    state::{AHEAD, Ledger, PoolRef},
    types::ReservationId,
};

impl Ledger {
    /// Looks at what these commands name, [`AHEAD`] of them at most. Gives something that is made of all it saw, and means
    /// nothing.
    pub(super) fn look_ahead(&self, commands: &[Command]) -> u64 {
        let (mut pools, mut seen) = ([None; AHEAD], 0_u64);
        for (command, pool) in commands.iter().zip(&mut pools) {
            *pool = self.look_at(&command.body, &mut seen);
        }
        pools.into_iter().flatten().map(|pool| self.stock.look(pool)).fold(seen, u64::wrapping_add)
    }

    /// The pool of the first line.
    fn look_at(&self, body: &Body, seen: &mut u64) -> Option<PoolRef> {
        match body {
            Body::Reserve(reserve) => {
                let known = u64::from(self.reservations.contains_key(&reserve.id));
                *seen += known + self.owners.look(reserve.owner.as_bytes());
                let line = reserve.lines.first()?;
                self.stock.find(&reserve.namespace, &line.sku, line.location.as_ref()?, line.kind, &line.lot)
            }
            Body::Commit(commit) => self.look_at_reservation(commit.id, seen),
            Body::Release(release) => self.look_at_reservation(release.id, seen),
            _ => None,
        }
    }

    fn look_at_reservation(&self, id: ReservationId, seen: &mut u64) -> Option<PoolRef> {
        let found = self.reservations.get(&id)?;
        *seen += self.owners.look(&found.owner);
        Some(found.lines.as_slice().first()?.pool)
    }
}
