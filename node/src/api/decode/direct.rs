//! The commonest request, read from its bytes without a message in between: a reserve as the SDK writes it. What is written
//! in another way, or is not good, is left to the message, by which is told what is wrong.

use super::{Arrival, Decoded};
use crate::api::check::{Check, LINE_UNITS, UNITS_OR_NONE, is_ahead, pool_kind};
use bytes::Bytes;
use earmark_client::wire::v1;
use earmark_ledger::{
    chosen_ttl,
    codec::reader::{DELIMITED, Reader, VARINT, key},
    command::{Body, Context, Line, Reserve},
    limits::{LINES_MAX, TTL_MAX, TTL_MIN},
    types::{
        BadText, DurationMs, Location, Lot, Namespace, Owner, Principal, Quantity, RequestId, ReservationId, Session,
        Sku, TraceParent,
    },
};
use std::ops::RangeInclusive;

/// Where an operation was sent, as far as what came with it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// In this session: if it says that it is fresh it is.
    Here,
    /// In another one. If it says that it is fresh, it came here a second time.
    Elsewhere,
    /// It may come twice, and nothing tells the second from the first: it never counts as fresh.
    Anywhere,
}

/// Reads an operation; none unless it is such a reserve, and good.
pub fn operation(bytes: &Bytes, arrival: &Arrival<'_>, sent: Sent) -> Option<Decoded> {
    let mut operation = Reader::new(bytes);
    if operation.key()? != OPERATION_RESERVE {
        return None;
    }
    let request = operation.inner()?;
    if !operation.is_over() {
        return None;
    }
    reserve(request, arrival, sent)
}

fn reserve(mut request: Reader<'_>, arrival: &Arrival<'_>, sent: Sent) -> Option<Decoded> {
    let (mut id, mut namespace, mut owner) = (None, Namespace::default(), Owner::default());
    // Most have one line. By itself a vector would make room for four.
    let (mut ttl, mut best_effort, mut zone, mut lines) = (0, false, 0, Vec::with_capacity(1));
    let (mut context, mut delivery) = (Context::default(), v1::Delivery::default());
    let mut fields = Fields::default();
    while let Some(field) = fields.next(&mut request, Some(LINE))? {
        match field {
            ID => id = Some(ReservationId::from_slice(&request.text()?).ok()?),
            NAMESPACE => namespace = text(request.text()?, Namespace::new)?,
            LINE if lines.len() < LINES_MAX => lines.push(line(request.inner()?)?),
            OWNER => owner = text(request.text()?, Owner::new)?,
            TTL => ttl = request.number()?,
            BEST_EFFORT => best_effort = request.flag()?,
            CONTEXT => context = context_of(request.inner()?)?,
            DELIVERY => delivery = delivery_of(request.inner()?)?,
            ZONE => zone = request.number()?.try_into().ok()?,
            _ => return None,
        }
    }
    let id = id.filter(|id| !is_ahead(id.time(), arrival.now))?;
    let ttl_chosen = ttl == 0;
    let ttl = if ttl_chosen { chosen_ttl() } else { DurationMs(ttl) };
    let good = !lines.is_empty()
        && (ttl_chosen || (TTL_MIN..=TTL_MAX).contains(&ttl))
        && (best_effort || lines.iter().all(|line| line.minimum.units() == 0))
        && (sent != Sent::Elsewhere || !delivery.fresh);
    if !good {
        return None;
    }
    delivery.fresh &= sent == Sent::Here;
    let shards = Vec::new();
    let body = Body::Reserve(Reserve { id, namespace, lines, owner, ttl, ttl_chosen, best_effort, zone, shards });
    Check::default().finish(Some(id.home()), context, Some(delivery), arrival, Some(body)).ok()
}

fn line(mut line: Reader<'_>) -> Option<Line> {
    let (mut sku, mut location, mut lot) = (Bytes::new(), None, Lot::default());
    let (mut kind, mut asked, mut minimum) = (0, 0, 0);
    let mut fields = Fields::default();
    while let Some(field) = fields.next(&mut line, None)? {
        match field {
            SKU => sku = line.text()?,
            LOCATION => location = Some(text(line.text()?, Location::new)?),
            KIND => kind = line.number()?,
            LOT => lot = text(line.text()?, Lot::new)?,
            QUANTITY => asked = line.number()?,
            MINIMUM => minimum = line.number()?,
            _ => return None,
        }
    }
    Some(Line {
        sku: text(sku, Sku::new)?,
        location,
        kind: pool_kind(kind.try_into().ok()?)?,
        lot,
        quantity: quantity(asked, LINE_UNITS)?,
        minimum: quantity(minimum, UNITS_OR_NONE)?,
    })
}

