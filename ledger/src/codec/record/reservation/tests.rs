//! Records are written as their messages are.

use super::*;
use crate::{
    settings::Terms,
    state::{Lines, Mark, Rare, Seldom, Stock},
    types::DurationMs,
};
use proptest::{collection::vec, prelude::*};
use prost::Message;

fn pools() -> Stock {
    let mut stock = Stock::default();
    for sku in ["a", "lamp-01"] {
        let key = crate::types::PoolKey {
            namespace: Namespace::default(),
            sku: sku.parse().expect("one"),
            location: "main".parse().expect("one"),
            kind: crate::types::PoolKind::Now,
            lot: crate::types::Lot::default(),
        };
        stock.find_or_make(&key);
    }
    stock
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1..300_u32, any::<u32>()]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..300_u64, any::<u64>()]
}

fn line() -> impl Strategy<Value = Line> {
    (0..2_usize, [small(), small(), small(), small(), small()]).prop_map(|(pool, numbers)| {
        let [asked, held, committed, released, expired] = numbers;
        Line { pool: PoolRef::at(pool), asked, held, committed, released, expired }
    })
}

fn spot() -> impl Strategy<Value = Spot> {
    (small(), number(), small()).prop_map(|(epoch, index, ordinal)| Spot { epoch, index, ordinal })
}

fn reservation() -> impl Strategy<Value = Reservation> {
    let owner = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 1..200)];
    let ended = prop::sample::select(vec![None, Some(EndedBy::Commit), Some(EndedBy::Expiry)]);
    let times = [number(), number(), number(), number(), number()];
    (vec(line(), 1..4), owner, times, [spot(), spot()], small(), ended, any::<[bool; 2]>()).prop_map(
        |(lines, owner, times, [reserved_at, last], revision, ended, [paying, rare])| {
            let [fingerprint, created, deadline, first_deadline, since] = times;
            let terms = Terms { cancel: DurationMs(7), ..Terms::default() };
            let rares = vec![Rare { terms, ..Rare::default() }; if rare { lines.len() } else { 0 }];
            Reservation {
                lines: Lines::new(lines.into_iter()),
                owner: owner.into(),
                fingerprint,
                created: TimeMs(created),
                deadline: TimeMs(deadline),
                first_deadline: TimeMs(first_deadline),
                since: TimeMs(since),
                reserved_at,
                last,
                revision,
                ended,
                paying,
                seldom: Seldom::of(rares, None, 7),
                cart: None,
                mark: Mark::default(),
                packed: None,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_reservation_is_written_as_its_message_is(reservation in reservation(), high in number(), low in number()) {
        let stock = pools();
        let id = (u128::from(high) << 64 | u128::from(low)) & !(3 << 64);
        let id = ReservationId::from_slice(&id.to_be_bytes()).expect("of the first kind");
        let mut bytes = Vec::new();
        put_reservation(&mut bytes, id, &reservation, &stock.pools);
        let message = ReservationMsg::decode(&bytes[1..]).expect("a message");
        prop_assert_eq!(message.encode_to_vec(), &bytes[1..]);
        prop_assert_eq!(message.lines.len(), reservation.lines.as_slice().len());
        for (told, line) in message.lines.iter().zip(reservation.lines.iter()) {
            let numbers = [told.asked, told.held, told.committed, told.released, told.expired];
            prop_assert_eq!(numbers, [line.asked, line.held, line.committed, line.released, line.expired]);
            prop_assert_eq!(&*told.pool, &*stock.pools[line.pool.index()].bytes);
        }
        prop_assert_eq!((Spot::from(message.reserved_at), Spot::from(message.last)), (reservation.reserved_at, reservation.last));
        let times = [message.created, message.deadline, message.first_deadline, message.since];
        let expected = [reservation.created, reservation.deadline, reservation.first_deadline, reservation.since];
        prop_assert_eq!((message.fingerprint, times.map(TimeMs)), (reservation.fingerprint, expected));
        prop_assert_eq!((&message.owner[..], message.revision), (&reservation.owner[..], reservation.revision));
    }
}
