//! Of several reasons to refuse, the first in the order of `Refusal`'s variants is told. Each test begins with a
//! command that has every reason its kind can have at once, and takes away the first of them again and again.

mod support;

use earmark_ledger::{Ledger, command::*, outcome::*, types::*};
use support::*;

const LATER: TimeMs = TimeMs(BASE.0 + 1_000);

fn place(refusal: &Refusal) -> u32 {
    match refusal {
        Refusal::IdempotencyConflict => 1,
        Refusal::IdempotencyTooOld => 2,
        Refusal::InvalidArgument(_) => 3,
        Refusal::WrongShard => 4,
        Refusal::Late => 5,
        Refusal::NotFound(_) => 6,
        Refusal::ReservationExpired { .. } => 7,
        Refusal::ReservationState { .. } => 8,
        Refusal::ExtensionLimit { .. } => 9,
        Refusal::VersionStale { .. } => 10,
        Refusal::SkuFrozen => 11,
        Refusal::SaleNotOpen { .. } => 12,
        Refusal::SaleClosed => 13,
        Refusal::LimitExceeded => 14,
        Refusal::PolicyUnsatisfiable => 15,
        Refusal::InsufficientStock(_) => 16,
        Refusal::Contended => 17,
    }
}

/// What each command in turn is refused with; each is judged by a ledger of its own, so that none remembers another.
fn places(prepare: &dyn Fn() -> Shard, commands: Vec<(ShardId, Command)>) -> Vec<u32> {
    let refused = commands.into_iter().map(|(shard_id, command)| {
        let mut shard = prepare();
        if shard_id == ShardId::META {
            shard.ledger = Ledger::new(ShardId::META);
        }
        match shard.one(LATER, command).verdict {
            Verdict::Refused(refusal) => place(&refusal),
            Verdict::Done(done) => panic!("was to be refused: {done:?}"),
        }
    });
    refused.collect()
}

fn late(body: Body) -> Command {
    Command { not_after: BASE, ..command(body) }
}

#[test]
fn reasons_of_a_reserve() {
    let shoe = pool("shoe", "berlin");
    let old = TimeMs(BASE.0 - 8 * 24 * 3_600_000);
    let prepare = || {
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 2)));
        shard
    };
    // An id of last week, still known.
    let prepare_known = || {
        let mut shard = Shard::new();
        shard.one(old, command(receive(operation_id(old, 1), &pool("shoe", "berlin"), 2)));
        let known = reserve(reservation_id(old, 1), vec![line(&pool("shoe", "berlin"), 1)], DurationMs::seconds(60));
        shard.one(old, command(Body::Reserve(known)));
        shard
    };
    let bad = |id| Body::Reserve(reserve(id, vec![line(&pool("hat", "berlin"), 1)], DurationMs(0)));
    assert_eq!(places(&prepare_known, vec![(SHARD, late(bad(reservation_id(old, 1))))]), [1]);

    let ttl = DurationMs::seconds(60);
    let fresh = reservation_id(BASE, 9);
    let unknown = Body::Reserve(reserve(fresh, vec![line(&pool("hat", "berlin"), 1), line(&shoe, 9)], ttl));
    let too_many = Body::Reserve(reserve(fresh, vec![line(&shoe, 9)], ttl));
    let told = places(
        &prepare,
        vec![
            (SHARD, late(bad(reservation_id(old, 2)))),
            (ShardId::META, late(bad(fresh))),
            (ShardId::META, late(unknown.clone())),
            (SHARD, late(unknown.clone())),
            (SHARD, command(unknown)),
            (SHARD, command(too_many)),
        ],
    );
    assert_eq!(told, [2, 3, 4, 5, 6, 16]);
}

#[test]
fn a_true_shortage_comes_before_contended() {
    let (shoe, sock) = (pool("shoe", "berlin"), pool("sock", "berlin"));
    let prepare = || {
        let (shoe, sock) = (pool("shoe", "berlin"), pool("sock", "berlin"));
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &shoe, 3_000)));
        shard.one(BASE, command(receive(operation_id(BASE, 2), &sock, 1)));
        let holds = (0..3_000).map(|n| {
            let id = reservation_id(BASE, 100 + n);
            command(Body::Reserve(reserve(id, vec![line(&shoe, 1)], DurationMs(1_000))))
        });
        shard.batch(&batch(BASE, holds.collect()));
        shard
    };
    let ttl = DurationMs::seconds(60);
    let both = reserve(reservation_id(BASE, 9), vec![line(&shoe, 3_000), line(&sock, 2)], ttl);
    let contended = reserve(reservation_id(BASE, 9), vec![line(&shoe, 3_000), line(&sock, 1)], ttl);
    let commands = vec![(SHARD, command(Body::Reserve(both))), (SHARD, command(Body::Reserve(contended)))];
    assert_eq!(places(&prepare, commands), [16, 17]);
}

