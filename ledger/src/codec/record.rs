//! Bytes of the records a state is made of.
//!
//! These messages are also what the digest is computed from: two replicas must write the same record as the same
//! bytes, so a change in how a record is written (not only in what can be read) is a new rules version.

pub(crate) use super::part::{decode_floor, decode_part, put_floor, put_part};
use super::{
    Corrupt, FRAME_VERSION,
    cart::{TermsMsg, after_fits, put_terms, read_terms},
    command::NodeMsg,
    part::CartMsg,
    pool::halves,
    put_frame,
    settings::SettingsMsg,
    unframe,
    writer::{bytes_len, number_len, put_bytes, put_fixed, put_length, put_number},
};
use crate::{
    cart::message::{After, Truth},
    command::MetaNode,
    journal::BlockHash,
    limits::PAYING_GRACE,
    movement::Spot,
    outcome::{LineView, ReservationView},
    records::read_pool_key,
    settings::Settings,
    state::{
        Announced, Aside, Books, BucketRange, Counted, EndedBy, Header, Line, Mark, MetaState, Opened, Operation,
        OwnerUses, Pool, PoolRef, Rare, RareTotals, Rares, Refused, Reservation, ReservationLook, SkuSettings, Stock,
        Totaled, Transit, Use, line_view,
    },
    types::{
        Bucket, Document, Epoch, Namespace, OperationId, Owner, POOL_QUANTITY_MAX, ReservationId, ShardId, TimeMs,
    },
};
use bytes::Bytes;
use prost::encoding;
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HeaderMsg {
    #[prost(uint32, tag = "1")]
    pub(crate) shard: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) epoch: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) rules: u32,
    #[prost(uint64, tag = "4")]
    pub(crate) clock: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) counter: u64,
    #[prost(fixed64, tag = "6")]
    journal_high: u64,
    #[prost(fixed64, tag = "7")]
    journal_low: u64,
    /// Sum of the contributions of all other records.
    #[prost(fixed64, tag = "8")]
    sum_high: u64,
    #[prost(fixed64, tag = "9")]
    sum_low: u64,
}

impl HeaderMsg {
    pub(crate) fn new(shard: ShardId, header: &Header, sum: u128) -> Self {
        let (journal_high, journal_low) = halves(header.journal.0.to_be_bytes());
        let (sum_high, sum_low) = halves(sum.to_be_bytes());
        Self {
            shard: shard.0,
            epoch: header.epoch.0,
            rules: header.rules,
            clock: header.clock.0,
            counter: header.counter,
            journal_high,
            journal_low,
            sum_high,
            sum_low,
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            epoch: Epoch(self.epoch),
            rules: self.rules,
            clock: TimeMs(self.clock),
            counter: self.counter,
            journal: BlockHash(u128::from(self.journal_high) << 64 | u128::from(self.journal_low)),
        }
    }

    pub(crate) fn sum(&self) -> u128 {
        u128::from(self.sum_high) << 64 | u128::from(self.sum_low)
    }
}

pub(crate) fn decode_header(value: &[u8]) -> Result<HeaderMsg, Corrupt> {
    unframe("header", Bytes::copy_from_slice(value))
}

pub(crate) fn put_header(out: &mut Vec<u8>, header: &HeaderMsg) {
    put_frame(out, header);
}

/// Where a movement stands; all fields absent where there is none.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct SpotMsg {
    #[prost(uint32, tag = "1")]
    epoch: u32,
    #[prost(uint64, tag = "2")]
    index: u64,
    #[prost(uint32, tag = "3")]
    ordinal: u32,
}

impl From<Spot> for SpotMsg {
    fn from(spot: Spot) -> Self {
        Self { epoch: spot.epoch, index: spot.index, ordinal: spot.ordinal }
    }
}

