//! Records of reservations, live and ended.

use super::SpotMsg;
use crate::{
    cart::message::{After, Truth},
    codec::{
        Corrupt, FRAME_VERSION,
        cart::{TermsMsg, after_fits, put_terms, read_terms},
        part::CartMsg,
        pool::{self, halves},
        unframe,
        writer::{bytes_len, number_len, put_bytes, put_fixed, put_length, put_number},
    },
    limits::PAYING_GRACE,
    movement::Spot,
    outcome::{LineView, ReservationView},
    records::read_pool_key,
    state::{EndedBy, Line, Pieces, Pool, PoolRef, Rare, Reservation, ReservationLook, line_view},
    types::{Namespace, Owner, ReservationId, TimeMs},
};
use bytes::Bytes;
use prost::encoding;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReservationMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) owner: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(crate) lines: Vec<LineMsg>,
    #[prost(fixed64, tag = "3")]
    pub(crate) fingerprint: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) created: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) deadline: u64,
    #[prost(uint64, tag = "6")]
    pub(crate) first_deadline: u64,
    #[prost(uint64, tag = "7")]
    pub(crate) since: u64,
    #[prost(message, required, tag = "8")]
    pub(crate) reserved_at: SpotMsg,
    #[prost(message, required, tag = "9")]
    pub(crate) last: SpotMsg,
    #[prost(uint32, tag = "10")]
    pub(crate) revision: u32,
    /// Absent (0): still live.
    #[prost(uint32, tag = "11")]
    pub(crate) ended_by: u32,
    /// Its own id again: a record that strayed under another key is found.
    #[prost(fixed64, tag = "12")]
    id_high: u64,
    #[prost(fixed64, tag = "13")]
    id_low: u64,
    /// Present if it has or had lines in other shards.
    #[prost(message, optional, tag = "14")]
    pub(crate) cart: Option<CartMsg>,
    /// For each line the version of the settings whose policy chose its pool, and one more; 0: the request named it.
    /// Absent if all were named.
    #[prost(uint64, repeated, tag = "40")]
    pub(crate) policies: Vec<u64>,
    /// The first answer to its reserve, once its lines are others than those.
    #[prost(bytes = "bytes", tag = "41")]
    pub(crate) first: Bytes,
    #[prost(bool, tag = "42")]
    pub(crate) paying: bool,
    /// Milliseconds of the deadline that are grace, if the shopper is paying. Absent: the usual grace.
    #[prost(uint32, optional, tag = "43")]
    grace: Option<u32>,
}

impl ReservationMsg {
    /// How much of the deadline is grace.
    pub(crate) fn grace_ms(&self) -> u32 {
        let usual = u32::try_from(PAYING_GRACE.0).unwrap_or(u32::MAX);
        if self.paying { self.grace.unwrap_or(usual) } else { 0 }
    }

    pub(crate) fn id(&self) -> Result<ReservationId, Corrupt> {
        pool::reservation_id(self.id_high, self.id_low)
    }

    pub(crate) fn committed(&self) -> bool {
        self.lines.iter().any(|line| line.committed > 0) || self.cart.as_ref().is_some_and(CartMsg::committed)
    }

    /// As [`Reservation::unshipped`].
    pub(crate) fn unshipped(&self) -> bool {
        let waits = |line: &LineMsg| line.terms.is_some_and(|terms| terms.on_ship) && line.truth().unshipped() > 0;
        self.lines.iter().any(waits) || self.cart.as_ref().is_some_and(CartMsg::unshipped)
    }

    /// What few lines have; empty if none of them has it.
    pub(crate) fn rares(&self) -> Vec<Rare> {
        let rare = |(at, line): (usize, &LineMsg)| Rare {
            policy: self.policies.get(at).copied().unwrap_or(0),
            terms: read_terms(line.terms),
            after: line.truth().after,
        };
        let rares: Vec<Rare> = self.lines.iter().enumerate().map(rare).collect();
        if rares.iter().all(|rare| *rare == Rare::default()) { Vec::new() } else { rares }
    }

