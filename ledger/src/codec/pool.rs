//! Pieces that several messages share.

use super::Corrupt;
use crate::{
    outcome::PoolView,
    records::{pool_key_bytes, read_pool_key},
    types::{OperationId, PoolKind, Quantity, ReservationId, TimeMs},
};
use bytes::Bytes;

pub(super) fn quantity(units: u64) -> Result<Quantity, Corrupt> {
    Quantity::new(units).ok_or_else(|| Corrupt::new("quantity", format_args!("{units} is beyond 2^53")))
}

pub(super) fn kind(tag: u32) -> Result<PoolKind, Corrupt> {
    u8::try_from(tag)
        .ok()
        .and_then(PoolKind::from_tag)
        .ok_or_else(|| Corrupt::new("pool kind", format_args!("{tag} is not in use")))
}

/// The high and low half of 16 bytes: two fixed numbers cost no allocation in a message.
pub(crate) fn halves(bytes: [u8; 16]) -> (u64, u64) {
    let number = u128::from_be_bytes(bytes);
    ((number >> 64) as u64, number as u64)
}

pub(super) fn whole(high: u64, low: u64) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

pub(crate) fn reservation_id(high: u64, low: u64) -> Result<ReservationId, Corrupt> {
    ReservationId::from_halves((high, low)).map_err(|bad| Corrupt::new("reservation id", bad))
}

pub(crate) fn operation_id(high: u64, low: u64) -> Result<OperationId, Corrupt> {
    OperationId::from_slice(&whole(high, low)).map_err(|bad| Corrupt::new("operation id", bad))
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PoolViewMsg {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(uint64, tag = "2")]
    on_hand: u64,
    #[prost(uint64, tag = "3")]
    available: u64,
    #[prost(uint64, tag = "4")]
    held: u64,
    #[prost(uint64, tag = "5")]
    committed: u64,
    #[prost(uint64, tag = "6")]
    unavailable: u64,
    #[prost(uint64, tag = "7")]
    short: u64,
    #[prost(uint64, tag = "8")]
    sellable: u64,
    #[prost(uint64, tag = "9")]
    received_total: u64,
    #[prost(uint64, tag = "10")]
    sold_total: u64,
    #[prost(uint64, tag = "43")]
    returned_total: u64,
    #[prost(uint64, tag = "40")]
    in_transit: u64,
    #[prost(uint64, tag = "41")]
    expected: u64,
    #[prost(uint64, optional, tag = "42")]
    expected_date: Option<u64>,
}

impl From<&PoolView> for PoolViewMsg {
    fn from(view: &PoolView) -> Self {
        Self {
            key: pool_key_bytes(&view.key),
            on_hand: view.on_hand.units(),
            available: view.available.units(),
            held: view.held.units(),
            committed: view.committed.units(),
            unavailable: view.unavailable.units(),
            short: view.short.units(),
            sellable: view.sellable.units(),
            received_total: view.received_total.units(),
            sold_total: view.sold_total.units(),
            returned_total: view.returned_total.units(),
            in_transit: view.in_transit.units(),
            expected: view.expected.units(),
            expected_date: view.expected_date.map(|date| date.0),
        }
    }
}

impl TryFrom<PoolViewMsg> for PoolView {
    type Error = Corrupt;

    fn try_from(message: PoolViewMsg) -> Result<Self, Corrupt> {
        Ok(Self {
            key: read_pool_key(message.key)?,
            on_hand: quantity(message.on_hand)?,
            available: quantity(message.available)?,
            held: quantity(message.held)?,
            committed: quantity(message.committed)?,
            unavailable: quantity(message.unavailable)?,
            short: quantity(message.short)?,
            sellable: quantity(message.sellable)?,
            received_total: quantity(message.received_total)?,
            sold_total: quantity(message.sold_total)?,
            returned_total: quantity(message.returned_total)?,
            in_transit: quantity(message.in_transit)?,
            expected: quantity(message.expected)?,
            expected_date: message.expected_date.map(TimeMs),
        })
    }
}