impl From<SpotMsg> for Spot {
    fn from(message: SpotMsg) -> Self {
        Self { epoch: message.epoch, index: message.index, ordinal: message.ordinal }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct SkuMsg {
    /// Absent (0): on commit.
    #[prost(uint32, tag = "1")]
    deduct: u32,
    #[prost(uint64, tag = "2")]
    safety_stock: u64,
    #[prost(uint64, tag = "40")]
    version: u64,
    /// What is set beside the two above, which are repeated there.
    #[prost(message, optional, tag = "41")]
    rest: Option<SettingsMsg>,
}

pub(crate) fn put_sku(out: &mut Vec<u8>, settings: &SkuSettings) {
    put_frame(
        out,
        &SkuMsg {
            deduct: u32::from(settings.deduct.tag()),
            safety_stock: settings.safety_stock,
            version: settings.version,
            rest: settings.rest.as_deref().map(SettingsMsg::from),
        },
    );
}

pub(crate) fn decode_sku(value: &[u8]) -> Result<SkuSettings, Corrupt> {
    let message: SkuMsg = unframe("sku record", Bytes::copy_from_slice(value))?;
    let deduct = super::settings::deduct(message.deduct)?;
    let safety_stock = super::pool::quantity(message.safety_stock)?;
    let settings = match message.rest {
        Some(rest) => Settings::try_from(rest)?,
        None => Settings { deduct, safety_stock, ..Settings::default() },
    };
    if (settings.deduct, settings.safety_stock) != (deduct, safety_stock) {
        return Err(Corrupt::new("sku record", "contradicts itself"));
    }
    Ok(SkuSettings::new(message.version, settings))
}

#[derive(Clone, PartialEq, prost::Message)]
struct PoolMsg {
    #[prost(uint64, tag = "1")]
    on_hand: u64,
    #[prost(uint64, tag = "2")]
    available: u64,
    #[prost(uint64, tag = "3")]
    held: u64,
    #[prost(uint64, tag = "4")]
    committed: u64,
    #[prost(uint64, tag = "5")]
    unavailable: u64,
    #[prost(uint64, tag = "6")]
    short: u64,
    #[prost(uint64, tag = "7")]
    received: u64,
    #[prost(uint64, tag = "8")]
    adjusted_up: u64,
    #[prost(uint64, tag = "9")]
    adjusted_down: u64,
    #[prost(uint64, tag = "10")]
    sold: u64,
    #[prost(uint64, tag = "11")]
    sold_short: u64,
    #[prost(message, optional, tag = "12")]
    last: Option<SpotMsg>,
    #[prost(uint64, tag = "40")]
    in_transit: u64,
    #[prost(uint64, tag = "41")]
    sent_here: u64,
    #[prost(uint64, tag = "42")]
    moved_in: u64,
    #[prost(uint64, tag = "43")]
    lost: u64,
    #[prost(uint64, tag = "44")]
    moved_out: u64,
    /// Of a pool that is short: since when, and by which movement.
    #[prost(uint64, tag = "45")]
    short_since: u64,
    #[prost(message, optional, tag = "46")]
    short_by: Option<SpotMsg>,
    #[prost(message, repeated, tag = "47")]
    expected: Vec<AnnouncedMsg>,
    #[prost(uint64, tag = "48")]
    returned: u64,
    #[prost(uint64, tag = "49")]
    returned_short: u64,
    /// Of a pool that was counted: the moment of the newest count, and how many there were.
    #[prost(uint64, tag = "50")]
    counted_at: u64,
    #[prost(uint64, tag = "51")]
    counts: u64,
}

pub(crate) fn put_pool(out: &mut Vec<u8>, pool: &Pool) {
    let Books { on_hand, available, held, committed, unavailable, short, in_transit } = pool.books;
    let Totaled { received, sold, .. } = pool.totals;
    let RareTotals { adjusted_up, adjusted_down, sold_short, sent_here, .. } = *pool.totals.rare();
    let RareTotals { moved_in, lost, moved_out, returned, returned_short, .. } = *pool.totals.rare();
    let shortage = pool.aside.as_ref().and_then(|aside| aside.shortage);
    let counted = pool.aside.as_ref().and_then(|aside| aside.counted);
    put_frame(
        out,
        &PoolMsg {
            on_hand,
            available,
            held,
            committed,
            unavailable,
            short,
            received,
            adjusted_up,
            adjusted_down,
            sold,
            sold_short,
            last: pool.last.map(SpotMsg::from),
            in_transit,
            sent_here,
            moved_in,
            lost,
            moved_out,
            short_since: shortage.map_or(0, |opened| opened.since.0),
            short_by: shortage.map(|opened| opened.by.into()),
            expected: pool.aside.iter().flat_map(|aside| &aside.expected).map(AnnouncedMsg::from).collect(),
            returned,
            returned_short,
            counted_at: counted.map_or(0, |counted| counted.at.0),
            counts: counted.map_or(0, |counted| counted.number),
        },
    );
}

/// What the record of a pool says.
pub(crate) type PoolRecord = (Books, Totaled, Option<Spot>, Option<Box<Aside>>);

pub(crate) fn decode_pool(value: &[u8]) -> Result<PoolRecord, Corrupt> {
    let message: PoolMsg = unframe("pool record", Bytes::copy_from_slice(value))?;
    let PoolMsg { on_hand, available, held, committed, unavailable, short, in_transit, .. } = message;
    let PoolMsg { received, adjusted_up, adjusted_down, sold, sold_short, .. } = message;
    let PoolMsg { returned, returned_short, counted_at, counts, .. } = message;
    let PoolMsg { sent_here, moved_in, lost, moved_out, short_since, short_by, .. } = message;
    let books = Books { on_hand, available, held, committed, unavailable, short, in_transit };
    let rare = RareTotals {
        adjusted_up,
        adjusted_down,
        sold_short,
        sent_here,
        moved_in,
        lost,
        moved_out,
        returned,
        returned_short,
    };
    let totals = Totaled::new(received, sold, rare);
    if let Some(problem) = books.problem(&totals) {
        return Err(Corrupt::new("pool record", problem));
    }
    let by = short_by.map(Spot::from).unwrap_or_default();
    let shortage = (short > 0).then_some(Opened { since: TimeMs(short_since), by });
    let expected = message.expected.into_iter().map(Announced::try_from).collect::<Result<Vec<_>, _>>()?;
    let counted = (counts > 0).then_some(Counted { at: TimeMs(counted_at), number: counts });
    let aside = Some(Box::new(Aside { shortage, expected, counted })).filter(|aside| !aside.is_empty());
    Ok((books, totals, message.last.map(Spot::from), aside))
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnnouncedMsg {
    #[prost(bytes = "bytes", tag = "1")]
    document: Bytes,
    #[prost(uint64, tag = "2")]
    date: u64,
    #[prost(uint64, tag = "3")]
    quantity: u64,
}

impl From<&Announced> for AnnouncedMsg {
    fn from(to_come: &Announced) -> Self {
        let document = to_come.document.to_shared();
        Self { document, date: to_come.date.0, quantity: to_come.quantity.units() }
    }
}

impl TryFrom<AnnouncedMsg> for Announced {
    type Error = Corrupt;

    fn try_from(message: AnnouncedMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            document: Document::new(message.document).map_err(|bad| Corrupt::new("document", bad))?,
            date: TimeMs(message.date),
            quantity: super::pool::quantity(message.quantity)?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TransitMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) from: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) to: Bytes,
    #[prost(uint64, tag = "3")]
    sent: u64,
    #[prost(uint64, tag = "4")]
    received: u64,
    #[prost(uint64, tag = "5")]
    lost: u64,
    #[prost(uint64, tag = "6")]
    since: u64,
    #[prost(bytes = "bytes", tag = "7")]
    document: Bytes,
    /// Its own id again: a record that strayed under another key is found.
    #[prost(fixed64, tag = "8")]
    id_high: u64,
    #[prost(fixed64, tag = "9")]
    id_low: u64,
}

impl TransitMsg {
    pub(crate) fn id(&self) -> Result<OperationId, Corrupt> {
        super::pool::operation_id(self.id_high, self.id_low)
    }

    pub(crate) fn transit(self, from: PoolRef, to: PoolRef, mark: Mark) -> Result<Transit, Corrupt> {
        let document = Document::new(self.document).map_err(|bad| Corrupt::new("document", bad))?;
        let over = self.received.checked_add(self.lost).is_none_or(|sum| sum >= self.sent);
        if over || self.sent > POOL_QUANTITY_MAX {
            return Err(Corrupt::new("transfer record", "has nothing under way, or too much"));
        }
        let (sent, received, lost, since) = (self.sent, self.received, self.lost, TimeMs(self.since));
        Ok(Transit { from, to, sent, received, lost, since, document, mark })
    }
}

pub(crate) fn put_transit(out: &mut Vec<u8>, id: OperationId, transit: &Transit, stock: &Stock) {
    let (id_high, id_low) = halves(id.to_bytes());
    put_frame(
        out,
        &TransitMsg {
            from: stock.pool(transit.from).bytes.clone(),
            to: stock.pool(transit.to).bytes.clone(),
            sent: transit.sent,
            received: transit.received,
            lost: transit.lost,
            since: transit.since.0,
            document: transit.document.to_shared(),
            id_high,
            id_low,
        },
    );
}

pub(crate) fn decode_transit(value: &[u8]) -> Result<TransitMsg, Corrupt> {
    unframe("transfer record", Bytes::copy_from_slice(value))
}

#[derive(Clone, PartialEq, prost::Message)]
struct OwnerUsesMsg {
    /// In the order of their ids.
    #[prost(message, repeated, tag = "1")]
    parts: Vec<UseMsg>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct UseMsg {
    #[prost(fixed64, tag = "1")]
    id_high: u64,
    #[prost(fixed64, tag = "2")]
    id_low: u64,
    #[prost(uint64, tag = "3")]
    held: u64,
    #[prost(uint64, tag = "4")]
    sold: u64,
    #[prost(uint64, tag = "5")]
    until: u64,
}

pub(crate) fn put_owner_uses(out: &mut Vec<u8>, owner: &OwnerUses) {
    let part = |(id, part): (&ReservationId, &Use)| {
        let (id_high, id_low) = halves(id.to_bytes());
        UseMsg { id_high, id_low, held: part.held, sold: part.sold, until: part.until.0 }
    };
    put_frame(out, &OwnerUsesMsg { parts: owner.parts.iter().map(part).collect() });
}

pub(crate) fn decode_owner_uses(value: &[u8]) -> Result<BTreeMap<ReservationId, Use>, Corrupt> {
    let message: OwnerUsesMsg = unframe("owner record", Bytes::copy_from_slice(value))?;
    let part = |part: UseMsg| {
        let id = super::pool::reservation_id(part.id_high, part.id_low)?;
        Ok((id, Use { held: part.held, sold: part.sold, until: TimeMs(part.until) }))
    };
    let parts = message.parts.into_iter().map(part).collect::<Result<BTreeMap<_, _>, Corrupt>>()?;
    if parts.is_empty() || parts.values().any(|part| part.held == 0 && part.sold == 0) {
        return Err(Corrupt::new("owner record", "counts nothing"));
    }
    Ok(parts)
}

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
        super::pool::reservation_id(self.id_high, self.id_low)
    }

    pub(crate) fn committed(&self) -> bool {
        self.lines.iter().any(|line| line.committed > 0) || self.cart.as_ref().is_some_and(CartMsg::committed)
    }

    /// As [`Reservation::unshipped`].
    pub(crate) fn unshipped(&self) -> bool {
        let waits = |line: &LineMsg| line.terms.is_some_and(|terms| terms.on_ship) && line.truth().unshipped() > 0;
        self.lines.iter().any(waits) || self.cart.as_ref().is_some_and(CartMsg::unshipped)
    }

    /// What few lines have, if any of them has it.
    pub(crate) fn rares(&self) -> Option<Rares> {
        let rare = |(at, line): (usize, &LineMsg)| Rare {
            policy: self.policies.get(at).copied().unwrap_or(0),
            terms: read_terms(line.terms),
            after: line.truth().after,
        };
        let rares: Vec<Rare> = self.lines.iter().enumerate().map(rare).collect();
        rares.iter().any(|rare| *rare != Rare::default()).then(|| Box::new(rares))
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
pub(crate) fn put_reservation(out: &mut Vec<u8>, id: ReservationId, reservation: &Reservation, pools: &[Pool]) {
    let (id_high, id_low) = halves(id.to_bytes());
    out.push(FRAME_VERSION);
    put_bytes(out, 1, &reservation.owner);
    for (at, line) in reservation.lines.iter().enumerate() {
        let pool = &pools[line.pool.index()].bytes;
        match &reservation.rares {
            None => put_line(out, pool, line),
            Some(_) => encoding::message::encode(2, &LineMsg::new(pool.clone(), line, &reservation.rare(at)), out),
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
    if let Some(rares) = &reservation.rares
        && rares.iter().any(|rare| rare.policy > 0)
    {
        let policies: Vec<u64> = rares.iter().map(|rare| rare.policy).collect();
        encoding::uint64::encode_packed(40, &policies, out);
    }
    if let Some(first) = &reservation.first {
        encoding::bytes::encode(41, &**first, out);
    }
    if reservation.paying {
        encoding::bool::encode(42, &true, out);
        if reservation.grace() != PAYING_GRACE {
            encoding::uint32::encode(43, &reservation.grace_ms, out);
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

pub(crate) fn decode_reservation(value: &[u8]) -> Result<ReservationMsg, Corrupt> {
    let message: ReservationMsg = unframe("reservation record", Bytes::copy_from_slice(value))?;
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
    let message = decode_reservation(value)?;
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

#[derive(Clone, PartialEq, prost::Message)]
struct OperationMsg {
    #[prost(fixed64, tag = "1")]
    fingerprint: u64,
    #[prost(bytes = "bytes", tag = "2")]
    outcome: Bytes,
}

pub(crate) fn put_operation(out: &mut Vec<u8>, operation: &Operation) {
    put_frame(out, &OperationMsg { fingerprint: operation.fingerprint, outcome: operation.outcome.clone() });
}

pub(crate) fn decode_operation(value: &[u8]) -> Result<(u64, Bytes), Corrupt> {
    let message: OperationMsg = unframe("operation record", Bytes::copy_from_slice(value))?;
    super::decode_outcome(message.outcome.clone())?;
    Ok((message.fingerprint, message.outcome))
}

#[derive(Clone, PartialEq, prost::Message)]
struct RefusedMsg {
    #[prost(fixed64, tag = "1")]
    fingerprint: u64,
    #[prost(bytes = "bytes", tag = "2")]
    outcome: Bytes,
    #[prost(uint32, tag = "3")]
    attempt: u32,
    #[prost(uint64, tag = "4")]
    until: u64,
}

pub(crate) fn put_refused(out: &mut Vec<u8>, refused: &Refused) {
    put_frame(
        out,
        &RefusedMsg {
            fingerprint: refused.fingerprint,
            outcome: super::encode_outcome(&refused.outcome),
            attempt: refused.attempt,
            until: refused.until.0,
        },
    );
}

pub(crate) fn decode_refused(value: &[u8]) -> Result<Refused, Corrupt> {
    let message: RefusedMsg = unframe("refusal record", Bytes::copy_from_slice(value))?;
    Ok(Refused {
        fingerprint: message.fingerprint,
        outcome: Box::new(super::decode_outcome(message.outcome)?),
        attempt: message.attempt,
        until: TimeMs(message.until),
        mark: Mark::default(),
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetaMsg {
    #[prost(fixed64, tag = "1")]
    cluster_high: u64,
    #[prost(fixed64, tag = "2")]
    cluster_low: u64,
    #[prost(uint64, tag = "3")]
    map_version: u64,
    #[prost(message, repeated, tag = "4")]
    ranges: Vec<RangeMsg>,
    #[prost(message, repeated, tag = "5")]
    nodes: Vec<NodeMsg>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RangeMsg {
    #[prost(uint32, tag = "1")]
    first: u32,
    #[prost(uint32, tag = "2")]
    last: u32,
    #[prost(uint32, tag = "3")]
    shard: u32,
}

pub(crate) fn put_meta(out: &mut Vec<u8>, meta: &MetaState) {
    let (cluster_high, cluster_low) = halves(meta.cluster);
    let range = |range: &BucketRange| RangeMsg {
        first: u32::from(range.first.number()),
        last: u32::from(range.last.number()),
        shard: range.shard.0,
    };
    put_frame(
        out,
        &MetaMsg {
            cluster_high,
            cluster_low,
            map_version: meta.map_version,
            ranges: meta.ranges.iter().map(range).collect(),
            nodes: meta.nodes.iter().map(NodeMsg::from).collect(),
        },
    );
}

pub(crate) fn decode_meta(value: &[u8]) -> Result<MetaState, Corrupt> {
    let message: MetaMsg = unframe("meta record", Bytes::copy_from_slice(value))?;
    let bucket = |number: u32| {
        u16::try_from(number)
            .ok()
            .and_then(Bucket::new)
            .ok_or_else(|| Corrupt::new("meta record", "has a bucket that does not exist"))
    };
    let range = |range: &RangeMsg| {
        Ok(BucketRange { first: bucket(range.first)?, last: bucket(range.last)?, shard: ShardId(range.shard) })
    };
    Ok(MetaState {
        cluster: super::pool::whole(message.cluster_high, message.cluster_low),
        map_version: message.map_version,
        ranges: message.ranges.iter().map(range).collect::<Result<_, Corrupt>>()?,
        nodes: message.nodes.into_iter().map(MetaNode::from).collect(),
    })
}

#[cfg(test)]
mod tests;
