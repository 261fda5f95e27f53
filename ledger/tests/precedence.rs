//! Of several reasons to refuse, the first in the order of `Refusal`'s variants is told. Each test begins with a
//! command that has every reason its kind can have at once, and takes away the first of them again and again.

mod support;

use earmark_ledger::{Ledger, command::*, outcome::*, settings::*, types::*};
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
        Refusal::VersionStale { .. } | Refusal::SettingsStale { .. } => 10,
        Refusal::SkuFrozen { .. } => 11,
        Refusal::SaleNotOpen { .. } => 12,
        Refusal::SaleClosed => 13,
        Refusal::LimitExceeded(_) => 14,
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
        Body::Commit(Commit { id, operation, parts, keep_rest: false, revive: false })
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

/// Settings that refuse for every reason there is.
fn every_rule() -> Settings {
    let berlin = "berlin".parse().expect("a location");
    Settings {
        owner_units: Some(UnitLimit { units: units(1), window: DurationMs::days(1) }),
        frozen: Some("recall".parse().expect("a reason")),
        opens: Some(TimeMs(LATER.0 + 1)),
        closes: Some(TimeMs(LATER.0 + 2)),
        allocation: Some(Allocation { strategy: Strategy::Priority(vec![berlin]), places: 1 }),
        ..Settings::default()
    }
}

#[test]
fn reasons_of_the_rules_of_a_sale() {
    let prepare = |settings: Settings| {
        move || {
            let mut shard = Shard::new();
            shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 2)));
            shard.one(BASE, command(receive(operation_id(BASE, 2), &pool("shoe", "paris"), 2)));
            shard.one(BASE, command(receive(operation_id(BASE, 3), &pool("sock", "paris"), 2)));
            shard.one(BASE, command(configure(operation_id(BASE, 4), "shoe", 0, settings.clone())));
            shard
        }
    };
    let ttl = DurationMs::seconds(60);
    let id = reservation_id(BASE, 9);
    let lines = |hat: bool, sock: u64, shoe: u64| {
        let hat = hat.then(|| line(&pool("hat", "berlin"), 1));
        let others = [line(&pool("sock", "paris"), sock), open_line("shoe", shoe)];
        hat.into_iter().chain(others).collect::<Vec<Line>>()
    };
    let ask = |lines| (SHARD, command(Body::Reserve(reserve(id, lines, ttl))));
    let nobody = |lines| {
        let reserve = Reserve { owner: Owner::default(), ..reserve(id, lines, ttl) };
        (SHARD, command(Body::Reserve(reserve)))
    };
    let all = every_rule();
    let with = |settings: Settings, asked| places(&prepare(settings), vec![asked])[0];
    assert_eq!(with(all.clone(), nobody(lines(true, 9, 4))), 3);
    assert_eq!(with(all.clone(), ask(lines(true, 9, 4))), 6);
    assert_eq!(with(all.clone(), ask(lines(false, 9, 4))), 11);
    let thawed = Settings { frozen: None, ..all };
    assert_eq!(with(thawed.clone(), ask(lines(false, 9, 4))), 12);
    let (opens, closes) = (Some(BASE), Some(LATER));
    let closed = Settings { opens, closes, ..thawed };
    assert_eq!(with(closed.clone(), ask(lines(false, 9, 4))), 13);
    let open = Settings { closes: None, ..closed };
    assert_eq!(with(open.clone(), ask(lines(false, 9, 4))), 14);
    let free = Settings { owner_units: None, ..open };
    assert_eq!(with(free.clone(), ask(lines(false, 9, 4))), 15);
    assert_eq!(with(free, ask(lines(false, 9, 2))), 16);
}

#[test]
fn reasons_of_what_the_keepers_of_the_stock_ask() {
    let prepare = || {
        let mut shard = Shard::new();
        shard.one(BASE, command(receive(operation_id(BASE, 1), &pool("shoe", "berlin"), 3)));
        shard
    };
    let (known, fresh) = (operation_id(BASE, 1), operation_id(BASE, 2));
    let old = operation_id(TimeMs(BASE.0 - 8 * 24 * 3_600_000), 2);
    type Ask<'a> = &'a dyn Fn(OperationId, &str, bool) -> Stockkeeping;
    // Each with its bad value, and without it.
    let set = |operation, sku: &str, good: bool| {
        let (pool, on_hand, reason) = (pool(sku, "berlin"), units(1), Reason::default());
        let expected_on_hand = good.then(|| units(9));
        Stockkeeping::Set(SetOnHand { operation, pool, on_hand, expected_on_hand, overriding: false, reason })
    };
    let quarantine = |operation, sku: &str, good: bool| {
        let reason = if good { "damaged".parse().expect("a reason") } else { Reason::default() };
        let (pool, quantity, step) = (pool(sku, "berlin"), units(9), QuarantineStep::SetApart);
        Stockkeeping::Quarantine(Quarantine { operation, pool, step, quantity, reason })
    };
    let transfer = |operation, sku: &str, good: bool| {
        let to = if good { "paris" } else { "berlin" }.parse().expect("a location");
        let (from, quantity, immediate) = (pool(sku, "berlin"), units(9), false);
        let (document, reason) = (Document::default(), Reason::default());
        Stockkeeping::Transfer(Transfer { operation, from, to, quantity, immediate, document, reason })
    };
    let asks: [(Ask<'_>, u32); 3] = [(&set, 10), (&quarantine, 16), (&transfer, 16)];
    for (ask, last) in asks {
        let body = |operation, sku, good| Body::Stockkeeping(ask(operation, sku, good));
        let told = places(
            &prepare,
            vec![
                (SHARD, late(body(known, "hat", false))),
                (ShardId::META, late(body(old, "hat", false))),
                (ShardId::META, late(body(fresh, "hat", false))),
                (ShardId::META, late(body(fresh, "hat", true))),
                (SHARD, late(body(fresh, "hat", true))),
                (SHARD, command(body(fresh, "hat", true))),
                (SHARD, command(body(fresh, "shoe", true))),
            ],
        );
        assert_eq!(told, [1, 2, 3, 4, 5, 6, last]);
    }
    let mut held = prepare();
    let reserve = reserve(reservation_id(BASE, 3), vec![line(&pool("shoe", "berlin"), 1)], DurationMs::seconds(60));
    held.one(BASE, command(Body::Reserve(reserve)));
    let on_ship = Settings { deduct: Deduct::OnShip, ..Settings::default() };
    let mut told = |settings: Settings, number| match held
        .one(LATER, command(configure(operation_id(BASE, number), "shoe", 7, settings)))
        .verdict
    {
        Verdict::Refused(refusal) => place(&refusal),
        Verdict::Done(done) => panic!("was to be refused: {done:?}"),
    };
    assert_eq!([told(on_ship, 5), told(Settings::default(), 6)], [3, 10]);
}