#[test]
fn reasons_of_ending_a_hold() {
    let old = TimeMs(BASE.0 - 8 * 24 * 3_600_000);
    let (overdue, ended, held) = (reservation_id(BASE, 1), reservation_id(BASE, 2), reservation_id(BASE, 3));
    let prepare = || {
        let shoe = pool("shoe", "berlin");
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &shoe, 9)));
        for (id, ttl) in [(overdue, 1_000), (ended, 60_000), (held, 60_000)] {
            let reserve = reserve(id, vec![line(&shoe, 1)], DurationMs(ttl));
            shard.one(BASE, command(Body::Reserve(reserve)));
        }
        shard.one(BASE, command(release(ended)));
        shard
    };
    let named = |id, time, quantity, location: &str| {
        let parts = vec![part(&pool("shoe", location), quantity)];
        let operation = Some(operation_id(time, 1));
        Body::Commit(Commit { id, operation, parts, keep_rest: false })
    };
    let told = places(
        &prepare,
        vec![
            // The operation of that id was a receipt.
            (SHARD, late(named(reservation_id(old, 1), BASE, 0, "paris"))),
            (SHARD, late(named(reservation_id(BASE, 5), old, 0, "paris"))),
            (SHARD, late(named(reservation_id(old, 1), LATER, 0, "paris"))),
            (ShardId::META, late(named(reservation_id(BASE, 5), LATER, 0, "paris"))),
            (ShardId::META, late(named(reservation_id(BASE, 5), LATER, 2, "paris"))),
            (SHARD, late(named(reservation_id(BASE, 5), LATER, 2, "paris"))),
            (SHARD, command(named(reservation_id(BASE, 5), LATER, 2, "paris"))),
            (SHARD, command(named(overdue, LATER, 2, "berlin"))),
            (SHARD, command(named(ended, LATER, 2, "berlin"))),
            (SHARD, command(named(held, LATER, 2, "paris"))),
            (SHARD, command(named(held, LATER, 2, "berlin"))),
        ],
    );
    assert_eq!(told, [1, 2, 2, 3, 4, 5, 6, 7, 8, 6, 16]);

    let long = DurationMs::days(2);
    let told = places(
        &prepare,
        vec![
            (SHARD, command(extend(overdue, operation_id(LATER, 2), long))),
            (SHARD, command(extend(ended, operation_id(LATER, 2), long))),
            (SHARD, command(extend(held, operation_id(LATER, 2), long))),
        ],
    );
    assert_eq!(told, [7, 8, 9]);
}

#[test]
fn reasons_of_an_adjust() {
    let prepare = || {
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 3)));
        shard
    };
    let adjust = |operation, sku: &str, delta, expected: Option<u64>| {
        Body::Adjust(Adjust {
            operation,
            pool: pool(sku, "berlin"),
            delta,
            reason: Reason::default(),
            expected_on_hand: expected.map(units),
        })
    };
    let (known, fresh) = (operation_id(BASE, 1), operation_id(BASE, 2));
    let old = operation_id(TimeMs(BASE.0 - 8 * 24 * 3_600_000), 2);
    let told = places(
        &prepare,
        vec![
            (SHARD, late(adjust(known, "hat", 0, Some(9)))),
            (ShardId::META, late(adjust(old, "hat", 0, Some(9)))),
            (ShardId::META, late(adjust(fresh, "hat", 0, Some(9)))),
            (ShardId::META, late(adjust(fresh, "hat", -4, Some(9)))),
            (SHARD, late(adjust(fresh, "hat", -4, Some(9)))),
            (SHARD, command(adjust(fresh, "hat", -4, Some(9)))),
            (SHARD, command(adjust(fresh, "shoe", -4, Some(9)))),
            (SHARD, command(adjust(fresh, "shoe", -4, Some(3)))),
        ],
    );
    assert_eq!(told, [1, 2, 3, 4, 5, 6, 10, 16]);
}