    /// As [`Reservation::passing`].
    pub(crate) fn passing(&self) -> bool {
        let rejected = self.ended_by == u32::from(EndedBy::Rejection.tag());
        rejected || (self.ended_by != 0 && self.unsettled())
    }

    fn unsettled(&self) -> bool {
        self.cart.as_ref().is_some_and(CartMsg::unsettled)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LineMsg {
    /// The pool's key, namespace included.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) pool: Bytes,
    #[prost(uint32, tag = "2")]
    pub(crate) asked: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) held: u32,
    #[prost(uint32, tag = "4")]
    pub(crate) committed: u32,
    #[prost(uint32, tag = "5")]
    pub(crate) released: u32,
    #[prost(uint32, tag = "6")]
    pub(crate) expired: u32,
    #[prost(uint32, tag = "7")]
    shipped: u32,
    #[prost(uint32, tag = "8")]
    cancelled: u32,
    #[prost(uint32, tag = "9")]
    returned: u32,
    #[prost(uint32, tag = "10")]
    returned_unavailable: u32,
    #[prost(message, optional, tag = "11")]
    terms: Option<TermsMsg>,
}

impl LineMsg {
    fn new(pool: Bytes, line: &Line, rare: &Rare) -> Self {
        let Rare { terms, after, .. } = rare;
        Self {
            pool,
            asked: line.asked,
            held: line.held,
            committed: line.committed,
            released: line.released,
            expired: line.expired,
            shipped: after.shipped,
            cancelled: after.cancelled,
            returned: after.returned,
            returned_unavailable: after.returned_unavailable,
            terms: put_terms(*terms),
        }
    }
}

/// Writes what [`ReservationMsg`] would, in the order of its tags, without putting it together first: a checkpoint
/// writes more of these than of anything else.
pub(crate) fn put_reservation(out: &mut Vec<u8>, id: ReservationId, reservation: &Reservation, pools: &Pieces<Pool>) {
    let (id_high, id_low) = halves(id.to_bytes());
    let rares = reservation.rares();
    out.push(FRAME_VERSION);
    put_bytes(out, 1, &reservation.owner);
    for (at, line) in reservation.lines.iter().enumerate() {
        let pool = &pools[line.pool.index()].bytes;
        match rares {
            [] => put_line(out, pool, line),
            _ => encoding::message::encode(
                2,
                &LineMsg::new(Bytes::copy_from_slice(pool), line, &reservation.rare(at)),
                out,
            ),
        }
    }
    put_fixed(out, 3, reservation.fingerprint);
    put_number(out, 4, reservation.created.0);
    put_number(out, 5, reservation.deadline.0);
    put_number(out, 6, reservation.first_deadline.0);
    put_number(out, 7, reservation.since.0);
    put_spot(out, 8, reservation.reserved_at);
    put_spot(out, 9, reservation.last);
    put_number(out, 10, reservation.revision.into());
    put_number(out, 11, reservation.ended.map_or(0, |by| by.tag().into()));
    put_fixed(out, 12, id_high);
    put_fixed(out, 13, id_low);
    if let Some(cart) = &reservation.cart {
        encoding::message::encode(14, &CartMsg::from(&**cart), out);
    }
    if rares.iter().any(|rare| rare.policy > 0) {
        let policies: Vec<u64> = rares.iter().map(|rare| rare.policy).collect();
        encoding::uint64::encode_packed(40, &policies, out);
    }
    if let Some(first) = reservation.first() {
        encoding::bytes::encode(41, first, out);
    }
    if reservation.paying {
        encoding::bool::encode(42, &true, out);
        let grace = reservation.grace();
        if grace != PAYING_GRACE {
            encoding::uint32::encode(43, &u32::try_from(grace.0).unwrap_or(u32::MAX), out);
        }
    }
}

/// A line that has nothing rare.
fn put_line(out: &mut Vec<u8>, pool: &[u8], line: &Line) {
    let Line { asked, held, committed, released, expired, .. } = *line;
    let numbers = [asked, held, committed, released, expired].map(u64::from);
    put_length(out, 2, bytes_len(pool) + numbers.into_iter().map(number_len).sum::<usize>());
    put_bytes(out, 1, pool);
    for (tag, number) in (2..).zip(numbers) {
        put_number(out, tag, number);
    }
}

fn put_spot(out: &mut Vec<u8>, tag: u8, spot: Spot) {
    let numbers = [spot.epoch.into(), spot.index, spot.ordinal.into()];
    put_length(out, tag, numbers.into_iter().map(number_len).sum());
    for (tag, number) in (1..).zip(numbers) {
        put_number(out, tag, number);
    }
}

pub(crate) fn decode_reservation(value: Bytes) -> Result<ReservationMsg, Corrupt> {
    let message: ReservationMsg = unframe("reservation record", value)?;
    let problem = |problem| Err(Corrupt::new("reservation record", problem));
    if message.lines.is_empty() && message.cart.is_none() {
        return problem("has no line");
    }
    let remote = message.cart.as_ref().is_some_and(|cart| cart.holds() || cart.opening());
    let holds = remote || message.lines.iter().any(|line| line.held > 0);
    if holds != (message.ended_by == 0) {
        return problem("is neither live nor ended");
    }
    for line in &message.lines {
        if line.got().is_none_or(|got| got > line.asked) {
            return problem("has more units than were asked for");
        }
    }
    if !message.policies.is_empty() && message.policies.len() != message.lines.len() {
        return problem("has policies for other lines");
    }
    if EndedBy::from_tag(message.ended_by).is_none() && message.ended_by != 0 {
        return problem("ended in a way not known to this build");
    }
    Ok(message)
}

impl LineMsg {
    fn got(&self) -> Option<u32> {
        after_fits(self.committed, self.truth().after)?;
        self.held.checked_add(self.committed)?.checked_add(self.released)?.checked_add(self.expired)
    }

