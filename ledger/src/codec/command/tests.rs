//! The direct way and the way by messages write and read the same bytes.

use super::*;
use crate::types::{Bucket, PoolKind, Quantity, ReservationId};
use proptest::{collection::vec, option, prelude::*};

/// By messages, as before there was a direct way.
fn encoded(batch: &Batch) -> Bytes {
    frame(&BatchMsg {
        rules: batch.rules,
        time: batch.time.0,
        digest: batch.digest,
        commands: batch.commands.iter().map(CommandMsg::from).collect(),
    })
}

fn text<T>(choices: &'static [&'static str]) -> impl Strategy<Value = T>
where
    T: std::str::FromStr + std::fmt::Debug,
    T::Err: std::fmt::Debug,
{
    prop::sample::select(choices).prop_map(|text| text.parse().expect("is one"))
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..300_u64, Just((1 << 53) - 1), Just(u64::MAX), any::<u64>()]
}

fn units() -> impl Strategy<Value = Quantity> {
    number().prop_map(|units| Quantity::new(units % (1 << 53)).expect("at most 2^53"))
}

fn id() -> impl Strategy<Value = ReservationId> {
    (0..1_u64 << 48, any::<u64>(), 0..16_384_u16).prop_map(|(time, number, bucket)| {
        ReservationId::timed(TimeMs(time), Bucket::new(bucket).expect("below 16,384"), number)
    })
}

fn operation() -> impl Strategy<Value = Option<OperationId>> {
    let one = (0..1_u128 << 48, any::<u64>()).prop_map(|(time, number)| {
        let mut bytes = (time << 80 | u128::from(number)).to_be_bytes();
        // Version 7, variant 1 (RFC 9562).
        (bytes[6], bytes[8]) = (0x70, bytes[8] & 0x3f | 0x80);
        OperationId::from_slice(&bytes).expect("version 7")
    });
    option::of(one)
}

fn line() -> impl Strategy<Value = Line> {
    let sku = text(&["a", "shoe-42", "a-name-of-some-more-letters-than-others-have_0.1"]);
    let location = option::of(text(&["x", "berlin"]));
    (sku, location, 1..5_u8, text(&["", "lot"]), units(), units()).prop_map(
        |(sku, location, kind, lot, quantity, minimum)| {
            let kind = PoolKind::from_tag(kind).expect("1 to 4");
            Line { sku, location, kind, lot, quantity, minimum }
        },
    )
}

fn reserve() -> impl Strategy<Value = Body> {
    let shards = vec(prop_oneof![Just(0), 1..200_u32, any::<u32>()].prop_map(ShardId), 0..4);
    let zone = prop_oneof![Just(0), 1..300_u32];
    let texts = (text(&["default", "tenant"]), text(&["", "ann", "Zo\u{eb}"]));
    (id(), texts, vec(line(), 0..4), number(), any::<[bool; 2]>(), zone, shards).prop_map(
        |(id, (namespace, owner), lines, ttl, [ttl_chosen, best_effort], zone, shards)| {
            let ttl = DurationMs(ttl);
            Body::Reserve(Reserve { id, namespace, lines, owner, ttl, ttl_chosen, best_effort, zone, shards })
        },
    )
}

fn body() -> impl Strategy<Value = Body> {
    let parts = || {
        vec(line(), 0..2).prop_map(|lines| {
            let named = lines.into_iter().filter_map(|line| Some((line.location.clone()?, line)));
            let part = |(location, line): (Location, Line)| Part {
                sku: line.sku,
                location,
                kind: line.kind,
                lot: line.lot,
                quantity: line.quantity,
            };
            named.map(part).collect()
        })
    };
    let commit =
        (id(), operation(), parts(), any::<[bool; 2]>()).prop_map(|(id, operation, parts, [keep_rest, revive])| {
            Body::Commit(Commit { id, operation, parts, keep_rest, revive })
        });
    let release =
        (id(), operation(), parts()).prop_map(|(id, operation, parts)| Body::Release(Release { id, operation, parts }));
    let extend = (id(), operation(), number()).prop_filter_map("an id", |(id, operation, ttl)| {
        Some(Body::Extend(Extend { id, operation: operation?, ttl: DurationMs(ttl) }))
    });
    prop_oneof![4 => reserve(), 2 => commit, 2 => release, 1 => extend]
}

fn command() -> impl Strategy<Value = Command> {
    let context = (
        text(&["", "shop"]),
        text(&["", "session-1"]),
        text(&["", "req"]),
        text(&["", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]),
    );
    (context, number(), any::<u32>(), any::<bool>(), body()).prop_map(
        |((principal, session, request_id, trace_parent), not_after, attempt, heard, body)| Command {
            context: Context { principal, session, request_id, trace_parent },
            not_after: TimeMs(not_after),
            attempt,
            heard,
            body,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    (any::<u32>(), number(), any::<bool>(), vec(command(), 0..6)).prop_map(|(rules, time, digest, commands)| Batch {
        rules,
        time: TimeMs(time),
        digest,
        commands,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_directly_is_what_messages_write(batch in batch()) {
        let bytes = encode_batch(&batch);
        prop_assert_eq!(&bytes, &encoded(&batch));
        prop_assert_eq!(decode_batch(bytes), Ok(batch));
    }

    #[test]
    fn what_is_read_directly_is_what_messages_read(
        batch in batch(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3), cut in option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = encode_batch(&batch).to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let bytes = Bytes::from(bytes);
        prop_assert_eq!(decode_batch(bytes.clone()), by_messages(bytes));
    }
}
