//! P8 on the journal: what every replica has on disk at the end of a run is one and the same chain of what happened.
//!
//! Each block has the hash of the one before it, positions only rise, each movement names the one before it of its pool and
//! of its reservation, all replicas have the same blocks; and where a journal goes back to the beginning, the movements
//! of a pool add up to its books. The books are the ledger's; everything else here is worked out from the bytes alone.

use crate::{cluster::Host, watch::Watch};
use bytes::Bytes;
use earmark_ledger::{
    BlockHash, Ledger,
    journal::Block,
    movement::Movement,
    outcome::PoolView,
    types::{IdKind, PoolKey, Position, ReservationId},
};
use earmark_node::storage::JournalFloor;
use std::collections::BTreeMap;

/// On hand, available, held, committed, unavailable, short, in transit.
type Sums = [i64; 7];

/// A replica's journal, followed from its floor to its end.
#[derive(Default)]
struct Followed {
    last: BlockHash,
    end: Option<(u32, u64)>,
    blocks: BTreeMap<(u32, u64), BlockHash>,
    sums: BTreeMap<PoolKey, Sums>,
    of_pool: BTreeMap<PoolKey, Position>,
    /// The last movement of each reservation, and what it holds after it.
    of_reservation: BTreeMap<ReservationId, (Position, Option<i64>)>,
}

/// Reads the journal of every replica and tells the watch what is wrong with it. How many blocks and pools were looked at
/// is told as well.
pub fn check(hosts: &[Host], watch: &Watch) {
    let (mut blocks, mut pools) = (0, 0);
    let mut first: BTreeMap<u32, (String, Followed)> = BTreeMap::new();
    for host in hosts {
        let Some(node) = host.node() else { continue };
        for replica in node.replicas() {
            let (shard, name) = (replica.shard().0, format!("shard {} on n{}", replica.shard().0, host.number));
            let floor = replica.core().store().journal_floor();
            let mut read = Vec::new();
            let walked = replica.core().store().walk_journal(floor, |epoch, index, block| {
                read.push((epoch.0, index.0, Bytes::copy_from_slice(block)));
                true
            });
            if let Err(error) = walked {
                // Bits that were turned over on purpose, and that nothing has read until now.
                if host.disk.damaged() == 0 {
                    watch.broke("P8", "journal", format!("{name}: the journal can't be read: {error}"));
                }
                continue;
            }
            let whole = floor == JournalFloor::default();
            let followed = match follow(shard, whole, &read) {
                Ok(followed) => followed,
                Err(what) => {
                    watch.broke("P8", "journal", format!("{name}: {what}"));
                    continue;
                }
            };
            blocks += read.len() as u64;
            if whole {
                let hot = replica.hot();
                match agrees(&followed, &hot.ledger) {
                    Ok(compared) => pools += compared,
                    Err(what) => watch.broke("P8", "journal", format!("{name}: {what}")),
                }
            }
            match first.get(&shard) {
                None => {
                    first.insert(shard, (name, followed));
                }
                Some((other, before)) => {
                    if let Err(what) = same(before, &followed) {
                        watch.broke("P8", "journal", format!("{name} and {other}: {what}"));
                    }
                }
            }
        }
    }
    watch.looked("journal", blocks);
    watch.looked("journal-books", pools);
}

/// Follows blocks as they were read. `whole`: the first of them is the first there ever was.
fn follow(shard: u32, whole: bool, blocks: &[(u32, u64, Bytes)]) -> Result<Followed, String> {
    let mut followed = Followed::default();
    for (place, (epoch, index, bytes)) in blocks.iter().enumerate() {
        let at = |what: String| format!("block at {epoch}.{index}: {what}");
        let block = Block::decode(bytes).map_err(|corrupt| at(corrupt.to_string()))?;
        let position = block.position();
        if (position.shard.0, position.epoch.0, position.index.0) != (shard, *epoch, *index) {
            return Err(at(format!("it says it stands at {position:?}")));
        }
        if followed.end.is_some_and(|end| end >= (*epoch, *index)) {
            return Err(at("it comes after a later one".to_owned()));
        }
        if (place > 0 || whole) && block.previous() != followed.last {
            return Err(at(format!("it follows {}, and {} is before it", block.previous(), followed.last)));
        }
        if block.is_empty() {
            return Err(at("nothing moved in it".to_owned()));
        }
        for (ordinal, movement) in (0..).zip(block.movements()) {
            let movement = movement.map_err(|corrupt| at(corrupt.to_string()))?;
            if movement.position != (Position { ordinal, ..position }) {
                return Err(at(format!("movement {ordinal} says it stands at {:?}", movement.position)));
            }
            let taken = followed.take(&movement, whole);
            taken.map_err(|what| at(format!("movement {ordinal}: {what}\n{}", told(&block))))?;
        }
        followed.last = block.hash();
        followed.end = Some((*epoch, *index));
        followed.blocks.insert((*epoch, *index), block.hash());
    }
    Ok(followed)
}

