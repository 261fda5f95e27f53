//! Records of SKUs and pools, of what is on its way between pools, and of what owners have of SKUs that limit it.

use super::SpotMsg;
use crate::{
    codec::{
        Corrupt,
        pool::{self, halves},
        put_frame,
        settings::{self, SettingsMsg},
        unframe,
    },
    movement::Spot,
    settings::Settings,
    state::{
        Announced, Aside, Books, Counted, Mark, Opened, OwnerUses, Pool, PoolRef, RareTotals, SkuSettings, Stock,
        Totaled, Transit, Use,
    },
    types::{Document, OperationId, POOL_QUANTITY_MAX, ReservationId, TimeMs},
};
use bytes::Bytes;
use std::collections::BTreeMap;

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
    let deduct = settings::deduct(message.deduct)?;
    let safety_stock = pool::quantity(message.safety_stock)?;
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
            quantity: pool::quantity(message.quantity)?,
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
        pool::operation_id(self.id_high, self.id_low)
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
            from: stock.pool(transit.from).shared_key(),
            to: stock.pool(transit.to).shared_key(),
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
        let id = pool::reservation_id(part.id_high, part.id_low)?;
        Ok((id, Use { held: part.held, sold: part.sold, until: TimeMs(part.until) }))
    };
    let parts = message.parts.into_iter().map(part).collect::<Result<BTreeMap<_, _>, Corrupt>>()?;
    if parts.is_empty() || parts.values().any(|part| part.held == 0 && part.sold == 0) {
        return Err(Corrupt::new("owner record", "counts nothing"));
    }
    Ok(parts)
}
