//! Looks at what the next commands will look at, so that it is near when they are applied.
//!
//! Each command finds its pool by four or five steps from one place in memory to the next. With many SKUs none of these is
//! in the processor's cache, and a command that waits for one can't begin to wait for the next. Those of several commands
//! can be waited for together: so each step is taken for all of them before the next, by few instructions that lie close
//! together.

use crate::{
    command::{Body, Command, Commit, Release, Reserve},
    records::POOL_KEY_BYTES_MAX,
    state::{AHEAD, KeyHash, Ledger, PoolRef, Reservation, Stock, write_pool_key},
};
use std::hint::black_box;

/// By what a command finds its pool.
#[derive(Clone, Copy)]
enum Way<'a> {
    Nothing,
    /// So many bytes of a key, and their hash.
    Key(usize, KeyHash),
    Held(&'a Reservation),
}

impl Ledger {
    /// Looks at what these commands name, [`AHEAD`] of them at most. Gives the pool of each one's first line, if it was found.
    pub(super) fn look_ahead(&self, commands: &[Command]) -> [Option<PoolRef>; AHEAD] {
        let mut keys = [[0; POOL_KEY_BYTES_MAX]; AHEAD];
        let (mut ways, mut pools) = ([Way::Nothing; AHEAD], [None; AHEAD]);
        // Made of all that was seen, so that it is looked at; it means nothing.
        let mut seen = 0_u64;
        for ((command, key), way) in commands.iter().zip(&mut keys).zip(&mut ways) {
            *way = match &command.body {
                Body::Reserve(reserve) => key_of(&self.stock, reserve, key),
                Body::Commit(Commit { id, .. }) | Body::Release(Release { id, .. }) => {
                    self.reservations.get(id).map_or(Way::Nothing, |found| Way::Held(found))
                }
                _ => Way::Nothing,
            };
        }
        for (way, pool) in ways.iter().zip(&mut pools) {
            *pool = match way {
                Way::Key(_, hash) => self.stock.first_of(*hash),
                Way::Held(reservation) => reservation.lines.as_slice().first().map(|line| line.pool),
                Way::Nothing => None,
            };
        }
        for command in commands {
            if let Body::Reserve(reserve) = &command.body {
                seen += u64::from(self.reservations.contains_key(&reserve.id));
                seen += self.owners.look(reserve.owner.as_bytes());
            }
        }
        seen += pools.iter().flatten().map(|pool| self.stock.look(*pool)).fold(0, u64::wrapping_add);
        seen += pools.iter().flatten().map(|pool| self.stock.look_behind(*pool)).fold(0, u64::wrapping_add);
        for ((way, pool), key) in ways.iter().zip(&mut pools).zip(&keys) {
            match way {
                Way::Key(len, _) => *pool = self.stock.find_from(*pool, &key[..*len]),
                Way::Held(reservation) => seen += self.owners.look(&reservation.owner),
                Way::Nothing => {}
            }
        }
        black_box(seen);
        pools
    }
}

fn key_of<'a>(stock: &Stock, reserve: &Reserve, out: &mut [u8; POOL_KEY_BYTES_MAX]) -> Way<'a> {
    let Some(line) = reserve.lines.first() else { return Way::Nothing };
    let Some(location) = &line.location else { return Way::Nothing };
    let len = write_pool_key(out, &reserve.namespace, &line.sku, location, line.kind, &line.lot);
    Way::Key(len, stock.hash_of(&out[..len]))
}