/// All that a block says, for people.
fn told(block: &Block) -> String {
    let movements = block.movements().map(|movement| match movement {
        Ok(movement) => format!("  {movement:?}"),
        Err(corrupt) => format!("  {corrupt}"),
    });
    movements.collect::<Vec<_>>().join("\n")
}

impl Followed {
    fn take(&mut self, movement: &Movement, whole: bool) -> Result<(), String> {
        let first = self.blocks.first_key_value().map(|(place, _)| *place);
        // What lies below the floor is not known here; it must lie below it.
        let below = |named: Option<Position>| {
            !whole && named.is_some_and(|at| first.is_none_or(|first| (at.epoch.0, at.index.0) < first))
        };
        let before = self.of_pool.insert(movement.pool.clone(), movement.position);
        let named = movement.previous_of_pool;
        if named != before && !(before.is_none() && below(named)) {
            return Err(format!("its pool's last one is {before:?}, it names {named:?}"));
        }
        if let Some(id) = movement.reservation {
            let named = movement.previous_of_reservation;
            // What it held is not known if its beginning lies below the floor.
            let (before, held) = match self.of_reservation.get(&id) {
                Some((at, held)) => (Some(*at), *held),
                None => (None, named.is_none().then_some(0)),
            };
            let delta = movement.delta.held;
            // A hashed id begins anew once it was forgotten. So does a part of a cart that held nothing more: a shard that
            // is not its home forgets it once its home has asked about nothing older.
            let anew = named.is_none() && (id.kind() == IdKind::Hashed || held.is_none_or(|held| held == 0));
            let holds = if anew { Some(delta) } else { held.map(|held| held + delta) };
            self.of_reservation.insert(id, (movement.position, holds));
            if named != before && !anew && !(before.is_none() && below(named)) {
                return Err(format!("its reservation's last one is {before:?}, it names {named:?}"));
            }
        }
        let delta = movement.delta;
        let deltas = [
            delta.on_hand,
            delta.available,
            delta.held,
            delta.committed,
            delta.unavailable,
            delta.short,
            delta.in_transit,
        ];
        let sums = self.sums.entry(movement.pool.clone()).or_default();
        sums.iter_mut().zip(deltas).for_each(|(sum, delta)| *sum += delta);
        Ok(())
    }
}

/// Whether two replicas have the same blocks, as far as both reach.
fn same(first: &Followed, second: &Followed) -> Result<(), String> {
    let (Some(first_end), Some(second_end)) = (first.end, second.end) else { return Ok(()) };
    let from = |followed: &Followed| followed.blocks.first_key_value().map(|(place, _)| *place).unwrap_or_default();
    let (from, upto) = (from(first).max(from(second)), first_end.min(second_end));
    if from > upto {
        return Ok(());
    }
    let within = |followed: &Followed| -> Vec<((u32, u64), BlockHash)> {
        followed.blocks.range(from..=upto).map(|(place, hash)| (*place, *hash)).collect()
    };
    let (one, other) = (within(first), within(second));
    let differing = one.iter().zip(&other).find(|(one, other)| one != other);
    match differing {
        Some((one, other)) => Err(format!("one has {one:?} where the other has {other:?}")),
        None if one.len() != other.len() => Err(format!("{} and {} blocks up to {upto:?}", one.len(), other.len())),
        None => Ok(()),
    }
}

/// Whether the sums of a journal that is whole are the books, if it reaches up to them. How many pools were compared.
fn agrees(followed: &Followed, ledger: &Ledger) -> Result<u64, String> {
    // The last few entries may not be in a checkpoint yet.
    if followed.last != ledger.journal_hash() {
        return Ok(0);
    }
    for (key, sums) in &followed.sums {
        let views = ledger.stock(&key.namespace, &key.sku, Some(&key.location)).unwrap_or_default();
        let Some(view) = views.iter().find(|view| view.key == *key) else {
            return Err(format!("{key:?} moved, and there is no such pool"));
        };
        balanced(sums, view).map_err(|what| format!("{key:?}: {what}"))?;
    }
    Ok(followed.sums.len() as u64)
}

/// A view counts holds that are over as free, whether they were swept or not.
fn balanced(sums: &Sums, view: &PoolView) -> Result<(), String> {
    let [on_hand, available, held, committed, unavailable, short, in_transit] = sums.map(i128::from);
    let units = |quantity: earmark_ledger::types::Quantity| i128::from(quantity.units());
    let moved = [on_hand, available + held, committed, unavailable, short, in_transit];
    let books = [
        units(view.on_hand),
        units(view.available) + units(view.held),
        units(view.committed),
        units(view.unavailable),
        units(view.short),
        units(view.in_transit),
    ];
    if moved != books || held < units(view.held) {
        return Err(format!("movements add up to {sums:?}, the books are {view:?}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
