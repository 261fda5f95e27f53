//! The messages in a block of the journal.

use crate::{
    codec::{
        Corrupt,
        writer::{put_bytes, put_number, put_signed, put_some_fixed, put_some_number},
    },
    command::Context,
    types::{Principal, RequestId, Session, TraceParent},
};
use bytes::Bytes;

/// The tag of `HeadMsg.pools`, its last field: the writer writes it itself.
pub(super) const HEAD_POOLS: u8 = 6;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HeadMsg {
    #[prost(uint32, tag = "1")]
    pub(super) shard: u32,
    #[prost(uint32, tag = "2")]
    pub(super) epoch: u32,
    #[prost(uint64, tag = "3")]
    pub(super) index: u64,
    #[prost(uint64, tag = "4")]
    pub(super) time: u64,
    #[prost(message, repeated, tag = "5")]
    pub(super) contexts: Vec<ContextMsg>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) pools: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContextMsg {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) principal: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) session: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) request_id: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) trace_parent: Bytes,
}

impl ContextMsg {
    pub(super) fn context(&self) -> Result<Context, Corrupt> {
        Ok(Context {
            principal: Principal::new(self.principal.clone()).map_err(|bad| Corrupt::new("principal", bad))?,
            session: Session::new(self.session.clone()).map_err(|bad| Corrupt::new("session", bad))?,
            request_id: RequestId::new(self.request_id.clone()).map_err(|bad| Corrupt::new("request id", bad))?,
            trace_parent: TraceParent::new(self.trace_parent.clone())
                .map_err(|bad| Corrupt::new("trace parent", bad))?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MovementMsg {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    /// Place in the head's list of pools.
    #[prost(uint32, tag = "2")]
    pub(super) pool: u32,
    /// Place in the head's list of contexts, from 1; 0: nobody asked.
    #[prost(uint32, tag = "3")]
    pub(super) context: u32,
    #[prost(fixed64, optional, tag = "4")]
    pub(super) reservation_high: Option<u64>,
    #[prost(fixed64, optional, tag = "5")]
    pub(super) reservation_low: Option<u64>,
    #[prost(sint64, tag = "6")]
    pub(super) on_hand: i64,
    #[prost(sint64, tag = "7")]
    pub(super) available: i64,
    #[prost(sint64, tag = "8")]
    pub(super) held: i64,
    #[prost(sint64, tag = "9")]
    pub(super) committed: i64,
    #[prost(sint64, tag = "10")]
    pub(super) unavailable: i64,
    #[prost(sint64, tag = "11")]
    pub(super) short: i64,
    #[prost(uint64, tag = "12")]
    pub(super) sold_short: u64,
    #[prost(uint32, tag = "13")]
    pub(super) pool_epoch: u32,
    #[prost(uint64, optional, tag = "14")]
    pub(super) pool_index: Option<u64>,
    #[prost(uint32, tag = "15")]
    pub(super) pool_ordinal: u32,
    #[prost(uint32, tag = "16")]
    pub(super) reservation_epoch: u32,
    #[prost(uint64, optional, tag = "17")]
    pub(super) reservation_index: Option<u64>,
    #[prost(uint32, tag = "18")]
    pub(super) reservation_ordinal: u32,
    #[prost(bytes = "bytes", tag = "19")]
    pub(super) document: Bytes,
    #[prost(bytes = "bytes", tag = "20")]
    pub(super) reason: Bytes,
    #[prost(uint64, optional, tag = "21")]
    pub(super) deadline: Option<u64>,
    #[prost(bytes = "bytes", tag = "22")]
    pub(super) owner: Bytes,
    #[prost(sint64, tag = "40")]
    pub(super) in_transit: i64,
    #[prost(fixed64, optional, tag = "41")]
    pub(super) transfer_high: Option<u64>,
    #[prost(fixed64, optional, tag = "42")]
    pub(super) transfer_low: Option<u64>,
    #[prost(uint64, optional, tag = "43")]
    pub(super) expected: Option<u64>,
}

impl MovementMsg {
    /// Appends what [`Message::encode`](prost::Message::encode) does, byte by byte the same, at a quarter of its price:
    /// every movement of every replica goes through here.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let Self { kind, pool, context, .. } = *self;
        put_number(out, 1, kind.into());
        put_number(out, 2, pool.into());
        put_number(out, 3, context.into());
        put_some_fixed(out, 4, self.reservation_high);
        put_some_fixed(out, 5, self.reservation_low);
        put_signed(out, 6, self.on_hand);
        put_signed(out, 7, self.available);
        put_signed(out, 8, self.held);
        put_signed(out, 9, self.committed);
        put_signed(out, 10, self.unavailable);
        put_signed(out, 11, self.short);
        put_number(out, 12, self.sold_short);
        put_number(out, 13, self.pool_epoch.into());
        put_some_number(out, 14, self.pool_index);
        put_number(out, 15, self.pool_ordinal.into());
        put_number(out, 16, self.reservation_epoch.into());
        put_some_number(out, 17, self.reservation_index);
        put_number(out, 18, self.reservation_ordinal.into());
        put_bytes(out, 19, &self.document);
        put_bytes(out, 20, &self.reason);
        put_some_number(out, 21, self.deadline);
        put_bytes(out, 22, &self.owner);
        put_signed(out, 40, self.in_transit);
        put_some_fixed(out, 41, self.transfer_high);
        put_some_fixed(out, 42, self.transfer_low);
        put_some_number(out, 43, self.expected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, option, prelude::*};
    use prost::Message;

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), 1..300_u64, any::<u64>(), Just(u64::MAX)]
    }

    fn small() -> impl Strategy<Value = u32> {
        number().prop_map(|number| number as u32)
    }

    fn signed() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0), -300..300_i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
    }

    fn text() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    }

    fn movement() -> impl Strategy<Value = MovementMsg> {
        let places = [(); 3].map(|()| small());
        let deltas = [(); 7].map(|()| signed());
        let spots = ([(); 4].map(|()| small()), [(); 2].map(|()| option::of(number())), number());
        let rare = ([(); 4].map(|()| option::of(number())), [(); 2].map(|()| option::of(number())));
        (places, deltas, spots, [(); 3].map(|()| text()), rare).prop_map(|(places, deltas, spots, texts, rare)| {
            let ([kind, pool, context], [document, reason, owner]) = (places, texts);
            let [on_hand, available, held, committed, unavailable, short, in_transit] = deltas;
            let ([pool_epoch, pool_ordinal, reservation_epoch, reservation_ordinal], indexes, sold_short) = spots;
            let [pool_index, reservation_index] = indexes;
            let ([reservation_high, reservation_low, transfer_high, transfer_low], [deadline, expected]) = rare;
            MovementMsg {
                kind,
                pool,
                context,
                reservation_high,
                reservation_low,
                on_hand,
                available,
                held,
                committed,
                unavailable,
                short,
                sold_short,
                pool_epoch,
                pool_index,
                pool_ordinal,
                reservation_epoch,
                reservation_index,
                reservation_ordinal,
                document,
                reason,
                deadline,
                owner,
                in_transit,
                transfer_high,
                transfer_low,
                expected,
            }
        })
    }

    proptest! {
        #[test]
        fn a_movement_is_put_as_its_message_says(movement in movement()) {
            let mut put = Vec::new();
            movement.put(&mut put);
            prop_assert_eq!(put, movement.encode_to_vec());
        }
    }
}
