//! A late commit: the hold has expired, and its units are sold all the same if they are there now.

use super::{
    Effect, Entry,
    cart::Beginning,
    pick::Pick,
    reserve::{Granting, Want},
};
use crate::{
    command::{self, Command, Commit},
    journal::By,
    movement::MovementKind,
    outcome::{Done, Refusal},
    records::read_pool_key,
    state::{EndedBy, RoundKind, RoundLine, RoundOwn},
    types::{PoolKey, Quantity, ReservationId, ShardId},
};

/// Units of one line that are to be had again.
struct Late {
    at: u32,
    shard: Option<ShardId>,
    place: u32,
    line: command::Line,
}

impl Entry<'_> {
    /// What has expired is committed. Nothing else became of the reservation.
    pub(super) fn revive(&mut self, command: &Command, commit: &Commit, print: u64) -> Result<Effect, Refusal> {
        let id = commit.id;
        let reservation = &self.ledger.reservations[&id];
        let since = reservation.since;
        let picked = self.pick(id, &commit.parts, |truth, _| truth.expired)?;
        let late = self.late_lines(id, &picked);
        let own: Vec<(u32, &command::Line)> =
            late.iter().filter(|late| late.shard.is_none()).map(|late| (late.at, &late.line)).collect();
        let spanning = own.len() < late.len();
        let (namespace, owner) = (reservation.namespace(&self.ledger.stock), reservation.owner());
        let granting = Granting {
            namespace: &namespace,
            owner: &owner,
            best_effort: false,
            whole: !spanning,
            zone: 0,
            of: Some(id),
            mine: &[],
            heard: command.heard,
            first: None,
        };
        let wants = self.grant_lines(&granting, own.iter().copied()).map_err(|refusal| match refusal {
            Refusal::Contended => Refusal::Contended,
            // Whatever stands in the way, the hold is over, and that is what counts.
            _ => Refusal::ReservationExpired { since },
        })?;
        let shards: Vec<ShardId> = late.iter().filter_map(|late| late.shard).collect();
        self.answers(&shards)?;
        // Nothing can fail from here on.
        if !spanning {
            return Ok(self.revive_here(command, id, &wants));
        }
        let own = |want: &Want| {
            let pool = self.ledger.stock.pool(want.pool).shared_key();
            let terms = self.ledger.stock.terms(want.pool);
            let (asked, units, extra) = (want.asked, want.grant, want.grant);
            (want.line, RoundOwn { pool, asked, units, extra, policy: 0, terms })
        };
        let wanted = |late: &Late| {
            Some(RoundLine { shard: late.shard?, at: late.at, place: late.place, line: late.line.clone() })
        };
        let beginning = Beginning {
            kind: RoundKind::Revive,
            namespace: namespace.clone(),
            operation: commit.named(),
            print,
            best_effort: false,
            zone: 0,
            own: wants.iter().map(own).collect(),
            wanted: late.iter().filter_map(wanted).collect(),
        };
        Ok((self.begin_round(command, id, beginning), None))
    }

    /// The lines of which units are named, own ones first: for each how many.
    fn late_lines(&self, id: ReservationId, picked: &[Pick]) -> Vec<Late> {
        let reservation = &self.ledger.reservations[&id];
        let own = reservation.lines.iter().map(|line| (None, 0, self.ledger.stock.pool(line.pool).named()));
        let remote = reservation.cart.iter().flat_map(|cart| &cart.remote).map(|line| {
            let pool = read_pool_key(line.pool.clone()).expect("a key that was checked before");
            (Some(line.shard), line.place, pool)
        });
        let late = |((shard, place, pool), pick): ((Option<ShardId>, u32, PoolKey), &Pick)| {
            let Pick { units, at } = *pick;
            (units > 0).then(|| Late { at, shard, place, line: line_of(&pool, units) })
        };
        own.chain(remote).zip(picked).filter_map(late).collect()
    }

    fn revive_here(&mut self, command: &Command, id: ReservationId, wants: &[Want]) -> Effect {
        let clock = self.clock();
        let Some(mut reservation) = self.ledger.reservations.remove(&id) else { return (Done::Noted, None) };
        let mut last = None;
        for want in wants.iter().filter(|want| want.grant > 0) {
            let units = u64::from(want.grant);
            let Some(at) = reservation.lines.iter().position(|line| line.pool == want.pool) else { continue };
            let ledger = &mut *self.ledger;
            ledger.stock.use_held(&mut ledger.dirty, clock, id, &reservation.owner, want.pool, units);
            ledger.stock.use_ended(&mut ledger.dirty, clock, id, &reservation.owner, want.pool, units, units);
            let delta = ledger.stock.revive(want.pool, units);
            let terms = ledger.stock.terms(want.pool);
            let by = By::Request(&command.context);
            reservation.last =
                self.after(want.pool, MovementKind::Revive, by, (id, reservation.last), (delta, 0), None);
            last = Some(reservation.last);
            reservation.revived(at, want.grant);
            if reservation.rare(at).terms != terms {
                reservation.rare_mut(at).terms = terms;
            }
        }
        reservation.ended = Some(EndedBy::Commit);
        reservation.since = clock;
        self.ledger.dirty.reservation(id, &mut reservation);
        self.ledger.reservations.insert(id, reservation);
        (self.told(id), last)
    }
}

pub(super) fn line_of(pool: &PoolKey, units: u32) -> command::Line {
    command::Line {
        sku: pool.sku.clone(),
        location: Some(pool.location.clone()),
        kind: pool.kind,
        lot: pool.lot.clone(),
        quantity: super::reserve::quantity(units),
        minimum: Quantity::ZERO,
    }
}
