//! The commonest answers, written without a message in between: what a reserve got, and that there is not enough. The bytes
//! are those of the message.

use super::{kind, units};
use crate::{
    api::error::{lacking, shortage},
    shard::proposer::Answer,
};
use bytes::Bytes;
use earmark_client::wire::v1;
use earmark_ledger::{
    codec::{
        reader::{VARINT, key},
        writer::{
            bytes_len, delimited_len, flag_len, number_len, put_bytes, put_flag, put_length, put_number, put_varint,
            varint_len,
        },
    },
    outcome::{Done, LineGot, Refusal, Reserved, Verdict},
    types::Position,
};

/// `OperationResult.error`.
const ERROR: u8 = 15;

/// An `OperationResult` that says what a reserve got; none if the answer is another.
pub fn reserved(answer: &Answer) -> Option<Bytes> {
    let outcome = &answer.outcome;
    let Verdict::Done(Done::Reserved(done)) = &outcome.verdict else { return None };
    let lines: usize = done.lines.iter().map(|line| delimited_len(line_len(line))).sum();
    let position = position_len(&outcome.position);
    let id = done.id.to_bytes();
    let length = bytes_len(&id)
        + number_len(extent(done))
        + lines
        + number_len(done.deadline.0)
        + number_len(outcome.time.0)
        + delimited_len(position)
        + flag_len(outcome.replayed);
    let mut out = Vec::with_capacity(delimited_len(length));
    put_length(&mut out, 1, length);
    put_bytes(&mut out, 1, &id);
    put_number(&mut out, 2, extent(done));
    for line in &done.lines {
        put_length(&mut out, 3, line_len(line));
        put_line(&mut out, line);
    }
    put_number(&mut out, 4, done.deadline.0);
    put_number(&mut out, 5, outcome.time.0);
    put_length(&mut out, 6, position);
    put_number(&mut out, 1, outcome.position.shard.0.into());
    put_number(&mut out, 2, outcome.position.epoch.0.into());
    put_number(&mut out, 3, outcome.position.index.0);
    put_number(&mut out, 4, outcome.position.ordinal.into());
    put_flag(&mut out, 7, outcome.replayed);
    Some(out.into())
}

/// An `OperationResult` that says that there is not enough for a reserve; none if the answer is another.
pub fn insufficient(answer: &Answer) -> Option<Bytes> {
    let Verdict::Refused(Refusal::InsufficientStock(short)) = &answer.outcome.verdict else { return None };
    let shortages: Vec<v1::Shortage> = short.iter().map(shortage).collect();
    let message = lacking(&shortages);
    let code = number(v1::Code::InsufficientStock.into());
    let length = number_len(code)
        + bytes_len(message.as_bytes())
        + shortages.iter().map(|short| delimited_len(shortage_len(short))).sum::<usize>()
        + flag_len(answer.logged);
    let mut out = Vec::with_capacity(delimited_len(length));
    put_length(&mut out, ERROR, length);
    put_number(&mut out, 1, code);
    put_bytes(&mut out, 2, message.as_bytes());
    for short in &shortages {
        put_length(&mut out, 4, shortage_len(short));
        put_number(&mut out, 1, short.line.into());
        put_number(&mut out, 2, short.asked.unsigned_abs());
        put_number(&mut out, 3, short.sellable.unsigned_abs());
        put_number(&mut out, 4, short.earliest_ms);
    }
    put_flag(&mut out, 10, answer.logged);
    Some(out.into())
}

fn shortage_len(short: &v1::Shortage) -> usize {
    number_len(short.line.into())
        + number_len(short.asked.unsigned_abs())
        + number_len(short.sellable.unsigned_abs())
        + number_len(short.earliest_ms)
}

fn extent(done: &Reserved) -> u64 {
    number(if done.all { v1::Extent::All } else { v1::Extent::Partial }.into())
}

/// An enumeration as it is written. None of ours has a number below 0.
fn number(of: i32) -> u64 {
    of.unsigned_abs().into()
}

fn position_len(position: &Position) -> usize {
    number_len(position.shard.0.into())
        + number_len(position.epoch.0.into())
        + number_len(position.index.0)
        + number_len(position.ordinal.into())
}

/// Why a line got less than it asked for.
fn reason(line: &LineGot) -> u64 {
    let code = if line.got < line.asked { v1::Code::InsufficientStock } else { v1::Code::Unspecified };
    number(code.into())
}

fn line_len(line: &LineGot) -> usize {
    let pool = line.pool.texts();
    bytes_len(pool.sku)
        + bytes_len(pool.location)
        + number_len(number(kind(pool.kind)))
        + bytes_len(pool.lot)
        + number_len(units(line.asked).unsigned_abs())
        + number_len(units(line.got).unsigned_abs())
        + number_len(reason(line))
        + line.policy.map_or(0, |version| 1 + varint_len(version))
}

