//! Read-only answers, all at the ledger's clock: what is overdue counts as given back, swept or not.

mod hearing;
mod stock;

pub use hearing::Untold;
pub use stock::{ExpiringPage, ExpiringView, LastMovement, Remembered};

use crate::{
    apply::{
        cart::{own_lines, spans},
        reserve::{Granting, plan, told},
    },
    codec::{Corrupt, record},
    command::{Body, Command},
    outcome::{Done, Missing, PoolView, Refusal, ReservationView, Verdict},
    records::{RecordKey, reservation_too_old},
    state::{Intent, Ledger, PoolRef, Stock, Sums},
    types::{Location, Namespace, Quantity, ReservationId, ShardId, Sku, TimeMs},
    validate::{bad_field, validate},
};

/// What the applied state says about a fresh reserve: one that is surely sent for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// It may succeed, or only the log can tell: propose it.
    Propose,
    /// It would be refused, by the ledger's clock and by the time given alike. Nothing needs to be remembered.
    Refuse(Refusal),
    /// It would be refused now, but what is overdue by the time given may change that: propose a tick, ask again.
    TickFirst,
}

/// What is known of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// As it stands.
    Found(ReservationView),
    /// There is none.
    Absent,
    /// It may be on disk under this key: read it, and ask [`Ledger::cold_reservation`]. There is none if the key is
    /// not there.
    Cold(RecordKey),
}

/// Counts and sums over a whole state, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// SKUs.
    pub skus: u64,
    /// Pools.
    pub pools: u64,
    /// Reservations that hold units in the books.
    pub live_reservations: u64,
    /// Records in memory, the header not counted.
    pub hot_records: u64,
    /// Refusals remembered at this moment.
    pub remembered_refusals: u64,
    /// Units on hand.
    pub on_hand: u128,
    /// Units free to hold, overdue ones not counted.
    pub available: u128,
    /// Units held, overdue ones counted.
    pub held: u128,
    /// Units sold and not shipped.
    pub committed: u128,
    /// Units damaged or in quarantine.
    pub unavailable: u128,
    /// Units below the books.
    pub short: u128,
    /// Units on their way between locations.
    pub in_transit: u128,
    /// Pools that are short.
    pub short_pools: u64,
}

impl Ledger {
    /// All pools of a SKU, or those at one location, in the order of their keys.
    ///
    /// # Errors
    /// [`Missing`] if nobody ever received the SKU, or it was never stocked there.
    pub fn stock(
        &self,
        namespace: &Namespace,
        sku: &Sku,
        location: Option<&Location>,
    ) -> Result<Vec<PoolView>, Missing> {
        let entry = self.stock.find_sku(namespace, sku).ok_or_else(|| Missing::Sku(sku.clone()))?;
        let there = |at: &&PoolRef| {
            location.is_none_or(|location| self.stock.pool(**at).texts().location == location.as_bytes())
        };
        let views: Vec<PoolView> =
            entry.pools.iter().filter(there).map(|at| self.stock.view(*at, self.header.clock)).collect();
        match (views.is_empty(), location) {
            (true, Some(location)) => Err(Missing::Pool(Box::new(crate::outcome::pool_of(
                namespace,
                sku,
                location,
                crate::types::PoolKind::Now,
                &crate::types::Lot::default(),
            )))),
            _ => Ok(views),
        }
    }

    /// One reservation.
    pub fn reservation(&self, id: ReservationId) -> Lookup {
        match self.reservations.get(&id) {
            Some(found) => Lookup::Found(found.view(id, &self.stock, self.header.clock)),
            None => self.cold_reservation_key(id).map_or(Lookup::Absent, Lookup::Cold),
        }
    }

    /// What a cold record of a reservation says.
    ///
    /// # Errors
    /// [`Corrupt`] if it can't be read.
    pub fn cold_reservation(&self, value: &[u8]) -> Result<ReservationView, Corrupt> {
        record::view_of_cold(value)
    }

