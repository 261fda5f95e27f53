//! Which units of a reservation a request means: the parts it names, or all there are.

use super::Entry;
use crate::{
    cart::message::Truth,
    command::Part,
    outcome::{Missing, Refusal, Shortage, pool_of},
    records::pool_key_bytes,
    settings::Terms,
    state::Reservation,
    types::{PoolKey, Quantity, ReservationId},
};

/// Units of one line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pick {
    pub(super) units: u32,
    /// Index of the first part that names the line; its place in the reservation if none is named.
    pub(super) at: u32,
}

impl Entry<'_> {
    /// Of each line what `most` says of it: own lines first, then those in other shards.
    pub(super) fn counts(&self, id: ReservationId, most: impl Fn(&Truth, &Terms) -> u32) -> Vec<u32> {
        let reservation = &self.ledger.reservations[&id];
        let own =
            (0..reservation.lines.as_slice().len()).map(|at| most(&reservation.truth(at), &reservation.rare(at).terms));
        let remote = reservation.cart.iter().flat_map(|cart| &cart.remote);
        let mut counts = Vec::with_capacity(own.len());
        counts.extend(own);
        counts.extend(remote.map(|line| most(&line.now, &line.terms)));
        counts
    }

    /// Of each line the units that are named, of which there must be as many as `most` says; all of them if no parts
    /// are named. In the order of [`counts`](Self::counts).
    pub(super) fn pick(
        &self,
        id: ReservationId,
        parts: &[Part],
        most: impl Fn(&Truth, &Terms) -> u32,
    ) -> Result<Vec<Pick>, Refusal> {
        let counts = self.counts(id, most);
        if parts.is_empty() {
            let places = places(&self.ledger.reservations[&id]);
            let all = counts.into_iter().zip(places);
            return Ok(all.map(|(units, at)| Pick { units, at }).collect());
        }
        let named = self.named(id, parts)?;
        let shortages: Vec<Shortage> = named
            .iter()
            .zip(&counts)
            .filter(|((asked, _), most)| *asked > u64::from(**most))
            .map(|((asked, at), most)| Shortage {
                line: *at,
                asked: Quantity::most(*asked),
                sellable: super::reserve::quantity(*most),
                earliest: None,
            })
            .collect();
        if !shortages.is_empty() {
            return Err(Refusal::InsufficientStock(shortages));
        }
        let pick = |(asked, at)| Pick { units: u32::try_from(asked).unwrap_or(u32::MAX), at };
        Ok(named.into_iter().map(pick).collect())
    }

    /// For each line how many of its held units are named; none if no parts are given, which means all.
    pub(super) fn held_parts(&self, id: ReservationId, parts: &[Part]) -> Result<Option<Vec<u32>>, Refusal> {
        if parts.is_empty() {
            return Ok(None);
        }
        let picked = self.pick(id, parts, |truth, _| truth.held)?;
        Ok(Some(picked.into_iter().map(|pick| pick.units).collect()))
    }

    /// Refuses if one of the lines that are named does not fit.
    pub(super) fn must_fit(
        &self,
        id: ReservationId,
        parts: &[Part],
        refusal: &Refusal,
        fits: impl Fn(&Terms) -> bool,
    ) -> Result<(), Refusal> {
        let fit = self.counts(id, |_, terms| u32::from(fits(terms)));
        let named = self.named(id, parts)?;
        let bad = named.iter().zip(&fit).any(|((units, _), fits)| *units > 0 && *fits == 0);
        if bad { Err(refusal.clone()) } else { Ok(()) }
    }

    /// Of each line how many units are named in all, and by which part first.
    fn named(&self, id: ReservationId, parts: &[Part]) -> Result<Vec<(u64, u32)>, Refusal> {
        let reservation = &self.ledger.reservations[&id];
        let namespace = reservation.namespace(&self.ledger.stock);
        let lines = reservation.lines.as_slice().len() + reservation.cart.as_ref().map_or(0, |cart| cart.remote.len());
        let mut named = vec![(0_u64, 0_u32); lines];
        for (part, at) in parts.iter().zip(0..) {
            let pool = pool_of(&namespace, &part.sku, &part.location, part.kind, &part.lot);
            let Some(line) = self.position(reservation, &pool) else {
                return Err(Refusal::NotFound(Missing::Line(Box::new(pool.detached()))));
            };
            let (units, first) = &mut named[line];
            if *units == 0 {
                *first = at;
            }
            // At most 500 parts of 10^9 each.
            *units += part.quantity.units();
        }
        Ok(named)
    }

    fn position(&self, reservation: &Reservation, pool: &PoolKey) -> Option<usize> {
        let own = reservation.lines.as_slice();
        let key = pool_key_bytes(pool);
        if let Some(at) = own.iter().position(|line| *self.ledger.stock.pool(line.pool).bytes == *key) {
            return Some(at);
        }
        let cart = reservation.cart.as_ref()?;
        cart.remote.iter().position(|line| line.pool == key).map(|at| own.len() + at)
    }
}

/// Where each line stands when the reservation is told: own lines first, then those in other shards.
fn places(reservation: &Reservation) -> Vec<u32> {
    let remote: Vec<u32> = reservation.cart.iter().flat_map(|cart| &cart.remote).map(|line| line.place).collect();
    let free = (0..).filter(|place| !remote.contains(place));
    let mut places: Vec<u32> = free.take(reservation.lines.as_slice().len()).collect();
    places.extend(remote);
    places
}