fn put_line(out: &mut Vec<u8>, line: &LineGot) {
    let pool = line.pool.texts();
    put_bytes(out, 1, pool.sku);
    put_bytes(out, 2, pool.location);
    put_number(out, 3, number(kind(pool.kind)));
    put_bytes(out, 4, pool.lot);
    put_number(out, 5, units(line.asked).unsigned_abs());
    put_number(out, 6, units(line.got).unsigned_abs());
    put_number(out, 7, reason(line));
    if let Some(version) = line.policy {
        // Also if it is 0: that it is there says that a policy chose.
        out.push(key(8, VARINT));
        put_varint(out, version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encode::{self, Asked};
    use earmark_ledger::{
        outcome::{Outcome, Shortage},
        types::{Bucket, Epoch, LogIndex, PoolKey, PoolKind, Quantity, ReservationId, ShardId, TimeMs},
    };
    use proptest::{collection::vec, option, prelude::*, sample::select};
    use prost::Message;

    fn line() -> impl Strategy<Value = LineGot> {
        let pool =
            (select(vec!["a", "lamp-01", "Zo\u{eb}"]), select(vec!["x", "berlin"]), 1..5_u8, select(vec!["", "l"]));
        let pool = pool.prop_map(|(sku, location, kind, lot)| PoolKey {
            namespace: "default".parse().expect("one"),
            sku: sku.parse().expect("one"),
            location: location.parse().expect("one"),
            kind: PoolKind::from_tag(kind).expect("1 to 4"),
            lot: lot.parse().expect("one"),
        });
        let number = || {
            prop_oneof![Just(0), 1..300_u64, Just((1 << 53) - 1)].prop_map(|units| Quantity::new(units).expect("small"))
        };
        (pool, number(), number(), option::of(0..200_u64)).prop_map(|(pool, asked, got, policy)| LineGot {
            pool: pool.into(),
            asked,
            got,
            policy,
        })
    }

    fn answered() -> impl Strategy<Value = Answer> {
        let number = || prop_oneof![Just(0), 1..300_u64, any::<u64>()];
        let small = || prop_oneof![Just(0), any::<u32>()];
        let id = (0..1_u64 << 48, any::<u64>())
            .prop_map(|(time, random)| ReservationId::timed(TimeMs(time), Bucket::new(9).expect("small"), random));
        let position = (small(), small(), number(), small()).prop_map(|(shard, epoch, index, ordinal)| Position {
            shard: ShardId(shard),
            epoch: Epoch(epoch),
            index: LogIndex(index),
            ordinal,
        });
        (id, vec(line(), 0..4), any::<[bool; 2]>(), number(), number(), position).prop_map(
            |(id, lines, [all, replayed], deadline, time, position)| {
                let done = Done::Reserved(Reserved { id, lines, all, deadline: TimeMs(deadline) });
                let outcome = Outcome { verdict: Verdict::Done(done), replayed, position, time: TimeMs(time) };
                Answer { outcome, logged: true }
            },
        )
    }

    fn short() -> impl Strategy<Value = Answer> {
        let units = || prop_oneof![Just(0), 1..300_u64, Just((1 << 53) - 1)];
        let units = move || units().prop_map(|units| Quantity::new(units).expect("small"));
        let line = || prop_oneof![Just(0), any::<u32>()];
        let lines = vec((line(), units(), units(), option::of(any::<u64>())), 0..4);
        (lines, any::<bool>()).prop_map(|(lines, logged)| {
            let short = lines.into_iter().map(|(line, asked, sellable, earliest)| Shortage {
                line,
                asked,
                sellable,
                earliest: earliest.map(TimeMs),
            });
            let verdict = Verdict::Refused(Refusal::InsufficientStock(short.collect()));
            let position = Position { shard: ShardId(1), epoch: Epoch(1), index: LogIndex(1), ordinal: 0 };
            Answer { outcome: Outcome { verdict, replayed: false, position, time: TimeMs(1) }, logged }
        })
    }

    fn message(answer: &Answer) -> Option<Bytes> {
        let message = v1::OperationResult { body: Some(encode::answer(Asked::Reserve, answer)) };
        Some(message.encode_to_vec().into())
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_message(answer in answered()) {
            prop_assert_eq!(reserved(&answer), message(&answer));
            prop_assert_eq!(insufficient(&answer), None);
        }

        #[test]
        fn so_they_are_where_there_is_not_enough(answer in short()) {
            prop_assert_eq!(insufficient(&answer), message(&answer));
            prop_assert_eq!(reserved(&answer), None);
        }
    }
}