    /// Would the applied state refuse this reserve, if it is sent for the first time? `now` is the leader's time.
    pub fn judge_fresh(&self, command: &Command, now: TimeMs) -> Fresh {
        let Body::Reserve(reserve) = &command.body else { return Fresh::Propose };
        let clock = self.header.clock;
        // A known id, a bad request, and whatever is judged by the clock are for the log to answer.
        let known = self.reservations.contains_key(&reserve.id)
            || self.refusals.contains_key(&Intent::Reserve(reserve.id))
            || self.cold_reservation_key(reserve.id).is_some()
            || reservation_too_old(reserve.id, clock);
        if known || self.shard == ShardId::META || command.not_after < now.max(clock) {
            return Fresh::Propose;
        }
        if !validate(command, clock).is_empty() {
            return Fresh::Propose;
        }
        // Of a cart over several shards only what is here can be told; it may still be refused elsewhere.
        let whole = !spans(&reserve.shards, self.shard);
        let mut wants = Vec::with_capacity(reserve.lines.len());
        let granting = Granting::of(reserve, whole, command.heard);
        let lines = || own_lines(&reserve.lines, &reserve.shards, self.shard);
        let Err(refusal) = plan(self, &granting, lines(), &mut wants, clock) else { return Fresh::Propose };
        let now = now.max(clock);
        let short = matches!(refusal, Refusal::InsufficientStock(_));
        if short && reserve.lines.iter().all(|line| line.location.is_some()) && self.stock.stands_still(&wants, now) {
            debug_assert!(
                matches!(plan(self, &granting, lines(), &mut wants, now), Err(Refusal::InsufficientStock(_))),
                "what stands still is judged alike"
            );
            return Fresh::Refuse(refusal);
        }
        match plan(self, &granting, lines(), &mut wants, now) {
            // No answer rests on a time that is not in the log: neither that it may be, nor why it may not.
            Err(later) if std::mem::discriminant(&later) == std::mem::discriminant(&refusal) => Fresh::Refuse(refusal),
            _ => Fresh::TickFirst,
        }
    }

    /// What this reserve would be answered at this position, if its id were new, with no effect: nothing is held or
    /// remembered. Everything in a state leads to the same answer, wherever it is asked. Of a cart over several shards
    /// the lines that live here are tried and told.
    pub fn dry_run(&self, command: &Command) -> Verdict {
        let clock = self.header.clock;
        let bad = validate(command, clock);
        if !bad.is_empty() {
            return Verdict::Refused(Refusal::InvalidArgument(bad));
        }
        let Body::Reserve(reserve) = &command.body else {
            let bad = bad_field("command", "only a reserve can be tried");
            return Verdict::Refused(Refusal::InvalidArgument(vec![bad]));
        };
        if self.shard == ShardId::META {
            return Verdict::Refused(Refusal::WrongShard);
        }
        if clock > command.not_after {
            return Verdict::Refused(Refusal::Late);
        }
        let mut wants = Vec::with_capacity(reserve.lines.len());
        // Nobody is asked for its sake: what is held here counts as held.
        let granting = Granting::of(reserve, !spans(&reserve.shards, self.shard), true);
        let lines = own_lines(&reserve.lines, &reserve.shards, self.shard);
        match plan(self, &granting, lines, &mut wants, clock) {
            Ok(()) => Verdict::Done(Done::Reserved(told(&self.stock, reserve, &wants, clock.plus(reserve.ttl)))),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Counts and sums over the whole state, kept as it changes.
    pub fn totals(&self) -> Totals {
        let count = |len: usize| u64::try_from(len).expect("a length fits 64 bits");
        let carts = self.parts.len() + self.floors.len();
        let memory = self.reservations.len() + self.operations.len() + self.refusals.len() + carts;
        let Stock { skus, pools, transits, uses, .. } = &self.stock;
        let stock = skus.len() + pools.len() + transits + uses.len();
        let Sums { on_hand, available, held, committed, unavailable, short, in_transit, .. } = self.stock.sums;
        Totals {
            skus: count(skus.len()),
            pools: count(pools.len()),
            live_reservations: count(self.deadlines.len()),
            hot_records: count(memory + stock + usize::from(self.meta.is_some())),
            remembered_refusals: count(self.refusals.len()),
            short_pools: count(self.stock.shorts.len()),
            on_hand,
            available,
            held,
            committed,
            unavailable,
            short,
            in_transit,
        }
    }
}

impl Stock {
    /// A pool as it is told at `clock`.
    pub(crate) fn view(&self, at: PoolRef, clock: TimeMs) -> PoolView {
        let pool = self.pool(at);
        let overdue = pool.overdue(clock);
        let units = |units: u64| Quantity::new(units).expect("an account is at most 2^53");
        let (expected, expected_date) = self.announced(at);
        PoolView {
            key: pool.named(),
            on_hand: units(pool.books.on_hand),
            available: units(pool.available_at(clock)),
            held: units(pool.books.held - overdue),
            committed: units(pool.books.committed),
            unavailable: units(pool.books.unavailable),
            short: units(pool.books.short - pool.books.short.min(overdue)),
            sellable: units(self.sellable_at(at, clock)),
            received_total: units(pool.totals.received),
            sold_total: Quantity::most(pool.totals.sold),
            returned_total: Quantity::most(pool.totals.rare().returned),
            in_transit: units(pool.books.in_transit),
            expected,
            expected_date,
        }
    }
}