    fn truth(&self) -> Truth {
        let LineMsg { held, committed, released, expired, .. } = *self;
        let LineMsg { shipped, cancelled, returned, returned_unavailable, .. } = *self;
        let after = After { shipped, cancelled, returned, returned_unavailable };
        Truth { held, committed, released, expired, after }
    }

    pub(crate) fn line(&self, pool: PoolRef) -> Line {
        Line {
            pool,
            asked: self.asked,
            held: self.held,
            committed: self.committed,
            released: self.released,
            expired: self.expired,
        }
    }
}

/// What is told of a reservation that is on disk only.
pub(crate) fn view_of_cold(value: &[u8]) -> Result<ReservationView, Corrupt> {
    let message = decode_reservation(Bytes::copy_from_slice(value))?;
    let Some(ended) = EndedBy::from_tag(message.ended_by) else {
        return Err(Corrupt::new("reservation record", "is live, but not in memory"));
    };
    let lines = message
        .lines
        .iter()
        .map(|line| {
            let pool = read_pool_key(line.pool.clone())?;
            Ok(line_view(pool, line.asked, line.truth(), false))
        })
        .collect::<Result<Vec<_>, Corrupt>>()?;
    let (lines, namespace) = with_remote(&message, lines)?;
    let settled = !message.unsettled();
    let look = ReservationLook {
        id: message.id()?,
        namespace,
        owner: Owner::new(message.owner).map_err(|bad| Corrupt::new("owner", bad))?,
        ended: Some(ended),
        created: TimeMs(message.created),
        deadline: TimeMs(message.deadline),
        since: TimeMs(message.since),
        revision: message.revision,
        opening: false,
        settled,
        paying: message.paying,
    };
    Ok(look.view(lines))
}

/// The lines in other shards put in their places, and the tenant of all.
fn with_remote(message: &ReservationMsg, own: Vec<LineView>) -> Result<(Vec<LineView>, Namespace), Corrupt> {
    let Some(cart) = &message.cart else {
        let namespace = own[0].pool.namespace.clone();
        return Ok((own, namespace));
    };
    let mut all = own;
    for (place, pool, asked, truth) in cart.lines() {
        let view = line_view(read_pool_key(pool.clone())?, asked, truth, false);
        all.insert(all.len().min(usize::try_from(place).unwrap_or(usize::MAX)), view);
    }
    Ok((all, cart.namespace()?))
}

#[cfg(test)]
mod tests;