fn context_of(mut told: Reader<'_>) -> Option<Context> {
    let mut context = Context::default();
    let mut fields = Fields::default();
    while let Some(field) = fields.next(&mut told, None)? {
        match field {
            PRINCIPAL => context.principal = text(told.text()?, Principal::new)?,
            SESSION => context.session = text(told.text()?, Session::new)?,
            REQUEST_ID => context.request_id = text(told.text()?, RequestId::new)?,
            TRACE_PARENT => context.trace_parent = text(told.text()?, TraceParent::new)?,
            _ => return None,
        }
    }
    Some(context)
}

fn delivery_of(mut told: Reader<'_>) -> Option<v1::Delivery> {
    let mut delivery = v1::Delivery::default();
    let mut fields = Fields::default();
    while let Some(field) = fields.next(&mut told, None)? {
        match field {
            NOT_AFTER => delivery.not_after_ms = told.number()?,
            TRY => delivery.r#try = told.number()?.try_into().ok()?,
            FRESH => delivery.fresh = told.flag()?,
            DIRECT => delivery.direct = told.flag()?,
            MAP_VERSION => delivery.map_version = told.number()?,
            _ => return None,
        }
    }
    Some(delivery)
}

/// Sees to it that fields come in order and each once, but for one that may be repeated: of what comes twice a message takes
/// the last, or adds both.
#[derive(Default)]
struct Fields {
    before: u8,
}

impl Fields {
    /// The key of the next field, if there is one; none at all if it is out of order.
    fn next(&mut self, reader: &mut Reader<'_>, repeated: Option<u8>) -> Option<Option<u8>> {
        let Some(field) = reader.key() else { return Some(None) };
        let in_order = field > self.before || (field == self.before && repeated == Some(field));
        self.before = field;
        in_order.then_some(Some(field))
    }
}

/// A text that is plain: what is not ASCII or begins with a blank is looked at more closely elsewhere.
fn text<T>(bytes: Bytes, make: fn(Bytes) -> Result<T, BadText>) -> Option<T> {
    let plain = bytes.is_ascii() && bytes.first().is_some_and(u8::is_ascii_graphic);
    if plain { make(bytes).ok() } else { None }
}

fn quantity(units: u64, range: RangeInclusive<u64>) -> Option<Quantity> {
    Quantity::new(units).filter(|_| range.contains(&units))
}

/// Of an operation.
const OPERATION_RESERVE: u8 = key(1, DELIMITED);

// Of a reserve.
const ID: u8 = key(1, DELIMITED);
const NAMESPACE: u8 = key(2, DELIMITED);
const LINE: u8 = key(3, DELIMITED);
const OWNER: u8 = key(4, DELIMITED);
const TTL: u8 = key(5, VARINT);
const BEST_EFFORT: u8 = key(6, VARINT);
const CONTEXT: u8 = key(7, DELIMITED);
const DELIVERY: u8 = key(8, DELIMITED);
const ZONE: u8 = key(9, VARINT);

// Of a line.
const SKU: u8 = key(1, DELIMITED);
const LOCATION: u8 = key(2, DELIMITED);
const KIND: u8 = key(3, VARINT);
const LOT: u8 = key(4, DELIMITED);
const QUANTITY: u8 = key(5, VARINT);
const MINIMUM: u8 = key(6, VARINT);

// Of a context.
const PRINCIPAL: u8 = key(1, DELIMITED);
const SESSION: u8 = key(2, DELIMITED);
const REQUEST_ID: u8 = key(3, DELIMITED);
const TRACE_PARENT: u8 = key(4, DELIMITED);

// Of a delivery.
const NOT_AFTER: u8 = key(1, VARINT);
const TRY: u8 = key(2, VARINT);
const FRESH: u8 = key(3, VARINT);
const DIRECT: u8 = key(4, VARINT);
const MAP_VERSION: u8 = key(5, VARINT);

#[cfg(test)]
mod tests;
